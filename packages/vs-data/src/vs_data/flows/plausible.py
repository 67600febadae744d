"""Whether given motion can be that of the frames, and if not, which way of reading the files would make it so."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeAlias

import attrs
import cv2
import numpy as np
from numpy.typing import NDArray

from vs_data.content import Content
from vs_data.errors import DataError
from vs_data.findings import Finding, warning
from vs_data.flow import FlowFilesConfig, TrustedConfig
from vs_data.flows.directions import backward_of
from vs_data.flows.formats import read_flow
from vs_data.flows.reading import in_pixels
from vs_data.layout import IMAGES, FrameFiles, file_of
from vs_data.pictures import read_rgb
from vs_data.seen import size_of
from vs_data.words import in_one_line

_F32 = NDArray[np.float32]

_PAIRS = 3
_SIDE = 320  # pixels; larger pictures are shrunk: what is looked for shows there too
_LEAST_CHANGE = 1.0  # level, of 255: where frames differ by less there is nothing to explain
_WORSE = 1.05  # times the difference of frames where nothing moves, beyond which flow makes it worse
_BETTER = 0.2  # share of that difference by which another way of reading has to be better, to be worth a word
_AS_GOOD = 0.02  # share of it by which ways may be worse than the best that are named beside it

_WAYS: Mapping[str, tuple[Any, Any]] = {
    "direction": ("backward", "forward"),
    "negate": (False, True),
    "units": ("pixels", "normalised"),
    "y": ("down", "up"),
}

_Changes: TypeAlias = tuple[tuple[str, Any], ...]
"""Fields of the configuration and other values of them."""


@attrs.frozen(kw_only=True, eq=False)
class _Pair:
    """Two frames that follow each other, shrunk, and what lies in the flow files for each direction."""

    before: NDArray[np.uint8]
    now: NDArray[np.uint8]
    source: tuple[int, int]
    stored: Mapping[str, tuple[_F32, _F32 | None]]


def check_motion(config: FlowFilesConfig, files: FrameFiles) -> Iterator[Finding]:
    """Warn where flow, followed, does not bring the frame before closer to a frame, or where it could bring it closer.

    Looks at a few pairs of frames. What cannot be read is passed over: whoever reads all files says so.

    Args:
        config: How the files are read.
        files: Of the sequence.
    """
    plain = attrs.evolve(config, confidence=TrustedConfig())
    pairs = list(itertools.islice(_pairs(plain, files), _PAIRS))
    if not pairs:
        return
    ways = [changes for changes in _changes(plain) if all(_direction(plain, changes) in pair.stored for pair in pairs)]
    left = {changes: _difference(attrs.evolve(plain, **dict(changes)), pairs) for changes in ways}
    still = float(np.mean([_mean_change(pair.before, pair.now) for pair in pairs]))
    own, best = left[()], min(left.values())
    better = min(own, still) - best > _BETTER * still
    if still < _LEAST_CHANGE or not (better or own > _WORSE * still):
        return
    what = f"frames differ by {own:.3g} levels of 255 where the flow is followed, by {still:.3g} where nothing moves"
    fix = "this flow does not explain the frames: wrong direction, sign or units? see direction, negate, units and y"
    if better:
        good = [changes for changes, difference in left.items() if difference - best <= _AS_GOOD * still]
        fewest = [changes for changes in good if len(changes) == min(map(len, good))]
        fix = f"{' or '.join(map(_in_words, fewest))} of the flow would leave {best:.3g}"
    yield warning("flow that does not explain the frames", files.files[config.folder].place, what, fix)


def _changes(config: FlowFilesConfig) -> Iterator[_Changes]:
    """Yield which fields could have another value, none first, and few before many."""
    others = [(name, next(value for value in _WAYS[name] if value != getattr(config, name))) for name in _WAYS]
    for count in range(len(others) + 1):
        yield from itertools.combinations(others, count)


def _in_words(changes: _Changes) -> str:
    return ", ".join(f"{name} = {in_one_line(value)}" for name, value in changes)


def _direction(config: FlowFilesConfig, changes: _Changes) -> str:
    return str(dict(changes).get("direction", config.direction))


def _pairs(config: FlowFilesConfig, files: FrameFiles) -> Iterator[_Pair]:
    """Yield pairs from all over the sequence, those first of which both frames have a flow file."""
    count = len(files.frames)
    there = [file_of(config.folder, files, frame) for frame in range(count)]
    frames = [frame for frame in range(1, count) if there[_place(config.direction, frame)] is not None]
    both = [frame for frame in frames if None not in there[frame - 1 : frame + 1]] or frames
    for frame in both[:: max(1, len(both) // _PAIRS)]:
        try:
            yield _pair(config, files, frame, there)
        except DataError:
            continue


def _place(direction: str, frame: int) -> int:
    return frame - 1 if direction == "forward" else frame


def _pair(config: FlowFilesConfig, files: FrameFiles, frame: int, there: Sequence[Content | None]) -> _Pair:
    pictures = [file_of(IMAGES, files, each) for each in (frame - 1, frame)]
    before, now = (read_rgb(picture) for picture in pictures if picture is not None)
    size = size_of(now)
    step = max(1, -(-max(size) // _SIDE))
    stored = {}
    for direction in _WAYS["direction"]:
        content = there[_place(direction, frame)]
        if content is not None:
            vectors, confidence = read_flow(content, size, config.exr_channels)
            few = vectors[step // 2 :: step, step // 2 :: step]
            stored[direction] = (few, None if confidence is None else confidence[step // 2 :: step, step // 2 :: step])
    height, width = size_of(next(iter(stored.values()))[0])
    small = [cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA) for picture in (before, now)]
    return _Pair(before=np.asarray(small[0]), now=np.asarray(small[1]), source=size, stored=stored)


def _difference(config: FlowFilesConfig, pairs: Sequence[_Pair]) -> float:
    """Return how much frames differ from those before them, once these are moved by the flow, in levels."""
    return float(np.mean([_mean_change(_moved(config, pair), pair.now) for pair in pairs]))


def _moved(config: FlowFilesConfig, pair: _Pair) -> NDArray[np.uint8]:
    vectors, confidence = pair.stored[config.direction]
    height, width = size_of(vectors)
    scale = np.array((width / pair.source[1], height / pair.source[0]), np.float32)
    flow = in_pixels(vectors, config, pair.source) * scale
    if config.direction == "forward":
        flow, confidence = backward_of(flow, confidence)
    if confidence is not None:
        flow = flow * (confidence > 0)[..., None]
    x = np.arange(width, dtype=np.float32) + flow[..., 0]
    y = np.arange(height, dtype=np.float32)[:, None] + flow[..., 1]
    return np.asarray(cv2.remap(pair.before, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE), np.uint8)


def _mean_change(before: NDArray[np.uint8], now: NDArray[np.uint8]) -> float:
    return float(cv2.absdiff(before, now).mean())
