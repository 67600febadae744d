"""What a run will take: a model of memory and of time, fitted to a few steps of small batches. Pure.

Memory. A step goes through its clips frame by frame, and nothing of a frame's graph is left when the next one begins:

    memory = constant + batch * (of_a_clip + held * (fixed + length * of_a_frame))

- `constant`: libraries, weights, gradients, averages of Adam, EMA, perceptual network; for each process once.
- `of_a_clip`: what passes of one frame of one clip leave for their backward passes. A batch that is computed in parts
  (`memory.micro_batches`) has that much less of it for each clip.
- the clips themselves, as tensors, which are the only part that grows with their length: `fixed` are references, and
  `held` is how many batches there are in memory at a time, read ahead ones included.

Observations of two batch sizes give `constant` and `of_a_clip`; the sizes of clips are counted.

Time. A first frame has no past and takes `first`, each later one `later` (it has flow, and discriminators over time);
a frame of the clips that train nothing but the flow network takes `flow`. Each grows linearly with the batch.
"""

from collections.abc import Callable

import attrs

from vs_training.curriculum import CurriculumConfig, stages


@attrs.frozen(kw_only=True)
class ClipSize:
    """Bytes of the tensors of one clip: those that it has in any case, and those of each frame."""

    fixed: float
    per_frame: float

    def bytes_of(self, length: int) -> float:
        """Return the bytes of a clip of a length."""
        return self.fixed + length * self.per_frame


@attrs.frozen(kw_only=True)
class FrameTimes:
    """Seconds that a frame of a batch takes.

    Attributes:
        first: the first of a clip.
        later: another.
        flow: one in the stage that trains the flow network alone.
        open: beginning to read a clip, in one process.
        read: reading one more frame of it.
    """

    first: float
    later: float
    flow: float = 0.0
    open: float = 0.0
    read: float = 0.0


@attrs.frozen(kw_only=True)
class Observation:
    """The most memory that a few steps took in a process of their own, and their times.

    Attributes:
        batch: clips, all computed at a time.
        length: their frames.
        peak: bytes; None where the system does not say.
    """

    batch: int
    length: int
    peak: int | None
    clip: ClipSize
    times: FrameTimes


@attrs.frozen(kw_only=True)
class MemoryModel:
    """Memory in bytes, as the module says: `of_a_clip` is that of one clip of the batch, computed in so many parts."""

    constant: float
    of_a_clip: float
    clip: ClipSize

    def bytes_of(self, batch: int, length: int, *, held: int = 1) -> float:
        """Return what a batch of clips of a length takes, if so many batches are held at a time."""
        return self.constant + batch * self._of_each(length, held)

    def largest_batch(self, limit: float, length: int, *, held: int = 1) -> int:
        """Return how many clips fit into so many bytes, 0 if not even one does."""
        return max(0, int((limit - self.constant) // self._of_each(length, held)))

    def _of_each(self, length: int, held: int) -> float:
        return self.of_a_clip + held * self.clip.bytes_of(length)


@attrs.frozen(kw_only=True)
class TimeModel:
    """Seconds of a frame of a batch: those of no clip at all, and those that each clip adds."""

    at_none: FrameTimes
    of_each: FrameTimes

    def of_batch(self, batch: int) -> FrameTimes:
        """Return the times of frames of a batch."""
        return _combine(lambda base, each: base + batch * each, self.at_none, self.of_each)


def fit_memory(small: Observation, large: Observation) -> MemoryModel | None:
    """Return the model that agrees with observations of two batches; None where the system does not tell memory."""
    if small.peak is None or large.peak is None:
        return None
    each = max(1.0, (large.peak - small.peak) / (large.batch - small.batch))
    return memory_beside(max(0.0, large.peak - each * large.batch), large)


def memory_beside(constant: float, seen: Observation) -> MemoryModel | None:
    """Return the model that agrees with one observation, where it is known what does not depend on the batch.

    It is for the same networks computed in another way, such as with activation checkpointing.
    """
    if seen.peak is None:
        return None
    of_a_clip = (seen.peak - constant) / seen.batch - seen.clip.bytes_of(seen.length)
    return MemoryModel(constant=constant, of_a_clip=max(1.0, of_a_clip), clip=seen.clip)


def fit_times(small: Observation, large: Observation) -> TimeModel:
    """Return the model that goes through observations of two batches.

    Noise may say that a clip takes no time, or that none takes less than no time; and there may be one batch alone:
    then time is proportional to clips.
    """
    more = large.batch - small.batch

    def slope(few: float, many: float) -> float:
        each = (many - few) / more if more else 0.0
        return each if 0 < each * large.batch <= many else many / large.batch

    of_each = _combine(slope, small.times, large.times)
    at_none = _combine(lambda many, each: max(0.0, many - large.batch * each), large.times, of_each)
    return TimeModel(at_none=at_none, of_each=of_each)


def _combine(function: Callable[[float, float], float], one: FrameTimes, other: FrameTimes) -> FrameTimes:
    return FrameTimes(
        first=function(one.first, other.first),
        later=function(one.later, other.later),
        flow=function(one.flow, other.flow),
        open=function(one.open, other.open),
        read=function(one.read, other.read),
    )


def step_seconds(times: FrameTimes, *, length: int, flow_alone: bool = False, workers: int = 0) -> float:
    """Return the time of a step on a batch: learning, and reading it, which workers do at the same time."""
    learning = length * times.flow if flow_alone else times.first + (length - 1) * times.later
    reading = times.open + length * times.read
    return max(learning, reading / workers) if workers else learning + reading


def run_seconds(times: FrameTimes, curriculum: CurriculumConfig, steps: int, *, workers: int = 0) -> float:
    """Return the time of all steps of a run, by the length of its clips; pictures and checkpoints are not in it."""
    return sum(
        (stage.stop - stage.start)
        * step_seconds(times, length=stage.length, flow_alone=stage.flow_alone, workers=workers)
        for stage in stages(curriculum, steps)
    )
