"""`upsample_conv2d` as one transposed convolution that never sees the large input."""

import functools

import torch
import torch.nn.functional as F
from torch import Tensor

from vs_ops._layout import memory_format_of, upsampled
from vs_ops._precision import compute_dtype, without_autocast
from vs_ops._refusals import refuse_empty, refuse_other_dtypes
from vs_ops.dispatch import DescribedCall

_MIN_PIXELS = 512
"""Pixels of a batch from which on it pays on the CPU to make the kernel."""


def upsample_conv2d_native(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Compute `upsample_conv2d` with stride 2: (k + 1)^2 products per pixel of `x`, not (2k)^2.

    What a pixel of `x` adds to the result is its 2x2 copies convolved, so that the kernel is the full convolution of a
    2x2 box with `weight`, mirrored as transposed convolutions want it.
    """
    k = weight.shape[-1]
    if k == 1:
        return upsampled(F.conv2d(x, weight, bias)).contiguous(memory_format=memory_format_of(x))
    return convolved_by_kernel(x, _summed(weight), bias)


def convolved_by_kernel(x: Tensor, kernel: Tensor, bias: Tensor | None) -> Tensor:
    """Convolve `x` up-sampled, by what `summed_kernel` made of the weight."""
    result = F.conv_transpose2d(x, kernel, bias, stride=2, padding=(kernel.shape[-1] - 1) // 2)
    return result.contiguous(memory_format=memory_format_of(x))


def summed_kernel(weight: Tensor) -> Tensor:
    """Return the kernel that `convolved_by_kernel` takes, in the memory format of the weight."""
    return _summed(weight).contiguous(memory_format=memory_format_of(weight))


def _summed(weight: Tensor) -> Tensor:
    """Return the kernel of the transposed convolution, (C_in, C_out, k + 1, k + 1): sums of weights, rounded once."""
    c_out, c_in, k, _ = weight.shape
    with without_autocast(weight):
        wide = compute_dtype(weight)
        # One product of a copy: the view that a channels-last weight allows would be one for each input channel.
        taps = weight.transpose(0, 1).reshape(c_in * c_out, k * k).to(wide)
        kernel: Tensor = (taps @ _box(k, weight.device, wide)).to(weight.dtype)
        return kernel.view(c_in, c_out, k + 1, k + 1)


@functools.cache
def _box(k: int, device: torch.device, dtype: torch.dtype) -> Tensor:
    """Return the matrix (k * k, (k + 1)^2) of zeros and ones that convolves a mirrored kernel with a box of 2x2."""
    with torch.inference_mode(False):  # it serves training later, whoever asks first
        axis = torch.zeros(k, k + 1, dtype=dtype)
        for tap in range(k):
            axis[tap, k - 1 - tap : k + 1 - tap] = 1
        return torch.kron(axis, axis).to(device)


def refuse_native(call: DescribedCall) -> str | None:
    """Refuse by `x` (N, C_in, H, W): making the kernel costs the same for every size of it."""
    reason = refuse_other_dtypes(call) or refuse_empty(call)
    if reason is not None or call.device_type != "cpu":
        return reason
    n, _, h, w = call.shape
    if n * h * w < _MIN_PIXELS:
        return f"with less than {_MIN_PIXELS} pixels, the CPU makes the kernel longer than it convolves"
    return None
