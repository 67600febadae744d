"""Class ids as a kind of label: one picture per frame whose values say what each pixel shows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import ClassVar

import attrs
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from vs_config import Check, Problem, check_fields, texts, whole

from vs_data.clips import ClassIds
from vs_data.content import Content
from vs_data.errors import DataError
from vs_data.fields import folder_name
from vs_data.findings import error
from vs_data.geometry import apply_to_ids, same_size
from vs_data.labels.handler import LabelHandler, LooseFiles
from vs_data.pictures import inspect_ids, read_ids
from vs_data.seen import Seen, Size, Trace, digest_of, size_of
from vs_data.views import View, check_size, content_of

LOSSLESS = "write it without loss in greys or RGB, by ffmpeg -c:v ffv1 -pix_fmt bgr0 for example, or as PNG files"
"""What to do about levels that are no ids."""


def _check_ignore_id(config: SegMapsConfig) -> Iterator[Problem]:
    ignored, classes = config.ignore_id, config.num_classes
    if ignored is not None and ignored < classes:
        expected = f"an id that is no class ({classes} to 255 with num_classes = {classes}) or 'none'"
        yield Problem("ignore_id", expected=expected, got=ignored)


def _check_class_names(config: SegMapsConfig) -> Iterator[Problem]:
    names, classes = config.class_names, config.num_classes
    if names and len(names) != classes:
        hint = f"these are {len(names)}"
        expected = f"a name for each of {classes} classes (num_classes), or none at all"
        yield Problem("class_names", hint, expected=expected, got=names)


@attrs.frozen(kw_only=True)
class SegMapsConfig:
    """Maps of class ids, one PNG per frame: `FOLDER/SEQ/FRAME.png`. The folder's name is the kind in a clip."""

    kind: ClassVar[str] = "seg_maps"

    folder: str = folder_name("seg_maps", "folder of the maps, beside the images")
    num_classes: int = whole(35, "number of class ids: 0 to num_classes - 1", low=1, high=256)
    ignore_id: int | None = whole(
        255, "id of pixels without a class; none: there are none", low=0, high=255, optional=True
    )
    class_names: tuple[str, ...] = texts((), "what the classes are called, by id; empty: nobody knows", high=256)

    CHECKS: ClassVar[tuple[Check, ...]] = (
        Check(("ignore_id", "num_classes"), _check_ignore_id),
        Check(("class_names", "num_classes"), _check_class_names),
    )

    def __attrs_post_init__(self) -> None:
        check_fields(self)


def handle_class_ids(config: SegMapsConfig) -> LabelHandler:
    """Return what is done with maps of class ids."""
    return LabelHandler(
        info=ClassIds(classes=config.num_classes, ignore_id=config.ignore_id, names=config.class_names),
        extensions=(".png",),
        read=partial(_read, config),
        open_loose=partial(_open_loose, config),
        of_levels=partial(_of_levels, config),
        exact_levels=True,
        look=partial(_look, config),
    )


def _read(config: SegMapsConfig, view: View, frames: Sequence[int], _subject: View | None) -> Tensor:
    """Read class ids (n,H,W) uint8, which have no proportions: whose motion drives whom changes nothing in them."""
    return torch.from_numpy(np.stack([_read_frame(config, view, frame) for frame in frames]))


def _open_loose(config: SegMapsConfig, files: LooseFiles) -> tuple[Size, Callable[[Sequence[int]], Tensor]]:
    geometry = files.geometry() if files.framed else same_size(size_of(read_ids(files.first)))
    view = files.view(geometry)
    return geometry.size, lambda frames: _read(config, view, frames, None)


def _of_levels(config: SegMapsConfig, levels: NDArray[np.uint8], where: str) -> Tensor:
    """Return greys as class ids (H,W)."""
    ids = levels if levels.ndim == 2 else levels[..., 0]
    if levels.ndim == 3 and not (levels == ids[..., None]).all():
        raise DataError("holds colours, not greys that are class ids", file=where, fix=LOSSLESS)
    _check_ids(config, ids, where)
    return torch.from_numpy(np.ascontiguousarray(ids))


def _read_frame(config: SegMapsConfig, view: View, frame: int) -> NDArray[np.uint8]:
    content = content_of(view, config.folder, frame)
    ids = read_ids(content)
    _check_ids(config, ids, str(content))
    check_size(view, frame, config.folder, ids)
    return apply_to_ids(view.geometry, ids)


def _check_ids(config: SegMapsConfig, ids: NDArray[np.uint8], where: str) -> None:
    """Raise `DataError` unless all ids (H,W) are those of classes; `where`: the file, for the message."""
    problem = _ids_out_of_range(ids, config)
    if problem is not None:
        raise DataError(problem, file=where, fix=_fix_for_ids(config))


def _look(config: SegMapsConfig, content: Content, _picture: Size | None) -> Seen:
    found = inspect_ids(content)
    ids = found.ids
    problem = _ids_out_of_range(ids, config)
    return Seen(
        size=size_of(ids),
        trace=Trace(digest=digest_of(ids)),
        counts=np.bincount(ids.ravel(), minlength=256).astype(np.uint32),
        findings=() if problem is None else (error(content, problem, _fix_for_ids(config)),),
        notes=found.notes,
    )


def _ids_out_of_range(ids: NDArray[np.uint8], config: SegMapsConfig) -> str | None:
    """Say which ids (H,W) are out of range and where, or None."""
    bad = ids >= config.num_classes if config.num_classes < 256 else np.zeros(ids.shape, np.bool_)
    if bad.any() and config.ignore_id is not None:
        bad &= ids != config.ignore_id
    if not bad.any():
        return None
    y, x = np.unravel_index(int(bad.argmax()), bad.shape)
    values = np.unique(ids[bad]).tolist()
    listed = ", ".join(map(str, values[:8])) + (", ..." if len(values) > 8 else "")
    several = "" if len(values) == 1 else f"; ids out of range: {listed}"
    return f"class id {ids[y, x]} at x={x}, y={y} is out of range ({int(bad.sum())} such pixels{several})"


def _fix_for_ids(config: SegMapsConfig) -> str:
    """Say what to do about ids that are out of range."""
    ignored = "" if config.ignore_id is None else f", or {config.ignore_id} for pixels without a class"
    return f"allowed are 0 to {config.num_classes - 1}{ignored}; correct the map or num_classes"
