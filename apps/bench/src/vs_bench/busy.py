"""Measure what other processes at work cost a training step, by how waiting threads of OpenMP behave.

Usage: hatch run bench:busy [--subject street-tiny] [--policy ours] [--neighbours 1] [--rounds N] [--frames N]
                            [--threads N] [--store] [PATH=VALUE ...]

Each policy has a process of its own, since OpenMP reads its settings when it is loaded; all processes take turns. The
neighbours are loops of pure Python, bound to no core, that are stopped between the cases.

- `PyTorch`: nothing is said; waiting threads spin for some milliseconds;
- `passive`: OMP_WAIT_POLICY=PASSIVE, they sleep at once;
- `ours`: what the commands of this project do (vs_config.tuning.wait_briefly, vs_runtime.neighbours).

The requirement: `ours` loses no more than the neighbours take, plus a fifth. Where they had t of c cores, T threads of
at most c may take 1.2 * max(1, T / (c - t)) times what the quickest policy takes on the idle machine.
Steps are made until every policy has found out what goes on beside it, and only then measured.

Writes runs/bench/busy-cpu.json, or with `--store` docs/benchmarks/busy-cpu.json, where documents cite it.
"""

import atexit
import contextlib
import functools
import os
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Annotated, Any, Literal

import attrs
import cyclopts
import psutil  # type: ignore[import-untyped]
import torch
from rich.table import Table
from vs_config import Range, resolve_config, tuning
from vs_config.commands import option_of
from vs_config.progress import Progress, show_progress
from vs_runtime import allowed_cpus, giving_way
from vs_training.config import TrainConfig
from vs_training.presets import read_preset

from vs_bench.errors import VsBenchError
from vs_bench.harness import Case, Result, Series, measure, ratio_of
from vs_bench.options import Count, Threads
from vs_bench.results import begin, command_of, folder_of, save_records
from vs_bench.step.stepper import stepper
from vs_bench.step.subject import BASELINES, FRAMES
from vs_bench.tables import as_record, wide_console

PolicyName = Literal["PyTorch", "passive", "ours"]
Subject = Literal["street", "face", "street-tiny", "faces-tiny"]
POLICIES: tuple[PolicyName, ...] = ("PyTorch", "passive", "ours")
SUBJECTS: tuple[Subject, ...] = ("street-tiny", "street")
NEIGHBOURS = (0, 1, 2)
LASTING = 1.0
"""Seconds that a case takes at least on the idle machine: many of the slices of time in which cores are shared."""

SETTLING = 3.0
"""Seconds of steps before each measured one: `ours` finds out in less that neighbours have come or gone."""

ROOM = 1.2
"""How many times its share of the loss `ours` may lose."""

_WORK = "while True: pass"

Neighbours = Annotated[tuple[int, ...], option_of(Range(kind=int, low=0, high=64), several=True)]

app = cyclopts.App(name="bench:busy", help=__doc__, suppress_keyboard_interrupt=False)


@attrs.frozen(kw_only=True)
class Situation:
    """A policy, and how many neighbours are at work beside it."""

    policy: PolicyName
    neighbours: int

    @property
    def name(self) -> str:
        """What its case is called."""
        return f"{self.policy}, {self.neighbours} busy"


def ratio_of_rest(taken: float, threads: int, cores: int) -> float:
    """Return how many times as long work takes that has the cores which neighbours leave to it. Pure."""
    wanted = min(threads, cores)
    return max(1.0, wanted / (cores - taken))


@contextlib.contextmanager
def only_said(policy: PolicyName) -> Iterator[None]:
    """Let a process that is begun within it be told of OpenMP's waiting what the policy says."""
    before = {name: value for name in tuning.WAITING if (value := os.environ.pop(name, None)) is not None}
    if policy == "passive":
        os.environ["OMP_WAIT_POLICY"] = "PASSIVE"
    if policy == "ours":
        tuning.wait_briefly()
    try:
        yield
    finally:
        for name in tuning.WAITING:
            os.environ.pop(name, None)
        os.environ.update(before)


