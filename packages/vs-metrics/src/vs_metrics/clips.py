"""How one frame of a generated clip is shown: as a row of a strip, and as a frame of a video."""

from collections.abc import Iterable, Sequence

import attrs
import numpy as np
from torch import Tensor

from vs_metrics.colours import Image, flow_to_rgb, frame_to_uint8, labels_to_rgb, longest_vector, mask_to_rgb
from vs_metrics.tiles import BACKGROUND, Panel, grid, strip

Palette = Sequence[tuple[int, int, int]]
"""The colour of each class id."""


@attrs.frozen(kw_only=True, eq=False)
class ClipFrame:
    """One frame of a clip, real and generated; tensors without N axis, of any float type, on any device.

    Attributes:
        index: its number within the clip.
        label: (H, W) class ids, or (C, H, W) maps of any range.
        real: (3, H, W) in [-1, 1].
        generated: (3, H, W) in [-1, 1].
        flow: (2, H, W) the generator's flow in pixels, or None where it has not made one.
        mask: (1, H, W) in [0, 1], 1 where the pixel is new, or None.
        warped: (3, H, W) the previous frame moved by that flow, or None.
        teacher_flow: (2, H, W) the flow that the generator should have found, or None; of frame 0 it says nothing.
    """

    index: int
    label: Tensor
    real: Tensor
    generated: Tensor
    flow: Tensor | None = None
    mask: Tensor | None = None
    warped: Tensor | None = None
    teacher_flow: Tensor | None = None


def label_picture(label: Tensor, palette: Palette) -> Image:
    """Labels as (H, W, 3) uint8: class ids (H, W) in their colours; of maps (C, H, W) the strongest in grey.

    Raises:
        ClassIdError: an id has no colour.
    """
    if label.ndim == 2:
        return labels_to_rgb(label, palette)
    strongest = label.float().abs().amax(dim=0, keepdim=True)
    return mask_to_rgb(strongest / strongest.amax().clamp_min(1e-6))


def strip_frames(length: int, count: int = 4) -> tuple[int, ...]:
    """Which frames of a clip to draw in its strip: evenly spread, the first and the last among them."""
    if length <= count:
        return tuple(range(length))
    return tuple(round(index * (length - 1) / (count - 1)) for index in range(count))


def panel_row(frame: ClipFrame, palette: Palette, *, flow_scale: float | None = None) -> list[Panel]:
    """One row of a strip: label, real, generated, flow, mask, warped, and the teacher's flow where the clip has it.

    What there is not yet is blank, and its caption says so.

    Args:
        frame: what to show.
        palette: colours of its class ids.
        flow_scale: pixels at which the colour of a flow is full; None: the longest vector of the row, at least 1.
    """
    scale = _flow_scale([frame]) if flow_scale is None else flow_scale
    blank = np.full((*frame.real.shape[-2:], 3), BACKGROUND, dtype=np.uint8)
    flow, mask, warped, teacher = frame.flow, frame.mask, frame.warped, frame.teacher_flow
    panels = [
        Panel(title=f"label, frame {frame.index}", image=label_picture(frame.label, palette)),
        Panel(title="real", image=frame_to_uint8(frame.real), smooth=True),
        Panel(title="generated", image=frame_to_uint8(frame.generated), smooth=True),
        Panel(title="flow: not yet", image=blank)
        if flow is None
        else Panel(title=f"flow (full colour: {scale:.1f} px)", image=flow_to_rgb(flow, scale)),
        Panel(title="mask: not yet", image=blank)
        if mask is None
        else Panel(title="mask (white: new)", image=mask_to_rgb(mask)),
        Panel(title="warped: not yet", image=blank)
        if warped is None
        else Panel(title="warped", image=frame_to_uint8(warped), smooth=True),
    ]
    if teacher is not None and frame.index == 0:
        panels.append(Panel(title="teacher's flow: not yet", image=blank))
    elif teacher is not None:
        panels.append(Panel(title="teacher's flow", image=flow_to_rgb(teacher, scale)))
    return panels


def clip_picture(frames: Sequence[ClipFrame], palette: Palette) -> Image:
    """A strip: one `panel_row` for each frame, below each other, all flows to one scale.

    Raises:
        VsMetricsError: there is no frame.
    """
    scale = _flow_scale(frames)
    return grid([panel_row(frame, palette, flow_scale=scale) for frame in frames])


def video_frame(frame: ClipFrame, palette: Palette) -> Image:
    """One frame of a video: label, real and generated side by side."""
    return strip(
        [
            Panel(title="label", image=label_picture(frame.label, palette)),
            Panel(title="real", image=frame_to_uint8(frame.real), smooth=True),
            Panel(title="generated", image=frame_to_uint8(frame.generated), smooth=True),
        ]
    )


def _flow_scale(frames: Iterable[ClipFrame]) -> float:
    flows = [flow for frame in frames for flow in (frame.flow, frame.teacher_flow) if flow is not None]
    return max([1.0, *map(longest_vector, flows)])
