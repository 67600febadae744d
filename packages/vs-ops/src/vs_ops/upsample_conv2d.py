"""Nearest up-sampling by two and a convolution, as one transposed convolution that never sees the large input."""

from jaxtyping import Float
from torch import Tensor

from vs_ops._checks import check_convolution_dtypes
from vs_ops.dispatch import Implementation, Operator, select
from vs_ops.errors import ShapeError
from vs_ops.native.upsample_conv2d import (
    convolved_by_kernel,
    refuse_native,
    summed_kernel,
    upsample_conv2d_native,
)
from vs_ops.reference.upsample_conv2d import upsample_conv2d_reference


def upsample_conv2d(
    x: Float[Tensor, "n c_in h w"],
    weight: Float[Tensor, "c_out c_in k k"],
    bias: Float[Tensor, "c_out"] | None = None,
    *,
    impl: str = "auto",
) -> Float[Tensor, "n c_out h2 w2"]:
    """Double height and width of `x` (nearest neighbour), then convolve it, padded with zeros to keep its size.

    Args:
        x: features (N, C_in, H, W).
        weight: (C_out, C_in, k, k) with odd k.
        bias: (C_out,); None leaves it out.
        impl: which implementation to use.

    It is a convolution: it computes in the dtype of its arguments, or under autocast in autocast's, and the result
    (N, C_out, 2H, 2W) has that dtype, and the memory format of `x`. Differentiable in all three, any number of times.

    Raises:
        ShapeError: shapes do not fit, or k is even.
        DtypeError: weight or bias has another dtype than `x`, and no autocast makes them equal.
    """
    if x.dim() != 4:
        raise ShapeError("upsample_conv2d", "x must be (N, C_in, H, W)", x=x)
    if weight.dim() != 4 or weight.shape[1:] != (x.shape[1], weight.shape[3], weight.shape[3]):
        raise ShapeError("upsample_conv2d", "weight must be (C_out, C_in, k, k)", x=x, weight=weight)
    if weight.shape[3] % 2 == 0:
        raise ShapeError("upsample_conv2d", "the size of the kernel must be odd", weight=weight)
    if bias is not None and bias.shape != weight.shape[:1]:
        raise ShapeError("upsample_conv2d", "bias must be (C_out,)", weight=weight, bias=bias)
    check_convolution_dtypes("upsample_conv2d", "x", x, weight=weight, bias=bias)
    return select(UPSAMPLE_CONV2D, x, impl)(x, weight, bias)


def upsampling_kernel(weight: Float[Tensor, "c_out c_in k k"]) -> Float[Tensor, "c_in c_out k1 k1"]:
    """Make the kernel of `upsample_conv2d_by`: k + 1 by k + 1, of sums of weights, in their dtype and memory format.

    It pays where many calls have the same weight.

    Raises:
        ShapeError: weight is not (C_out, C_in, k, k), or k is even.
    """
    if weight.dim() != 4 or weight.shape[2] != weight.shape[3] or weight.shape[3] % 2 == 0:
        raise ShapeError("upsampling_kernel", "weight must be (C_out, C_in, k, k) with odd k", weight=weight)
    return summed_kernel(weight)


def upsample_conv2d_by(
    x: Float[Tensor, "n c_in h w"],
    kernel: Float[Tensor, "c_in c_out k1 k1"],
    bias: Float[Tensor, "c_out"] | None = None,
) -> Float[Tensor, "n c_out h2 w2"]:
    """Do what `upsample_conv2d` does with a weight, by the kernel that `upsampling_kernel` made of it.

    Raises:
        ShapeError: shapes do not fit.
        DtypeError: as `upsample_conv2d`.
    """
    if x.dim() != 4 or kernel.dim() != 4 or kernel.shape[0] != x.shape[1]:
        raise ShapeError("upsample_conv2d_by", "kernel must be (C_in, C_out, k + 1, k + 1)", x=x, kernel=kernel)
    if bias is not None and bias.shape != kernel.shape[1:2]:
        raise ShapeError("upsample_conv2d_by", "bias must be (C_out,)", kernel=kernel, bias=bias)
    check_convolution_dtypes("upsample_conv2d_by", "x", x, kernel=kernel, bias=bias)
    return convolved_by_kernel(x, kernel, bias)


UPSAMPLE_CONV2D = Operator(
    name="upsample_conv2d",
    implementations=(
        Implementation(name="native", function=upsample_conv2d_native, refuse=refuse_native),
        Implementation(name="reference", function=upsample_conv2d_reference),
    ),
    example_shape=(1, 32, 64, 128),
)
