"""Nested data that holds tensors (frozen attrs classes, tuples, lists, mappings): one walk through all of it."""

from collections.abc import Callable, Hashable, Iterator, Mapping
from typing import Any, TypeVar

import attrs
from torch import Tensor

T = TypeVar("T")


def map_tensors(function: Callable[[Tensor], Tensor], value: T) -> T:
    """Return the same data with what a function makes of each tensor; everything else in it stays as it is."""
    mapped: T = _map(function, value)
    return mapped


def tensors_in(value: object) -> Iterator[Tensor]:
    """Yield all tensors in nested data, in the order of its fields and items."""
    match value:
        case Tensor():
            yield value
        case tuple() | list():
            for item in value:
                yield from tensors_in(item)
        case Mapping():
            for item in value.values():
                yield from tensors_in(item)
        case _ if attrs.has(type(value)):
            for name in _names(value):
                yield from tensors_in(getattr(value, name))


def signature(value: object) -> Hashable:
    """Return what nested data are but for the values of their tensors: structure, shapes, orders of memory, dtypes."""
    match value:
        case Tensor():
            return value.shape, value.stride(), value.dtype, value.device
        case tuple() | list():
            return type(value), tuple(signature(item) for item in value)
        case Mapping():
            return tuple((key, signature(item)) for key, item in value.items())
        case _ if attrs.has(type(value)):
            return type(value), tuple(signature(getattr(value, name)) for name in _names(value))
        case Hashable():
            return value
        case _:
            raise TypeError(f"{type(value).__name__} cannot be told from others of its kind")


def _map(function: Callable[[Tensor], Tensor], value: Any) -> Any:
    match value:
        case Tensor():
            return function(value)
        case tuple() | list():
            return type(value)(_map(function, item) for item in value)
        case Mapping():
            return {key: _map(function, item) for key, item in value.items()}
        case _ if attrs.has(type(value)):
            return attrs.evolve(value, **{name: _map(function, getattr(value, name)) for name in _names(value)})
        case _:
            return value


def _names(value: Any) -> tuple[str, ...]:
    return tuple(field.name for field in attrs.fields(type(value)))
