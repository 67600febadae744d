"""Reasons not to use kernels of PyTorch, which several operators have in common."""

import torch

from vs_ops.dispatch import DescribedCall

_FLOATS = (torch.float32, torch.float64, torch.bfloat16, torch.float16)


def refuse_other_devices(call: DescribedCall, kernels: str) -> str | None:
    """Refuse devices on which nobody knows `kernels` to be right."""
    if call.device_type in ("cpu", "cuda"):
        return None
    return f"PyTorch's {kernels} are not known to be right on {call.device_type}"


def refuse_other_dtypes(call: DescribedCall) -> str | None:
    """Refuse all dtypes but the floating ones that kernels of PyTorch exist for."""
    return None if call.dtype in _FLOATS else f"no kernel for {call.dtype}"


def refuse_empty(call: DescribedCall) -> str | None:
    """Refuse tensors without elements."""
    return "the kernels need at least one element" if 0 in call.shape else None
