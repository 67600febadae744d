"""Per-sample ("hyper") convolution: every sample of the batch brings its own weights (Wang et al., NeurIPS 2019)."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from vs_ops._precision import is_channels_last, memory_format_of
from vs_ops.dispatch import DescribedCall, Implementation, Operator, select
from vs_ops.errors import DtypeError, ShapeError, VsOpsError

__all__ = ["HYPER_CONV2D", "hyper_conv2d"]


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
    return select(HYPER_CONV2D, weight, impl)(x, weight, bias, stride, padding)  # type: ignore[no-any-return]


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
    by_autocast = torch.is_autocast_enabled(x.device.type) and x.dtype is not torch.float64
    for name, tensor in (("weight", weight), ("bias", bias)):
        if tensor is None or tensor.dtype is x.dtype or (by_autocast and tensor.dtype is not torch.float64):
            continue
        raise DtypeError("hyper_conv2d", name, tensor.dtype, f"{x.dtype} as x")


def hyper_conv2d_reference(x: Tensor, weight: Tensor, bias: Tensor | None, stride: int, padding: int) -> Tensor:
    """`hyper_conv2d`, readable."""
    if x.shape[0] == 0:
        return _of_nobody(x, weight, bias, stride, padding)
    biases = [None] * x.shape[0] if bias is None else bias.unbind()
    samples = zip(x.split(1), weight.unbind(), biases, strict=True)
    return torch.cat([F.conv2d(one, own, shift, stride, padding) for one, own, shift in samples])


def _of_nobody(x: Tensor, weight: Tensor, bias: Tensor | None, stride: int, padding: int) -> Tensor:
    """The result for an empty batch: sums over no samples give shape and dtype, and a graph to all arguments."""
    return F.conv2d(x, weight.sum(0), None if bias is None else bias.sum(0), stride, padding)


def hyper_conv2d_native(x: Tensor, weight: Tensor, bias: Tensor | None, stride: int, padding: int) -> Tensor:
    """`hyper_conv2d` as one call: a matrix product if the kernel is a pixel, else a plain or a grouped convolution."""
    if weight.shape[-1] == 1:
        return _multiplied(x, weight[..., 0, 0], bias, stride, padding)
    if x.shape[0] == 1:
        return F.conv2d(x, weight[0], None if bias is None else bias[0], stride, padding)
    n, c, h, w = x.shape
    shift = None if bias is None else bias.flatten()
    result = F.conv2d(x.reshape(1, n * c, h, w), weight.flatten(0, 1), shift, stride, padding, groups=n)
    return result.view(n, -1, *result.shape[2:]).contiguous(memory_format=memory_format_of(x))


def _multiplied(x: Tensor, weight: Tensor, bias: Tensor | None, stride: int, padding: int) -> Tensor:
    """`weight` (N, C_out, C_in) times every pixel, in whichever order keeps the memory format of `x`."""
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


def _refuse_native(call: DescribedCall) -> str | None:
    """What the weight (N, C_out, C_in, k, k) says."""
    if 0 in call.shape:
        return "the kernels need at least one element"
    if call.device_type == "cpu" and call.shape[0] > 1 and call.shape[-1] > 1:
        return "on the CPU a grouped convolution is slower than one convolution per sample"
    return None


HYPER_CONV2D = Operator(
    name="hyper_conv2d",
    implementations=(
        Implementation(name="native", function=hyper_conv2d_native, refuse=_refuse_native),
        Implementation(name="reference", function=hyper_conv2d_reference),
    ),
)
