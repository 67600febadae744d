"""Convolution as one product of matrices, for few pixels and large weights.

A product reads the weight as it lies in memory, where a convolution of oneDNN reorders it in every call.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from vs_ops.errors import DtypeError, ShapeError
from vs_ops.native.product_conv2d import convolution_by_product


def product_conv2d(
    x: Float[Tensor, "n c_in h w"],
    weight: Float[Tensor, "c_out c_in k k"],
    bias: Float[Tensor, "c_out"],
    *,
    stride: int = 1,
    padding: int = 0,
) -> Float[Tensor, "n c_out h2 w2"]:
    """Convolve (N, C_in, H, W) as `torch.nn.functional.conv2d` does; the result is channels-last.

    It pays on the CPU, without autocast, where the weight has many more elements than what the pixels of the result
    see. Differentiable in all three.

    Raises:
        ShapeError: shapes do not fit, or the kernel is larger than the padded `x`.
        DtypeError: x is neither float32 nor float64, or weight or bias has another dtype.
    """
    if x.dim() != 4 or weight.dim() != 4 or weight.shape[1:] != (x.shape[1], weight.shape[3], weight.shape[3]):
        raise ShapeError("product_conv2d", "expected x (N, C_in, H, W), weight (C_out, C_in, k, k)", x=x, weight=weight)
    if bias.shape != weight.shape[:1]:
        raise ShapeError("product_conv2d", "bias must be (C_out,)", weight=weight, bias=bias)
    if min(x.shape[2:]) + 2 * padding < weight.shape[-1]:
        raise ShapeError("product_conv2d", f"the kernel is larger than x with padding {padding}", x=x, weight=weight)
    if x.dtype not in (torch.float32, torch.float64):
        raise DtypeError("product_conv2d", "x", x.dtype, "float32 or float64")
    for name, tensor in (("weight", weight), ("bias", bias)):
        if tensor.dtype is not x.dtype:
            raise DtypeError("product_conv2d", name, tensor.dtype, f"{x.dtype} as x")
    return convolution_by_product(x, weight, bias, stride, padding)
