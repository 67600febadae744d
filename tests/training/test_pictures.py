"""What is drawn of a generated frame: one function for samples of training and for reports."""

import attrs
import torch
from vs_data import Clip, References
from vs_metrics import video_frame
from vs_nets import ClassMap, FloatMap, LabelSpec, Synthesis, Warp
from vs_training.pictures import clip_frame, palette_of

EDGES, POSES = FloatMap(name="edges", channels=2), FloatMap(name="poses", channels=1)


def clip_of(**labels: torch.Tensor) -> Clip:
    shown = References(frames=torch.arange(2.0).view(2, 1, 1, 1).expand(2, 3, 4, 6), labels={})
    return Clip(frames=torch.ones(1, 3, 4, 6), labels=labels, references=shown, name="x")


def test_maps_are_drawn_in_the_order_in_which_the_networks_take_them() -> None:
    clip = clip_of(poses=torch.ones(1, 1, 4, 6), edges=torch.zeros(1, 2, 4, 6))
    spec = LabelSpec((EDGES, POSES))
    frame = clip_frame(spec, clip, Synthesis(frame=torch.zeros(1, 3, 4, 6)), index=7)
    assert frame.label.mean(dim=(1, 2)).tolist() == [0.0, 0.0, 1.0]
    assert (frame.index, palette_of(spec)) == (7, ())


def test_class_ids_are_drawn_where_there_are_any() -> None:
    clip = clip_of(edges=torch.zeros(1, 2, 4, 6), classes=torch.full((1, 4, 6), 2))
    spec = LabelSpec((EDGES, ClassMap(name="classes", classes=3)))
    frame = clip_frame(spec, clip, Synthesis(frame=torch.zeros(1, 3, 4, 6)), index=0)
    assert torch.equal(frame.label, torch.full((4, 6), 2))
    assert len(palette_of(spec)) == 3


def test_labels_of_every_kind_are_drawn() -> None:
    photo, body = FloatMap(name="render", channels=3, pictures=True), FloatMap(name="poses", channels=1, title="pose")
    made = Synthesis(frame=torch.zeros(1, 3, 4, 6))
    clip = clip_of(render=torch.ones(1, 3, 4, 6), poses=torch.ones(1, 1, 4, 6), depth=torch.zeros(1, 1, 4, 6))
    depth = FloatMap(name="depth", channels=1, title="depth", pictures=True)
    frame = clip_frame(LabelSpec((photo, body, depth)), clip, made, index=0)
    assert [title for title, _ in frame.other_labels] == ["pose", "depth"]
    assert frame.other_labels[1][1].shape == (3, 4, 6)  # greys of a picture, as pictures are painted
    assert video_frame(frame, ()).shape[1] > video_frame(attrs.evolve(frame, other_labels=()), ()).shape[1]
    alone = clip_frame(
        LabelSpec((EDGES, POSES)), clip_of(edges=torch.ones(1, 2, 4, 6), poses=clip.labels["poses"]), made, index=0
    )
    assert alone.other_labels == ()


def test_limbs_in_three_maps_are_drawn_in_their_colours_alone_and_beside_other_labels() -> None:
    body, lines = FloatMap(name="poses", channels=3, title="pose"), FloatMap(name="edges", channels=2)
    limbs, edges = torch.zeros(1, 3, 4, 6), torch.zeros(1, 2, 4, 6)
    limbs[0, :, 1, 1] = torch.tensor([1.0, 0.4, 0.0])
    edges[0, 1, 2, 2] = 0.2
    made = Synthesis(frame=torch.zeros(1, 3, 4, 6))
    alone = clip_frame(LabelSpec((body,)), clip_of(poses=limbs), made, index=0).label
    both = clip_frame(LabelSpec((lines, body)), clip_of(poses=limbs, edges=edges), made, index=0).label
    classes = clip_of(poses=limbs, classes=torch.zeros(1, 4, 6, dtype=torch.int64))
    beside = clip_frame(LabelSpec((body, ClassMap(name="classes", classes=2))), classes, made, index=0).other_labels
    assert [title for title, _ in beside] == ["pose"]
    for shown in (alone, both, beside[0][1]):
        assert shown.dtype == torch.uint8
        assert shown[:, 1, 1].tolist() == [255, 102, 0]
        assert shown[:, 3, 3].tolist() == [0, 0, 0]
    assert both[:, 2, 2].tolist() == [51, 51, 51]


def test_of_references_the_chosen_one_is_drawn_with_what_was_made_of_it() -> None:
    clip = clip_of(poses=torch.ones(1, 1, 4, 6))
    warp = Warp(flow=torch.ones(1, 2, 4, 6), mask=torch.zeros(1, 1, 4, 6), frame=-torch.ones(1, 3, 4, 6))
    made = Synthesis(frame=torch.zeros(1, 3, 4, 6), reference=warp)
    silent = clip_frame(LabelSpec((POSES,)), clip, made, index=0)
    chosen = clip_frame(
        LabelSpec((POSES,)), clip, Synthesis(frame=made.frame, reference=warp, chosen=torch.tensor([1])), index=0
    )
    assert (float(silent.reference.max()), float(chosen.reference.min())) == (0.0, 1.0)
    assert (chosen.reference_flow.shape, chosen.reference_mask.shape) == ((2, 4, 6), (1, 4, 6))
    assert torch.equal(chosen.warped_reference, warp.frame[0])
    assert chosen.flow is None
