"""Talking heads as a source: shapes, determinism, who is who, and who moves how."""

import pickle

import attrs
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from vs_data import (
    HEAD_REGIONS,
    REGIONS,
    ClassIds,
    Clip,
    ClipRequest,
    ClipSource,
    FacesConfig,
    FacesSource,
    FloatMaps,
    RequestError,
    collate,
    draw_face,
    open_faces,
    open_source,
)
from vs_data.faces.head import build_subject

SMALL = FacesConfig(height=32, width=32, sequence_length=24, train_identities=40, val_identities=4, labels="both")
BACKGROUND, SKIN, HAIR, CLOTHES, FEATURES = range(len(REGIONS))


def source(**changes: object) -> FacesSource:
    return open_faces(attrs.evolve(SMALL, **changes), "train")


def tensors(clip: Clip) -> dict[str, torch.Tensor]:
    found = {"frames": clip.frames, "flow": clip.flow, "confidence": clip.flow_confidence, "regions": clip.regions}
    found |= clip.labels
    if clip.references is not None:
        given_ = clip.references
        found |= {"examples": given_.frames, "their flow": given_.flow, "their confidence": given_.flow_confidence}
        found |= {f"their {kind}": label for kind, label in given_.labels.items()}
    assert all(tensor is not None for tensor in found.values())
    return found


def equal(one: Clip, other: Clip) -> bool:
    pairs = zip(tensors(one).items(), tensors(other).items(), strict=True)
    return all(a == b and torch.equal(x, y) for (a, x), (b, y) in pairs)


def mean_colour(clip: Clip, region: int) -> np.ndarray:
    """(3,) mean colour of a region over a clip, in [0,1]."""
    mask = clip.regions == region
    return ((clip.frames.permute(0, 2, 3, 1)[mask].mean(dim=0) + 1) / 2).numpy()


@pytest.mark.parametrize("size", [(16, 16), (64, 64), (33, 47), (96, 40)])
def test_any_size_gives_a_complete_clip(size: tuple[int, int]) -> None:
    faces = source(height=size[0], width=size[1])
    clip = faces.read(ClipRequest(sequence=3, start=2, length=3, references=(0, 20)))
    expected = {
        "frames": ((3, 3, *size), torch.float32),
        "flow": ((3, 2, *size), torch.float32),
        "confidence": ((3, 1, *size), torch.float32),
        "regions": ((3, *size), torch.uint8),
        "landmarks-dlib68": ((3, 1, *size), torch.float32),
        "seg_maps": ((3, *size), torch.uint8),
        "examples": ((2, 3, *size), torch.float32),
        "their flow": ((3, 2, 2, *size), torch.float32),
        "their confidence": ((3, 2, 1, *size), torch.float32),
        "their landmarks-dlib68": ((2, 1, *size), torch.float32),
        "their seg_maps": ((2, *size), torch.uint8),
    }
    found = tensors(clip)
    assert {name: (tuple(tensor.shape), tensor.dtype) for name, tensor in found.items()} == expected
    assert all(torch.isfinite(tensor.float()).all() for tensor in found.values())
    assert clip.frames.abs().max() <= 1
    assert 0 <= clip.labels["landmarks-dlib68"].min() < clip.labels["landmarks-dlib68"].max() <= 1
    for name in ("confidence", "their confidence"):
        assert set(found[name].unique().tolist()) <= {0.0, 1.0}
    assert not found["flow"][0].any()
    assert not found["confidence"][0].any()
    assert torch.equal(clip.labels["seg_maps"], clip.regions)
    assert len(collate([clip, clip]).name.split(", ")) == 2


def test_the_source_describes_itself_and_survives_pickling() -> None:
    faces = open_source(SMALL, "val")
    assert isinstance(faces, ClipSource)
    assert faces.size == (32, 32)
    assert list(faces.label_kinds.items()) == [
        ("landmarks-dlib68", FloatMaps(channels=1, title="landmarks")),
        ("seg_maps", ClassIds(classes=5, names=REGIONS)),
    ]
    assert [info.frames for info in faces.sequences] == [24] * 8  # two motions of each of four people
    again = pickle.loads(pickle.dumps(faces))
    request = ClipRequest(sequence=5, start=3, length=2, references=(7,), reference_sequence=0)
    assert equal(faces.read(request), again.read(request))


