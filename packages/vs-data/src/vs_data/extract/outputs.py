"""From the output of a network to labels of a frame: which output it is, and what its numbers mean."""

from collections.abc import Callable, Mapping
from itertools import permutations
from typing import Any, TypeAlias

import attrs
import numpy as np
from numpy.typing import NDArray

from vs_data.errors import DataError
from vs_data.extract.fits import Fit, map_back, points_back
from vs_data.extract.networks import Network, refusal
from vs_data.extract.options import ExtractKind, Layout, OutputOptions
from vs_data.seen import Size

Label: TypeAlias = NDArray[Any]
"""A label of a frame: points (n,3) x, y, confidence, no row for nobody; ids (H,W); values (H,W,C); or flow.

That is (2,H,W), or (3,H,W) with the confidence in it.
"""

ReadLabel: TypeAlias = Callable[[NDArray[Any], Fit], Label]
"""From an output, without the axis of the batch, to the label of a frame."""

_F64 = NDArray[np.float64]

_SMALLEST = 4  # rows and columns of a map
_MOST_ID = 65535


@attrs.frozen(kw_only=True)
class Reading:
    """The output that is read, and how.

    Attributes:
        output: Its name.
        read: Makes a label of it.
    """

    output: str
    read: ReadLabel


def choose_reading(
    network: Network, outputs: Mapping[str, NDArray[Any]], kind: ExtractKind, options: OutputOptions, layout: Layout
) -> Reading:
    """Choose the output that has the shape of a kind of label.

    Args:
        network: The network.
        outputs: What it has given, of whatever frames.
        kind: Of label.
        options: What shapes do not say.
        layout: Of the input.

    Raises:
        DataError: None of them fits, several do, or what its numbers mean has to be said.
    """
    if options.output is not None and options.output not in outputs:
        raise refusal(network, f"--output: it has no output {options.output!r}", "choose one of them")
    maps: Layout = layout if options.output_layout == "auto" else options.output_layout
    found = {
        name: read
        for name, array in outputs.items()
        if options.output in (None, name) and array.ndim > 1 and (read := _reading(array[0], kind, options, maps))
    }
    if len(found) != 1:
        which = "no output has" if not found else f"{len(found)} outputs have"
        fix = _EXPECTED[kind] if not found else "choose one by --output"
        raise refusal(network, f"{which} the shape of {kind}: {_shapes(outputs)}", fix)
    ((name, read),) = found.items()
    if kind in ("keypoints", "landmarks-dlib68") and read is not _heatmaps and options.units is None:
        raise refusal(network, f"{name} holds coordinates, of which nobody says what they are", _FIX_UNITS)
    return Reading(output=name, read=lambda output, fit: read(output, fit, options, maps))


def joined_coordinates(
    outputs: Mapping[str, NDArray[Any]], kind: ExtractKind, options: OutputOptions, size: Size
) -> dict[str, NDArray[Any]] | None:
    """Return one output of coordinates (N,K,3), pixels of the input, instead of two that tell x and y apart; or None.

    Each number of (N,K,width times s) says how sure the model is of an x that is its place by s, and the other output
    that of a y. The largest counts, and of both confidences the lesser. In square inputs x is the first of the two,
    unless `axes` says otherwise. Source: Li et al., "SimCC: a Simple Coordinate Classification Perspective for Human
    Pose Estimation", ECCV 2022.

    Args:
        outputs: All that the network has given.
        kind: Of label.
        options: What shapes do not say.
        size: (H, W) of the input.
    """
    if kind not in ("keypoints", "landmarks-dlib68") or options.output is not None:
        return None
    lines = [(name, array) for name, array in outputs.items() if array.ndim == 3 and array.dtype.kind == "f"]
    for (x, across), (y, down) in permutations(lines if options.axes == "xy" else lines[::-1], 2):
        by_pixel = across.shape[2] / size[1]
        if across.shape[:2] == down.shape[:2] and by_pixel >= 1 and down.shape[2] == by_pixel * size[0]:
            places = [array.argmax(axis=2) / by_pixel for array in (across, down)]
            sure = np.minimum(across.max(axis=2), down.max(axis=2))
            return {f"{x} with {y}": np.stack([*places, sure], axis=-1)}
    return None


_Read: TypeAlias = Callable[[NDArray[Any], Fit, OutputOptions, Layout], Label]

