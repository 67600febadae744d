"""Labels as files, as the kinds of labels read them, and what is remembered of them for a summary."""

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import attrs
import numpy as np
from numpy.typing import NDArray
from vs_config import show

from vs_data.errors import DataError
from vs_data.extract.options import ExtractKind, OutputOptions
from vs_data.extract.outputs import Label
from vs_data.findings import counted
from vs_data.flows.formats import MAX_FLOW
from vs_data.labels import ImageConfig, KeypointsConfig, LabelKind, LandmarksConfig, SegMapsConfig
from vs_data.labels.keypoints import BuiltIn
from vs_data.landmarks import LANDMARKS
from vs_data.pictures import write_png
from vs_data.skeletons import BUILT_IN

_DIGITS = 3  # of coordinates, pixels; of confidence one more
_IGNORED = 255  # id of ignored pixels, unless somebody says another
_LARGEST = 1e9  # value that an `ImageConfig` can have as its maximum
_PNG_CHANNELS = (1, 3)


@attrs.frozen(kw_only=True)
class Tally:
    """A summary of labels.

    Attributes:
        labels: How many.
        nobody: How many of them show nobody.
        parts: Points of each, or channels.
        low: The least value.
        high: The greatest value; of flow the longest step, pixels.
        ids: All that occur.
        trusted: Of flow the sum, over labels, of the part that is trusted.
        real: Whether values were written as they are, to `.npy` files.
    """

    labels: int = 0
    nobody: int = 0
    parts: int = 0
    low: float = np.inf
    high: float = -np.inf
    ids: frozenset[int] = frozenset()
    trusted: float = 0.0
    real: bool = False


def check_options(kind: ExtractKind, options: OutputOptions) -> None:
    """Raise `DataError` where options cannot be meant for a kind of label."""
    limits = options.value_range
    if limits is not None and kind not in ("depth", "image"):
        raise DataError(f"--value-range: {kind} have none", fix="leave it out, or choose --kind depth or image")
    if limits is not None and not limits[0] < limits[1]:
        raise DataError(f"--value-range: expected a lower and a higher value, got {show(limits)}")
    if options.threshold is not None and kind != "seg_maps":
        raise DataError(f"--threshold: {kind} have none", fix="leave it out, or choose --kind seg_maps")


def write_label(folder: Path, frame: str, label: Label, kind: ExtractKind, options: OutputOptions) -> None:
    """Write the label of a frame into the folder of its sequence.

    Raises:
        DataError: It cannot be a label of this kind: numbers that are not finite, a face without landmarks.
    """
    if not np.isfinite(label).all():
        raise DataError(
            f"the label of frame {frame} holds numbers that are not finite", fix="see --input-range, --mean"
        )
    match kind:
        case "keypoints":
            _write_json(folder / f"{frame}.json", _rounded(label))
        case "landmarks-dlib68":
            _write_json(folder / f"{frame}.json", _rounded(_face(label, frame)[:, :2]))
        case "seg_maps":
            write_png(folder / f"{frame}.png", label.astype(np.uint8) if label.max() < 256 else label)
        case "depth" | "image":
            _write_values(folder, frame, label, options)
        case "flow":
            _write_flow(folder / f"{frame}.npz", label, frame)


def _rounded(points: NDArray[Any]) -> list[list[float]]:
    return [[round(value, _DIGITS) for value in row] for row in points.astype(float).tolist()]


def _write_json(path: Path, rows: list[list[float]]) -> None:
    path.write_text(json.dumps(rows), encoding="utf-8")


def _face(label: Label, frame: str) -> Label:
    if len(label) != LANDMARKS:
        what = f"frame {frame} has {len(label)} landmarks, {LANDMARKS} are needed in every frame"
        fix = "--kind keypoints takes any number of them, and frames without anybody"
        raise DataError(what, fix=fix)
    return label


def _write_values(folder: Path, frame: str, values: Label, options: OutputOptions) -> None:
    """Write values (H,W,C) as PNG if they are 8 or 16 bits or have a range; as they are, and 2 or 4 channels, else."""
    scaled = _scaled(values, options)
    plain = scaled[..., 0] if scaled.shape[2] == 1 else scaled
    if not _is_real(scaled):
        write_png(folder / f"{frame}.png", plain)
        return
    if np.abs(plain).max() > _LARGEST:
        what = f"frame {frame} has values up to {np.abs(plain).max():g}, beyond all that is read"
        raise DataError(what, fix="say by --value-range what is far away")
    buffer = io.BytesIO()
    np.save(buffer, plain, allow_pickle=False)
    (folder / f"{frame}.npy").write_bytes(buffer.getvalue())


