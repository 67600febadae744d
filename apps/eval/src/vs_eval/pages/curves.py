"""Curves of a page, drawn by matplotlib in colours that the page's style sheet gives, light or dark."""

import io
import math
import re
from collections.abc import Sequence
from typing import Any, Literal

import attrs
import matplotlib as mpl
import numpy as np
from markupsafe import Markup
from matplotlib import figure as figures
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from vs_eval.pages.content import Figure, Swatch

PLACES = 240
"""Places along a curve at most: of more numbers, means over neighbours are drawn."""

COLOURS = 8
"""Colours of series in the style sheet; a ninth series has the first one's."""

STEEP = 50.0
"""Largest number over smallest from which on a scale is logarithmic."""

MARKS = 150
"""Marks of one kind at most that are drawn, spread evenly over all."""

_LEFT, _BOTTOM, _WIDTH, _HEIGHT = 0.125, 0.15, 0.835, 0.81
_INK, _GRID, _BAD, _SERIES = "#010101", "#020202", "#030303", "#0a0a0"
_RC: Any = {
    "svg.fonttype": "none",
    "font.size": 8,
    "axes.edgecolor": _GRID,
    "axes.linewidth": 0.6,
    "xtick.color": _GRID,
    "ytick.color": _GRID,
    "xtick.labelcolor": _INK,
    "ytick.labelcolor": _INK,
    "axes.labelcolor": _INK,
}

Numbers = NDArray[np.float64]
Places = NDArray[np.bool_]


@attrs.frozen(kw_only=True)
class Series:
    """Numbers over steps or frames; nan where there is none.

    Attributes:
        name: what the legend calls them.
        x: steps or frames.
        y: the numbers.
        colour: the number of their colour; None: that of their place in the figure.
        pale: whether they are drawn thin, behind others that matter more.
    """

    name: str
    x: Sequence[float]
    y: Sequence[float]
    colour: int | None = None
    pale: bool = False


@attrs.frozen(kw_only=True)
class Mark:
    """Steps at which something happened: what, and how it is marked."""

    text: str
    steps: tuple[int, ...]
    style: Literal["dashed", "dotted", "solid", "bad dashed", "bad dotted", "bad thick dotted", "bad"] = "dotted"


def draw(
    title: str,
    series: Sequence[Series],
    *,
    x_name: str,
    ident: str,
    marks: Sequence[Mark] = (),
    band: tuple[str, float, float] | None = None,
) -> Figure | None:
    """Return a figure of some series; None where none has a number.

    Args:
        title: its heading.
        series: what is drawn.
        x_name: what they are over.
        ident: unique on the page, for what the drawing names in itself.
        marks: what is marked by vertical lines.
        band: what is shaded behind the curves, in words, from its lower to its upper end.
    """
    series = [one for one in series if np.isfinite(np.asarray(one.y, float)).any()]
    if not series:
        return None
    x, lines, own = _gathered(series)
    with mpl.rc_context(_RC | {"svg.hashsalt": ident}):
        whole = figures.Figure(figsize=(4.3, 2.45))
        axes = whole.add_axes((_LEFT, _BOTTOM, _WIDTH, _HEIGHT))
        colours = [(number if one.colour is None else one.colour) % COLOURS for number, one in enumerate(series)]
        styles = [(colour, one.pale) for colour, one in zip(colours, series, strict=True)]
        limits = _draw_lines(axes, x, list(zip(lines, own, strict=True)), styles, x_name)
        if band is None:
            _scale(axes, lines)
        else:
            axes.axhspan(*band[1:], color=_INK, alpha=0.12, linewidth=0)
        _draw_marks(axes, marks, limits)
        svg = _svg(whole, ident)
    last = [line[np.isfinite(line)][-1] for line in lines]
    return Figure(
        title=title,
        svg=svg,
        alt=_in_words(title, series, x, lines, x_name),
        swatches=tuple(
            Swatch(colour=colour, name=one.name, last=_short(value), pale=one.pale)
            for colour, one, value in zip(colours, series, last, strict=True)
        ),
        marks=(
            *(() if band is None else (("band", band[0]),)),
            *((mark.style, mark.text) for mark in marks if mark.steps),
        ),
        data=_hover(x, lines, limits, x_name),
    )


def _gathered(series: Sequence[Series]) -> tuple[Numbers, list[Numbers], list[Places]]:
    """Return common places of all series; of each its mean there, nan where it has no number; and which are its own.

    A place that is another series' alone is no gap in this one.
    """
    every = np.unique(np.concatenate([np.asarray(one.x, float) for one in series]))
    groups = np.array_split(every, min(PLACES, len(every)))
    starts = np.array([group[0] for group in groups])
    lines, own = [], []
    for one in series:
        x, y = np.asarray(one.x, float), np.asarray(one.y, float)
        x, y = x[np.isfinite(y)], y[np.isfinite(y)]
        at = np.searchsorted(starts, x, side="right") - 1
        own.append(np.isin(np.arange(len(groups)), np.searchsorted(starts, np.asarray(one.x, float), "right") - 1))
        counts = np.bincount(at, minlength=len(groups)).astype(float)
        counts[counts == 0] = math.nan
        lines.append(np.bincount(at, weights=y, minlength=len(groups)) / counts)
    return np.array([group.mean() for group in groups]), lines, own


