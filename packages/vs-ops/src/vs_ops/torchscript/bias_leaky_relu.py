"""`bias_leaky_relu`, scripted."""

import torch
from torch import Tensor

from vs_ops._layout import per_channel
from vs_ops._precision import compute_dtype
from vs_ops._scripting import scripted


@scripted
def _bias_leaky_relu(x: Tensor, shift: Tensor, negative_slope: float) -> Tensor:
    return torch.nn.functional.leaky_relu(x.to(shift.dtype) + shift, negative_slope).to(x.dtype)


def bias_leaky_relu_torchscript(x: Tensor, bias: Tensor, negative_slope: float) -> Tensor:
    """Compute `bias_leaky_relu` by TorchScript."""
    return _bias_leaky_relu(x, per_channel(bias.to(compute_dtype(x)), x), float(negative_slope))
