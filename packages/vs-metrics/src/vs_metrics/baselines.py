"""What a generator must beat: the mean colour of each class, and the frame before."""

from collections.abc import Iterable

import attrs
import torch
from jaxtyping import Float, Integer
from torch import Tensor

from vs_metrics.errors import ClassIdError, ShapeError, VsMetricsError

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
    _check_ids(index, num_classes)
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


def _pixels_with_class(frames: Tensor, ids: Tensor, num_classes: int) -> tuple[Tensor, Tensor]:
    """(3, P) float64 colours and (P,) ids of the pixels that have a class; on the CPU, whose sums repeat exactly."""
    if frames.ndim < 3 or frames.shape[-3] != 3:
        raise ShapeError("frames", tuple(frames.shape), "(..., 3, H, W)")
    wanted = (*frames.shape[:-3], *frames.shape[-2:])
    if tuple(ids.shape) != wanted:
        raise ShapeError("ids", tuple(ids.shape), f"{wanted}")
    flat = ids.detach().cpu().long().flatten()
    _check_ids(flat, num_classes)
    keep = flat != IGNORE_ID
    pixels = frames.detach().cpu().double().movedim(-3, 0).flatten(1)
    return pixels[:, keep], flat[keep]


def _check_ids(ids: Tensor, num_classes: int) -> None:
    wrong = ids[((ids < 0) | (ids >= num_classes)) & (ids != IGNORE_ID)]
    if wrong.numel():
        raise ClassIdError(int(wrong[0]), num_classes)
