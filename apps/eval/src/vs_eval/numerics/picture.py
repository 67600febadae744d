"""The heat map: layers in order of execution against exponents, forward and backward, with the format's limits."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import attrs
import numpy as np
import vs_config
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from numpy.typing import NDArray

from vs_eval.numerics.audit import Finding, Result
from vs_eval.numerics.ranges import LOWEST, Format, Magnitudes, combined
from vs_eval.numerics.score import ALARM

MAX_ROWS = 84
"""Rows at most, as far as neighbours can be merged; layers at risk always have their own."""

FAINTEST = 1e-5
"""The smallest fraction of a row's elements that still has a colour."""

MARGIN = 6
"""Exponents that are shown beyond the limits of a format."""

INK, PALE, RISK, DIGITS = "#1b1f24", "#77808b", "#c22f2a", "#a67c1a"
NETWORK_COLOURS = ("#2f5f94", "#7b5a12", "#4c7340", "#6d4690")


@attrs.frozen(kw_only=True, eq=False)
class Row:
    """A layer, or some neighbours that are parts of one module.

    Attributes:
        network: whose.
        parts: names of the modules on the way to it.
        layers: how many layers it stands for.
        forward: magnitudes of outputs.
        backward: of gradients at the inputs, or where there are none at the outputs, times the loss scale.
        bits: the largest score.
        at_risk: whether that is an alarm.
    """

    network: str
    parts: tuple[str, ...]
    layers: int
    forward: Magnitudes
    backward: Magnitudes
    bits: float
    at_risk: bool

    @property
    def name(self) -> str:
        """What stands beside it."""
        name = ".".join((self.network, *self.parts))
        return name if self.layers == 1 else f"{name}.* ({self.layers})"


def draw_heat_map(result: Result, form: Format, title: str, path: Path) -> None:
    """Write a PNG.

    Rows are layers in the order of their first calls, network by network; columns are exponents; the colour is the
    fraction of a layer's elements with that exponent in the reference, gradients times the loss scale. Left of each
    panel is the fraction of zeros. The bars at the right are scores.
    """
    rows = condensed(_rows(result.findings), MAX_ROWS)
    height = max(4.0, 0.165 * len(rows) + 2.0)
    figure = Figure(figsize=(15.5, height), dpi=110, facecolor="white")
    FigureCanvasAgg(figure)
    ratios = {"width_ratios": (1, 1, 0.24), "wspace": 0.03}
    grid = figure.add_gridspec(1, 3, left=0.265, right=0.985, top=1 - 1.3 / height, bottom=0.45 / height, **ratios)
    shown = _shown_exponents(rows, form)
    forward, backward, bars = (figure.add_subplot(grid[column]) for column in range(3))
    image = _panel(forward, rows, lambda row: row.forward, shown, form)
    _panel(backward, rows, lambda row: row.backward, shown, form)
    forward.set_title("forward: outputs", fontsize=10, color=INK, pad=18)
    backward.set_title("backward: gradients times the loss scale", fontsize=10, color=INK, pad=18)
    _names(forward, rows)
    backward.set_yticks([])
    _bars(bars, rows)
    figure.text(
        0.012, 1 - 0.38 / height, vs_config.shown(title), fontsize=14, color=INK, weight="bold", parse_math=False
    )
    scales = ", ".join(f"{scale:g} for the {name}" for name, scale in result.scales.items())
    legend = (
        f"exponents of magnitudes in the reference; layers in order of execution, red: at risk; loss scale {scales}"
    )
    figure.text(0.012, 1 - 0.64 / height, legend, fontsize=9, color=PALE)
    _colour_bar(figure, image, height)
    figure.savefig(path)


