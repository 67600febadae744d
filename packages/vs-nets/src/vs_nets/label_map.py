"""Labels whose class ids stay ids until a convolution reads them.

At 512x1024 with 35 classes the one-hot map of a frame is 73 MB, and most products with it are products with zero. What
reads a label is a convolution nearly always, and `vs_ops.label_conv2d` does without the map.
"""

from collections.abc import Mapping, Sequence
from typing import assert_never

import attrs
import torch
import torch.nn.functional as F
import vs_ops
from torch import Tensor
from vs_ops.label_conv2d import LABEL_CONV2D

from vs_nets.labels import ClassMap, LabelKind, LabelSpec, encode_labels


@attrs.frozen(kw_only=True, eq=False)
class OneHot:
    """Class ids (N, H, W) in place of their one-hot map (N, C, H, W)."""

    kind: ClassMap
    ids: Tensor

    @property
    def shape(self) -> torch.Size:
        """Of the map, (N, C, H, W)."""
        n, h, w = self.ids.shape
        return torch.Size((n, self.kind.channels, h, w))


Part = Tensor | OneHot


@attrs.frozen(kw_only=True, eq=False)
class LabelMap:
    """An encoded label in parts, which lie one after the other along the channels."""

    parts: tuple[Part, ...]

    @property
    def shape(self) -> torch.Size:
        """(N, C, H, W)."""
        n, _, h, w = self.parts[0].shape
        return torch.Size((n, sum(part.shape[1] for part in self.parts), h, w))


Label = Tensor | LabelMap
"""An encoded label (N, C, H, W); networks of vid2vid take either."""


def keep_class_ids(spec: LabelSpec, labels: Mapping[str, Tensor]) -> Label:
    """Encode labels as `encode_labels` does, but leave class ids ids where that makes their convolutions quicker.

    Raises:
        ShapeError: as `encode_labels`.
    """
    return _join([_part(kind, labels) for kind in spec.kinds])


def _part(kind: LabelKind, labels: Mapping[str, Tensor]) -> Part:
    ids = labels.get(kind.name)
    match kind:
        case ClassMap() if ids is not None and ids.dim() == 3 and _is_worth_keeping(kind, ids.device):
            return OneHot(kind=kind, ids=ids)
        case _:
            return encode_labels(LabelSpec((kind,)), labels)


def _join(parts: Sequence[Part]) -> Label:
    """Join parts along the channels: a tensor, unless one of them holds class ids."""
    tensors = [part for part in parts if isinstance(part, Tensor)]
    if len(tensors) < len(parts):
        return LabelMap(parts=tuple(parts))
    return tensors[0] if len(tensors) == 1 else torch.cat(tensors, dim=1)


def _is_worth_keeping(kind: ClassMap, device: torch.device) -> bool:
    """Return whether the operator does without the map; if it makes it itself, then better once for all readers."""
    call = vs_ops.DescribedCall(device_type=device.type, shape=(32, kind.channels, 3, 3))
    return vs_ops.choose(LABEL_CONV2D, call).name != "reference"


def dense_label(label: Label) -> Tensor:
    """Return the label as a tensor (N, C, H, W)."""
    tensors = [_dense(part) for part in _parts(label)]
    return tensors[0] if len(tensors) == 1 else torch.cat(tensors, dim=1)


def join_labels(labels: Sequence[Label]) -> Label:
    """Join labels of one size, one after the other along the channels."""
    return _join([part for label in labels for part in _parts(label)])


def shrink_label(label: Label, factor: int) -> Tensor:
    """Keep every `factor`-th pixel, as nearest-neighbour resizing does: (N, C, H, W) -> (N, C, H / f, W / f)."""
    return dense_label(LabelMap(parts=tuple(_shrink(part, factor) for part in _parts(label))))


def _shrink(part: Part, factor: int) -> Part:
    match part:
        case OneHot():
            return OneHot(kind=part.kind, ids=part.ids[:, ::factor, ::factor])
        case Tensor():
            return part[:, :, ::factor, ::factor]
        case _ as never:
            assert_never(never)


def convolve_label(label: Label, weight: Tensor, bias: Tensor | None, stride: int, padding: int) -> Tensor:
    """Convolve a label as `F.conv2d` does, (N, C, H, W) -> (N, C_out, H2, W2); weights of class ids are looked up."""
    match label:
        case Tensor():
            return _convolve_tensor(label, weight, bias, stride, padding)
        case LabelMap():
            return _convolve_parts(label.parts, weight, bias, stride, padding)
        case _ as never:
            assert_never(never)


def _convolve_parts(parts: Sequence[Part], weight: Tensor, bias: Tensor | None, stride: int, padding: int) -> Tensor:
    """Convolve each part with its channels of the weight, and add up what comes out."""
    order = torch.channels_last if weight.is_contiguous(memory_format=torch.channels_last) else torch.contiguous_format
    weights = weight.split([part.shape[1] for part in parts], dim=1)
    biases = [bias, *[None] * (len(weights) - 1)]
    terms = [
        _convolve_part(part, own.contiguous(memory_format=order), shift, stride, padding)
        for part, own, shift in zip(parts, weights, biases, strict=True)
    ]
    return sum(terms[1:], terms[0])


def _convolve_part(part: Part, weight: Tensor, bias: Tensor | None, stride: int, padding: int) -> Tensor:
    match part:
        case Tensor():
            return _convolve_tensor(part, weight, bias, stride, padding)
        case OneHot(kind=kind, ids=ids):
            return vs_ops.label_conv2d(
                ids,
                weight,
                bias,
                dont_care=kind.dont_care,
                ignore_id=kind.id_of_no_class,
                stride=stride,
                padding=padding,
            )
        case _ as never:
            assert_never(never)


def _convolve_tensor(x: Tensor, weight: Tensor, bias: Tensor | None, stride: int, padding: int) -> Tensor:
    if stride > 1 and weight.shape[2:] == (1, 1) and padding == 0:
        # A kernel of one pixel reads every stride-th. PyTorch 2.13's CPU kernel for that writes beyond its memory where
        # it makes the gradient of such a weight from a few channels in channels-last order.
        return F.conv2d(x[:, :, ::stride, ::stride], weight, bias)
    return F.conv2d(x, weight, bias, stride, padding)


def _dense(part: Part) -> Tensor:
    match part:
        case Tensor():
            return part
        case OneHot():
            return encode_labels(LabelSpec((part.kind,)), {part.kind.name: part.ids})
        case _ as never:
            assert_never(never)


def _parts(label: Label) -> tuple[Part, ...]:
    match label:
        case Tensor():
            return (label,)
        case LabelMap():
            return label.parts
        case _ as never:
            assert_never(never)
