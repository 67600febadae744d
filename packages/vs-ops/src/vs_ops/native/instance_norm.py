"""`instance_norm` through PyTorch's fused kernels, which see the channels of all samples as those of one."""

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from vs_ops._layout import dense, is_channels_last, laid_out_as, per_channel
from vs_ops._precision import compute_dtype
from vs_ops._refusals import refuse_empty, refuse_other_devices, refuse_other_dtypes
from vs_ops.dispatch import DescribedCall

_BACKWARD = torch.ops.aten.native_batch_norm_backward.default
_FLOAT32_AND_MORE = (torch.float32, torch.float64)
_SEQUENTIAL_PIXELS = 128
"""Pixels that may be added up one after the other in float32."""
_SEQUENTIAL_PIXELS_CENTRED = 4096
"""Pixels that may be once their mean is subtracted; in a batch, 16-bit planes of so many are copied for one call."""
_SEQUENTIAL_PIXELS_OF_16_BITS = 2**14
"""Pixels that may be added up one after the other in float32 if they have the digits of float16."""
_CALL_BOUND_PIXELS = 64
"""Pixels of a plane that are computed in less time than it takes to call for it."""
_MIN_COPIED_CHANNELS = 32
"""Channels of 16 bits below which those of a pixel are pieces too small to be copied quickly."""
_CACHED_ELEMENTS = 2**18
"""Elements of a batch that stay in the cache, where one more pass costs less than a kernel for each sample."""


class _Plan(NamedTuple):
    """A plan by where a tensor is and how it lies: for small planes, asking takes as long as computing."""

    way: Callable[..., Tensor]
    dtype: torch.dtype
    """Of the statistics."""
    needs_weight: bool
    """Whether the kernels, as those of the CPU do, compute in the dtype of `x` unless a float32 weight is with it."""
    loses_digits: bool
    """Whether the kernel's sums would be less exact than float32 can be."""


def instance_norm_native(x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float) -> Tensor:
    """Compute `instance_norm` by the kernels that suit where `x` is and how it lies."""
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
def _plan(shape: torch.Size, dtype: torch.dtype, device_type: str, channels_last: bool) -> _Plan:
    """Decide how to normalise a dense tensor."""
    narrow, on_cpu = dtype not in _FLOAT32_AND_MORE, device_type == "cpu"
    pixels = math.prod(shape[2:])
    if channels_last and _are_planes_quicker(shape, narrow, on_cpu):
        way = _by_planes
    elif on_cpu and (_groups(shape, dtype, on_cpu) > 1 if channels_last else not narrow):
        way = _by_function
    elif not channels_last:
        way = _by_planes_as_they_lie
    elif shape[0] == 1:
        way = _by_pixels
    else:
        way = _by_samples if pixels > _SEQUENTIAL_PIXELS_CENTRED else _by_copied_pixels
    loses_digits = way in (_by_pixels, _by_samples, _by_copied_pixels) and not narrow and pixels > _SEQUENTIAL_PIXELS
    wide = torch.float64 if dtype is torch.float64 else torch.float32
    return _Plan(way=way, dtype=wide, needs_weight=on_cpu and narrow, loses_digits=on_cpu and loses_digits)


def _are_planes_quicker(shape: torch.Size, narrow: bool, on_cpu: bool) -> bool:
    """Return whether channels-last is better copied to planes and back than given to a kernel as it lies.

    Not on the CPU where one sample or channel would let a gradient reach the kernel without a copy, whose strides
    mislead it. On a GPU because that takes fewer kernels than reading channels-last, and few is what small planes want.
    """
    if not on_cpu:
        return True
    samples, channels, pixels = *shape[:2], math.prod(shape[2:])
    if samples == 1 or channels == 1:
        return False
    fragmented = channels < _MIN_COPIED_CHANNELS and pixels <= _SEQUENTIAL_PIXELS_CENTRED
    return narrow and (pixels <= _CALL_BOUND_PIXELS or fragmented)


