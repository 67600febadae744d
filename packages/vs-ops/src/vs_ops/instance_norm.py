"""Instance normalisation with an explicit eps and float32 statistics (Ulyanov et al., 2016)."""

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from vs_ops._compiling import fused, refuse_inductor
from vs_ops._precision import compute_dtype, dense, is_channels_last, memory_format_of
from vs_ops._triton import refuse_images
from vs_ops.dispatch import DescribedCall, Implementation, Operator, select
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


class _Plan(NamedTuple):
    """What follows from where a tensor is and how it lies: for small planes, asking takes as long as computing."""

    way: Callable[..., Tensor]
    dtype: torch.dtype
    """Of the statistics."""
    telling: bool
    """Whether the kernels, as those of the CPU do, compute in the dtype of `x` unless a float32 weight is with it."""
    loses_digits: bool
    """Whether the kernel's sums would be less exact than float32 can be."""


def instance_norm_native(x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float) -> Tensor:
    """`instance_norm` through PyTorch's fused kernels, which see the channels of all samples as those of one."""
    x = dense(x)
    plan = _plan(x.shape, x.dtype, x.device.type, not x.is_contiguous())
    if weight is not None:
        weight = weight.to(plan.dtype).contiguous()  # or the kernel reads what lies between
    if bias is not None:
        bias = bias.to(plan.dtype).contiguous()
    if plan.loses_digits:
        x = x - x.detach().mean((2, 3), keepdim=True)  # changes nothing, but sums of what is left are exact
    return plan.way(x, weight, bias, eps, plan)


@functools.lru_cache(maxsize=1024)
def _plan(shape: torch.Size, dtype: torch.dtype, device_type: str, together: bool) -> _Plan:
    """How to normalise a dense tensor; `together` says that it is in channels-last order."""
    narrow, on_cpu = dtype not in _WIDE, device_type == "cpu"
    pixels = math.prod(shape[2:])
    if together and _are_planes_quicker(shape, narrow, on_cpu):
        way = _by_planes
    elif not on_cpu or (_groups(shape, dtype, on_cpu) == 1 if together else narrow):
        way = _by_planes_as_they_lie
        if together:
            way = _by_pixels if shape[0] == 1 else _by_samples if pixels > _MORE_PIXELS else _by_copied_pixels
    else:
        way = _by_function
    loses_digits = way in (_by_pixels, _by_samples, _by_copied_pixels) and not narrow and pixels > _FEW_PIXELS
    wide = torch.float64 if dtype is torch.float64 else torch.float32
    return _Plan(way=way, dtype=wide, telling=on_cpu and narrow, loses_digits=on_cpu and loses_digits)


def _are_planes_quicker(shape: torch.Size, narrow: bool, on_cpu: bool) -> bool:
    """Whether channels-last is better copied to planes and back than given to a kernel as it lies.

    Not on the CPU where one sample or channel would let a gradient reach the kernel without a copy, whose strides
    mislead it. On a GPU because that takes fewer kernels than reading channels-last, and few is what small planes want.
    """
    if not on_cpu:
        return True
    samples, channels, pixels = *shape[:2], math.prod(shape[2:])
    if samples == 1 or channels == 1:
        return False
    return narrow and (pixels <= _HARDLY_PIXELS or (channels < _FEW_CHANNELS and pixels <= _MORE_PIXELS))


def _by_planes(x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float, plan: _Plan) -> Tensor:
    """Channels-last `x` copied to planes and back, by operators that need no function in Python for their gradient."""
    if weight is None and bias is None and plan.telling:
        rows = x.contiguous().view(x.shape[0] * x.shape[1], -1)
        ones = torch.ones(rows.shape[1], dtype=plan.dtype)
        result = F.layer_norm(rows, rows.shape[1:], ones, None, eps).view(x.shape)
    else:
        if weight is None and (bias is not None or plan.telling):
            weight = _repeat(None, 1, x)  # see `_by_kernel`
        result = torch.instance_norm(x, weight, bias, None, None, True, 0.0, eps, torch.backends.cudnn.enabled)
    return result.contiguous(memory_format=torch.channels_last)


def _by_planes_as_they_lie(x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float, plan: _Plan) -> Tensor:
    n, c = x.shape[:2]
    return _by_kernel(x.view(1, n * c, -1), n, weight, bias, eps, plan).view(x.shape)


