"""How generated frames agree with their labels, as a network reads them that was trained on real frames alone."""

from collections.abc import Callable, Mapping, Sequence

import attrs
import torch
from torch import Tensor
from vs_metrics import mean_iou, pixel_accuracy
from vs_nets import ClassMap, FloatMap, LabelSpec, class_ids, class_kind, float_kinds

from vs_training.quality.scoring import ClipScores
from vs_training.quality.sets import SetMeasure, SetMetric, interval_of_sums, set_metric

MOST_CLASSES = 256
"""Classes beyond which nothing is read: none of them would have frames enough to be learnt from."""

LEAST_IOU = 0.3
"""Mean IoU on real frames below which a reader is no judge of generated ones."""

LEAST_FRAMES = 8
"""Frames below which agreement is not judged: of so few pictures a class or two decide."""

LINE = 0.5
"""Strength from which a pixel of a map of lines belongs to a line."""

_SOURCE = "ours, after the FCN score of Isola et al. 2017"
_LIMITS = (
    "a reader of its own for each data set: compare ratios, not values, across data; it sees classes and not looks; "
    "what fools it fools the score"
)

LABEL_IOU = SetMeasure(
    name="label_iou",
    title="mean IoU of read labels",
    unit="",
    better="higher",
    digits=3,
    least_frames=LEAST_FRAMES,
    source=_SOURCE,
    limits=_LIMITS,
)
LABEL_ACCURACY = attrs.evolve(LABEL_IOU, name="label_accuracy", title="pixels whose label is read rightly")
LABEL_AGREEMENT = attrs.evolve(LABEL_IOU, name="label_agreement", title="agreement: mean IoU, of that of real frames")

GENERATED, REAL, FRAMES = "read_generated", "read_real", "read_frames"
"""Names of what is added up over frames, see `ClipScores.sums`."""


@attrs.frozen(kw_only=True)
class Readable:
    """The labels that are read.

    Attributes:
        kinds: a kind of class ids, or kinds of lines, which are classes by the map that they are in.
        classes: how many there are to tell apart; of lines one more, for where there is none.
    """

    kinds: tuple[ClassMap | FloatMap, ...]
    classes: int


def readable_labels(spec: LabelSpec) -> Readable | None:
    """Return what can be read of labels: classes, or else lines; None of pictures, which frames show as they are."""
    kind = class_kind(spec)
    if kind is not None:
        return Readable(kinds=(kind,), classes=kind.classes) if 1 < kind.classes <= MOST_CLASSES else None
    lines = tuple(each for each in float_kinds(spec) if not each.pictures)
    classes = 1 + sum(each.channels for each in lines)
    return Readable(kinds=lines, classes=classes) if lines and classes <= MOST_CLASSES else None


def read_ids(labels: Mapping[str, Tensor], readable: Readable) -> Tensor:
    """Return the ids (T, H, W) int64 that should be read, 255 where there is no class.

    Args:
        labels: of a clip, (T, H, W) ids or (T, C, H, W) maps by kind.
        readable: see `readable_labels`.
    """
    match readable.kinds:
        case (ClassMap() as kind,):
            return class_ids(labels, kind).long()
        case kinds:
            maps = torch.cat([labels[kind.name] for kind in kinds], dim=1)
            strength, which = maps.max(dim=1)
            return torch.where(strength > LINE, which + 1, 0)


def reading_metrics(clips: Sequence[ClipScores], readable: Readable) -> tuple[SetMetric, ...]:
    """Return how generated frames agree with their labels, beside real frames; nothing where nothing was read."""
    read = [clip.sums for clip in clips if FRAMES in clip.sums]
    if not read:
        return ()
    shape = (len(read), readable.classes, readable.classes)
    generated, real = (torch.tensor([sums[name] for sums in read]).reshape(shape) for name in (GENERATED, REAL))
    frames = int(sum(sums[FRAMES][0] for sums in read))
    own = float(mean_iou(real.sum(dim=0)))
    weak = f"The reader reads real frames with a mean IoU of {own:.2f}: below {LEAST_IOU:.2f} it is no judge."
    note = "" if own >= LEAST_IOU else weak
    both = torch.stack([generated, real], dim=1)

    def ratio(drawn: Tensor) -> Tensor:
        return mean_iou(drawn[..., 0, :, :]) / mean_iou(drawn[..., 1, :, :])

    found = [
        _judged(LABEL_IOU, mean_iou, generated, real, frames, note),
        _judged(LABEL_ACCURACY, pixel_accuracy, generated, real, frames, note),
    ]
    if note:
        return tuple(found)
    agreement = set_metric(
        LABEL_AGREEMENT, frames, lambda: float(ratio(both.sum(dim=0))), interval=lambda: interval_of_sums(both, ratio)
    )
    return (agreement, *found)


def _judged(
    measure: SetMeasure,
    statistic: Callable[[Tensor], Tensor],
    generated: Tensor,
    real: Tensor,
    frames: int,
    note: str,
) -> SetMetric:
    return set_metric(
        measure,
        frames,
        lambda: float(statistic(generated.sum(dim=0))),
        interval=lambda: interval_of_sums(generated, statistic),
        real=float(statistic(real.sum(dim=0))),
        note=note,
    )
