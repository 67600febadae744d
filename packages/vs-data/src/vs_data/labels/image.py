"""Any picture beside the frame as a kind of label: renderings, depth, normals, albedo, drawn skeletons."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, ClassVar

import attrs
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from vs_config import Check, Problem, Range, check_fields, numbers, real, texts, truth, whole

from vs_data.clips import FloatMaps
from vs_data.content import Content, FrameOfVideo
from vs_data.errors import DataError
from vs_data.exr import read_exr
from vs_data.fields import folder_name
from vs_data.files import MAX_PICTURE_PIXELS
from vs_data.findings import counted
from vs_data.geometry import apply_to_values, factor_of, same_size
from vs_data.labels.handler import LabelHandler, LooseFiles
from vs_data.npz import Promise, read_npy
from vs_data.outlines import outline_of_values
from vs_data.pictures import IMAGE_EXTENSIONS, inspect_stored
from vs_data.seen import Seen, Size, Trace, digest_of, size_of
from vs_data.views import View, check_size, content_of

_F32 = NDArray[np.float32]

_CHANNELS = 4
_CHANNEL = Range(kind=int, low=0, high=_CHANNELS - 1)
_LARGEST = 1e9

CLIPPED = "holds values outside of minimum to maximum, which are clipped"
"""The note of a file whose range is wider than the configuration's."""


def _check_range(config: "ImageConfig") -> Iterator[Problem]:
    low, high = config.minimum, config.maximum
    if low is not None and high is not None and not low < high:
        yield Problem("minimum", expected=f"less than maximum, {high:g}", got=low)


def _check_log(config: "ImageConfig") -> Iterator[Problem]:
    if config.log and (config.minimum is None or config.maximum is None or config.minimum <= 0):
        yield Problem("log", "takes a minimum above 0 and a maximum")
    if config.log and (config.flip_sign or config.scale_x or config.scale_y):
        yield Problem("log", "cannot be with channels that change with the geometry: flip_sign, scale_x, scale_y")


def _check_channels(config: "ImageConfig") -> Iterator[Problem]:
    for name in ("flip_sign", "scale_x", "scale_y"):
        for index, channel in enumerate(getattr(config, name)):
            if channel >= config.channels:
                allowed = f"a channel, 0 to {config.channels - 1} (channels = {config.channels})"
                yield Problem(f"{name}[{index}]", expected=allowed, got=channel)
    named = config.exr_channels
    if named and len(named) != config.channels:
        yield Problem("exr_channels", expected=f"a name for each of {config.channels} channels, or none", got=named)


@attrs.frozen(kw_only=True)
class ImageConfig:
    """Pictures beside the frames, one file per frame: `FOLDER/SEQ/FRAME.png` (or .jpg, .webp, .exr, .npy).

    The label is as many channels in [-1, 1]: `minimum` becomes -1, `maximum` 1, and what is outside is clipped.
    """

    kind: ClassVar[str] = "image"

    folder: str = folder_name("image", "folder of the pictures, beside the images")
    channels: int = whole(3, "numbers of each pixel", low=1, high=_CHANNELS)
    minimum: float | None = real(
        None,
        "value in the files that becomes -1; none: 0, where files hold 8 or 16 bits",
        low=-_LARGEST,
        high=_LARGEST,
        optional=True,
    )
    maximum: float | None = real(
        None,
        "value in the files that becomes 1; none: the largest of 8 or 16 bits",
        low=-_LARGEST,
        high=_LARGEST,
        optional=True,
    )
    log: bool = truth(False, "between the two by the logarithm, as for depth, where what is near matters more")
    flip_sign: tuple[int, ...] = numbers(
        (), "channels that change sign when mirrored left and right: the x of normals and flows", _CHANNEL, rising=True
    )
    scale_x: tuple[int, ...] = numbers(
        (), "channels that are pixels across, and grow with the picture: the x of flows", _CHANNEL, rising=True
    )
    scale_y: tuple[int, ...] = numbers(
        (), "channels that are pixels down, and grow with the picture: the y of flows", _CHANNEL, rising=True
    )
    exr_channels: tuple[str, ...] = texts(
        (), "names of the channels in .exr files; empty: R, G, B, A or Y or Z, or the only ones", high=_CHANNELS
    )

    CHECKS: ClassVar[tuple[Check, ...]] = (
        Check(("minimum", "maximum"), _check_range),
        Check(("log", "minimum", "maximum", "flip_sign", "scale_x", "scale_y"), _check_log),
        Check(("channels", "flip_sign", "scale_x", "scale_y", "exr_channels"), _check_channels),
    )

    def __attrs_post_init__(self) -> None:
        check_fields(self)


