"""Curves of a long roll-out, drawn from its drift.json: each metric against the frame number, with its first band."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from vs_eval.drift.curves import FIRST, WIDTH
from vs_eval.drift.picture import TITLES
from vs_eval.pages.content import Figure
from vs_eval.pages.curves import Mark, Series, draw
from vs_eval.pages.found import Found
from vs_eval.pages.history import number
from vs_eval.pages.scores import titled

BAND = f"mean of the first {FIRST} frames ± {WIDTH:g} sd"


def roll_out_figures(found: Found, ident: str) -> tuple[Figure, ...]:
    """Return a figure of each metric of a report on drift; none of other reports, and of what is damaged."""
    match found.about.get("drift"):
        case Mapping() as metrics:
            drawn = (_figure(found, name, entry, f"{ident}-{name}") for name, entry in metrics.items())
            return tuple(figure for figure in drawn if figure is not None)
        case _:
            return ()


def later_means(found: Found) -> dict[str, float]:
    """Return of each metric of a report on drift its mean over the frames that are behind the first ones."""
    metrics = found.about.get("drift")
    means = {}
    for name, entry in metrics.items() if isinstance(metrics, Mapping) else ():
        values = _curve("", entry.get("generated") if isinstance(entry, Mapping) else (), colour=0).y[FIRST:]
        finite = [value for value in values if math.isfinite(value)]
        if finite:
            means[str(name)] = sum(finite) / len(finite)
    return means


def _figure(found: Found, name: str, entry: Any, ident: str) -> Figure | None:
    match entry:
        case {"mean": int() | float() as mean, "deviation": int() | float() as deviation}:
            series = list(_series(entry))
            leaves = entry.get("leaves")
            steps = (leaves,) if type(leaves) is int else ()
            mark = Mark(text=f"leaves it for good at {leaves}", steps=steps, style="bad dashed")
            band = (BAND, mean - WIDTH * deviation, mean + WIDTH * deviation)
            said = found.said_of(name)
            heading = f"{titled(said)} {'↑' if said.better == 'higher' else '↓'}"
            return draw(heading, series, x_name="frame", ident=ident, marks=(mark,), band=band)
        case _:
            return None


def _series(entry: Mapping[str, Any]) -> Iterator[Series]:
    """Yield what was generated, frame by frame and its running mean, and what is known of the real video."""
    beside = entry.get("beside")
    for place, (method, values) in enumerate(beside.items() if isinstance(beside, Mapping) else ()):
        yield _curve(TITLES.get(method, str(method)), values, colour=place + 1, pale=True)
    yield _curve("generated", entry.get("generated"), colour=0, pale=True)
    yield _curve(f"generated, mean of {FIRST} frames", entry.get("running_mean"), colour=0)


def _curve(name: str, values: object, *, colour: int, pale: bool = False) -> Series:
    numbers = values if isinstance(values, Sequence) and not isinstance(values, str) else ()
    y = [number(value, math.nan) for value in numbers]
    return Series(name=name, x=range(len(y)), y=y, colour=colour, pale=pale)
