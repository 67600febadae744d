"""The encoder of VideoMAE (Tong et al. 2022; v2: Wang et al. 2023), for a video distance that looks at motion.

Ge et al. (2024) found that the distance in I3D's features sees single frames rather than motion, and that this one,
in the features of VideoMAE v2 ViT-g fine-tuned on Something-Something v2, does not ("content-debiased").
"""

import attrs
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vs_metrics.features.layers import as_levels
from vs_metrics.features.limits import bounded, check_clips

NORM_EPS = 1e-6
LONGEST_WAVE = 10_000.0
"""The published table of positions: sines and cosines, the slowest with nearly this wave length over 2 pi."""


@attrs.frozen(kw_only=True)
class VideoMaeConfig:
    """Sizes of the network; the defaults are those of ViT-B, `tools/convert_features.py` reads them from the file.

    Attributes:
        width: channels, as many as it gives; ViT-g: 1408.
        depth: blocks; ViT-g: 40.
        heads: of attention; ViT-g: 16.
        inner: channels inside each block's perceptron; ViT-g: 6144.
        patch: pixels of the side of a patch; ViT-g: 14.
        tubelet: frames that a patch spans.
        size: pixels of the side that frames are resized to.
        frames: frames of a clip.
    """

    width: int = bounded(768, 2, 8192)
    depth: int = bounded(12, 1, 256)
    heads: int = bounded(12, 1, 256)
    inner: int = bounded(3072, 1, 65536)
    patch: int = bounded(16, 1, 64)
    tubelet: int = bounded(2, 1, 16)
    size: int = bounded(224, 8, 4096)
    frames: int = bounded(16, 1, 1024)

    def __attrs_post_init__(self) -> None:
        """Refuse sizes that do not divide."""
        for name, whole, part in (
            ("width", self.width, self.heads),
            ("size", self.size, self.patch),
            ("frames", self.frames, self.tubelet),
        ):
            if whole % part:
                raise ValueError(f"{name} = {whole} is no multiple of {part}")


class VideoMae(nn.Module):
    """The network: `forward` takes clips and gives their features."""

    def __init__(self, config: VideoMaeConfig) -> None:
        super().__init__()
        self.config = config
        patch = (config.tubelet, config.patch, config.patch)
        self.embed = nn.Conv3d(3, config.width, patch, patch)
        self.blocks = nn.ModuleList(_Block(config) for _ in range(config.depth))
        self.norm = nn.LayerNorm(config.width, eps=NORM_EPS)
        self.num_features = config.width
        self.requires_grad_(False).eval()

    def forward(self, clips: Tensor) -> Tensor:
        """Return the features of clips, float32.

        Args:
            clips: (N, T, 3, H, W) in [-1, 1] with the configuration's number of frames. They become pictures of 8
                bits, are resized (bilinear, between pixel centres, without a low-pass filter), and scaled to [0, 1]
                without more, which is what the distances of Ge et al. are of.

        Returns:
            (N, width): the mean of all patches' features, normalised.

        Raises:
            ShapeError: not (N, T, 3, H, W).
        """
        check_clips(clips, self.config.frames)
        with torch.autocast(clips.device.type, enabled=False):
            side = self.config.size
            pictures = as_levels(clips).flatten(0, 1) / 255
            pictures = F.interpolate(pictures, size=(side, side), mode="bilinear", align_corners=False)
            x = self.embed(pictures.unflatten(0, clips.shape[:2]).transpose(1, 2))
            x = x.flatten(2).transpose(1, 2)  # (N, patches, width)
            x = x + positions(x.shape[1], x.shape[2]).to(x.device)
            for block in self.blocks:
                x = block(x)
            features: Tensor = self.norm(x.mean(dim=1))
        return features


def build_videomae(config: VideoMaeConfig) -> VideoMae:
    """Return the network with random weights, to be filled from a file by `load_videomae`."""
    return VideoMae(config)


def positions(count: int, width: int) -> Tensor:
    """Return what is added to the patches (count, width): by turns sine and cosine of a patch's number.

    It is divided by 10000^(2 i / width) in channels 2 i and 2 i + 1; computed in float64, given in float32.
    """
    channels = torch.arange(width, dtype=torch.float64)
    waves = LONGEST_WAVE ** (2 * (channels // 2) / width)
    angles = torch.arange(count, dtype=torch.float64)[:, None] / waves
    return torch.where(channels % 2 == 0, angles.sin(), angles.cos()).float()


class _Block(nn.Module):
    """Attention among all patches, and a perceptron of each; both add to what comes in."""

    def __init__(self, config: VideoMaeConfig) -> None:
        super().__init__()
        self.heads = config.heads
        self.norm1 = nn.LayerNorm(config.width, eps=NORM_EPS)
        self.qkv = nn.Linear(config.width, 3 * config.width)
        self.project = nn.Linear(config.width, config.width)
        self.norm2 = nn.LayerNorm(config.width, eps=NORM_EPS)
        self.perceptron = nn.Sequential(
            nn.Linear(config.width, config.inner), nn.GELU(), nn.Linear(config.inner, config.width)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, patches, width) to the same shape."""
        x = x + self._attend(self.norm1(x))
        perceived: Tensor = self.perceptron(self.norm2(x))
        return x + perceived

    def _attend(self, x: Tensor) -> Tensor:
        parts = self.qkv(x).unflatten(-1, (3, self.heads, -1))  # (N, patches, 3, heads, width / heads)
        query, key, value = parts.permute(2, 0, 3, 1, 4).unbind(0)
        mixed = F.scaled_dot_product_attention(query, key, value)
        out: Tensor = self.project(mixed.transpose(1, 2).flatten(-2))
        return out
