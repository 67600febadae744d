"""Labels of other sizes than the generator takes: cropped, padded or resized, and its frames brought back."""

from collections.abc import Mapping
from typing import Literal, assert_never

import attrs
import torch
import torch.nn.functional as F
import vs_nets as nets
from torch import Tensor
from vs_data.geometry import inside
from vs_data.labels import LabelHandler, LabelKind, handler_of

from vs_synthesis.config import ModelConfig
from vs_synthesis.errors import VsSynthesisError

Way = Literal["crop", "pad", "resize"]
Size = tuple[int, int]


class SizeError(VsSynthesisError):
    """Labels of a size that the generator does not take."""


@attrs.frozen(kw_only=True)
class Fit:
    """The way from labels of a size to the generator, and of its frames back. Sizes are (height, width), pixels.

    Attributes:
        own: the labels' own size.
        inner: the size that the generator works in.
        labels: the kinds of labels, some of which say how many pixels something is, or what no mixture is.
        way: what is done where the two differ; None: they are one.
    """

    own: Size
    inner: Size
    labels: tuple[LabelKind, ...]
    way: Way | None = None

    @property
    def frame(self) -> Size:
        """The size of the frames: the labels' own, but for a crop, whose edge nobody has generated."""
        return self.inner if self.way == "crop" else self.own

    def describe(self) -> str:
        """Say in one line what is done; empty where nothing is."""
        own, inner = (f"{height}x{width}" for height, width in (self.own, self.inner))
        match self.way:
            case None:
                return ""
            case "crop":
                return f"labels of {own} are cropped to {inner} from the centre; frames are {inner}"
            case "pad":
                return f"labels of {own} are padded to {inner} by repeating their edge; frames are cut back to {own}"
            case "resize":
                return f"labels of {own} are resized to {inner}; frames are resized back to {own}"
            case _:
                assert_never(self.way)


def plan_fit(own: Size, config: ModelConfig, way: Way | None = None, *, wanted: Size | None = None) -> Fit:
    """Decide how labels of a size are shown to a model.

    Args:
        own: their size.
        config: the model's.
        way: what may be done to them.
        wanted: the size of a subject's references, which the labels must have.

    Raises:
        SizeError: the generator does not take that size, and nothing or not enough may be done.
    """
    only = wanted or only_size(config)
    inner = _inner(own, config.generator.stride, way) if only is None else only
    if inner == own:
        return Fit(own=own, inner=own, labels=config.labels)
    what = f"labels are {_words(own)} pixels, {_what_it_takes(config, only)}"
    if only is not None and way != "resize":
        raise SizeError(f"{what}; choose --fit resize")
    if way is None:
        raise SizeError(f"{what}; choose --fit pad, crop or resize")
    if min(inner) < 1:
        raise SizeError(f"{what}, and is larger than they are; choose --fit pad or resize")
    return Fit(own=own, inner=inner, labels=config.labels, way=way)


