"""Dancers as a source: shapes, determinism, who is who, and who moves how."""

import pickle

import attrs
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from vs_data import (
    ClassIds,
    Clip,
    ClipRequest,
    ClipSource,
    DancersConfig,
    DancersSource,
    FloatMaps,
    RequestError,
    open_source,
)
from vs_data.dancers import open_dancers
from vs_data.dancers.body import PARTS, build_body
from vs_data.skeletons import OPENPOSE, OPENPOSE_BODY25, draw_skeleton

SMALL = DancersConfig(height=32, width=32, sequence_length=24, train_identities=40, val_identities=4, labels="all")
KINDS = ["densepose", "keypoints", "seg_maps"]
BACKGROUND, SKIN, HAIR, CLOTHES = range(4)


def source(**changes: object) -> DancersSource:
    return open_dancers(attrs.evolve(SMALL, **changes), "train")


def tensors(clip: Clip) -> dict[str, torch.Tensor]:
    found = {"frames": clip.frames, "flow": clip.flow, "confidence": clip.flow_confidence, "regions": clip.regions}
    found |= clip.labels
    found |= {f"boxes of {name}": boxes for name, boxes in clip.boxes.items()}
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


@pytest.mark.parametrize("size", [(16, 16), (33, 47), (64, 32)])
def test_any_size_gives_a_complete_clip(size: tuple[int, int]) -> None:
    clip = source(height=size[0], width=size[1]).read(ClipRequest(sequence=3, start=2, length=3, references=(0, 20)))
    expected = {
        "frames": ((3, 3, *size), torch.float32),
        "flow": ((3, 2, *size), torch.float32),
        "confidence": ((3, 1, *size), torch.float32),
        "regions": ((3, *size), torch.uint8),
        "densepose": ((3, 3, *size), torch.float32),
        "keypoints": ((3, 3, *size), torch.float32),
        "seg_maps": ((3, *size), torch.uint8),
        "boxes of face": ((3, 1, 4), torch.float32),
        "boxes of hand": ((3, 2, 4), torch.float32),
        "examples": ((2, 3, *size), torch.float32),
        "their flow": ((3, 2, 2, *size), torch.float32),
        "their confidence": ((3, 2, 1, *size), torch.float32),
        "their densepose": ((2, 3, *size), torch.float32),
        "their keypoints": ((2, 3, *size), torch.float32),
        "their seg_maps": ((2, *size), torch.uint8),
    }
    found = tensors(clip)
    assert {name: (tuple(tensor.shape), tensor.dtype) for name, tensor in found.items()} == expected
    assert all(torch.isfinite(tensor.float()).all() for tensor in found.values())
    assert clip.frames.abs().max() <= 1
    assert clip.labels["densepose"].abs().max() == 1
    assert 0 <= clip.labels["keypoints"].min() < clip.labels["keypoints"].max() <= 1
    for name in ("confidence", "their confidence"):
        assert set(found[name].unique().tolist()) <= {0.0, 1.0}
    assert not found["flow"][0].any()
    assert not found["confidence"][0].any()


def test_the_source_describes_itself_and_survives_pickling() -> None:
    dancers = open_source(SMALL, "val")
    assert isinstance(dancers, ClipSource)
    assert dancers.size == (32, 32)
    assert list(dancers.label_kinds) == KINDS
    assert [info.channels for info in dancers.label_kinds.values() if isinstance(info, FloatMaps)] == [3, 3]
    assert dancers.label_kinds["seg_maps"] == ClassIds(classes=25, names=PARTS)
    assert [info.frames for info in dancers.sequences] == [24] * 8  # two dances of each of four people
    again = pickle.loads(pickle.dumps(dancers))
    request = ClipRequest(sequence=5, start=3, length=2, references=(7,), reference_sequence=0)
    assert equal(dancers.read(request), again.read(request))


@pytest.mark.parametrize(
    ("labels", "kinds"),
    [("keypoints", KINDS[1:2]), ("densepose", KINDS[:1]), ("parts", KINDS[2:]), ("poses", KINDS[:2]), ("all", KINDS)],
)
def test_labels_are_those_asked_for(labels: str, kinds: list[str]) -> None:
    dancers = source(labels=labels)
    clip = dancers.read(ClipRequest(sequence=0, start=0, length=1, references=(1,)))
    assert list(dancers.label_kinds) == list(clip.labels) == list(clip.references.labels) == kinds


def test_splits_share_nobody() -> None:
    config = DancersConfig(train_identities=300, val_identities=300, motions=3)
    train, val = ([info.name for info in open_dancers(config, split).sequences] for split in ("train", "val"))
    assert len(set(train)) == len(set(val)) == 900
    assert max(train) < "dancer-500000" <= min(val)


def test_one_person_can_dance_everything_and_no_dance_is_shared() -> None:
    config = attrs.evolve(SMALL, person=3)
    train, val = (open_dancers(config, split) for split in ("train", "val"))
    request = ClipRequest(sequence=0, start=0, length=2)
    seen, held_out, own = train.read(request), val.read(request), source().read(attrs.evolve(request, sequence=6))
    for region in (BACKGROUND, SKIN, CLOTHES):
        colours = [mean_colour(clip, region) for clip in (seen, held_out, own)]
        assert np.ptp(colours, axis=0).max() < 0.1
    assert not torch.equal(seen.labels["seg_maps"], held_out.labels["seg_maps"])
    assert not torch.equal(seen.labels["seg_maps"], own.labels["seg_maps"])


