"""Contact sheets of sequences: labels over frames and over their neighbours, so that one glance tells what is wrong."""

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

import attrs
import cv2
import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from vs_config import shown

from vs_data.content import Contents, all_in
from vs_data.errors import DataError
from vs_data.files import whole_or_not_at_all
from vs_data.folder import scan_folder
from vs_data.geometry import AugmentConfig, plan_geometry
from vs_data.labels import LabelKind, read_labels, source_of
from vs_data.labels.colours import Colour
from vs_data.layout import IMAGES, FrameFiles
from vs_data.overlays import Meaning, meanings, overlay
from vs_data.pictures import write_png
from vs_data.seen import Size
from vs_data.stored import StoredConfig
from vs_data.views import View, read_frames, read_picture

MAX_SHEETS = 48
"""Sequences that are shown; of more, so many that are spread over all of them."""

_MOMENTS = 4
_MOST_KINDS = 4
_LONGEST_SIDE = 320
_SMALLEST_SIDE = 16
_BAR = 18  # pixels of a line of text
_GAP = 4
_SCALE = 0.4  # of letters
_LONGEST_TEXT = 120
_MOST_ENTRIES = 256
_PAPER = (24, 24, 24)
_INK = (235, 235, 235)

_NEAR = {-1: "over the frame before", 0: "over its own frame", 1: "over the next frame"}

_Rgb = NDArray[np.uint8]


@attrs.frozen(kw_only=True)
class Shown:
    """The sheets that were written, how many sequences there are, and those of which none could be made."""

    sheets: int
    sequences: int
    failed: tuple[str, ...]


def write_sheets(
    config: StoredConfig,
    root: Path,
    *,
    split: Literal["train", "val"] = "train",
    progress: Callable[[int, int], None] | None = None,
) -> Shown:
    """Write one PNG for each sequence, of at most `MAX_SHEETS`; a folder with all of them, or nothing.

    Args:
        config: Of the data.
        root: Folder to write to; made if missing, must be empty.
        split: Which root of the configuration.
        progress: Called with (sheets done, sheets in all).

    Raises:
        DataError: there are no data, or the folder is not empty or cannot be written.
    """
    sequences = scan_folder(config, split).sequences
    chosen = [sequences[index] for index in _spread(len(sequences), MAX_SHEETS)]
    kinds = config.labels[:_MOST_KINDS]
    failed = []
    with whole_or_not_at_all(root) as draft:
        for number, files in enumerate(chosen):
            sheet = _sheet_or_none(kinds, files)
            if sheet is None:
                failed.append(files.name)
            else:
                write_png(draft / f"{number:04d}-{re.sub(r'[^A-Za-z0-9_-]', '_', files.name)[:80]}.png", sheet)
            if progress is not None:
                progress(number + 1, len(chosen))
    return Shown(sheets=len(chosen) - len(failed), sequences=len(sequences), failed=tuple(failed))


def _spread(count: int, most: int) -> list[int]:
    """Return at most so many numbers below a count, evenly spread, the first and the last among them."""
    return sorted({round(each) for each in np.linspace(0, count - 1, min(count, most)).tolist()})


def _sheet_or_none(kinds: Sequence[LabelKind], files: FrameFiles) -> _Rgb | None:
    """Return a sheet, or None where a file is missing or bad, which the check has said."""
    frames = len(files.frames)
    if not frames or any(_count(files.files[source_of(kind)]) < frames for kind in kinds):
        return None
    try:
        return sheet_of(kinds, files)
    except DataError:
        return None


def _count(contents: Contents) -> int:
    return sum(1 for _ in all_in(contents))


