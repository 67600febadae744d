from __future__ import annotations

from typing import Any, ClassVar

import attrs
import pytest
from vs_config import ConfigError, apply_overrides, resolve_config


@attrs.frozen(kw_only=True)
class Adam:
    lr: float = 1e-3
    betas: tuple[float, ...] = (0.5, 0.9)


@attrs.frozen(kw_only=True)
class Street:
    kind: ClassVar[str] = "street"
    height: int = 64
    cars: int = 3


@attrs.frozen(kw_only=True)
class Folder:
    kind: ClassVar[str] = "folder"
    root: str
    height: int = 512
    cache: Adam | None = None


@attrs.frozen(kw_only=True)
class Toy:
    name: str = ""
    adam: Adam = Adam(lr=4e-4)
    data: Street | Folder = attrs.field(factory=lambda: Street(cars=9))
    held_out: Street | Folder | None = None
    only: Street = attrs.field(factory=Street)


def resolve(*overrides: str, document: dict[str, Any] | None = None) -> Toy:
    return resolve_config(Toy, document or {}, overrides, "file")


def problems(*overrides: str, document: dict[str, Any] | None = None) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        resolve(*overrides, document=document)
    return [str(problem).removeprefix("command line: ") for problem in caught.value.problems]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3", 3),
        ("1e-4", 1e-4),
        (" 0x10 ", 16),
        ("true", True),
        ("True", "True"),
        ("inf", float("inf")),
        ("some text", "some text"),
        ("", ""),
        ('"3"', "3"),
        ("a=b", "a=b"),
        ("/clips/night#2", "/clips/night#2"),
        ("2024-05-01", "2024-05-01"),
        ("1\nname = 2", "1\nname = 2"),
        ("[1, 2]", [1, 2]),
        ("none", "none"),
    ],
)
def test_values_are_toml_or_else_bare_text(text: str, value: object) -> None:
    assert apply_overrides(Toy, {}, [f"name={text}"]) == {"name": value}


def test_paths_lead_through_tables_and_leave_the_document_alone() -> None:
    document = {"adam": {"lr": 1.0}, "data": {"height": 32}}
    changed = apply_overrides(Toy, document, ["adam.betas=[0, 1]", "$.name=x", "data.cars=1", "adam.lr=2", "adam.lr=3"])
    assert changed == {"adam": {"lr": 3, "betas": [0, 1]}, "data": {"height": 32, "cars": 1}, "name": "x"}
    assert document == {"adam": {"lr": 1.0}, "data": {"height": 32}}


def test_one_overridden_field_leaves_its_siblings_at_the_default_of_the_tree() -> None:
    assert resolve("adam.betas=[0.1]") == Toy(adam=Adam(lr=4e-4, betas=(0.1,)))
    assert resolve("data.height=16") == Toy(data=Street(cars=9, height=16))
    assert resolve("data.kind=street") == Toy()


def test_switching_the_kind_starts_from_the_defaults_of_the_new_kind() -> None:
    document = {"data": {"kind": "street", "height": 32, "cars": 1}}
    assert resolve("data.root=r", "data.kind=folder", document=document).data == Folder(root="r", height=512)
    assert resolve("data.kind=street", document=document).data == Street(height=32, cars=1)
    assert resolve("data.kind=folder", "data.root=r", "data.cache.lr=2").data == Folder(root="r", cache=Adam(lr=2.0))


def test_keys_of_the_other_kind_are_refused() -> None:
    assert problems("data.kind=folder", "data.root=r", "data.cars=3") == [
        "data.cars: unknown key for kind 'folder'; it belongs to kind 'street'"
    ]
    assert problems("data.root=r") == ["data.root: unknown key for kind 'street'; it belongs to kind 'folder'"]


def test_a_whole_table_can_be_given_and_changed_further() -> None:
    assert resolve('data={kind = "folder", root = "r"}', "data.height=8").data == Folder(root="r", height=8)
    assert resolve("held_out.height=8", "held_out.kind=street").held_out == Street(height=8)


def test_optional_tables_can_be_made_and_removed() -> None:
    document = {"held_out": {"kind": "street"}}
    assert resolve("held_out=none", document=document).held_out is None
    assert resolve("held_out.kind=street", document={"held_out": "none"}).held_out == Street()


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("adam", "expected dotted.path=value, got 'adam'"),
        ("=3", "expected dotted.path=value, got '=3'"),
        ("adam..lr=3", "expected dotted.path=value, got 'adam..lr=3'"),
        ("adm.lr=3", "adm: unknown key; did you mean 'adam'?"),
        ("adam.rate=3", "adam.rate: unknown key; valid keys: lr, betas"),
        ("data.carz=3", "data.carz: unknown key; did you mean 'cars'?"),
        ("adam.lr.x=3", "adam.lr: takes a number; there is nothing below it to set"),
        ("adam.betas.0=3", "adam.betas: takes a list (each item a number); there is nothing below it to set"),
        ("adam.betas=[1", "adam.betas: '[1' is not TOML"),
        ("adam.lr=fast", "adam.lr: expected a number, got 'fast'"),
        ("adam=3", "adam: expected a table, got 3"),
        ("data.kind=foldr", "data.kind: expected one of 'street', 'folder', got 'foldr'"),
        ("only.kind=folder", "only.kind: expected 'street', got 'folder'"),
        ("held_out.height=3", "held_out.kind: missing; expected one of 'street', 'folder'"),
        ("adam.kind=x", "adam.kind: unknown key; valid keys: lr, betas"),
    ],
)
def test_each_bad_override_is_named(override: str, message: str) -> None:
    (problem,) = problems(override)
    assert problem.startswith(message)


def test_all_bad_overrides_are_reported_together() -> None:
    assert len(problems("x", "adm.lr=3", "adam.lrr=1", "name=ok")) == 3


def test_a_table_that_the_document_spoils_is_left_for_the_loader_to_report() -> None:
    assert problems("adam.lr=3", document={"adam": 7}) == ["file: adam: expected a table, got 7"]
    assert problems("data.height=3", document={"data": {"kind": "x"}}) == [
        "data.kind: expected one of 'street', 'folder', got 'x'"
    ]
