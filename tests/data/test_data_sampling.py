"""Which clips are in which batch: properties of the plan, and whole sequences piece by piece."""

import itertools

import attrs
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from vs_data import (
    Clip,
    ClipRequest,
    LabelInfo,
    SequenceInfo,
    VsDataError,
    check_lengths,
    check_request,
    iterate_sequence,
    plan_batch,
    spread_frames,
)

LENGTHS = st.lists(st.integers(1, 40), min_size=1, max_size=12)


def infos(lengths: list[int]) -> tuple[SequenceInfo, ...]:
    return tuple(SequenceInfo(name=f"s{index}", frames=frames) for index, frames in enumerate(lengths))


class Numbers:
    """A source whose pixels say sequence and frame; flow is -1 except at the first frame of a clip."""

    def __init__(self, lengths: list[int]) -> None:
        self.sequences = infos(lengths)
        self.size = (2, 2)
        self.label_kinds: dict[str, LabelInfo] = {}

    def read(self, request: ClipRequest) -> Clip:
        check_request(self.sequences, request)
        frames = torch.arange(request.start, request.start + request.length).float() + 1000 * request.sequence
        flow = -torch.ones(request.length, 2, 2, 2)
        flow[0] = 0
        return Clip(frames=frames[:, None, None, None].expand(-1, 3, 2, 2), flow=flow, name=f"{request}")


@settings(max_examples=100)
@given(
    lengths=LENGTHS,
    seed=st.integers(0, 2**32),
    batch=st.integers(0, 10**6),
    batch_size=st.integers(1, 5),
    length=st.integers(1, 10),
)
def test_every_request_fits_its_sequence(lengths, seed, batch, batch_size, length):
    sequences = infos([*lengths, 10])
    requests = plan_batch(sequences, seed=seed, batch=batch, batch_size=batch_size, length=length)
    assert len(requests) == batch_size
    for request in requests:
        check_request(sequences, request)
        assert request.length == length
    assert requests == plan_batch(sequences, seed=seed, batch=batch, batch_size=batch_size, length=length)


@settings(max_examples=60)
@given(lengths=LENGTHS, seed=st.integers(0, 1000), length=st.integers(1, 40), epoch=st.integers(0, 5))
def test_an_epoch_holds_every_long_enough_sequence_once(lengths, seed, length, epoch):
    long_enough = [index for index, frames in enumerate(lengths) if frames >= length]
    if not long_enough:
        with pytest.raises(VsDataError, match=f"longest sequence.*has {max(lengths)}"):
            plan_batch(infos(lengths), seed=seed, batch=0, batch_size=1, length=length)
        return
    count = len(long_enough)
    batches = range(epoch * count, (epoch + 1) * count)
    plans = [plan_batch(infos(lengths), seed=seed, batch=batch, batch_size=1, length=length) for batch in batches]
    assert sorted(plan[0].sequence for plan in plans) == long_enough


@settings(max_examples=40)
@given(batch_size=st.integers(1, 4), ranks=st.integers(1, 4), seed=st.integers(0, 100))
def test_shards_together_see_what_one_process_sees(batch_size, ranks, seed):
    sequences = infos([5] * 24)

    def plan(batch, size, shard):
        return plan_batch(sequences, seed=seed, batch=batch, batch_size=size, length=2, shard=shard)

    alone = [request for batch in range(3) for request in plan(batch, batch_size * ranks, (0, 1))]
    shards = [
        request for batch in range(3) for rank in range(ranks) for request in plan(batch, batch_size, (rank, ranks))
    ]
    assert shards == alone


@settings(max_examples=100)
@given(
    lengths=LENGTHS,
    seed=st.integers(0, 2**32),
    batch=st.integers(0, 1000),
    length=st.integers(1, 10),
    count=st.integers(0, 9),
)
def test_references_are_frames_of_the_sequence_outside_of_the_clip_where_there_are_any(
    lengths, seed, batch, length, count
):
    sequences = infos([*lengths, 10])
    requests = plan_batch(sequences, seed=seed, batch=batch, batch_size=3, length=length, references=count)
    assert requests == plan_batch(sequences, seed=seed, batch=batch, batch_size=3, length=length, references=count)
    for request in requests:
        frames = sequences[request.sequence].frames
        check_request(sequences, request)
        assert request.reference_sequence is None
        assert len(request.references) == count
        assert len(set(request.references)) == min(count, frames)
        clip = range(request.start, request.start + length)
        outside = {frame for frame in request.references if frame not in clip}
        assert len(outside) == min(count, frames - length)


