"""Instance normalisation with an explicit eps and float32 statistics (Ulyanov et al., 2016)."""

import torch
from jaxtyping import Float
from torch import Tensor

from vs_ops._precision import compute_dtype
from vs_ops.dispatch import Implementation, Operator, select
from vs_ops.errors import ShapeError, VsOpsError

__all__ = ["INSTANCE_NORM", "instance_norm"]


def instance_norm(
    x: Float[Tensor, "n c *space"],
    weight: Float[Tensor, "c"] | None = None,
    bias: Float[Tensor, "c"] | None = None,
    *,
    eps: float = 1e-5,
    impl: str = "auto",
) -> Float[Tensor, "n c *space"]:
    """Give every channel of every sample mean 0 and variance 1 (biased, plus eps), then scale and shift it.

    Mean, variance and the arithmetic are float32 (float64 for float64 input); the result has the dtype and the memory
    format of `x`. A channel of one pixel becomes `bias`. The talk's change for mixed precision is eps = 0.1 in one
    encoder: the gradient of a channel without variance is amplified by 1 / sqrt(eps).

    Raises:
        ShapeError: `x` is not (N, C, ...) or weight or bias is not (C,).
        VsOpsError: eps is not positive.
    """
    if x.dim() < 3:
        raise ShapeError("instance_norm", "x must be (N, C, ...) with at least one spatial dimension", x=x)
    if weight is not None and weight.shape != x.shape[1:2]:
        raise ShapeError("instance_norm", "weight must be (C,)", x=x, weight=weight)
    if bias is not None and bias.shape != x.shape[1:2]:
        raise ShapeError("instance_norm", "bias must be (C,)", x=x, bias=bias)
    if not eps > 0:
        raise VsOpsError("instance_norm", f"eps must be positive, got {eps}")
    return select(INSTANCE_NORM, x, impl)(x, weight, bias, eps)  # type: ignore[no-any-return]


def instance_norm_reference(x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float) -> Tensor:
    """`instance_norm`, readable."""
    result = normalized(x, eps)
    per_channel = (1, -1) + (1,) * (x.dim() - 2)
    if weight is not None:
        result = result * weight.to(result.dtype).view(per_channel)
    if bias is not None:
        result = result + bias.to(result.dtype).view(per_channel)
    return result.to(x.dtype)


def normalized(x: Tensor, eps: float) -> Tensor:
    """`x` with mean 0 and variance 1 over space, in the dtype of the computation (float32 or float64)."""
    space = tuple(range(2, x.dim()))
    wide = x.to(compute_dtype(x))
    centred = wide - wide.mean(space, keepdim=True)
    variance = centred.square().mean(space, keepdim=True)
    return centred * torch.rsqrt(variance + eps)


INSTANCE_NORM = Operator(
    name="instance_norm", implementations=(Implementation(name="reference", function=instance_norm_reference),)
)
