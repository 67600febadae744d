"""Memory: how much is in use, and that it does not suffice, however the libraries say so."""

import errno

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
