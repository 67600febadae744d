"""Whether a generated subject looks like the true one: the colours of its regions, without a network that knows faces.

A region is a part of the picture whose colour tells subjects apart: skin, hair, clothes, background. Its mean colour in
a generated frame is compared with that in the true frame, and both with the mean over all subjects of the training
data, which is what a generator paints that has not looked at its reference.
"""

import attrs
import torch
from jaxtyping import Float, Integer
from torch import Tensor

from vs_metrics.baselines import check_ids
from vs_metrics.errors import ShapeError

MIN_REGION_PIXELS = 8
"""Regions of fewer pixels have no colour of their own: what is seen of them is mostly mixed with their neighbours."""

D65 = (0.95047, 1.0, 1.08883)
"""X, Y and Z of sRGB's white (CIE illuminant D65, 2 degree observer)."""

SRGB_TO_XYZ = (
    (0.4124564, 0.3575761, 0.1804375),
    (0.2126729, 0.7151522, 0.0721750),
    (0.0193339, 0.1191920, 0.9503041),
)
"""Linear sRGB to CIE XYZ (IEC 61966-2-1)."""


@attrs.frozen(kw_only=True, eq=False)
class IdentityDistances:
    """Distances between the colours of regions, delta E (see `colour_distances`); all (..., count) float32.

    Attributes:
        to_subject: from the generated colour to the true one.
        to_mean: from the generated colour to the training mean.
        mean_to_subject: from the training mean to the true colour: what a generator gets that ignores its reference.
        weights: 1 where a region is large enough to have a colour, else 0, and the distances are 0.
    """

    to_subject: Tensor
    to_mean: Tensor
    mean_to_subject: Tensor
    weights: Tensor

    @property
    def closer(self) -> Tensor:
        """1 where the generated colour is closer to the subject's than to the training mean, else 0."""
        return (self.to_subject < self.to_mean).float()


def identity_distances(
    generated: Float[Tensor, "*batch 3 h w"],
    real: Float[Tensor, "*batch 3 h w"],
    regions: Integer[Tensor, "*batch h w"],
    training_mean: Float[Tensor, "count 3"],
    *,
    min_pixels: int = MIN_REGION_PIXELS,
) -> IdentityDistances:
    """Tell, per frame and region, whether the generated colour is the subject's, or the training mean's.

    Every region of every frame that is large enough weighs the same, whatever its size: the hair says as much about
    who it is as the background, which is many times as large. `average_of(d.to_subject, d.weights)` is the mean over
    regions and frames, `average_of(d.to_subject[..., r], d.weights[..., r])` that of region r.

    Args:
        generated: frames (..., 3, H, W) in [-1, 1].
        real: the true ones; the same shape.
        regions: (..., H, W) ids of the true frames' regions, which are looked up in the generated frames too; a head
            that is in another place than it should be takes its neighbours' colours in.
        training_mean: (count, 3) mean colour of each region over the training subjects, in [-1, 1]
            (`class_mean_colours` of their frames and regions); its length is the number of regions.
        min_pixels: regions of fewer pixels have weight 0.

    Raises:
        ClassIdError: a region's id is out of range.
        ShapeError: the shapes do not fit.
    """
    if training_mean.ndim != 2 or training_mean.shape[-1] != 3:
        raise ShapeError("training_mean", tuple(training_mean.shape), "(count, 3)")
    if real.shape != generated.shape:
        raise ShapeError("real", tuple(real.shape), f"that of generated, {tuple(generated.shape)}")
    count = training_mean.shape[0]
    made, pixels = region_colours(generated, regions, count)
    true, _ = region_colours(real, regions, count)
    mean = training_mean.to(made.device).expand(made.shape)
    weights = (pixels >= max(min_pixels, 1)).float()
    pairs = ((made, true), (made, mean), (mean, true))
    to_subject, to_mean, mean_to_subject = (torch.where(weights > 0, colour_distances(a, b), 0.0) for a, b in pairs)
    return IdentityDistances(to_subject=to_subject, to_mean=to_mean, mean_to_subject=mean_to_subject, weights=weights)


