"""Labels whose class ids stay ids until a convolution reads them.

At 512x1024 with 35 classes the one-hot map of a frame is 73 MB, and most products with it are products with zero. What
reads a label is a convolution nearly always, and `vs_ops.label_conv2d` does without the map.
"""

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
import vs_ops
from attrs import frozen
from torch import Tensor
from vs_ops.label_conv2d import LABEL_CONV2D

from vs_nets.labels import ClassMap, LabelKind, LabelSpec, encode_labels


@frozen(kw_only=True, eq=False)
class OneHot:
    """Class ids (N, H, W) that stand for their one-hot map (N, C, H, W)."""

    kind: ClassMap
    ids: Tensor

    @property
    def shape(self) -> torch.Size:
        """Of the map, (N, C, H, W)."""
        n, h, w = self.ids.shape
        return torch.Size((n, self.kind.channels, h, w))


Part = Tensor | OneHot


@frozen(kw_only=True, eq=False)
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
    """`encode_labels`, but class ids stay ids where that makes their convolutions quicker.

    Raises:
        ShapeError: as `encode_labels`.
    """
    parts = tuple(_part(kind, labels) for kind in spec.kinds)
    if any(isinstance(part, OneHot) for part in parts):
        return LabelMap(parts=parts)
    return encode_labels(spec, labels)


def _part(kind: LabelKind, labels: Mapping[str, Tensor]) -> Part:
    ids = labels.get(kind.name)
    if isinstance(kind, ClassMap) and ids is not None and ids.dim() == 3 and _is_worth_keeping(kind, ids.device):
        return OneHot(kind=kind, ids=ids)
    return encode_labels(LabelSpec((kind,)), labels)


def _is_worth_keeping(kind: ClassMap, device: torch.device) -> bool:
    """Whether the operator does without the map; if it makes it itself, then better once for all readers."""
    call = vs_ops.DescribedCall(device_type=device.type, shape=(32, kind.channels, 3, 3))
    return vs_ops.choose(LABEL_CONV2D, call).name != "reference"


def dense_label(label: Label) -> Tensor:
    """The label as a tensor (N, C, H, W)."""
    tensors = [_dense(part) for part in _parts(label)]
    return tensors[0] if len(tensors) == 1 else torch.cat(tensors, dim=1)


def join_labels(labels: Sequence[Label]) -> Label:
    """Labels of one size, one after the other along the channels."""
    parts = tuple(part for label in labels for part in _parts(label))
    if any(isinstance(part, OneHot) for part in parts):
        return LabelMap(parts=parts)
    return torch.cat([_dense(part) for part in parts], dim=1)


def shrink_label(label: Label, factor: int) -> Tensor:
    """Every `factor`-th pixel, the one that nearest-neighbour resizing takes: (N, C, H, W) -> (N, C, H / f, W / f)."""
    parts = [
        OneHot(kind=part.kind, ids=part.ids[:, ::factor, ::factor])
        if isinstance(part, OneHot)
        else part[:, :, ::factor, ::factor]
        for part in _parts(label)
    ]
    return dense_label(LabelMap(parts=tuple(parts)))


def convolve_label(label: Label, weight: Tensor, bias: Tensor | None, stride: int, padding: int) -> Tensor:
    """`F.conv2d` of a label, (N, C, H, W) -> (N, C_out, H2, W2); weights of class ids are looked up and added."""
    if isinstance(label, Tensor):
        return _convolve_tensor(label, weight, bias, stride, padding)
    order = torch.channels_last if weight.is_contiguous(memory_format=torch.channels_last) else torch.contiguous_format
    weights = weight.split([part.shape[1] for part in label.parts], dim=1)
    biases = [bias, *[None] * (len(weights) - 1)]
    shares = [
        _convolve_part(part, own.contiguous(memory_format=order), shift, stride, padding)
        for part, own, shift in zip(label.parts, weights, biases, strict=True)
    ]
    return sum(shares[1:], shares[0])


def _convolve_part(part: Part, weight: Tensor, bias: Tensor | None, stride: int, padding: int) -> Tensor:
    if isinstance(part, Tensor):
        return _convolve_tensor(part, weight, bias, stride, padding)
    kind = part.kind
    return vs_ops.label_conv2d(
        part.ids,
        weight,
        bias,
        dont_care=kind.dont_care,
        ignore_id=kind.id_of_no_class,
        stride=stride,
        padding=padding,
    )


def _convolve_tensor(x: Tensor, weight: Tensor, bias: Tensor | None, stride: int, padding: int) -> Tensor:
    if stride > 1 and weight.shape[2:] == (1, 1) and padding == 0:
        # A kernel of one pixel reads every stride-th. PyTorch 2.13's CPU kernel for that writes beyond its memory where
        # it makes the gradient of such a weight from a few channels in channels-last order.
        return F.conv2d(x[:, :, ::stride, ::stride], weight, bias)
    return F.conv2d(x, weight, bias, stride, padding)


def _dense(part: Part) -> Tensor:
    if isinstance(part, Tensor):
        return part
    return encode_labels(LabelSpec((part.kind,)), {part.kind.name: part.ids})


def _parts(label: Label) -> tuple[Part, ...]:
    return (label,) if isinstance(label, Tensor) else label.parts
