"""From plain data (a TOML document) to config objects: strict, complete, and with every error at its path."""

from __future__ import annotations

import contextlib
import functools
import re
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal, TypeVar

import attrs
from cattrs import (
    BaseValidationError,
    ClassValidationError,
    Converter,
    ForbiddenExtraKeysError,
    IterableValidationError,
)
from cattrs.errors import AttributeValidationNote, IterableValidationNote

from vs_config import ChecksError, failures, show
from vs_config.errors import ConfigError, Problem
from vs_config.schema import (
    NONE,
    TAG,
    Field,
    child,
    config_members,
    describe,
    fields_of,
    is_config,
    is_optional,
    is_union,
    members,
    nearest,
    tag_of,
    unknown_key,
)

_SUBJECT = re.compile(r"(?:'?([A-Za-z_][A-Za-z0-9_.]*)'?:? )?(.*)")

T = TypeVar("T")
Hook = Callable[[Any, Any], Any]


class _MismatchError(ValueError):
    """A value of the wrong type; `key` names the entry of the table that is to blame, if it is not the table."""

    def __init__(self, message: str, key: str | None = None) -> None:
        self.key = key
        super().__init__(message)


def load_config(cls: type[T], document: Mapping[str, Any], source: str = "") -> T:
    """Make a config object of a document, or say everything that is wrong with the document.

    Types are strict: an integer is accepted for a number and nothing else is converted. A table that is given in part
    is completed from the default of the field that holds it; a table of another `kind` than that default, from the
    defaults of its own class. `None` is written `"none"` where the type allows None.

    Args:
        cls: A frozen attrs class (see the package's README for the types its fields may have).
        document: What `tomllib` reads from a file: str, int, float, bool, list, dict.
        source: Where the document comes from, for messages.

    Raises:
        ConfigError: With all problems: unknown keys, wrong types, missing values, values that a validator refuses.
    """
    completed = complete(default_document(cls), document)
    try:
        return _converter().structure(completed, cls)
    except (BaseValidationError, ValueError) as error:
        problems = tuple(_problems(error, "$"))
    raise ConfigError([attrs.evolve(problem, source=source) for problem in problems])


def to_document(value: Any) -> Any:
    """Return a config object as plain data, with the `kind` of every tagged class; None stays None."""
    if attrs.has(type(value)):
        cls = type(value)
        tag = tag_of(cls)
        entries = {name: to_document(getattr(value, name)) for name in fields_of(cls)}
        return entries if tag is None else {TAG: tag, **entries}
    if isinstance(value, tuple):
        return [to_document(item) for item in value]
    return value


def default_document(cls: type) -> dict[str, Any]:
    """Return what the fields of a class are when nothing is given; fields without a default are left out."""
    tag = tag_of(cls)
    entries: dict[str, Any] = {} if tag is None else {TAG: tag}
    for field in fields_of(cls).values():
        if field.default is not attrs.NOTHING:
            entries[field.name] = to_document(field.default)
    return entries


