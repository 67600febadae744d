"""How one frame of a generated clip is shown: as a row of a strip, and as a frame of a video."""

from collections.abc import Iterable, Sequence

import attrs
import numpy as np
import torch
from torch import Tensor

from vs_metrics.colours import Image, flow_to_rgb, frame_to_uint8, labels_to_rgb, longest_vector, mask_to_rgb
from vs_metrics.errors import VsMetricsError
from vs_metrics.tiles import BACKGROUND, Panel, grid, strip

Palette = Sequence[tuple[int, int, int]]
"""The colour of each class id."""

WIDEST = 3800
"""Pixels of pictures beside each other in a video: decoders in hardware take 4096."""


@attrs.frozen(kw_only=True, eq=False)
class ClipFrame:
    """One frame of a clip, real and generated; tensors without N axis, of any float type, on any device.

    Only what is given is shown, but for the flow, mask and warped frame of a row: where these are missing, they are
    expected later in the clip, and their places are blank.

    Attributes:
        index: its number within the clip.
        label: (H, W) class ids, (C, H, W) maps of any float type and range, or (3, H, W) uint8 colours.
        label_title: what the label is called in captions.
        other_labels: further labels, each with what it is called, (H, W) or (C, H, W) as `label` is.
        real: (3, H, W) in [-1, 1], or None where there is no truth (one subject driven by another's motion).
        driving: (3, H, W) in [-1, 1], the frame of another subject that the label was taken from, or None.
        generated: (3, H, W) in [-1, 1].
        flow: (2, H, W) the generator's flow in pixels, or None where it has not made one.
        mask: (1, H, W) in [0, 1], 1 where the pixel is new, or None.
        warped: (3, H, W) the previous frame moved by that flow, or None.
        teacher_flow: (2, H, W) the flow that the generator should have found, or None; of frame 0 it says nothing.
        reference: (3, H, W) in [-1, 1], the example of the subject that the frame was made from, or None.
        reference_flow: (2, H, W) the generator's flow to the reference in pixels, or None.
        reference_mask: (1, H, W) in [0, 1], 1 where the pixel is not taken from the reference, or None.
        warped_reference: (3, H, W) the reference moved by that flow, or None.
        reference_teacher_flow: (2, H, W) the flow to the reference that it should have found, or None.
    """

    index: int
    label: Tensor
    label_title: str = "label"
    other_labels: tuple[tuple[str, Tensor], ...] = ()
    real: Tensor | None = None
    driving: Tensor | None = None
    generated: Tensor
    flow: Tensor | None = None
    mask: Tensor | None = None
    warped: Tensor | None = None
    teacher_flow: Tensor | None = None
    reference: Tensor | None = None
    reference_flow: Tensor | None = None
    reference_mask: Tensor | None = None
    warped_reference: Tensor | None = None
    reference_teacher_flow: Tensor | None = None


def label_picture(label: Tensor, palette: Palette) -> Image:
    """Paint labels as (H, W, 3) uint8: class ids (H, W) in their colours; of maps (C, H, W) the strongest in grey.

    What is colours already, (3, H, W) uint8, stays what it is.

    Maps that lie in [0, 1], as edges do, are shown as they are, 1 in white; of others the strongest value is white.

    Raises:
        ClassIdError: an id has no colour.
    """
    if label.ndim == 2:
        return labels_to_rgb(label, palette)
    if label.dtype == torch.uint8:
        return np.ascontiguousarray(label.detach().cpu().movedim(0, -1).numpy())
    maps = label.detach().float()
    strongest = maps.abs().amax(dim=0, keepdim=True)  # (1, H, W)
    fits = bool((maps >= 0).all() and (maps <= 1).all())
    return mask_to_rgb(strongest if fits else strongest / strongest.amax().clamp_min(1e-6))


def strip_frames(length: int, count: int = 4) -> tuple[int, ...]:
    """Return which frames of a clip to draw in its strip: evenly spread, the first and the last among them."""
    if length <= count:
        return tuple(range(length))
    return tuple(round(index * (length - 1) / (count - 1)) for index in range(count))


def panel_row(
    frame: ClipFrame,
    palette: Palette,
    *,
    flow_scale: float | None = None,
    reference_flow_scale: float | None = None,
) -> list[Panel]:
    """Return one row of a strip: label, real, generated, flow, mask, warped, and the teacher's flow if there is one.

    What there is not yet is blank, and its caption says so. With a reference, the row begins with it and ends with
    what was made of it, as far as it is given: warped reference, mask, flow, and the teacher's flow to the reference.

    Args:
        frame: what to show.
        palette: colours of its class ids.
        flow_scale: pixels at which the colour of a flow is full; None: the longest vector of the row, at least 1.
        reference_flow_scale: the same for flows to the reference, which are longer: it is not only one frame away.
    """
    scale = _flow_scale([frame]) if flow_scale is None else flow_scale
    reference_scale = _reference_flow_scale([frame]) if reference_flow_scale is None else reference_flow_scale
    titled = attrs.evolve(frame, label_title=f"{frame.label_title}, frame {frame.index}")
    return _all_panels(titled, palette, scale, reference_scale)


def clip_picture(frames: Sequence[ClipFrame], palette: Palette) -> Image:
    """Return a strip: one `panel_row` per frame, all flows to one scale, those to references to one of their own.

    Raises:
        VsMetricsError: there is no frame.
    """
    scale, reference_scale = _flow_scale(frames), _reference_flow_scale(frames)
    return grid([panel_row(frame, palette, flow_scale=scale, reference_flow_scale=reference_scale) for frame in frames])


def video_frame(frame: ClipFrame, palette: Palette) -> Image:
    """Return a frame of a video, side by side: reference, label, driving frame, real and generated, as far as given."""
    return strip(_shown(frame, palette))


