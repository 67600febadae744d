"""Write the figures that documents cite from the stored results of benchmarks, or say which are not as measured.

Usage: hatch run figures [--check]

docs/the-talk.md is written as a whole, from what `bench:tables --store` has stored.

A document names a figure in comments, which no reader of the rendered page sees: `<!--=NAME-->1.5<!--/-->`. What stands
between them is written by this program as `docs/benchmarks/figures.toml` says, where NAME is one of two:

- a text with values in it: `NAME.text = "{step-cpu/cases/O1/speedup/value:.1f}"`. In braces stands where the value is,
  the name of a JSON file of that folder and a key for each level, then a colon and how Python is to format it. Of a
  list the entry is taken whose `name` or `size` is the key;
- a table: `NAME.head`, the cells of its head; `NAME.cells`, texts of all columns but the first; `NAME.rows`, pairs of
  what the first column says and what stands in the texts for `*`.

`--check` writes nothing and exits with 1 if a document differs. Exit status 2: a name or a path that does not exist.
"""

import functools
import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import cyclopts
from cyclopts import Parameter
from vs_bench.talk.page import page_of
from vs_config import shown
from vs_config.commands import run_command

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "docs" / "benchmarks"
FIGURES = "figures.toml"
GENERATED: Mapping[str, Callable[[Path], str]] = {"the-talk.md": page_of}
"""Documents that are made of stored results as a whole, by the folder of those."""

_OPEN = "<!--="
_MARKED = re.compile(r"<!--=([\w.-]+)-->(.*?)<!--/-->", re.DOTALL)
_VALUE = re.compile(r"\{([^{}]+):([^{}:]+)\}")

app = cyclopts.App(name="figures", help=__doc__)


class FigureError(ValueError):
    """A figure that cannot be written; the message says which, where, and what there is instead."""


def value_at(path: str, results: Path = RESULTS) -> Any:
    """Return what a path leads to, for example `step-cpu/cases/O1/speedup/value`.

    Raises:
        FigureError: there is no such file, or nothing of that name in it, or more than one.
    """
    file, *keys = path.split("/")
    found = _read(results / f"{file}.json")
    while keys:
        choices = _choices(found)
        matching = [(key, value) for key in _beginnings(keys) for name, value in choices if name == key]
        if len(matching) != 1:
            there = ", ".join(dict.fromkeys(name for name, _ in choices)) or "nothing"
            raise FigureError(f"{path}: {len(matching) or 'nothing'} called {keys[0]!r}; there is {there}")
        key, found = matching[0]
        keys = keys[key.count("/") + 1 :]
    return found


def _beginnings(keys: Sequence[str]) -> list[str]:
    """Return what the next key may be: names of scores, such as `psnr/generated`, have strokes of their own."""
    return ["/".join(keys[:count]) for count in range(1, len(keys) + 1)]


@functools.cache
def _read(file: Path) -> Any:
    try:
        return json.loads(file.read_text())
    except (OSError, ValueError) as error:
        raise FigureError(f"{file.name}: cannot be read ({error})") from error


def _choices(found: Any) -> list[tuple[str, Any]]:
    """Return what can be chosen from a mapping or a list, by name."""
    if isinstance(found, Mapping):
        return list(found.items())
    if isinstance(found, list):
        named = [(each.get("name", each.get("size")), each) for each in found if isinstance(each, Mapping)]
        return [(name, each) for name, each in named if isinstance(name, str)]
    return []


def filled(text: str, results: Path = RESULTS) -> str:
    """Write the values into a text.

    Raises:
        FigureError: a value is not there, or cannot be formatted so.
    """

    def formatted(match: re.Match[str]) -> str:
        path, form = match.groups()
        value = value_at(path, results)
        try:
            return format(value, form)
        except (TypeError, ValueError) as error:
            raise FigureError(f"{path}: cannot be written as {form!r} ({error})") from error

    return _VALUE.sub(formatted, text)


