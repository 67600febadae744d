"""SPADE: spatially adaptive (de)normalisation by conditioning maps (Park et al., CVPR 2019)."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from vs_ops._precision import compute_dtype
from vs_ops._scripting import scripted
from vs_ops._triton import refuse_images
from vs_ops.dispatch import Implementation, Operator, select
from vs_ops.errors import ShapeError, VsOpsError
from vs_ops.instance_norm import instance_norm_native, normalized, refuse_native

__all__ = ["SPADE", "spade"]


def spade(
    x: Float[Tensor, "n c h w"],
    gamma_betas: Sequence[Float[Tensor, "n c2 h2 w2"]],
    *,
    eps: float = 1e-5,
    negative_slope: float | None = None,
    upsample: bool = False,
    impl: str = "auto",
) -> Float[Tensor, "n c h2 w2"]:
    """Instance-normalise `x`, then for every map in order x <- x * (1 + gamma) + beta, then optionally leaky ReLU.

    Args:
        x: features (N, C, H, W), with `upsample` (N, C, H / 2, W / 2).
        gamma_betas: maps (N, 2C, H, W); gamma is the first half of the channels, beta the second. They may have
            another dtype than `x`.
        eps: added to the variance.
        negative_slope: slope of the leaky ReLU at the end; None leaves it out.
        upsample: first double the height and the width of `x` (nearest neighbour).
        impl: which implementation to use.

    Statistics and arithmetic are float32 (float64 for float64 input); the result (N, C, H, W) has the dtype and the
    memory format of `x`. Every pixel of an up-sampled plane is there four times, so that its mean and variance are
    those of the small plane: an implementation may normalise before it up-samples.

    Raises:
        ShapeError: shapes do not fit.
        VsOpsError: eps is not positive or negative_slope is negative.
    """
    if x.dim() != 4:
        raise ShapeError("spade", "x must be (N, C, H, W)", x=x)
    n, c, h, w = x.shape
    expected = (n, 2 * c, 2 * h, 2 * w) if upsample else (n, 2 * c, h, w)
    for index, gamma_beta in enumerate(gamma_betas):
        if gamma_beta.shape != expected:
            problem = f"gamma_betas[{index}] must be (N, 2C, H, W)" + " of twice the size of x" * upsample
            raise ShapeError("spade", problem, x=x, gamma_beta=gamma_beta)
    if not eps > 0:
        raise VsOpsError("spade", f"eps must be positive, got {eps}")
    if negative_slope is not None and not negative_slope >= 0:
        raise VsOpsError("spade", f"negative_slope must not be negative, got {negative_slope}")
    return select(SPADE, x, impl)(x, gamma_betas, eps, negative_slope, upsample)  # type: ignore[no-any-return]


def spade_reference(
    x: Tensor, gamma_betas: Sequence[Tensor], eps: float, negative_slope: float | None, upsample: bool
) -> Tensor:
    """`spade`, readable."""
    result = normalized(_doubled(x.to(compute_dtype(x))) if upsample else x, eps)
    for gamma_beta in gamma_betas:
        gamma, beta = gamma_beta.to(result.dtype).chunk(2, dim=1)
        result = result * (1 + gamma) + beta
    if negative_slope is not None:
        result = F.leaky_relu(result, negative_slope)
    return result.to(x.dtype)


def _doubled(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2, mode="nearest")


def spade_native(
    x: Tensor, gamma_betas: Sequence[Tensor], eps: float, negative_slope: float | None, upsample: bool
) -> Tensor:
    """`spade` with the fused instance norm, then per map one pass for 1 + gamma and one for all the rest.

    It up-samples what is normalised, so that the backward of the norm sees gradients summed over 2x2 pixels.
    """
    result = instance_norm_native(x, None, None, eps)
    if upsample:
        result = _doubled(result)
    for gamma_beta in gamma_betas:
        gamma, beta = gamma_beta.chunk(2, dim=1)
        if gamma.dtype is not result.dtype:
            wide = torch.promote_types(gamma.dtype, result.dtype)
            gamma, beta, result = gamma.to(wide), beta.to(wide), result.to(wide)
        result = torch.addcmul(beta, result, gamma + 1)
    if negative_slope is not None:
        # addcmul does not keep its result, so that it may be overwritten; instance norm's is left alone.
        result = F.leaky_relu(result, negative_slope, inplace=bool(gamma_betas))
    return result.to(x.dtype)


@scripted
def _scripted_modulate(x: Tensor, gamma_betas: list[Tensor], negative_slope: float | None) -> Tensor:
    for gamma_beta in gamma_betas:
        gamma, beta = gamma_beta.to(x.dtype).chunk(2, dim=1)
        x = x * (1 + gamma) + beta
    if negative_slope is not None:
        x = torch.nn.functional.leaky_relu(x, negative_slope)
    return x


def spade_torchscript(
    x: Tensor, gamma_betas: Sequence[Tensor], eps: float, negative_slope: float | None, upsample: bool
) -> Tensor:
    """`spade` with everything after the normalisation scripted."""
    slope = None if negative_slope is None else float(negative_slope)
    result = normalized(x, eps)
    if upsample:
        result = _doubled(result)
    return _scripted_modulate(result, list(gamma_betas), slope).to(x.dtype)  # type: ignore[no-any-return]


def spade_triton(
    x: Tensor, gamma_betas: Sequence[Tensor], eps: float, negative_slope: float | None, upsample: bool
) -> Tensor:
    """`spade` by Triton."""
    from vs_ops.triton.spade import spade_triton as function

    return function(x, gamma_betas, eps, negative_slope, upsample)


SPADE = Operator(
    name="spade",
    implementations=(
        Implementation(name="native", function=spade_native, refuse=refuse_native),
        Implementation(name="reference", function=spade_reference),
        Implementation(name="torchscript", function=spade_torchscript),
        Implementation(name="triton", function=spade_triton, refuse=refuse_images, compilable=True),
    ),
)