def _is_real(values: Label) -> bool:
    return values.dtype not in (np.uint8, np.uint16) or values.shape[2] not in _PNG_CHANNELS


def _scaled(values: Label, options: OutputOptions) -> Label:
    """Return values as they are, or their range as 16 bits."""
    if options.value_range is None or values.shape[2] not in _PNG_CHANNELS:
        return values
    low, high = options.value_range
    return np.asarray(((values.astype(np.float64) - low) / (high - low)).clip(0, 1) * 65535 + 0.5).astype(np.uint16)


def _write_flow(path: Path, label: Label, frame: str) -> None:
    flow, confidence = label[:2], label[2:]
    most = np.abs(flow).max()
    if most > MAX_FLOW:
        raise DataError(f"the flow of frame {frame} is beyond any picture: {most:g} pixels", fix="see --units")
    vectors = flow.astype(np.float16 if most < np.finfo(np.float16).max else np.float32)
    buffer = io.BytesIO()
    if len(confidence):
        np.savez_compressed(buffer, flow=vectors, confidence=confidence[0].astype(np.float16))
    else:
        np.savez_compressed(buffer, flow=vectors)
    path.write_bytes(buffer.getvalue())


def add_to(tally: Tally, label: Label, kind: ExtractKind, options: OutputOptions) -> Tally:
    """Return a summary with one label more."""
    one = attrs.evolve(tally, labels=tally.labels + 1)
    match kind:
        case "keypoints" | "landmarks-dlib68":
            return attrs.evolve(one, nobody=one.nobody + (len(label) == 0), parts=max(one.parts, len(label)))
        case "seg_maps":
            return attrs.evolve(one, ids=one.ids | {int(number) for number in np.unique(label)})
        case "depth" | "image":
            low, high, parts = min(one.low, float(label.min())), max(one.high, float(label.max())), label.shape[2]
            return attrs.evolve(one, low=low, high=high, parts=parts, real=_is_real(_scaled(label[:1, :1], options)))
        case "flow":
            high = max(one.high, float(np.hypot(*label[:2]).max()))
            trusted = one.trusted + float(label[2:].mean(axis=(1, 2)).sum())
            return attrs.evolve(one, high=high, parts=len(label), trusted=trusted)


def in_words(tally: Tally, kind: ExtractKind) -> str:
    """Say what labels there were."""
    if tally.labels == 0:
        return "nothing new"
    match kind:
        case "keypoints" | "landmarks-dlib68":
            return f"{counted(tally.parts, 'point')}; {tally.nobody} of {tally.labels} frames without anybody"
        case "seg_maps":
            return f"{len(tally.ids)} classes: {', '.join(_spans(sorted(tally.ids)))}"
        case "depth" | "image":
            return f"values from {tally.low:g} to {tally.high:g}"
        case "flow":
            trust = f"{tally.trusted / tally.labels:.0%} of it leads there and back, and is trusted"
            unknown = "nobody says where it is to be trusted: see data.flow.confidence"
            return f"longest step {tally.high:.3g} pixels; {trust if tally.parts > 2 else unknown}"


def _spans(numbers: list[int]) -> Iterator[str]:
    """Yield numbers in order, those in one go as a span: 0 to 3, 7."""
    first = 0
    for index, number in enumerate(numbers):
        if index + 1 == len(numbers) or numbers[index + 1] != number + 1:
            yield str(number) if index == first else f"{numbers[first]} to {number}"
            first = index + 1


def kind_written(tally: Tally, kind: ExtractKind, folder: str) -> LabelKind | None:
    """Return the kind of label that reads what was written, as far as that is known; None: it is not, or is flow."""
    match kind:
        case "keypoints":
            fits = [name for name in get_args(BuiltIn) if len(BUILT_IN[name].points) == tally.parts]
            return KeypointsConfig(folder=folder, skeleton=fits[0]) if fits else None
        case "landmarks-dlib68":
            return LandmarksConfig(folder=folder)
        case "seg_maps":
            classes = max(tally.ids - {_IGNORED}, default=0) + 1
            return SegMapsConfig(folder=folder, num_classes=classes) if classes <= _IGNORED else None
        case "depth" | "image":
            pictures = ImageConfig(folder=folder, channels=max(tally.parts, 1))
            high = tally.high if tally.high > tally.low else tally.low + 1  # of a map that is the same everywhere
            return attrs.evolve(pictures, minimum=tally.low, maximum=high) if tally.real else pictures
        case "flow":
            return None
