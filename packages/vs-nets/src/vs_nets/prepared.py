"""Generators in use: what follows from weights alone is computed once, and what no gradient needs is left out.

`prepare_for_inference` returns a generator of the same kind and the same weights. It computes what the other computes
but for rounding, and makes a frame in less time; it cannot be trained.

In float32 on the CPU, oneDNN reorders the weight of a convolution in every call; with two threads even one that was
packed for it. So weights stay as they are, and convolutions of few pixels, which that would bound, are plain products
(`WideConv2d`). In 16 bits weights would be cast in every call (`CastConv2d`).
"""

import copy
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import torch
import torch.nn.functional as F
import vs_ops
from torch import Tensor, nn

from vs_nets.embedder import Embedder
from vs_nets.errors import VsNetsError
from vs_nets.few_shot import FewShotGenerator
from vs_nets.flow import FewShotFlowNetwork, FlowNetwork
from vs_nets.generator import Generator
from vs_nets.label_map import Label, convolve_label, dense_label
from vs_nets.layers import (
    LEAKY_SLOPE,
    NORM_EPS,
    NOTHING_GENERATED,
    Conv2d,
    GeneratedBlock,
    GeneratedConv,
    Spade,
    SpadeResidualBlock,
    convolve,
    upsample_nearest,
)
from vs_nets.spectral import spectral_layers
from vs_nets.weight_generator import WeightGenerator

G = TypeVar("G", bound=Generator | FewShotGenerator)

_MAX_KERNEL = 2**22
"""Elements of an up-sampling kernel beyond which a transposed convolution is slow: it reorders them in each call."""

_MANY_CHANNELS = 128
"""Channels, in and out, from which on a convolution may be done in another way."""

_CACHED_ELEMENTS = 2**18
"""Elements of features that stay in the cache, and for which no new pages of memory are asked for."""

_FEW_PIXELS = 64
_LARGE_WEIGHT = 2**20
"""Up to so few pixels of a result, a convolution by so many weights is a product: oneDNN would reorder them."""


@torch.no_grad()
def prepare_for_inference(generator: G, dtype: torch.dtype | None = None) -> G:
    """Return a generator that makes frames quicker; it has the `state_dict` of `generator`, and shares its tensors.

    Put that into evaluation mode, on its device and in its memory format first, and change its weights no more: what is
    prepared would not follow.

    Args:
        generator: of averaged weights.
        dtype: call it under autocast to this dtype only, for which the weights of convolutions are cast once; None:
            call it as you like.

    Raises:
        VsNetsError: it has spectral norm, which averaged weights do without (see `build_ema`).
    """
    if any(True for _ in spectral_layers(generator)):
        raise VsNetsError("a generator with spectral norm cannot be prepared: give the one of averaged weights")
    tensors = (*generator.parameters(), *generator.buffers())
    prepared = copy.deepcopy(generator, {id(tensor): tensor for tensor in tensors})
    match prepared:
        case FewShotGenerator():
            prepared.prepared = True
        case _:
            pass
    upsampling = {conv for module in prepared.modules() for conv in _upsampling_layers(module)}
    _prepare(prepared, lambda conv: _prepared_conv(conv, conv in upsampling, dtype))
    return prepared


def _upsampling_layers(module: nn.Module) -> Iterator[nn.Module]:
    """Yield the layers of a module that it never calls but with `upsample`."""
    match module:
        case Embedder():
            yield from module.up
        case FlowNetwork() | FewShotFlowNetwork():
            yield from (layer for up in module.up for layer in up.children())
        case _:
            pass


def _prepare(module: nn.Module, replace: Callable[[Conv2d], nn.Module]) -> None:
    """Replace the layers of a module that have a prepared counterpart."""
    for name, child in module.named_children():
        match child:
            case WeightGenerator():
                pass  # it is called once for a subject
            case Conv2d():
                setattr(module, name, replace(child))
            case SpadeResidualBlock():
                _prepare(child, replace)
                setattr(module, name, PreparedBlock(child))
            case _:
                _prepare(child, replace)


def _prepared_conv(conv: Conv2d, upsampling: bool, dtype: torch.dtype | None) -> nn.Module:
    """Return the counterpart of a convolution, or itself; `upsampling`: it is never called but with `upsample`."""
    if upsampling and _kernel_elements(conv.weight) <= _MAX_KERNEL:
        return UpsamplingConv2d(conv, dtype)
    if dtype is not None:
        return CastConv2d(conv, dtype)
    return WideConv2d(conv) if conv.padding and min(conv.weight.shape[:2]) >= _MANY_CHANNELS else conv