def rendered(name: str, figures: Mapping[str, Any], results: Path = RESULTS) -> str:
    """Return what a document has between the marks of a figure.

    Raises:
        FigureError: there is no such figure, it is neither a text nor a table, or its values are not there.
    """
    if name not in figures:
        raise FigureError(f"no figure is called {name!r}; {FIGURES} has {', '.join(figures)}")
    figure = figures[name]
    keys = set(figure) if isinstance(figure, Mapping) else set()
    if keys == {"text"}:
        return filled(figure["text"], results)
    if keys != {"head", "cells", "rows"}:
        raise FigureError(f"{FIGURES}: {name!r} needs text, or head, cells and rows, and nothing else")
    rows = [
        [first, *(filled(cell.replace("*", key), results) for cell in figure["cells"])] for first, key in figure["rows"]
    ]
    lines = [figure["head"], ["---"] * len(figure["head"]), *rows]
    return "\n\n" + "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n\n"


def rewritten(text: str, figures: Mapping[str, Any], results: Path = RESULTS) -> str:
    """Write the figures into a document as measured.

    Raises:
        FigureError: marks without an end, or at the beginning of a line of prose, where they would end the paragraph;
            or as `rendered` does.
    """
    marks = list(_MARKED.finditer(text))
    if len(marks) != text.count(_OPEN) or any(_OPEN in mark[2] for mark in marks):
        raise FigureError(f"a figure begins with {_OPEN}NAME--> and ends with <!--/-->, before the next begins")
    for mark in marks:
        begins = not text[: mark.start()].rpartition("\n")[2].strip()
        if begins and "\n" not in rendered(mark[1], figures, results):
            raise FigureError(f"figure {mark[1]!r} begins a line, where Markdown takes it for the end of the paragraph")
    return _MARKED.sub(lambda mark: f"{_OPEN}{mark[1]}-->{rendered(mark[1], figures, results)}<!--/-->", text)


def documents() -> list[Path]:
    """Return all Markdown files that git tracks.

    Raises:
        FigureError: git does not say.
    """
    command = ["git", "-C", str(ROOT), "ls-files", "*.md"]
    try:
        listed = subprocess.run(command, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise FigureError(f"documents are those that git tracks, and there is no checkout here ({error})") from error
    return [ROOT / name for name in listed.stdout.splitlines()]


def changed(files: Iterable[Path], figures: Mapping[str, Any], results: Path = RESULTS) -> dict[Path, str]:
    """Return what documents are to become, of those whose figures are not as measured.

    Raises:
        FigureError: as `rewritten`, with the file; or a figure that no document cites.
    """
    texts = {file: file.read_text() for file in files}
    cited = {mark[1] for text in texts.values() for mark in _MARKED.finditer(text)}
    if unused := figures.keys() - cited:
        raise FigureError(f"{FIGURES}: no document cites {', '.join(sorted(unused))}")
    new = {}
    for file, text in texts.items():
        try:
            make = GENERATED.get(file.name)
            new[file] = rewritten(text, figures, results) if make is None else make(results)
        except FigureError as error:
            raise FigureError(f"{file.name if file.parent == ROOT else file.relative_to(ROOT)}: {error}") from error
    return {file: text for file, text in new.items() if text != texts[file]}


def read_figures(results: Path = RESULTS) -> Mapping[str, Any]:
    """Read `figures.toml`.

    Raises:
        FigureError: it cannot be read.
    """
    try:
        return tomllib.loads((results / FIGURES).read_text())
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise FigureError(f"{FIGURES}: cannot be read ({error})") from error


@app.default
def main(*, check: Annotated[bool, Parameter(negative="")] = False) -> int:
    """Write the figures of all documents, or with `check` say which documents differ from what was measured.

    Returns the exit status.

    Raises:
        FigureError: a figure cannot be written.
    """
    differing = changed(documents(), read_figures(RESULTS), RESULTS)
    for file, text in differing.items():
        if not check:
            file.write_text(text)
        print(f"{shown(file.relative_to(ROOT))}: {'not as measured; hatch run figures' if check else 'written'}")
    return 1 if check and differing else 0


if __name__ == "__main__":
    sys.exit(run_command(app, FigureError))
