"""The bias of a convolution and the leaky ReLU after it, as one operator."""

from jaxtyping import Float
from torch import Tensor

from vs_ops._compiling import compiled, refuse_inductor
from vs_ops._refusals import refuse_other_dtypes
from vs_ops._triton import refuse_floats
from vs_ops.dispatch import Implementation, Operator, select
from vs_ops.errors import DtypeError, ShapeError, VsOpsError
from vs_ops.native.bias_leaky_relu import bias_leaky_relu_native
from vs_ops.reference.bias_leaky_relu import bias_leaky_relu_reference
from vs_ops.torchscript.bias_leaky_relu import bias_leaky_relu_torchscript


def bias_leaky_relu(
    x: Float[Tensor, "n c *space"], bias: Float[Tensor, "c"], *, negative_slope: float = 0.2, impl: str = "auto"
) -> Float[Tensor, "n c *space"]:
    """Add a bias to every channel, then take the leaky ReLU.

    Args:
        x: features (N, C, ...).
        bias: (C,), of any floating dtype.
        negative_slope: slope of the leaky ReLU below zero; 0 is the ReLU.
        impl: which implementation to use.

    Arithmetic is float32 (float64 for float64 input), whatever autocast says; the result has the dtype and the memory
    format of `x`. Differentiable twice. At zero, where there is no derivative, it is the slope.

    Raises:
        ShapeError: `x` is not (N, C, ...) or bias is not (C,).
        DtypeError: `x` or bias is not of a floating dtype.
        VsOpsError: negative_slope is negative.
    """
    if x.dim() < 2 or bias.shape != x.shape[1:2]:
        raise ShapeError("bias_leaky_relu", "expected x (N, C, ...) and bias (C,)", x=x, bias=bias)
    for name, tensor in (("x", x), ("bias", bias)):
        if not tensor.is_floating_point():
            raise DtypeError("bias_leaky_relu", name, tensor.dtype, "of a floating dtype")
    if not negative_slope >= 0:
        raise VsOpsError("bias_leaky_relu", f"negative_slope must not be negative, got {negative_slope}")
    return select(BIAS_LEAKY_RELU, x, impl)(x, bias, negative_slope)


def _triton(x: Tensor, bias: Tensor, negative_slope: float) -> Tensor:
    from vs_ops.triton.bias_leaky_relu import bias_leaky_relu_triton  # here, because Triton is optional

    return bias_leaky_relu_triton(x, bias, negative_slope)


BIAS_LEAKY_RELU = Operator(
    name="bias_leaky_relu",
    implementations=(
        Implementation(name="native", function=bias_leaky_relu_native, refuse=refuse_other_dtypes),
        Implementation(name="reference", function=bias_leaky_relu_reference),
        Implementation(name="torchscript", function=bias_leaky_relu_torchscript),
        Implementation(name="inductor", function=compiled(bias_leaky_relu_reference), refuse=refuse_inductor),
        Implementation(name="triton", function=_triton, refuse=refuse_floats, compilable=True),
    ),
    example_shape=(1, 32, 128, 256),
)
