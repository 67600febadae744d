"""From plain data (a TOML document) to config objects: strict, complete, and with every problem at its path.

Each hook raises a `ConfigError` whose paths begin at the value that it was given; whoever called it puts the path of
that value in front.
"""

import contextlib
import functools
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import attrs
from cattrs import Converter

from vs_config.checks import failures
from vs_config.errors import ConfigError, Problem, refuse, refuse_choice
from vs_config.names import child, one_of, unknown_key
from vs_config.schema import (
    NONE,
    TAG,
    Field,
    config_members,
    describe,
    fields_of,
    is_among,
    is_config,
    is_literal,
    is_optional,
    is_tuple,
    is_union,
    item_kinds,
    members,
    tag_of,
)
from vs_config.text import show

T = TypeVar("T")
Hook = Callable[[Any, Any], Any]


def load_config(cls: type[T], document: Mapping[str, Any], source: str = "") -> T:
    """Make a config object of a document, or say everything that is wrong with the document.

    Types are strict: an integer is accepted for a number and nothing else is converted. A table that is given in part
    is completed from the default of the field that holds it; a table of another `kind` than that default, from the
    defaults of its own class. Names of earlier versions, as `RENAMED` of the class lists them (path -> name now), are
    read as what they are called now. `None` is written `"none"` where the type allows None.

    Args:
        cls: A frozen attrs class (see the package's README for the types its fields may have).
        document: What `tomllib` reads from a file: str, int, float, bool, list, dict.
        source: Where the document comes from, for messages.

    Raises:
        ConfigError: With all problems: unknown keys, wrong types, missing values, values that a validator refuses.
    """
    completed = complete(default_document(cls), with_current_names(cls, document))
    try:
        return _converter().structure(completed, cls)
    except ConfigError as error:
        raise ConfigError([attrs.evolve(problem, source=source) for problem in error.problems]) from None