@pytest.mark.parametrize(
    ("labels", "kinds"),
    [("landmarks", ["landmarks-dlib68"]), ("regions", ["seg_maps"]), ("both", ["landmarks-dlib68", "seg_maps"])],
)
def test_labels_are_those_asked_for(labels: str, kinds: list[str]) -> None:
    faces = source(labels=labels)
    clip = faces.read(ClipRequest(sequence=0, start=0, length=1, references=(1,)))
    assert list(faces.label_kinds) == list(clip.labels) == list(clip.references.labels) == kinds
    assert clip.regions is not None


def test_splits_share_nobody() -> None:
    config = FacesConfig(train_identities=300, val_identities=300, motions=3)
    train, val = ([info.name for info in open_faces(config, split).sequences] for split in ("train", "val"))
    assert len(set(train)) == len(set(val)) == 900
    assert max(train) < "face-500000" <= min(val)
    with pytest.raises(ValueError, match=r"train_identities: expected .*, got 500001"):
        FacesConfig(train_identities=500_001)


@settings(max_examples=12)
@given(st.integers(0, 79), st.integers(0, 79), st.integers(0, 20), st.integers(0, 23), st.integers(0, 2**63))
def test_a_clip_is_a_pure_function_of_the_request(
    sequence: int, subject: int, start: int, reference: int, seed: int
) -> None:
    request = ClipRequest(
        sequence=sequence, start=start, length=3, references=(reference,), reference_sequence=subject, seed=seed
    )
    once = source().read(request)
    build_subject.cache_clear()
    assert equal(once, source().read(attrs.evolve(request, seed=0)))


@settings(max_examples=8)
@given(st.integers(0, 79), st.integers(1, 20), st.integers(1, 4))
def test_frames_do_not_depend_on_where_reading_starts(sequence: int, start: int, length: int) -> None:
    length = min(length, 24 - start)
    whole = tensors(source().read(ClipRequest(sequence=sequence, start=start - 1, length=length + 1, references=(0,))))
    part = tensors(source().read(ClipRequest(sequence=sequence, start=start, length=length, references=(0,))))
    for name, tensor in part.items():
        if name in ("flow", "confidence"):
            assert torch.equal(tensor[1:], whole[name][2:])
        else:  # of the references themselves there is one, in both clips the same
            assert torch.equal(tensor, whole[name][-len(tensor) :])


def test_a_frame_is_unlike_the_one_ten_before_it() -> None:
    changes = []
    for sequence in range(0, 24, 2):
        clip = source().read(ClipRequest(sequence=sequence, start=0, length=11))
        head = torch.isin(clip.regions[10], torch.tensor(HEAD_REGIONS))
        changes.append(float((clip.frames[10] - clip.frames[0]).abs().mean(dim=0)[head].mean()))
    assert min(changes) > 0.05  # of a range of 2
    assert np.mean(changes) > 0.15


def test_who_it_is_changes_colours_and_not_the_motion() -> None:
    """Everybody in the motion of sequence 0: heads are in one place, colours are all over."""
    faces, colours, centres = source(), [], []
    for person in range(24):
        request = ClipRequest(sequence=0, start=4, length=1, references=(0,), reference_sequence=2 * person)
        clip, points = faces.read(request), faces.landmarks(request)
        colours.append([mean_colour(clip, region) for region in (BACKGROUND, SKIN, CLOTHES)])
        centres.append(points[:, 36:48].mean(axis=(0, 1)))
    assert np.std(colours, axis=0).mean(axis=1).min() > 0.10
    assert np.std(centres, axis=0).max() < 1.2  # pixels: eyes are not all at one height
    assert np.ptp(faces.landmarks(ClipRequest(sequence=0, start=0, length=24))[:, 30], axis=0).max() > 2


