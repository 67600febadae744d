"""GELU by its definition, with the error function (Hendrycks and Gimpel, 2016): the talk's example of fusion."""

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from vs_ops._compiling import compiled, refuse_inductor
from vs_ops._precision import compute_dtype
from vs_ops._scripting import scripted
from vs_ops._triton import refuse_floats
from vs_ops.dispatch import DescribedCall, Implementation, Operator, select
from vs_ops.errors import DtypeError

__all__ = ["GELU", "gelu"]


def gelu(x: Float[Tensor, "*shape"], *, impl: str = "auto") -> Float[Tensor, "*shape"]:
    """GELU, elementwise: x * 0.5 * (1 + erf(x / sqrt(2))).

    The talk divides by 1.41421; this is the exact root, from which the talk's differs by less than 1e-5 of it.
    Arithmetic is float32 (float64 for float64 input), whatever autocast says; the result has the dtype and the memory
    format of `x`. Differentiable twice.

    Raises:
        DtypeError: `x` is not of a floating dtype.
    """
    if not x.is_floating_point():
        raise DtypeError("gelu", "x", x.dtype, "a floating dtype")
    return select(GELU, x, impl)(x)  # type: ignore[no-any-return]


def gelu_reference(x: Tensor) -> Tensor:
    """`gelu`, readable: the talk's five elementwise operations."""
    wide = x.to(compute_dtype(x))
    return (wide * 0.5 * (1.0 + torch.erf(wide / math.sqrt(2.0)))).to(x.dtype)


def gelu_native(x: Tensor) -> Tensor:
    """`gelu` by PyTorch's own kernel, one pass, which computes 16-bit input in float32 too."""
    return F.gelu(x)


def _refuse_native(call: DescribedCall) -> str | None:
    if call.dtype not in (torch.float32, torch.float64, torch.bfloat16, torch.float16):
        return f"no kernel for {call.dtype}"
    return None


@scripted
def _scripted_gelu(x: Tensor, root: float, dtype: torch.dtype) -> Tensor:
    wide = x.to(dtype)
    return (wide * 0.5 * (1.0 + torch.erf(wide / root))).to(x.dtype)


def gelu_torchscript(x: Tensor) -> Tensor:
    """`gelu`, scripted."""
    return _scripted_gelu(x, math.sqrt(2.0), compute_dtype(x))  # type: ignore[no-any-return]


def gelu_triton(x: Tensor) -> Tensor:
    """`gelu` by Triton."""
    from vs_ops.triton.gelu import gelu

    return gelu(x)  # type: ignore[no-any-return]


GELU = Operator(
    name="gelu",
    implementations=(
        Implementation(name="native", function=gelu_native, refuse=_refuse_native),
        Implementation(name="reference", function=gelu_reference),
        Implementation(name="torchscript", function=gelu_torchscript),
        Implementation(name="inductor", function=compiled(gelu_reference), refuse=refuse_inductor),
        Implementation(name="triton", function=gelu_triton, refuse=refuse_floats, compilable=True),
    ),
)
