"""The page of several runs beside each other: figures, curves, the same clips, settings."""

import contextlib
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import attrs
import numpy as np
from numpy.typing import NDArray
from vs_data import VsDataError
from vs_data.videos import video_frames
from vs_metrics import Panel, VideoWriter, VsMetricsError, grid, grid_places
from vs_runtime import temporary_path

from vs_eval.drift.curves import FIRST as FIRST_FRAMES
from vs_eval.files import ClipFiles, PanelPlace
from vs_eval.pages.clips import MEGABYTE, Room, is_name, player_of
from vs_eval.pages.content import Figure, Page, Remark, Section
from vs_eval.pages.curves import Series, draw
from vs_eval.pages.evaluation_page import meanings_section
from vs_eval.pages.found import GENERATED, Found, FoundPart, Said
from vs_eval.pages.history import measured, series_of, validation_names, validation_series
from vs_eval.pages.roll_outs import later_means
from vs_eval.pages.run_page import evaluate_command, lines_on
from vs_eval.pages.runs import RunView
from vs_eval.pages.scores import FIRST, drift_of, is_alike, is_better, titled
from vs_eval.pages.settings import settings_of, written
from vs_eval.report import Table

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"

MOST = len(LETTERS)
"""Runs at most that one page compares."""

COLUMNS = 4
"""Panels beside each other in a video."""

REAL, LABEL, MADE = "real", "label", "generated"
"""What panels of evaluations are called that a comparison shows."""

Picture = NDArray[np.uint8]


def comparison_page(views: Sequence[RunView], *, out: Path, max_mb: float) -> Page:
    """Return the page of several runs.

    Args:
        views: the runs; others are compared with the first one.
        out: where it is going to be: videos are put together beside it.
        max_mb: megabytes that its videos take at most.
    """
    room = Room(max_mb)
    named = dict(zip(LETTERS, views, strict=False))
    lines = [f"{letter}: {view.name}, {'; '.join(lines_on(view))}" for letter, view in named.items()]
    sections = [
        _scores_section(named),
        *_videos_section(named, out, room),
        *_roll_outs(named),
        *_curves_sections(named),
        _settings_section(named),
        *_meanings(named),
    ]
    size = f"Videos take {max_mb - room.left / MEGABYTE:.1f} MB of this file, of {max_mb:g} MB at most."
    return Page(
        title=" · ".join(f"{letter} {view.name}" for letter, view in named.items()),
        kind=f"Comparison of {len(named)} runs",
        lines=(*lines, size),
        notices=tuple(f"{letter}: {notice}" for letter, view in named.items() for notice in view.notices),
        sections=sections,
    )


def _meanings(named: Mapping[str, RunView]) -> Iterator[Section]:
    evaluations = [view.newest for view in named.values() if view.newest is not None]
    if evaluations:
        yield meanings_section(evaluations)


def _roll_outs(named: Mapping[str, RunView]) -> Iterator[Section]:
    """Yield how runs do over long roll-outs, where several have been rolled out for equally many frames."""
    found = {letter: view.drifts[-1] for letter, view in named.items() if view.drifts}
    frames = {one.about.get("frames") for one in found.values()}
    if len(found) < 2 or len(frames) > 1:
        return
    later = {letter: later_means(one) for letter, one in found.items()}
    names = dict.fromkeys(name for some in later.values() for name in some)
    said = {name: next(one.said_of(name) for one in found.values()) for name in names}
    note = f"Means over all frames but the first {FIRST_FRAMES}, of the last report on drift of each run."
    rows = tuple(_row(said[name], name, later) for name in names)
    table = Table(title=f"Later than frame {FIRST_FRAMES}", heads=("measure", *found), rows=rows, note=note)
    if rows:
        title = f"Over {frames.pop()} frames"
        yield Section(ident="roll-outs", title=title, tables=(table,))


def _scores_section(named: Mapping[str, RunView]) -> Section:
    missing = [view for view in named.values() if view.newest is None]
    found = {letter: view.newest for letter, view in named.items() if view.newest is not None}
    return Section(
        ident="scores",
        title="Scores",
        remarks=tuple(Remark(text=f"{view.name} has not been evaluated yet.") for view in missing),
        commands=tuple(("Evaluate it", evaluate_command(view)) for view in missing),
        tables=tuple(score_tables(found)),
    )


