"""What a frame of a stream consists of: arithmetic and seconds of each part of the generator, and of each operator.

The parts are the modules that a generator calls, by their names; a module that is called twice in a frame is two parts.
What is left of a frame is "the rest": labels that are encoded, warps, what is concatenated, the calls themselves. The
speed of each part is set against the convolution peak (see peak.py), which is measured in the same turns. A part that
stays far below it is bound by something else: by its weights, which are read from memory once for a few pixels, by
passes over features, or by calls.

The seconds of operators come from PyTorch's profiler, which slows small ones down.
"""

import contextlib
import functools
import itertools
import time
from collections.abc import Callable, Iterator
from typing import Any

import attrs
import torch
import vs_optim as optim
import vs_synthesis as synthesis
from rich.table import Table
from torch import nn
from torch.utils.flop_counter import FlopCounterMode
from vs_config.progress import Progress

from vs_bench.harness import Case, Series, measure, using_threads, wait_for
from vs_bench.peak import peak_case, peak_of
from vs_bench.scene import SETTLED, NextFrame, Scene, model_of, streaming
from vs_bench.tables import plain_table, speed_cells

REST = "the rest"
FRAME, PEAK = "frame", "peak"

Spent = list[tuple[str, float]]
"""By how much a meter rose within each call of a part, in order."""


@attrs.frozen(kw_only=True)
class Part:
    """One part of a frame: its arithmetic, and its seconds in every round."""

    name: str
    flop: float
    series: Series

    @property
    def speed(self) -> float:
        """FLOPs in a second."""
        return self.flop / self.series.median


@attrs.frozen(kw_only=True)
class OperatorTime:
    """Calls and seconds of one operator in one frame, as the profiler says; what it calls itself is not included."""

    name: str
    calls: float
    seconds: float


@attrs.frozen(kw_only=True)
class Profile:
    """A profiled frame: its parts in the order of their calls, and its operators, the slowest first."""

    unit: Series
    frame: Part
    parts: tuple[Part, ...]
    operators: tuple[OperatorTime, ...]
    peak: float


@contextlib.contextmanager
def metered(generator: nn.Module, meter: Callable[[], float]) -> Iterator[Spent]:
    """Yield a list that every call of a part of `generator` is put into, with what `meter` rose by within it."""
    begun: list[float] = []
    spent: Spent = []

    def begin(*_: object) -> None:
        begun.append(meter())

    def end(name: str, *_: object) -> None:
        spent.append((name, meter() - begun.pop()))

    handles = []
    for name, part in _parts_of(generator):
        handles.append(part.register_forward_pre_hook(begin))
        handles.append(part.register_forward_hook(functools.partial(end, name)))
    try:
        yield spent
    finally:
        for handle in handles:
            handle.remove()


def _parts_of(generator: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Yield the modules that a generator calls itself, with their names."""
    for name, child in generator.named_children():
        match child:
            case nn.ModuleList():
                yield from ((f"{name}.{i}", part) for i, part in child.named_children())
            case _:
                yield name, child


def by_part(spent: Spent, whole: float) -> dict[str, float]:
    """Return what each call of one frame took, and as the rest what is left of the `whole`. Pure."""
    found: dict[str, float] = {}
    for name, value in spent:
        again = next(number for number in itertools.count(1) if _called(name, number) not in found)
        found[_called(name, again)] = value
    return found | {REST: whole - sum(found.values())}


def _called(name: str, number: int) -> str:
    return name if number == 1 else f"{name}, call {number}"


def profile_frame(
    scene: Scene,
    computing: synthesis.Computing,
    *,
    rounds: int,
    threads: int,
    device: torch.device,
    progress: Progress | None = None,
) -> Profile:
    """Profile a frame of one stream in its steady state."""
    model = model_of(scene, computing, device)
    prepare = functools.partial(optim.apply_math_mode, model.precision)
    prepare()
    frame = streaming(model, scene)()
    for _ in range(SETTLED):
        frame()
    flop = _flop_by_part(model.generator, frame)
    rows: list[dict[str, float]] = []

    def run() -> None:
        with metered(model.generator, functools.partial(_now, device)) as spent:
            begun = _now(device)
            frame()
            rows.append(by_part(spent, _now(device) - begun))

    peak = peak_case(PEAK, model.precision.dtype or torch.float32, device, prepare)
    cases = [Case(name=FRAME, run=run, prepare=prepare), peak]
    measured = measure(cases, rounds=rounds, warmup=1, threads=threads, device=device, progress=progress)
    return Profile(
        unit=measured.unit,
        frame=Part(name=FRAME, flop=sum(flop.values()), series=measured.case(FRAME)),
        parts=tuple(
            Part(name=name, flop=work, series=Series(name=name, seconds=tuple(each[name] for each in rows[-rounds:])))
            for name, work in flop.items()
        ),
        operators=_operators_of(frame, rounds=rounds, threads=threads),
        peak=peak_of(measured.case(PEAK), device),
    )


def _now(device: torch.device) -> float:
    wait_for(device)
    return time.perf_counter()


def _flop_by_part(generator: nn.Module, frame: NextFrame) -> dict[str, float]:
    """Return the FLOPs of each part of one frame."""
    with FlopCounterMode(display=False) as counter, metered(generator, counter.get_total_flops) as spent:
        frame()
    return by_part(spent, counter.get_total_flops())


def _operators_of(frame: NextFrame, *, rounds: int, threads: int) -> tuple[OperatorTime, ...]:
    """Return what operators take, by their names."""
    with using_threads(threads), torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profiler:
        for _ in range(rounds):
            frame()
    operators = (
        OperatorTime(
            name=each.key.removeprefix("aten::"),
            calls=each.count / rounds,
            seconds=each.self_cpu_time_total / 1e6 / rounds,
        )
        for each in profiler.key_averages()
    )
    return tuple(sorted(operators, key=lambda each: -each.seconds))


def profile_record(profile: Profile) -> dict[str, Any]:
    """Return what the result file holds of a profile."""
    return {
        "peak_flop_per_second": profile.peak,
        "parts": [
            {
                "name": part.name,
                "flop": part.flop,
                "median_seconds": part.series.median,
                "flop_per_second": part.speed,
                "of_peak": part.speed / profile.peak,
                "seconds": part.series.seconds,
            }
            for part in (*profile.parts, profile.frame)
        ],
        "operators": [attrs.asdict(each) for each in profile.operators],
    }


def profile_tables(title: str, profile: Profile, *, operators: int = 12) -> tuple[Table, Table]:
    """Return the tables of parts and of the slowest operators."""
    parts = plain_table(f"{title}, by part", ("part", "GFLOP", "ms", "units", "of frame", "GFLOP/s", "of peak"))
    parts.caption = f"the convolution peak is {profile.peak / 1e9:.0f} GFLOP/s"
    whole, unit = profile.frame.series.median, profile.unit.median
    for part in (*profile.parts, profile.frame):
        seconds = part.series.median
        flop, *speed = speed_cells(part.flop, seconds, profile.peak)
        parts.add_row(
            part.name, flop, f"{1e3 * seconds:.1f}", f"{seconds / unit:.3f}", f"{seconds / whole:.1%}", *speed
        )
    slowest = plain_table(f"{title}, by operator", ("operator", "calls", "ms", "of all"))
    total = sum(each.seconds for each in profile.operators)
    for each in profile.operators[:operators]:
        slowest.add_row(each.name, f"{each.calls:.0f}", f"{1e3 * each.seconds:.1f}", f"{each.seconds / total:.1%}")
    return parts, slowest
