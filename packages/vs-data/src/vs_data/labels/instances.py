"""Maps of instances as a kind of label: where the next pixel belongs to another car, or where one person is."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, ClassVar, Literal

import attrs
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from vs_config import Check, Problem, check_fields, choice, whole

from vs_data.clips import FloatMaps
from vs_data.content import Content
from vs_data.errors import DataError
from vs_data.fields import folder_name
from vs_data.findings import Finding
from vs_data.geometry import Geometry, apply_to_ids, same_size
from vs_data.labels.class_ids import only_level
from vs_data.labels.handler import LabelHandler, LooseFiles
from vs_data.labels.keypoints import warn_of_jumps, warn_of_nobody
from vs_data.outlines import outline_of_ids
from vs_data.pictures import describe, inspect_colours, inspect_wide_ids
from vs_data.seen import Seen, Size, Trace, Traces, digest_of, size_of
from vs_data.views import View, check_size, content_of

_Ids = NDArray[np.int32]
_NOBODY = 0  # the id of what is around people


def _check_number(config: "InstancesConfig") -> Iterator[Problem]:
    if (config.show == "number") != (config.number is not None):
        expected = "the id of the instance" if config.show == "number" else "'none' unless show = 'number'"
        yield Problem("number", expected=expected, got=config.number)


@attrs.frozen(kw_only=True)
class InstancesConfig:
    """Maps of instance ids, one PNG per frame: `FOLDER/SEQ/FRAME.png`.

    The label is their borders, one channel: 1 where one of the four neighbours has another id, else 0; see
    `instance_edges`. What the ids are does not matter, as long as two instances that touch have two of them.

    Or it is a mask of one instance, as of the person who dances: 1 there, 0 elsewhere. That is the largest of each
    frame, id 0 being what is around, or the one with a number.
    """

    kind: ClassVar[str] = "instances"

    folder: str = folder_name("instances", "folder of the maps, beside the images")
    stored: Literal["ids", "rgb"] = choice(
        "ids",
        "ids: greys or indices of 8 or 16 bits (Cityscapes instanceIds); rgb: R + 256 G + 65536 B (COCO panoptic)",
        ("ids", "rgb"),
    )
    show: Literal["borders", "largest", "number"] = choice(
        "borders",
        "borders of all instances; or a mask: of the largest that is not 0, or of the one with a number",
        ("borders", "largest", "number"),
    )
    number: int | None = whole(None, "id of the instance that the mask shows", low=0, high=2**24 - 1, optional=True)

    CHECKS: ClassVar[tuple[Check, ...]] = (Check(("show", "number"), _check_number),)

    def __attrs_post_init__(self) -> None:
        check_fields(self)


INSTANCES = FloatMaps(channels=1, title="instance borders")
"""The borders as networks and pictures take them, whoever makes them."""


def instance_edges(ids: NDArray[Any]) -> NDArray[np.float32]:
    """Return the borders of instances (n,H,W) as (n,1,H,W): 1 where one of the four neighbours has another id.

    Source: Wang et al., High-Resolution Image Synthesis and Semantic Manipulation with Conditional GANs, CVPR 2018,
    section 3.3.
    """
    edges = np.zeros(ids.shape, np.float32)
    across, down = ids[..., 1:] != ids[..., :-1], ids[..., 1:, :] != ids[..., :-1, :]
    for part, differs in ((edges[..., 1:], across), (edges[..., :-1], across)):
        part[differs] = 1
    for part, differs in ((edges[..., 1:, :], down), (edges[..., :-1, :], down)):
        part[differs] = 1
    return edges[:, None]


def handle_instances(config: InstancesConfig) -> LabelHandler:
    """Return what is done with maps of instances."""
    return LabelHandler(
        info=INSTANCES if config.show == "borders" else FloatMaps(channels=1, title="foreground"),
        says="borders between instances" if config.show == "borders" else "a mask of one instance",
        extensions=(".png",),
        read=partial(_read, config),
        open_loose=partial(_open_loose, config),
        of_levels=partial(_of_levels, config),
        exact_levels=True,
        covers=config.show != "borders",
        level_channels=3 if config.stored == "rgb" else 1,
        videos=True,
        look=partial(_look, config),
        check_sequence=partial(_check_sequence, config),
    )


def instance_mask(config: InstancesConfig, ids: NDArray[Any]) -> NDArray[np.bool_]:
    """Return where the instance is in ids (H,W) that a mask is to show; nowhere where there is none."""
    number = config.number if config.show == "number" else _largest(ids)
    return np.zeros(ids.shape, bool) if number is None else np.asarray(ids == number)


def _largest(ids: NDArray[Any]) -> int | None:
    """Return the id of most pixels that show somebody, of equals the least; None: there is nobody."""
    there, pixels = np.unique(ids[ids != _NOBODY], return_counts=True)
    return int(there[pixels.argmax()]) if len(there) else None


def _label_of(config: InstancesConfig, ids: NDArray[Any], geometry: Geometry) -> Tensor:
    """Return the label (1,H,W) of stored ids through a geometry; whose mask it is, all that is stored decides."""
    if config.show == "borders":
        return torch.from_numpy(instance_edges(apply_to_ids(geometry, ids)[None]))[0]
    mask = apply_to_ids(geometry, instance_mask(config, ids).astype(np.uint8))
    return torch.from_numpy(mask[None].astype(np.float32))


def _read(config: InstancesConfig, view: View, frames: Sequence[int], _subject: View | None) -> Tensor:
    """Read labels (n,1,H,W), which have no proportions: whose motion drives whom changes nothing in them."""
    return torch.stack([_read_frame(config, view, frame) for frame in frames])


def _open_loose(config: InstancesConfig, files: LooseFiles) -> tuple[Size, Callable[[Sequence[int]], Tensor]]:
    geometry = files.geometry() if files.framed else same_size(size_of(_ids(config, files.first)[0]))
    view = files.view(geometry)
    return geometry.size, lambda frames: _read(config, view, frames, None)


def _of_levels(config: InstancesConfig, levels: NDArray[np.uint8], where: str) -> Tensor:
    ids = _unpacked(levels, where) if config.stored == "rgb" else only_level(levels, where)
    return _label_of(config, ids, same_size(size_of(ids)))


def _look(config: InstancesConfig, content: Content, _picture: Size | None) -> Seen:
    """Look at one file; the trace of a mask has the corners of the box around it as points, or none of nobody."""
    ids, notes = _ids(config, content)
    shown, points = ids, None
    if config.show != "borders":
        shown = instance_mask(config, ids).astype(np.int32)
        points = _corners(shown)
    trace = Trace(digest=digest_of(shown), outline=outline_of_ids(shown), points=points)
    return Seen(size=size_of(ids), trace=trace, notes=notes)


def _corners(mask: NDArray[Any]) -> NDArray[np.float64] | None:
    """Return (4,3) x, y and 1 of the corners of the box around a mask (H,W), None of an empty one."""
    rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    if not len(rows):
        return None
    return np.array([[x, y, 1.0] for x in columns[[0, -1]] for y in rows[[0, -1]]])


def _check_sequence(config: InstancesConfig, place: str, names: Sequence[str], traces: Traces) -> Iterator[Finding]:
    """Warn of masks that show nobody, and of such that jump to somebody else."""
    if config.show != "borders":
        yield from warn_of_nobody(place, names, traces)
        yield from warn_of_jumps(place, names, traces, "show = 'number' where ids stay with people")


def _read_frame(config: InstancesConfig, view: View, frame: int) -> Tensor:
    ids, _ = _ids(config, content_of(view, config.folder, frame))
    check_size(view, frame, config.folder, ids)
    return _label_of(config, ids, view.geometry)


def _ids(config: InstancesConfig, content: Content) -> tuple[_Ids, tuple[str, ...]]:
    """Read the ids (H,W) of a file, and what is to be said of it; 16 bits are nothing unusual here."""
    if config.stored == "ids":
        return inspect_wide_ids(content).ids.astype(np.int32), ()
    colours = inspect_colours(content)
    return _unpacked(colours.values, str(content)), colours.notes


def _unpacked(colours: NDArray[Any], where: str) -> _Ids:
    """Return ids (H,W) of RGB (H,W,3) with 8 bits, as COCO's panoptic maps pack them."""
    if colours.ndim != 3 or colours.shape[2] != 3 or colours.dtype != np.uint8:
        what = f"is no picture of RGB with 8 bits ({describe(colours)}), in which ids are packed"
        raise DataError(what, file=where, fix="set stored = 'ids' for greys")
    wide = colours.astype(np.int32)
    return np.asarray(wide[..., 0] + 256 * wide[..., 1] + 65536 * wide[..., 2])
