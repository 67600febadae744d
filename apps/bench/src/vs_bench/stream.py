"""Measure a frame of a stream, as `vs_synthesis.start` makes it, beside one of training's own roll-out in validation.

Usage: hatch run bench:stream [--baseline street] [--level float32] [--streams 1] [--rounds N] [--frames N]
                              [--device cuda] [--threads N] [--no-memory] [--store] [PATH=VALUE ...]

The networks are the generators of the baselines of bench:step, untrained. Measured are the first frame of a clip, with
the encoding of its references; a frame in the steady state, the median and the 99th percentile; and the memory that
`--frames` frames take at most, and how it grows, in a process of its own each. Several streams take turns in one
process, one frame each; their seconds are those of all divided by how many they are. `--level` is the format that
convolutions compute in: float32, bfloat16 or float16. On a CUDA device there is a third way, a stream whose steady step
is a CUDA graph; its first frame is that behind four others and its capture.

The unit of work (see harness.py) is measured in the same run. TARGETS says how many units a frame of one stream may
take in float32 on the CPU.

`--baseline`, `--level` and `--streams` may be given several times. Writes runs/bench/stream-DEVICE.json, or with
`--store` docs/benchmarks/stream-DEVICE.json, where documents cite it.
"""

import functools
import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Literal

import attrs
import cyclopts
import torch
import vs_optim as optim
import vs_synthesis as synthesis
from rich.table import Table
from torch import Tensor
from vs_config import Range, resolve_config
from vs_config.commands import option_of
from vs_config.progress import Progress, show_progress
from vs_runtime import choose_device
from vs_training.config import TrainConfig

from vs_bench.errors import VsBenchError
from vs_bench.harness import Case, Result, Series, measure, ratio_of
from vs_bench.memory import Memory, MemoryPlan, measure_memory
from vs_bench.options import Count, Threads
from vs_bench.results import begin, command_of, folder_of, save_records
from vs_bench.scene import SETTLED, Way, WayName, scene_of, way_of
from vs_bench.step.subject import BASELINES, Baseline
from vs_bench.tables import as_record, wide_console

TARGETS: Mapping[Baseline, float] = {"street": 0.7, "face": 2.4}
"""Units of work that a frame of one stream may take in float32 on the CPU: half of what the published code takes."""

STREAMS = (1, 2, 4)
"""How many streams documents speak of."""

FRAMES = 32
"""Of the roll-out whose memory documents speak of."""

FIRST_ROUNDS = 9
"""Rounds of the first frame, at most."""

Streams = Annotated[tuple[int, ...], option_of(Range(kind=int, low=1, high=1024), several=True)]

app = cyclopts.App(name="bench:stream", help=__doc__, suppress_keyboard_interrupt=False)


@attrs.frozen(kw_only=True)
class Variant:
    """One way to make frames, for so many clips in turns."""

    way: WayName
    computing: synthesis.Computing
    streams: int

    @property
    def kind(self) -> str:
        """What the case of its first frame is called, which is that of one clip."""
        return f"{self.computing} {self.way}"

    @property
    def name(self) -> str:
        """What the case of its steady state is called."""
        return f"{self.kind}, {self.streams} at once"


@attrs.frozen(kw_only=True)
class Measured:
    """Seconds of a frame in the steady state, and of a clip's first one, by variant; and memory by the steady name."""

    steady: Result
    first: Result
    memory: Mapping[str, Memory | None]


def variants_of(
    levels: Sequence[synthesis.Computing], streams: Sequence[int], device: torch.device
) -> tuple[Variant, ...]:
    """Return what is compared on a device; without levels, float32 and the 16-bit format that it has arithmetic for."""
    on_cuda = device.type == "cuda"
    ways: tuple[WayName, ...] = ("roll-out", "stream", "graph") if on_cuda else ("roll-out", "stream")
    levels = levels or ("float32", *_quick(("float16" if on_cuda else "bfloat16",), device))
    return tuple(
        Variant(way=way, computing=level, streams=count)
        for level in dict.fromkeys(levels)
        for count in dict.fromkeys(streams)
        for way in ways
    )


