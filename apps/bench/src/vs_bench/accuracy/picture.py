"""The picture of the accuracy experiment: losses of all runs over each other, held-out scores of each seed."""

import math
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from vs_bench.accuracy.plan import BASELINE, is_planted
from vs_bench.accuracy.report import BLOCK, CURVES, FLOORS, JUDGED, Finding, Result
from vs_bench.accuracy.verdict import overall
from vs_bench.accuracy.words import title

COLOURS: Mapping[str, str] = {
    BASELINE: "#1b1f24",
    "O1-bfloat16": "#0a7fd6",
    "O1-float16": "#12966b",
}
PLANTED_COLOURS = ("#e9a23b", "#d1495b", "#7d2e68")
"""Of the planted faults, most bits first."""
MARKERS = "osD^vP*X"
INK, FAINT, GRID, BAND = "#24292f", "#7a828c", "#e7eaee", "#eef1f4"
SMOOTHING = 0.2
"""Weight of the newest point in the smoothed curves."""

HEIGHT, WIDTH = 3.3, 15.0
"""Inches: of the row of an experiment, and of the picture."""


def draw(findings: Sequence[Finding], path: Path) -> Path:
    """Write a PNG with a row for each experiment: losses by training step, then the deciding held-out scores."""
    layout = ConstrainedLayoutEngine(w_pad=0.09, h_pad=0.07)
    figure = Figure(figsize=(WIDTH, HEIGHT * len(findings) + 1.5), dpi=110, layout=layout, facecolor="white")
    parts = figure.subfigures(len(findings), 1, squeeze=False)
    for part, finding in zip(parts[:, 0], findings, strict=True):
        part.suptitle(_headline(finding), x=0.008, ha="left", fontsize=12, fontweight="bold", color=INK)
        ratios = [1.3] * len(CURVES) + [0.95] * len(JUDGED)
        axes = part.subplots(1, len(ratios), width_ratios=ratios)
        for ax, (loss, name) in zip(axes, CURVES.items(), strict=False):
            _draw_curves(ax, finding, loss, name)
        for ax, score in zip(axes[len(CURVES) :], JUDGED, strict=True):
            _draw_scores(ax, finding, score)
    figure.legend(
        handles=_legend(findings), loc="outside upper left", ncols=8, frameon=False, fontsize=10, labelcolor=INK
    )
    note = (
        f"Grey band: {BASELINE} and the margin within which a level is as good. Dashed: where the margin counts from."
    )
    figure.supxlabel(note, x=0.008, ha="left", fontsize=9, color=FAINT)
    figure.savefig(path)
    return path


def _headline(finding: Finding) -> str:
    verdicts = [f"{level}: {overall(found)}" for level, found in finding.verdicts.items()]
    return f"{finding.name}    {'    '.join(verdicts)}"


def _legend(findings: Sequence[Finding]) -> list[Line2D]:
    levels = list(dict.fromkeys(level for finding in findings for level in finding.levels))
    seeds = sorted({result.seed for finding in findings for result in finding.results})
    lines = [Line2D([], [], color=_colour(level, levels), lw=2.4, label=level) for level in levels]
    points = [
        Line2D([], [], color=FAINT, marker=_marker(seed), ls="", ms=5.5, mec="white", label=f"seed {seed}")
        for seed in seeds
    ]
    return [*lines, *points]


