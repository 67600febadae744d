"""A batch in equal parts, computed one after the other for want of memory, with the results of the whole."""

from collections.abc import Iterator, Sequence
from typing import TypeVar

import torch
import vs_nets as nets
import vs_optim as optim
from torch import Tensor, nn

from vs_training.errors import VsTrainingError
from vs_training.inputs import FrameInputs
from vs_training.state import Recipe
from vs_training.tensors import map_tensors

T = TypeVar("T")


def parts_of(inputs: FrameInputs, recipe: Recipe) -> list[FrameInputs]:
    """Return the parts that this process computes its share of a batch in.

    Raises:
        VsTrainingError: the share cannot be divided so.
    """
    parts = split_batch(inputs, recipe.micro_batches)
    return [map_tensors(_alike, part) for part in parts] if recipe.ordered and recipe.parts > 1 else parts


def _alike(tensor: Tensor) -> Tensor:
    """Return a view whose strides do not tell whether it is a part of more clips or has been read by itself.

    The stride of a dimension of size 1 says nothing, and yet convolutions choose by it how to compute.
    """
    sizes_and_strides = list(zip(tensor.shape, tensor.stride(), strict=True))
    extent = max((size * stride for size, stride in sizes_and_strides if size > 1), default=1)
    return tensor.as_strided(tensor.shape, [extent if size == 1 else stride for size, stride in sizes_and_strides])


def split_batch(inputs: FrameInputs, parts: int) -> list[FrameInputs]:
    """Return the frame of a batch in equal parts along the batch, views of it.

    Raises:
        VsTrainingError: the batch cannot be divided so.
    """
    count = inputs.target.frame.shape[0]
    if parts == 1:
        return [inputs]
    if count % parts:
        raise VsTrainingError(f"a batch of {count} cannot be computed in {parts} equal parts")
    size = count // parts
    return [_narrow(inputs, start, size) for start in range(0, count, size)]


def _narrow(inputs: FrameInputs, start: int, size: int) -> FrameInputs:
    return map_tensors(lambda tensor: tensor.narrow(0, start, size), inputs)


def from_one_start(items: Sequence[T], *modules: nn.Module) -> Iterator[T]:
    """Yield the items, each with the buffers of `modules` as at the first: no part of a batch sees another's.

    The parts see the same weights, also where these depend on vectors of power iterations, so that the sums of their
    gradients are those of the whole batch, up to rounding.
    """
    start = optim.keep_tensors(b for module in modules for b in module.buffers()) if len(items) > 1 else None
    for index, item in enumerate(items):
        if index and start is not None:
            optim.put_back(start)
        yield item


def values_of(parts: Sequence[nets.Losses]) -> dict[str, Tensor]:
    """Return the values of losses by name, detached, each as a row of one for each part."""
    return {name: torch.stack([part[name].value.detach() for part in parts]) for name in parts[0]}