def score_tables(found: Mapping[str, Found]) -> Iterator[Table]:
    """Yield for each part of the evaluations its scores of generated frames, and how far they are from the first's."""
    parts = dict.fromkeys(part.title for one in found.values() for part in one.parts)
    for title in parts:
        chosen = {letter: [part for part in one.parts if part.title == title] for letter, one in found.items()}
        scores = {
            letter: {name: score.value for part in some for name, score in part.scores.items()}
            for letter, some in chosen.items()
        }
        names = dict.fromkeys(name for some in scores.values() for name in some if name.endswith(GENERATED))
        said = {name: next(one.said_of(name) for one in found.values()) for name in names}
        rows = tuple(_row(said[name], name, scores) for name in names if not name.startswith(FIRST))
        note = "In brackets: the difference to the first run that has the score, and whether it is better."
        heads = ("measure", *found)
        yield Table(title=title or "Scores", heads=heads, rows=(*rows, *_set_rows(chosen)), note=note)


def _set_rows(chosen: Mapping[str, Sequence[FoundPart]]) -> Iterator[tuple[str, ...]]:
    """Yield the rows of what is measured of all frames together, such as agreement with labels, where a run has it.

    Reports of older versions do not say which way is better, and are left out.
    """
    values: dict[str, dict[str, float]] = {letter: {} for letter in chosen}
    known: dict[str, Said] = {}
    for letter, some in chosen.items():
        for one in (one for part in some for one in part.sets if one.better):
            if one.value is not None:
                values[letter][one.title] = one.value
                known[one.title] = one.said
    for title, said in known.items():
        yield _row(said, title, values)


def _row(said: Said, name: str, scores: Mapping[str, Mapping[str, float]]) -> tuple[str, ...]:
    first = next(some[name] for some in scores.values() if name in some)
    begun = False
    cells = []
    for some in scores.values():
        if name not in some:
            cells.append("–")
            continue
        cells.append(_cell(said, some[name], first) if begun else f"{some[name]:.{said.digits}f}")
        begun = True
    return (titled(said), *cells)


def _cell(said: Said, value: float, first: float) -> str:
    text = f"{value:.{said.digits}f} ({value - first:+.{said.digits}f}"
    if is_alike(said, value, first):
        return f"{text})"
    return f"{text}, {'better' if is_better(said, value, first) else 'worse'})"


def _videos_section(named: Mapping[str, RunView], out: Path, room: Room) -> Iterator[Section]:
    found = {letter: view.newest for letter, view in named.items() if view.newest is not None}
    if len(found) < 2:
        return
    with _scratch(out) as folder:
        files = list(_combined(found, folder))
        player = player_of(files, folder, room, "player0")
    if player is None:
        text = (
            "The runs were not evaluated on clips of the same names, or by an older version: nothing to see together."
        )
        yield Section(ident="videos", title="Videos", texts=(text,))
        return
    letters = list(found)
    yield Section(
        ident="videos",
        title="Videos",
        player=attrs.evolve(player, left=f"{MADE}, {letters[0]}", right=f"{MADE}, {letters[1]}"),
        caption="The same clip by each run. These videos were compressed twice.",
    )


@contextlib.contextmanager
def _scratch(out: Path) -> Iterator[Path]:
    """Yield a folder beside the page, which is removed afterwards, by whoever comes next if this process is killed."""
    folder = temporary_path(out)
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _combined(found: Mapping[str, Found], folder: Path) -> Iterator[ClipFiles]:
    """Write a video of each clip that all evaluations have, and yield what it shows where."""
    clips = [{files.name: (one, files) for part in one.parts for files in part.files} for one in found.values()]
    for number, name in enumerate(name for name in clips[0] if all(name in some for some in clips)):
        sources = [(one.directory, files) for one, files in (some[name] for some in clips)]
        shown = list(_shown(dict(zip(found, sources, strict=True))))
        made = sum(one.title.startswith(MADE) for one in shown)
        if made == len(found) and all(is_name(files.video) for _, files in sources):
            path = folder / f"{number}.mp4"
            try:
                yield _combine(name, shown, path, sources)
            except (VsDataError, VsMetricsError, OSError):  # the player misses the file, and names the clip
                yield attrs.evolve(sources[0][1], video=path.name)


@attrs.frozen(kw_only=True)
class _Source:
    """A panel of a combined video: its title, and the video (by its number) and the place that it is taken from."""

    title: str
    video: int
    place: PanelPlace


