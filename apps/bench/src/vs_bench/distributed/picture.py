"""The picture of many ranks: how much of a step is computing, and how long links take for the published networks."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

COLOURS = ("#0a7fd6", "#12966b", "#e9a23b", "#d1495b")
INK, GRID = "#24292f", "#e7eaee"


def draw(curves: Sequence[Mapping[str, Any]], networks: Sequence[Mapping[str, Any]], title: str, path: Path) -> Path:
    """Write a PNG.

    Args:
        curves: with `speedup` and `ranks`, for each number of ranks what was simulated with overlap and without.
        networks: what `networks.network_record` returns.
        title: whose step it is.
        path: of the file.
    """
    figure = Figure(figsize=(10.5, 4.2), dpi=110, layout="constrained", facecolor="white")
    figure.suptitle(f"{title}: computed, not measured", x=0.01, ha="left", fontsize=11, fontweight="bold", color=INK)
    left, right = figure.subplots(1, 2)
    for colour, curve in zip(COLOURS, curves, strict=False):
        ranks = [each["ranks"] for each in curve["overlapped"]]
        name = "as fast as here" if curve["speedup"] == 1 else f"{curve['speedup']:g} times as fast"
        left.plot(ranks, _percent(curve["overlapped"]), color=colour, marker="o", markersize=4, label=name)
        left.plot(ranks, _percent(curve["after"]), color=colour, linestyle="--", linewidth=1)
    _style(left, "efficiency; dashed: sent after the backward pass", "% of ideal")
    left.set_ylim(0, 105)
    for colour, network in zip(COLOURS, networks, strict=False):
        ranks = [int(count) for count in network["ranks"]]
        milliseconds = [each["milliseconds"] for each in network["ranks"].values()]
        right.plot(ranks, milliseconds, color=colour, marker="o", markersize=4, label=network["name"])
    _style(right, "gradients of one update: 8 by NVLink, more by 100 Gb/s", "ms")
    right.set_yscale("log")
    figure.savefig(path)
    return path


def _percent(points: Sequence[Mapping[str, Any]]) -> list[float]:
    return [100 * each["efficiency"] for each in points]


def _style(axes: Axes, title: str, unit: str) -> None:
    axes.set_title(title, loc="left", fontsize=10, color=INK)
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    axes.set_xlabel("ranks")
    axes.set_ylabel(unit)
    axes.minorticks_off()
    axes.grid(color=GRID)
    axes.set_axisbelow(True)
    axes.legend(frameon=False, fontsize=8, labelcolor=INK)
