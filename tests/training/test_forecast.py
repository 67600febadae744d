"""What a run will take, from a few of its steps: lines are found again, and a step holds the graph of one frame."""

import itertools
import weakref
from typing import Any

import attrs
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from test_few_shot_training import SMALL, faces_clip
from test_few_shot_training import setup as few_shot_setup
from test_step import setup, street_clip
from torch import Tensor
from vs_data import Clip
from vs_data.clips import map_tensors
from vs_training.curriculum import CurriculumConfig, clip_length, stages
from vs_training.forecast import (
    ClipSize,
    FrameTimes,
    MemoryModel,
    Observation,
    fit_memory,
    fit_times,
    memory_beside,
    run_seconds,
    step_seconds,
)
from vs_training.state import Recipe, TrainState
from vs_training.step import train_clip

TIMES = FrameTimes(first=1.0, later=2.0, flow=0.5, read=0.25, open=0.125)


def observation(batch: int, peak: int | None, clip: ClipSize, times: FrameTimes = TIMES) -> Observation:
    return Observation(batch=batch, length=3, peak=peak, clip=clip, times=times)


numbers = st.integers(1, 10**9)


@given(
    constant=numbers,
    each=numbers,
    clip=st.builds(lambda fixed, frame: ClipSize(fixed=fixed, per_frame=frame), numbers, numbers),
    held=st.integers(1, 9),
    length=st.integers(1, 30),
    room=st.floats(1.0, 50.0),
)
def test_memory_is_found_again_and_the_largest_batch_is_the_last_that_fits(
    constant: int, each: int, clip: ClipSize, held: int, length: int, room: float
) -> None:
    truth = MemoryModel(constant=constant, of_a_clip=each, clip=clip)
    seen = [observation(batch, round(truth.bytes_of(batch, 3)), clip) for batch in (2, 4)]
    model = fit_memory(*seen)
    assert model is not None
    for batch in (1, 3, 20):
        assert model.bytes_of(batch, length, held=held) == pytest.approx(truth.bytes_of(batch, length, held=held))
    assert memory_beside(constant, seen[1]) == attrs.evolve(truth, of_a_clip=pytest.approx(each, abs=1e-3))
    limit = room * constant
    largest = truth.largest_batch(limit, length, held=held)
    assert largest == 0 or truth.bytes_of(largest, length, held=held) <= limit
    assert truth.bytes_of(largest + 1, length, held=held) > limit


def test_where_memory_is_not_told_there_is_no_model() -> None:
    clip = ClipSize(fixed=0, per_frame=1)
    assert fit_memory(observation(1, None, clip), observation(2, 5, clip)) is None
    assert memory_beside(1.0, observation(1, None, clip)) is None


def test_times_are_found_again_and_noise_gives_none_below_zero() -> None:
    clip = ClipSize(fixed=0, per_frame=1)
    double = FrameTimes(**{name: 2 * value - 0.1 * value for name, value in attrs.asdict(TIMES).items()})
    model = fit_times(observation(2, 1, clip), observation(4, 1, clip, double))
    assert model.of_batch(2).later == pytest.approx(TIMES.later)
    assert model.of_batch(4).first == pytest.approx(double.first)
    assert model.of_batch(8).first == pytest.approx(1.0 + 3 * 0.9)
    alone = observation(2, 1, clip)
    assert fit_times(alone, alone).of_batch(4).later == pytest.approx(2 * TIMES.later)
    quicker = FrameTimes(first=0.9, later=2.0, flow=0.0)
    for batch in (1, 4, 9):
        times = fit_times(observation(2, 1, clip), observation(4, 1, clip, quicker)).of_batch(batch)
        assert times.first == pytest.approx(0.9 * batch / 4)
        assert min(attrs.astuple(times)) >= 0


curricula = st.builds(
    lambda flow, length, single, initial, every, longest: CurriculumConfig(
        flow_steps=flow,
        flow_length=length,
        single_frame_steps=single,
        initial_length=initial,
        double_every=every,
        max_length=longest,
    ),
    st.integers(0, 9),
    st.integers(1, 4),
    st.integers(0, 9),
    st.integers(1, 5),
    st.integers(1, 9),
    st.integers(5, 40),
)


@given(curriculum=curricula, steps=st.integers(1, 90), workers=st.integers(0, 2))
def test_the_time_of_a_run_is_that_of_its_steps(curriculum: CurriculumConfig, steps: int, workers: int) -> None:
    found = stages(curriculum, steps)
    assert [step for stage in found for step in range(stage.start, stage.stop)] == list(range(steps))
    assert all((a.length, a.flow_alone) != (b.length, b.flow_alone) for a, b in itertools.pairwise(found))
    expected = 0.0
    for step in range(steps):
        length = clip_length(curriculum, step)
        learning = 0.5 * length if step < curriculum.flow_steps else 1.0 + 2.0 * (length - 1)
        reading = 0.125 + 0.25 * length
        expected += learning + reading if workers == 0 else max(learning, reading / workers)
    assert run_seconds(TIMES, curriculum, steps, workers=workers) == pytest.approx(expected)


def test_workers_that_are_too_slow_are_waited_for() -> None:
    assert step_seconds(attrs.evolve(TIMES, read=10.0), length=2, workers=2) == pytest.approx(20.125 / 2)


class Kept:
    """Counts the bytes that forward passes keep for backward passes, and the most of them at a time."""

    def __init__(self) -> None:
        self.alive = self.most = 0

    def _drop(self, size: int) -> None:
        self.alive -= size

    def pack(self, tensor: Tensor) -> Any:
        held = _Held(tensor)
        self.alive += tensor.nbytes
        self.most = max(self.most, self.alive)
        weakref.finalize(held, self._drop, tensor.nbytes)
        return held


@attrs.define(eq=False)
class _Held:
    tensor: Tensor


def most_kept(state: TrainState, clip: Clip, recipe: Recipe) -> int:
    kept = Kept()
    with torch.autograd.graph.saved_tensors_hooks(kept.pack, lambda held: held.tensor):
        train_clip(state, clip, recipe)
    return kept.most


def case_of(kind: str, length: int) -> tuple[TrainState, Clip, Recipe]:
    if kind == "vid2vid":
        state, recipe = setup()
        return state, street_clip(length), recipe
    config, state, recipe = few_shot_setup(SMALL)
    return state, faces_clip(config, (4, 5), length), recipe


@pytest.mark.parametrize(("kind", "lengths"), [("vid2vid", (4, 6)), ("few-shot", (2, 3))])
def test_what_backward_passes_need_does_not_grow_with_the_clip(kind: str, lengths: tuple[int, int]) -> None:
    """From the frame on that has all the past: memory grows by the clip's own tensors only."""
    short, long = (most_kept(*case_of(kind, length)) for length in lengths)
    assert short == long > 0


def test_what_backward_passes_need_grows_with_the_batch() -> None:
    state, recipe = setup()
    clip = street_clip()
    one = most_kept(state, map_tensors(lambda tensor: tensor[:1], clip), recipe)
    two = most_kept(state, clip, recipe)
    assert 1.6 * one < two <= 2 * one