def _shown(sources: Mapping[str, tuple[Path, ClipFiles]]) -> Iterator[_Source]:
    """Yield label and real frame of the first run, and what each run has generated."""
    for number, (letter, (_, files)) in enumerate(sources.items()):
        by_title = {panel.title: panel for panel in files.panels}
        if number == 0:
            yield from (_Source(title=t, video=0, place=by_title[t]) for t in (LABEL, REAL) if t in by_title)
        if MADE in by_title:
            yield _Source(title=f"{MADE}, {letter}", video=number, place=by_title[MADE])


def _combine(name: str, shown: Sequence[_Source], path: Path, sources: Sequence[tuple[Path, ClipFiles]]) -> ClipFiles:
    files = [file for _, file in sources]
    rows: list[list[Panel]] = []
    frames = 0
    with VideoWriter(path, fps=files[0].fps) as writer:
        for pictures in zip(*(video_frames(directory / file.video) for directory, file in sources), strict=False):
            panels = [Panel(title=one.title, image=_cut(pictures[one.video], one.place)) for one in shown]
            rows = [panels[start : start + COLUMNS] for start in range(0, len(panels), COLUMNS)]
            writer.add(grid(rows, factor=1))
            frames += 1
    places = tuple(
        PanelPlace(title=one.title, **attrs.asdict(place))
        for one, place in zip(shown, grid_places(rows, factor=1), strict=True)
    )
    return ClipFiles(name=name, video=path.name, strip="", frames=frames, fps=files[0].fps, panels=places)


def _cut(picture: Picture, place: PanelPlace) -> Picture:
    return picture[place.y : place.y + place.height, place.x : place.x + place.width]


def _curves_sections(named: Mapping[str, RunView]) -> Iterator[Section]:
    drift = tuple(_drift_figures(named))
    validation = tuple(_figures(_validations(named), "validation"))
    training = tuple(_figures(_losses(named), "training"))
    if drift:
        yield Section(ident="drift", title="Over the frames of a clip", figures=drift)
    if validation:
        yield Section(ident="validation", title="Quality while training", figures=validation)
    if training:
        yield Section(ident="training", title="Training", figures=training)


def _figures(groups: Mapping[str, Sequence[Series]], ident: str, x_name: str = "step") -> Iterator[Figure]:
    for number, (title, series) in enumerate(groups.items()):
        figure = draw(title, series, x_name=x_name, ident=f"{ident}{number}")
        if figure is not None:
            yield figure


def _losses(named: Mapping[str, RunView]) -> dict[str, list[Series]]:
    groups: dict[str, list[Series]] = {}
    for title, prefix in (("generator", "g_"), ("discriminator", "d_"), ("norm of gradients", "gradient_norm_")):
        for letter, view in named.items():
            for one in series_of(view.history.steps, prefix):
                groups.setdefault(f"{title}: {one.name}", []).append(_of_run(one, letter, view))
    return groups


def _of_run(series: Series, letter: str, view: RunView) -> Series:
    """Return a curve under the name of its run, which has the same colour in all figures."""
    return attrs.evolve(series, name=f"{letter} {view.name}", colour=LETTERS.index(letter))


def _validations(named: Mapping[str, RunView]) -> dict[str, list[Series]]:
    groups: dict[str, list[Series]] = {}
    for letter, view in named.items():
        for name in validation_names(view.history):
            if name.endswith(GENERATED):
                series = validation_series(view.history, name, name)
                groups.setdefault(measured(name), []).append(_of_run(series, letter, view))
    return groups


def _drift_figures(named: Mapping[str, RunView]) -> Iterator[Figure]:
    groups: dict[str, list[Series]] = {}
    for letter, view in named.items():
        if view.newest is not None:
            part = view.newest.parts[0]
            for name in dict.fromkeys(n for clip in part.clips for n in clip.curves if n.endswith(GENERATED)):
                groups.setdefault(measured(name), []).append(_of_run(drift_of(part, name), letter, view))
    yield from _figures(groups, "drift", "frame")


def _settings_section(named: Mapping[str, RunView]) -> Section:
    settings = {letter: settings_of(view.config) for letter, view in named.items() if view.config is not None}
    paths = dict.fromkeys(path for some in settings.values() for path in some)
    rows = [(path, *(written(some, path) for some in settings.values())) for path in paths]
    different = tuple(row for row in rows if len(set(row[1:])) > 1)
    table = Table(title="Settings that differ", heads=("setting", *settings), rows=different)
    same = ("All settings are the same.",) if len(settings) > 1 and not different else ()
    return Section(ident="configuration", title="Configuration", texts=same, tables=(table,) if different else ())
