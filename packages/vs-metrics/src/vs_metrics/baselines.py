"""What a generator must beat: the mean colour of each class, the frame before, and the reference; and where to ask."""

from collections.abc import Collection, Iterable

import attrs
import torch
from jaxtyping import Bool, Float, Integer
from torch import Tensor
from vs_ops import warp

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
    """Mean colour of each class, in one pass over (frames, class ids) pairs of any batch size; summed in float64.

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
    """Frames in which every pixel has the mean colour of its class; pixels with id 255 get the overall mean.

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


def repeat_previous(frames: Float[Tensor, "*batch t c h w"]) -> Float[Tensor, "*batch s c h w"]:
    """Predictions of frames 1, 2, ... of a clip, each being the frame before: compare with `frames[..., 1:, :, :, :]`.

    Args:
        frames: (..., T, C, H, W).

    Returns:
        (..., T-1, C, H, W): nothing stands for the first frame, which has no frame before.

    Raises:
        ShapeError: there is no time axis.
    """
    if frames.ndim < 4:
        raise ShapeError("frames", tuple(frames.shape), "(..., T, C, H, W)")
    return frames[..., :-1, :, :, :]


def repeat_reference(
    references: Float[Tensor, "*batch k 3 h w"], index: Integer[Tensor, "*batch t"]
) -> Float[Tensor, "*batch t 3 h w"]:
    """Predictions of the frames of a clip, each being a reference of its subject.

    Args:
        references: (..., K, 3, H, W).
        index: (..., T) which of the K stands for each frame; `torch.zeros(T, dtype=torch.int64)`: always the first.

    Returns:
        (..., T, 3, H, W).

    Raises:
        ShapeError: the shapes do not fit.
        VsMetricsError: an index is outside 0..K-1.
    """
    if references.ndim < 4 or references.shape[-3] != 3:
        raise ShapeError("references", tuple(references.shape), "(..., K, 3, H, W)")
    lead, count = tuple(references.shape[:-4]), references.shape[-4]
    if index.ndim < 1 or tuple(index.shape[:-1]) != lead:
        raise ShapeError("index", tuple(index.shape), f"(..., T) with the leading axes of references, {lead}")
    wrong = index[(index < 0) | (index >= count)]
    if wrong.numel():
        raise VsMetricsError(f"reference {int(wrong[0])} asked for, there are {count} (counted from 0)")
    places = index.long().to(references.device)[..., None, None, None]
    return torch.take_along_dim(references, places, dim=-4)


def warp_reference(
    reference: Float[Tensor, "*batch 3 h w"], flow: Float[Tensor, "*batch t 2 h w"]
) -> Float[Tensor, "*batch t 3 h w"]:
    """Predictions of the frames of a clip, each being a reference of its subject moved by the true flow.

    What a generator must beat that only moves pixels: it knows the motion, and invents nothing that the reference does
    not show.

    Args:
        reference: (..., 3, H, W).
        flow: (..., T, 2, H, W) pixels, x then y: pixel p of frame t was at p + flow in the reference.

    Returns:
        (..., T, 3, H, W) in the reference's dtype.

    Raises:
        ShapeError: the shapes do not fit.
    """
    if reference.ndim < 3 or reference.shape[-3] != 3:
        raise ShapeError("reference", tuple(reference.shape), "(..., 3, H, W)")
    lead, size = tuple(reference.shape[:-3]), tuple(reference.shape[-2:])
    if flow.ndim < 4 or (*flow.shape[:-4], *flow.shape[-3:]) != (*lead, 2, *size):
        raise ShapeError("flow", tuple(flow.shape), f"(..., T, 2, H, W) beside a reference of {tuple(reference.shape)}")
    repeated = reference.unsqueeze(-4).expand(*lead, flow.shape[-4], 3, *size)
    return warp(repeated.reshape(-1, 3, *size), flow.reshape(-1, 2, *size)).reshape(repeated.shape)


def head_mask(regions: Integer[Tensor, "*batch h w"], ids: Collection[int]) -> Float[Tensor, "*batch 1 h w"]:
    """1 where a pixel belongs to one of the given regions, else 0.

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
    """Frames whose head has moved from where it is in the reference: there a repeated reference is wrong.

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
    """(3, P) float64 colours and (P,) ids of the pixels that have a class; on the CPU, whose sums repeat exactly."""
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
