"""Borders between instances as a kind of label: where the next pixel belongs to another car, person or tree."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, ClassVar, Literal

import attrs
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from vs_config import choice

from vs_data.clips import FloatMaps
from vs_data.content import Content
from vs_data.errors import DataError
from vs_data.fields import folder_name
from vs_data.geometry import apply_to_ids, same_size
from vs_data.labels.class_ids import only_level
from vs_data.labels.handler import LabelHandler, LooseFiles
from vs_data.pictures import describe, inspect_colours, inspect_wide_ids
from vs_data.seen import Seen, Size, Trace, digest_of, size_of
from vs_data.views import View, check_size, content_of

_Ids = NDArray[np.int32]


@attrs.frozen(kw_only=True)
class InstancesConfig:
    """Maps of instance ids, one PNG per frame: `FOLDER/SEQ/FRAME.png`.

    The label is their borders, one channel: 1 where one of the four neighbours has another id, else 0; see
    `instance_edges`. What the ids are does not matter, as long as two instances that touch have two of them.
    """

    kind: ClassVar[str] = "instances"

    folder: str = folder_name("instances", "folder of the maps, beside the images")
    stored: Literal["ids", "rgb"] = choice(
        "ids",
        "ids: greys or indices of 8 or 16 bits (Cityscapes instanceIds); rgb: R + 256 G + 65536 B (COCO panoptic)",
        ("ids", "rgb"),
    )


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
        info=INSTANCES,
        says="borders between instances",
        extensions=(".png",),
        read=partial(_read, config),
        open_loose=partial(_open_loose, config),
        of_levels=partial(_of_levels, config),
        exact_levels=True,
        level_channels=3 if config.stored == "rgb" else 1,
        videos=True,
        look=partial(_look, config),
    )


def _read(config: InstancesConfig, view: View, frames: Sequence[int], _subject: View | None) -> Tensor:
    """Read borders (n,1,H,W), which have no proportions: whose motion drives whom changes nothing in them."""
    return torch.from_numpy(instance_edges(np.stack([_read_frame(config, view, frame) for frame in frames])))


def _open_loose(config: InstancesConfig, files: LooseFiles) -> tuple[Size, Callable[[Sequence[int]], Tensor]]:
    geometry = files.geometry() if files.framed else same_size(size_of(_ids(config, files.first)[0]))
    view = files.view(geometry)
    return geometry.size, lambda frames: _read(config, view, frames, None)


def _of_levels(config: InstancesConfig, levels: NDArray[np.uint8], where: str) -> Tensor:
    ids = _unpacked(levels, where) if config.stored == "rgb" else only_level(levels, where)
    return torch.from_numpy(instance_edges(ids[None]))[0]


def _look(config: InstancesConfig, content: Content, _picture: Size | None) -> Seen:
    ids, notes = _ids(config, content)
    return Seen(size=size_of(ids), trace=Trace(digest=digest_of(ids)), notes=notes)


def _read_frame(config: InstancesConfig, view: View, frame: int) -> _Ids:
    ids, _ = _ids(config, content_of(view, config.folder, frame))
    check_size(view, frame, config.folder, ids)
    return apply_to_ids(view.geometry, ids)


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
