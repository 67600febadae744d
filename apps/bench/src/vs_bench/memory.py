"""How much memory frames and steps take: the most of it, and whether it grows from frame to frame.

On the CPU it is what the system says of the whole process, so that each measurement has a process of its own; on CUDA
it is what PyTorch has allocated.
"""

import gc
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import TypeVar

import attrs
import torch
import vs_optim as optim
import vs_synthesis as synthesis
from vs_training.config import TrainConfig

from vs_bench.scene import SETTLED, WayName, scene_of, way_of

T = TypeVar("T")
R = TypeVar("R")

_STATUS = Path("/proc/self/status")
_FORGET_PEAK = Path("/proc/self/clear_refs")


@attrs.frozen(kw_only=True)
class MemoryPlan:
    """A measurement of memory: `streams` clips in turns, of `frames` frames each."""

    config: TrainConfig
    way: WayName
    computing: synthesis.Computing
    streams: int
    frames: int
    threads: int
    device: str


@attrs.frozen(kw_only=True)
class Memory:
    """Bytes that making frames took beside the network.

    Attributes:
        peak: the most that there was above what there had been before the clips were begun.
        growth: how much more there was behind the last frame than behind the first that were in the steady state.
    """

    peak: int
    growth: int


def measure_memory(plan: MemoryPlan) -> Memory | None:
    """Measure in a new process; None: this system does not say how much memory a process has."""
    return in_new_process(memory_of, plan) if is_told(torch.device(plan.device)) else None


def is_told(device: torch.device) -> bool:
    """Return whether this system says how much memory a process has on a device."""
    return device.type == "cuda" or _STATUS.exists()


def in_new_process(function: Callable[[T], R], argument: T) -> R:
    """Call a function in a new process, which has used no memory yet and ends with it."""
    with ProcessPoolExecutor(max_workers=1, mp_context=get_context("spawn")) as pool:
        return pool.submit(function, argument).result()


def memory_of(plan: MemoryPlan) -> Memory:
    """Measure in this process."""
    torch.set_num_threads(plan.threads)
    device = torch.device(plan.device)
    optim.apply_math_mode(synthesis.precision_of(plan.computing, device))
    begin = way_of(plan.way, scene_of(plan.config), plan.computing, device)
    gc.collect()
    before = bytes_now(device)
    forget_peak(device)
    clips = [begin() for _ in range(plan.streams)]
    settled = before
    for t in range(plan.frames):
        for frame in clips:
            frame()
        if t == min(2 * SETTLED, plan.frames) - 1:
            settled = bytes_now(device)
    return Memory(peak=peak_bytes(device) - before, growth=bytes_now(device) - settled)


def bytes_now(device: torch.device) -> int:
    """Return the bytes that are in use."""
    return torch.cuda.memory_allocated(device) if device.type == "cuda" else _bytes("VmRSS")


def peak_bytes(device: torch.device) -> int:
    """Return the most bytes that have been in use since the peak was forgotten."""
    return torch.cuda.max_memory_allocated(device) if device.type == "cuda" else _bytes("VmHWM")


def forget_peak(device: torch.device) -> None:
    """Let the peak be what is in use now."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    else:
        _FORGET_PEAK.write_text("5")


def _bytes(name: str) -> int:
    """Return a size that the system states of this process, in kB."""
    line = next(line for line in _STATUS.read_text().splitlines() if line.startswith(f"{name}:"))
    return 1024 * int(line.split()[1])
