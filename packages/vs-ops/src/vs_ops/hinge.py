"""Hinge losses of a GAN (Lim and Ye, "Geometric GAN", 2017; Miyato et al., ICLR 2018)."""

from jaxtyping import Float
from torch import Tensor

from vs_ops._compiling import compiled, refuse_inductor
from vs_ops._triton import refuse_floats
from vs_ops.dispatch import Implementation, Operator, select
from vs_ops.reference.hinge import hinge_d_fake_reference, hinge_d_real_reference, hinge_g_reference
from vs_ops.torchscript.hinge import hinge_d_fake_torchscript, hinge_d_real_torchscript, hinge_g_torchscript


def hinge_d_real(logits: Float[Tensor, "*shape"], *, impl: str = "auto") -> Float[Tensor, ""]:
    """Return the mean of max(0, 1 - logits): the discriminator's loss on real images.

    Computed and returned in float32 (float64 for float64 logits), whatever the dtype of `logits`. No logits give zero.
    """
    return select(HINGE_D_REAL, logits, impl)(logits)


def hinge_d_fake(logits: Float[Tensor, "*shape"], *, impl: str = "auto") -> Float[Tensor, ""]:
    """Return the mean of max(0, 1 + logits): the discriminator's loss on generated images.

    Dtypes are as in `hinge_d_real`.
    """
    return select(HINGE_D_FAKE, logits, impl)(logits)


def hinge_g(logits: Float[Tensor, "*shape"], *, impl: str = "auto") -> Float[Tensor, ""]:
    """Return minus the mean of the logits: the generator's loss; dtypes as in `hinge_d_real`."""
    return select(HINGE_G, logits, impl)(logits)


def _d_real_triton(logits: Tensor) -> Tensor:
    from vs_ops.triton.hinge import hinge_d_real_triton  # here, because Triton is optional

    return hinge_d_real_triton(logits)


def _d_fake_triton(logits: Tensor) -> Tensor:
    from vs_ops.triton.hinge import hinge_d_fake_triton  # here, because Triton is optional

    return hinge_d_fake_triton(logits)


def _g_triton(logits: Tensor) -> Tensor:
    from vs_ops.triton.hinge import hinge_g_triton  # here, because Triton is optional

    return hinge_g_triton(logits)


HINGE_D_REAL = Operator(
    name="hinge_d_real",
    implementations=(
        Implementation(name="reference", function=hinge_d_real_reference),
        Implementation(name="torchscript", function=hinge_d_real_torchscript),
        Implementation(name="inductor", function=compiled(hinge_d_real_reference), refuse=refuse_inductor),
        Implementation(name="triton", function=_d_real_triton, refuse=refuse_floats, compilable=True),
    ),
    example_shape=(1, 1, 16, 32),
)
HINGE_D_FAKE = Operator(
    name="hinge_d_fake",
    implementations=(
        Implementation(name="reference", function=hinge_d_fake_reference),
        Implementation(name="torchscript", function=hinge_d_fake_torchscript),
        Implementation(name="inductor", function=compiled(hinge_d_fake_reference), refuse=refuse_inductor),
        Implementation(name="triton", function=_d_fake_triton, refuse=refuse_floats, compilable=True),
    ),
    example_shape=(1, 1, 16, 32),
)
HINGE_G = Operator(
    name="hinge_g",
    implementations=(
        Implementation(name="reference", function=hinge_g_reference),
        Implementation(name="torchscript", function=hinge_g_torchscript),
        Implementation(name="inductor", function=compiled(hinge_g_reference), refuse=refuse_inductor),
        Implementation(name="triton", function=_g_triton, refuse=refuse_floats, compilable=True),
    ),
    example_shape=(1, 1, 16, 32),
)
