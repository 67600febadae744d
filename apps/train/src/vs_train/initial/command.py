"""`data:init`: from data that somebody names to a configuration in a file, what was chosen, and what to type next."""

import os
import shlex
from collections.abc import Iterator
from pathlib import Path

from vs_config import annotated, option_path, show, shown
from vs_config.progress import show_progress
from vs_data import StoredConfig, check_command
from vs_data.labels import LabelKind, kind_in_table, word_of
from vs_data.survey import Survey, place_at, survey
from vs_runtime.files import write_atomically
from vs_training.errors import VsTrainingError

from vs_train.initial.choosing import draft
from vs_train.initial.draft import Choice, Draft


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
    notes = {choice.path: choice.why for choice in made.choices if choice.why}
    notes |= {f"data.labels[{index}]": guess.why for index, guess in enumerate(found.labels)}
    heading = [
        f"What data:init saw in {found.place.root}, and the preset {made.preset.name} for all that data do not say.",
        *(["", "It cannot tell:"] if made.questions else []),
        *(f"- {question}" for question in made.questions),
    ]
    return annotated(made.document, {path: shown(why) for path, why in notes.items()}, "\n".join(heading))


def _told(made: Draft, found: Survey, out: str) -> Iterator[str]:
    """Yield what was chosen, what is not known and what to type next, in lines."""
    rows = [("preset", made.preset.name, made.why), *_rows(made)]
    rows += [("labels", _named(guess.kind), guess.why) for guess in found.labels]
    first, second = (max(len(row[column]) for row in rows) for column in (0, 1))
    yield from (f"{name:<{first}}  {value:<{second}}  {why}" for name, value, why in rows)
    yield from (f"? {question}" for question in made.questions)
    yield ""
    yield f"written to {out}; look for mistakes, see what it takes, and train:"
    match made.config.data:
        case StoredConfig() as data:
            yield f"  {check_command(data, 'train')}"
    yield f"  hatch run train:plan {shlex.quote(out)}"
    yield f"  hatch run train:{made.preset.command} --config {shlex.quote(out)}"


def _rows(made: Draft) -> Iterator[tuple[str, str, str]]:
    for choice in made.choices:
        match choice:
            case Choice(why=""):
                continue
            case Choice(path="data.height"):
                yield "size", f"{made.config.data.height}x{made.config.data.width}", choice.why
            case Choice(value={"kind": kind}):
                yield choice.path, str(kind), choice.why
            case _:
                yield choice.path, str(choice.value), choice.why


def _named(kind: LabelKind) -> str:
    """Return a kind of label as on a command line; where that takes a table, its kind and folder."""
    return word_of(kind) if kind_in_table(word_of(kind)) is None else f"{kind.kind}:{kind.folder}"