def _by_planes(x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float, plan: _Plan) -> Tensor:
    """Normalise channels-last `x` copied to planes and back, by operators with a gradient that is not in Python."""
    if weight is None and bias is None and plan.needs_weight:
        rows = x.contiguous().view(x.shape[0] * x.shape[1], -1)
        ones = torch.ones(rows.shape[1], dtype=plan.dtype)
        result = F.layer_norm(rows, rows.shape[1:], ones, None, eps).view(x.shape)
    else:
        if weight is None and (bias is not None or plan.needs_weight):
            weight = _repeat(None, 1, x)  # see `_by_kernel`
        result = torch.instance_norm(x, weight, bias, None, None, True, 0.0, eps, torch.backends.cudnn.enabled)
    return result.contiguous(memory_format=torch.channels_last)


def _by_planes_as_they_lie(x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float, plan: _Plan) -> Tensor:
    n, c = x.shape[:2]
    return _by_kernel(x.view(1, n * c, -1), n, weight, bias, eps, plan).view(x.shape)


def _by_pixels(x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float, plan: _Plan) -> Tensor:
    """Normalise one channels-last sample."""
    _, c, h, w = x.shape
    flat = _by_kernel(x.permute(0, 2, 3, 1).view(h * w, c), 1, weight, bias, eps, plan)
    return flat.view(1, h, w, c).permute(0, 3, 1, 2)


def _by_copied_pixels(x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float, plan: _Plan) -> Tensor:
    """Normalise channels-last samples, whose pixels of the same place are put side by side."""
    n, c, h, w = x.shape
    flat = _by_kernel(x.permute(2, 3, 0, 1).reshape(h * w, n * c), n, weight, bias, eps, plan)
    return flat.view(h, w, n, c).permute(2, 3, 0, 1).contiguous(memory_format=torch.channels_last)


def _by_samples(x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float, plan: _Plan) -> Tensor:
    """Normalise channels-last samples, one by one."""
    return torch.cat([_by_pixels(sample, weight, bias, eps, plan) for sample in x.split(1)])


def _by_kernel(
    flat: Tensor, samples: int, weight: Tensor | None, bias: Tensor | None, eps: float, plan: _Plan
) -> Tensor:
    """Normalise by the batch-norm kernel and its own gradient.

    That costs half as much of small planes as a gradient in Python. The kernel is given planes (1, NC, HW), or
    pixels (HW, NC) of channels-last features: these have no memory format, which the kernel's gradient could mistake.
    """
    if weight is not None:
        weight = _repeat(weight, samples, flat)
    elif bias is not None or plan.needs_weight:
        weight = _repeat(None, 1, flat)  # which the second derivative wants beside a bias
    if bias is not None:
        bias = _repeat(bias, samples, flat)
    flat = torch.native_batch_norm(flat, weight, bias, None, None, True, 0.0, eps)[0]
    if plan.needs_weight and flat.requires_grad:
        flat.register_hook(_contiguous)
    return flat


def _by_function(x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float, plan: _Plan) -> Tensor:  # noqa: ARG001
    return _instance_norm(x, weight, bias, eps)


def _contiguous(grad: Tensor | None) -> Tensor | None:
    """Return `grad` in the strides of what the kernel returned: with others it computes in float16, and overflows.

    None is the gradient of what a second derivative does not depend on.
    """
    return None if grad is None else grad.contiguous()