def sheet_of(kinds: Sequence[LabelKind], files: FrameFiles) -> _Rgb:
    """Return the sheet of a sequence: in each row a frame, and its label over the frame before, itself and the next.

    Raises:
        DataError: a file is bad.
    """
    frames = len(files.frames)
    height, width = read_picture(files, 0).shape[:2]
    cell = _cell((height, width))
    view = View(files=files, geometry=plan_geometry((height, width), cell, AugmentConfig(), None))
    # Not at the very ends, where there is a neighbour on one side alone.
    moments = sorted({min(max(moment, 1), max(frames - 2, 0)) for moment in _spread(frames, _MOMENTS)})
    near = sorted({frame for moment in moments for frame in range(moment - 1, moment + 2) if 0 <= frame < frames})
    pictures = dict(zip(near, read_frames(view, near), strict=True))
    labels = read_labels(kinds, view, moments, [pictures[moment] for moment in moments])
    times = max(1, round(_LONGEST_SIDE / max(cell)))
    place = cell[0] * times, cell[1] * times
    longest = max((f"{kind.folder} {where}" for kind in kinds for where in _NEAR.values()), key=len)
    column = max(place[1], min(_LONGEST_SIDE, _text(longest).shape[1]))  # portraits are narrower than their captions
    across = (1 + len(_NEAR)) * (column + _GAP)
    parts = [_lines([[_text(f"{files.name}, {frames} frames")]], across)]
    for kind in kinds:
        parts += [
            _row(kind, label, files.frames[moment], [pictures.get(moment + by) for by in (0, *_NEAR)], place, column)
            for moment, label in zip(moments, labels[kind.folder], strict=True)
        ]
        parts.append(_legend(kind.folder, meanings(kind, labels[kind.folder]), across))
    return np.concatenate(parts)


def _cell(size: Size) -> Size:
    """Return (H, W) at which frames are read and labels made, of the shape of the frames and never larger."""
    factor = min(1.0, _LONGEST_SIDE / max(size))  # what is computed of enlarged frames is not what networks see
    return max(_SMALLEST_SIDE, round(size[0] * factor)), max(_SMALLEST_SIDE, round(size[1] * factor))


def _row(kind: LabelKind, label: Tensor, name: str, frames: Sequence[_Rgb | None], cell: Size, column: int) -> _Rgb:
    """Return a frame, and its label over others of the same size; None: there is none."""
    own, *others = frames
    cells = [_captioned(f"{IMAGES} {name}", own, cell, column)]
    for frame, where in zip(others, _NEAR.values(), strict=True):
        cells.append(
            _captioned(f"{kind.folder} {where}", None if frame is None else overlay(kind, label, frame), cell, column)
        )
    return np.concatenate(cells, axis=1)


def _captioned(text: str, picture: _Rgb | None, cell: Size, column: int) -> _Rgb:
    """Return a picture below a line of text, each pixel of it as many times as it takes to fill the cell."""
    canvas = _paper(_BAR + cell[0] + _GAP, column + _GAP)
    if picture is not None:
        times = cell[0] // picture.shape[0]
        canvas[_BAR : _BAR + cell[0], : cell[1]] = picture.repeat(times, axis=0).repeat(times, axis=1)
    canvas[:_BAR] = _lines([[_text(text)]], column + _GAP)
    return canvas


def _legend(title: str, entries: Sequence[Meaning], across: int) -> _Rgb:
    """Return what the colours mean, in as many lines as it takes."""
    lines: list[list[_Rgb]] = [[_text(f"{title}:")]]
    for entry in entries[:_MOST_ENTRIES]:
        word = (
            _text(entry.text) if entry.colour is None else np.concatenate([_swatch(entry.colour), _text(entry.text)], 1)
        )
        if sum(part.shape[1] for part in lines[-1]) + word.shape[1] > across:
            lines.append([])
        lines[-1].append(word)
    return _lines(lines, across)


def _swatch(colour: Colour) -> _Rgb:
    swatch = _paper(_BAR, _BAR)
    swatch[4:-4, 4:-4] = colour
    return swatch


def _lines(lines: Sequence[Sequence[_Rgb]], across: int) -> _Rgb:
    """Return lines of parts, each as high as a line of text, cut off on the right."""
    paper = _paper(_BAR * len(lines), across)
    for number, parts in enumerate(lines):
        line = np.concatenate(parts, axis=1)[:, :across] if parts else paper[:_BAR, :0]
        paper[number * _BAR : (number + 1) * _BAR, : line.shape[1]] = line
    return paper


def _text(text: str) -> _Rgb:
    """Return a line of text as a picture; what OpenCV's letters cannot show becomes a question mark."""
    plain = shown(text, _LONGEST_TEXT).encode("ascii", "replace").decode()
    (width, _), _ = cv2.getTextSize(plain, cv2.FONT_HERSHEY_SIMPLEX, _SCALE, 1)
    line = _paper(_BAR, width + 2 * _GAP)
    cv2.putText(line, plain, (_GAP, _BAR - 5), cv2.FONT_HERSHEY_SIMPLEX, _SCALE, _INK, 1, cv2.LINE_AA)
    return line


def _paper(height: int, width: int) -> _Rgb:
    return np.full((height, width, 3), _PAPER, np.uint8)
