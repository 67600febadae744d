"""GELU by its definition, with the error function (Hendrycks and Gimpel, 2016): the talk's example of fusion."""

from jaxtyping import Float
from torch import Tensor

from vs_ops._compiling import compiled, refuse_inductor
from vs_ops._refusals import refuse_other_dtypes
from vs_ops._triton import refuse_floats
from vs_ops.dispatch import Implementation, Operator, select
from vs_ops.errors import DtypeError
from vs_ops.native.gelu import gelu_native
from vs_ops.reference.gelu import gelu_reference
from vs_ops.torchscript.gelu import gelu_torchscript


def gelu(x: Float[Tensor, "*shape"], *, impl: str = "auto") -> Float[Tensor, "*shape"]:
    """Apply GELU, elementwise: x * 0.5 * (1 + erf(x / sqrt(2))).

    The talk divides by 1.41421; this is the exact root, from which the talk's differs by less than 1e-5 of it.
    Arithmetic is float32 (float64 for float64 input), whatever autocast says; the result has the dtype and the memory
    format of `x`. Differentiable twice.

    Raises:
        DtypeError: `x` is not of a floating dtype.
    """
    if not x.is_floating_point():
        raise DtypeError("gelu", "x", x.dtype, "a floating dtype")
    return select(GELU, x, impl)(x)


def _triton(x: Tensor) -> Tensor:
    from vs_ops.triton.gelu import gelu_triton  # here, because Triton is optional

    return gelu_triton(x)


GELU = Operator(
    name="gelu",
    implementations=(
        Implementation(name="native", function=gelu_native, refuse=refuse_other_dtypes),
        Implementation(name="reference", function=gelu_reference),
        Implementation(name="torchscript", function=gelu_torchscript),
        Implementation(name="inductor", function=compiled(gelu_reference), refuse=refuse_inductor),
        Implementation(name="triton", function=_triton, refuse=refuse_floats, compilable=True),
    ),
    example_shape=(1, 32, 128, 256),
)
