"""Instance normalisation with an explicit eps and float32 statistics (Ulyanov et al., 2016)."""

from jaxtyping import Float
from torch import Tensor

from vs_ops._compiling import refuse_inductor
from vs_ops._triton import refuse_images
from vs_ops.dispatch import Implementation, Operator, select
from vs_ops.errors import ShapeError, VsOpsError
from vs_ops.inductor.instance_norm import instance_norm_inductor
from vs_ops.native.instance_norm import instance_norm_native, refuse_native
from vs_ops.reference.instance_norm import instance_norm_reference


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
    return select(INSTANCE_NORM, x, impl)(x, weight, bias, eps)


def _triton(x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float) -> Tensor:
    from vs_ops.triton.instance_norm import instance_norm_triton  # here, because Triton is optional

    return instance_norm_triton(x, weight, bias, eps)


INSTANCE_NORM = Operator(
    name="instance_norm",
    implementations=(
        Implementation(name="native", function=instance_norm_native, refuse=refuse_native),
        Implementation(name="reference", function=instance_norm_reference),
        Implementation(name="inductor", function=instance_norm_inductor, refuse=refuse_inductor),
        Implementation(name="triton", function=_triton, refuse=refuse_images, compilable=True),
    ),
    example_shape=(1, 32, 128, 256),
)
