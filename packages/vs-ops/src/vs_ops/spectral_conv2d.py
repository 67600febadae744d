"""Convolution by a spectrally normalised weight (Miyato et al., ICLR 2018) that is never made."""

from collections.abc import Sequence
from typing import NamedTuple

from jaxtyping import Float
from torch import Tensor

from vs_ops._checks import check_convolution_dtypes, check_layers
from vs_ops.dispatch import Implementation, Operator, select
from vs_ops.errors import ShapeError, VsOpsError
from vs_ops.native.spectral_conv2d import refuse_native, spectral_conv2d_native
from vs_ops.native.spectral_normalize_all import power_iterations_native
from vs_ops.reference.spectral_conv2d import spectral_conv2d_reference


class Iterated(NamedTuple):
    """The results of `power_iterations`: three lists in the order of the weights, without gradient."""

    us: list[Tensor]
    """(R,) each: left singular vectors."""
    vs: list[Tensor]
    """(C,) each: right singular vectors."""
    sigmas: list[Tensor]
    """Scalars: u^T W v."""


def power_iterations(
    weights: Sequence[Float[Tensor, "..."]],
    us: Sequence[Float[Tensor, "..."]],
    vs: Sequence[Float[Tensor, "..."]],
    *,
    iterations: int = 1,
    eps: float = 1e-12,
) -> Iterated:
    """Do what `spectral_normalize_all` does before it divides.

    Raises:
        ShapeError: shapes do not fit; the message says which weight of the list.
        VsOpsError: lists differ in length, or iterations is negative.
    """
    check_layers("power_iterations", weights, us, vs)
    if iterations < 0:
        raise VsOpsError("power_iterations", f"iterations must not be negative, got {iterations}")
    if not weights:
        return Iterated([], [], [])
    return Iterated(*power_iterations_native(list(weights), list(us), list(vs), iterations, eps))


def spectral_conv2d(
    x: Float[Tensor, "n c_in h w"],
    weight: Float[Tensor, "c_out c_in k k"],
    bias: Float[Tensor, "c_out"],
    u: Float[Tensor, "c_out"],
    v: Float[Tensor, "ckk"],
    *,
    sigma: Float[Tensor, ""] | None = None,
    stride: int = 1,
    padding: int = 0,
    impl: str = "auto",
) -> Float[Tensor, "n c_out h2 w2"]:
    """Convolve `x` by `weight / sigma` with sigma = u^T W v, W = weight.flatten(1), and add `bias`.

    It pays where the weight has many more elements than the result: neither the quotient nor its gradient, each as
    large as the weight, are ever made.

    Args:
        x: features (N, C_in, H, W).
        weight: (C_out, C_in, k, k).
        bias: (C_out,).
        u: left singular vector.
        v: right singular vector (C_in * k * k).
        sigma: u^T W v where it is known, as by `power_iterations`.
        stride: of the convolution, the same on both axes.
        padding: zeros on every side.
        impl: which implementation to use.

    It computes in the dtype of its arguments, or under autocast in autocast's. Differentiable in x, weight, through
    sigma too, and bias, any number of times; `u` and `v` count as constants, and may be overwritten before backward.
    The result has the memory format of `x`.

    Raises:
        ShapeError: shapes do not fit, or the kernel is larger than the padded `x`.
        DtypeError: weight or bias has another dtype than `x`, and no autocast makes them equal.
    """
    if x.dim() != 4 or weight.dim() != 4 or weight.shape[1:] != (x.shape[1], weight.shape[3], weight.shape[3]):
        raise ShapeError(
            "spectral_conv2d", "expected x (N, C_in, H, W), weight (C_out, C_in, k, k)", x=x, weight=weight
        )
    if bias.shape != weight.shape[:1]:
        raise ShapeError("spectral_conv2d", "bias must be (C_out,)", weight=weight, bias=bias)
    check_layers("spectral_conv2d", [weight], [u], [v])
    if min(x.shape[2:]) + 2 * padding < weight.shape[-1]:
        raise ShapeError("spectral_conv2d", f"the kernel is larger than x with padding {padding}", x=x, weight=weight)
    check_convolution_dtypes("spectral_conv2d", "x", x, weight=weight, bias=bias)
    return select(SPECTRAL_CONV2D, weight, impl)(x, weight, bias, u, v, sigma, stride, padding)


SPECTRAL_CONV2D = Operator(
    name="spectral_conv2d",
    implementations=(
        Implementation(name="native", function=spectral_conv2d_native, refuse=refuse_native),
        Implementation(name="reference", function=spectral_conv2d_reference),
    ),
    example_shape=(512, 256, 3, 3),
)
