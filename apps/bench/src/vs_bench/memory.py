"""How much memory frames take: the most of it, and whether it grows from frame to frame.

On the CPU it is what the system says of the whole process, so that each measurement has a process of its own; on CUDA
it is what PyTorch has allocated.
"""

import gc
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import attrs
import torch
import vs_optim as optim
import vs_synthesis as synthesis
from vs_training.config import TrainConfig

from vs_bench.scene import SETTLED, WayName, scene_of, way_of

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
    if torch.device(plan.device).type == "cpu" and not _STATUS.exists():
        return None
    with ProcessPoolExecutor(max_workers=1, mp_context=get_context("spawn")) as pool:
        return pool.submit(memory_of, plan).result()


def memory_of(plan: MemoryPlan) -> Memory:
    """Measure in this process."""
    torch.set_num_threads(plan.threads)
    device = torch.device(plan.device)
    optim.apply_math_mode(synthesis.precision_of(plan.computing, device))
    begin = way_of(plan.way, scene_of(plan.config), plan.computing, device)
    gc.collect()
    before = _now(device)
    _forget_peak(device)
    clips = [begin() for _ in range(plan.streams)]
    settled = before
    for t in range(plan.frames):
        for frame in clips:
            frame()
        if t == min(2 * SETTLED, plan.frames) - 1:
            settled = _now(device)
    return Memory(peak=_peak(device) - before, growth=_now(device) - settled)


def _now(device: torch.device) -> int:
    return torch.cuda.memory_allocated(device) if device.type == "cuda" else _bytes("VmRSS")


def _peak(device: torch.device) -> int:
    return torch.cuda.max_memory_allocated(device) if device.type == "cuda" else _bytes("VmHWM")


def _forget_peak(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    else:
        _FORGET_PEAK.write_text("5")


def peak_of_process(number: int) -> int | None:
    """Return the most memory that another process has had; None: this system does not say."""
    status = Path(f"/proc/{number}/status")
    return _bytes("VmHWM", status) if status.exists() else None


def _bytes(name: str, status: Path = _STATUS) -> int:
    """Return a size that the system states of a process, in kB."""
    line = next(line for line in status.read_text().splitlines() if line.startswith(f"{name}:"))
    return 1024 * int(line.split()[1])
