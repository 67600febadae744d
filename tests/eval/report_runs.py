"""Runs as training and evaluation leave them; every frame of their videos tells its number by its grey."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs
import numpy as np
from toy_runs import STREET
from vs_config import render_config
from vs_eval.files import ClipFiles, PanelPlace, Picture
from vs_eval.parts import Part, looks_json
from vs_eval.report import Table, measures_json
from vs_metrics import Panel, VideoWriter, grid, grid_places, write_png
from vs_runtime.metrics_log import MetricsLog
from vs_runtime.run_directory import RunDirectory, create_run
from vs_training.quality.measures import MEASURES
from vs_training.quality.summary import summarise

FRAMES = 12
HOSTILE = '"><img src=x onerror=alert(1)></script><script>document.title="caught"</script>\u202egnp'
"""A name that does harm wherever it is taken for markup, and one that reads backwards where it is not escaped."""


def real_grey(frame: int) -> int:
    return 30 + 15 * frame


def generated_grey(frame: int, clip: int = 0) -> int:
    return 225 - 15 * frame - 10 * (clip % 6)


def write_video(path: Path, clip: int = 0) -> tuple[PanelPlace, ...]:
    """Write label, real and generated frames, each of one grey."""
    rows: list[list[Panel]] = []
    with VideoWriter(path, fps=10) as writer:
        for frame in range(FRAMES):
            greys = {"label": 128, "real": real_grey(frame), "generated": generated_grey(frame, clip)}
            rows = [[Panel(title=t, image=np.full((48, 96, 3), g, np.uint8)) for t, g in greys.items()]]
            writer.add(grid(rows))
    titles = [panel.title for row in rows for panel in row]
    return tuple(
        PanelPlace(title=title, **attrs.asdict(place)) for title, place in zip(titles, grid_places(rows), strict=True)
    )


def write_evaluation(directory: Path, names: Sequence[str] = ("one", "two"), **more: Any) -> dict[str, Any]:
    """Write what an evaluation leaves but for its page, and return its document."""
    directory.mkdir(parents=True)
    files = [
        ClipFiles(
            name=name,
            video=f"clip-{at}.mp4",
            strip=f"clip-{at}.png",
            frames=FRAMES,
            fps=10,
            panels=write_video(directory / f"clip-{at}.mp4", at),
        )
        for at, name in enumerate(names)
    ]
    write_png(directory / "all.png", np.full((8, 8, 3), 99, np.uint8))
    table = Table(title="Frames", heads=("video", "PSNR"), rows=(("generated", "16.00"),))
    part = Part(report=summarise([]), tables=(table,), clip_tables=(), files=tuple(files), caption="all panels")
    document = {
        "command": "hatch run eval:vid2vid run --checkpoint 5",
        "measured": "2026-01-02T03:04:05+00:00",
        "run": "runs/mine",
        "checkpoint": {"step": 5},
        "summary": "2 held-out clips",
        "measures": measures_json(MEASURES),
        "scores": scores(psnr__generated=16.25, psnr__class_mean=15.0, ssim__generated=0.4, ssim__class_mean=0.5),
        "comparisons": [{"claim": "PSNR above class colours", "value": 16.25, "baseline": 15.0, "holds": True}],
        "clips": [
            {
                "name": name,
                "frames": FRAMES,
                "scores": scores(psnr__generated=16.0 + at),
                "curves": {"psnr/generated": [16.0 + at - 0.1 * frame for frame in range(FRAMES)]},
            }
            for at, name in enumerate(names)
        ],
        **looks_json(part),
        "pictures": [attrs.asdict(Picture(title="all", file="all.png"))],
        **more,
    }
    (directory / "report.json").write_text(json.dumps(document))
    return document


def write_drift(directory: Path, start: float = 20.0) -> None:
    """Write what `drift` leaves but for its page: one metric that falls, and a picture of many frames."""
    directory.mkdir(parents=True)
    write_png(directory / "frames.png", np.full((80, 1000, 3), 24, np.uint8))
    values = [start - 0.1 * frame for frame in range(60)]
    table = Table(title="Drift", heads=("metric", "last 30 frames"), rows=(("PSNR, dB", "15.55"),))
    document = {
        "title": "Over 60 frames, step 5",
        "frames": 60,
        "measures": measures_json(MEASURES[:1]),
        "tables": [attrs.asdict(table)],
        "pictures": [attrs.asdict(Picture(title="frames", file="frames.png"))],
        "drift": {
            "psnr": {
                "mean": 18.55,
                "deviation": 0.87,
                "leaves": 46,
                "generated": values,
                "running_mean": values,
                "beside": {"class_mean": [15.0] * 60},
            }
        },
    }
    (directory / "drift.json").write_text(json.dumps(document))


def scores(**values: float) -> dict[str, dict[str, Any]]:
    return {name.replace("__", "/"): {"value": value, "unit": "dB"} for name, value in values.items()}


def write_run(
    path: Path, *, steps: int = 5, lines: Mapping[int, Mapping[str, Any]] | None = None, seed: int = 0
) -> RunDirectory:
    """Write a run that has been trained for some steps, without weights; `lines` adds to those of metrics.jsonl."""
    run = RunDirectory(path)
    config = attrs.evolve(STREET, seed=seed, run=attrs.evolve(STREET.run, steps=5))
    create_run(run, config=render_config(config), environment={"python": "3.11", "packages": {"torch": "2.13"}})
    with MetricsLog(run.metrics) as log:
        for step in range(1, steps + 1):
            values = {"g_gan": 1 / step, "d_gan": 0.5 + seed, "frames": 1 if step < 3 else 4, "skipped_generator": 0}
            log.append(step, {**values, **(lines or {}).get(step, {})}, {"time": 1000.0 + step})
    for step in (3, 5):
        (run.checkpoints / f"step-{step:08d}").mkdir(parents=True)
    return run
