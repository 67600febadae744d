"""Measure how time and memory of a training step grow with pixels, batch, length of clips, and filters.

Usage: hatch run bench:scaling [--preset NAME] [--rounds N] [--device cuda] [--threads N] [--store] [PATH=VALUE ...]

Of a small preset's step sizes are made along each axis, each twice the one before, everything else as it is. All
are timed in one interleaved run; memory is measured of each in a process of its own, beside what libraries and networks
take. Through the points of an axis goes the power law that is nearest by least squares of logarithms: with an exponent
above 1 a step grows faster than linearly. Time has a part that does not grow, and memory another (gradients and
averages of Adam), so that exponents below 1 are a matter of size. The first frames of a clip have no past and take less
time than all others: with length it is the time beyond the shortest clip, for the frames beyond it.

Writes runs/bench/scaling-PRESET-DEVICE.json and a picture beside it; with `--store` docs/benchmarks/ instead.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import attrs
import cyclopts
from vs_config.progress import show_progress
from vs_runtime import choose_device
from vs_training.presets import read_preset

from vs_bench.errors import VsBenchError
from vs_bench.harness import Case, Result, measure
from vs_bench.options import Count, Threads
from vs_bench.results import begin, command_of, folder_of, save_records
from vs_bench.scaling.exponents import Exponent, fit_exponent
from vs_bench.scaling.memory import measure_memory
from vs_bench.scaling.picture import draw
from vs_bench.scaling.points import AXES, Axis, Point, points_of
from vs_bench.step.stepper import stepper
from vs_bench.tables import as_record, print_result, wide_console

_WORDS = {"seconds": "time", "bytes": "memory"}

app = cyclopts.App(name="bench:scaling", help=__doc__, suppress_keyboard_interrupt=False)


@app.default
def main(
    *overrides: str,
    preset: str = "street-tiny",
    rounds: Count = 3,
    device: Literal["cpu", "cuda"] = "cpu",
    threads: Threads = 2,
    store: bool = False,
) -> None:
    """Measure steps of several sizes, and say which of their growth is faster than linear."""
    if store and overrides:
        raise VsBenchError("--store is for the steps that documents speak of: no overrides")
    points = points_of(read_preset(preset).document, overrides, preset)
    place = choose_device(device)
    begun = begin()
    with show_progress("measuring time", unit="rounds") as progress:
        cases = [Case(name=p.name, run=stepper(p.config, p.frames, place)) for p in points]
        result = measure(cases, rounds=rounds, warmup=1, threads=threads, device=place, progress=progress)
    del cases
    sizes = []
    with show_progress("measuring memory", unit="processes") as progress:
        for number, point in enumerate(points):
            progress.update(number, len(points))
            sizes.append(measure_memory(point, threads, place))
    axes = growth(points, result, sizes)
    title = f"one training step of {preset}"
    print_result(result, baseline=points[0].name, title=title)
    wide_console().print("\n".join(sentences(axes)), highlight=False, markup=False)
    name, folder = f"scaling-{preset}-{place.type}", folder_of(store=store)
    record = {**as_record(result, baseline=points[0].name), "axes": axes}
    path = save_records(record, name, command=command_of("bench:scaling"), folder=folder, begun=begun)
    picture = draw(axes, title, path.with_suffix(".png"))
    wide_console().print(f"written to {path} and {picture.name}", highlight=False, markup=False)


def growth(points: Sequence[Point], result: Result, sizes: Sequence[int | None]) -> dict[str, dict[str, Any]]:
    """Return by axis what was measured, and its exponents; without memory where the system does not tell. Pure."""
    axes: dict[str, dict[str, Any]] = {}
    for axis in AXES:
        there = [(point, size) for point, size in zip(points, sizes, strict=True) if point.axis == axis]
        amounts = [point.amount for point, _ in there]
        measured: dict[str, list[float]] = {"seconds": [result.case(point.name).median for point, _ in there]}
        known = [size for _, size in there if size is not None]
        if len(known) == len(there):
            measured["bytes"] = [float(size) for size in known]
        exponents = {what: _exponent(axis, what, amounts, values) for what, values in measured.items()}
        axes[axis] = {
            "amounts": amounts,
            **measured,
            "exponents": {what: attrs.asdict(exponent) for what, exponent in exponents.items()},
            "faster_than_linear": [what for what, exponent in exponents.items() if exponent.faster_than_linear],
        }
    return axes


def _exponent(axis: Axis, what: str, amounts: Sequence[int], values: Sequence[float]) -> Exponent:
    if (axis, what) != ("length", "seconds"):
        return fit_exponent(amounts, values)
    return fit_exponent([amount - amounts[0] for amount in amounts[1:]], [value - values[0] for value in values[1:]])


def sentences(axes: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return what the exponents are, and what grows faster than linearly, in words. Pure."""
    lines = []
    for axis, found in axes.items():
        powers = (f"{_WORDS[what]} {Exponent(**exponent)}" for what, exponent in found["exponents"].items())
        lines.append(f"with {axis} to the power of: {', '.join(powers)}")
    faster = [f"{_WORDS[what]} with {axis}" for axis, found in axes.items() for what in found["faster_than_linear"]]
    return [*lines, f"faster than linearly: {', '.join(faster) or 'nothing'}"]