def _rows(findings: Iterable[Finding]) -> list[Row]:
    rows = []
    for finding in findings:
        layer = finding.layer
        gradient = layer.input_gradient or layer.output_gradient
        if layer.output is not None:
            rows.append(
                Row(
                    network=layer.key[0],
                    parts=tuple(filter(None, layer.key[1].split("."))),
                    layers=1,
                    forward=layer.output.exact,
                    backward=Magnitudes() if gradient is None else gradient.exact,
                    bits=finding.score.total,
                    at_risk=finding.at_risk,
                )
            )
    first = {network: index for index, network in reversed(list(enumerate(row.network for row in rows)))}
    return sorted(rows, key=lambda row: first[row.network])


def condensed(rows: Sequence[Row], limit: int) -> list[Row]:
    """Merge neighbours without risk, the deepest modules first, until there are `limit` rows, if that can be."""
    rows = list(rows)
    while len(rows) > limit:
        runs = [
            run for run in _runs(rows) if len(run) > 1 and rows[run.start].parts[:-1] and not rows[run.start].at_risk
        ]
        if not runs:
            break
        run = max(runs, key=lambda run: len(rows[run.start].parts))
        rows[run.start : run.stop] = [_merged(rows[run.start : run.stop])]
    return rows


def _runs(rows: Sequence[Row]) -> Iterator[range]:
    """Yield neighbouring rows that are parts of the same module; a row at risk is alone."""
    start = 0
    for index in range(1, len(rows) + 1):
        if index == len(rows) or not _in_one_module(rows[index - 1], rows[index]):
            yield range(start, index)
            start = index


def _in_one_module(one: Row, other: Row) -> bool:
    return (one.network, one.parts[:-1]) == (other.network, other.parts[:-1]) and not (one.at_risk or other.at_risk)


def _merged(rows: Sequence[Row]) -> Row:
    return attrs.evolve(
        rows[0],
        parts=rows[0].parts[:-1],
        layers=sum(row.layers for row in rows),
        forward=combined(row.forward for row in rows),
        backward=combined(row.backward for row in rows),
        bits=max(row.bits for row in rows),
    )


def _shown_exponents(rows: Sequence[Row], form: Format) -> range:
    """Return the format's exponents and a few more; of one with float32's range, only those where something lies."""
    if form.highest - form.subnormal < 60:
        return range(form.subnormal - MARGIN, form.highest + MARGIN + 1)
    counts = combined(part for row in rows for part in (row.forward, row.backward)).counts.double().numpy()
    used = np.flatnonzero(counts > 1e-6 * counts.sum()) + LOWEST
    return range(int(used.min(initial=-10)) - 2, int(used.max(initial=10)) + 3)


def _fractions(rows: Sequence[Row], of: Callable[[Row], Magnitudes], shown: range) -> NDArray[np.float64]:
    """Return (rows, 2 + columns): zeros, a gap, each exponent, as fractions; what is outside counts at the edges."""
    table = np.zeros((len(rows), len(shown) + 2))
    for index, row in enumerate(rows):
        magnitudes = of(row)
        counts = magnitudes.counts.double().numpy() / max(magnitudes.count, 1)
        first, last = shown.start - LOWEST, shown.stop - LOWEST
        table[index, 0] = magnitudes.zeros / max(magnitudes.count, 1)
        table[index, 2:] = counts[first:last]
        table[index, 2] += counts[:first].sum()
        table[index, -1] += counts[last:].sum()
    return np.where(table < FAINTEST, np.nan, table)


def _panel(axes: Axes, rows: Sequence[Row], of: Callable[[Row], Magnitudes], shown: range, form: Format) -> AxesImage:
    axes.set_facecolor("#fafbfc")
    image = axes.imshow(
        _fractions(rows, of, shown),
        aspect="auto",
        cmap="YlGnBu",
        norm=LogNorm(FAINTEST, 1.0),
        extent=(shown.start - 2.5, shown.stop - 0.5, len(rows) - 0.5, -0.5),
        interpolation="none",
        zorder=2,
    )
    _limits(axes, shown, form)
    ticks = [exponent for exponent in shown if exponent % 4 == 0 and exponent > shown.start + 1]
    axes.set_xticks([shown.start - 2, *ticks], ["0", *(f"$2^{{{exponent}}}$" for exponent in ticks)])
    axes.tick_params(axis="both", length=0, labelsize=8, colors=INK)
    between = [index - 0.5 for index in range(1, len(rows))]
    apart = [index - 0.5 for index in range(1, len(rows)) if rows[index].network != rows[index - 1].network]
    for places, width in ((between, 0.5), (apart, 4.0)):
        axes.hlines(places, shown.start - 2.5, shown.stop - 0.5, color="white", linewidth=width, zorder=3)
    for side in axes.spines.values():
        side.set_visible(False)
    return image


