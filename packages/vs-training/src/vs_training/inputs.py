"""Frames of a clip as the networks take them: encoded labels, references, targets, and what came before them.

`channels_last` is the order of memory that the inputs get; it changes no value.
"""

from collections.abc import Mapping

import attrs
import torch
import vs_nets as nets
from torch import Tensor
from vs_data import Clip, References


@attrs.frozen(kw_only=True, eq=False)
class Past:
    """Frames before the one that is generated, the oldest first.

    Attributes:
        history: what the generator looks at: labels, and what it has made of them.
        real: frames of the clip that the discriminators over time look at.
        fake: generated ones, detached, at the same times.
    """

    history: nets.History = attrs.field(factory=nets.History)
    real: tuple[Tensor, ...] = ()
    fake: tuple[Tensor, ...] = ()


@attrs.frozen(kw_only=True, eq=False)
class FrameInputs:
    """One frame of a batch on the device, and its past.

    `boxes` are (N, B, 4) by region of a person, see `vs_data.Clip`. `references` are there for few-shot generators.
    `clip` and `frame` are for messages: the name of the clip and the frame's index within it. Every tensor in here has
    the batch as its first dimension.
    """

    label: nets.Label
    target: nets.Target
    past: Past = attrs.field(factory=Past)
    references: nets.References | None = None
    boxes: Mapping[str, Tensor] = attrs.field(factory=dict)
    clip: str = ""
    frame: int = 0


def frame_inputs(
    clip: Clip,
    t: int,
    labels: nets.LabelSpec,
    *,
    references: nets.References | None,
    past: Past,
    channels_last: bool = False,
) -> FrameInputs:
    """Return frame t of a batch (N, T, ...), with references and a past that are encoded already."""
    return FrameInputs(
        label=encode_label(clip, t, labels, channels_last=channels_last),
        target=frame_target(clip, t, channels_last=channels_last),
        past=past,
        references=references,
        boxes={region: boxes[:, t] for region, boxes in clip.boxes.items()},
        clip=clip.name,
        frame=t,
    )


def remember(
    past: Past, inputs: FrameInputs, fake: Tensor, *, generator: int, discriminator: int, shown: Tensor | None = None
) -> Past:
    """Return the past of the next frame.

    Args:
        past: of this frame.
        inputs: this frame.
        fake: what was generated, detached.
        generator: how many frames of the past the generator looks at.
        discriminator: how many the discriminators over time do.
        shown: what the generator is to look at in the place of what was generated, see `past.shown_past`; None: at it.
    """
    shown = fake if shown is None else shown
    history = nets.remember(past.history, inputs.label, shown, generator)
    if not discriminator:
        return Past(history=history)
    real = (*past.real, inputs.target.frame)[-discriminator:]
    return Past(history=history, real=real, fake=(*past.fake, fake)[-discriminator:])


def encode_label(clip: Clip, t: int, labels: nets.LabelSpec, *, channels_last: bool = False) -> nets.Label:
    """Return the encoded label (N, C, H, W) of frame t of a batch; without references class ids may stay ids."""
    maps = {name: x[:, t] for name, x in clip.labels.items()}
    return encode_maps(maps, labels, dense=clip.references is not None, channels_last=channels_last)


def encode_maps(
    maps: Mapping[str, Tensor], labels: nets.LabelSpec, *, dense: bool, channels_last: bool = False
) -> nets.Label:
    """Return the encoded label (N, C, H, W) of one frame's maps, (N, H, W) ids or (N, C, H, W) numbers by kind.

    `dense`: as a tensor in any case, which few-shot generators take; otherwise class ids may stay ids.
    """
    label = (nets.encode_labels if dense else nets.keep_class_ids)(labels, maps)
    match label:
        case Tensor():
            return _laid_out(label, channels_last)
        case _:
            return label


def history_of(inputs: FrameInputs) -> nets.History:
    """Return what the generator looks at of the past of a frame, and how that moves, where it is known."""
    flow, confidence = inputs.target.flow, inputs.target.flow_confidence
    if flow is None or confidence is None:
        return inputs.past.history
    return attrs.evolve(inputs.past.history, motion=nets.Motion(flow=flow, confidence=confidence))


def motion_at(clip: Clip, t: int) -> nets.Motion | None:
    """Return the motion to frame t of a batch from the one before it, as the teacher knows it; None without one."""
    if clip.flow is None or clip.flow_confidence is None:
        return None
    return nets.Motion(flow=clip.flow[:, t], confidence=clip.flow_confidence[:, t])


def encode_references(clip: Clip, labels: nets.LabelSpec, *, channels_last: bool = False) -> nets.References | None:
    """Return the references of a batch (N, K, ...) with encoded labels, or None when it has none."""
    if clip.references is None:
        return None
    frames = clip.references.frames
    flat = {name: x.flatten(0, 1) for name, x in clip.references.labels.items()}
    encoded = _laid_out(nets.encode_labels(labels, flat), channels_last)  # (N * K, C, H, W)
    return nets.References(
        frames=_laid_out(frames.flatten(0, 1), channels_last).unflatten(0, frames.shape[:2]),
        labels=encoded.unflatten(0, frames.shape[:2]),
    )


def frame_target(clip: Clip, t: int, *, channels_last: bool = False) -> nets.Target:
    """Return what frame t of a batch is compared with: the frame, and the teacher's flow where there is one."""
    motion = motion_at(clip, t) if t else None
    reference_flow, reference_confidence = _flow_to_references(clip.references, t)
    return nets.Target(
        frame=_laid_out(clip.frames[:, t], channels_last),
        flow=None if motion is None else motion.flow,
        flow_confidence=None if motion is None else motion.confidence,
        reference_flow=reference_flow,
        reference_confidence=reference_confidence,
    )


def _flow_to_references(references: References | None, t: int) -> tuple[Tensor | None, Tensor | None]:
    """Return the teacher's flow from frame t to each reference (N, K, 2, H, W), and the confidence in it."""
    if references is None or references.flow is None or references.flow_confidence is None:
        return None, None
    return references.flow[:, t], references.flow_confidence[:, t]


def _laid_out(x: Tensor, channels_last: bool) -> Tensor:
    return x.contiguous(memory_format=torch.channels_last if channels_last else torch.contiguous_format)