@settings(max_examples=10)
@given(st.integers(0, 79), st.integers(0, 79), st.integers(0, 20), st.integers(0, 23), st.integers(0, 2**63))
def test_a_clip_is_a_pure_function_of_the_request(
    sequence: int, subject: int, start: int, reference: int, seed: int
) -> None:
    request = ClipRequest(
        sequence=sequence, start=start, length=3, references=(reference,), reference_sequence=subject, seed=seed
    )
    once = source().read(request)
    build_body.cache_clear()
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


def test_who_it_is_changes_colours_and_not_the_dance() -> None:
    """Everybody in the dance of sequence 0: joints are in one place, as far as proportions allow; colours all over."""
    dancers, colours, poses = source(), [], []
    for person in range(24):
        request = ClipRequest(sequence=0, start=4, length=1, references=(0,), reference_sequence=2 * person)
        colours.append([mean_colour(dancers.read(request), region) for region in (BACKGROUND, SKIN, CLOTHES)])
        poses.append(dancers.keypoints(request)[0, :, :2])
    assert np.std(colours, axis=0).mean(axis=1).min() > 0.08
    directions = np.array(poses)[:, [3, 4, 6, 7, 10, 13]] - np.array(poses)[:, [2, 3, 5, 6, 9, 12]]
    lengths = np.linalg.norm(directions, axis=2, keepdims=True)
    assert (np.std(directions / lengths, axis=0)[lengths.min(axis=(0, 2)) > 1] < 0.25).all()
    everybody = np.ptp(dancers.keypoints(ClipRequest(sequence=0, start=0, length=24))[:, [4, 7], :2], axis=0)
    assert everybody.max() > 5  # pixels: hands swing


def test_the_dance_changes_the_pose_and_not_who_it_is() -> None:
    dancers, colours, hands = source(height=64, width=64), [], []
    for sequence in range(0, 32, 2):
        request = ClipRequest(sequence=sequence, start=4, length=1, references=(0,), reference_sequence=6)
        colours.append([mean_colour(dancers.read(request), region) for region in (BACKGROUND, SKIN, CLOTHES)])
        hands.append(dancers.keypoints(request)[0, [4, 7], :2])
    assert np.std(colours, axis=0).max() < 0.06
    assert np.std(hands, axis=0).min() > 2  # pixels


def test_driving_somebody_with_their_own_dance_is_reading_them() -> None:
    dancers = source()
    plain = ClipRequest(sequence=9, start=2, length=3, references=(4, 11))
    assert equal(dancers.read(plain), dancers.read(attrs.evolve(plain, reference_sequence=9)))
    other = dancers.read(attrs.evolve(plain, reference_sequence=4))
    assert torch.equal(other.references.frames[0], dancers.read(ClipRequest(sequence=4, start=4, length=1)).frames[0])
    assert "dancer-000004-1 frame 2" in other.name
    assert "dancer-000002-0" in other.name


def test_labels_are_drawn_from_the_keypoints_as_of_openpose() -> None:
    request = ClipRequest(sequence=7, start=1, length=2)
    points = source().keypoints(request)
    drawn = source().read(request).labels["keypoints"]
    for index in (0, 1):
        assert np.array_equal(drawn[index].numpy(), draw_skeleton(points[index], OPENPOSE_BODY25, (32, 32)))
        whole = np.zeros((len(OPENPOSE.points), 3))
        whole[:25] = points[index]
        assert np.array_equal(drawn[index].numpy(), draw_skeleton(whole, OPENPOSE, (32, 32)))


def test_movement_can_be_turned_off() -> None:
    still = source(movement=0.0).read(ClipRequest(sequence=0, start=0, length=24))
    assert (still.frames == still.frames[:1]).all()
    assert still.flow.abs().max() < 0.02
    assert still.flow_confidence[1:].mean() > 0.995


@pytest.mark.parametrize(
    "wrong",
    [{"sequence": 80}, {"start": 24}, {"length": 0}, {"references": (24,)}, {"reference_sequence": 3}],
)
def test_requests_out_of_range_are_refused(wrong: dict[str, object]) -> None:
    request = ClipRequest(**({"sequence": 0, "start": 0, "length": 1} | wrong))  # type: ignore[arg-type]
    with pytest.raises(RequestError):
        source().read(request)
    with pytest.raises(RequestError):
        source().keypoints(request)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"height": 15}, "height: expected .*, got 15"),
        ({"height": 32, "width": 256}, "4 times the height"),
        ({"train_identities": 500_001}, "train_identities: expected .*, got 500001"),
        ({"person": -1}, "person: expected .*, got -1"),
        ({"movement": 2.0}, "movement: expected .*, got 2.0"),
        ({"labels": "edges"}, "labels: expected .*, got 'edges'"),
    ],
)
def test_absurd_configurations_are_refused_in_one_line(wrong: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words) as caught:
        DancersConfig(**wrong)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)
