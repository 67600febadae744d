"""What people look at: a video of each clip and a strip of some of its frames."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from vs_metrics import (
    Image,
    Panel,
    flow_to_rgb,
    frame_to_uint8,
    labels_to_rgb,
    mask_to_rgb,
    palette_for,
    strip,
)
from vs_nets import ClassMap, LabelSpec

from vs_eval.scoring import FrameView


def strip_frames(length: int, count: int = 4) -> tuple[int, ...]:
    """Which frames of a clip to draw in its strip: evenly spread, the first and the last among them."""
    if length <= count:
        return tuple(range(length))
    return tuple(round(index * (length - 1) / (count - 1)) for index in range(count))


def label_picture(spec: LabelSpec, labels: Mapping[str, Tensor]) -> Image:
    """One frame's labels as (H, W, 3) uint8: class ids in the colours of their palette, else the maps in grey."""
    for kind in spec.kinds:
        if isinstance(kind, ClassMap):
            return labels_to_rgb(labels[kind.name][0], palette_for(kind.classes))
    maps = torch.cat([labels[kind.name][0].float() for kind in spec.kinds])  # (C, H, W)
    brightest = maps.abs().amax(dim=0, keepdim=True)
    return mask_to_rgb(brightest / brightest.amax().clamp_min(1e-6))


def video_picture(spec: LabelSpec, view: FrameView) -> Image:
    """One frame of the video: label, real and generated side by side."""
    return strip(
        [_label_panel(spec, view), _frame_panel("real", view.real), _frame_panel("generated", view.synthesis.frame)]
    )


def strip_row(spec: LabelSpec, view: FrameView) -> list[Panel]:
    """One frame's row of the strip: label, real, generated, warped, mask, flow, and the teacher's flow if there is one.

    Flow and teacher flow of a row share one scale. Where there is no flow yet, black panels stand.
    """
    made = view.synthesis
    height, width = view.real.shape[-2:]
    nothing = frame_to_uint8(torch.full((3, height, width), -1.0))
    scale = _flow_scale([flow for flow in (made.flow, view.flow) if flow is not None])
    panels = [
        _label_panel(spec, view),
        _frame_panel("real", view.real),
        _frame_panel("generated", made.frame),
        Panel(title="warped (none yet)", image=nothing) if made.warped is None else _frame_panel("warped", made.warped),
        Panel(
            title="mask (none yet)" if made.mask is None else "mask, white: not warped",
            image=nothing if made.mask is None else mask_to_rgb(made.mask[0]),
        ),
        Panel(
            title="flow (none yet)" if made.flow is None else f"flow, full colour {scale:.1f} px",
            image=nothing if made.flow is None else flow_to_rgb(made.flow[0], scale),
        ),
    ]
    if view.flow is not None and view.index == 0:
        panels.append(Panel(title="teacher's flow (none yet)", image=nothing))
    elif view.flow is not None:
        panels.append(Panel(title="teacher's flow", image=flow_to_rgb(view.flow[0], scale)))
    return panels


def _label_panel(spec: LabelSpec, view: FrameView) -> Panel:
    return Panel(title=f"label, frame {view.index}", image=label_picture(spec, view.labels))


def _frame_panel(title: str, frame: Tensor) -> Panel:
    return Panel(title=title, image=frame_to_uint8(frame[0]), smooth=True)


def _flow_scale(flows: Sequence[Tensor]) -> float:
    """Pixels at which colours are full: the longest finite vector, at least 1."""
    lengths = [flow.nan_to_num(nan=0.0, posinf=0.0, neginf=0.0).norm(dim=1).amax() for flow in flows]
    return max([1.0, *(float(length) for length in lengths)])
