"""A run's configuration beside presets and beside other runs': what is otherwise, by dotted path."""

import shlex
from collections.abc import Iterator, Mapping
from typing import Any

import attrs
from vs_config import ConfigError, load_config, resolve_config, show, to_document
from vs_training.config import TrainConfig
from vs_training.presets import Preset, list_presets

from vs_eval.report import Table

LONGEST = 200
"""Characters of a value that are shown."""


@attrs.frozen(kw_only=True)
class Difference:
    """A setting that differs.

    Attributes:
        path: its name.
        before: its value in one configuration, as it is written in a file; a dash where there is none.
        after: that in the other.
        override: the argument of a command line that changes it.
    """

    path: str
    before: str
    after: str
    override: str


@attrs.frozen(kw_only=True)
class Origin:
    """The preset that a configuration is nearest to, and what is otherwise."""

    preset: Preset
    differences: tuple[Difference, ...]

    def command_for(self, config: TrainConfig) -> str | None:
        """Return what trains the same again by changes to the preset; None where they do not come to the same."""
        changes = [one.override for one in self.differences]
        try:
            if resolve_config(TrainConfig, self.preset.document, changes, self.preset.name) != config:
                return None
        except ConfigError:
            return None
        return " ".join(
            [f"hatch run train:{self.preset.command} --preset {self.preset.name}", *map(shlex.quote, changes)]
        )


def settings_of(config: TrainConfig) -> dict[str, Any]:
    """Return all settings by their dotted paths."""
    return dict(_flat(to_document(config), ""))


def differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[Difference, ...]:
    """Return what differs between the settings of two configurations."""
    paths = dict.fromkeys((*before, *after))
    return tuple(
        Difference(path=path, before=written(before, path), after=written(after, path), override=_override(after, path))
        for path in paths
        if before.get(path, _NOTHING) != after.get(path, _NOTHING)
    )


def nearest_preset(config: TrainConfig) -> Origin | None:
    """Return the preset for the same kind of generator that differs least; None: no preset is of that kind."""
    own = settings_of(config)
    origins = [
        Origin(preset=preset, differences=differences(settings_of(known), own))
        for preset in list_presets()
        if (known := _configuration(preset)) is not None and known.generator.kind == config.generator.kind
    ]
    return min(origins, key=lambda origin: len(origin.differences), default=None)


def difference_table(found: tuple[Difference, ...], title: str, before: str, after: str) -> Table:
    """Return a table of differences."""
    rows = tuple((one.path, one.before, one.after) for one in found)
    return Table(title=title, heads=("setting", before, after), rows=rows)


_NOTHING = object()


def _override(settings: Mapping[str, Any], path: str) -> str:
    """Return the argument of a command line that sets a setting; texts need no quotes there."""
    match settings.get(path):
        case str(text):
            return f"{path}={text}"
        case _:
            return f"{path}={written(settings, path)}"


def _configuration(preset: Preset) -> TrainConfig | None:
    try:
        return load_config(TrainConfig, preset.document, preset.name)
    except ConfigError:  # a preset that wants more than its name, such as a folder
        return None


def _flat(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    match value:
        case Mapping() if value:
            for name, below in value.items():
                yield from _flat(below, f"{path}.{name}" if path else str(name))
        case _:
            yield path, value


def written(settings: Mapping[str, Any], path: str) -> str:
    """Return a setting as it is written in a file, or a dash where there is none."""
    return show(settings[path], LONGEST) if path in settings else "–"