def _kernel_elements(weight: Tensor) -> int:
    return int(weight.shape[0] * weight.shape[1] * (weight.shape[2] + 1) ** 2)


class UpsamplingConv2d(nn.Module):
    """A convolution of what is up-sampled, with its kernel made beforehand."""

    kernel: Tensor

    def __init__(self, conv: Conv2d, dtype: torch.dtype | None) -> None:
        super().__init__()
        self.weight = conv.weight
        self.bias = conv.bias
        self.register_buffer(
            "kernel", vs_ops.upsampling_kernel(conv.weight).to(dtype or conv.weight.dtype), persistent=False
        )

    def forward(self, x: Tensor, *, upsample: bool) -> Tensor:
        """Up-sample (N, C_in, H, W) and convolve it -> (N, C_out, 2H, 2W)."""
        if not upsample:
            raise VsNetsError("this convolution is prepared for what is up-sampled")
        return vs_ops.upsample_conv2d_by(x, self.kernel, self.bias)


class CastConv2d(nn.Module):
    """A convolution under autocast whose weight was cast beforehand."""

    cast: Tensor

    def __init__(self, conv: Conv2d, dtype: torch.dtype) -> None:
        super().__init__()
        self.weight, self.bias = conv.weight, conv.bias
        self.stride, self.padding = conv.stride, conv.padding
        self.register_buffer("cast", conv.weight.to(dtype), persistent=False)

    def forward(self, x: Label, *, upsample: bool = False) -> Tensor:
        """Convolve (N, C_in, H, W), as without preparation."""
        if upsample:
            return vs_ops.upsample_conv2d(dense_label(x), self.cast, self.bias)
        return convolve_label(x, self.cast, self.bias, self.stride, self.padding)


class WideConv2d(nn.Module):
    """A convolution with many channels, done as its size wants it where it computes in float32 on the CPU.

    Few pixels are a product of matrices, more of them are convolved by Winograd's filtering where that pays, with a
    kernel that is made when it is first asked for.
    """

    def __init__(self, conv: Conv2d) -> None:
        super().__init__()
        self.weight, self.bias = conv.weight, conv.bias
        self.stride, self.padding = conv.stride, conv.padding
        self._winograd = vs_ops.WinogradKernel()

    def forward(self, x: Tensor, *, upsample: bool = False) -> Tensor:
        """Convolve (N, C_in, H, W), as without preparation."""
        n, _, height, width = x.shape
        pixels = n * height * width * (4 if upsample else 1) // self.stride**2
        few = pixels <= _FEW_PIXELS and self.weight.numel() >= _LARGE_WEIGHT
        if few and _computes_in_float32_on_cpu(x):
            x = upsample_nearest(x) if upsample else x
            return vs_ops.product_conv2d(x, self.weight, self.bias, stride=self.stride, padding=self.padding)
        if upsample:
            return vs_ops.upsample_conv2d(x, self.weight, self.bias)
        if self.stride == 1 and vs_ops.winograd_pays(x, self.weight):
            return vs_ops.winograd_conv2d(x, self._winograd.of(self.weight), self.bias)
        return F.conv2d(x, self.weight, self.bias, self.stride, self.padding)


def _computes_in_float32_on_cpu(x: Tensor) -> bool:
    return x.device.type == "cpu" and not torch.is_autocast_enabled("cpu")


class PreparedBlock(SpadeResidualBlock):
    """A residual block that normalises its input once for both of its readers, and modulates in place."""

    def __init__(self, block: SpadeResidualBlock) -> None:
        nn.Module.__init__(self)
        self.norm_0, self.conv_0 = block.norm_0, block.conv_0
        self.norm_1, self.conv_1 = block.norm_1, block.conv_1
        self.norm_s, self.conv_s = block.norm_s, block.conv_s

    def forward(
        self,
        x: Tensor,
        maps: Sequence[Tensor],
        generated: GeneratedBlock = NOTHING_GENERATED,
        upsample: bool = False,
    ) -> Tensor:
        """Apply the block to (N, C_in, H, W), as without preparation."""
        if not self._modulates_pixels(x, maps, 2 if upsample else 1):
            return super().forward(x, maps, generated, upsample)
        normal = _normalised(x, upsample)
        dx = convolve(self.conv_0, _modulated(self.norm_0, normal, maps, generated.norm_0, True), generated.conv_0)
        hidden = _modulated(self.norm_1, _normalised(dx), maps, generated.norm_1, True)
        dx = convolve(self.conv_1, hidden, generated.conv_1)
        if self.norm_s is None or self.conv_s is None:
            return dx.add_(upsample_nearest(x) if upsample else x)
        shortcut = _modulated(self.norm_s, normal, maps, generated.norm_s, False)
        return _project(self.conv_s, shortcut, generated.conv_s).add_(dx)

    def _modulates_pixels(self, x: Tensor, maps: Sequence[Tensor], scale: int) -> bool:
        """Return whether products of pixels do all of the modulation: in float32 on the CPU, by maps as large as x."""
        size = [scale * side for side in x.shape[-2:]]
        return (
            _computes_in_float32_on_cpu(x)
            and self.norm_0.pointwise
            and all(list(m.shape[-2:]) == size for m in maps[: len(self.norm_0.projections)])
        )