def _by_pixels(x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float, plan: _Plan) -> Tensor:
    """Of one channels-last sample."""
    _, c, h, w = x.shape
    flat = _by_kernel(x.permute(0, 2, 3, 1).view(h * w, c), 1, weight, bias, eps, plan)
    return flat.view(1, h, w, c).permute(0, 3, 1, 2)


def _by_copied_pixels(x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float, plan: _Plan) -> Tensor:
    """Of channels-last samples, whose pixels of the same place are put side by side."""
    n, c, h, w = x.shape
    flat = _by_kernel(x.permute(2, 3, 0, 1).reshape(h * w, n * c), n, weight, bias, eps, plan)
    return flat.view(h, w, n, c).permute(2, 3, 0, 1).contiguous(memory_format=torch.channels_last)


def _by_samples(x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float, plan: _Plan) -> Tensor:
    """Of channels-last samples, one by one."""
    return torch.cat([_by_pixels(sample, weight, bias, eps, plan) for sample in x.split(1)])


def _by_kernel(
    flat: Tensor, samples: int, weight: Tensor | None, bias: Tensor | None, eps: float, plan: _Plan
) -> Tensor:
    """By the batch-norm kernel and its own gradient, which costs half as much of small planes as one in Python.

    It is given planes (1, NC, HW), or pixels (HW, NC) of channels-last features: these have no memory format, which the
    kernel's gradient could mistake.
    """
    if weight is not None:
        weight = _repeat(weight, samples, flat)
    elif bias is not None or plan.telling:
        weight = _repeat(None, 1, flat)  # which the second derivative wants beside a bias
    if bias is not None:
        bias = _repeat(bias, samples, flat)
    flat = torch.native_batch_norm(flat, weight, bias, None, None, True, 0.0, eps)[0]
    if plan.telling and flat.requires_grad:
        flat.register_hook(_contiguous)
    return flat


def _by_function(x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float, plan: _Plan) -> Tensor:  # noqa: ARG001
    return _InstanceNorm.apply(x, weight, bias, eps)  # type: ignore[no-any-return, no-untyped-call]


def _contiguous(grad: Tensor | None) -> Tensor | None:
    """`grad` in the strides of what the kernel returned: with others it computes in float16, and overflows.

    None is the gradient of what a second derivative does not depend on.
    """
    return None if grad is None else grad.contiguous()


