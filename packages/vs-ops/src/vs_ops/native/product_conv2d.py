"""A convolution as one product of matrices: what each pixel of the result sees, and the weight as it lies in memory."""

import torch
import torch.nn.functional as F
from torch import Tensor

from vs_ops._layout import is_channels_last
from vs_ops._matrices import as_matrix


def convolution_by_product(x: Tensor, weight: Tensor, bias: Tensor, stride: int, padding: int) -> Tensor:
    """Compute `product_conv2d`."""
    h, w = sides_of_result(x, weight, stride, padding)
    rows = torch.addmm(bias, columns(x, weight, stride, padding), as_matrix(weight).t())  # (N * H * W, C_out)
    return rows.view(x.shape[0], h, w, weight.shape[0]).permute(0, 3, 1, 2)


def sides_of_result(x: Tensor, weight: Tensor, stride: int, padding: int) -> tuple[int, int]:
    """Return height and width of a convolution's result."""
    h, w = ((side + 2 * padding - weight.shape[-1]) // stride + 1 for side in x.shape[2:])
    return h, w


def columns(x: Tensor, weight: Tensor, stride: int, padding: int) -> Tensor:
    """Return what each pixel of the result sees, (N * H * W, C_in * k * k), in the order of the weight's matrix."""
    n, c, k = x.shape[0], x.shape[1], weight.shape[-1]
    h, w = sides_of_result(x, weight, stride, padding)
    padded = F.pad(x, (padding,) * 4).permute(0, 2, 3, 1).contiguous()
    of_sample, down, across, _ = padded.stride()
    strides = (of_sample, down * stride, across * stride, down, across, 1)
    seen = padded.as_strided((n, h, w, k, k, c), strides)
    if not is_channels_last(weight):
        seen = seen.permute(0, 1, 2, 5, 3, 4)
    return seen.reshape(n * h * w, c * k * k)