def _draw_curves(ax: Axes, finding: Finding, loss: str, name: str) -> None:
    """Draw every run's loss by step, smoothed; the axis shows it from the third point on."""
    _dress(ax, name)
    ax.set_xlabel("training step", fontsize=9, color=FAINT)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    seen: list[float] = []
    for result in _planted_first(finding.results):
        steps, values = _curve(result, loss)
        if len(steps) == 0:
            continue
        smoothed = smooth(values)
        ax.plot(steps, smoothed, color=_colour(result.level, finding.levels), lw=1.0, alpha=0.85, zorder=3)
        seen += smoothed[min(2, len(smoothed) // 2) :].tolist()
    if seen:
        margin = 0.12 * (max(seen) - min(seen)) + 1e-9
        ax.set_ylim(min(seen) - margin, max(seen) + margin)
    else:
        ax.text(0.5, 0.5, "no such loss", transform=ax.transAxes, ha="center", color=FAINT)


def _draw_scores(ax: Axes, finding: Finding, score: str) -> None:
    """Draw the score of every run, those of a seed joined, the mean of each level, the margin around O0, the floor."""
    unit = JUDGED[score].unit
    _dress(ax, f"held-out {title(score)}{f', {unit}' if unit else ''}")
    _draw_margin(ax, finding, score)
    columns = [finding.scores_of(level, score) for level in finding.levels]
    for seed in columns[0]:
        values = [column.get(seed, math.nan) for column in columns]
        ax.plot(range(len(columns)), values, color=FAINT, lw=0.8, alpha=0.55, zorder=2)
    for place, (level, column) in enumerate(zip(finding.levels, columns, strict=True)):
        colour = _colour(level, finding.levels)
        for seed, value in column.items():
            ax.plot(place, value, _marker(seed), color=colour, ms=7, mec="white", mew=0.9, zorder=4)
        sound = [value for value in column.values() if math.isfinite(value)]
        if sound:
            ax.hlines(statistics.fmean(sound), place - 0.26, place + 0.26, color=colour, lw=2.2, zorder=3)
        if len(sound) < len(column):
            text = f"{len(column) - len(sound)} diverged"
            ax.text(place, 0.02, text, transform=ax.get_xaxis_transform(), ha="center", fontsize=8, color=FAINT)
    names = [level.replace("planted-", "").replace("-", "\n") for level in finding.levels]
    ax.set_xticks(range(len(columns)), names)
    ax.set_xlim(-0.5, len(columns) - 0.5)


def _draw_margin(ax: Axes, finding: Finding, score: str) -> None:
    """Draw the band that is as good as O0, and the floor that it is measured from; they are the same for all levels."""
    judged = next(iter(finding.judgements.values()))[score]
    mean = judged.floor.value + judged.learnt
    ax.axhspan(mean - judged.margin, mean + judged.margin, color=BAND, zorder=0)
    ax.axhline(mean, color=FAINT, lw=0.8, zorder=1)
    ax.axhline(judged.floor.value, color=FAINT, lw=0.8, ls="--", zorder=1)
    text = FLOORS[judged.floor.name]
    ax.annotate(text, (-0.45, judged.floor.value), (0, 2), textcoords="offset points", fontsize=7, color=FAINT)


def smooth(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the exponential mean of a curve, without the bias of its start: at first the mean of what there is."""
    smoothed, weight, total = [], 0.0, 0.0
    for value in values:
        weight = (1 - SMOOTHING) * weight + SMOOTHING
        total = (1 - SMOOTHING) * total + SMOOTHING * value
        smoothed.append(total / weight)
    return np.asarray(smoothed)


def _curve(result: Result, loss: str) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return the last steps of the blocks that have the loss, counted from 1, and its values."""
    values = np.asarray([math.nan if v is None else v for v in result.losses.get(loss, ())], dtype=np.float64)
    known = np.flatnonzero(np.isfinite(values))
    return BLOCK * (known + 1), values[known]


def _planted_first(results: Sequence[Result]) -> list[Result]:
    """Return the results in the order of drawing: what matters most lies on top."""
    return sorted(results, key=lambda result: 0 if is_planted(result.level) else 1 if result.level == BASELINE else 2)


def _dress(ax: Axes, name: str) -> None:
    ax.set_title(name, loc="left", fontsize=10, color=INK)
    ax.grid(axis="y", color=GRID, lw=0.8)
    ax.set_axisbelow(True)
    ax.tick_params(length=0, labelsize=8.5, labelcolor=INK)
    ax.margins(x=0.01, y=0.14)
    for side, spine in ax.spines.items():
        spine.set_visible(side == "bottom")
        spine.set_color(GRID)


def _colour(level: str, levels: Sequence[str]) -> str:
    planted = [name for name in levels if is_planted(name)]
    if level in planted:
        return PLANTED_COLOURS[min(planted.index(level), len(PLANTED_COLOURS) - 1)]
    return COLOURS.get(level, FAINT)


def _marker(seed: int) -> str:
    return MARKERS[seed % len(MARKERS)]
