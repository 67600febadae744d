"""Kinds of labels that folders may hold. Each kind is a frozen config; its class decides here what is done with it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar, TypeAlias

import attrs
import numpy as np
from numpy.typing import NDArray
from vs_config import Check, Problem, check_fields, real, whole

from vs_data.clips import ClassIds, FloatMaps, LabelInfo
from vs_data.errors import DataError
from vs_data.fields import folder_name
from vs_data.landmark_files import LANDMARK_EXTENSIONS
from vs_data.pictures import read_ids

SEG_MAP_EXTENSIONS = (".png",)


def _check_ignore_id(config: SegMapsConfig) -> Iterator[Problem]:
    ignored, classes = config.ignore_id, config.num_classes
    if ignored is not None and ignored < classes:
        expected = f"an id that is no class ({classes} to 255 with num_classes = {classes}) or 'none'"
        yield Problem("ignore_id", expected=expected, got=ignored)


@attrs.frozen(kw_only=True)
class SegMapsConfig:
    """Maps of class ids, one PNG per frame: `FOLDER/SEQ/FRAME.png`. The folder's name is the kind in a clip."""

    kind: ClassVar[str] = "seg_maps"

    folder: str = folder_name("seg_maps", "folder of the maps, beside the images")
    num_classes: int = whole(35, "number of class ids: 0 to num_classes - 1", low=1, high=256)
    ignore_id: int | None = whole(
        255, "id of pixels without a class; none: there are none", low=0, high=255, optional=True
    )

    CHECKS: ClassVar[tuple[Check, ...]] = (Check(("ignore_id", "num_classes"), _check_ignore_id),)

    def __attrs_post_init__(self) -> None:
        check_fields(self)


@attrs.frozen(kw_only=True)
class LandmarksConfig:
    """68 landmarks of a face in dlib's order, one JSON file per frame: `FOLDER/SEQ/FRAME.json`, a list of [x, y] pairs.

    The label is an edge map of the face, one channel, see `draw_face`.
    """

    kind: ClassVar[str] = "landmarks-dlib68"

    folder: str = folder_name("landmarks-dlib68", "folder of the landmarks, beside the images")
    smoothing: float = real(
        1.0,
        "width of the Gaussian that smooths landmarks over time; 0: no smoothing",
        low=0.0,
        high=30.0,
        unit="frames",
    )


LabelKind: TypeAlias = SegMapsConfig | LandmarksConfig


def word_of(kind: LabelKind) -> str:
    """How a kind and its folder are written on a command line: `seg_maps`, `landmarks-dlib68:faces`; see `kind_of`."""
    plain = kind_of(kind.folder) == (type(kind), kind.folder)
    return kind.folder if plain else f"{kind.kind}:{kind.folder}"


def kind_of(word: str) -> tuple[type[LabelKind], str]:
    """The kind and folder that a word says: `FOLDER` (class ids, unless it is another kind's name) or `KIND:FOLDER`."""
    prefix, colon, folder = word.partition(":")
    for kind in (SegMapsConfig, LandmarksConfig):
        if colon and prefix == kind.kind:
            return kind, folder
    return (LandmarksConfig if word == LandmarksConfig.kind else SegMapsConfig), word


def info_of(kind: LabelKind) -> LabelInfo:
    """What a kind is to the networks."""
    if isinstance(kind, LandmarksConfig):
        return FloatMaps(channels=1)
    return ClassIds(classes=kind.num_classes, ignore_id=kind.ignore_id)


def extensions_of(kind: LabelKind) -> tuple[str, ...]:
    """Which file names a kind's files have."""
    return LANDMARK_EXTENSIONS if isinstance(kind, LandmarksConfig) else SEG_MAP_EXTENSIONS


def read_seg_map(path: Path, kind: SegMapsConfig) -> NDArray[np.uint8]:
    """The class ids of one frame at its own size: (H,W) uint8, all in range.

    Raises:
        DataError: the file is bad or holds an id that is neither a class nor `ignore_id`.
    """
    ids = read_ids(path)
    problem = ids_out_of_range(ids, kind)
    if problem is not None:
        raise DataError(problem, file=str(path), fix=fix_for_ids(kind))
    return ids


def ids_out_of_range(ids: NDArray[np.uint8], kind: SegMapsConfig) -> str | None:
    """Which ids (H,W) are out of range and where, or None."""
    bad = ids >= kind.num_classes if kind.num_classes < 256 else np.zeros(ids.shape, np.bool_)
    if bad.any() and kind.ignore_id is not None:
        bad &= ids != kind.ignore_id
    if not bad.any():
        return None
    y, x = np.unravel_index(int(bad.argmax()), bad.shape)
    values = np.unique(ids[bad]).tolist()
    listed = ", ".join(map(str, values[:8])) + (", ..." if len(values) > 8 else "")
    several = "" if len(values) == 1 else f"; ids out of range: {listed}"
    return f"class id {ids[y, x]} at x={x}, y={y} is out of range ({int(bad.sum())} such pixels{several})"


def fix_for_ids(kind: SegMapsConfig) -> str:
    """What to do about ids that are out of range."""
    ignored = "" if kind.ignore_id is None else f", or {kind.ignore_id} for pixels without a class"
    return f"allowed are 0 to {kind.num_classes - 1}{ignored}; correct the map or num_classes"
