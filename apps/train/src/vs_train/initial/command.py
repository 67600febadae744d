"""`data:init`: from data that somebody names to a configuration in a file, what was chosen, and what to type next."""

import os
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from vs_config import annotated, option_path, show, shown
from vs_config.progress import show_progress
from vs_data import check_command
from vs_data.labels import said_of, word_of
from vs_data.survey import Survey, place_at, survey
from vs_runtime.files import write_atomically
from vs_training.errors import VsTrainingError

from vs_train.initial.choosing import draft
from vs_train.initial.draft import Choice, Draft

_COLUMNS = (12, 22)  # characters of what was chosen, and of its value


def run_init(source: str, out: str, preset: str | None) -> int:
    """Look at some data, write a configuration that trains on it, and say what was chosen and what to type next.

    Raises:
        VsTrainingError: there is such a file already, it cannot be written, or the pictures are too small.
        VsDataError: there is no data that can be read.
        PresetError: there is no such preset.
    """
    path = _new_file(out)
    with show_progress("looking at labels", unit="folders") as progress:
        found = survey(place_at(source), progress.update)
    made = draft(found, preset)
    write_atomically(path, _text(made, found))
    print("\n".join(shown(line) for line in _told(made, found, out)))
    return 0


def _new_file(out: str) -> Path:
    """Return where the configuration is to be written.

    Raises:
        VsTrainingError: nothing new can be written there.
    """
    try:
        path = option_path(out)
    except ValueError as error:
        raise VsTrainingError(f"--out: {error}") from None
    if path.suffix != ".toml":
        raise VsTrainingError(f"--out: expected the name of a file that ends in .toml, got {show(out)}")
    if os.path.lexists(path):
        raise VsTrainingError(f"--out: {show(out)} exists; name a new file, nothing is written over")
    if not path.parent.is_dir():
        raise VsTrainingError(f"--out: there is no folder {show(str(path.parent))}; make it first")
    return path


def _text(made: Draft, found: Survey) -> str:
    notes = {choice.path: choice.why for choice in made.choices if choice.path and choice.why}
    notes |= {f"data.labels[{index}]": guess.why for index, guess in enumerate(found.labels)}
    heading = [
        f"What data:init saw in {found.place.root}, and the preset {made.preset.name} for all that data do not say.",
        *(["", "It cannot tell:"] if made.questions else []),
        *(f"- {question}" for question in made.questions),
    ]
    return annotated(made.document, {path: shown(why) for path, why in notes.items()}, "\n".join(map(shown, heading)))


def _told(made: Draft, found: Survey, out: str) -> Iterator[str]:
    """Yield what was chosen, what is not known and what to type next, in lines."""
    for choice in made.choices:
        if choice.why:
            yield _row(choice.path.rpartition(".")[2] or "preset", _value(made, choice), choice.why)
    for guess in found.labels:
        yield _row("labels", word_of(guess.kind) if len(said_of(guess.kind)) < 3 else guess.kind.folder, guess.why)
    for question in made.questions:
        yield f"? {question}"
    yield ""
    yield f"written to {out}; look for mistakes, see what it takes, and train:"
    yield f"  {check_command(made.config.data, 'train')}"
    yield f"  hatch run train:plan {shlex.quote(out)}"
    yield f"  hatch run train:{made.preset.command} --config {shlex.quote(out)}"


def _value(made: Draft, choice: Choice) -> str:
    if choice.path == "data.height":
        return f"{made.config.data.height}x{made.config.data.width}"
    return _short(choice.value)


def _short(value: Any) -> str:
    match value:
        case {"kind": kind}:
            return str(kind)
        case []:
            return "none"
        case _:
            return str(value)


def _row(name: str, value: str, why: str) -> str:
    first, second = _COLUMNS
    return f"{name:<{first}} {value:<{second}} {why}"