@functools.cache
def ready_step(config: TrainConfig, frames: int, threads: int, policy: PolicyName) -> Callable[[], None]:
    """Return the step of this process, which keeps freed memory and computes as training does."""
    tuning.keep_freed_memory(wanted=config.performance.keep_memory)
    torch.set_num_threads(threads)
    to_the_end = contextlib.ExitStack()
    to_the_end.enter_context(giving_way(wanted=policy == "ours"))
    atexit.register(to_the_end.close)
    return stepper(config, frames, torch.device("cpu"))


def make_steps(config: TrainConfig, frames: int, threads: int, policy: PolicyName, count: int) -> float:
    """Make steps in this process, and return the seconds of all."""
    step, start = ready_step(config, frames, threads, policy), time.perf_counter()
    for _ in range(count):
        step()
    return time.perf_counter() - start


def settle(config: TrainConfig, frames: int, threads: int, policy: PolicyName) -> None:
    """Make steps in this process until it knows what goes on beside it."""
    step, start = ready_step(config, frames, threads, policy), time.perf_counter()
    while time.perf_counter() < start + SETTLING:
        step()


@contextlib.contextmanager
def neighbours(count: int) -> Iterator[tuple[subprocess.Popen[bytes], ...]]:
    """Begin processes that work without end, stopped for now; they are gone afterwards."""
    with contextlib.ExitStack() as stack:
        begun = []
        for _ in range(count):
            one = stack.enter_context(subprocess.Popen([sys.executable, "-c", _WORK]))
            stack.callback(one.kill)
            one.send_signal(signal.SIGSTOP)
            begun.append(one)
        yield tuple(begun)


def begin_work(processes: Sequence[subprocess.Popen[bytes]]) -> None:
    """Let neighbours work."""
    for one in processes:
        one.send_signal(signal.SIGCONT)


def end_work(processes: Sequence[subprocess.Popen[bytes]]) -> None:
    """Stop neighbours for now."""
    for one in processes:
        one.send_signal(signal.SIGSTOP)


@attrs.define(kw_only=True)
class Taken:
    """Cores that neighbours had on an average, for each time that a situation was measured."""

    processes: Sequence[psutil.Process]
    cores: dict[str, list[float]] = attrs.field(factory=dict)

    @contextlib.contextmanager
    def noted(self, name: str) -> Iterator[None]:
        """Note under a name what they have within it."""
        before, start = self._seconds(), time.perf_counter()
        yield
        share = (self._seconds() - before) / (time.perf_counter() - start)
        self.cores.setdefault(name, []).append(share)

    def _seconds(self) -> float:
        return float(sum(sum(one.cpu_times()[:2]) for one in self.processes))


Pools = Mapping[PolicyName, ProcessPoolExecutor]


@contextlib.contextmanager
def pools_of(policies: Sequence[PolicyName], make: Callable[..., float]) -> Iterator[Pools]:
    """Begin a process for each policy, which has made a step, `make(policy, 1)`, when it is there."""
    with contextlib.ExitStack() as stack:
        pools = {}
        for policy in policies:
            pools[policy] = stack.enter_context(ProcessPoolExecutor(max_workers=1, mp_context=get_context("spawn")))
            with only_said(policy):
                pools[policy].submit(int).result()  # anything: this begins the process
            pools[policy].submit(make, policy, 1).result()
        yield pools


def measure_subject(
    config: TrainConfig,
    situations: Sequence[Situation],
    *,
    frames: int,
    rounds: int,
    threads: int,
    progress: Progress,
) -> tuple[Result, dict[str, float]]:
    """Measure a step in every situation; return the seconds of one, and the cores that the neighbours had."""
    make = functools.partial(make_steps, config, frames, threads)
    with (
        neighbours(max(one.neighbours for one in situations)) as others,
        pools_of(tuple(dict.fromkeys(one.policy for one in situations)), make) as pools,
    ):
        quickest = min(pool.submit(make, policy, 1).result() for policy, pool in pools.items())
        count = max(1, round(LASTING / quickest))
        taken = Taken(processes=tuple(psutil.Process(one.pid) for one in others))

        def prepare(situation: Situation) -> None:
            begin_work(others[: situation.neighbours])
            pools[situation.policy].submit(settle, config, frames, threads, situation.policy).result()

        def run(situation: Situation) -> None:
            with taken.noted(situation.name):
                pools[situation.policy].submit(make, situation.policy, count).result()
            end_work(others)

        cases = [
            Case(name=one.name, run=functools.partial(run, one), prepare=functools.partial(prepare, one))
            for one in situations
        ]
        result = measure(cases, rounds=rounds, warmup=0, threads=threads, progress=progress)
    cores = {name: statistics.median(each) for name, each in taken.cores.items()}
    return attrs.evolve(result, cases=tuple(of_one_step(each, count) for each in result.cases)), cores