def panel_rows(
    frame: ClipFrame, palette: Palette, *, flow_scale: float, reference_flow_scale: float
) -> list[list[Panel]]:
    """Return all panels of `panel_row` as they stand in a video that shows everything, in rows of up to four.

    Where four are too wide for decoders in hardware, as few as fit, but two at least. Of one clip all frames are laid
    out alike.
    """
    panels = _all_panels(frame, palette, flow_scale, reference_flow_scale)
    columns = min(4, max(2, WIDEST // frame.generated.shape[-1]))
    return [panels[start : start + columns] for start in range(0, len(panels), columns)]


def matrix_picture(
    references: Sequence[Tensor], driving: Sequence[Tensor], generated: Sequence[Sequence[Tensor]]
) -> Image:
    """Show every subject in every pose: a row for each reference, a column for each driving frame.

    A generator that keeps identity and pose apart has one identity in each row and one pose in each column.

    Args:
        references: one (3, H, W) frame in [-1, 1] of each subject.
        driving: the frames (3, H, W) whose motion drives all of them.
        generated: for each reference, for each driving frame, what was generated, (3, H, W).

    Raises:
        VsMetricsError: there is nothing to show, or the numbers of frames do not fit.
    """
    if not references or not driving:
        raise VsMetricsError("matrix_picture needs at least one reference and one driving frame")
    if len(generated) != len(references):
        raise VsMetricsError(
            f"generated has {len(generated)} rows, expected one for each of {len(references)} references"
        )
    for number, row in enumerate(generated):
        if len(row) != len(driving):
            raise VsMetricsError(
                f"generated[{number}] has {len(row)} frames, expected one for each of {len(driving)} driving frames"
            )
    corner = Panel(image=_blank(references[0]))
    rows = [[corner, *(_photograph(f"driving {n}", frame) for n, frame in enumerate(driving, start=1))]]
    for number, (reference, made) in enumerate(zip(references, generated, strict=True), start=1):
        rows.append([_photograph(f"reference {number}", reference), *(_photograph("", frame) for frame in made)])
    return grid(rows)


def _all_panels(frame: ClipFrame, palette: Palette, scale: float, reference_scale: float) -> list[Panel]:
    return [*_shown(frame, palette), *_of_previous(frame, scale), *_of_reference(frame, reference_scale)]


def _shown(frame: ClipFrame, palette: Palette) -> list[Panel]:
    """Return what a frame was made from, what it should be, and what it is."""
    label = Panel(title=frame.label_title, image=label_picture(frame.label, palette))
    truth = [("driving", frame.driving), ("real", frame.real), ("generated", frame.generated)]
    pictures = [Panel(title=title, image=label_picture(other, palette)) for title, other in frame.other_labels]
    pictures += [_photograph(title, picture) for title, picture in truth if picture is not None]
    return (
        [label, *pictures] if frame.reference is None else [_photograph("reference", frame.reference), label, *pictures]
    )


def _of_previous(frame: ClipFrame, scale: float) -> list[Panel]:
    """Return flow from the previous frame, mask and warped frame, blank where missing so far; the teacher's flow."""
    blank = _blank(frame.generated)
    flow, mask, warped, teacher = frame.flow, frame.mask, frame.warped, frame.teacher_flow
    panels = [
        Panel(title="flow: not yet", image=blank, blank=True) if flow is None else _flow("flow", flow, scale),
        Panel(title="mask: not yet", image=blank, blank=True)
        if mask is None
        else Panel(title="mask (white: new)", image=mask_to_rgb(mask)),
        Panel(title="warped: not yet", image=blank, blank=True) if warped is None else _photograph("warped", warped),
    ]
    if teacher is not None and frame.index == 0:
        panels.append(Panel(title="teacher's flow: not yet", image=blank, blank=True))
    elif teacher is not None:
        panels.append(Panel(title="teacher's flow", image=flow_to_rgb(teacher, scale)))
    return panels


def _of_reference(frame: ClipFrame, scale: float) -> list[Panel]:
    """Return what was made of the reference: no blanks, for a generator makes it for every frame or for none."""
    panels = []
    if frame.warped_reference is not None:
        panels.append(_photograph("warped reference", frame.warped_reference))
    if frame.reference_mask is not None:
        panels.append(Panel(title="reference's mask (white: new)", image=mask_to_rgb(frame.reference_mask)))
    if frame.reference_flow is not None:
        panels.append(_flow("flow to reference", frame.reference_flow, scale))
    if frame.reference_teacher_flow is not None:
        picture = flow_to_rgb(frame.reference_teacher_flow, scale)
        panels.append(Panel(title="teacher's flow to reference", image=picture))
    return panels


def _photograph(title: str, frame: Tensor) -> Panel:
    return Panel(title=title, image=frame_to_uint8(frame), smooth=True)


def _flow(title: str, flow: Tensor, scale: float) -> Panel:
    return Panel(title=f"{title} (full colour: {scale:.1f} px)", image=flow_to_rgb(flow, scale))


def _blank(frame: Tensor) -> Image:
    return np.full((*frame.shape[-2:], 3), BACKGROUND, dtype=np.uint8)


def _flow_scale(frames: Iterable[ClipFrame]) -> float:
    return _longest(flow for frame in frames for flow in (frame.flow, frame.teacher_flow))


def _reference_flow_scale(frames: Iterable[ClipFrame]) -> float:
    return _longest(flow for frame in frames for flow in (frame.reference_flow, frame.reference_teacher_flow))


def _longest(flows: Iterable[Tensor | None]) -> float:
    """Return the length of the longest vector, at least 1 pixel."""
    return max([1.0, *(longest_vector(flow) for flow in flows if flow is not None)])
