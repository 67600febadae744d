"""The first steps of a run, measured in a process of their own: the time of a frame, and memory."""

import time
from collections.abc import Callable, Iterator
from typing import TypeVar

import attrs
import torch
import vs_data as data
import vs_nets as nets
import vs_runtime as runtime
from vs_config.tuning import keep_freed_memory
from vs_training.config import TrainConfig
from vs_training.counts import clip_size
from vs_training.forecast import FrameTimes, Observation
from vs_training.state import Recipe, TrainState
from vs_training.step import train_clip

from vs_train.setup import Prepared, prepare


@attrs.frozen(kw_only=True)
class Probe:
    """A question: what steps of a configuration take.

    Attributes:
        config: with a number as batch size.
        memory: bytes that may be asked for; None: all there is.
    """

    config: TrainConfig
    memory: int | None = None


def probe_length(config: TrainConfig) -> int:
    """Return the length of the shortest clip whose last frame has all the past that the networks look at."""
    past = max(config.generator.frames - 1, nets.temporal_memory(config.discriminator.temporal))
    return min(config.curriculum.max_length, 1 + past)


def observe(probe: Probe) -> Observation:
    """Make three steps in a new process and return what they took; raises what `prepare` raises, too.

    Raises:
        MemoryError: The system killed the process. Memory that does not suffice has other errors too, see
            `vs_runtime.is_out_of_memory`.
    """
    return runtime.in_fresh_process(observe_here, probe, memory=probe.memory)


def observe_here(probe: Probe) -> Observation:
    """Do so in this process, which has to be a new one.

    The first step is not timed: optimizers get their averages in it, and algorithms of convolutions are chosen.
    """
    config = probe.config
    prepared = prepare(config, check=False)
    runtime.apply_affinity(prepared.plan, threads=config.run.threads or None)
    keep_freed_memory(wanted=config.performance.keep_memory)
    device, length = prepared.recipe.device, probe_length(config)
    flow_length = config.curriculum.flow_length
    batches = _read(prepared, (1, 1, length, flow_length) if prepared.recipe.flow_steps else (1, 1, length))
    next(batches)  # the first takes longer
    frame, opened = _timed(lambda: next(batches), device)
    clip, read = _timed(lambda: next(batches), device)
    clip, frame = data.move(clip, device), data.move(frame, device)
    train = _trainer(prepared.state)
    recipe = attrs.evolve(prepared.recipe, flow_steps=0)
    train(clip, recipe)
    runtime.forget_peak(device)
    _, first = _timed(lambda: train(frame, recipe), device)
    _, whole = _timed(lambda: train(clip, recipe), device)
    peak = runtime.peak_memory(device)
    return Observation(
        batch=config.loader.clips,
        length=length,
        peak=peak,
        clip=clip_size(config, prepared.source),
        times=FrameTimes(
            first=first,
            later=_per_later(whole, first, length),
            flow=_flow_time(train, data.move(next(batches), device), prepared) / flow_length
            if prepared.recipe.flow_steps
            else 0.0,
            open=opened,
            read=_per_later(read, opened, length),
        ),
    )


R = TypeVar("R")
Train = Callable[[data.Clip, Recipe], None]


def _trainer(state: TrainState) -> Train:
    def train(clip: data.Clip, recipe: Recipe) -> None:
        nonlocal state
        state, _ = train_clip(state, clip, recipe)

    return train


def _flow_time(train: Train, clip: data.Clip, prepared: Prepared) -> float:
    """Return the time of a step on a clip of which the flow network alone learns."""
    recipe = attrs.evolve(prepared.recipe, flow_steps=10**9)
    train(clip, recipe)
    return _timed(lambda: train(clip, recipe), recipe.device)[1]


def _per_later(whole: float, first: float, length: int) -> float:
    """Return what each frame behind the first takes of a whole; of one frame alone nobody knows more than its own."""
    return max(whole - first, 0.0) / (length - 1) if length > 1 else first


def _read(prepared: Prepared, lengths: tuple[int, ...]) -> Iterator[data.Clip]:
    """Return batches of clips of these lengths."""
    config = prepared.config
    references = 0 if config.references is None else config.references.max
    return data.load_clips(
        prepared.source,
        attrs.evolve(config.loader, workers=0),
        seed=config.seed,
        length_of=lambda batch: lengths[batch],
        references_of=lambda _: references,
        stop=len(lengths),
    )


def _timed(work: Callable[[], R], device: torch.device) -> tuple[R, float]:
    started = time.perf_counter()
    result = work()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return result, time.perf_counter() - started