def _quick(levels: Sequence[synthesis.Computing], device: torch.device) -> list[synthesis.Computing]:
    """Return the formats that a device does not emulate, which takes several times as long."""
    return [level for level in levels if optim.slowness(synthesis.precision_of(level, device), device) is None]


def measure_times(
    config: TrainConfig,
    variants: Sequence[Variant],
    *,
    rounds: int,
    threads: int,
    device: torch.device,
    progress: Progress | None = None,
) -> tuple[Result, Result]:
    """Measure a frame of every variant in the steady state, and the first one of every way.

    The seconds of several clips in turns are divided by how many they are.
    """
    scene = scene_of(config)
    ways = {one.kind: way_of(one.way, scene, one.computing, device) for one in variants}
    prepared = {
        one.kind: functools.partial(optim.apply_math_mode, synthesis.precision_of(one.computing, device))
        for one in variants
    }
    timed = functools.partial(measure, threads=threads, device=device, progress=progress, events=device.type == "cuda")
    steady = timed(
        [
            Case(
                name=one.name,
                run=in_turns(ways[one.kind], one.streams, prepared[one.kind]),
                prepare=prepared[one.kind],
            )
            for one in variants
        ],
        rounds=rounds,
        warmup=SETTLED,
    )
    first = timed(
        [
            Case(name=kind, run=functools.partial(begin_and_make, way), prepare=prepared[kind])
            for kind, way in ways.items()
        ],
        rounds=min(rounds, FIRST_ROUNDS),
        warmup=1,
    )
    return attrs.evolve(steady, cases=tuple(map(of_one_frame, steady.cases, variants))), first


def begin_and_make(way: Way) -> Tensor:
    """Begin a clip and make its first frame."""
    return way()()


def in_turns(way: Way, streams: int, prepare: Callable[[], object]) -> Callable[[], None]:
    """Return what makes one frame of each of `streams` clips, which are begun now, behind `prepare`."""
    prepare()
    clips = [way() for _ in range(streams)]

    def run() -> None:
        for frame in clips:
            frame()

    return run


def of_one_frame(series: Series, variant: Variant) -> Series:
    """Return the seconds of one frame where those of one of each clip were measured. Pure."""
    return attrs.evolve(series, seconds=tuple(each / variant.streams for each in series.seconds))


def measure_memories(
    config: TrainConfig,
    variants: Sequence[Variant],
    *,
    frames: int,
    threads: int,
    device: torch.device,
    progress: Progress,
) -> dict[str, Memory | None]:
    """Measure what every variant takes, each in a process of its own."""
    memories = {}
    for done, one in enumerate(variants):
        progress.update(done, len(variants))
        memories[one.name] = measure_memory(
            MemoryPlan(
                config=config,
                way=one.way,
                computing=one.computing,
                streams=one.streams,
                frames=frames,
                threads=threads,
                device=str(device),
            )
        )
    return memories


def late_of(series: Series) -> float:
    """Return the 99th percentile of the seconds. Pure."""
    if len(series.seconds) == 1:
        return series.seconds[0]
    return statistics.quantiles(series.seconds, n=100, method="inclusive")[98]


def target_of(baseline: Baseline, variant: Variant, device: torch.device) -> float | None:
    """Return how many units a frame may take; None: nothing is said of that."""
    meant = variant.computing == "float32" and variant.way == "stream" and variant.streams == 1
    return TARGETS[baseline] if meant and device.type == "cpu" else None


def roll_out_beside(variant: Variant) -> Variant:
    """Return the roll-out that a variant is compared with."""
    return attrs.evolve(variant, way="roll-out")