class _InstanceNorm(torch.autograd.Function):
    """What the batch-norm kernels of PyTorch 2.13 do badly on the CPU.

    In channels-last they add up all pixels one after the other, which costs four digits at 512x1024, and in contiguous
    float32 they compute the variance without vector instructions, in three to four times the time of layer norm. And
    their backward returns a wrong gradient, silently, when its arguments mix the two memory formats in one of the ways
    that a size of one allows: this class owns the strides of all that reaches it.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float) -> Tensor:
        if not is_channels_last(x):
            result, mean, scale = _contiguous_forward(x, weight, bias, eps)
        elif _is_little(x):
            result, mean, scale = _formula_forward(x, weight, bias, eps)
        else:
            result, mean, scale = _grouped_forward(x, weight, bias, eps)
        ctx.save_for_backward(x, weight, mean, scale)
        ctx.eps = eps
        return result

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor | None, Tensor | None, None]:
        x, weight, mean, scale = ctx.saved_tensors
        grad = like(grad, x)
        if not is_channels_last(x):
            n, c = x.shape[:2]
            grad_x, grad_weight, grad_bias = _BACKWARD(
                _planes(grad), _planes(x), _repeat(weight, n, x), None, None, mean, scale, True, ctx.eps, [True] * 3
            )
            grad_x, grad_weight, grad_bias = grad_x.view(x.shape), grad_weight.view(n, c), grad_bias.view(n, c)
        elif torch.is_grad_enabled() or x.dtype not in _WIDE:
            grad_x, grad_weight, grad_bias = _per_sample_backward(grad, x, weight, mean, scale, ctx.eps)
        elif _is_little(x):
            grad_x, grad_weight, grad_bias = _formula_backward(grad, x, weight, mean, scale)
        else:
            grad_x, grad_weight, grad_bias = _grouped_backward(grad, x, weight, mean, scale, ctx.eps)
        wants_weight, wants_bias = ctx.needs_input_grad[1:3]
        return grad_x, grad_weight.sum(0) if wants_weight else None, grad_bias.sum(0) if wants_bias else None, None


_BACKWARD = torch.ops.aten.native_batch_norm_backward.default
_WIDE = (torch.float32, torch.float64)
_FEW_PIXELS = 128
"""May be added up one after the other in float32."""
_MORE_PIXELS = 4096
"""May be once their mean is subtracted; in a batch, 16-bit planes of so many are copied to be given to one call."""
_FEW_PIXELS_OF_LOW_PRECISION = 2**14
"""May be added up one after the other in float32 if they have the digits of float16."""
_HARDLY_PIXELS = 64
"""Are computed in less time than it takes to call for it."""
_FEW_CHANNELS = 32
"""Of 16 bits lie together in pieces too small to be copied quickly."""
_LITTLE = 2**18
"""Elements of a batch that stay in the cache, where one more pass costs less than a kernel for each sample."""


def like(grad: Tensor, x: Tensor) -> Tensor:
    """`grad` in the memory format of `x`, which is dense."""
    return dense(grad.to(x.dtype).contiguous(memory_format=memory_format_of(x)))


def _planes(x: Tensor) -> Tensor:
    """Every (sample, channel) plane as a channel of one sample: (1, NC, H, W) or (1, NC, L)."""
    return x.view(1, x.shape[0] * x.shape[1], *x.shape[2:])


def _repeat(vector: Tensor | None, times: int, x: Tensor, default: float = 1.0) -> Tensor:
    """A vector per plane in the dtype of the statistics, which is how the kernels know that dtype."""
    if vector is None:
        return torch.full((times * x.shape[1],), default, dtype=compute_dtype(x), device=x.device)
    return vector if times == 1 else vector.repeat(times)


def _groups(shape: torch.Size, dtype: torch.dtype, on_cpu: bool) -> int:
    """In how many groups the pixels of a channels-last plane are summed: its columns, if rounding calls for groups."""
    few = _FEW_PIXELS_OF_LOW_PRECISION
    if dtype in _WIDE:
        few = _MORE_PIXELS if shape[0] == 1 else _FEW_PIXELS
    return shape[3] if on_cpu and shape[2] * shape[3] > few else 1


def _groups_of(x: Tensor) -> int:
    return _groups(x.shape, x.dtype, x.device.type == "cpu")


def _is_little(x: Tensor) -> bool:
    """Whether all samples of `x` are normalised together by the formula."""
    return x.shape[0] > 1 and x.dtype in _WIDE and x.numel() <= _LITTLE


def _grouped(sample: Tensor, groups: int) -> Tensor:
    """The channels-last sample (1, C, H, W) as (1, groups * C, H * W / groups, 1), the same memory."""
    _, c, h, w = sample.shape
    return sample.permute(0, 2, 3, 1).reshape(1, h * w // groups, 1, groups * c).permute(0, 3, 1, 2)


def _moments(sample: Tensor, groups: int) -> tuple[Tensor, Tensor]:
    """Mean and variance of every channel of a channels-last sample, merged from those of its groups."""
    c = sample.shape[1]
    unused = _repeat(None, groups, sample)
    mean, variance = torch.ops.aten.batch_norm_update_stats(_grouped(sample, groups), unused, unused, 0.0)
    mean, variance = mean.view(groups, c), variance.view(groups, c)
    total = mean.mean(0)
    return total, (variance + (mean - total).square()).mean(0)


def _contiguous_forward(
    x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Result, mean (NC,) and 1 / deviation (NC,)."""
    rows = x.view(x.shape[0] * x.shape[1], -1)
    result, mean, scale = torch.native_layer_norm(rows, rows.shape[1:], None, None, eps)
    result, per_channel = result.view(x.shape), (-1,) + (1,) * (x.dim() - 2)
    if weight is not None:
        result.mul_(weight.view(per_channel))
    if bias is not None:
        result.add_(bias.view(per_channel))
    return result, mean.view(-1), scale.view(-1)


