"""Which recipes of training help against drift: `measure_drift.py street-tiny --frames 300`.

Each recipe is trained from the same seed for the same steps by the command that the README names, and rolled out by
`eval:drift` over the same held-out sequences, one after the other. `--store` writes
`docs/benchmarks/PRESET-drift-cpu.json`, for documents.
"""

import json
import math
import sys
from collections.abc import Mapping
from pathlib import Path
from time import perf_counter
from typing import Annotated, Any

import attrs
from cyclopts import Parameter
from measure_presets import call
from rich.console import Console
from rich.table import Table
from vs_bench.errors import VsBenchError
from vs_bench.results import begin, save_records
from vs_config.commands import run_command

_SILENT = "curriculum.past_noise=0"

RECIPES: Mapping[str, tuple[str, ...]] = {
    "none": (_SILENT,),
    "noise of 4 levels": ("curriculum.past_noise=4",),
    "noise of 16 levels": ("curriculum.past_noise=16",),
    "past of the average": (_SILENT, "curriculum.past_frames=average"),
    "clips of 8 frames": (_SILENT, "curriculum.initial_length=8", "curriculum.max_length=8"),
}
"""What is changed of the preset. A clip of twice the length is a step that takes about twice the time."""

SHOWN = ("psnr", "ssim", "warping", "flicker", "grid", "label_agreement")
"""Measures that are printed, where a preset has them."""


@attrs.frozen(kw_only=True)
class Curve:
    """A measure over a roll-out: its mean over the first 30 frames and over the last 30, and where it leaves its band.

    `real` are the last 30 frames of the real video, None where it has no such value.
    """

    first: float
    last: float
    leaves: int | None
    real: float | None


@attrs.frozen(kw_only=True)
class Rolled:
    """Outcome of a recipe, and the seconds that its training took."""

    seconds: float
    curves: Mapping[str, Curve]


def measure(
    preset: Annotated[str, Parameter(help="What is trained.")],
    /,
    *,
    frames: Annotated[int, Parameter(help="Of each roll-out.")] = 300,
    clips: Annotated[int, Parameter(help="Held-out sequences that are rolled out.")] = 4,
    seeds: Annotated[tuple[int, ...], Parameter(help="A run of each recipe for each.", consume_multiple=True)] = (0,),
    out: Annotated[Path, Parameter(help="Where the runs go.")] = Path("runs/drift"),
    store: Annotated[bool, Parameter(help="Keep the result for the documents.", negative="")] = False,
) -> int:
    """Print how each recipe's metrics begin and end over a long roll-out."""
    begun = begin()
    found = {
        name: [_train_and_roll(preset, changes, seed, frames, clips, out / f"{number}-{seed}") for seed in seeds]
        for number, (name, changes) in enumerate(RECIPES.items())
    }
    _print(found)
    if store:
        which = f"--frames {frames} --clips {clips} --seeds {' '.join(map(str, seeds))}"
        document = {"frames": frames, "clips": clips, "seeds": seeds, "recipes": recipes_json(found)}
        command = f"python tools/measure_drift.py {preset} {which}"
        print(save_records(document, f"{preset}-drift-cpu", command=command, begun=begun))
    return 0


def _train_and_roll(preset: str, changes: tuple[str, ...], seed: int, frames: int, clips: int, run: Path) -> Rolled:
    begun = perf_counter()
    call("vs_train", "vid2vid", "--preset", preset, "--out", str(run), f"seed={seed}", *changes)
    seconds = perf_counter() - begun
    report = run / "drift"
    call("vs_eval", "drift", str(run), "--frames", str(frames), "--clips", str(clips), "--out", str(report))
    return Rolled(seconds=seconds, curves=read_curves(report / "drift.json"))


def read_curves(path: Path) -> dict[str, Curve]:
    """Return what a report on drift says of each measure."""
    document: dict[str, Any] = json.loads(path.read_text())
    count = document["band"]["first_frames"]
    return {
        name: Curve(
            first=each["mean"],
            last=each["last"],
            leaves=each["leaves"],
            real=_mean(each["beside"]["real"][-count:]) if "real" in each["beside"] else None,
        )
        for name, each in document["drift"].items()
        if each["last"] is not None
    }


def _mean(values: list[float | None]) -> float | None:
    there = [value for value in values if value is not None and math.isfinite(value)]
    return sum(there) / len(there) if there else None


def recipes_json(found: Mapping[str, list[Rolled]]) -> dict[str, Any]:
    """Return the result as documents cite it: of each measure the means over seeds, and each seed's own."""
    return {
        name: {
            "changes": RECIPES[name],
            "first": _means(each, "first"),
            "last": _means(each, "last"),
            "seeds": [attrs.asdict(rolled) for rolled in each],
        }
        for name, each in found.items()
    }


def _means(found: list[Rolled], part: str) -> dict[str, float]:
    names = [name for name in found[0].curves if all(name in rolled.curves for rolled in found)]
    return {name: sum(getattr(rolled.curves[name], part) for rolled in found) / len(found) for name in names}


def _print(found: Mapping[str, list[Rolled]]) -> None:
    names = [name for name in SHOWN if all(name in rolled.curves for each in found.values() for rolled in each)]
    table = Table("recipe", *names, "seconds", title="first 30 frames → last 30 frames, mean of the seeds")
    for recipe, each in found.items():
        first, last = _means(each, "first"), _means(each, "last")
        seconds = sum(rolled.seconds for rolled in each) / len(each)
        table.add_row(recipe, *(f"{first[name]:.3f} → {last[name]:.3f}" for name in names), f"{seconds:.0f}")
    Console().print(table)


if __name__ == "__main__":
    sys.exit(run_command(measure, VsBenchError))
