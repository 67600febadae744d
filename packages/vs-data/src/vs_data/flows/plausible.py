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
from vs_data.findings import Finding, error, warning
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
_CLEARLY = 0.5  # share of it that another way may leave at most, for flow that makes it worse to be surely misread
_AS_GOOD = 0.02  # share of it by which ways may be worse than the best that are named beside it

_WAYS: Mapping[str, tuple[Any, Any]] = {
    "direction": ("backward", "forward"),
    "negate": (False, True),
    "units": ("pixels", "normalised"),
    "y": ("down", "up"),
}

Changes: TypeAlias = tuple[tuple[str, Any], ...]
"""Fields of the configuration and other values of them."""


@attrs.frozen(kw_only=True, eq=False)
class _Pair:
    """Two frames that follow each other, shrunk, and what lies in the flow files for each direction."""

    before: NDArray[np.uint8]
    now: NDArray[np.uint8]
    source: tuple[int, int]
    stored: Mapping[str, tuple[_F32, _F32 | None]]


@attrs.frozen(kw_only=True)
class Explanation:
    """The distance of frames from those before them, moved by flow files that are read in every way.

    Attributes:
        still: Levels of 255 by which frames differ where nothing moves.
        own: The same where the flow is followed, as the configuration reads it.
        best: The same for the best way of reading it.
        ways: What of the configuration would have to change for that, as little as possible; several are as good as
            each other.
    """

    still: float
    own: float
    best: float
    ways: tuple[Changes, ...]

    @property
    def better(self) -> bool:
        """Whether another way of reading explains the frames much better, than frames that stand still do too."""
        return self.still >= _LEAST_CHANGE and min(self.own, self.still) - self.best > _BETTER * self.still

    @property
    def misread(self) -> bool:
        """Whether the files are surely read wrongly: flow makes it worse, and read otherwise it explains most."""
        return self.better and self.own > _WORSE * self.still and self.best <= _CLEARLY * self.still


def explanation(config: FlowFilesConfig, files: FrameFiles) -> Explanation | None:
    """Follow the flow between a few frames of a sequence, read in every way; None: no two frames have any.

    What cannot be read is passed over: whoever reads all files says so.

    Args:
        config: How the files are read.
        files: Of the sequence.
    """
    plain = attrs.evolve(config, confidence=TrustedConfig())
    pairs = list(itertools.islice(_pairs(plain, files), _PAIRS))
    if not pairs:
        return None
    ways = [changes for changes in _changes(plain) if all(_direction(plain, changes) in pair.stored for pair in pairs)]
    configs = {changes: attrs.evolve(plain, **dict(changes)) for changes in ways}
    compared = [_differences(configs, pair) for pair in pairs]
    left = {changes: float(np.mean([differences[changes] for differences in compared])) for changes in (*ways, None)}
    still, best = left[None], min(left[changes] for changes in ways)
    good = [changes for changes in ways if left[changes] - best <= _AS_GOOD * still]
    fewest = min(map(len, good))
    few = tuple(changes for changes in good if len(changes) == fewest)
    return Explanation(still=still, own=left[()], best=best, ways=few)


def check_motion(config: FlowFilesConfig, files: FrameFiles) -> Iterator[Finding]:
    """Warn where flow, followed, does not bring the frame before closer to a frame, or where it could bring it closer.

    It is an error where the flow, as it is read, is worse than none, and read otherwise it would leave less than half:
    training would learn from motion that is wrong.

    Args:
        config: How the files are read.
        files: Of the sequence.
    """
    found = explanation(config, files)
    if found is None or found.still < _LEAST_CHANGE or not (found.better or found.own > _WORSE * found.still):
        return
    what = (
        f"frames differ by {found.own:.3g} levels of 255 where the flow is followed, "
        f"by {found.still:.3g} where nothing moves"
    )
    fix = "this flow does not explain the frames: wrong direction, sign or units? see direction, negate, units and y"
    if found.better:
        several = "; whoever wrote the files knows which" if len(found.ways) > 1 else ""
        fix = f"{' or '.join(map(in_words, found.ways))} of the flow would leave {found.best:.3g}{several}"
    place = files.files[config.folder].place
    if found.misread:
        yield error(place, what, f"set {fix}; or train without this check: run.check_data=false")
    else:
        yield warning("flow that does not explain the frames", place, what, fix)


def _changes(config: FlowFilesConfig) -> Iterator[Changes]:
    """Yield which fields could have another value, none first, and few before many."""
    others = [(name, next(value for value in _WAYS[name] if value != getattr(config, name))) for name in _WAYS]
    for count in range(len(others) + 1):
        yield from itertools.combinations(others, count)


def in_words(changes: Changes) -> str:
    """Write what would have to change as it stands in a configuration."""
    return ", ".join(f"{name} = {in_one_line(value)}" for name, value in changes)


def _direction(config: FlowFilesConfig, changes: Changes) -> str:
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


def _differences(configs: Mapping[Changes, FlowFilesConfig], pair: _Pair) -> dict[Changes | None, float]:
    """Return how much a frame differs from the one before, moved by the flow in every way or (None) not, in levels.

    What is uncovered has no flow back to it where flow leads forward, and nothing explains it: it would speak against
    that direction alone. All ways are compared at the same pixels, those that each tells the motion of; but for ways
    that tell it of less than half as many pixels as another does, since these carry pixels to nowhere.
    """
    moved = {changes: _moved(config, pair) for changes, config in configs.items()}
    most = max(float(known.mean()) for _, known in moved.values())
    compared = np.logical_and.reduce([known for _, known in moved.values() if known.mean() >= most / 2])
    if not compared.any():
        compared = np.ones_like(compared)
    pictures = [(None, pair.before), *((changes, picture) for changes, (picture, _) in moved.items())]
    return {changes: float(cv2.absdiff(picture, pair.now)[compared].mean()) for changes, picture in pictures}


def _moved(config: FlowFilesConfig, pair: _Pair) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Return the frame before, moved, and of which pixels (H,W) the motion is known; it is taken for none elsewhere."""
    vectors, confidence = pair.stored[config.direction]
    height, width = size_of(vectors)
    scale = np.array((width / pair.source[1], height / pair.source[0]), np.float32)
    flow = in_pixels(vectors, config, pair.source) * scale
    if config.direction == "forward":
        flow, confidence = backward_of(flow, confidence)
    known = np.ones((height, width), np.bool_) if confidence is None else confidence > 0
    flow = flow * known[..., None]
    x = np.arange(width, dtype=np.float32) + flow[..., 0]
    y = np.arange(height, dtype=np.float32)[:, None] + flow[..., 1]
    picture = cv2.remap(pair.before, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(picture, np.uint8), known
