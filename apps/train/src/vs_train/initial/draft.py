"""A configuration in the making: a preset's settings, and what was chosen in their place, each with its reason."""

from collections.abc import Iterable, Mapping
from typing import Any

import attrs
from vs_config import resolve_config
from vs_training.config import TrainConfig
from vs_training.presets import Preset


@attrs.frozen(kw_only=True)
class Choice:
    """A value that was chosen.

    Attributes:
        path: Of the setting, dotted.
        value: Plain data.
        why: The reason, in a few words.
    """

    path: str
    value: Any
    why: str = ""


@attrs.frozen(kw_only=True)
class Draft:
    """A configuration that trains.

    Attributes:
        preset: What was not chosen is this one's.
        why: Why it is this one.
        document: All settings, as plain data.
        config: The same, as training takes it.
        choices: What was chosen, in the order of the document.
        questions: What could not be told of the data.
    """

    preset: Preset
    why: str
    document: Mapping[str, Any]
    config: TrainConfig
    choices: tuple[Choice, ...]
    questions: tuple[str, ...]


def drafted(preset: Preset, choices: Iterable[Choice]) -> dict[str, Any]:
    """Return the settings of a preset for the data that was chosen: `data` is new, other tables keep what is not."""
    document: dict[str, Any] = {**preset.document, "data": {}}
    for choice in choices:
        document = _placed(document, choice.path.split("."), choice.value)
    return document


def _placed(table: Mapping[str, Any], path: list[str], value: Any) -> dict[str, Any]:
    key, *below = path
    return {**table, key: _placed(table.get(key, {}), below, value) if below else value}


def resolved(document: Mapping[str, Any]) -> TrainConfig:
    """Return the configuration that a document says.

    Raises:
        ConfigError: it says none.
    """
    return resolve_config(TrainConfig, document, [], "the configuration")
