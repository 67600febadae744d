"""Tensors that go into and out of an exported program: names, dtypes, and shapes with sides that go with the frame."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import attrs
import torch
from torch import Tensor

from vs_synthesis.fit import Size


@attrs.frozen
class Side:
    """A side of a tensor that is the height or the width of the frame, over a divisor."""

    axis: Literal["H", "W"]
    divisor: int = 1

    def __str__(self) -> str:
        return self.axis if self.divisor == 1 else f"{self.axis}/{self.divisor}"

    def of(self, size: Size) -> int:
        """Return it for frames of a size."""
        return size[self.axis == "W"] // self.divisor


@attrs.frozen(kw_only=True)
class Value:
    """A tensor of a program."""

    name: str
    dtype: torch.dtype
    shape: tuple[int | Side, ...]

    def extents(self, size: Size) -> tuple[int, ...]:
        """Return its shape for frames of a size."""
        return tuple(each.of(size) if isinstance(each, Side) else each for each in self.shape)

    def document(self) -> dict[str, Any]:
        """Return it as the manifest has it."""
        shape = [str(each) if isinstance(each, Side) else each for each in self.shape]
        return {"name": self.name, "dtype": str(self.dtype).removeprefix("torch."), "shape": shape}


def values_of(tensors: Mapping[str, Sequence[Tensor]], sizes: Sequence[Size]) -> tuple[Value, ...]:
    """Describe tensors that were made for frames of one size, or of two: what differs goes with the frame."""
    return tuple(
        Value(name=name, dtype=made[0].dtype, shape=_shape([x.shape for x in made], sizes))
        for name, made in tensors.items()
    )


def _shape(shapes: Sequence[torch.Size], sizes: Sequence[Size]) -> tuple[int | Side, ...]:
    rank = len(shapes[0])
    return tuple(
        extents[0] if len(set(extents)) == 1 else _side("W" if axis == rank - 1 else "H", sizes[0], extents[0])
        for axis, extents in enumerate(zip(*shapes, strict=True))
    )


def _side(axis: Literal["H", "W"], size: Size, extent: int) -> Side:
    return Side(axis, size[axis == "W"] // extent)