def fit_labels(fit: Fit, labels: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the labels of one frame, (H, W) ids or (C, H, W) maps by kind, as the generator takes them."""
    handlers = {kind.folder: handler_of(kind) for kind in fit.labels}
    return {folder: _label_inward(fit, handlers[folder], x) for folder, x in labels.items()}


def _label_inward(fit: Fit, handler: LabelHandler, x: Tensor) -> Tensor:
    """Return a label as `_inward` does; resized, it is what a file of that size would have said, as in training."""
    if fit.way != "resize":
        return _inward(fit, x)
    resized = _nearest(x, fit.inner) if handler.exact_levels else _interpolated(x, fit.inner)
    return resized if handler.grown is None else handler.grown(resized, _growth(fit))


def _growth(fit: Fit) -> tuple[float, float]:
    """Return how much larger the generator's size is than the labels' own: (x, y)."""
    return fit.inner[1] / fit.own[1], fit.inner[0] / fit.own[0]


def fit_motion(fit: Fit, motion: tuple[Tensor, Tensor]) -> nets.Motion:
    """Return the motion of one frame, flow (2, H, W) and confidence (1, H, W), as the generator takes it.

    A mean of two motions is neither, so each pixel takes one; what comes from outside of a crop is not to be trusted.
    """
    if fit.way is None:
        return nets.Motion(flow=motion[0], confidence=motion[1])
    flow, confidence = (_nearest(x, fit.inner) if fit.way == "resize" else _inward(fit, x) for x in motion)
    if fit.way == "resize":
        flow = flow * flow.new_tensor(_growth(fit)).reshape(2, 1, 1)
    known = torch.from_numpy(inside(flow.movedim(0, -1).numpy()))
    return nets.Motion(flow=flow, confidence=confidence * known)


def shown_labels(fit: Fit, labels: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """Return the labels of one frame in the size of the frames, to be shown beside them."""
    return fit_labels(fit, labels) if fit.way == "crop" else labels


def fit_picture(fit: Fit, frame: Tensor) -> Tensor:
    """Return a picture (3, H, W) of the labels' own size as the generator takes it."""
    return _inward(fit, frame)


def unfit_frame(fit: Fit, frame: Tensor) -> Tensor:
    """Return a generated frame (3, h, w) in the size of the frames."""
    height, width = fit.own
    match fit.way:
        case None | "crop":
            return frame
        case "pad":
            return frame[:, :height, :width]
        case "resize":
            return _interpolated(frame, fit.own)
        case _:
            assert_never(fit.way)


def _inward(fit: Fit, x: Tensor) -> Tensor:
    (height, width), (inner_height, inner_width) = fit.own, fit.inner
    match fit.way:
        case None:
            return x
        case "crop":
            top, left = (height - inner_height) // 2, (width - inner_width) // 2
            return x[..., top : top + inner_height, left : left + inner_width]
        case "pad":
            rows = torch.arange(inner_height, device=x.device).clamp(max=height - 1)
            columns = torch.arange(inner_width, device=x.device).clamp(max=width - 1)
            return x[..., rows[:, None], columns]
        case "resize":
            return _interpolated(x, fit.inner)
        case _:
            assert_never(fit.way)


def _nearest(x: Tensor, size: Size) -> Tensor:
    """Resize (..., H, W) of which no mixture is to be had, such as ids: each pixel takes what is at its centre."""
    rows, columns = (
        ((torch.arange(new, device=x.device) + 0.5) * old / new).long()
        for old, new in zip(x.shape[-2:], size, strict=True)
    )
    return x[..., rows[:, None], columns]


def _interpolated(x: Tensor, size: Size) -> Tensor:
    """Resize maps (C, H, W): bilinear where they grow, averaged where they shrink."""
    return F.interpolate(x[None].float(), size=size, mode="bilinear", antialias=True)[0]


def _inner(own: Size, stride: int, way: Way | None) -> Size:
    match way:
        case None | "crop":
            return own[0] - own[0] % stride, own[1] - own[1] % stride
        case "pad":
            return own[0] + -own[0] % stride, own[1] + -own[1] % stride
        case "resize":
            return max(stride, round(own[0] / stride) * stride), max(stride, round(own[1] / stride) * stride)
        case _:
            assert_never(way)


def only_size(config: ModelConfig) -> Size | None:
    """Return the one size that a generator takes whose first frame starts from a learned constant, or None."""
    match config.generator:
        case nets.GeneratorConfig(start=nets.ConstantStart() as start, levels=levels):
            return start.height << levels, start.width << levels
        case _:
            return None


def _what_it_takes(config: ModelConfig, only: Size | None) -> str:
    if only is not None:
        return f"and here have to be {_words(only)}"
    return f"which the model's stride of {config.generator.stride} does not divide"


def _words(size: Size) -> str:
    return f"{size[0]}x{size[1]}"