def _limits(axes: Axes, shown: range, form: Format) -> None:
    """Mark where the format ends: hatched beyond its numbers, shaded where it loses digits."""
    zones = (
        (shown.start - 0.5, form.subnormal - 1.5, "lost", RISK, "////"),
        (form.subnormal - 1.5, form.normal - 0.5, "subnormal", DIGITS, ""),
        (form.highest + 0.5, shown.stop - 0.5, "overflow", RISK, "////"),
    )
    for start, stop, word, colour, hatch in zones:
        start, stop = max(start, shown.start - 0.5), min(stop, shown.stop - 0.5)
        if stop <= start:
            continue
        axes.axvspan(start, stop, facecolor=colour, alpha=0.07, zorder=0)
        axes.axvspan(start, stop, facecolor="none", edgecolor=colour, alpha=0.25, hatch=hatch, linewidth=0, zorder=4)
        axes.axvline(start if word == "overflow" else stop, color=colour, linewidth=1.0, alpha=0.85, zorder=5)
        middle = ((start + stop) / 2, 1.0)
        axes.annotate(
            word,
            middle,
            xycoords=axes.get_xaxis_transform(),
            xytext=(0, 4),
            textcoords="offset points",
            fontsize=8,
            color=colour,
            ha="center",
        )


def _names(axes: Axes, rows: Sequence[Row]) -> None:
    networks = list(dict.fromkeys(row.network for row in rows))
    axes.set_yticks(range(len(rows)), [row.name for row in rows], fontsize=7.3, family="monospace")
    for label, row in zip(axes.get_yticklabels(), rows, strict=True):
        usual = NETWORK_COLOURS[networks.index(row.network) % len(NETWORK_COLOURS)]
        label.set_color(RISK if row.at_risk else usual)
        label.set_fontweight("bold" if row.at_risk else "normal")


def _bars(axes: Axes, rows: Sequence[Row]) -> None:
    axes.barh(
        range(len(rows)),
        [row.bits for row in rows],
        color=[RISK if row.at_risk else "#a9bccf" for row in rows],
        height=0.74,
    )
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_xlim(0, 1.25 * max(ALARM, *(row.bits for row in rows)))
    axes.axvline(ALARM, color=RISK, linewidth=0.9, linestyle=(0, (4, 3)))
    for index, row in enumerate(rows):
        if row.at_risk:
            axes.text(row.bits, index, f" {row.bits:.1f}", fontsize=7.5, color=RISK, va="center", weight="bold")
    axes.set_title("risk in bits", fontsize=10, color=INK, pad=18)
    axes.set_yticks([])
    axes.tick_params(axis="x", length=0, labelsize=8, colors=INK)
    for side in axes.spines.values():
        side.set_visible(False)


def _colour_bar(figure: Figure, image: AxesImage, height: float) -> None:
    axes = figure.add_axes((0.8, 1 - 0.44 / height, 0.185, 0.12 / height))
    bar = figure.colorbar(image, cax=axes, orientation="horizontal")
    bar.set_ticks([1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1], labels=["0.001 %", "", "0.1 %", "", "10 %", "100 %"])
    axes.tick_params(labelsize=7.5, length=0, colors=INK)
    axes.set_title("share of a layer's elements", fontsize=8, color=PALE, pad=4)
    for side in axes.spines.values():
        side.set_visible(False)