def region_colours(
    frames: Float[Tensor, "*batch 3 h w"], regions: Integer[Tensor, "*batch h w"], count: int
) -> tuple[Float[Tensor, "*batch count 3"], Float[Tensor, "*batch count"]]:
    """Return the mean colour of each region of each frame, and how many pixels it has; summed in float64.

    Args:
        frames: (..., 3, H, W), any range.
        regions: (..., H, W) ids 0..count-1; 255 for pixels to leave out.
        count: number of regions.

    Returns:
        means (..., count, 3): float32 in the frames' range; 0 for a region without pixels.
        pixels (..., count): float32.

    Raises:
        ClassIdError: an id is out of range.
        ShapeError: frames and regions do not fit.
    """
    if frames.ndim < 3 or frames.shape[-3] != 3:
        raise ShapeError("frames", tuple(frames.shape), "(..., 3, H, W)")
    wanted = (*frames.shape[:-3], *frames.shape[-2:])
    if tuple(regions.shape) != wanted:
        raise ShapeError("regions", tuple(regions.shape), f"{wanted}")
    ids = regions.long()
    check_ids(ids, count)
    colours = frames.detach().double()
    means, pixels = [], []
    for region in range(count):  # one after the other: sums whose order, and so whose last bit, is always the same
        inside = (ids == region).double()  # (..., H, W)
        size = inside.sum(dim=(-2, -1))
        sums = (colours * inside.unsqueeze(-3)).sum(dim=(-2, -1))  # (..., 3)
        means.append(sums / size.clamp_min(1).unsqueeze(-1))
        pixels.append(size)
    lead = tuple(frames.shape[:-3])
    if not means:
        return torch.zeros(*lead, 0, 3, device=frames.device), torch.zeros(*lead, 0, device=frames.device)
    return torch.stack(means, dim=-2).float(), torch.stack(pixels, dim=-1).float()


def colour_distances(a: Float[Tensor, "*batch 3"], b: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch"]:
    """Return the distance of colours as people see it: delta E of 1976, the Euclidean distance in CIE L*a*b*.

    2.3 is just noticeable, black and white are 100 apart. Levels of sRGB would not do: equal steps of them are larger
    to the eye in blue than in green, and in the dark than in the light.

    Args:
        a: (..., 3) sRGB in [-1, 1].
        b: the same shape.

    Returns:
        (...) float32.

    Raises:
        ShapeError: the shapes differ, or the last axis does not have three numbers.
    """
    if b.shape != a.shape:
        raise ShapeError("b", tuple(b.shape), f"that of a, {tuple(a.shape)}")
    return (srgb_to_lab(a) - srgb_to_lab(b)).square().sum(dim=-1).sqrt().float()


def srgb_to_lab(colours: Tensor) -> Tensor:
    """Return sRGB colours (..., 3) in [-1, 1], or clipped to it, as CIE L*a*b* under D65, L* from 0 to 100.

    In float64, in which differences of near colours are not lost.

    Raises:
        ShapeError: the last axis does not have three numbers.
    """
    if colours.ndim < 1 or colours.shape[-1] != 3:
        raise ShapeError("colours", tuple(colours.shape), "(..., 3)")
    encoded = (colours.detach().double().clamp(-1, 1) + 1) / 2
    linear = torch.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)
    xyz = linear @ linear.new_tensor(SRGB_TO_XYZ).T / linear.new_tensor(D65)
    knee = 6 / 29  # below it the cube root is replaced by its tangent, which ends at black
    roots = torch.where(xyz > knee**3, xyz.clamp_min(knee**3) ** (1 / 3), xyz / (3 * knee**2) + 4 / 29)
    x, y, z = roots.unbind(dim=-1)
    return torch.stack((116 * y - 16, 500 * (x - y), 200 * (y - z)), dim=-1)
