"""What is drawn of a generated frame: which label, in which colours, beside what the generator made of it."""

from collections.abc import Mapping

import torch
import vs_nets as nets
from torch import Tensor
from vs_data import Clip
from vs_metrics import ClipFrame, Palette, palette_for


def palette_of(spec: nets.LabelSpec) -> Palette:
    """Return colours of the class ids that `clip_frame` draws; none where no label has classes."""
    kind = nets.class_kind(spec)
    return () if kind is None else palette_for(kind.classes)


def clip_frame(spec: nets.LabelSpec, clip: Clip, synthesis: nets.Synthesis, *, index: int) -> ClipFrame:
    """Return what is drawn of a frame; with references, the chosen one and what was made of it too.

    Args:
        spec: how labels enter the networks; the first that has class ids is drawn, or else a picture, or else all maps
            in one; and what that does not show, beside it.
        clip: what is known of the frame, as a clip of this one frame without N axis (see `vs_data.cut`).
        synthesis: what the generator made of it, N = 1.
        index: the frame's number in the whole clip.
    """
    warp, references = synthesis.reference, clip.references
    labels = {name: maps[0] for name, maps in clip.labels.items()}
    return ClipFrame(
        index=index,
        label=shown_label(spec, labels),
        other_labels=_other_labels(spec, labels),
        real=clip.frames[0],
        generated=synthesis.frame[0],
        flow=_only(synthesis.flow),
        mask=_only(synthesis.mask),
        warped=_only(synthesis.warped),
        reference=None if references is None else references.frames[chosen_reference(synthesis)],
        reference_flow=None if warp is None else warp.flow[0],
        reference_mask=None if warp is None else warp.mask[0],
        warped_reference=None if warp is None else warp.frame[0],
    )


def chosen_reference(synthesis: nets.Synthesis) -> int:
    """Return which reference the generator chose for a frame, N = 1; the first where it has not said."""
    return 0 if synthesis.chosen is None else int(synthesis.chosen[0])


def shown_label(spec: nets.LabelSpec, labels: Mapping[str, Tensor]) -> Tensor:
    """Return what is drawn of the labels of a frame, (H, W) ids or (C, H, W) maps by kind.

    The first class ids, (H, W); or else the first kind that is a picture, (3, H, W) uint8; or else all lines over each
    other: in colours, (3, H, W) uint8, where some kind has any, else maps, of which the strongest is drawn.
    """
    kind = nets.class_kind(spec)
    if kind is not None:
        return nets.class_ids(labels, kind)
    kinds = nets.float_kinds(spec)
    picture = next((labels[kind.name] for kind in kinds if kind.pictures), None)
    if picture is not None:
        return _painted(picture)
    if any(map(_in_colours, kinds)):
        return _coloured(torch.stack([_as_colours(kind, labels[kind.name]) for kind in kinds]).amax(dim=0))
    return torch.cat([labels[kind.name].float() for kind in kinds])


def _other_labels(spec: nets.LabelSpec, labels: Mapping[str, Tensor]) -> tuple[tuple[str, Tensor], ...]:
    """Return the maps that `shown_label` leaves out, each kind by itself, with what it is called."""
    maps = nets.float_kinds(spec)
    if nets.class_kind(spec) is None:
        first = next((kind for kind in maps if kind.pictures), None)
        maps = () if first is None else tuple(kind for kind in maps if kind is not first)
    return tuple((kind.title, _drawn(kind, labels[kind.name])) for kind in maps)


def _drawn(kind: nets.FloatMap, label: Tensor) -> Tensor:
    """Return what is drawn of one kind: colours (3, H, W) uint8, or maps (C, H, W), of which the strongest is."""
    if kind.pictures:
        return _painted(label)
    return _coloured(label) if _in_colours(kind) else label


def _in_colours(kind: nets.FloatMap) -> bool:
    """Say whether lines are drawn in colours, as limbs are: by three maps in [0, 1], as in contact sheets of data."""
    return not kind.pictures and kind.channels == 3


def _as_colours(kind: nets.FloatMap, lines: Tensor) -> Tensor:
    """Return lines (C, H, W) as (3, H, W) in [0, 1]: in their colours, or the strongest in greys."""
    return lines.float() if _in_colours(kind) else lines.float().abs().amax(dim=0).expand(3, -1, -1)


def _coloured(lines: Tensor) -> Tensor:
    return lines.float().mul(255).round().clamp(0, 255).to(torch.uint8)


def _painted(picture: Tensor) -> Tensor:
    """Return a picture (C, H, W) in [-1, 1] in colours, (3, H, W) uint8: greys, or the first channels as RGB."""
    shown = picture[:3].float()
    if len(shown) == 1:
        shown = shown.expand(3, -1, -1)
    elif len(shown) == 2:
        shown = torch.cat([shown, torch.zeros_like(shown[:1])])
    return shown.add(1).mul(127.5).round().clamp(0, 255).to(torch.uint8)


def _only(x: Tensor | None) -> Tensor | None:
    """Drop N = 1."""
    return None if x is None else x[0]
