"""The memory of a training step, each in a process of its own."""

import gc

import attrs
import torch
from vs_config.tuning import keep_freed_memory
from vs_runtime import forget_peak, in_fresh_process, peak_memory

from vs_bench.scaling.points import Point
from vs_bench.step.stepper import stepper


@attrs.frozen(kw_only=True)
class _Question:
    point: Point
    threads: int
    device: torch.device


def measure_memory(point: Point, threads: int, device: torch.device) -> int | None:
    """Return the most bytes that two steps take beside what there was before; None: the system does not say.

    Before, there are libraries, networks and a batch; what is beside them are gradients, averages and activations.
    """
    return in_fresh_process(_measure, _Question(point=point, threads=threads, device=device))


def _measure(question: _Question) -> int | None:
    keep_freed_memory(wanted=question.point.config.performance.keep_memory)
    torch.set_num_threads(question.threads)
    step = stepper(question.point.config, question.point.frames, question.device)
    gc.collect()
    forget_peak(question.device)
    before = peak_memory(question.device)
    for _ in range(2):  # averages of Adam come with the first
        step()
    after = peak_memory(question.device)
    return None if before is None or after is None else after - before
