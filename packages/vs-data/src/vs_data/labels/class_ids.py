"""Class ids as a kind of label: one picture per frame whose values say what each pixel shows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache, partial
from typing import Any, ClassVar, Literal

import attrs
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from vs_config import Check, Problem, Range, check_fields, pairs, texts, whole

from vs_data.clips import ClassIds
from vs_data.content import Content
from vs_data.errors import DataError
from vs_data.fields import colour_table, folder_name
from vs_data.findings import error
from vs_data.geometry import apply_to_ids, same_size
from vs_data.labels.colours import (
    MAPS,
    NOTHING,
    TABLES,
    Colours,
    Pairs,
    ids_of_colours,
    nearest_colour,
)
from vs_data.labels.handler import LabelHandler, LooseFiles
from vs_data.pictures import IdMap, inspect_colours, inspect_ids, inspect_wide_ids
from vs_data.seen import Seen, Size, Trace, digest_of, size_of
from vs_data.videos import LOSSLESS
from vs_data.views import View, check_size, content_of

_WIDEST = Range(kind=int, low=0, high=65_535)
_CLASS = Range(kind=int, low=0, high=255)
_NO_CLASS = 256  # what an id becomes that the map does not name


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


def _check_map(config: SegMapsConfig) -> Iterator[Problem]:
    for one, other in _map_of(config):
        if other >= config.num_classes and other != config.ignore_id:
            expected = f"a class, 0 to {config.num_classes - 1} (num_classes), or the ignore_id"
            yield Problem(f"map.{one}", expected=expected, got=other)
            return


def _check_colours(config: SegMapsConfig) -> Iterator[Problem]:
    colours = _colours_of(config)
    if colours and not config.map and len(colours) > config.num_classes:
        expected = f"at least {len(colours)}, the number of colours, where no map says which class each is"
        yield Problem("num_classes", expected=expected, got=config.num_classes)


@attrs.frozen(kw_only=True)
class SegMapsConfig:
    """Maps of class ids, one PNG per frame: `FOLDER/SEQ/FRAME.png`. The folder's name is the kind in a clip.

    Files hold ids (greys of 1 to 16 bits, or indices of a palette), or with `colours` RGB codes, or a palette of them.
    The place of a colour in the table is its id, and what an id becomes as a class `map` says.
    """

    kind: ClassVar[str] = "seg_maps"

    folder: str = folder_name("seg_maps", "folder of the maps, beside the images")
    num_classes: int = whole(35, "number of class ids: 0 to num_classes - 1", low=1, high=256)
    ignore_id: int | None = whole(
        255, "id of pixels without a class; none: there are none", low=0, high=255, optional=True
    )
    class_names: tuple[str, ...] = texts((), "what the classes are called, by id; empty: nobody knows", high=256)

    colours: Literal["cityscapes", "ade20k"] | Colours | None = colour_table(
        "colours that stand for the ids in the files, in the order of ids; none: files hold the ids",
        tuple(TABLES),
        high=1024,
    )
    map: Literal["cityscapes-train", "ade20k-150"] | Pairs = pairs(
        (),
        "class of each id in the files that is one, all others become ignore_id; empty: ids are classes",
        _WIDEST,
        _CLASS,
        words=tuple(MAPS),
    )

    CHECKS: ClassVar[tuple[Check, ...]] = (
        Check(("ignore_id", "num_classes"), _check_ignore_id),
        Check(("class_names", "num_classes"), _check_class_names),
        Check(("map", "num_classes", "ignore_id"), _check_map),
        Check(("colours", "map", "num_classes"), _check_colours),
    )

    def __attrs_post_init__(self) -> None:
        check_fields(self)


def handle_class_ids(config: SegMapsConfig) -> LabelHandler:
    """Return what is done with maps of class ids."""
    return LabelHandler(
        info=ClassIds(classes=config.num_classes, ignore_id=config.ignore_id, names=config.class_names),
        says="one class id for each pixel",
        extensions=(".png",),
        read=partial(_read, config),
        open_loose=partial(_open_loose, config),
        of_levels=partial(_of_levels, config),
        exact_levels=True,
        videos=True,
        level_channels=1 if config.colours is None else 3,
        look=partial(_look, config),
    )


def _read(config: SegMapsConfig, view: View, frames: Sequence[int], _subject: View | None) -> Tensor:
    """Read class ids (n,H,W) uint8, which have no proportions: whose motion drives whom changes nothing in them."""
    return torch.from_numpy(np.stack([_read_frame(config, view, frame) for frame in frames]))


def _open_loose(config: SegMapsConfig, files: LooseFiles) -> tuple[Size, Callable[[Sequence[int]], Tensor]]:
    geometry = files.geometry() if files.framed else same_size(size_of(_find(config, files.first).ids))
    view = files.view(geometry)
    return geometry.size, lambda frames: _read(config, view, frames, None)


def _of_levels(config: SegMapsConfig, levels: NDArray[np.uint8], where: str) -> Tensor:
    """Return greys, or colours that stand for classes, as class ids (H,W)."""
    colours = _colours_of(config)
    if colours is None:
        stored: NDArray[Any] = only_level(levels, where)
    else:
        stored = _decoded(np.repeat(levels[..., None], 3, axis=2) if levels.ndim == 2 else levels, colours, where)
    ids = _mapped(config, stored, where).ids
    _check_ids(config, ids, where)
    return torch.from_numpy(np.ascontiguousarray(ids))


def only_level(levels: NDArray[np.uint8], where: str) -> NDArray[np.uint8]:
    """Return greys (H,W), or (H,W,3) with equal channels, as (H,W); `DataError` for colours."""
    first = levels if levels.ndim == 2 else levels[..., 0]
    if levels.ndim == 3 and not (levels == first[..., None]).all():
        raise DataError("holds colours, not greys that are ids", file=where, fix=LOSSLESS)
    return first


def _map_of(config: SegMapsConfig) -> Pairs:
    match config.map:
        case str():
            return MAPS[config.map]
        case _:
            return config.map


def _colours_of(config: SegMapsConfig) -> Colours | None:
    match config.colours:
        case str():
            return TABLES[config.colours]
        case _:
            return config.colours


def _find(config: SegMapsConfig, content: Content) -> IdMap:
    """Read a file, whatever it holds, as class ids (H,W) uint8, whose range is not looked at."""
    colours = _colours_of(config)
    if colours is not None:
        found = inspect_colours(content)
        stored = IdMap(ids=_decoded(found.values, colours, str(content)), notes=found.notes)
    elif config.map:
        stored = inspect_wide_ids(content)
    else:
        return inspect_ids(content)
    mapped = _mapped(config, stored.ids, str(content))
    return attrs.evolve(mapped, notes=(*stored.notes, *mapped.notes))


def _decoded(pixels: NDArray[np.uint8], colours: Colours, where: str) -> NDArray[np.int32]:
    """Return the ids that colours (H,W,3) stand for: (H,W)."""
    ids = ids_of_colours(pixels, colours)
    unknown = ids == NOTHING
    if unknown.any():
        y, x = np.unravel_index(int(unknown.argmax()), unknown.shape)
        colour = pixels[y, x].tolist()
        near = nearest_colour(colour, colours)
        count = f"{int(unknown.sum())} pixels of unknown colours"
        what = (
            f"colour {tuple(colour)} at x={x}, y={y} stands for no class ({count}); nearest: {colours[near]}, id {near}"
        )
        raise DataError(what, file=where, fix="correct the map, or add the colour to the kind's colours")
    return ids


def _mapped(config: SegMapsConfig, stored: NDArray[Any], where: str) -> IdMap:
    """Return the classes (H,W) uint8 of the ids in a file."""
    if not config.map:
        return IdMap(ids=stored.astype(np.uint8, copy=False))
    ids = _classes_by_id(_map_of(config))[stored]
    strange = ids == _NO_CLASS
    if not strange.any():
        return IdMap(ids=ids.astype(np.uint8))
    if config.ignore_id is None:
        y, x = np.unravel_index(int(strange.argmax()), strange.shape)
        what = f"id {stored[y, x]} at x={x}, y={y} is not in the map ({int(strange.sum())} such pixels)"
        raise DataError(what, file=where, fix="add it to the map, or set an ignore_id for what has no class")
    ids = np.where(strange, config.ignore_id, ids).astype(np.uint8)
    unnamed = strange & (stored != config.ignore_id)
    note = f"holds ids that the map does not name, which become {config.ignore_id}, the ignore_id"
    return IdMap(ids=ids, notes=(note,) if unnamed.any() else ())


@lru_cache(maxsize=64)
def _classes_by_id(pairs: Pairs) -> NDArray[np.uint16]:
    """Return the class of each id of 16 bits, `_NO_CLASS` where it has none."""
    classes = np.full(int(_WIDEST.high) + 1, _NO_CLASS, np.uint16)
    for one, other in pairs:
        classes[one] = other
    return classes


def _read_frame(config: SegMapsConfig, view: View, frame: int) -> NDArray[np.uint8]:
    content = content_of(view, config.folder, frame)
    ids: NDArray[np.uint8] = _find(config, content).ids
    _check_ids(config, ids, str(content))
    check_size(view, frame, config.folder, ids)
    return apply_to_ids(view.geometry, ids)


def _check_ids(config: SegMapsConfig, ids: NDArray[np.uint8], where: str) -> None:
    """Raise `DataError` unless all ids (H,W) are those of classes; `where`: the file, for the message."""
    problem = _ids_out_of_range(ids, config)
    if problem is not None:
        raise DataError(problem, file=where, fix=_fix_for_ids(config))


def _look(config: SegMapsConfig, content: Content, _picture: Size | None) -> Seen:
    found = _find(config, content)
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