@attrs.frozen(kw_only=True, eq=False)
class _Found:
    """The numbers in a file, (H,W,C), the range that they become -1 to 1 of, and what is to be said of it."""

    values: NDArray[Any]
    low: float
    high: float
    notes: tuple[str, ...] = ()


def handle_images(config: ImageConfig) -> LabelHandler:
    """Return what is done with pictures beside the frames."""
    return LabelHandler(
        info=FloatMaps(channels=config.channels, title=config.folder, pictures=True),
        says=f"a picture of {counted(config.channels, 'channel')}, {_range(config)}scaled to [-1, 1]",
        extensions=(*IMAGE_EXTENSIONS, ".exr", ".npy"),
        read=partial(_read, config),
        open_loose=partial(_open_loose, config),
        of_levels=partial(_of_levels, config),
        exact_levels=False,
        level_channels=config.channels,
        videos=True,
        look=partial(_look, config),
        grown=partial(_grown, config) if config.scale_x or config.scale_y else None,
    )


def _range(config: ImageConfig) -> str:
    """Return in words what the configuration says of the range."""
    bounds = (("from", config.minimum), ("to", config.maximum))
    said = " ".join(f"{word} {value:g}" for word, value in bounds if value is not None)
    return f"{said}{' by the logarithm' if config.log else ''}, " if said else ""


def _read(config: ImageConfig, view: View, frames: Sequence[int], _subject: View | None) -> Tensor:
    """Read pictures (n,C,H,W), which have no proportions: whose motion drives whom changes nothing in them."""
    return torch.from_numpy(np.stack([_read_frame(config, view, frame) for frame in frames]))


def _open_loose(config: ImageConfig, files: LooseFiles) -> tuple[Size, Callable[[Sequence[int]], Tensor]]:
    geometry = files.geometry() if files.framed else same_size(size_of(_find(config, files.first).values))
    view = files.view(geometry)
    return geometry.size, lambda frames: _read(config, view, frames, None)


def _of_levels(config: ImageConfig, levels: NDArray[np.uint8], where: str) -> Tensor:
    found = _found(config, _of_a_video(config, levels if levels.ndim == 3 else levels[..., None]), where)
    return torch.from_numpy(np.ascontiguousarray(np.moveaxis(_scaled(config, found), -1, 0)))


def _look(config: ImageConfig, content: Content, _picture: Size | None) -> Seen:
    found = _find(config, content)
    low, high = np.float64(found.low), np.float64(found.high)  # wide enough, whatever the values are
    outside = bool((found.values < low).any() or (found.values > high).any())
    return Seen(
        size=size_of(found.values),
        trace=Trace(digest=digest_of(found.values), outline=outline_of_values(_scaled(config, found))),
        notes=(*found.notes, *([CLIPPED] if outside else [])),
    )


def _read_frame(config: ImageConfig, view: View, frame: int) -> _F32:
    found = _find(config, content_of(view, config.folder, frame))
    check_size(view, frame, config.folder, found.values)
    scaled = apply_to_values(view.geometry, _scaled(config, found))
    scaled = _changed(config, scaled, factor_of(view.geometry), flip=view.geometry.flip)
    return np.ascontiguousarray(np.moveaxis(scaled, -1, 0))  # (C,H,W)


def _grown(config: ImageConfig, label: Tensor, factor: tuple[float, float]) -> Tensor:
    return torch.from_numpy(_changed(config, label.numpy().transpose(1, 2, 0), factor).transpose(2, 0, 1))


def _find(config: ImageConfig, content: Content) -> _Found:
    """Read the file of a frame."""
    match str(content).rpartition(".")[2].lower():
        case "npy":
            return _found(config, read_array(content), str(content))
        case "exr":
            return _found(config, read_exr(content, config.exr_channels), str(content))
        case _:
            stored = inspect_stored(content)
            of_video = isinstance(content, FrameOfVideo)
            values = _of_a_video(config, stored.values) if of_video else stored.values
            found = _found(config, values, str(content))
            return attrs.evolve(found, notes=(*stored.notes, *found.notes))