def _normalised(x: Tensor, upsample: bool = False) -> Tensor:
    normal = vs_ops.instance_norm(x, None, None, eps=NORM_EPS)
    return upsample_nearest(normal) if upsample else normal


def _modulated(
    spade: Spade, normal: Tensor, maps: Sequence[Tensor], generated: GeneratedConv | None, activate: bool
) -> Tensor:
    """Modulate normalised features by two products of each map, so many pixels at a time as stay in the cache."""
    n, c, height, width = normal.shape
    rows, seen = _pixels(normal), [_pixels(m) for m in maps[: len(spade.projections)]]
    projections = [
        _scale_and_shift(_weights(projection, generated if i == 0 else None))
        for i, (projection, _) in enumerate(zip(spade.projections, seen, strict=False))
    ]
    result = torch.empty_like(rows)
    step = max(1, _CACHED_ELEMENTS // (n * c))
    for start in range(0, height * width, step):
        some = slice(start, start + step)
        x, made = rows[:, some], result[:, some]
        for m, (scale, shift) in zip(seen[:-1], projections[:-1], strict=True):
            x = _multiplied(m[:, some], shift).addcmul_(x, _multiplied(m[:, some], scale))
        scale, shift = projections[-1]
        torch.addcmul(_multiplied(seen[-1][:, some], shift), x, _multiplied(seen[-1][:, some], scale), out=made)
        if activate:
            F.leaky_relu_(made, LEAKY_SLOPE)
    return _picture(result, height, width)


def _project(conv: nn.Module, x: Tensor, generated: GeneratedConv | None) -> Tensor:
    """Convolve by a kernel of one pixel."""
    return _picture(_multiplied(_pixels(x), _weights(conv, generated)), *x.shape[-2:])


def _weights(conv: nn.Module, generated: GeneratedConv | None) -> GeneratedConv:
    """Return the weights of each sample, or those of a layer, (1, ...), for all."""
    if generated is not None:
        return generated
    match conv:
        case Conv2d():
            return GeneratedConv(conv.weight[None], conv.bias[None])
        case _:
            raise VsNetsError("the weights of this layer are generated, and it is called without")


def _scale_and_shift(conv: GeneratedConv) -> tuple[GeneratedConv, GeneratedConv]:
    """Return what makes 1 + gamma, by a bias that is larger by one, and what makes beta."""
    weights, biases = conv.weight.chunk(2, dim=1), conv.bias.chunk(2, dim=1)
    return GeneratedConv(weights[0], biases[0] + 1), GeneratedConv(weights[1], biases[1])


def _pixels(x: Tensor) -> Tensor:
    """Return (N, C, H, W) as (N, H * W, C)."""
    # A product of transposed pixels rounds otherwise, and a state that was saved need not come back channels-last.
    return x.contiguous(memory_format=torch.channels_last).permute(0, 2, 3, 1).flatten(1, 2)


def _picture(pixels: Tensor, height: int, width: int) -> Tensor:
    """Return (N, H * W, C) as (N, C, H, W)."""
    n, _, c = pixels.shape
    return pixels.view(n, height, width, c).permute(0, 3, 1, 2)


def _multiplied(pixels: Tensor, conv: GeneratedConv) -> Tensor:
    """Multiply pixels (N, P, C_in) by weights (N or 1, C_out, C_in, 1, 1) -> (N, P, C_out)."""
    matrix = conv.weight[..., 0, 0].transpose(1, 2)  # (N or 1, C_in, C_out)
    if len(matrix) == 1:
        n, count, _ = pixels.shape
        return torch.addmm(conv.bias[0], pixels.flatten(0, 1), matrix[0]).view(n, count, -1)
    return torch.baddbmm(conv.bias[:, None], pixels, matrix)
