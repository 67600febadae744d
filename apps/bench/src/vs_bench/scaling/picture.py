"""The picture of how a step grows: a panel for each thing that does, over it time and memory."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import NullLocator

COLOURS = {"seconds": "#0a7fd6", "bytes": "#d1495b"}
INK, FAINT, GRID = "#24292f", "#7a828c", "#e7eaee"
_NAMES = {"seconds": "time", "bytes": "memory"}


def draw(axes: Mapping[str, Mapping[str, Any]], title: str, path: Path) -> Path:
    """Write a PNG: both over each axis, as multiples of the smallest point, and where linear growth would lie."""
    figure = Figure(
        figsize=(3.6 * len(axes), 3.9), dpi=110, layout=ConstrainedLayoutEngine(w_pad=0.08), facecolor="white"
    )
    figure.suptitle(title, x=0.01, ha="left", fontsize=11, fontweight="bold", color=INK)
    for panel, (name, found) in zip(figure.subplots(1, len(axes), squeeze=False)[0], axes.items(), strict=True):
        _draw_axis(panel, name, found)
    figure.savefig(path)
    return path


def _draw_axis(panel: Axes, name: str, found: Mapping[str, Any]) -> None:
    amounts = found["amounts"]
    panel.plot(amounts, _multiples(amounts), color=FAINT, linestyle="--", linewidth=1, label="linear")
    for what, colour in COLOURS.items():
        if what in found:
            label = f"{_NAMES[what]}: power {found['exponents'][what]['value']:.2f}"
            panel.plot(amounts, _multiples(found[what]), color=colour, marker="o", markersize=4, label=label)
    panel.set_xscale("log", base=2)
    panel.set_yscale("log", base=2)
    panel.set_xticks(amounts, [f"{amount:,}" for amount in amounts], fontsize=8)
    panel.xaxis.set_minor_locator(NullLocator())
    panel.yaxis.set_major_formatter(lambda value, _: f"{value:g}x")
    panel.grid(color=GRID)
    panel.set_axisbelow(True)
    panel.set_title(name, fontsize=10, loc="left", color=INK)
    panel.legend(frameon=False, fontsize=8, labelcolor=INK)


def _multiples(values: Sequence[float]) -> list[float]:
    return [value / values[0] for value in values]
