"""Scores of each class by itself, and how a reading of pictures agrees with their labels."""

import attrs
import torch
from jaxtyping import Float, Integer
from torch import Tensor

from vs_metrics.baselines import IGNORE_ID, check_ids
from vs_metrics.errors import ShapeError
from vs_metrics.scores import PSNR_CAP, PSNR_OF_UNIT_ERROR, check_frames, ssim_map

MIN_CLASS_PIXELS = 16
"""Classes of fewer pixels in a frame have no score in it: chance and their neighbours decide there."""


@attrs.frozen(kw_only=True, eq=False)
class ClassScores:
    """Scores of each class in each frame, (..., classes) float32; 0 where a class has too few pixels.

    Attributes:
        psnr: dB, up to `PSNR_CAP`.
        ssim: mean over the pixels of the class, see `masked_ssim`.
        l1: mean absolute difference, in the frames' units.
        pixels: how many show the class; 0 where they are too few to count.
    """

    psnr: Tensor
    ssim: Tensor
    l1: Tensor
    pixels: Tensor


def class_scores(
    a: Float[Tensor, "*batch c h w"],
    b: Float[Tensor, "*batch c h w"],
    ids: Integer[Tensor, "*batch h w"],
    num_classes: int,
    *,
    min_pixels: int = MIN_CLASS_PIXELS,
) -> ClassScores:
    """Return PSNR, SSIM and mean absolute difference over the pixels of each class of each frame.

    They say where a generator fails: a mean over frames is decided by the largest classes.

    Limits: one frame is enough. The SSIM of a pixel looks up to 5 pixels around it, at its neighbours' classes too, and
    beyond the border the frame is mirrored. Classes are those of the label: what was painted in the wrong place counts
    where it should be. Source: PSNR and SSIM as in `psnr` and `ssim` (Wang et al. 2004).

    Args:
        a: frames (..., C, H, W) in [-1, 1], at least 11 pixels high and wide.
        b: the same shape.
        ids: (..., H, W) class ids; pixels of 255 belong to none.
        num_classes: number of classes.
        min_pixels: classes of fewer pixels have none.

    Raises:
        ClassIdError: an id is out of range.
        ShapeError: the shapes do not fit, or a side is shorter than 11 pixels.
    """
    batch = check_frames(a, b)
    if tuple(ids.shape) != (*batch, *a.shape[-2:]):
        raise ShapeError("ids", tuple(ids.shape), f"{(*batch, *a.shape[-2:])}")
    check_ids(ids, num_classes)
    difference = a.detach().float() - b.detach().float()
    maps = [x.mean(dim=-3) for x in (difference.square(), ssim_map(a, b), difference.abs())]  # (..., H, W) each
    sums, pixels = _class_sums(torch.stack(maps, dim=-3), ids, num_classes)
    pixels = torch.where(pixels >= max(min_pixels, 1), pixels, 0.0)
    squares, alike, l1 = torch.where(pixels[..., None] > 0, sums / pixels[..., None].clamp_min(1.0), 0.0).unbind(-1)
    decibels = (PSNR_OF_UNIT_ERROR - 10 * squares.log10()).clamp_max(PSNR_CAP)
    return ClassScores(psnr=torch.where(pixels > 0, decibels, 0.0), ssim=alike, l1=l1, pixels=pixels)


def confusions(
    read: Integer[Tensor, "*batch h w"], truth: Integer[Tensor, "*batch h w"], num_classes: int
) -> Integer[Tensor, "classes classes"]:
    """Count pixels by (true class, class that was read), (classes, classes) int64; true ids of 255 are left out.

    Raises:
        ClassIdError: an id is out of range.
        ShapeError: the shapes differ.
    """
    if read.shape != truth.shape:
        raise ShapeError("read", tuple(read.shape), f"that of truth, {tuple(truth.shape)}")
    check_ids(read, num_classes)
    check_ids(truth, num_classes)
    counted = (truth != IGNORE_ID) & (read != IGNORE_ID)
    pairs = truth[counted].long() * num_classes + read[counted].long()
    return torch.bincount(pairs, minlength=num_classes**2).reshape(num_classes, num_classes)


def mean_iou(counts: Float[Tensor, "*batch classes classes"]) -> Float[Tensor, "*batch"]:
    """Return the mean over classes of intersection over union (Everingham et al. 2010), from counts as of `confusions`.

    Classes that are neither in the truth nor read are left out; nan where there is none. It is no mean over frames: add
    counts up first.
    """
    hits = counts.diagonal(dim1=-2, dim2=-1).double()
    union = counts.double().sum(dim=-1) + counts.double().sum(dim=-2) - hits
    return torch.where(union > 0, hits / union, torch.nan).nanmean(dim=-1)


def pixel_accuracy(counts: Float[Tensor, "*batch classes classes"]) -> Float[Tensor, "*batch"]:
    """Return which share of pixels was read as their true class, from counts as of `confusions`; nan without pixels."""
    return counts.diagonal(dim1=-2, dim2=-1).double().sum(dim=-1) / counts.double().sum(dim=(-2, -1))


def _class_sums(maps: Tensor, ids: Tensor, num_classes: int) -> tuple[Tensor, Tensor]:
    """Add up (..., M, H, W) over the pixels of each class: (..., classes, M), and pixels (..., classes)."""
    index = torch.where(ids == IGNORE_ID, num_classes, ids.long()).flatten(-2)  # (..., H * W)
    sums = maps.new_zeros(*maps.shape[:-2], num_classes + 1)
    sums.scatter_add_(-1, index.unsqueeze(-2).expand(*maps.shape[:-2], -1), maps.flatten(-2))
    pixels = maps.new_zeros(*ids.shape[:-2], num_classes + 1)
    pixels.scatter_add_(-1, index, torch.ones_like(index, dtype=maps.dtype))
    return sums[..., :num_classes].transpose(-1, -2), pixels[..., :num_classes]
