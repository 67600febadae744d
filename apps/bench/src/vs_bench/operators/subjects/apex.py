"""What NVIDIA's apex has for the same purpose; each function returns a call, or raises `ImportError`.

To be called only where `vs_optim.find_apex` says that the installed `apex` is NVIDIA's. Nothing else of apex is the
counterpart of an operator of vs-ops: its fused GELU and bias come with the matrix product before them, its group norm
does not take one channel a group, and it has no spectral norm.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

CHUNK = 65536
"""Elements that one block of apex's kernels over lists takes: what apex's own optimizers use."""


def instance_norm(x: Tensor, scale: Tensor, shift: Tensor) -> Callable[[], object]:
    """Return the instance norm of volumes, of volumes one pixel deep; forward and backward one kernel each."""
    from apex.normalization import InstanceNorm3dNVFuser

    layer = InstanceNorm3dNVFuser(x.shape[1], affine=True, device=x.device, dtype=scale.dtype)
    parameters = {"weight": scale, "bias": shift}
    return lambda: torch.func.functional_call(layer, parameters, (x.unsqueeze(2),)).squeeze(2)


def ema(averages: Sequence[Tensor], values: Sequence[Tensor], beta: float) -> Callable[[], object]:
    """Return one kernel for many tensors: averages <- beta * averages + (1 - beta) * values, whatever they are."""
    import amp_C

    overflow = torch.zeros(1, dtype=torch.int32, device=averages[0].device)
    lists = [list(averages), list(values), list(averages)]
    return lambda: amp_C.multi_tensor_axpby(CHUNK, overflow, lists, beta, 1 - beta, -1)
