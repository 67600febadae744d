"""Presets: named configurations that ship with this package, as TOML files in `vs_training/presets/`."""

from collections.abc import Mapping
from importlib import resources
from importlib.resources.abc import Traversable
from typing import Any

import attrs
from vs_config import nearest, parse_toml

from vs_training.errors import PresetError
from vs_training.kinds import DEFAULT_KIND, generator_kind

DEFAULT_PRESETS: Mapping[str, str] = {"vid2vid": "street-tiny", "few-shot": "faces-tiny"}
"""What each command trains when it is not told what."""


@attrs.frozen(kw_only=True)
class Preset:
    """A named configuration.

    Attributes:
        name: The file's name without `.toml`.
        description: The comment that the file begins with, without the `#`s.
        text: The file.
    """

    name: str
    description: str
    text: str

    @property
    def document(self) -> Mapping[str, Any]:
        """Return the file's contents."""
        return parse_toml(self.text, f"preset {self.name}")

    @property
    def command(self) -> str:
        """Return the command that trains it: the kind of its generator, `vid2vid` or `few-shot`."""
        return generator_kind(self.document) or DEFAULT_KIND

    @property
    def summary(self) -> str:
        """Return the description's first sentence or paragraph, in one line."""
        return " ".join(self.description.partition("\n\n")[0].split())


def list_presets(directory: Traversable | None = None) -> tuple[Preset, ...]:
    """Return the presets by name; `directory` is this package's own unless given."""
    directory = resources.files("vs_training").joinpath("presets") if directory is None else directory
    if not directory.is_dir():
        return ()
    files = sorted((file for file in directory.iterdir() if file.name.endswith(".toml")), key=lambda file: file.name)
    return tuple(_read(file) for file in files)


def read_preset(name: str, directory: Traversable | None = None) -> Preset:
    """Return one preset.

    Raises:
        PresetError: There is none of that name.
    """
    presets = {preset.name: preset for preset in list_presets(directory)}
    if name not in presets:
        message = f"there is no preset '{name}'; {nearest(name, presets, 'presets')}"
        raise PresetError(message, name=name, known=tuple(presets))
    return presets[name]


def _read(file: Traversable) -> Preset:
    text = file.read_text("utf-8")
    return Preset(name=file.name.removesuffix(".toml"), description=_leading_comment(text), text=text)


def _leading_comment(text: str) -> str:
    lines: list[str] = []
    for line in text.splitlines():
        if not line.startswith("#"):
            break
        lines.append(line[1:].removeprefix(" ").rstrip())
    return "\n".join(lines).strip()