class _InstanceNorm(torch.autograd.Function):
    """A replacement for what the batch-norm kernels of PyTorch 2.13 do badly on the CPU.

    In channels-last they add up all pixels one after the other, which costs four digits at 512x1024, and in contiguous
    float32 they compute the variance without vector instructions, in three to four times the time of layer norm. And
    their backward returns a wrong gradient, silently, when its arguments mix the two memory formats in one of the ways
    that a size of one allows: this class owns the strides of all that reaches it.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float) -> Tensor:
        if not is_channels_last(x):
            result, mean, scale = _contiguous_forward(x, weight, bias, eps)
        elif _uses_formula(x):
            result, mean, scale = _formula_forward(x, weight, bias, eps)
        else:
            result, mean, scale = _grouped_forward(x, weight, bias, eps)
        ctx.save_for_backward(x, weight, mean, scale)
        ctx.eps = eps
        return result

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor | None, Tensor | None, None]:
        x, weight, mean, scale = ctx.saved_tensors
        grad = laid_out_as(grad, x)
        if not is_channels_last(x):
            n, c = x.shape[:2]
            grad_x, grad_weight, grad_bias = _BACKWARD(
                _planes(grad), _planes(x), _repeat(weight, n, x), None, None, mean, scale, True, ctx.eps, [True] * 3
            )
            grad_x, grad_weight, grad_bias = grad_x.view(x.shape), grad_weight.view(n, c), grad_bias.view(n, c)
        elif torch.is_grad_enabled() or x.dtype not in _FLOAT32_AND_MORE:
            grad_x, grad_weight, grad_bias = _per_sample_backward(grad, x, weight, mean, scale, ctx.eps)
        elif _uses_formula(x):
            grad_x, grad_weight, grad_bias = _formula_backward(grad, x, weight, mean, scale)
        else:
            grad_x, grad_weight, grad_bias = _grouped_backward(grad, x, weight, mean, scale, ctx.eps)
        wants_weight, wants_bias = ctx.needs_input_grad[1:3]
        return grad_x, grad_weight.sum(0) if wants_weight else None, grad_bias.sum(0) if wants_bias else None, None


_instance_norm: Callable[[Tensor, Tensor | None, Tensor | None, float], Tensor] = _InstanceNorm.apply


def _planes(x: Tensor) -> Tensor:
    """Return every (sample, channel) plane as a channel of one sample: (1, NC, H, W) or (1, NC, L)."""
    return x.view(1, x.shape[0] * x.shape[1], *x.shape[2:])


def _repeat(vector: Tensor | None, times: int, x: Tensor, default: float = 1.0) -> Tensor:
    """Return a vector per plane in the dtype of the statistics, which is how the kernels know that dtype."""
    if vector is None:
        return torch.full((times * x.shape[1],), default, dtype=compute_dtype(x), device=x.device)
    return vector if times == 1 else vector.repeat(times)


def _groups(shape: torch.Size, dtype: torch.dtype, on_cpu: bool) -> int:
    """Return in how many groups a channels-last plane's pixels are summed: its columns, if rounding asks for it."""
    sequential = _SEQUENTIAL_PIXELS_OF_16_BITS
    if dtype in _FLOAT32_AND_MORE:
        sequential = _SEQUENTIAL_PIXELS_CENTRED if shape[0] == 1 else _SEQUENTIAL_PIXELS
    return shape[3] if on_cpu and shape[2] * shape[3] > sequential else 1


def _groups_of(x: Tensor) -> int:
    return _groups(x.shape, x.dtype, x.device.type == "cpu")


def _uses_formula(x: Tensor) -> bool:
    """Return whether all samples of `x` are normalised together by the formula."""
    return x.shape[0] > 1 and x.dtype in _FLOAT32_AND_MORE and x.numel() <= _CACHED_ELEMENTS