def of_one_step(series: Series, count: int) -> Series:
    """Return the seconds of one step where those of several were measured. Pure."""
    return attrs.evolve(series, seconds=tuple(each / count for each in series.seconds))


def losses_of(
    result: Result, situations: Sequence[Situation], cores: Mapping[str, float], *, available: int
) -> dict[str, dict[str, float | None]]:
    """Return how many times as long each step takes as the quickest on the idle machine, and what it may take. Pure."""
    idle = min((result.case(one.name) for one in situations if one.neighbours == 0), key=lambda series: series.median)
    losses: dict[str, dict[str, float | None]] = {}
    for one in situations:
        ratio = ratio_of(result.case(one.name), idle)
        rest = ratio_of_rest(cores[one.name], result.threads, available)
        losses[one.name] = {
            "ratio": ratio.value,
            "low": ratio.low,
            "high": ratio.high,
            "allowed": ROOM * rest if one.policy == "ours" else None,
            "neighbours_cores": cores[one.name],
        }
    return losses


def table_of(losses: Mapping[str, Mapping[str, float | None]], result: Result, title: str) -> Table:
    """Return the table of a subject: a row for each situation."""
    table = Table(
        title=title, caption="times the idle machine's quickest", title_justify="left", caption_justify="left"
    )
    for heading in ("case", "median ms", "ratio", "95 %", "allowed", "cores of neighbours"):
        table.add_column(heading, justify="left" if heading == "case" else "right", no_wrap=True)
    for name, loss in losses.items():
        allowed = loss["allowed"]
        table.add_row(
            name,
            f"{1e3 * result.case(name).median:.0f}",
            f"{loss['ratio']:.2f}",
            f"{loss['low']:.2f}-{loss['high']:.2f}",
            "" if allowed is None else f"{allowed:.2f}",
            f"{loss['neighbours_cores']:.2f}",
        )
    return table


@app.default
def main(
    *overrides: str,
    subject: tuple[Subject, ...] = SUBJECTS,
    policy: tuple[PolicyName, ...] = POLICIES,
    neighbours: Neighbours = NEIGHBOURS,
    rounds: Count = 5,
    frames: Count = FRAMES,
    threads: Threads = 2,
    store: bool = False,
) -> None:
    """Compare ways of waiting on an idle and on a busy machine."""
    if store and (overrides or frames != FRAMES or not set(SUBJECTS) <= set(subject)):
        raise VsBenchError(f"--store is for all that documents speak of, with {FRAMES} frames and no overrides")
    counts = tuple(dict.fromkeys((0, *neighbours)))
    situations = [Situation(policy=one, neighbours=count) for one in dict.fromkeys(policy) for count in counts]
    available = len(allowed_cpus())
    begun, records, console = begin(), {}, wide_console()
    for name in dict.fromkeys(subject):
        config = config_of(name, overrides)
        with show_progress(f"measuring {name}", unit="rounds") as progress:
            result, cores = measure_subject(
                config, situations, frames=frames, rounds=rounds, threads=threads, progress=progress
            )
        losses = losses_of(result, situations, cores, available=available)
        console.print(table_of(losses, result, f"one training step, {frames} frames, {name}, on {available} cores"))
        records[name] = {**as_record(result, baseline=situations[0].name), "losses": losses}
    path = save_records(
        {"cores": available, "subjects": records},
        "busy-cpu",
        command=command_of("bench:busy"),
        folder=folder_of(store=store),
        begun=begun,
    )
    console.print(f"written to {path}", highlight=False, markup=False)


def config_of(subject: Subject, overrides: Sequence[str]) -> TrainConfig:
    """Return the step of a baseline or a preset, in float32 unless the overrides say otherwise."""
    match subject:
        case "street" | "face":
            document: Mapping[str, Any] = BASELINES[subject]
        case _:
            document = read_preset(subject).document
    return resolve_config(TrainConfig, document, ("precision.level=O0", *overrides), subject)