def _formula_forward(
    x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float
) -> tuple[Tensor, Tensor, Tensor]:
    """As the formula says, which takes passes over the data but no kernel for each sample."""
    mean = x.mean((2, 3), keepdim=True)
    centred = x - mean
    scale = torch.rsqrt(centred.square().mean((2, 3), keepdim=True) + eps)
    factor = scale if weight is None else scale * _per_channel(weight, x)
    result = centred.mul_(factor) if bias is None else torch.addcmul(_per_channel(bias, x), centred, factor)
    return result, mean.flatten(1), scale.flatten(1)


def _grouped_forward(
    x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float
) -> tuple[Tensor, Tensor, Tensor]:
    """By the kernels, of which that for the moments is given every sample as more channels of less pixels."""
    weight, bias, groups = _repeat(weight, 1, x), _repeat(bias, 1, x, 0.0), _groups_of(x)
    results, means, variances = [], [], []
    for sample in x.split(1):
        mean, variance = _moments(sample, groups)
        results.append(torch.native_batch_norm(sample, weight, bias, mean, variance, False, 0.0, eps)[0])
        means.append(mean)
        variances.append(variance)
    result = results[0] if len(results) == 1 else torch.cat(results)
    return result, torch.stack(means), torch.rsqrt(torch.stack(variances) + eps)


def _per_sample_backward(
    grad: Tensor, x: Tensor, weight: Tensor | None, mean: Tensor, scale: Tensor, eps: float
) -> tuple[Tensor, Tensor, Tensor]:
    """The kernel's own backward for every channels-last sample; it can be differentiated again."""
    weight = _repeat(weight, 1, x)
    grads = [
        _BACKWARD(*pair, weight, None, None, mean[i], scale[i], True, eps, [True, True, True])
        for i, pair in enumerate(zip(grad.split(1), x.split(1), strict=True))
    ]
    grad_x, grad_weight, grad_bias = zip(*grads, strict=True)
    return grad_x[0] if len(grads) == 1 else torch.cat(grad_x), torch.stack(grad_weight), torch.stack(grad_bias)


