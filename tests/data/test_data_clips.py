"""Clips, batches of them, and errors on their way between processes."""

import pickle

import attrs
import pytest
import torch
from vs_data import Clip, ClipRequest, DataError, SequenceInfo, VsDataError, check_request, collate, cut, move


def clip(name: str = "a", length: int = 3, **fields: object) -> Clip:
    values: dict[str, object] = {
        "frames": torch.rand(length, 3, 4, 6),
        "labels": {"seg_maps": torch.zeros(length, 4, 6, dtype=torch.uint8)},
        "flow": torch.rand(length, 2, 4, 6),
        "flow_confidence": torch.rand(length, 1, 4, 6),
        "name": name,
    }
    return Clip(**{**values, **fields})  # type: ignore[arg-type]


def test_collate_adds_a_leading_axis_and_joins_the_names():
    one, two = clip("a"), clip("b")
    batch = collate([one, two])
    assert batch.frames.shape == (2, 3, 3, 4, 6)
    assert torch.equal(batch.frames[1], two.frames)
    assert batch.labels["seg_maps"].dtype == torch.uint8
    assert batch.flow is not None
    assert torch.equal(batch.flow[0], one.flow)
    assert batch.instances is None
    assert batch.name == "a, b"


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (clip("b", length=2), r"shape of frames: \(3, 3, 4, 6\) in 'a', \(2, 3, 4, 6\) in 'b'"),
        (clip("b", flow=None), "only 1 of 2 have flow"),
        (clip("b", labels={}), "differ in label kinds"),
    ],
)
def test_clips_that_do_not_fit_are_refused(other, message):
    with pytest.raises(VsDataError, match=message):
        collate([clip("a"), other])


def test_an_empty_batch_is_refused():
    with pytest.raises(VsDataError, match="at least one"):
        collate([])


def test_cut_takes_frames_of_everything():
    whole = clip(length=5)
    part = cut(whole, 1, 3)
    assert torch.equal(part.frames, whole.frames[1:3])
    assert part.flow is not None
    assert torch.equal(part.flow, whole.flow[1:3])
    assert part.labels["seg_maps"].shape[0] == 2


def test_move_reaches_every_tensor():
    moved = move(clip(), "meta")
    tensors = [moved.frames, moved.flow, moved.flow_confidence, *moved.labels.values()]
    assert {tensor.device.type for tensor in tensors if tensor is not None} == {"meta"}


def test_clips_are_frozen():
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        clip().name = "b"  # type: ignore[misc]


def test_errors_keep_their_facts_between_processes():
    error = pickle.loads(pickle.dumps(DataError("is empty", file="a.png", fix="copy it again")))
    assert (error.what, error.file, error.fix) == ("is empty", "a.png", "copy it again")
    assert str(error) == "a.png: is empty; copy it again"


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (ClipRequest(sequence=1, start=0, length=1), "sequence 1 asked for, there are 1"),
        (ClipRequest(sequence=-1, start=0, length=1), "sequence -1"),
        (ClipRequest(sequence=0, start=3, length=3), "frames 3 to 5 of sequence 's'.*frames 0 to 4"),
        (ClipRequest(sequence=0, start=-1, length=2), "frames -1 to 0"),
        (ClipRequest(sequence=0, start=0, length=0), "length 0"),
    ],
)
def test_requests_out_of_range_are_refused(request_, message):
    with pytest.raises(VsDataError, match=message):
        check_request([SequenceInfo(name="s", frames=5)], request_)
