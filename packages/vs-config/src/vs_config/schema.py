"""What the annotations of a config class say: fields, alternatives, defaults, and words for all of them."""

from __future__ import annotations

import difflib
import functools
import re
import types
import typing
from collections.abc import Iterable, Mapping
from typing import Any, Literal, Union

import attrs

from vs_config import show

NONE = "none"
"""How `None` is written where a value has to be given, since TOML has no null."""

TAG = "kind"
"""The key, and the ClassVar, that tells the alternatives of a union apart."""

_WORDS: dict[Any, str] = {int: "an integer", float: "a number", bool: "true or false", str: "a string"}
_LONGEST_NAME = 80
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")


@attrs.frozen
class Field:
    """One field of a config class: its name, its resolved type, and the attrs attribute behind it."""

    name: str
    type: Any
    attribute: attrs.Attribute[Any]

    @property
    def default(self) -> Any:
        """The default, made afresh if a factory makes it; `attrs.NOTHING` when the field has to be given."""
        default: Any = self.attribute.default
        return default.factory() if hasattr(default, "takes_self") else default

    @property
    def help(self) -> str:
        """The one line that the class gives about the field, or nothing."""
        return str(self.attribute.metadata.get("help", ""))


def fields_of(cls: type[Any]) -> Mapping[str, Field]:
    """Return the fields of an attrs class by name, with the types that its annotations stand for."""
    key: Any = cls  # mypy takes classes for unhashable
    return _fields_of(key)


@functools.cache
def _fields_of(cls: Any) -> Mapping[str, Field]:
    hints = typing.get_type_hints(cls)
    return {a.name: Field(a.name, hints[a.name], a) for a in attrs.fields(cls) if a.init}


def tag_of(cls: type) -> str | None:
    """Return the `kind` of a class that is one of several alternatives, else None."""
    return getattr(cls, TAG, None) if TAG not in fields_of(cls) else None


def is_config(kind: Any) -> bool:
    """Say whether a type is a config class."""
    return isinstance(kind, type) and attrs.has(kind)


def is_union(kind: Any) -> bool:
    """Say whether a type is a union, in either spelling."""
    return typing.get_origin(kind) in (Union, types.UnionType)


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


def describe(kind: Any) -> str:
    """Say in words what a type allows: `a number`, `one of 'O0', 'O1'`, `a list of 2 values`."""
    if kind is type(None):
        return f"'{NONE}'"
    if kind in _WORDS:
        return _WORDS[kind]
    if typing.get_origin(kind) is Literal:
        allowed = typing.get_args(kind)
        return ("one of " if len(allowed) > 1 else "") + ", ".join(show(value) for value in allowed)
    if typing.get_origin(kind) is tuple:
        return _describe_tuple(typing.get_args(kind))
    if is_union(kind):
        words = dict.fromkeys(describe(member) for member in members(kind))
        return " or ".join(words)
    tags = [tag for tag in config_members(kind) if tag]
    return f"a table of kind {tags[0]}" if tags else "a table"


def _describe_tuple(args: tuple[Any, ...]) -> str:
    if len(args) == 2 and args[1] is Ellipsis:
        return f"a list (each item {describe(args[0])})"
    return f"a list of {len(args)} items ({', '.join(describe(arg) for arg in args)})"


def nearest(name: str, known: Iterable[str], noun: str = "keys") -> str:
    """Return a hint: the valid name nearest to a wrong one, or all valid names when none is near."""
    names = list(known)
    name = name[:_LONGEST_NAME]  # to compare long texts takes long
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    if close:
        return f"did you mean '{close[0]}'?"
    return f"valid {noun}: {', '.join(names)}" if names else f"there are no {noun} here"


def unknown_key(name: str, known: Iterable[str]) -> str:
    """Return the message about a key that does not exist."""
    return f"unknown key; {nearest(name, known)}"


def child(path: str, key: str | int) -> str:
    """Return the path of a key or list index below a path."""
    if isinstance(key, int):
        return f"{path}[{key}]"
    return f"{path}.{key if _BARE_KEY.fullmatch(key) and len(key) <= _LONGEST_NAME else show(key, _LONGEST_NAME)}"
