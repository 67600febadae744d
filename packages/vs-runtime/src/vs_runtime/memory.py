"""Memory: how much there is and is in use, and that it does not suffice, however the libraries say so."""

import errno
from pathlib import Path

import attrs
import psutil  # type: ignore[import-untyped]
import torch

_PHRASES = (
    "out of memory",  # CUDA's libraries, oneDNN
    "can't allocate memory",  # PyTorch on the CPU
    "cannot allocate memory",  # the system
    "unable to mmap",
    "not enough memory",
    "failed to allocate",  # OpenCV
    "insufficient memory",
    "bad_alloc",
    "bad allocation",
    "storage size calculation overflowed",  # more bytes than can be counted
    "numel: integer multiplication overflow",
    "can't start new thread",  # for want of memory for its stack
)

_STATUS = Path("/proc/self/status")
_FORGET_PEAK = Path("/proc/self/clear_refs")
_CONTAINER = (
    (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory.current")),
    (Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"), Path("/sys/fs/cgroup/memory/memory.usage_in_bytes")),
)


@attrs.frozen(kw_only=True)
class Room:
    """The memory of a device: `total` bytes, of which `free` ones can still be had."""

    total: int
    free: int


def memory_of(device: torch.device) -> Room:
    """Return what memory a CUDA device has, or the computer; of the latter no more than a container may use."""
    if device.type == "cuda":
        free, total = torch.cuda.mem_get_info(device)
        return Room(total=total, free=free)
    machine = psutil.virtual_memory()
    return _within_container(Room(total=int(machine.total), free=int(machine.available)))


def _within_container(machine: Room) -> Room:
    for most, used in _CONTAINER:
        try:
            limit, taken = int(most.read_text()), int(used.read_text())
        except (OSError, ValueError):  # no such file, or "max"
            continue
        free = max(0, limit - taken)
        return Room(total=min(machine.total, limit), free=min(machine.free, free))
    return machine


def peak_memory(device: torch.device) -> int | None:
    """Return the most bytes that PyTorch has allocated on a CUDA device, or that this process has held in memory.

    None: the system does not say. A process that is asked has to be a fresh one: what has been freed may not have been
    given back, and what comes later fits into it.
    """
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return _own_bytes("VmHWM") if _STATUS.exists() else None


def forget_peak(device: torch.device) -> None:
    """Let the peak be what is in use now, where the system can."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    elif _FORGET_PEAK.exists():
        _FORGET_PEAK.write_text("5")


def _own_bytes(name: str) -> int:
    """Return a size that the system states of this process, in kB."""
    line = next(line for line in _STATUS.read_text().splitlines() if line.startswith(f"{name}:"))
    return 1024 * int(line.split()[1])


def memory_in_use(device: torch.device) -> int:
    """Return the bytes that PyTorch holds on a CUDA device, or that this process holds in memory on any other."""
    if device.type == "cuda":
        return torch.cuda.memory_reserved(device)
    return int(psutil.Process().memory_info().rss)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory does not suffice: of a GPU, of the computer, or of any computer.

    The libraries have no class for it in common. It is known by its class or the system's number where it has one, and
    else by its text; errors of our own packages, which may quote such a text, are what they are.
    """
    match error:
        case MemoryError() | torch.OutOfMemoryError():
            return True
        case OSError():
            return error.errno == errno.ENOMEM
        case RuntimeError():
            library = True
        case _:
            library = type(error).__module__ == "cv2"
    return library and any(phrase in str(error).lower() for phrase in _PHRASES)
