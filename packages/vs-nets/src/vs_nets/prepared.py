"""Generators in use: what follows from weights alone is computed once, and what no gradient needs is left out.

`prepare_for_inference` returns a generator of the same kind and the same weights. It computes what the other computes
but for rounding, and makes a frame in less time; it cannot be trained.
"""

import copy
from collections.abc import Iterator, Sequence, Set
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

G = TypeVar("G", Generator, FewShotGenerator)

_MAX_KERNEL = 2**22
"""Elements of an up-sampling kernel beyond which a transposed convolution is slow: it reorders them in each call."""


@torch.no_grad()
def prepare_for_inference(generator: G) -> G:
    """Return a generator that makes frames quicker; it has the `state_dict` of `generator`, and shares its tensors.

    Put that into evaluation mode, on its device and in its memory format first, and change its weights no more: what is
    prepared would not follow.

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
    _prepare(prepared, {conv for module in prepared.modules() for conv in _upsampling_layers(module)})
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


def _prepare(module: nn.Module, upsampling: Set[nn.Module]) -> None:
    """Replace the layers of a module that have a prepared counterpart."""
    for name, child in module.named_children():
        match child:
            case WeightGenerator():
                pass  # it is called once for a subject
            case Conv2d() if child in upsampling and _kernel_elements(child.weight) <= _MAX_KERNEL:
                setattr(module, name, UpsamplingConv2d(child))
            case SpadeResidualBlock():
                _prepare(child, upsampling)
                setattr(module, name, PreparedBlock(child))
            case _:
                _prepare(child, upsampling)


def _kernel_elements(weight: Tensor) -> int:
    return int(weight.shape[0] * weight.shape[1] * (weight.shape[2] + 1) ** 2)


class UpsamplingConv2d(nn.Module):
    """A convolution of what is up-sampled, with its kernel made beforehand."""

    kernel: Tensor

    def __init__(self, conv: Conv2d) -> None:
        super().__init__()
        self.weight = conv.weight
        self.bias = conv.bias
        self.register_buffer("kernel", vs_ops.upsampling_kernel(conv.weight), persistent=False)

    def forward(self, x: Tensor, *, upsample: bool) -> Tensor:
        """Up-sample (N, C_in, H, W) and convolve it -> (N, C_out, 2H, 2W)."""
        if not upsample:
            raise VsNetsError("this convolution is prepared for what is up-sampled")
        return vs_ops.upsample_conv2d_by(x, self.kernel, self.bias)


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
            x.device.type == "cpu"
            and not torch.is_autocast_enabled("cpu")
            and self.norm_0.pointwise
            and all(list(m.shape[-2:]) == size for m in maps[: len(self.norm_0.projections)])
        )


def _normalised(x: Tensor, upsample: bool = False) -> Tensor:
    normal = vs_ops.instance_norm(x, None, None, eps=NORM_EPS)
    return upsample_nearest(normal) if upsample else normal


def _modulated(
    spade: Spade, normal: Tensor, maps: Sequence[Tensor], generated: GeneratedConv | None, activate: bool
) -> Tensor:
    """Modulate normalised features: each map costs two products and one pass over them, and no copy of halves."""
    result = normal
    for i, (projection, m) in enumerate(zip(spade.projections, maps, strict=False)):
        gamma, beta = _halves(_weights(projection, generated if i == 0 else None))
        # 1 + gamma comes out of the product, whose bias is larger by one.
        result = _product(m, beta).addcmul_(result, _product(m, GeneratedConv(gamma.weight, gamma.bias + 1)))
    return F.leaky_relu_(result, LEAKY_SLOPE) if activate else result


def _project(conv: nn.Module, x: Tensor, generated: GeneratedConv | None) -> Tensor:
    """Convolve by a kernel of one pixel."""
    return _product(x, _weights(conv, generated))


def _weights(conv: nn.Module, generated: GeneratedConv | None) -> GeneratedConv:
    """Return the weights of each sample, or those of a layer, (1, ...), for all."""
    if generated is not None:
        return generated
    match conv:
        case Conv2d():
            return GeneratedConv(conv.weight[None], conv.bias[None])
        case _:
            raise VsNetsError("the weights of this layer are generated, and it is called without")


def _halves(conv: GeneratedConv) -> tuple[GeneratedConv, GeneratedConv]:
    weights, biases = conv.weight.chunk(2, dim=1), conv.bias.chunk(2, dim=1)
    return GeneratedConv(weights[0], biases[0]), GeneratedConv(weights[1], biases[1])


def _product(x: Tensor, conv: GeneratedConv) -> Tensor:
    """Multiply every pixel: (N, C_in, H, W) and weights (N or 1, C_out, C_in, 1, 1) -> (N, C_out, H, W)."""
    n, c, height, width = x.shape
    # A product of transposed pixels rounds otherwise, and a state that was saved need not come back channels-last.
    pixels = x.contiguous(memory_format=torch.channels_last).permute(0, 2, 3, 1)
    matrix = conv.weight[..., 0, 0].transpose(1, 2)  # (N or 1, C_in, C_out)
    if len(matrix) == 1:
        rows = torch.addmm(conv.bias[0], pixels.reshape(-1, c), matrix[0])
    else:
        rows = torch.baddbmm(conv.bias[:, None], pixels.flatten(1, 2), matrix)
    return rows.view(n, height, width, -1).permute(0, 3, 1, 2)
