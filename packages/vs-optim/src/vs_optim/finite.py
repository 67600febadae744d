"""Which tensors hold a value that is not finite, found with a single wait for the device."""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor


def non_finite(named_tensors: Iterable[tuple[str, Tensor]]) -> tuple[str, ...]:
    """Return the names of the tensors that hold an inf or NaN, in the order given.

    All tensors are looked at on their devices and the answers fetched together, so this waits for the device once,
    however many tensors there are. Tensors of integers and booleans, and empty ones, are finite.

    Args:
        named_tensors: for instance `network.named_parameters()` or `network.state_dict().items()`; any shapes,
            dtypes and devices. Nothing is written to and autograd sees nothing.
    """
    floating = [
        (name, tensor.detach())
        for name, tensor in named_tensors
        if tensor.numel() > 0 and (tensor.is_floating_point() or tensor.is_complex())
    ]
    if not floating:
        return ()
    good = finite([tensor for _, tensor in floating]).tolist()  # the one wait for the device
    return tuple(name for (name, _), is_good in zip(floating, good, strict=True) if not is_good)


def finite(tensors: Sequence[Tensor]) -> Tensor:
    """Tell per tensor whether all its elements are finite, as booleans on the device of the first; wait for nothing.

    The largest magnitude tells, for NaN and inf survive the maximum.

    Args:
        tensors: at least one, none empty, real or complex floating point.
    """
    norms = torch._foreach_norm([torch.view_as_real(t) if t.is_complex() else t for t in tensors], float("inf"))
    return torch.stack([norm.to(norms[0].device) for norm in norms]).isfinite()
