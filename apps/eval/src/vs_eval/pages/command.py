"""What `report` does: write the page of each run into its directory, and one that compares several."""

from pathlib import Path

import attrs
from rich.console import Console
from vs_runtime import sweep, write_atomically
from vs_runtime.run_directory import latest_run

from vs_eval.errors import OptionError
from vs_eval.opening import say_warning, warn
from vs_eval.pages.clips import MEGABYTE
from vs_eval.pages.comparison import MOST, comparison_page
from vs_eval.pages.content import Page
from vs_eval.pages.render import SIGN, render
from vs_eval.pages.run_page import run_page
from vs_eval.pages.runs import look_at_run
from vs_eval.terminal import say, show_stages

PAGE = "report.html"
"""What a run's page is called in its directory."""

_HEAD = 1000
"""Bytes of a page in which its sign stands."""


@attrs.frozen(kw_only=True)
class ReportRequest:
    """A request of the command line; see the command for what each option means."""

    runs: tuple[Path, ...]
    out: Path | None
    max_mb: float


def report(request: ReportRequest, console: Console) -> list[Path]:
    """Do what the command line asks for, and return the pages that were written.

    Raises:
        OptionError: an option cannot be.
        RunDirectoryError: a directory is no run, or there is no run at all.
    """
    paths = _different(request.runs) or (latest_run(notice=say_warning).path,)
    places = _places(paths, request.out)
    views = [look_at_run(path) for path in paths]  # all, before anything is written
    written = []
    with show_stages(console) as tell:
        for view, place in zip(views, places, strict=False):
            warn(view.notices)
            tell(f"page of {view.name}")
            written.append(_write(place, run_page(view, max_mb=request.max_mb)))
        if len(views) > 1:
            tell("comparison")
            sweep(places[-1].parent)
            written.append(_write(places[-1], comparison_page(views, out=places[-1], max_mb=request.max_mb)))
    for place in written:
        say(console, f"report: {place} ({place.stat().st_size / MEGABYTE:.1f} MB)")
    return written


def _different(runs: tuple[Path, ...]) -> tuple[Path, ...]:
    """Return runs, each once by the first of its names, and say which have several.

    Raises:
        OptionError: all are the same, so that there is nothing to compare.
    """
    first: dict[Path, Path] = {}
    again = [_again(path, named) for path in runs if (named := first.setdefault(path.resolve(), path)) is not path]
    if again and len(first) == 1:
        raise OptionError("RUN", f"{again[0]}, and nothing is there to compare it with; name another, or it alone")
    warn(tuple(f"{what}; it is shown once" for what in again))
    return tuple(first.values())


def _again(path: Path, named: Path) -> str:
    return f"{path} is named more than once" if path == named else f"{path} is the same run as {named}"


def _places(paths: tuple[Path, ...], out: Path | None) -> list[Path]:
    """Return where the page of each run goes, and last where several are compared.

    Raises:
        OptionError: there is something else, or nobody knows where to.
    """
    if len(paths) > MOST:
        raise OptionError("RUN", f"{len(paths)} runs are more than one page compares; name {MOST} at most")
    if len(paths) > 1 and out is None:
        raise OptionError("--out", "several runs are also compared; name that page: --out comparison.html")
    if out is not None:
        _check(out)
    own = [path / PAGE for path in paths]
    return [out] if len(paths) == 1 and out is not None else [*own, *([out] if out is not None else [])]


def _check(out: Path) -> None:
    if out.is_dir() or not out.name:
        raise OptionError("--out", f"{out} is a directory; name the file of the page, such as comparison.html")
    if not out.parent.is_dir():
        raise OptionError("--out", f"{out.parent} is no directory; make it, or name another")
    if out.exists() and not _is_page(out):
        raise OptionError("--out", f"{out} is there and is not such a page; name another file")


def _is_page(path: Path) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return SIGN.encode() in file.read(_HEAD)


def _write(place: Path, page: Page) -> Path:
    write_atomically(place, render(page))
    return place
