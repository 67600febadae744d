"""3x3 convolution by Winograd's minimal filtering, with kernels that are transformed once (Lavin and Gray, CVPR 2016).

It serves convolutions whose weight stays what it is, of a frozen network or of one in use: four times fewer products.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from vs_ops._precision import convolution_dtype
from vs_ops.dispatch import wanted_everywhere
from vs_ops.errors import DtypeError, ShapeError
from vs_ops.native.winograd_conv2d import TILE, transformed_kernel, winograd_convolution

_MIN_CHANNELS = 128
_MIN_PRODUCTS = 128 * 256
"""Of channels in and out: with fewer, moving features to tiles and back takes longer than the products saved do."""
_MIN_TILES = 16
"""In a batch: with fewer, the kernel, which is four times as large as the weight, is read for too few of them."""


def winograd_kernel(weight: Float[Tensor, "c_out c_in 3 3"]) -> Float[Tensor, "36 c_in c_out"]:
    """Transform a weight for `winograd_conv2d`; it takes four times the memory of the weight, and its dtype.

    Raises:
        ShapeError: weight is not (C_out, C_in, 3, 3).
    """
    if weight.dim() != 4 or weight.shape[2:] != (3, 3):
        raise ShapeError("winograd_kernel", "weight must be (C_out, C_in, 3, 3)", weight=weight)
    return transformed_kernel(weight)


def winograd_conv2d(
    x: Float[Tensor, "n c_in h w"],
    kernel: Float[Tensor, "36 c_in c_out"],
    bias: Float[Tensor, "c_out"] | None = None,
) -> Float[Tensor, "n c_out h w"]:
    """Convolve (N, C_in, H, W), padded with zeros to keep its size, by the kernel that `winograd_kernel` made.

    Tiles of 4x4 results come from 36 products for each pair of channels instead of 144. In exchange the rounding error
    is three to eight times that of a plain convolution: about 1e-5 of the largest result in float32, which is why no
    dtype with less is taken. Autocast does not change it. The result has the memory format of `x`. Differentiable once
    in `x` and `bias`; the kernel is a constant.

    Raises:
        ShapeError: shapes do not fit.
        DtypeError: x is neither float32 nor float64, or kernel or bias has another dtype.
    """
    if x.dim() != 4 or kernel.dim() != 3 or kernel.shape[:2] != ((TILE + 2) ** 2, x.shape[1]):
        raise ShapeError(
            "winograd_conv2d", "x must be (N, C_in, H, W) and kernel (36, C_in, C_out)", x=x, kernel=kernel
        )
    if bias is not None and bias.shape != kernel.shape[2:]:
        raise ShapeError("winograd_conv2d", "bias must be (C_out,)", kernel=kernel, bias=bias)
    if x.dtype not in (torch.float32, torch.float64):
        raise DtypeError("winograd_conv2d", "x", x.dtype, "float32 or float64")
    for name, tensor in (("kernel", kernel), ("bias", bias)):
        if tensor is not None and tensor.dtype is not x.dtype:
            raise DtypeError("winograd_conv2d", name, tensor.dtype, f"{x.dtype} as x")
    return winograd_convolution(x, kernel, bias)


class WinogradKernel:
    """The kernel of a weight that stays what it is: made when it is first asked for, again where that has changed."""

    def __init__(self) -> None:
        self._kernel: Tensor | None = None
        self._made_of: tuple[int, int] = (0, 0)

    def of(self, weight: Float[Tensor, "c_out c_in 3 3"]) -> Float[Tensor, "36 c_in c_out"]:
        """Return the kernel of the weight as it is now; the weight is to be the same tensor in all calls."""
        now = weight.data_ptr(), 0 if weight.is_inference() else weight._version
        if self._kernel is None or self._made_of != now:
            with torch.inference_mode(False):  # it may serve training later, whoever asks first
                self._kernel, self._made_of = winograd_kernel(weight), now
        return self._kernel


def winograd_pays(x: Tensor, weight: Tensor) -> bool:
    """Return whether convolving `x` with a constant `weight` is quicker by `winograd_conv2d`; measured on the CPU.

    False where autocast would compute in another dtype than float32, under `torch.compile`, and where `VS_OPS_IMPL`
    asks for references.
    """
    if wanted_everywhere() == "reference":
        return False
    if x.device.type != "cpu" or weight.shape[2:] != (3, 3) or torch.compiler.is_compiling():
        return False
    if x.dtype is not torch.float32 or convolution_dtype(weight) is not torch.float32:
        return False
    c_out, c_in = weight.shape[:2]
    if min(c_in, c_out) < _MIN_CHANNELS or c_in * c_out < _MIN_PRODUCTS:
        return False
    n, _, h, w = x.shape
    return n * (h // TILE) * (w // TILE) >= _MIN_TILES
