"""What conditions a network: kinds of label, their channels, and the encoding that is made on the device."""

from collections.abc import Mapping
from typing import assert_never

import attrs
import torch
import vs_ops
from torch import Tensor
from vs_config import REQUIRED, whole

from vs_nets.errors import ShapeError
from vs_nets.limits import MAX_CHANNELS

NO_ID = -1
"""An id that no pixel has."""

SHOWN_IGNORE_ID = 255
"""What `class_ids` writes for pixels without a class; palettes have a colour for it."""


@attrs.frozen(kw_only=True)
class ClassMap:
    """Integer class ids (N, H, W), encoded as one channel for each class."""

    name: str
    classes: int = whole(REQUIRED, "class ids", low=1, high=65_536)
    dont_care: bool = False
    """Whether pixels with the ignored id get a channel of their own; otherwise all their channels are 0."""
    ignore_id: int | None = 255
    """Id of pixels without a class; None: there are none."""

    @property
    def id_of_no_class(self) -> int:
        """`ignore_id`, or an id that no pixel has."""
        return NO_ID if self.ignore_id is None else self.ignore_id

    @property
    def channels(self) -> int:
        """Channels of the encoding."""
        return self.classes + self.dont_care


@attrs.frozen(kw_only=True)
class FloatMap:
    """Maps (N, C, H, W) that enter the network as they are (edges, landmarks, poses)."""

    name: str
    channels: int = whole(REQUIRED, "channels of the maps", low=1, high=MAX_CHANNELS)
    title: str = "label"
    """What pictures of it are called."""
    pictures: bool = False
    """Whether the maps are a picture in [-1, 1], shown as one; else lines: three are colours, of others the strongest
    is shown."""


LabelKind = ClassMap | FloatMap


@attrs.frozen
class LabelSpec:
    """The kinds of label in the order in which they are concatenated."""

    kinds: tuple[LabelKind, ...]

    @property
    def channels(self) -> int:
        """Channels of the encoded label."""
        return sum(kind.channels for kind in self.kinds)


def encode_labels(spec: LabelSpec, labels: Mapping[str, Tensor], dtype: torch.dtype = torch.float32) -> Tensor:
    """Encode labels of one frame, by name, as the (N, C, H, W) tensor that networks take; one-hot is made here.

    Raises:
        ShapeError: a kind of the specification is missing, or has another number of dimensions or channels.
    """
    encoded = [_encode(kind, labels, dtype) for kind in spec.kinds]
    return encoded[0] if len(encoded) == 1 else torch.cat(encoded, dim=1)


def _encode(kind: LabelKind, labels: Mapping[str, Tensor], dtype: torch.dtype) -> Tensor:
    if kind.name not in labels:
        raise ShapeError(f"label {kind.name!r} is missing: the clip has {', '.join(map(repr, labels)) or 'none'}")
    values = labels[kind.name]
    match kind:
        case ClassMap():
            _check_dimensions(kind.name, values, 3)
            return vs_ops.one_hot(
                values, kind.classes, dont_care=kind.dont_care, ignore_id=kind.id_of_no_class, dtype=dtype
            )
        case FloatMap():
            _check_dimensions(kind.name, values, 4)
            if values.shape[1] != kind.channels:
                raise ShapeError(f"label {kind.name!r} has {values.shape[1]} channels: expected {kind.channels}")
            return values.to(dtype)
        case _ as never:
            assert_never(never)


def _check_dimensions(name: str, values: Tensor, expected: int) -> None:
    if values.dim() != expected:
        raise ShapeError(f"label {name!r} has shape {tuple(values.shape)}: expected {expected} dimensions")


def class_kind(spec: LabelSpec) -> ClassMap | None:
    """Return the first kind that has class ids, which is what pictures of labels show; None when there is none."""
    return next((kind for kind in spec.kinds if isinstance(kind, ClassMap)), None)


def float_kinds(spec: LabelSpec) -> tuple[FloatMap, ...]:
    """Return the kinds that are maps of numbers, in their order."""
    return tuple(kind for kind in spec.kinds if isinstance(kind, FloatMap))


def class_ids(labels: Mapping[str, Tensor], kind: ClassMap) -> Tensor:
    """Return class ids of a kind, `SHOWN_IGNORE_ID` for pixels without a class, whatever id the data has there."""
    ids = labels[kind.name]
    return ids if kind.ignore_id is None else ids.masked_fill(ids.eq(kind.ignore_id), SHOWN_IGNORE_ID)
