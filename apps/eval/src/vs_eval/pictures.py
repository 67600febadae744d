"""What people look at: which label of a frame is drawn, in which colours, beside what the generator made of it."""

import attrs
import torch
from torch import Tensor
from vs_metrics import ClipFrame, Palette, palette_for
from vs_nets import LabelSpec, class_ids, class_kind

from vs_eval.scoring import FrameView, chosen_reference


def palette_of(spec: LabelSpec) -> Palette:
    """Return colours of the class ids that `clip_frame` takes; none when no label has classes."""
    kind = class_kind(spec)
    return () if kind is None else palette_for(kind.classes)


def clip_frame(spec: LabelSpec, view: FrameView) -> ClipFrame:
    """Return a frame without its N = 1; its label is the first that has class ids, or else all of its maps.

    With references, the one that the generator chose and what it made of it are shown too.
    """
    made = view.synthesis
    frame = ClipFrame(
        index=view.index,
        label=_label(spec, view),
        real=view.real[0],
        generated=made.frame[0],
        flow=_only(made.flow),
        mask=_only(made.mask),
        warped=_only(made.warped),
        teacher_flow=_only(view.flow),
    )
    chosen = chosen_reference(view)
    if chosen is None:
        return frame
    warp = made.reference
    return attrs.evolve(
        frame,
        label_title="landmarks" if is_landmarks(spec) else frame.label_title,
        reference=chosen.frame[0],
        reference_flow=None if warp is None else warp.flow[0],
        reference_mask=None if warp is None else warp.mask[0],
        warped_reference=None if warp is None else warp.frame[0],
        reference_teacher_flow=_only(chosen.flow),
    )


def is_landmarks(spec: LabelSpec) -> bool:
    """Say whether the label that is shown is a drawing of landmarks."""
    return class_kind(spec) is None and all(kind.name.startswith("landmarks") for kind in spec.kinds)


def _label(spec: LabelSpec, view: FrameView) -> Tensor:
    kind = class_kind(spec)
    if kind is not None:
        return class_ids(view.labels, kind)[0]
    return torch.cat([view.labels[kind.name][0].float() for kind in spec.kinds])


def _only(x: Tensor | None) -> Tensor | None:
    """Drop N = 1."""
    return None if x is None else x[0]