@settings(max_examples=40)
@given(seed=st.integers(0, 1000), batch=st.integers(0, 100), few=st.integers(0, 4), more=st.integers(0, 4))
def test_how_many_references_there_are_changes_nothing_else(seed, batch, few, more):
    sequences = infos([5, 9, 7])

    def plan(count):
        return plan_batch(sequences, seed=seed, batch=batch, batch_size=2, length=3, references=count)

    for one, two in zip(plan(few), plan(few + more), strict=True):
        assert attrs.evolve(one, references=()) == attrs.evolve(two, references=())
        assert two.references[:few] == one.references


def test_references_reach_all_times_and_the_draws_of_clips_are_those_without_references():
    sequences = infos([6])
    plans = [plan_batch(sequences, seed=1, batch=batch, batch_size=1, length=2, references=1) for batch in range(80)]
    assert {plan[0].references for plan in plans} == {(frame,) for frame in range(6)}
    assert [plan_batch(infos([50, 60]), seed=4, batch=batch, batch_size=1, length=8)[0] for batch in range(2)] == [
        ClipRequest(sequence=1, start=15, length=8, seed=6655441180716309064),
        ClipRequest(sequence=0, start=12, length=8, seed=455768290405295264),
    ]
    with pytest.raises(VsDataError, match="-1 references asked for"):
        plan_batch(sequences, seed=1, batch=0, batch_size=1, length=2, references=-1)


def test_starts_reach_both_ends_and_orders_differ():
    sequences = infos([6, 6, 6, 6])
    plans = [plan_batch(sequences, seed=1, batch=batch, batch_size=4, length=3) for batch in range(60)]
    assert {request.start for plan in plans for request in plan} == {0, 1, 2, 3}
    assert len({tuple(request.sequence for request in plan) for plan in plans}) > 10
    assert len({request.seed for plan in plans for request in plan}) == 240


def test_seeds_give_different_plans():
    sequences = infos([50] * 10)
    assert len({plan_batch(sequences, seed=seed, batch=0, batch_size=4, length=2) for seed in range(10)}) == 10


def test_lengths_are_checked_before_training():
    source = Numbers([4, 9, 6])
    assert check_lengths(source, 6) == 2
    with pytest.raises(
        VsDataError, match=r"10 frames asked for.* longest sequence, 's1', has 9; lower .* to at most 9"
    ):
        check_lengths(source, 10)
    with pytest.raises(VsDataError, match="no sequences"):
        check_lengths(Numbers([]), 1)


@settings(max_examples=40)
@given(frames=st.integers(1, 20), chunk=st.integers(1, 8), most=st.none() | st.integers(1, 25))
def test_pieces_of_a_sequence_are_the_sequence(frames, chunk, most):
    source = Numbers([3, frames])
    length = min(frames, most or frames)
    whole = source.read(ClipRequest(sequence=1, start=0, length=length))
    pieces = list(iterate_sequence(source, 1, chunk=chunk, max_frames=most))
    assert max(piece.frames.shape[0] for piece in pieces) <= chunk
    assert torch.equal(torch.cat([piece.frames for piece in pieces]), whole.frames)
    flows = [piece.flow for piece in pieces if piece.flow is not None]
    assert whole.flow is not None
    assert torch.equal(torch.cat(flows), whole.flow)


def test_every_piece_of_a_sequence_has_the_references():
    asked = []

    class Asked(Numbers):
        def read(self, request: ClipRequest) -> Clip:
            asked.append((request.references, request.reference_sequence))
            return super().read(request)

    assert len(list(iterate_sequence(Asked([3, 7]), 1, chunk=3, references=(2, 0), reference_sequence=0))) == 3
    assert asked == [((2, 0), 0)] * 3


def test_sequences_that_are_not_there_are_refused():
    with pytest.raises(VsDataError, match="sequence 2 asked for, there are 1"):
        next(iterate_sequence(Numbers([3]), 2))
    with pytest.raises(VsDataError, match="max_frames is 0"):
        next(iterate_sequence(Numbers([3]), 0, max_frames=0))
    with pytest.raises(VsDataError, match="chunk is 0"):
        next(iterate_sequence(Numbers([3]), 0, chunk=0))


@given(lengths=LENGTHS, count=st.integers(1, 50))
def test_frames_are_spread_evenly_over_all_sequences(lengths, count):
    source = Numbers(lengths)
    numbers = [float(clip.frames.flatten()[0]) for clip in spread_frames(source, count)]
    everything = [1000.0 * index + frame for index, frames in enumerate(lengths) for frame in range(frames)]
    places = [everything.index(number) for number in numbers]
    assert len(places) == len(set(places)) == min(count, len(everything))
    gaps = {after - before for before, after in itertools.pairwise(places)}
    assert places[0] == 0
    assert len(gaps) <= 2
    assert max(gaps, default=1) - min(gaps, default=1) <= 1
