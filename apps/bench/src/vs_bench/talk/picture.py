"""The plot of a row that is a curve."""

from pathlib import Path

from matplotlib.figure import Figure

from vs_bench.talk.outcome import Curve, Trace

COLOURS = ("#0a7fd6", "#12966b", "#e9a23b", "#d1495b", "#7d2e68")
MARKERS = "osD^v"
INK, GRID, TALK = "#24292f", "#e7eaee", "#7a828c"


def draw(curve: Curve, path: Path) -> Path:
    """Write a plot as PNG."""
    figure = Figure(figsize=(6.4, 3.8), dpi=110, layout="constrained", facecolor="white")
    axes = figure.add_subplot()
    for index, trace in enumerate(curve.traces):
        colour = COLOURS[index % len(COLOURS)]
        axes.errorbar(
            trace.x,
            trace.y,
            yerr=error_bars(trace),
            label=trace.name,
            color=colour,
            marker=MARKERS[index % len(MARKERS)],
            capsize=3,
        )
    if curve.talk is not None:
        axes.axhline(curve.talk, color=TALK, linestyle="--", label="the talk")
    axes.set_title(curve.title, loc="left", fontsize=11, color=INK)
    axes.set_xlabel(curve.x)
    axes.set_ylabel(curve.y)
    axes.set_xscale("log", base=2)
    axes.set_xticks(ticks := sorted({x for trace in curve.traces for x in trace.x}), [f"{x:g}" for x in ticks])
    axes.minorticks_off()
    axes.grid(color=GRID)
    axes.legend(frameon=False)
    figure.savefig(path)
    return path


def error_bars(trace: Trace) -> tuple[list[float], list[float]] | None:
    """Return how far the intervals of a trace reach below and above its points; None if it has none. Pure."""
    if not trace.low:
        return None
    below = [max(0.0, y - low) for y, low in zip(trace.y, trace.low, strict=True)]
    above = [max(0.0, high - y) for y, high in zip(trace.y, trace.high, strict=True)]
    return below, above