def _of_a_video(config: ImageConfig, values: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return (H,W,C) of a video, in which what was greys may have become colours that are nearly grey."""
    if config.channels > 1:
        return values
    return np.asarray(values.mean(axis=2, keepdims=True, dtype=np.float32).round(), np.uint8)


def read_array(content: Content) -> NDArray[Any]:
    """Read (H,W) or (H,W,C) of a `.npy` file as (H,W,C).

    Raises:
        DataError: the file is bad, or holds anything else.
    """

    def check(promise: Promise) -> None:
        whole_or_real = promise.dtype.kind in "uif" and promise.dtype.itemsize <= 8
        fits = len(promise.shape) in (2, 3) and 0 < promise.shape[0] * promise.shape[1] <= MAX_PICTURE_PIXELS
        if not (whole_or_real and fits and promise.shape[2:] <= (_CHANNELS,) and 0 not in promise.shape):
            fix = f"expected (height, width) or (height, width, channels), at most {_CHANNELS}, of numbers"
            raise DataError(f"holds {promise}", file=str(content), fix=fix)

    values = read_npy(content, check)
    return values if values.ndim == 3 else values[..., None]


def _found(config: ImageConfig, values: NDArray[Any], where: str) -> _Found:
    """Take the channels that are wanted, and see that all is finite and the range known."""
    values, notes = _with_channels(config, values, where)
    finite = np.isfinite(values)
    if not finite.all():
        y, x, channel = (int(i) for i in np.unravel_index(int(finite.argmin()), values.shape))
        count = f"{int((~finite).sum())} such values"
        what = f"holds {values[y, x, channel]} at x={x}, y={y}, channel {channel} ({count})"
        raise DataError(what, file=where, fix="write a number there: what is infinitely far away can be the maximum")
    unsigned = values.dtype.kind == "u" and values.dtype.itemsize <= 2
    if not unsigned and (config.minimum is None or config.maximum is None):
        what = (
            f"holds {values.dtype} of {float(values.min()):g} to {float(values.max()):g}, and nobody says their range"
        )
        raise DataError(what, file=where, fix=f"set minimum and maximum of the kind {config.folder!r}")
    low = 0.0 if config.minimum is None else config.minimum
    high = float(np.iinfo(values.dtype).max) if config.maximum is None else config.maximum
    if not low < high:
        what = f"holds {values.dtype} values, whose range is {low:g} to {high:g} with this minimum and maximum"
        raise DataError(what, file=where, fix=f"set minimum and maximum of the kind {config.folder!r}")
    return _Found(values=values, low=low, high=high, notes=notes)


def _with_channels(config: ImageConfig, values: NDArray[Any], where: str) -> tuple[NDArray[Any], tuple[str, ...]]:
    """Return (H,W,C) with as many channels as are wanted, and what had to be done to get there."""
    there, wanted = values.shape[2], config.channels
    if there == wanted:
        return values, ()
    if there in (3, 4) and wanted == 1 and (values[..., :3] == values[..., :1]).all():
        return values[..., :1], ("has three channels, all equal, one of which is read",)
    if (there, wanted) in ((4, 3), (2, 1)):
        return values[..., :wanted], ("has transparency, which is dropped",)
    if (there, wanted) == (3, 2):
        return values[..., :2], ("has three channels, the first two of which are read",)
    plural = "" if there == 1 else "s"
    what = f"has {there} channel{plural}, channels = {wanted} of the kind {config.folder!r}"
    raise DataError(what, file=where, fix="correct the number, or write files of so many channels")


def _scaled(config: ImageConfig, found: _Found) -> _F32:
    """Return values as (H,W,C) in [-1, 1]."""
    with np.errstate(over="ignore"):  # what float32 cannot hold is clipped
        values = np.clip(found.values.astype(np.float32), np.float32(found.low), np.float32(found.high))
    low, high = found.low, found.high
    if config.log:
        values, low, high = np.log(values), float(np.log(low)), float(np.log(high))
    scaled = (values - np.float32(low)) * np.float32(2 / (high - low)) - np.float32(1)
    return np.asarray(np.clip(scaled, -1, 1), np.float32)


def _changed(config: ImageConfig, scaled: _F32, factor: tuple[float, float], *, flip: bool = False) -> _F32:
    """Change the channels of (H,W,C) that change with the geometry, about the middle of their range."""
    factors = np.ones(config.channels, np.float32)
    for channels, by in zip((config.scale_x, config.scale_y), factor, strict=True):
        factors[list(channels)] *= np.float32(by)
    if flip:
        factors[list(config.flip_sign)] *= -1
    return scaled if (factors == 1).all() else np.clip(scaled * factors, -1, 1)
