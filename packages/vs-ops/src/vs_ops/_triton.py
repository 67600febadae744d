"""Whether Triton's kernels can serve a call. Nothing here imports Triton: a kernel's module does, at its first call."""

import importlib.util
import math
import os
import sys

import torch

from vs_ops.dispatch import DescribedCall

INSTALLED = importlib.util.find_spec("triton") is not None
"""Whether Triton can be imported: it comes with PyTorch's CUDA builds, and can be installed on Linux anyway."""

MAX_ELEMENTS = 2**30
"""The number of elements up to which the kernels' 32-bit offsets reach (maps have twice as many as their features)."""

MAX_SAMPLES = 65535
"""What CUDA allows along the axis of a grid that counts samples."""

_FLOATS = (torch.float32, torch.float16, torch.bfloat16, torch.float64)
_INTEGERS = (
    *(torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64),
    *(torch.uint16, torch.uint32, torch.uint64),
)


def interpreting() -> bool:
    """Return whether Triton runs its kernels in its interpreter, which takes tensors of every device.

    Triton decides when it is imported, by the environment variable TRITON_INTERPRET: what is set later has no effect.
    """
    if os.environ.get("TRITON_INTERPRET", "").lower() not in ("1", "true", "on", "yes", "y"):
        return False
    library = sys.modules.get("triton.language.standard")
    return library is None or type(library.sum).__name__ == "InterpretedFunction"


def refuse_floats(call: DescribedCall) -> str | None:
    """Refuse for operators that take any number of floats in any shape."""
    return _refuse(call, _FLOATS)


def refuse_images(call: DescribedCall) -> str | None:
    """Refuse for operators on floats (N, C, ...)."""
    return _refuse(call, _FLOATS) or _too_many_samples(call)


def refuse_integers(call: DescribedCall) -> str | None:
    """Refuse for operators on integers (N, ...)."""
    return _refuse(call, _INTEGERS) or _too_many_samples(call)


def _too_many_samples(call: DescribedCall) -> str | None:
    return f"more than {MAX_SAMPLES} samples" if call.shape and call.shape[0] > MAX_SAMPLES else None


def _refuse(call: DescribedCall, dtypes: tuple[torch.dtype, ...]) -> str | None:
    if not INSTALLED:
        return "Triton is not installed"
    if call.device_type != "cuda" and not interpreting():
        return f"no Triton kernel runs on {call.device_type} but in its interpreter (TRITON_INTERPRET=1)"
    if call.dtype not in dtypes:
        return f"no kernel for {call.dtype}"
    elements = math.prod(call.shape)
    if elements == 0:
        return "the kernels need at least one element"
    if elements > MAX_ELEMENTS:
        return "more than 2^30 elements, which is as far as the kernels' 32-bit offsets reach"
    return None