def _grouped(sample: Tensor, groups: int) -> Tensor:
    """Return the channels-last sample (1, C, H, W) as (1, groups * C, H * W / groups, 1), the same memory."""
    _, c, h, w = sample.shape
    return sample.permute(0, 2, 3, 1).reshape(1, h * w // groups, 1, groups * c).permute(0, 3, 1, 2)


def _moments(sample: Tensor, groups: int) -> tuple[Tensor, Tensor]:
    """Return mean and variance of every channel of a channels-last sample, merged from those of its groups."""
    c = sample.shape[1]
    unused = _repeat(None, groups, sample)
    mean, variance = torch.ops.aten.batch_norm_update_stats(_grouped(sample, groups), unused, unused, 0.0)
    mean, variance = mean.view(groups, c), variance.view(groups, c)
    total = mean.mean(0)
    return total, (variance + (mean - total).square()).mean(0)


def _contiguous_forward(
    x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the result, mean (NC,) and 1 / deviation (NC,)."""
    rows = x.view(x.shape[0] * x.shape[1], -1)
    result, mean, scale = torch.native_layer_norm(rows, rows.shape[1:], None, None, eps)
    result = result.view(x.shape)
    if weight is not None:
        result.mul_(per_channel(weight, x))
    if bias is not None:
        result.add_(per_channel(bias, x))
    return result, mean.view(-1), scale.view(-1)


def _formula_forward(
    x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Compute as the formula says, which takes passes over the data but no kernel for each sample."""
    mean = x.mean((2, 3), keepdim=True)
    centred = x - mean
    scale = torch.rsqrt(centred.square().mean((2, 3), keepdim=True) + eps)
    factor = scale if weight is None else scale * per_channel(weight, x)
    result = centred.mul_(factor) if bias is None else torch.addcmul(per_channel(bias, x), centred, factor)
    return result, mean.flatten(1), scale.flatten(1)


def _grouped_forward(
    x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Compute by the kernels, of which that for the moments is given every sample as more channels of less pixels."""
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
    """Run the kernel's own backward for every channels-last sample; it can be differentiated again."""
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
    """Run the backward of `_formula_forward`."""
    mean, scale = mean[:, :, None, None], scale[:, :, None, None]
    normal = (x - mean).mul_(scale)
    grad_bias = grad.sum((2, 3), keepdim=True)
    grad_weight = (grad * normal).sum((2, 3), keepdim=True)
    factor = scale if weight is None else scale * per_channel(weight, x)
    mean_factor = factor / (x.shape[2] * x.shape[3])
    grad_x = torch.addcmul(-mean_factor * grad_bias, normal, -mean_factor * grad_weight).addcmul_(grad, factor)
    return grad_x, grad_weight.flatten(1), grad_bias.flatten(1)


def _grouped_backward(
    grad: Tensor, x: Tensor, weight: Tensor | None, mean: Tensor, scale: Tensor, eps: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Sum by the kernel over groups, then compute the gradient as a linear function of `grad` and `x`."""
    groups, (n, c, h, w) = _groups_of(x), x.shape
    ones = torch.ones(groups * c, dtype=x.dtype, device=x.device)
    sums = []
    for i, (one, other) in enumerate(zip(grad.split(1), x.split(1), strict=True)):
        statistics = mean[i].repeat(groups), scale[i].repeat(groups)
        pair = _grouped(one, groups), _grouped(other, groups)
        sums.append(_BACKWARD(*pair, ones, None, None, *statistics, True, eps, [False, True, True]))
    grad_weight = torch.stack([each[1].view(groups, c).sum(0) for each in sums])  # sum of grad * normalised x
    grad_bias = torch.stack([each[2].view(groups, c).sum(0) for each in sums])  # sum of grad
    # grad_x = grad * grad_factor + x * x_factor + constant, for every channel of every sample.
    grad_factor = scale if weight is None else scale * weight
    x_factor = -grad_factor * scale * grad_weight / (h * w)
    constant = -grad_factor * grad_bias / (h * w) - x_factor * mean
    grad_factor, x_factor, constant = (each.view(n, c, 1, 1) for each in (grad_factor, x_factor, constant))
    return torch.addcmul(constant, x, x_factor).addcmul_(grad, grad_factor), grad_weight, grad_bias


def refuse_native(call: DescribedCall) -> str | None:
    """Refuse what PyTorch's kernels are not there for, or are not exact for."""
    reason = refuse_other_devices(call, "batch-norm kernels") or refuse_other_dtypes(call) or refuse_empty(call)
    if reason is None and math.prod(call.shape[2:]) == 1:
        return "planes of one pixel, which the kernels do not subtract from themselves exactly"
    return reason