def with_current_names(cls: type, document: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a document with the names of today; an old name beside its new one stays, an unknown key."""
    for (*path, old), new in _renamed(cls).items():
        document = _with_new_name(document, path, old, new)
    return document


def current_path(cls: type, names: tuple[str, ...]) -> tuple[str, ...]:
    """Return the path of a field as it is called today."""
    new = _renamed(cls).get(names)
    return names if new is None else (*names[:-1], new)


def _renamed(cls: type) -> dict[tuple[str, ...], str]:
    renamed: Mapping[str, str] = getattr(cls, "RENAMED", {})
    return {tuple(path.split(".")): name for path, name in renamed.items()}


def _with_new_name(table: Mapping[str, Any], path: Sequence[str], old: str, new: str) -> Mapping[str, Any]:
    if not path:
        known = old not in table or new in table
        return table if known else {new if key == old else key: value for key, value in table.items()}
    match table.get(path[0]):
        case Mapping() as below:
            return {**table, path[0]: _with_new_name(below, path[1:], old, new)}
        case _:
            return table


def to_document(value: Any) -> Any:
    """Return a config object as plain data, with the `kind` of every tagged class; None stays None."""
    cls = type(value)
    if attrs.has(cls):
        tag = tag_of(cls)
        entries = {field.name: to_document(field.of(value)) for field in fields_of(cls).values()}
        return entries if tag is None else {TAG: tag, **entries}
    return [to_document(item) for item in value] if cls is tuple else value


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
        match default.get(key), value:
            case Mapping() as below, Mapping():
                merged[key] = complete(below, value)
            case _:
                merged[key] = value
    return merged


@functools.cache
def _converter() -> Converter:
    converter = Converter()
    for primitive in (int, float, bool):
        converter.register_structure_hook(primitive, _structure_primitive)
    converter.register_structure_hook(str, _structure_text)
    converter.register_structure_hook_func(is_literal, _structure_literal)
    converter.register_structure_hook_func(lambda kind: kind is type(None), _structure_none)
    converter.register_structure_hook_func(is_tuple, functools.partial(_structure_tuple, converter))
    converter.register_structure_hook_func(is_union, functools.partial(_structure_union, converter))
    converter.register_structure_hook_factory(is_config, functools.partial(_class_hook, converter))
    return converter


@contextlib.contextmanager
def _gathered(problems: list[Problem], path: str = "", owner: str | None = None) -> Iterator[None]:
    """Add what is wrong to `problems`, so that what comes next is looked at too.

    Args:
        problems: What was found so far.
        path: Where the paths of a `ConfigError` begin.
        owner: Where other errors belong, which validators and constructors raise that know nothing of this package;
            `path` unless given.
    """
    try:
        yield
    except ConfigError as error:
        problems += [problem.below(path) for problem in error.problems]
    except (ValueError, TypeError, ArithmeticError) as error:
        text = next((arg for arg in error.args if type(arg) is str), str(error))  # attrs' validators have several
        problems.append(Problem(path if owner is None else owner, " ".join(text.split()) or type(error).__name__))


def _structure_primitive(value: Any, kind: Any) -> Any:
    if type(value) is kind:
        return value
    if kind is float and type(value) is int:
        with contextlib.suppress(OverflowError):
            return float(value)
    raise refuse("", describe(kind), value)


def _structure_text(value: Any, _kind: Any) -> str:
    match value:
        case str():
            try:
                value.encode("utf-8")
            except UnicodeEncodeError:
                raise refuse("", "text that can be written as UTF-8", value) from None
            return value
        case _:
            raise refuse("", describe(str), value)


def _structure_literal(value: Any, kind: Any) -> Any:
    choices = typing.get_args(kind)
    if not is_among(value, choices):
        raise refuse_choice("", choices, value)
    return value


def _structure_none(value: Any, kind: Any) -> None:
    if value is not None and value != NONE:
        raise refuse("", describe(kind), value)


def _structure_tuple(converter: Converter, value: Any, kind: Any) -> tuple[Any, ...]:
    kinds = item_kinds(kind, len(value)) if type(value) in (list, tuple) else None
    if kinds is None:
        raise refuse("", describe(kind), value)
    items: list[Any] = []
    problems: list[Problem] = []
    for index, (item, item_kind) in enumerate(zip(value, kinds, strict=True)):
        with _gathered(problems, child("", index)):
            items.append(converter.structure(item, item_kind))
    if problems:
        raise ConfigError(problems)
    return tuple(items)


def _structure_union(converter: Converter, value: Any, kind: Any) -> Any:
    if is_optional(kind) and (value is None or value == NONE):
        return None
    classes = config_members(kind)
    match value:
        case Mapping() if classes:
            return converter.structure(value, class_of(classes, value.get(TAG)))
    others = [member for member in members(kind) if not is_config(member) and member is not type(None)]
    for member in sorted(others, key=lambda member: member is not type(value)):  # an exact type comes first
        try:
            return converter.structure(value, member)
        except ValueError:
            if len(others) == 1 and is_tuple(member) and type(value) is list:
                raise  # a list was meant: its own error is the better one
    hint = f"a kind goes inside the table: {TAG} = {show(value)}" if is_among(value, classes) else ""
    raise refuse("", describe(kind), value, hint)


def class_of(classes: Mapping[str, type], tag: Any, path: str = "") -> type:
    """Return the class of the table at a path by its `kind`; the only class needs none.

    Raises:
        ConfigError: The kind is missing (None), or there is none of that name.
    """
    if len(classes) == 1:
        return next(iter(classes.values()))
    if tag is None:
        raise ConfigError([Problem(child(path, TAG), f"missing; expected {one_of(classes)}")])
    if not is_among(tag, classes):
        raise refuse_choice(child(path, TAG), classes, tag)
    return classes[tag]


def _class_hook(converter: Converter, cls: type) -> Hook:
    """Return a hook that finds everything: what is wrong with each field, and with those together that are not wrong.

    A hook that cattrs generates would not hold rules across fields against a class that has one wrong field.
    """

    def hook(value: Any, _kind: Any) -> Any:
        structured, problems = _structure_fields(converter, cls, _without_tag(cls, value))
        problems += failures(cls, structured)
        made = None
        if not problems:
            with _gathered(problems):
                made = cls(**structured)
        if problems:
            raise ConfigError(problems)
        return made

    return hook


def _without_tag(cls: type, value: Any) -> Mapping[str, Any]:
    """Return the entries of a table that fields of the class are to take."""
    match value:
        case Mapping():
            tag = tag_of(cls)
            if tag is None or TAG not in value:
                return value
            if value[TAG] != tag:
                raise refuse_choice(TAG, [tag], value[TAG])
            return {key: entry for key, entry in value.items() if key != TAG}
        case _:
            raise refuse("", describe(cls), value)


def _structure_fields(
    converter: Converter, cls: type, table: Mapping[str, Any]
) -> tuple[dict[str, Any], list[Problem]]:
    """Return the fields that are right, by attribute, defaults included, and what is wrong with the others."""
    structured: dict[str, Any] = {}
    problems: list[Problem] = []
    for field in fields_of(cls).values():
        found: list[Problem] = []
        value = _structure_field(converter, field, table, found)
        if found:
            problems += found
        else:
            structured[field.attribute.name] = value
    known = [*([TAG] if tag_of(cls) else []), *fields_of(cls)]
    unknown = sorted(str(key) for key in table if key not in fields_of(cls))
    problems += [Problem(child("", key), unknown_key(key, known)) for key in unknown]
    return structured, problems


def _structure_field(converter: Converter, field: Field, table: Mapping[str, Any], problems: list[Problem]) -> Any:
    """Structure a field and run its validator: a constructor stops at the first bad field."""
    if field.name not in table:
        if field.default is attrs.NOTHING:
            problems.append(Problem(field.name, "missing, and it has no default"))
        return field.default
    value = None
    with _gathered(problems, field.name):
        value = converter.structure(_as_given(table[field.name], field), field.type)
    problems[:] = [_as_field_says(problem, field) for problem in problems]
    validator: Any = field.attribute.validator
    if validator is not None and not problems:
        with contextlib.suppress(AttributeError), _gathered(problems, "", field.name):
            validator(None, field.attribute, value)  # one that looks at other fields has to wait for the constructor
    return value


def _as_given(value: Any, field: Field) -> Any:
    """Return what a document says of a field, a table in part with what the field's default says of the rest."""
    if field.numbered:
        return _as_pairs(value)
    match value:
        case Mapping() if attrs.has(type(field.default)):
            return complete(to_document(field.default), value)
        case _:
            return value


def _as_pairs(value: Any) -> Any:
    """Return a table of numbers by numbers as a list of pairs; keys of TOML are texts."""
    match value:
        case Mapping():
            return [[int(key) if str(key).isdecimal() else key, number] for key, number in value.items()]
        case _:
            return value


def _as_field_says(problem: Problem, field: Field) -> Problem:
    """Say of a value of the wrong type what its field takes, where the type alone would say less."""
    own = problem.path == field.name and problem.expected == describe(field.type)
    return attrs.evolve(problem, expected=field.allowed) if own else problem
