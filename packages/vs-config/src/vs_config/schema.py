"""What the annotations of a config class say: fields, alternatives, defaults, and words for all of them."""

import functools
import inspect
import types
import typing
from collections.abc import Iterable, Mapping
from typing import Any, Literal, Union

import attrs

from vs_config.names import one_of
from vs_config.text import show

NONE = "none"
"""How `None` is written where a value has to be given, since TOML has no null."""

OR_NONE = f" or '{NONE}'"
"""What follows what is allowed where None is allowed too."""

TAG = "kind"
"""The key, and the ClassVar, that tells the alternatives of a union apart."""

HELP = "help"
"""The key of a field's metadata under which the line of help is."""

ALLOWED = "allowed"
"""The key of a field's metadata under which words say what is allowed, where that is less than its type allows."""

NUMBERED = "numbered"
"""The key of a field's metadata that says that its pairs of numbers are a table in documents: `{7 = 0, 8 = 1}`."""

_WORDS: dict[Any, str] = {int: "a whole number", float: "a number", bool: "true or false", str: "a string"}


@attrs.frozen
class Field:
    """One field of a config class: its name in documents, its resolved type, and the attrs attribute behind it."""

    name: str
    type: Any
    attribute: "attrs.Attribute[Any]"

    @property
    def default(self) -> Any:
        """The default, made afresh if a factory makes it; `attrs.NOTHING` when the field has to be given."""
        default: Any = self.attribute.default
        return default.factory() if hasattr(default, "takes_self") else default

    def of(self, config: Any) -> Any:
        """Return the value of the field in a config object."""
        return getattr(config, self.attribute.name)

    @property
    def help(self) -> str:
        """The one line that the class gives about the field, or nothing."""
        return str(self.attribute.metadata.get(HELP, ""))

    @property
    def numbered(self) -> bool:
        """Whether pairs of numbers are a table in documents."""
        return NUMBERED in self.attribute.metadata

    @property
    def allowed(self) -> str:
        """What the field takes, in words."""
        return str(self.attribute.metadata.get(ALLOWED, "")) or describe(self.type)


def name_of(attribute: "attrs.Attribute[Any]") -> str:
    """Return what documents call a field: a word that Python keeps for itself has an underscore behind it there."""
    return attribute.name.removesuffix("_")


def fields_of(cls: type[Any]) -> Mapping[str, Field]:
    """Return the fields of an attrs class by name, with the types that its annotations stand for."""
    key: Any = cls  # mypy takes classes for unhashable
    return _fields_of(key)


@functools.cache
def _fields_of(cls: Any) -> Mapping[str, Field]:
    hints = typing.get_type_hints(cls)
    return {name_of(a): Field(name_of(a), hints[a.name], a) for a in attrs.fields(cls) if a.init}


def tag_of(cls: type) -> str | None:
    """Return the `kind` of a class that is one of several alternatives, else None."""
    tag = getattr(cls, TAG, None)
    return tag if type(tag) is str and TAG not in fields_of(cls) else None  # a property of that name is none


def is_config(kind: Any) -> bool:
    """Say whether a type is a config class."""
    return inspect.isclass(kind) and attrs.has(kind)


def is_union(kind: Any) -> bool:
    """Say whether a type is a union, in either spelling."""
    return typing.get_origin(kind) in (Union, types.UnionType)


def is_literal(kind: Any) -> bool:
    """Say whether a type is one of a few words or numbers."""
    return typing.get_origin(kind) is Literal


def is_tuple(kind: Any) -> bool:
    """Say whether a type is a tuple of something, which a document writes as a list."""
    return typing.get_origin(kind) is tuple


def item_kinds(kind: Any, length: int) -> tuple[Any, ...] | None:
    """Return the types of the items of a tuple of that length; None where the tuple has another length."""
    args = typing.get_args(kind)
    args = (args[0],) * length if args[1:] == (Ellipsis,) else args
    return args if len(args) == length else None


def members(kind: Any) -> tuple[Any, ...]:
    """Return the alternatives of a union, or the type itself as the only one; None is `type(None)`."""
    return typing.get_args(kind) if is_union(kind) else (kind,)


def config_members(kind: Any) -> dict[str, type]:
    """Return the config classes that a type allows, by their kind.

    Raises:
        RuntimeError: Several classes are allowed and not each has a kind of its own (a defect of the config class).
    """
    classes = [member for member in members(kind) if is_config(member)]
    if len(classes) < 2:
        return {str(tag_of(cls) or ""): cls for cls in classes}
    tagged = {tag: cls for cls in classes if (tag := tag_of(cls)) is not None}
    if len(tagged) != len(classes):
        raise RuntimeError(f"{kind}: every class of a union needs its own ClassVar `{TAG}`")
    return tagged


def is_optional(kind: Any) -> bool:
    """Say whether a type allows None."""
    return type(None) in members(kind)


def is_among(value: object, choices: Iterable[object]) -> bool:
    """Say whether a value is one of a few words or numbers: True is not 1, and 1 is not 1.0."""
    return any(type(value) is type(choice) and value == choice for choice in choices)


def describe(kind: Any) -> str:
    """Say in words what a type allows: `a number`, `one of 'fan', 'grill'`, `a list of 2 items (...)`."""
    if kind is type(None):
        return f"'{NONE}'"
    if kind in _WORDS:
        return _WORDS[kind]
    if is_literal(kind):
        return one_of(typing.get_args(kind))
    if is_tuple(kind):
        return _describe_tuple(typing.get_args(kind))
    if is_union(kind):
        tags = [tag for tag in config_members(kind) if tag]
        others = [describe(member) for member in members(kind) if not (is_config(member) and tag_of(member))]
        return " or ".join(dict.fromkeys([*_describe_tables(tags), *others]))
    if is_config(kind):
        tag = tag_of(kind)
        return "a table" if tag is None else _describe_tables([tag])[0]
    return f"a {kind.__name__}" if inspect.isclass(kind) else str(kind)


def _describe_tables(tags: list[str]) -> list[str]:
    return [f"a table of kind {' or '.join(show(tag) for tag in tags)}"] if tags else []


def _describe_tuple(args: tuple[Any, ...]) -> str:
    if args[1:] == (Ellipsis,):
        return f"a list (each item {describe(args[0])})"
    return f"a list of {len(args)} items ({', '.join(describe(arg) for arg in args)})"
