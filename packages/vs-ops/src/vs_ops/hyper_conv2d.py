"""Per-sample ("hyper") convolution: every sample of the batch brings its own weights (Wang et al., NeurIPS 2019)."""

from jaxtyping import Float
from torch import Tensor

from vs_ops._checks import check_convolution_dtypes
from vs_ops.dispatch import Implementation, Operator, select
from vs_ops.errors import ShapeError, VsOpsError
from vs_ops.native.hyper_conv2d import hyper_conv2d_native, refuse_native
from vs_ops.reference.hyper_conv2d import hyper_conv2d_reference


def hyper_conv2d(
    x: Float[Tensor, "n c_in h w"],
    weight: Float[Tensor, "n c_out c_in k k"],
    bias: Float[Tensor, "n c_out"] | None = None,
    *,
    stride: int = 1,
    padding: int = 0,
    impl: str = "auto",
) -> Float[Tensor, "n c_out h2 w2"]:
    """Convolve every sample of `x` with its own weights, then add its own bias.

    Args:
        x: features (N, C_in, H, W).
        weight: one weight per sample, (N, C_out, C_in, k, k).
        bias: one bias per sample, (N, C_out); None leaves it out.
        stride: of the convolution, the same on both axes.
        padding: zeros on every side.
        impl: which implementation to use.

    It is a convolution like `torch.nn.functional.conv2d`: it computes in the dtype of its arguments, or under autocast
    in autocast's, and the result has that dtype. The result has the memory format of `x`. Differentiable in all three.

    Raises:
        ShapeError: shapes do not fit, or the kernel is larger than the padded `x`.
        DtypeError: weight or bias has another dtype than `x`, and no autocast makes them equal.
        VsOpsError: stride is not positive or padding is negative.
    """
    _check(x, weight, bias, stride, padding)
    return select(HYPER_CONV2D, weight, impl)(x, weight, bias, stride, padding)


def _check(x: Tensor, weight: Tensor, bias: Tensor | None, stride: int, padding: int) -> None:
    if x.dim() != 4:
        raise ShapeError("hyper_conv2d", "x must be (N, C_in, H, W)", x=x)
    n, c, h, w = x.shape
    if weight.dim() != 5 or weight.shape != (n, weight.shape[1], c, weight.shape[3], weight.shape[3]):
        raise ShapeError("hyper_conv2d", "weight must be (N, C_out, C_in, k, k)", x=x, weight=weight)
    if bias is not None and bias.shape != weight.shape[:2]:
        raise ShapeError("hyper_conv2d", "bias must be (N, C_out)", weight=weight, bias=bias)
    if stride < 1:
        raise VsOpsError("hyper_conv2d", f"stride must be positive, got {stride}")
    if padding < 0:
        raise VsOpsError("hyper_conv2d", f"padding must not be negative, got {padding}")
    if min(h, w) + 2 * padding < weight.shape[-1]:
        raise ShapeError("hyper_conv2d", f"the kernel is larger than x with padding {padding}", x=x, weight=weight)
    check_convolution_dtypes("hyper_conv2d", "x", x, weight=weight, bias=bias)


HYPER_CONV2D = Operator(
    name="hyper_conv2d",
    implementations=(
        Implementation(name="native", function=hyper_conv2d_native, refuse=refuse_native),
        Implementation(name="reference", function=hyper_conv2d_reference),
    ),
    example_shape=(2, 64, 32, 1, 1),
)