def record_of(
    baseline: Baseline, variants: Sequence[Variant], measured: Measured, device: torch.device
) -> dict[str, Any]:
    """Return what the result file holds of a baseline."""
    reference = roll_out_beside(variants[0])
    frames = {
        one.name: {
            "p99_seconds": late_of(measured.steady.case(one.name)),
            "first_seconds": measured.first.case(one.kind).median,
            "target_units": target_of(baseline, one, device),
            "memory_bytes": None if (memory := measured.memory.get(one.name)) is None else attrs.asdict(memory),
        }
        for one in variants
    }
    return {
        "steady": as_record(measured.steady, baseline=reference.name),
        "first": as_record(measured.first, baseline=reference.kind),
        "frames": frames,
    }


def table_of(baseline: Baseline, variants: Sequence[Variant], measured: Measured, device: torch.device) -> Table:
    """Return the table of a baseline: a row for each variant."""
    unit = measured.steady.unit.median
    title = f"one frame, the {baseline} baseline; unit {1e3 * unit:.1f} ms"
    table = Table(
        title=title,
        caption="speed-up over the roll-out beside; memory beside the network",
        title_justify="left",
        caption_justify="left",
    )
    for heading in (
        "case",
        "first ms",
        "median ms",
        "99 % ms",
        "units",
        "target",
        "speed-up",
        "peak MiB",
        "growth MiB",
    ):
        table.add_column(heading, justify="left" if heading == "case" else "right", no_wrap=True)
    for one in variants:
        series, target = measured.steady.case(one.name), target_of(baseline, one, device)
        memory = measured.memory.get(one.name)
        speedup = ratio_of(measured.steady.case(roll_out_beside(one).name), series).value
        table.add_row(
            one.name,
            f"{1e3 * measured.first.case(one.kind).median:.1f}",
            f"{1e3 * series.median:.1f}",
            f"{1e3 * late_of(series):.1f}",
            f"{series.median / unit:.3f}",
            "" if target is None else f"{target:g}",
            "" if one.way == "roll-out" else f"{speedup:.2f}",
            *(("", "") if memory is None else (f"{memory.peak / 2**20:.1f}", f"{memory.growth / 2**20:.1f}")),
        )
    return table


@app.default
def main(
    *overrides: str,
    baseline: tuple[Baseline, ...] = ("street", "face"),
    level: tuple[synthesis.Computing, ...] = (),
    streams: Streams = STREAMS,
    rounds: Count = 100,
    frames: Count = FRAMES,
    device: Literal["cpu", "cuda"] = "cpu",
    threads: Threads = 2,
    memory: bool = True,
    store: bool = False,
) -> None:
    """Compare streams with the roll-out that training validates with."""
    whole = set(baseline) == set(BASELINES) and not level and streams == STREAMS and memory
    if store and (overrides or frames != FRAMES or not whole):
        raise VsBenchError(f"--store is for all that documents speak of, with {FRAMES} frames and no overrides")
    place = choose_device(device)
    variants = variants_of(level, streams, place)
    configs = {
        name: resolve_config(TrainConfig, BASELINES[name], overrides, f"the {name} baseline") for name in baseline
    }
    begun, records = begin(), {}
    for name, config in configs.items():
        with show_progress(f"measuring {name}", unit="rounds") as progress:
            steady, first = measure_times(
                config, variants, rounds=rounds, threads=threads, device=place, progress=progress
            )
        memories: dict[str, Memory | None] = {}
        if memory:
            with show_progress(f"memory of {name}", unit="cases") as progress:
                memories = measure_memories(
                    config, variants, frames=frames, threads=threads, device=place, progress=progress
                )
        measured = Measured(steady=steady, first=first, memory=memories)
        wide_console().print(table_of(name, variants, measured, place))
        records[name] = record_of(name, variants, measured, place)
    command = command_of("bench:stream")
    path = save_records(
        {"baselines": records}, f"stream-{place.type}", command=command, folder=folder_of(store=store), begun=begun
    )
    wide_console().print(f"written to {path}", highlight=False, markup=False)
