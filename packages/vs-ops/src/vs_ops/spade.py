"""SPADE: spatially adaptive (de)normalisation by conditioning maps (Park et al., CVPR 2019)."""

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor

from vs_ops._compiling import refuse_inductor
from vs_ops._triton import refuse_images
from vs_ops.dispatch import Implementation, Operator, select
from vs_ops.errors import ShapeError, VsOpsError
from vs_ops.inductor.spade import spade_inductor
from vs_ops.native.instance_norm import refuse_native
from vs_ops.native.spade import spade_native
from vs_ops.reference.spade import spade_reference


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

    Statistics and what is computed with them are float32 (float64 for float64 input). Modulation is in float32 or, in
    an implementation that stores the normalised features, in the wider dtype of `x` and map, to which its steps are
    rounded. The result (N, C, H, W) has the dtype and the memory format of `x`. Every pixel of an up-sampled plane is
    there four times, so that its mean and variance are those of the small plane: an implementation may normalise before
    it up-samples.

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
    return select(SPADE, x, impl)(x, gamma_betas, eps, negative_slope, upsample)


def _triton(
    x: Tensor, gamma_betas: Sequence[Tensor], eps: float, negative_slope: float | None, upsample: bool
) -> Tensor:
    from vs_ops.triton.spade import spade_triton  # here, because Triton is optional

    return spade_triton(x, gamma_betas, eps, negative_slope, upsample)


SPADE = Operator(
    name="spade",
    implementations=(
        Implementation(name="native", function=spade_native, refuse=refuse_native),
        Implementation(name="reference", function=spade_reference),
        Implementation(name="inductor", function=spade_inductor, refuse=refuse_inductor),
        Implementation(name="triton", function=_triton, refuse=refuse_images, compilable=True),
    ),
    example_shape=(1, 32, 128, 256),
)
