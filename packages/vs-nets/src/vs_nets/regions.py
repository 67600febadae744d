"""Discriminators of regions of a person, its face and its hands: they look closer than that of whole frames can.

A crop around the region is cut out of the real and of the generated frame, brought to one size, and discriminated by a
small network without any condition. A frame in which the region is not to be seen does not count.
"""

from collections.abc import Callable

import attrs
import torch
import torch.nn.functional as F
from torch import Tensor

from vs_nets.discriminator import DiscriminatorOutput, RealFakeOutputs
from vs_nets.errors import ShapeError


@attrs.frozen(kw_only=True)
class RegionOutputs:
    """Outputs of the discriminator of a region for all crops of a batch.

    Attributes:
        outputs: For M crops.
        there: (M,) 1 where there is something to see, else 0.
        weight: Factor on the weights of the losses.
    """

    outputs: RealFakeOutputs
    there: Tensor
    weight: float


def crop_boxes(images: Tensor, boxes: Tensor, size: int) -> Tensor:
    """Cut boxes out of images and resize them, bilinearly and in float32: (N * B, C, size, size).

    The middles of the resulting pixels are spread evenly over the box; what lies outside of an image is its edge. The
    result has gradients for the images.

    Args:
        images: (N, C, H, W).
        boxes: (N, B, 4) left, top, right, bottom, pixels; pixel (x, y) has its centre at (x, y).
        size: Side of the result.

    Raises:
        ShapeError: boxes that do not fit the images.
    """
    count, channels, height, width = images.shape
    if boxes.ndim != 3 or boxes.shape[0] != count or boxes.shape[2] != 4:
        raise ShapeError(f"boxes have the shape {tuple(boxes.shape)}, allowed: ({count}, B, 4)")
    steps = (torch.arange(size, device=images.device, dtype=torch.float32) + 0.5) / size
    left, top, right, bottom = boxes.float().unbind(-1)
    x = left[..., None] + steps * (right - left)[..., None]  # (N, B, size)
    y = top[..., None] + steps * (bottom - top)[..., None]
    across = ((2 * x + 1) / width - 1)[:, :, None, :].expand(-1, -1, size, -1)
    down = ((2 * y + 1) / height - 1)[:, :, :, None].expand(-1, -1, -1, size)
    grid = torch.stack([across, down], dim=-1).flatten(1, 2)  # (N, B * size, size, 2)
    crops: Tensor = F.grid_sample(images.float(), grid, mode="bilinear", padding_mode="border", align_corners=False)
    boxes_apart = crops.reshape(count, channels, -1, size, size).transpose(1, 2)
    return boxes_apart.reshape(-1, channels, size, size)


def seen_boxes(boxes: Tensor) -> Tensor:
    """Return which of boxes (N, B, 4) hold something: (N * B,) float32, 1 or 0."""
    return (boxes[..., 2] > boxes[..., 0]).flatten().float()


def region_hinge_d(region: RegionOutputs) -> Tensor:
    """Return the hinge loss of the discriminator, real plus fake: the mean over all crops, of which some count as 0."""
    real = _mean_logits(region, region.outputs.real, lambda logits: (1 - logits).relu())
    return real + _mean_logits(region, region.outputs.fake, lambda logits: (1 + logits).relu())


def region_hinge_g(region: RegionOutputs) -> Tensor:
    """Return the hinge loss of the generator."""
    return -_mean_logits(region, region.outputs.fake, lambda logits: logits)


def region_feature_matching(region: RegionOutputs) -> Tensor:
    """Return the mean distance of features, summed over layers, averaged over scales and over all crops."""
    fakes, reals = region.outputs.fake.features, region.outputs.real.features
    distances = [
        _of_each((one.float() - other.detach().float()).abs())
        for fake, real in zip(fakes, reals, strict=True)
        for one, other in zip(fake, real, strict=True)
    ]
    return _counted(region, torch.stack(distances).sum(0) / len(fakes))


def _mean_logits(region: RegionOutputs, output: DiscriminatorOutput, of: Callable[[Tensor], Tensor]) -> Tensor:
    scales = [_of_each(of(logits.float())) for logits in output.logits]
    return _counted(region, torch.stack(scales).mean(0))


def _of_each(x: Tensor) -> Tensor:
    """Return the mean of each crop (M, C, H, W): (M,)."""
    return x.flatten(1).mean(1)


def _counted(region: RegionOutputs, losses: Tensor) -> Tensor:
    """Return the mean over all crops, so that a batch in parts has the mean of its parts."""
    return (losses * region.there).mean()
