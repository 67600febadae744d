"""SPADE: spatially adaptive (de)normalisation by conditioning maps (Park et al., CVPR 2019)."""

import functools
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from vs_ops._compiling import fused, refuse_inductor
from vs_ops._precision import compute_dtype, is_channels_last, memory_format_of
from vs_ops._scripting import scripted
from vs_ops._triton import refuse_images
from vs_ops.dispatch import Implementation, Operator, select
from vs_ops.errors import ShapeError, VsOpsError
from vs_ops.instance_norm import instance_norm_native, measured, normalized, plane_sum, refuse_native

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
    """`spade` with the fused instance norm, then every map as one step of few passes and few new tensors.

    It up-samples what is normalised, so that the backward of the norm sees gradients summed over 2x2 pixels.
    """
    result = instance_norm_native(x, None, None, eps)
    if upsample:
        result = _doubled(result)
    for index, gamma_beta in enumerate(gamma_betas):
        if gamma_beta.dtype is not result.dtype:
            wide = torch.promote_types(gamma_beta.dtype, result.dtype)
            result, gamma_beta = result.to(wide), gamma_beta.to(wide)
        slope = negative_slope if index == len(gamma_betas) - 1 else None
        result = _modulate(result, gamma_beta, slope)
    if negative_slope is not None and not gamma_betas:
        result = F.leaky_relu(result, negative_slope)
    return result if result.dtype is x.dtype else result.to(x.dtype)


class _Plan(NamedTuple):
    """How to modulate, which follows from where the tensors are and how they lie."""

    by_calls: bool
    """Whether operators of PyTorch, more of them and with more new tensors, take less time than a function in Python.

    So on a GPU, and with few pixels. Of maps whose halves are copied anyway, one copy is all that it takes, if they are
    in the cache and have channels enough for a vector.
    """
    by_addcmul: bool
    """Whether `addcmul` is quick (see `_scaled`), and the maps, whose order it answers in, lie as x does."""


@functools.lru_cache(maxsize=1024)
def _plan(shape: torch.Size, device_type: str, together: bool, maps_dtype: torch.dtype, maps_together: bool) -> _Plan:
    """The plan for features of a shape; `together` says that they, or the maps, are in channels-last order."""
    if device_type != "cpu":
        return _Plan(by_calls=True, by_addcmul=together is maps_together)
    apart = maps_dtype.itemsize == 2 and maps_together
    few = math.prod(shape[2:]) <= _HARDLY_PIXELS
    copied = apart and together and shape[1] >= _VECTOR and math.prod(shape) <= _LITTLE
    return _Plan(by_calls=few or copied, by_addcmul=together is maps_together and apart)


_LITTLE = 2**18
_HARDLY_PIXELS = 64
_VECTOR = 32


def _modulate(x: Tensor, gamma_beta: Tensor, slope: float | None) -> Tensor:
    """Scale by 1 + gamma, shift by beta, then leaky ReLU."""
    orders = is_channels_last(x), is_channels_last(gamma_beta)
    plan = _plan(x.shape, x.device.type, orders[0], gamma_beta.dtype, orders[1])
    if not plan.by_calls:
        return _Modulation.apply(x, gamma_beta, slope)  # type: ignore[no-any-return, no-untyped-call]
    gamma, beta = gamma_beta.chunk(2, dim=1)
    result = torch.addcmul(beta, x, gamma + 1) if plan.by_addcmul else torch.mul(x, gamma + 1).add_(beta)
    return result if slope is None else F.leaky_relu_(result, slope)


