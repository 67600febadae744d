"""Random mutations of the presets and random overrides: a valid configuration or lines, and never anything else."""

import pytest
from config_classes import classes_below
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from vs_config import ConfigError, parse_toml, render_config, resolve_config, shown
from vs_config.schema import fields_of, members
from vs_training.config import TrainConfig
from vs_training.presets import list_presets

TEXTS = [preset.text for preset in list_presets()]
NAMES = [*sorted({name for cls in classes_below(TrainConfig) for name in fields_of(cls)}), "kind", "x", "", "é", "a b"]
VALUES = [
    *("0", "-1", "1", "3", "1e400", "nan", "inf", "-inf", "true", "none", '"none"', "9" * 5000, "0x" + "f" * 5000),
    *("10" * 15, "1.5", "''", '"a"', "[]", "[[]]", "{}", "{kind = 1}", "{kind = 'folder'}", "2026-01-01", "07:30:00"),
    *("[1, 2, 3]", "[0.5, 0.9]", "{=", "[" * 900, '"C:\\Users"', '"C:\\temp"', "folder", "few-shot", "\0", "\udcff"),
    *("0.1e-30", "a\nb = 3", "1979-05-27T07:32:00Z", "file", "spade", "step", "constant", "linear", "random"),
]
PIECES = ["[", "]", '"', "'", "=", ".", "\\", "\n", "#", "{", "}", "\0", "1e999", "kind = 3\n", "[data]\n", "[[run]]\n"]
paths = st.lists(st.sampled_from(NAMES), min_size=1, max_size=4).map(".".join)
overrides = st.lists(st.builds("{}={}".format, paths, st.sampled_from(VALUES)), max_size=4)


def outcome(text: str, changes: list[str]) -> TrainConfig | None:
    try:
        return resolve_config(TrainConfig, parse_toml(text, "c.toml"), changes, "c.toml")
    except ConfigError as error:
        lines = [shown(problem) for problem in error.problems]
        assert lines
        assert all(lines)
        return None


def changed(text: str, place: float, cut: int, piece: str) -> str:
    at = int(place * len(text))
    return text[:at] + piece + text[at + cut :]


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.sampled_from(TEXTS),
    st.floats(0, 1),
    st.integers(0, 30),
    st.sampled_from(["", *PIECES, *VALUES]),
    overrides,
)
def test_a_mutated_preset_is_a_configuration_or_lines(
    text: str, place: float, cut: int, piece: str, changes: list[str]
) -> None:
    for config in (outcome(changed(text, place, cut, piece), []), outcome(text, changes)):
        if config is not None:
            written = render_config(config)
            written.encode("utf-8")
            assert resolve_config(TrainConfig, parse_toml(written, ""), [], "") == config


LEAVES = [
    (name, field)
    for name, table in fields_of(TrainConfig).items()
    for kind in members(table.type)
    if hasattr(kind, "__attrs_attrs__")
    for field in fields_of(kind).values()
    for name, field in [(f"{name}.{field.name}", field)]
]


@pytest.mark.parametrize("value", VALUES)
def test_every_field_takes_every_value_or_refuses_it_in_lines(value: str) -> None:
    for name, _ in LEAVES[:: max(1, len(LEAVES) // 25)]:
        outcome(TEXTS[-1], [f"{name}={value}"])
