"""Nested state as a JSON skeleton and a table of tensors, and back. Pure.

None, booleans, numbers, strings and lists are written as JSON has them. What JSON has no word for becomes an object
with one key that begins with `$`: `{"$tensor": name}`, `{"$tuple": [...]}`, `{"$float": "inf"}`, and
`{"$dict": [[key, value], ...]}` for dicts whose keys are not all plain strings.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from vs_runtime.errors import StateError

_SPECIAL = {"inf": math.inf, "-inf": -math.inf, "nan": math.nan}


def flatten(state: Any) -> tuple[Any, dict[str, Tensor]]:
    """Return the skeleton of `state` and its tensors by name; the names are their paths, made unique.

    Raises:
        StateError: the state holds something else than dicts (keys: strings, numbers, booleans), lists, tuples,
            tensors, numbers, strings, booleans and None.
    """
    tensors: dict[str, Tensor] = {}
    return _flatten(state, "state", tensors), tensors


def _flatten(value: Any, where: str, tensors: dict[str, Tensor]) -> Any:
    match value:
        case None | bool() | int() | str() | float() if type(value) in (type(None), bool, int, str, float):
            return _scalar(value)
        case Tensor():
            return {"$tensor": _store(value, where, tensors)}
        case dict():
            return _flatten_dict(value, where, tensors)
        case list() if type(value) is list:
            return [_flatten(item, f"{where}.{index}", tensors) for index, item in enumerate(value)]
        case tuple() if type(value) in (tuple, torch.Size):
            return {"$tuple": [_flatten(item, f"{where}.{index}", tensors) for index, item in enumerate(value)]}
    kind = f"{type(value).__module__}.{type(value).__qualname__}"
    raise StateError(
        where, f"a checkpoint cannot hold a {kind}; make it a tensor, a number, a string or a dict of them"
    )


def _scalar(value: Any) -> Any:
    return {"$float": str(value)} if type(value) is float and not math.isfinite(value) else value


def _flatten_dict(value: dict[Any, Any], where: str, tensors: dict[str, Tensor]) -> Any:
    for key in value:
        if type(key) not in (str, int, bool, float, type(None)):
            raise StateError(where, f"a checkpoint cannot hold the dict key {key!r} of type {type(key).__name__}")
    items = [(key, _flatten(item, f"{where}.{key}", tensors)) for key, item in value.items()]
    if all(type(key) is str and not key.startswith("$") for key in value):
        return dict(items)
    return {"$dict": [[_scalar(key), item] for key, item in items]}


def _store(tensor: Tensor, where: str, tensors: dict[str, Tensor]) -> str:
    if tensor.layout is not torch.strided or tensor.is_quantized:
        raise StateError(where, "a checkpoint holds dense tensors only")
    path = where.removeprefix("state.").encode("utf-8", "backslashreplace").decode()
    name, number = path, 1
    while name in tensors or name == "__metadata__":  # a key with a dot in it, or the file format's own word
        number += 1
        name = f"{path}#{number}"
    tensors[name] = tensor
    return name


def unflatten(skeleton: Any, tensors: Mapping[str, Tensor]) -> Any:
    """Return the state of which `flatten` made `skeleton` and `tensors`.

    Raises:
        StateError: the skeleton is not one that `flatten` makes, or a tensor is missing.
    """
    match skeleton:
        case list():
            return [unflatten(item, tensors) for item in skeleton]
        case dict():
            return _unflatten_dict(skeleton, tensors)
    return skeleton


def _unflatten_dict(skeleton: dict[str, Any], tensors: Mapping[str, Tensor]) -> Any:
    tag = next(iter(skeleton), "")
    if not tag.startswith("$"):
        return {key: unflatten(item, tensors) for key, item in skeleton.items()}
    build = _BUILDERS.get(tag)
    if build is None or len(skeleton) != 1:
        raise StateError("state", f"unknown mark {tag!r} in the skeleton of a checkpoint")
    return build(skeleton[tag], tensors)


def _tensor(name: Any, tensors: Mapping[str, Tensor]) -> Tensor:
    if name not in tensors:
        raise StateError("state", f"tensor {name!r} is missing")
    return tensors[name]


_BUILDERS: Mapping[str, Callable[[Any, Mapping[str, Tensor]], Any]] = {
    "$tensor": _tensor,
    "$float": lambda text, _: _SPECIAL[text],
    "$tuple": lambda items, tensors: tuple(unflatten(item, tensors) for item in items),
    "$dict": lambda items, tensors: {unflatten(key, tensors): unflatten(item, tensors) for key, item in items},
}