class _Modulation(torch.autograd.Function):
    """`_modulate` with few new tensors.

    On the CPU a new tensor costs more than the arithmetic that fills it. Autograd makes one for every operation; here
    they are the result, forward, and the two gradients, backward, of which that of the maps is written half by half.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, gamma_beta: Tensor, slope: float | None) -> Tensor:
        gamma, beta = _halves(gamma_beta)
        result = _scaled(x, gamma).add_(beta)
        if slope is not None:
            F.leaky_relu_(result, slope)
        ctx.save_for_backward(x, gamma_beta, None if slope is None else result)
        ctx.slope = slope
        return result

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None]:
        x, gamma_beta, result = ctx.saved_tensors
        if torch.is_grad_enabled():
            if result is not None:
                grad = torch.where(result > 0, grad, ctx.slope * grad)
            gamma = gamma_beta.chunk(2, dim=1)[0]
            return grad * (1 + gamma), torch.cat((grad * x, grad), dim=1), None
        if _lies_apart(gamma_beta):
            if result is not None:
                grad = torch.ops.aten.leaky_relu_backward(grad, result, ctx.slope, True)
            return _scaled(grad, _halves(gamma_beta)[0]), torch.cat((grad * x, grad), dim=1), None
        both = torch.empty_like(gamma_beta)
        of_gamma, of_beta = both.chunk(2, dim=1)
        if result is None:
            of_beta.copy_(grad)
        else:
            _LEAKY_RELU_BACKWARD(grad, result, ctx.slope, True, grad_input=of_beta)
            grad = of_beta
        torch.mul(grad, x, out=of_gamma)
        return _scaled(grad, gamma_beta.chunk(2, dim=1)[0]), both, None


def _lies_apart(gamma_beta: Tensor) -> bool:
    """Whether halves of it are better copied: on the CPU, kernels crawl over 16-bit channels between other channels."""
    return gamma_beta.device.type == "cpu" and gamma_beta.dtype.itemsize == 2 and is_channels_last(gamma_beta)


def _halves(gamma_beta: Tensor) -> tuple[Tensor, Tensor]:
    """Gamma and beta."""
    gamma, beta = gamma_beta.chunk(2, dim=1)
    if not _lies_apart(gamma_beta):
        return gamma, beta
    return gamma.contiguous(memory_format=torch.channels_last), beta.contiguous(memory_format=torch.channels_last)


def _scaled(x: Tensor, gamma: Tensor) -> Tensor:
    """Scale by 1 + gamma; addcmul is slow where pixels lie apart, as those of half of the channels in channels-last."""
    if gamma.stride(-1) == 1 or gamma.stride() == x.stride():
        return torch.addcmul(x, x, gamma)
    return torch.mul(x, gamma).add_(x)


_LEAKY_RELU_BACKWARD = torch.ops.aten.leaky_relu_backward.grad_input


def spade_inductor(
    x: Tensor, gamma_betas: Sequence[Tensor], eps: float, negative_slope: float | None, upsample: bool
) -> Tensor:
    """`spade` in three compiled passes over the data, and two backward, that keep nothing but their arguments."""
    return _Fused.apply(x, eps, negative_slope, upsample, *gamma_betas)  # type: ignore[no-any-return, no-untyped-call]


class _Fused(torch.autograd.Function):
    """Left to itself, autograd keeps what every map returns, in float32, and Inductor copies the maps' gradients."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, eps: float, negative_slope: float | None, upsample: bool, *gamma_betas: Tensor
    ) -> Tensor:
        result, mean, scale = _fused_forward(x, *gamma_betas, eps=eps, negative_slope=negative_slope, upsample=upsample)
        ctx.save_for_backward(x, mean, scale, *gamma_betas)
        ctx.negative_slope, ctx.upsample = negative_slope, upsample
        return result  # type: ignore[no-any-return]

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, *others = ctx.saved_tensors
        grad = grad.contiguous(memory_format=memory_format_of(x))
        grad_x, *grads = _fused_backward(grad, x, *others, negative_slope=ctx.negative_slope, upsample=ctx.upsample)
        return grad_x, None, None, None, *grads


@fused
def _fused_forward(
    x: Tensor, *gamma_betas: Tensor, eps: float, negative_slope: float | None, upsample: bool
) -> tuple[Tensor, Tensor, Tensor]:
    result, mean, scale = measured(x, eps)
    result = _modulated(_repeated(result) if upsample else result, gamma_betas)[-1]
    if negative_slope is not None:
        result = torch.where(result > 0, result, negative_slope * result)
    return result.to(x.dtype), mean, scale


@fused
def _fused_backward(
    grad: Tensor,
    x: Tensor,
    mean: Tensor,
    scale: Tensor,
    *gamma_betas: Tensor,
    negative_slope: float | None,
    upsample: bool,
) -> tuple[Tensor, ...]:
    """Computes everything again from `x` and the maps: reading them once more costs less than keeping more."""
    normal = (x.to(mean.dtype) - mean) * scale
    steps = _modulated(_repeated(normal) if upsample else normal, gamma_betas)
    wide = grad.to(mean.dtype)
    if negative_slope is not None:
        wide = torch.where(steps[-1] > 0, wide, negative_slope * wide)
    grads = []
    for step, gamma_beta in zip(reversed(steps[:-1]), reversed(gamma_betas), strict=True):
        # Rounded before they are put together, or Inductor puts them together in float32 first.
        grads.append(torch.cat(((wide * step).to(gamma_beta.dtype), wide.to(gamma_beta.dtype)), dim=1))
        wide = wide * (1 + gamma_beta.chunk(2, dim=1)[0].to(wide.dtype))
    if upsample:
        wide = wide.unflatten(3, (-1, 2)).sum(4).unflatten(2, (-1, 2)).sum(3)
    of_mean, of_scale = (plane_sum(each) * (scale * (1 / x[0, 0].numel())) for each in (wide, wide * normal))
    return (wide * scale - of_mean - normal * of_scale).to(x.dtype), *grads[::-1]


def _modulated(result: Tensor, gamma_betas: Sequence[Tensor]) -> list[Tensor]:
    """`result` and what it becomes by every map, in the dtype of `result`."""
    steps = [result]
    for gamma_beta in gamma_betas:
        gamma, beta = gamma_beta.to(result.dtype).chunk(2, dim=1)
        steps.append(steps[-1] * (1 + gamma) + beta)
    return steps


def _repeated(x: Tensor) -> Tensor:
    """Every pixel four times, as a view of what the compiler reads where it is, in the memory format of `x`."""
    n, c, h, w = x.shape
    if is_channels_last(x):
        pixels = x.permute(0, 2, 3, 1)[:, :, None, :, None].expand(n, h, 2, w, 2, c)
        return pixels.reshape(n, 2 * h, 2 * w, c).permute(0, 3, 1, 2)
    return x[:, :, :, None, :, None].expand(n, c, h, 2, w, 2).reshape(n, c, 2 * h, 2 * w)


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
        Implementation(name="inductor", function=spade_inductor, refuse=refuse_inductor),
        Implementation(name="triton", function=spade_triton, refuse=refuse_images, compilable=True),
    ),
)