def _draw_lines(
    axes: Axes,
    x: Numbers,
    lines: Sequence[tuple[Numbers, Places]],
    styles: Sequence[tuple[int, bool]],
    x_name: str,
) -> tuple[float, float]:
    """Draw the series, each at its own places; styles: number of the colour, and whether pale; return the x axis' ends.

    A gap is a number that is missing.
    """
    for (line, own), (colour, pale) in zip(lines, styles, strict=True):
        marker = "o" if own.sum() < 12 else ""
        axes.plot(
            x[own],
            line[own],
            color=f"{_SERIES}{colour}",
            linewidth=0.6 if pale else 1.1,
            alpha=0.6 if pale else 1.0,
            solid_joinstyle="round",
            marker=marker,
            markersize=2.5,
        )
    axes.grid(axis="y", color=_GRID, linewidth=0.5)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(length=2, width=0.5, pad=2)
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.set_xlabel(x_name, labelpad=1)
    low, high = float(x[0]), float(x[-1])
    limits = (low, high) if high > low else (low - 0.5, high + 0.5)
    axes.set_xlim(limits)
    return limits


def _scale(axes: Axes, lines: Sequence[Numbers]) -> None:
    values = np.concatenate([line[np.isfinite(line)] for line in lines])
    if values.min() > 0 and values.max() / values.min() > STEEP:
        axes.set_yscale("log")


def _draw_marks(axes: Axes, marks: Sequence[Mark], limits: tuple[float, float]) -> None:
    styles: dict[str, dict[str, Any]] = {
        "dashed": {"linestyles": "dashed", "color": _INK},
        "dotted": {"linestyles": "dotted", "color": _INK},
        "solid": {"linestyles": "solid", "color": _INK},
        "bad dashed": {"linestyles": "dashed", "color": _BAD},
        "bad dotted": {"linestyles": "dotted", "color": _BAD},
        "bad thick dotted": {"linestyles": "dotted", "color": _BAD, "linewidth": 2.4},
        "bad": {"linestyles": "solid", "color": _BAD},
    }
    for mark in marks:
        steps = [step for step in mark.steps if limits[0] <= step <= limits[1]]
        steps = steps[:: -(-len(steps) // MARKS)] if steps else steps
        top = 0.08 if mark.style == "solid" else 1.0  # what happens all the time stands at the edge alone
        style = {"linewidth": 0.8, **styles[mark.style]}
        axes.vlines(steps, 0, top, transform=axes.get_xaxis_transform(), **style)


def _svg(whole: figures.Figure, ident: str) -> Markup:
    """Return a drawing for the inside of a page: names in it unique, colours of the style sheet, no headers."""
    buffer = io.StringIO()
    whole.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    text = re.sub(r"<metadata>.*?</metadata>", "", buffer.getvalue(), flags=re.DOTALL)
    text = re.sub(r'\s(?:xmlns(?::\w+)?|width|height|version)="[^"]*"', "", text[text.index("<svg") :], count=5)
    text = re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{ident}-", text)
    text = text.replace(_INK, "currentColor").replace(_GRID, "var(--line)").replace(_BAD, "var(--no)")
    for number in range(COLOURS):
        text = text.replace(f"{_SERIES}{number}", f"var(--c{number})")
    return Markup(text)  # noqa: S704 - drawn here, of numbers and of names of ours


def _hover(x: Numbers, lines: Sequence[Numbers], limits: tuple[float, float], x_name: str) -> dict[str, Any]:
    places = _LEFT + _WIDTH * (x - limits[0]) / (limits[1] - limits[0])
    return {
        "name": x_name,
        "x": [f"{value:.0f}" for value in x],
        "places": [round(float(place), 4) for place in places],
        "series": [[_short(value) if math.isfinite(value) else None for value in line] for line in lines],
        "top": round(1 - _BOTTOM - _HEIGHT, 4),
        "height": _HEIGHT,
    }


def _in_words(title: str, series: Sequence[Series], x: Numbers, lines: Sequence[Numbers], x_name: str) -> str:
    parts = []
    for one, line in zip(series, lines, strict=True):
        finite = line[np.isfinite(line)]
        parts.append(f"{one.name} from {_short(finite[0])} to {_short(finite[-1])}")
    return f"{title}, {x_name} {x[0]:.0f} to {x[-1]:.0f}: {'; '.join(parts)}."


def _short(value: float) -> str:
    return f"{value:.3g}" if abs(value) < 1e4 else f"{value:,.0f}" if abs(value) < 1e7 else f"{value:.2e}"
