"""Hinge losses of a GAN (Lim and Ye, "Geometric GAN", 2017; Miyato et al., ICLR 2018)."""

import torch
from jaxtyping import Float
from torch import Tensor

from vs_ops._compiling import compiled, refuse_inductor
from vs_ops._precision import compute_dtype, mean
from vs_ops._scripting import scripted
from vs_ops._triton import refuse_floats
from vs_ops.dispatch import Implementation, Operator, select

__all__ = ["HINGE_D_FAKE", "HINGE_D_REAL", "HINGE_G", "hinge_d_fake", "hinge_d_real", "hinge_g"]


def hinge_d_real(logits: Float[Tensor, "*shape"], *, impl: str = "auto") -> Float[Tensor, ""]:
    """Mean of max(0, 1 - logits): the discriminator's loss on real images.

    Computed and returned in float32 (float64 for float64 logits), whatever the dtype of `logits`. No logits give zero.
    """
    return select(HINGE_D_REAL, logits, impl)(logits)  # type: ignore[no-any-return]


def hinge_d_fake(logits: Float[Tensor, "*shape"], *, impl: str = "auto") -> Float[Tensor, ""]:
    """Mean of max(0, 1 + logits): the discriminator's loss on generated images; dtypes as in `hinge_d_real`."""
    return select(HINGE_D_FAKE, logits, impl)(logits)  # type: ignore[no-any-return]


def hinge_g(logits: Float[Tensor, "*shape"], *, impl: str = "auto") -> Float[Tensor, ""]:
    """Minus the mean of the logits: the generator's loss; dtypes as in `hinge_d_real`."""
    return select(HINGE_G, logits, impl)(logits)  # type: ignore[no-any-return]


def hinge_d_real_reference(logits: Tensor) -> Tensor:
    """`hinge_d_real`, readable."""
    return mean((1.0 - logits.to(compute_dtype(logits))).relu())


def hinge_d_fake_reference(logits: Tensor) -> Tensor:
    """`hinge_d_fake`, readable."""
    return mean((1.0 + logits.to(compute_dtype(logits))).relu())


def hinge_g_reference(logits: Tensor) -> Tensor:
    """`hinge_g`, readable."""
    return -mean(logits.to(compute_dtype(logits)))


@scripted
def _scripted_hinge(logits: Tensor, sign: float, dtype: torch.dtype) -> Tensor:
    return (1.0 + sign * logits.to(dtype)).relu().sum() / max(logits.numel(), 1)


@scripted
def _scripted_mean(logits: Tensor, dtype: torch.dtype) -> Tensor:
    return -logits.to(dtype).sum() / max(logits.numel(), 1)


def hinge_d_real_torchscript(logits: Tensor) -> Tensor:
    """`hinge_d_real`, scripted."""
    return _scripted_hinge(logits, -1.0, compute_dtype(logits))  # type: ignore[no-any-return]


def hinge_d_fake_torchscript(logits: Tensor) -> Tensor:
    """`hinge_d_fake`, scripted."""
    return _scripted_hinge(logits, 1.0, compute_dtype(logits))  # type: ignore[no-any-return]


def hinge_g_torchscript(logits: Tensor) -> Tensor:
    """`hinge_g`, scripted."""
    return _scripted_mean(logits, compute_dtype(logits))  # type: ignore[no-any-return]


def hinge_d_real_triton(logits: Tensor) -> Tensor:
    """`hinge_d_real` by Triton."""
    from vs_ops.triton.hinge import REAL, hinge

    return hinge(logits, REAL)  # type: ignore[no-any-return]


def hinge_d_fake_triton(logits: Tensor) -> Tensor:
    """`hinge_d_fake` by Triton."""
    from vs_ops.triton.hinge import FAKE, hinge

    return hinge(logits, FAKE)  # type: ignore[no-any-return]


def hinge_g_triton(logits: Tensor) -> Tensor:
    """`hinge_g` by Triton."""
    from vs_ops.triton.hinge import GENERATOR, hinge

    return hinge(logits, GENERATOR)  # type: ignore[no-any-return]


HINGE_D_REAL = Operator(
    name="hinge_d_real",
    implementations=(
        Implementation(name="reference", function=hinge_d_real_reference),
        Implementation(name="torchscript", function=hinge_d_real_torchscript),
        Implementation(name="inductor", function=compiled(hinge_d_real_reference), refuse=refuse_inductor),
        Implementation(name="triton", function=hinge_d_real_triton, refuse=refuse_floats, compilable=True),
    ),
)
HINGE_D_FAKE = Operator(
    name="hinge_d_fake",
    implementations=(
        Implementation(name="reference", function=hinge_d_fake_reference),
        Implementation(name="torchscript", function=hinge_d_fake_torchscript),
        Implementation(name="inductor", function=compiled(hinge_d_fake_reference), refuse=refuse_inductor),
        Implementation(name="triton", function=hinge_d_fake_triton, refuse=refuse_floats, compilable=True),
    ),
)
HINGE_G = Operator(
    name="hinge_g",
    implementations=(
        Implementation(name="reference", function=hinge_g_reference),
        Implementation(name="torchscript", function=hinge_g_torchscript),
        Implementation(name="inductor", function=compiled(hinge_g_reference), refuse=refuse_inductor),
        Implementation(name="triton", function=hinge_g_triton, refuse=refuse_floats, compilable=True),
    ),
)
