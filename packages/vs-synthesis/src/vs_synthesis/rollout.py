"""Frames from a sequence of labels, one at a time, whatever its length."""

from collections.abc import Iterator, Mapping

import attrs
import vs_nets as nets
from torch import Tensor
from vs_data import LabelFrame, LabelRequest, LabelSequence, ReferenceSubject
from vs_metrics import ClipFrame, video_frame
from vs_metrics.colours import Image, frame_to_uint8
from vs_training.pictures import palette_of, shown_label

from vs_synthesis.config import ModelConfig
from vs_synthesis.fit import Fit, fit_labels, fit_motion, fit_picture, shown_labels, unfit_frame
from vs_synthesis.model import Model
from vs_synthesis.stream import StreamState, encode_subject, start


@attrs.frozen(kw_only=True, eq=False)
class Made:
    """A frame that was made.

    Attributes:
        label: what it was made from.
        shown: the labels in the frame's size, (H, W) ids or (C, H, W) maps by kind.
        frame: (3, H, W) float32 in [-1, 1], on the model's device.
    """

    label: LabelFrame
    shown: Mapping[str, Tensor]
    frame: Tensor


def label_request(
    config: ModelConfig, *, size: tuple[int, int] | None = None, frames: int | None = None
) -> LabelRequest:
    """Return how labels for a model are to be read.

    Args:
        config: the model's.
        size: (H, W) to draw landmarks in, to render worlds in, and of raw bytes; None: what it was trained on.
        frames: at most so many; None: all.
    """
    return LabelRequest(
        kinds=config.labels,
        size=size or (config.height, config.width),
        augment=config.augment,
        face_crop=config.face_crop,
        order=config.order,
        frames=frames,
        motion=config.motion,
    )


def encode_references(model: Model, subject: ReferenceSubject) -> nets.Subject:
    """Compute what depends on the examples of a subject alone."""
    return encode_subject(model, subject.references.frames, subject.references.labels)


def synthesise_sequence(
    model: Model,
    sequence: LabelSequence,
    fit: Fit,
    *,
    subject: nets.Subject | None = None,
    first_frame: Tensor | None = None,
) -> Iterator[Made]:
    """Make the frames of a sequence as its labels come; nothing is kept but the past that the generator looks at.

    Args:
        model: makes them.
        sequence: of labels.
        fit: how labels of its size are shown to the model.
        subject: of a few-shot model, see `encode_references`.
        first_frame: (3, H, W) of the labels' own size, a picture to go on from. It counts as the frame before the first
            one, under the first one's label.
    """
    stream = start(model, subject)
    for label in sequence.read():
        labels = fit_labels(fit, label.labels)
        if first_frame is not None:
            stream.state = _after(model, labels, fit_picture(fit, first_frame))
            first_frame = None
        motion = None if label.motion is None else fit_motion(fit, label.motion)
        frame = stream(labels, motion)
        yield Made(label=label, shown=shown_labels(fit, label.labels), frame=unfit_frame(fit, frame))


def picture_of(model: Model, made: Made, *, beside: bool) -> Image:
    """Return a frame as (H, W, 3) uint8; `beside`: with what its label shows at its left, both with a caption."""
    if not beside:
        return frame_to_uint8(made.frame)
    shown = shown_label(model.labels, made.shown)
    return video_frame(ClipFrame(index=0, label=shown, generated=made.frame), palette_of(model.labels))


def _after(model: Model, labels: dict[str, Tensor], picture: Tensor) -> StreamState:
    """Return the state after a picture under a label."""
    moved = {kind: x[None].to(model.device) for kind, x in labels.items()}
    return StreamState(labels=(moved,), frames=(picture[None].to(model.device),))
