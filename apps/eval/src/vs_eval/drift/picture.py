"""The picture of drift: a panel for each metric, the band of its first frames, and where it leaves that for good."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from vs_training.quality.measures import headed

from vs_eval.drift.curves import FIRST, Drift
from vs_eval.few_shot.tables import METHODS as SUBJECT_METHODS
from vs_eval.report import METHODS

GENERATED, BAND, LEAVES = "#2f5f94", "#9fc3e6", "#c22f2a"
TITLES = {**SUBJECT_METHODS, **METHODS}
"""What methods are called, of both kinds of generators."""

BESIDE = ("#77808b", "#a67c1a", "#4c7340")


def draw_drift(found: Sequence[Drift], title: str, path: Path) -> None:
    """Write a PNG: values of each frame pale, running means strong, the band shaded."""
    figure = Figure(figsize=(9.0, 0.8 + 2.3 * len(found)), layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(title, parse_math=False)
    panels = figure.subplots(len(found), 1, sharex=True, squeeze=False)[:, 0]
    for axes, drift in zip(panels, found, strict=True):
        _draw(axes, drift)
    panels[-1].set_xlabel("frame")
    figure.savefig(path, dpi=110, metadata={"Software": None})


def _draw(axes: Axes, drift: Drift) -> None:
    frames = np.arange(len(drift.generated))
    axes.axhspan(*drift.band, color=BAND, alpha=0.4, linewidth=0, label=f"first {FIRST} frames, mean and 2 sd")
    for (method, values), colour in zip(drift.beside.items(), BESIDE, strict=False):
        axes.plot(frames, values, color=colour, linewidth=0.7, alpha=0.7, label=TITLES.get(method, method))
    axes.plot(frames, drift.generated, color=GENERATED, linewidth=0.5, alpha=0.4)
    axes.plot(frames, drift.running, color=GENERATED, linewidth=1.6, label=f"generated, mean of {FIRST} frames")
    if drift.leaves is not None:
        axes.axvline(drift.leaves, color=LEAVES, linewidth=1.2, label=f"leaves for good at frame {drift.leaves}")
    axes.set_title(headed(drift.measure), fontsize=9, loc="left", parse_math=False)
    axes.legend(fontsize=7, loc="best", ncols=2, framealpha=0.6)
    axes.tick_params(labelsize=8)
    axes.margins(x=0)
