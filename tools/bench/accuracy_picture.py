"""The picture of the accuracy experiment: losses of all runs over each other, held-out scores of each seed."""

import math
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from accuracy_plan import BASELINE, PLANTED
from accuracy_report import JUDGED, Finding, Result, title
from accuracy_verdict import overall
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray
from vs_eval.measures import measure_of

CURVES: Mapping[str, str] = {
    "g_perceptual": "perceptual loss of G",
    "g_feature_matching": "feature matching loss of G",
    "d_gan": "hinge loss of D",
}
"""The losses that are drawn, where a run has them."""

COLOURS: Mapping[str, str] = {
    BASELINE: "#1b1f24",
    "O1-bfloat16": "#0a7fd6",
    "O1-float16": "#12966b",
    PLANTED: "#d1495b",
}
MARKERS = "osD^vP*X"
INK, FAINT, GRID, BAND = "#24292f", "#7a828c", "#e7eaee", "#eef1f4"
SMOOTHING = 0.05
"""Weight of the newest step in the smoothed curves."""

HEIGHT, WIDTH = 3.3, 15.0
"""Inches: of the row of an experiment, and of the picture."""


def draw(findings: Sequence[Finding], fault: str, path: Path) -> Path:
    """Write a PNG with a row for each experiment: losses by training step, then the deciding held-out scores.

    Args:
        findings: one for each row.
        fault: what was planted, in words.
        path: of the file.
    """
    figure = Figure(figsize=(WIDTH, HEIGHT * len(findings) + 1.5), dpi=110, layout="constrained", facecolor="white")
    figure.get_layout_engine().set(w_pad=0.09, h_pad=0.07)  # type: ignore[union-attr, call-arg]
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
    note = f"planted: {fault}. Grey band: mean of {BASELINE} and one standard deviation over its seeds each way."
    figure.supxlabel(note, x=0.008, ha="left", fontsize=9, color=FAINT)
    figure.savefig(path)
    return path


def _headline(finding: Finding) -> str:
    verdicts = [f"{level}: {overall(found)}" for level, found in finding.verdicts.items()]
    return f"{finding.name}    {'    '.join(verdicts)}"


def _legend(findings: Sequence[Finding]) -> list[Line2D]:
    levels = list(dict.fromkeys(level for finding in findings for level in finding.levels))
    seeds = sorted({result.seed for finding in findings for result in finding.results})
    lines = [Line2D([], [], color=_colour(level), lw=2.4, label=level) for level in levels]
    points = [
        Line2D([], [], color=FAINT, marker=_marker(seed), ls="", ms=5.5, mec="white", label=f"seed {seed}")
        for seed in seeds
    ]
    return [*lines, *points]


def _draw_curves(ax: Axes, finding: Finding, loss: str, name: str) -> None:
    """Every run's loss by step, thin, and smoothed over it; the axis shows the smoothed ones from the tenth step on."""
    _dress(ax, name)
    ax.set_xlabel("training step", fontsize=9, color=FAINT)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    seen: list[float] = []
    for result in _planted_first(finding.results):
        steps, values = _curve(result, loss)
        if len(steps) == 0:
            continue
        smoothed = smooth(values)
        ax.plot(steps, values, color=_colour(result.level), lw=0.4, alpha=0.16, zorder=2)
        ax.plot(steps, smoothed, color=_colour(result.level), lw=1.15, alpha=0.9, zorder=3)
        seen += smoothed[min(10, len(smoothed) // 2) :].tolist()
    if seen:
        margin = 0.12 * (max(seen) - min(seen)) + 1e-9
        ax.set_ylim(min(seen) - margin, max(seen) + margin)
    else:
        ax.text(0.5, 0.5, "no such loss", transform=ax.transAxes, ha="center", color=FAINT)


def _draw_scores(ax: Axes, finding: Finding, score: str) -> None:
    """The score of every run, those of a seed joined, the mean of each level, the band of the baseline."""
    unit = measure_of(score).unit
    _dress(ax, f"held-out {title(score)}{f', {unit}' if unit else ''}")
    baseline = finding.scores_of(BASELINE, score)
    mean, spread = statistics.fmean(baseline), statistics.stdev(baseline)
    ax.axhspan(mean - spread, mean + spread, color=BAND, zorder=0)
    ax.axhline(mean, color=FAINT, lw=0.8, zorder=1)
    columns = [finding.scores_of(level, score) for level in finding.levels]
    seeds = [result.seed for result in finding.results if result.level == BASELINE]
    for index, seed in enumerate(seeds):
        values = [column[index] for column in columns]
        ax.plot(range(len(columns)), values, color=FAINT, lw=0.8, alpha=0.55, zorder=2)
        for place, (level, value) in enumerate(zip(finding.levels, values, strict=True)):
            ax.plot(place, value, _marker(seed), color=_colour(level), ms=7.5, mec="white", mew=0.9, zorder=4)
    for place, (level, column) in enumerate(zip(finding.levels, columns, strict=True)):
        sound = [value for value in column if math.isfinite(value)]
        if sound:
            ax.hlines(statistics.fmean(sound), place - 0.26, place + 0.26, color=_colour(level), lw=2.2, zorder=3)
        if len(sound) < len(column):
            text = f"{len(column) - len(sound)} diverged"
            ax.text(place, 0.02, text, transform=ax.get_xaxis_transform(), ha="center", fontsize=8, color=FAINT)
    ax.set_xticks(range(len(columns)), [level.replace("-", "\n") for level in finding.levels])
    ax.set_xlim(-0.5, len(columns) - 0.5)


def smooth(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Exponential mean of a curve, without the bias of its start: at first the plain mean of what there is."""
    smoothed, weight, total = [], 0.0, 0.0
    for value in values:
        weight = (1 - SMOOTHING) * weight + SMOOTHING
        total = (1 - SMOOTHING) * total + SMOOTHING * value
        smoothed.append(total / weight)
    return np.asarray(smoothed)


def _curve(result: Result, loss: str) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Steps that have the loss, counted from 1, and its values."""
    values = np.asarray([math.nan if v is None else v for v in result.losses.get(loss, ())], dtype=np.float64)
    known = np.flatnonzero(np.isfinite(values))
    return known + 1, values[known]


def _planted_first(results: Sequence[Result]) -> list[Result]:
    """In the order of drawing: what matters most lies on top."""
    order = {PLANTED: 0, BASELINE: 1}
    return sorted(results, key=lambda result: order.get(result.level, 2))


def _dress(ax: Axes, name: str) -> None:
    ax.set_title(name, loc="left", fontsize=10, color=INK)
    ax.grid(axis="y", color=GRID, lw=0.8)
    ax.set_axisbelow(True)
    ax.tick_params(length=0, labelsize=8.5, labelcolor=INK)
    ax.margins(x=0.01, y=0.14)
    for side, spine in ax.spines.items():
        spine.set_visible(side == "bottom")
        spine.set_color(GRID)


def _colour(level: str) -> str:
    return COLOURS.get(level, FAINT)


def _marker(seed: int) -> str:
    return MARKERS[seed % len(MARKERS)]
