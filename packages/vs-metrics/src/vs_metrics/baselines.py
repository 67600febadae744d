"""What a generator must beat, the mean colour of each class; and in which frames the head has moved."""

from collections.abc import Collection, Iterable

import attrs
import torch
from jaxtyping import Bool, Float, Integer
from torch import Tensor

from vs_metrics.errors import ClassIdError, ShapeError, VsMetricsError
from vs_metrics.scores import end_point_errors

IGNORE_ID = 255
"""Class id of pixels that belong to no class: they are left out of the means and painted in the overall mean."""


@attrs.frozen(kw_only=True, eq=False)
class ClassColours:
    """Mean colour of each class over a set of frames.

    Attributes:
        colours: (num_classes, 3) float32 in the frames' range; a class that was never seen has the overall mean.
        counts: (num_classes,) int64: pixels of each class.
        overall: (3,) float32: mean over all pixels that have a class.
    """

    colours: Tensor
    counts: Tensor
    overall: Tensor


def class_mean_colours(
    batches: Iterable[tuple[Float[Tensor, "*batch 3 h w"], Integer[Tensor, "*batch h w"]]], *, num_classes: int
) -> ClassColours:
    """Return the mean colour of each class, in one pass over (frames, class ids) of any batch size, in float64.

    Args:
        batches: frames (..., 3, H, W) and ids (..., H, W); ids are 0..num_classes-1, or 255 for pixels to leave out.
        num_classes: number of classes.

    Raises:
        ClassIdError: an id is out of range.
        ShapeError: frames and ids do not fit.
        VsMetricsError: there is no pixel with a class at all.
    """
    sums = torch.zeros(num_classes, 3, dtype=torch.float64)
    counts = torch.zeros(num_classes, dtype=torch.int64)
    for frames, ids in batches:
        pixels, flat = _pixels_with_class(frames, ids, num_classes)
        counts += torch.bincount(flat, minlength=num_classes)
        for channel in range(3):
            sums[:, channel] += torch.bincount(flat, weights=pixels[channel], minlength=num_classes)
    if int(counts.sum()) == 0:
        raise VsMetricsError("class_mean_colours got no pixel that has a class: give it at least one labelled frame")
    overall = sums.sum(dim=0) / counts.sum()
    means = torch.where(counts[:, None] > 0, sums / counts.clamp_min(1)[:, None], overall)
    return ClassColours(colours=means.float(), counts=counts, overall=overall.float())


def paint_classes(ids: Integer[Tensor, "*batch h w"], colours: ClassColours) -> Float[Tensor, "*batch 3 h w"]:
    """Paint every pixel in the mean colour of its class; pixels with id 255 get the overall mean.

    Args:
        ids: (..., H, W) integer class ids.
        colours: what `class_mean_colours` returned.

    Returns:
        (..., 3, H, W) float32 on the device of `ids`.

    Raises:
        ClassIdError: an id is out of range.
    """
    num_classes = colours.colours.shape[0]
    index = ids.long()
    check_ids(index, num_classes)
    table = torch.cat([colours.colours, colours.overall[None]]).to(ids.device)  # (num_classes + 1, 3)
    return table[torch.where(index == IGNORE_ID, num_classes, index)].movedim(-1, -3)


def head_mask(regions: Integer[Tensor, "*batch h w"], ids: Collection[int]) -> Float[Tensor, "*batch 1 h w"]:
    """Return 1 where a pixel belongs to one of the given regions, else 0.

    Args:
        regions: (..., H, W) ids.
        ids: the regions that are part of the head.

    Returns:
        (..., 1, H, W) float32.
    """
    inside = torch.isin(regions, torch.tensor(sorted(ids), dtype=regions.dtype, device=regions.device))
    return inside.float().unsqueeze(-3)


def moved_frames(
    flow: Float[Tensor, "*batch 2 h w"],
    mask: Float[Tensor, "*batch 1 h w"],
    threshold: float,
    confidence: Float[Tensor, "*batch 1 h w"] | None = None,
) -> Bool[Tensor, "*batch"]:
    """Return which frames show the head elsewhere than the reference does: there a repeated reference is wrong.

    A head has moved when the flow is longer than `threshold` pixels on average over the confident pixels of the mask.
    Of a frame without such pixels nobody knows, and it is not counted.

    Args:
        flow: (..., 2, H, W) to the reference in pixels.
        mask: (..., 1, H, W) in [0, 1], 1 in the head.
        threshold: pixels.
        confidence: (..., 1, H, W) in [0, 1], where the flow is to be trusted; None: everywhere.

    Returns:
        (...) bool.

    Raises:
        ShapeError: the shapes do not fit.
    """
    if confidence is not None and confidence.shape != mask.shape:
        raise ShapeError("confidence", tuple(confidence.shape), f"that of mask, {tuple(mask.shape)}")
    trusted = mask if confidence is None else mask * confidence
    lengths, weights = end_point_errors(flow, torch.zeros_like(flow), trusted)
    return (weights > 0) & (lengths > threshold)


def check_ids(ids: Tensor, num_classes: int) -> None:
    """Raise `ClassIdError` unless all ids are 0..num_classes-1 or 255."""
    wrong = ids[((ids < 0) | (ids >= num_classes)) & (ids != IGNORE_ID)]
    if wrong.numel():
        raise ClassIdError(int(wrong[0]), num_classes)


def _pixels_with_class(frames: Tensor, ids: Tensor, num_classes: int) -> tuple[Tensor, Tensor]:
    """Return (3, P) float64 colours and (P,) ids of pixels with a class, on the CPU, whose sums repeat exactly."""
    if frames.ndim < 3 or frames.shape[-3] != 3:
        raise ShapeError("frames", tuple(frames.shape), "(..., 3, H, W)")
    wanted = (*frames.shape[:-3], *frames.shape[-2:])
    if tuple(ids.shape) != wanted:
        raise ShapeError("ids", tuple(ids.shape), f"{wanted}")
    flat = ids.detach().cpu().long().flatten()
    check_ids(flat, num_classes)
    keep = flat != IGNORE_ID
    pixels = frames.detach().cpu().double().movedim(-3, 0).flatten(1)
    return pixels[:, keep], flat[keep]