def complete(default: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the given entries over those of the default, table by table; a table of another kind stands alone."""
    if TAG in default and given.get(TAG, default[TAG]) != default[TAG]:
        return dict(given)
    merged = dict(default)
    for key, value in given.items():
        below = default.get(key)
        both = isinstance(value, Mapping) and isinstance(below, Mapping)
        merged[key] = complete(below, value) if both else value  # type: ignore[arg-type]
    return merged


@functools.cache
def _converter() -> Converter:
    converter = Converter(detailed_validation=True, forbid_extra_keys=True)
    for primitive in (int, float, bool):
        converter.register_structure_hook(primitive, _structure_primitive)
    converter.register_structure_hook(str, _structure_text)
    converter.register_structure_hook_func(_is(Literal), _structure_literal)
    converter.register_structure_hook_func(lambda kind: kind is type(None), _structure_none)
    converter.register_structure_hook_func(_is(tuple), functools.partial(_structure_tuple, converter))
    converter.register_structure_hook_func(is_union, functools.partial(_structure_union, converter))
    converter.register_structure_hook_factory(is_config, functools.partial(_class_hook, converter))
    return converter


def _is(origin: Any) -> Callable[[Any], bool]:
    return lambda kind: typing.get_origin(kind) is origin


def _expected(kind: Any, value: Any) -> _MismatchError:
    return _MismatchError(f"expected {describe(kind)}, got {show(value)}")


def _structure_primitive(value: Any, kind: Any) -> Any:
    if type(value) is kind:
        return value
    if kind is float and type(value) is int:
        try:
            return float(value)
        except OverflowError:
            pass
    raise _expected(kind, value)


def _structure_text(value: Any, kind: Any) -> str:
    if not isinstance(value, str):
        raise _expected(kind, value)
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        raise _MismatchError(f"expected text that can be written as UTF-8, got {show(value)}") from None
    return value


def _structure_literal(value: Any, kind: Any) -> Any:
    for allowed in typing.get_args(kind):
        if type(value) is type(allowed) and value == allowed:
            return allowed
    hint = ""
    if isinstance(value, str):
        close = nearest(value, [str(allowed) for allowed in typing.get_args(kind)])
        hint = f"; {close}" if close.startswith("did") else ""
    raise _MismatchError(f"expected {describe(kind)}, got {show(value)}{hint}")


def _structure_none(value: Any, kind: Any) -> None:
    if value is not None and value != NONE:
        raise _expected(kind, value)


def _structure_tuple(converter: Converter, value: Any, kind: Any) -> tuple[Any, ...]:
    args = typing.get_args(kind)
    if not isinstance(value, (list, tuple)):
        raise _expected(kind, value)
    if len(args) == 2 and args[1] is Ellipsis:
        args = (args[0],) * len(value)
    if len(args) != len(value):
        raise _MismatchError(f"expected {describe(kind)}, got {len(value)}: {show(value)}")
    items: list[Any] = []
    errors: list[Exception] = []
    for index, (item, item_kind) in enumerate(zip(value, args, strict=True)):
        try:
            items.append(converter.structure(item, item_kind))
        except Exception as error:
            error.add_note(IterableValidationNote(f"item {index}", index, item_kind))
            errors.append(error)
    if errors:
        raise IterableValidationError("items", errors, kind)
    return tuple(items)


def _structure_union(converter: Converter, value: Any, kind: Any) -> Any:
    classes = config_members(kind)
    if is_optional(kind) and (value is None or value == NONE):
        return None
    if isinstance(value, Mapping) and classes:
        return converter.structure(value, _choose(classes, value))
    others = [member for member in members(kind) if not is_config(member) and member is not type(None)]
    for member in sorted(others, key=lambda member: member is not type(value)):  # an exact type comes first
        try:
            return converter.structure(value, member)
        except (BaseValidationError, ValueError):
            if len(others) == 1 and typing.get_origin(member) is tuple and isinstance(value, list):
                raise  # a list was meant: its own error is the better one
    hint = f"; a kind goes inside the table: {TAG} = {show(value)}" if value in list(classes) else ""
    raise _MismatchError(f"expected {describe(kind)}, got {show(value)}{hint}")


def _choose(classes: Mapping[str, type], value: Mapping[str, Any]) -> type:
    if len(classes) == 1:
        return next(iter(classes.values()))
    kinds = ", ".join(show(tag) for tag in classes)
    if TAG not in value:
        raise _MismatchError(f"missing; expected one of {kinds}", TAG)
    tag = value[TAG]
    if not isinstance(tag, str) or tag not in classes:
        hint = nearest(str(tag), classes)
        hint = f"; {hint}" if hint.startswith("did") else ""
        raise _MismatchError(f"expected one of {kinds}, got {show(tag)}{hint}", TAG)
    return classes[tag]


def _class_hook(converter: Converter, cls: type) -> Hook:
    """Return a hook that finds everything: what is wrong with each field, and with those together that are not wrong.

    A hook that cattrs generates would not hold rules across fields against a class that has one wrong field.
    """

    def hook(value: Any, kind: Any) -> Any:
        if not isinstance(value, Mapping):
            raise _expected(kind, value)
        tag = tag_of(cls)
        if tag is not None and TAG in value:
            if value[TAG] != tag:
                raise _MismatchError(f"expected {show(tag)}, got {show(value[TAG])}", TAG)
            value = {key: entry for key, entry in value.items() if key != TAG}
        structured, errors = _structure_fields(converter, cls, value)
        if not errors:
            try:
                return cls(**structured)
            except ValueError as error:
                errors = [error]
        else:
            errors += [ValueError(problem) for problem in failures(cls, structured)]
        raise ClassValidationError(f"While structuring {cls.__name__}", errors, cls)

    return hook


def _structure_fields(
    converter: Converter, cls: type, value: Mapping[str, Any]
) -> tuple[dict[str, Any], list[Exception]]:
    """Return the fields that are right, defaults included, and what is wrong with the others."""
    structured: dict[str, Any] = {}
    errors: list[Exception] = []
    for name, field in fields_of(cls).items():
        try:
            structured[name] = _structure_field(converter, field, value)
        except (BaseValidationError, ValueError, KeyError, TypeError, ArithmeticError) as error:
            error.add_note(AttributeValidationNote(f"field {name}", name, field.type))
            errors.append(error)
    extra = value.keys() - fields_of(cls).keys()
    if extra:
        errors.append(ForbiddenExtraKeysError("", cls, extra))
    return structured, errors


def _structure_field(converter: Converter, field: Field, value: Mapping[str, Any]) -> Any:
    """Structure a field and run its validator: a constructor stops at the first bad field."""
    if field.name not in value:
        if field.default is attrs.NOTHING:
            raise KeyError(field.name)
        return field.default
    structured = converter.structure(value[field.name], field.type)
    validator = field.attribute.validator
    if validator is not None:
        with contextlib.suppress(AttributeError):  # it looks at other fields: it has to wait for the constructor
            validator(None, field.attribute, structured)
    return structured


def _problems(error: BaseException, path: str, cls: Any = None) -> Iterator[Problem]:
    if isinstance(error, BaseValidationError):
        for below in error.exceptions:
            step = _step(below)
            yield from _problems(below, path + step, None if step else error.cl)
    elif isinstance(error, ForbiddenExtraKeysError):
        known = [*([TAG] if tag_of(error.cl) else []), *fields_of(error.cl)]
        for extra in sorted(error.extra_fields, key=str):
            yield Problem(child(path, str(extra)), unknown_key(str(extra), known))
    elif isinstance(error, ChecksError):
        for problem in error.problems:
            yield _blame(problem, path, cls)
    elif isinstance(error, KeyError):
        yield Problem(path, "missing, and it has no default")
    elif isinstance(error, (ValueError, TypeError, ArithmeticError)):
        key = getattr(error, "key", None)
        yield _blame(_message(error), path if key is None else child(path, key), cls)
    else:
        raise error  # a defect of the config class


def _blame(message: str, path: str, cls: Any) -> Problem:
    """Move the name that a message begins with, `lr: expected ...` or `data.height is ...`, into the path.

    A validator names its own field, which the path ends with already; the constructor of `cls` names one of its fields
    or one below it.
    """
    subject, rest = _SUBJECT.fullmatch(message).groups()  # type: ignore[union-attr]
    if subject and cls is None and path.endswith(f".{subject}"):
        return Problem(path, rest)
    names = subject.split(".") if subject else []
    if names and _leads_somewhere(cls, names):
        return Problem(functools.reduce(child, names, path), rest)
    return Problem(path, message)


def _leads_somewhere(kind: Any, names: Sequence[str]) -> bool:
    if not names:
        return True
    fields = (fields_of(cls).get(names[0]) for cls in config_members(kind).values())
    return any(field is not None and _leads_somewhere(field.type, names[1:]) for field in fields)


def _step(error: BaseException) -> str:
    for note in getattr(error, "__notes__", ()):
        if isinstance(note, AttributeValidationNote):
            return child("", note.name)
        if isinstance(note, IterableValidationNote):
            return child("", note.index)
    return ""


def _message(error: BaseException) -> str:
    """Return an error's text in one line; attrs' own validators put it first among several arguments."""
    text = error.args[0] if error.args and isinstance(error.args[0], str) else str(error)
    return " ".join(text.split()) or type(error).__name__