_FIX_UNITS = "choose --units pixels (of the model's input) or normalised (parts of its width and height)"
_POINTS = (
    "expected heat maps (N,K,h,w), coordinates (N,K,2 or 3), or with --points (N,numbers), "
    "or x and y apart (N,K,width) and (N,K,height), of as many numbers a pixel; see --output-layout"
)
_EXPECTED: Mapping[str, str] = {
    "keypoints": _POINTS,
    "landmarks-dlib68": _POINTS,
    "seg_maps": "expected logits (N,C,h,w), whole numbers (N,h,w), or with --threshold (N,1,h,w); see --output-layout",
    "depth": "expected (N,1,h,w) or (N,h,w); see --output-layout",
    "image": "expected (N,C,h,w) of 1 to 4 channels, or (N,h,w); see --output-layout",
    "flow": "expected (N,2,h,w); see --output-layout",
}


def _shapes(outputs: Mapping[str, NDArray[Any]]) -> str:
    return ", ".join(f"{name} {tuple(array.shape)}" for name, array in outputs.items())


def _reading(item: NDArray[Any], kind: ExtractKind, options: OutputOptions, maps: Layout) -> _Read | None:
    """Return how an output without the axis of the batch is read as a kind of label, or None."""
    channels = _channels(item, maps)
    whole = item.dtype.kind in "iub"
    match kind:
        case "keypoints" | "landmarks-dlib68":
            if _coordinates(item, options) is not None:
                return _points_of
            return _heatmaps if item.ndim == 3 and channels else None
        case "seg_maps":
            if whole:
                return _ids if channels == 1 else None
            if channels == 1:
                return None if options.threshold is None else _above
            return _logits if channels else None
        case "depth":
            return _values if channels == 1 else None
        case "image":
            return _values if 1 <= channels <= 4 else None
        case "flow":
            return _flow if channels == 2 else None


def _channels(item: NDArray[Any], maps: Layout) -> int:
    """Return how many channels maps have, 0 for what are none."""
    planes = _planes(item, maps)
    return 0 if planes is None or min(planes.shape[1:]) < _SMALLEST else len(planes)


def _planes(item: NDArray[Any], maps: Layout) -> NDArray[Any] | None:
    """Return maps as (C,h,w), or None."""
    match item.ndim:
        case 2:
            return item[None]
        case 3:
            return item if maps == "nchw" else np.moveaxis(item, -1, 0)
        case _:
            return None


def _known_planes(item: NDArray[Any], maps: Layout) -> NDArray[Any]:
    planes = _planes(item, maps)
    assert planes is not None  # noqa: S101 - it was chosen for that
    return planes


def _coordinates(item: NDArray[Any], options: OutputOptions) -> NDArray[Any] | None:
    """Return coordinates as (K, 2 or 3), or None."""
    if item.ndim == 1 and options.points and item.size in (2 * options.points, 3 * options.points):
        return item.reshape(options.points, -1)
    rows = item[0] if item.ndim == 3 and len(item) == 1 else item
    return rows if rows.ndim == 2 and rows.shape[1] in (2, 3) else None


def _points_of(item: NDArray[Any], fit: Fit, options: OutputOptions, _maps: Layout) -> Label:
    found = _coordinates(item, options)
    assert found is not None  # noqa: S101 - it was chosen for that
    rows = found.astype(np.float64)
    places = rows[:, :2] if options.axes == "xy" else rows[:, 1::-1]
    if options.units == "normalised":
        places = places * (fit.size[1], fit.size[0]) - 0.5
    confidence = np.ones(len(rows)) if rows.shape[1] == 2 else _confidence(rows[:, 2], options)
    return _people(points_back(fit, places), confidence, fit, options)


def _heatmaps(item: NDArray[Any], fit: Fit, options: OutputOptions, maps: Layout) -> Label:
    planes = _known_planes(item, maps).astype(np.float64)
    places = np.stack([_peak(plane) for plane in planes])
    size = planes.shape[2], planes.shape[1]
    inside = (places + 0.5) * (fit.size[1] / size[0], fit.size[0] / size[1]) - 0.5
    confidence = _confidence(planes.max(axis=(1, 2)), options)
    return _people(points_back(fit, inside), confidence, fit, options)


