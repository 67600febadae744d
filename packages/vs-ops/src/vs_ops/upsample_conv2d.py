"""Nearest up-sampling by two and a convolution, as one transposed convolution that never sees the large input."""

import functools

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from vs_ops._precision import compute_dtype, memory_format_of, without_autocast
from vs_ops.dispatch import DescribedCall, Implementation, Operator, select
from vs_ops.errors import DtypeError, ShapeError

__all__ = ["UPSAMPLE_CONV2D", "upsample_conv2d"]


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
    by_autocast = torch.is_autocast_enabled(x.device.type) and x.dtype is not torch.float64
    for name, tensor in (("weight", weight), ("bias", bias)):
        if tensor is None or tensor.dtype is x.dtype or (by_autocast and tensor.dtype is not torch.float64):
            continue
        raise DtypeError("upsample_conv2d", name, tensor.dtype, f"{x.dtype} as x")
    return select(UPSAMPLE_CONV2D, x, impl)(x, weight, bias)  # type: ignore[no-any-return]


def upsample_conv2d_reference(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """`upsample_conv2d`, readable."""
    # Not all of PyTorch's kernels return the gradient of a weight that is in neither order.
    weight = weight.contiguous(memory_format=memory_format_of(weight))
    result = F.conv2d(_doubled(x), weight, bias, padding=weight.shape[-1] // 2)
    return result.contiguous(memory_format=memory_format_of(x))


def upsample_conv2d_native(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """`upsample_conv2d` as a transposed convolution of stride 2: (k + 1)^2 products per pixel of `x`, not (2k)^2.

    What a pixel of `x` adds to the result is its 2x2 copies convolved, so that the kernel is the full convolution of a
    2x2 box with `weight`, mirrored as transposed convolutions want it.
    """
    k = weight.shape[-1]
    if k == 1:
        return _doubled(F.conv2d(x, weight, bias)).contiguous(memory_format=memory_format_of(x))
    result = F.conv_transpose2d(x, _summed(weight), bias, stride=2, padding=k // 2)
    return result.contiguous(memory_format=memory_format_of(x))


def _summed(weight: Tensor) -> Tensor:
    """The kernel of the transposed convolution, (C_in, C_out, k + 1, k + 1): sums of weights, rounded once."""
    c_out, c_in, k, _ = weight.shape
    with without_autocast(weight):
        wide = compute_dtype(weight)
        taps = weight.transpose(0, 1).reshape(c_in, c_out, k * k).to(wide)
        kernel: Tensor = (taps @ _box(k, weight.device, wide)).to(weight.dtype)
        return kernel.view(c_in, c_out, k + 1, k + 1)


def _doubled(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2, mode="nearest")


@functools.cache
def _box(k: int, device: torch.device, dtype: torch.dtype) -> Tensor:
    """The matrix (k * k, (k + 1)^2) of zeros and ones that convolves a mirrored kernel with a box of 2x2."""
    with torch.inference_mode(False):  # it serves training later, whoever asks first
        axis = torch.zeros(k, k + 1, dtype=dtype)
        for tap in range(k):
            axis[tap, k - 1 - tap : k + 1 - tap] = 1
        return torch.kron(axis, axis).to(device)


_MANY_PIXELS = 512


def _refuse_native(call: DescribedCall) -> str | None:
    """What `x` says: making the kernel costs the same for every size of it."""
    if call.dtype not in (torch.float32, torch.float64, torch.bfloat16, torch.float16):
        return f"no kernel for {call.dtype}"
    if 0 in call.shape:
        return "the kernels need at least one element"
    n, _, h, w = call.shape
    if call.device_type == "cpu" and n * h * w < _MANY_PIXELS:
        return f"with less than {_MANY_PIXELS} pixels, the CPU makes the kernel longer than it convolves"
    return None


UPSAMPLE_CONV2D = Operator(
    name="upsample_conv2d",
    implementations=(
        Implementation(name="native", function=upsample_conv2d_native, refuse=_refuse_native),
        Implementation(name="reference", function=upsample_conv2d_reference),
    ),
)
