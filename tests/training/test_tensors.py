"""One walk through nested data finds every tensor, and changes nothing else."""

from typing import Any

import attrs
import torch
import vs_nets as nets
from torch import Tensor
from vs_nets.label_map import LabelMap, OneHot
from vs_training.inputs import FrameInputs, Past
from vs_training.tensors import map_tensors, tensors_in


@attrs.frozen(kw_only=True, eq=False)
class Nested:
    """Data of every kind that the walk knows, and of two that it does not."""

    tensor: Tensor
    items: tuple[Any, ...]
    listed: list[Any]
    named: dict[str, Any]
    other: str = "other"
    nothing: None = None


def number(value: float) -> Tensor:
    return torch.tensor([value])


def nested() -> Nested:
    inner = Nested(tensor=number(4), items=(), listed=[], named={})
    return Nested(tensor=number(0), items=(number(1), 7), listed=[number(2)], named={"a": number(3), "b": inner})


def test_tensors_come_in_the_order_of_fields_and_items() -> None:
    assert [tensor.item() for tensor in tensors_in(nested())] == [0, 1, 2, 3, 4]


def test_a_map_keeps_the_shape_of_the_data_and_everything_that_is_no_tensor() -> None:
    before = nested()
    after = map_tensors(lambda tensor: tensor + 10, before)
    assert [tensor.item() for tensor in tensors_in(after)] == [10, 11, 12, 13, 14]
    assert (after.items[1], after.other, after.nothing) == (7, "other", None)
    assert (type(after.items), type(after.listed), type(after.named["b"])) == (tuple, list, Nested)
    assert [tensor.item() for tensor in tensors_in(before)] == [0, 1, 2, 3, 4]


def test_labels_that_are_still_ids_are_walked_too() -> None:
    ids = torch.arange(2 * 4 * 4).reshape(2, 4, 4) % 3
    kind = nets.ClassMap(name="classes", classes=3)
    label = LabelMap(parts=(OneHot(kind=kind, ids=ids), torch.zeros(2, 1, 4, 4)))
    inputs = FrameInputs(label=label, target=nets.Target(frame=torch.zeros(2, 3, 4, 4)), past=Past())
    half = map_tensors(lambda tensor: tensor.narrow(0, 1, 1), inputs)
    assert {tensor.shape[0] for tensor in tensors_in(half)} == {1}
    assert len(list(tensors_in(half))) == 3
