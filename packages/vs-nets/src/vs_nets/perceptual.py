"""VGG-19 features for the perceptual loss (Simonyan and Zisserman, 2015; Johnson et al., 2016)."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import ClassVar, assert_never

import attrs
import torch
import torch.nn.functional as F
import vs_ops
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from vs_config import REQUIRED, choice, path, whole

from vs_nets.errors import WeightsError
from vs_nets.limits import MAX_SCALES

CONV_INDICES = (0, 2, 5, 7, 10, 12, 14, 16, 19, 21, 23, 25, 28)
"""Positions in the published sequence of layers up to the convolution of relu_5_1; nothing after it is computed."""
WIDTHS = (64, 64, 128, 128, 256, 256, 256, 256, 512, 512, 512, 512, 512)
TAPS = (0, 2, 4, 8, 12)
"""Convolutions whose activations are compared: relu_1_1, relu_2_1, relu_3_1, relu_4_1, relu_5_1."""
POOLED = (2, 4, 8, 12)
"""Convolutions with a 2x2 maximum pooling in front."""
TAP_WEIGHTS = (1 / 32, 1 / 16, 1 / 8, 1 / 4, 1.0)
"""Published weights of the compared layers, for features that were trained: deep ones mean the most."""
RANDOM_TAP_WEIGHTS = (0.3, 0.3, 0.3, 0.3, 0.3)
"""Of random features the deep ones mean no more than the shallow ones, and only see coarser; about the same sum."""
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


@attrs.frozen(kw_only=True)
class NoPerceptual:
    """No perceptual loss."""

    kind: ClassVar[str] = "none"


@attrs.frozen(kw_only=True)
class FilePerceptual:
    """The published VGG-19 weights from a safetensors file with torchvision's names (`features.0.weight`, ...)."""

    kind: ClassVar[str] = "file"
    path: str = path(
        REQUIRED, "safetensors file; tools/convert_vgg19.py makes it from torchvision's vgg19-dcbb9e9d.pth"
    )
    scales: int = whole(3, "image scales, each half of the one before", low=1, high=MAX_SCALES)


@attrs.frozen(kw_only=True)
class RandomPerceptual:
    """A VGG-19 with random weights: no download, weaker than the published one, but sees structure at all scales.

    Its layers weigh the same, where those of the published one weigh the more the deeper they are.
    """

    kind: ClassVar[str] = "random"
    seed: int = whole(0, "seed of the weights", low=0, high=2**63 - 1)
    width_divisor: int = choice(4, "channels are VGG-19's divided by this", (1, 2, 4, 8, 16))
    scales: int = whole(1, "image scales, each half of the one before", low=1, high=MAX_SCALES)


PerceptualConfig = NoPerceptual | FilePerceptual | RandomPerceptual


class FrozenConv2d(nn.Conv2d):
    """A 3x3 convolution that keeps the size and is never trained: where it pays, by a kernel that is made once."""

    def __init__(self, c_in: int, c_out: int) -> None:
        super().__init__(c_in, c_out, 3, padding=1)
        self._winograd = vs_ops.WinogradKernel()

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002
        """Convolve (N, C_in, H, W)."""
        if vs_ops.winograd_pays(input, self.weight):
            return vs_ops.winograd_conv2d(input, self._winograd.of(self.weight), self.bias)
        return super().forward(input)