def _peak(plane: _F64) -> tuple[float, float]:
    """Return x and y of the largest value of a map, between pixels by its neighbours."""
    y, x = (int(i) for i in np.unravel_index(int(plane.argmax()), plane.shape))
    return x + _between(plane[y], x), y + _between(plane[:, x], y)


def _between(line: _F64, at: int) -> float:
    """Return how far beside the largest value the peak is, -0.5 to 0.5.

    It is that of a parabola through it and its neighbours; of a Gaussian that is exact for logarithms, which are taken
    where there are any. Source: Zhang et al., "Distribution-Aware Coordinate Representation for Human Pose Estimation",
    CVPR 2020.
    """
    if not 0 < at < len(line) - 1:
        return 0.0
    around = line[at - 1 : at + 2]
    before, peak, after = np.log(around) if (around > 0).all() else around
    bend = before - 2 * peak + after
    return float(np.clip(0.5 * (before - after) / bend, -0.5, 0.5)) if bend < 0 else 0.0


def _confidence(values: NDArray[Any], options: OutputOptions) -> _F64:
    if options.activation == "sigmoid":
        return np.asarray(1 / (1 + np.exp(-np.clip(values.astype(np.float64), -50, 50))))
    return np.clip(values.astype(np.float64), 0.0, 1.0)


def _people(places: _F64, confidence: _F64, fit: Fit, options: OutputOptions) -> Label:
    """Return points (n,3), none where nobody is sure of any."""
    points = without_far(np.concatenate([places, confidence[:, None]], axis=1), fit.source)
    return points if bool((points[:, 2] >= max(options.min_confidence, 1e-9)).any()) else points[:0]


def without_far(points: _F64, size: Size) -> _F64:
    """Return points (n,3), those farther outside of a frame (H,W) than it is large absent, as readers refuse them."""
    most = np.array((size[1], size[0]))
    far = np.asarray(((points[:, :2] <= -most) | (points[:, :2] >= 2 * most)).any(axis=1))
    return np.where(far[:, None], 0.0, points)


def _logits(item: NDArray[Any], fit: Fit, _options: OutputOptions, maps: Layout) -> Label:
    """Return the class of the largest logit (H,W), a class at a time: memory does not grow with their number."""
    best = np.full(fit.source, -np.inf, np.float32)
    ids = np.zeros(fit.source, np.uint16)
    for number, plane in enumerate(_known_planes(item, maps)):
        here = map_back(fit, np.ascontiguousarray(plane, np.float32))
        larger = here > best
        best[larger], ids[larger] = here[larger], number
    return ids


def _ids(item: NDArray[Any], fit: Fit, _options: OutputOptions, maps: Layout) -> Label:
    plane = _known_planes(item, maps)[0]
    if plane.min() < 0 or plane.max() > _MOST_ID:
        what = f"the model gives ids from {plane.min()} to {plane.max()}, 0 to {_MOST_ID} can be written"
        raise DataError(what, fix="are these ids of classes?")
    return map_back(fit, np.ascontiguousarray(plane, np.uint16), nearest=True)


def _above(item: NDArray[Any], fit: Fit, options: OutputOptions, maps: Layout) -> Label:
    plane = np.ascontiguousarray(_known_planes(item, maps)[0], np.float32)
    return np.asarray(map_back(fit, plane) > options.threshold).astype(np.uint16)


def _values(item: NDArray[Any], fit: Fit, _options: OutputOptions, maps: Layout) -> Label:
    """Return values (H,W,C): bytes and 16 bits as they are, all else as float32."""
    kept = item.dtype if item.dtype in (np.uint8, np.uint16) else np.dtype(np.float32)
    planes = _known_planes(item, maps)
    return np.stack([map_back(fit, np.ascontiguousarray(plane, kept)) for plane in planes], axis=-1)


def _flow(item: NDArray[Any], fit: Fit, options: OutputOptions, maps: Layout) -> Label:
    """Return flow (2,H,W) in pixels of the frame."""
    planes = [map_back(fit, np.ascontiguousarray(plane, np.float32)) for plane in _known_planes(item, maps)]
    whole = (fit.size[1], fit.size[0]) if options.units == "normalised" else (1, 1)
    x, y = planes if options.axes == "xy" else reversed(planes)
    return np.stack([x * np.float32(whole[0] / fit.scale[0]), y * np.float32(whole[1] / fit.scale[1])])
