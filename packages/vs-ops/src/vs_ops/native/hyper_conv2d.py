"""`hyper_conv2d` of all samples in one call."""

import torch
import torch.nn.functional as F
from torch import Tensor

from vs_ops._layout import is_channels_last, memory_format_of
from vs_ops._refusals import refuse_empty
from vs_ops.dispatch import DescribedCall


def hyper_conv2d_native(x: Tensor, weight: Tensor, bias: Tensor | None, stride: int, padding: int) -> Tensor:
    """Compute `hyper_conv2d` by a matrix product if the kernel is a pixel, else by a plain or a grouped convolution."""
    if weight.shape[-1] == 1:
        return _multiplied(x, weight[..., 0, 0], bias, stride, padding)
    if x.shape[0] == 1:
        return F.conv2d(x, weight[0], None if bias is None else bias[0], stride, padding)
    n, c, h, w = x.shape
    shift = None if bias is None else bias.flatten()
    result = F.conv2d(x.reshape(1, n * c, h, w), weight.flatten(0, 1), shift, stride, padding, groups=n)
    return result.view(n, -1, *result.shape[2:]).contiguous(memory_format=memory_format_of(x))


def _multiplied(x: Tensor, weight: Tensor, bias: Tensor | None, stride: int, padding: int) -> Tensor:
    """Return `weight` (N, C_out, C_in) times every pixel, in whichever order keeps the memory format of `x`."""
    if stride > 1 or padding > 0:
        seen = F.pad(x, (padding,) * 4)[..., ::stride, ::stride]
        x = seen.contiguous(memory_format=memory_format_of(x))
    n, _, h, w = x.shape
    if is_channels_last(x):
        pixels = x.permute(0, 2, 3, 1).flatten(1, 2)  # (N, H * W, C_in)
        rows = _product(pixels, weight.transpose(1, 2), None if bias is None else bias[:, None])
        return rows.view(n, h, w, -1).permute(0, 3, 1, 2)
    planes = _product(weight, x.flatten(2), None if bias is None else bias[:, :, None])
    return planes.view(n, -1, h, w)


def _product(left: Tensor, right: Tensor, shift: Tensor | None) -> Tensor:
    return torch.bmm(left, right) if shift is None else torch.baddbmm(shift, left, right)


def refuse_native(call: DescribedCall) -> str | None:
    """Refuse by the weight (N, C_out, C_in, k, k)."""
    reason = refuse_empty(call)
    if reason is None and call.device_type == "cpu" and call.shape[0] > 1 and call.shape[-1] > 1:
        return "on the CPU a grouped convolution is slower than one convolution per sample"
    return reason