class Vgg19(nn.Module):
    """The convolutions of VGG-19 up to relu_5_1, frozen; parameters are named by their published positions."""

    mean: Tensor
    std: Tensor

    def __init__(self, widths: Sequence[int] = WIDTHS) -> None:
        super().__init__()
        inputs = [3, *widths[:-1]]
        self.convs = nn.ModuleDict(
            {
                str(index): FrozenConv2d(c_in, c_out)
                for index, c_in, c_out in zip(CONV_INDICES, inputs, widths, strict=True)
            }
        )
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(IMAGENET_STD).view(1, 3, 1, 1), persistent=False)
        self.requires_grad_(False)
        self.eval()

    def normalise(self, image: Tensor) -> Tensor:
        """Bring (N, 3, H, W) in [-1, 1] to the statistics of ImageNet, in float32."""
        return ((image.float() + 1) / 2 - self.mean) / self.std

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Return the five compared activations of a normalised image."""
        return tuple(self.taps(x))

    def taps(self, x: Tensor) -> Iterator[Tensor]:
        """Yield the five compared activations of a normalised image, each before the next is computed."""
        for i, conv in enumerate(self.convs.values()):
            if i in POOLED:
                x = F.max_pool2d(x, 2)
            x = F.relu_(conv(x))
            if i in TAPS:
                yield x


class Perceptual(nn.Module):
    """Distance of two images in VGG-19's features, summed over layers, each with its weight, and over scales."""

    def __init__(self, network: Vgg19, scales: int, weights: Sequence[float] = TAP_WEIGHTS) -> None:
        super().__init__()
        self.network = network
        self.scales = scales
        self.weights = tuple(weights)

    def features(self, image: Tensor) -> tuple[tuple[Tensor, ...], ...]:
        """Return activations by scale and compared layer of (N, 3, H, W) in [-1, 1]; H, W >= 16 * 2^(scales - 1)."""
        return tuple(tuple(self.network(x)) for x in self._pyramid(image))

    def forward(self, fake: Tensor, real_features: Sequence[Sequence[Tensor]]) -> Tensor:
        """Return the loss, a float32 scalar, of a generated image against the `features` of the real one."""
        # Compared as they are computed: backward goes the other way, and makes no gradient long before it is needed.
        terms = [
            weight * vs_ops.feature_matching([[a]], [[b]])
            for x, reals in zip(self._pyramid(fake), real_features, strict=True)
            for weight, a, b in zip(self.weights, self.network.taps(x), reals, strict=True)
        ]
        return torch.stack(terms).sum()

    def _pyramid(self, image: Tensor) -> Iterator[Tensor]:
        """Yield an image, normalised, at all scales."""
        x = self.network.normalise(image)
        yield x
        for _ in range(1, self.scales):
            x = F.interpolate(x, scale_factor=0.5, mode="bilinear", align_corners=False)
            yield x


def build_perceptual(config: PerceptualConfig) -> Perceptual | None:
    """Return the perceptual network of a configuration, or None.

    Raises:
        WeightsError: the file of weights is missing, unreadable, or not a VGG-19.
    """
    match config:
        case NoPerceptual():
            return None
        case FilePerceptual():
            return Perceptual(load_vgg19(Path(config.path)), config.scales)
        case RandomPerceptual():
            return Perceptual(_random_vgg19(config), config.scales, RANDOM_TAP_WEIGHTS)
        case _ as never:
            assert_never(never)


def _random_vgg19(config: RandomPerceptual) -> Vgg19:
    network = Vgg19([w // config.width_divisor for w in WIDTHS])
    generator = torch.Generator().manual_seed(config.seed)
    for parameter in network.parameters():
        if parameter.dim() == 4:  # a kernel; biases have one dimension
            nn.init.kaiming_normal_(parameter, nonlinearity="relu", generator=generator)
        else:
            nn.init.zeros_(parameter)
    return network


def load_vgg19(path: Path) -> Vgg19:
    """Read VGG-19 from a safetensors file with torchvision's names; layers after relu_5_1 are passed over.

    Raises:
        WeightsError: the file is missing, is a pickle, lacks a layer, or its layers do not fit together.
    """
    advice = "convert torchvision's vgg19-dcbb9e9d.pth with tools/convert_vgg19.py, or choose kind = 'random' or 'none'"
    try:
        if not path.is_file():  # nor anything else that could be opened: a pipe would be waited for
            raise WeightsError(f"{path}: no such file of VGG-19 weights; {advice}")
        tensors = load_file(path)
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"{path}: not a safetensors file ({error}); {advice}") from error
    names = [f"features.{i}.{part}" for i in CONV_INDICES for part in ("weight", "bias")]
    missing = [name for name in names if name not in tensors]
    if missing:
        raise WeightsError(f"{path}: not a VGG-19: {missing[0]} and {len(missing) - 1} more are missing; {advice}")
    if not _fit_together([tensors[name] for name in names]):
        raise WeightsError(f"{path}: the layers do not fit together as a VGG-19; {advice}")
    network = Vgg19([tensors[name].shape[0] for name in names[::2]])
    network.load_state_dict({f"convs.{name.removeprefix('features.')}": tensors[name] for name in names})
    return network


def _fit_together(tensors: Sequence[Tensor]) -> bool:
    """Return whether weights and biases, by turns, are those of 3x3 convolutions that follow each other."""
    channels = 3
    for weight, bias in zip(tensors[::2], tensors[1::2], strict=True):
        width = bias.numel()
        if width == 0 or bias.shape != (width,) or weight.shape != (width, channels, 3, 3):
            return False
        channels = width
    return all(tensor.is_floating_point() for tensor in tensors)