def test_the_motion_changes_the_pose_and_not_who_it_is() -> None:
    faces, colours, noses = source(), [], []
    for sequence in range(0, 32, 2):
        request = ClipRequest(sequence=sequence, start=4, length=1, references=(0,), reference_sequence=6)
        colours.append([mean_colour(faces.read(request), region) for region in (BACKGROUND, SKIN, HAIR, CLOTHES)])
        noses.append(faces.landmarks(request)[0, 30] - faces.landmarks(request)[0, 27])
    assert np.std(colours, axis=0).max() < 0.05
    assert np.std(noses, axis=0).max() > 0.4  # pixels; the nose is 4 long


def test_driving_somebody_with_their_own_motion_is_reading_them() -> None:
    faces = source()
    plain = ClipRequest(sequence=9, start=2, length=3, references=(4, 11))
    assert equal(faces.read(plain), faces.read(attrs.evolve(plain, reference_sequence=9)))
    other = faces.read(attrs.evolve(plain, reference_sequence=4))
    assert torch.equal(other.references.frames[0], faces.read(ClipRequest(sequence=4, start=4, length=1)).frames[0])
    assert "face-000004-1 frame 2" in other.name
    assert "face-000002-0" in other.name


def test_references_of_the_clip_itself_are_found_where_they_are() -> None:
    clip = source().read(ClipRequest(sequence=2, start=5, length=2, references=(6,)))
    assert torch.equal(clip.references.frames[0], clip.frames[1])
    assert clip.references.flow[1].abs().max() < 0.02
    assert clip.references.flow_confidence[1].mean() > 0.995
    assert clip.references.flow_confidence[0].mean() > 0.9


def test_labels_are_drawn_from_the_landmarks() -> None:
    request = ClipRequest(sequence=7, start=1, length=2)
    points = source().landmarks(request)
    assert points.dtype == np.float64
    drawn = source().read(request).labels["landmarks-dlib68"]
    for index in (0, 1):
        assert np.array_equal(drawn[index, 0].numpy(), draw_face(points[index], (32, 32)))


def test_movement_and_expression_can_be_turned_off() -> None:
    still = source(movement=0.0, expression=0.0).read(ClipRequest(sequence=0, start=0, length=24))
    assert (still.frames == still.frames[:1]).all()
    assert still.flow.abs().max() < 0.02
    assert still.flow_confidence[1:].mean() > 0.995


@pytest.mark.parametrize(
    "wrong",
    [
        {"sequence": 80},
        {"sequence": -1},
        {"start": 24},
        {"length": 0},
        {"references": (24,)},
        {"reference_sequence": 3},
        {"references": (0,), "reference_sequence": 80},
    ],
)
def test_requests_out_of_range_are_refused(wrong: dict[str, object]) -> None:
    request = ClipRequest(**({"sequence": 0, "start": 0, "length": 1} | wrong))  # type: ignore[arg-type]
    with pytest.raises(RequestError):
        source().read(request)
    with pytest.raises(RequestError):
        source().landmarks(request)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"height": 15}, "height: expected .*, got 15"),
        ({"width": 64.5}, "width: expected .*, got 64.5"),
        ({"height": 32, "width": 256}, "4 times the height"),
        ({"sequence_length": 0}, "sequence_length: expected .*, got 0"),
        ({"val_identities": 0}, "val_identities: expected .*, got 0"),
        ({"motions": 0}, "motions: expected .*, got 0"),
        ({"seed": -1}, "seed: expected .*, got -1"),
        ({"movement": 2.0}, "movement: expected .*, got 2.0"),
        ({"expression": float("nan")}, "expression: expected .*, got nan"),
        ({"labels": "edges"}, "labels: expected .*, got 'edges'"),
    ],
)
def test_absurd_configurations_are_refused_in_one_line(wrong: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words) as caught:
        FacesConfig(**wrong)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)
    assert ": expected " in str(caught.value)