def _formula_backward(
    grad: Tensor, x: Tensor, weight: Tensor | None, mean: Tensor, scale: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """The backward of `_formula_forward`."""
    mean, scale = mean[:, :, None, None], scale[:, :, None, None]
    normal = (x - mean).mul_(scale)
    grad_bias = grad.sum((2, 3), keepdim=True)
    grad_weight = (grad * normal).sum((2, 3), keepdim=True)
    factor = scale if weight is None else scale * _per_channel(weight, x)
    share = factor / (x.shape[2] * x.shape[3])
    grad_x = torch.addcmul(-share * grad_bias, normal, -share * grad_weight).addcmul_(grad, factor)
    return grad_x, grad_weight.flatten(1), grad_bias.flatten(1)


def _grouped_backward(
    grad: Tensor, x: Tensor, weight: Tensor | None, mean: Tensor, scale: Tensor, eps: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Sums by the kernel over groups, then the gradient as a linear function of `grad` and `x`."""
    groups, (n, c, h, w) = _groups_of(x), x.shape
    ones = torch.ones(groups * c, dtype=x.dtype, device=x.device)
    sums = []
    for i, (one, other) in enumerate(zip(grad.split(1), x.split(1), strict=True)):
        statistics = mean[i].repeat(groups), scale[i].repeat(groups)
        pair = _grouped(one, groups), _grouped(other, groups)
        sums.append(_BACKWARD(*pair, ones, None, None, *statistics, True, eps, [False, True, True]))
    grad_weight = torch.stack([each[1].view(groups, c).sum(0) for each in sums])  # sum of grad * normalised x
    grad_bias = torch.stack([each[2].view(groups, c).sum(0) for each in sums])  # sum of grad
    of_grad = scale if weight is None else scale * weight
    of_x = -of_grad * scale * grad_weight / (h * w)
    constant = -of_grad * grad_bias / (h * w) - of_x * mean
    of_grad, of_x, constant = (each.view(n, c, 1, 1) for each in (of_grad, of_x, constant))
    return torch.addcmul(constant, x, of_x).addcmul_(grad, of_grad), grad_weight, grad_bias


def instance_norm_inductor(x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float) -> Tensor:
    """`instance_norm` in two compiled passes over the data, and three backward."""
    return _Fused.apply(x, weight, bias, eps)  # type: ignore[no-any-return, no-untyped-call]


class _Fused(torch.autograd.Function):
    """A backward of its own keeps one tensor, `x`, where autograd would keep the normalised one in float32 too."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float) -> Tensor:
        result, mean, scale = _fused_forward(x, weight, bias, eps=eps)
        ctx.save_for_backward(x, weight, bias, mean, scale)
        return result  # type: ignore[no-any-return]

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor | None, Tensor | None, None]:
        x, *others = ctx.saved_tensors
        return (*_fused_backward(like(grad, x), x, *others), None)


@fused
def _fused_forward(
    x: Tensor, weight: Tensor | None, bias: Tensor | None, *, eps: float
) -> tuple[Tensor, Tensor, Tensor]:
    result, mean, scale = measured(x, eps)
    if weight is not None:
        result = result * _per_channel(weight, result)
    if bias is not None:
        result = result + _per_channel(bias, result)
    return result.to(x.dtype), mean, scale


@fused
def _fused_backward(
    grad: Tensor, x: Tensor, weight: Tensor | None, bias: Tensor | None, mean: Tensor, scale: Tensor
) -> tuple[Tensor, Tensor | None, Tensor | None]:
    wide = grad.to(mean.dtype)
    result = (x.to(mean.dtype) - mean) * scale
    of_bias, of_weight = plane_sum(wide), plane_sum(wide * result)
    factor = scale if weight is None else scale * _per_channel(weight, wide)
    share = factor * (1 / x[0, 0].numel())
    grad_x = wide * factor - of_bias * share - result * (of_weight * share)
    grad_weight = None if weight is None else of_weight.sum(0).flatten().to(weight.dtype)
    grad_bias = None if bias is None else of_bias.sum(0).flatten().to(bias.dtype)
    return grad_x.to(x.dtype), grad_weight, grad_bias


def _per_channel(vector: Tensor, like: Tensor) -> Tensor:
    return vector.to(like.dtype).view(-1, *(1,) * (like.dim() - 2))


def measured(x: Tensor, eps: float) -> tuple[Tensor, Tensor, Tensor]:
    """`x` normalised, with its mean and 1 / deviation (N, C, 1, ...): `normalized` as Inductor compiles it best."""
    wide, pixels = x.to(compute_dtype(x)), x[0, 0].numel()
    mean = plane_sum(wide) / pixels
    centred = wide - mean
    scale = torch.rsqrt(plane_sum(centred.square()) / pixels + eps)
    return centred * scale, mean, scale


def plane_sum(x: Tensor) -> Tensor:
    """Sums over space (N, C, 1, ...).

    Of rows first and then of those, which keeps digits, and all threads busy in channels-last. Planes that lie together
    are summed at once if they are small, with an accumulator for every lane of a vector.
    """
    space = tuple(range(2, x.dim()))
    if x.is_contiguous() and x[0, 0].numel() <= _FEW_PIXELS_OF_LOW_PRECISION:
        return x.sum(space, keepdim=True)
    rows = x.sum(-1, keepdim=True)
    return rows if len(space) == 1 else rows.sum(space[:-1], keepdim=True)


def refuse_native(call: DescribedCall) -> str | None:
    """The kernels of PyTorch exist on these devices and want at least one element."""
    if call.device_type not in ("cpu", "cuda"):
        return f"PyTorch's batch-norm kernels are not known to be right on {call.device_type}"
    if call.dtype not in (torch.float32, torch.float64, torch.bfloat16, torch.float16):
        return f"no kernel for {call.dtype}"
    if 0 in call.shape:
        return "the kernels need at least one element"
    if math.prod(call.shape[2:]) == 1:
        return "planes of one pixel, which the kernels do not subtract from themselves exactly"
    return None


def instance_norm_triton(x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float) -> Tensor:
    """`instance_norm` by Triton."""
    from vs_ops.triton.instance_norm import instance_norm

    return instance_norm(x, weight, bias, float(eps))[0]  # type: ignore[no-any-return]


INSTANCE_NORM = Operator(
    name="instance_norm",
    implementations=(
        Implementation(name="native", function=instance_norm_native, refuse=refuse_native),
        Implementation(name="reference", function=instance_norm_reference),
        Implementation(name="inductor", function=instance_norm_inductor, refuse=refuse_inductor),
        Implementation(name="triton", function=instance_norm_triton, refuse=refuse_images, compilable=True),
    ),
)
