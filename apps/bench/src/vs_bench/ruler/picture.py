"""The picture of what metrics see: a small panel for each metric and fault."""

from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from vs_bench.ruler.report import cell_of, faults_of, metrics_of
from vs_bench.ruler.responses import Response

COLOURS = {"sees": "#0a7fd6", "blind": "#7a828c", "rewards": "#d1495b"}
INK, BAND = "#24292f", "#dfe3e8"
LEGEND = (
    "Change by size of the fault, upwards for the worse. Grey: what saving as a video changes. The number: visible "
    "from that size on; red, in brackets: taken for an improvement; ~: not by size."
)

_WIDTH, _HEIGHT = 1.15, 0.62
_LEFT, _TOP = 2.6, 1.15


def draw(responses: Sequence[Response], title: str, path: Path) -> Path:
    """Write a PNG: changes by size; a row has one scale."""
    faults, metrics = faults_of(responses), metrics_of(responses)
    width, height = _LEFT + _WIDTH * len(faults) + 0.2, _TOP + _HEIGHT * len(metrics) + 0.4
    figure = Figure(figsize=(width, height), dpi=100, facecolor="white")
    panels = figure.subplots(len(metrics), len(faults), squeeze=False, sharey="row")
    figure.subplots_adjust(
        left=_LEFT / width, right=1 - 0.2 / width, top=1 - _TOP / height, bottom=0.4 / height, wspace=0.08, hspace=0.12
    )
    figure.suptitle(title, x=0.15 / width, y=1 - 0.1 / height, ha="left", va="top", fontsize=12, fontweight="bold")
    figure.text(0.15 / width, 1 - 0.42 / height, LEGEND, ha="left", va="top", fontsize=8, color=INK)
    rows = {metric.name: row for row, metric in enumerate(metrics)}
    columns = {fault.name: column for column, fault in enumerate(faults)}
    for response in responses:
        _draw_response(panels[rows[response.metric.name]][columns[response.fault.name]], response)
    for metric, row in zip(metrics, panels, strict=True):
        row[0].set_ylabel(metric.title, rotation=0, ha="right", va="center", fontsize=8, color=INK, labelpad=8)
    for fault, panel in zip(faults, panels[0], strict=True):
        panel.set_title(f"{fault.name}\n{fault.unit}", fontsize=8, color=INK, pad=6)
    for fault, panel in zip(faults, panels[-1], strict=True):
        labels = ["0", *(f"{size:g}" for size in fault.sizes)]
        panel.set_xticks(range(len(labels)), labels, fontsize=6, color=INK)
        panel.tick_params(length=0)
    figure.savefig(path)
    return path


def _draw_response(panel: Axes, response: Response) -> None:
    """Draw changes over sizes, equally far apart, from the true clips on; the size from which it is visible beside."""
    colour = COLOURS[response.verdict]
    panel.axhspan(-response.band, response.band, color=BAND, linewidth=0)
    panel.plot((0.0, *response.changes), color=colour, linewidth=1.3, marker="o", markersize=2.2)
    panel.text(
        0.05, 0.93, cell_of(response), transform=panel.transAxes, ha="left", va="top", fontsize=6.5, color=colour
    )
    panel.set_xticks([])
    panel.set_yticks([])
    panel.margins(x=0.1, y=0.22)
    for side in panel.spines.values():
        side.set_color(BAND)
