"""This tree's step beside another revision's: a process for each, whose steps take turns."""

import contextlib
import functools
import statistics
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import attrs
import vs_optim as optim
from vs_config import shown
from vs_config.amounts import show_bytes
from vs_config.progress import show_progress

from vs_bench.harness import Case, Result, Series, measure
from vs_bench.memory import peak_of_process
from vs_bench.peak import peak_of
from vs_bench.results import ROOT, Begun
from vs_bench.step.cases import peak_of_level
from vs_bench.step.report import gain_of, print_gain, print_line
from vs_bench.step.revision import Sources, find_revision, sources_of
from vs_bench.step.subject import PRECISIONS, How, Level, Stage, Subject
from vs_bench.step.worker import Worker, start_worker
from vs_bench.tables import as_record, print_result

_REST_SECONDS = 0.05
"""Before each step: threads of a process that has just computed spin for some milliseconds before they sleep."""

_HERE = "this tree"
_WARMUP = 1


@attrs.frozen(kw_only=True)
class Comparison:
    """Measurements of two revisions, beside each other.

    Attributes:
        subject: whose step.
        overrides: of its configuration, in both.
        stages: of its run.
        how: they are measured, one level after the other.
    """

    subject: Subject
    overrides: tuple[str, ...]
    stages: tuple[Stage, ...]
    how: How


@attrs.define(kw_only=True, eq=False)
class _Runner:
    """A revision's process for one level, and what its steps have used.

    Attributes:
        worker: the process.
        stages: of the run.
        flop: of the average step.
        page_faults: of each step that was made, by stage.
        gpu_bytes: the most that PyTorch has had on a GPU.
    """

    worker: Worker
    stages: tuple[Stage, ...]
    flop: float
    page_faults: list[list[int]]
    gpu_bytes: int | None = None

    def run(self, stage: int) -> None:
        """Make a step of a stage."""
        used = self.worker.ask(str(stage))
        self.page_faults[stage].append(used["page_faults"])
        self.gpu_bytes = used["gpu_bytes"]

    def record(self) -> dict[str, Any]:
        """Return what its average step has used, for the file."""
        faults = [statistics.median(each[_WARMUP:]) for each in self.page_faults]
        memory = peak_of_process(self.worker.process.pid) if self.gpu_bytes is None else self.gpu_bytes
        return {"flop": self.flop, "page_faults": _average(faults, self.stages), "peak_memory_bytes": memory}


def compare_revisions(asked: str, comparison: Comparison, begun: Begun) -> dict[str, Any]:
    """Measure, print, and return the record of this tree's step beside that of the revision that is asked for.

    Raises:
        VsBenchError: there is no such revision, or its step cannot be measured.
    """
    revision = find_revision(asked)
    here = Sources(name=_HERE, revision=begun.revision or "", folder=ROOT)
    print_line(f"this tree ({here.revision}) against {shown(asked)} ({revision}): {_weights(comparison.stages)}")
    with sources_of(revision) as there:
        levels = {level: _compare(level, comparison, (there, here)) for level in comparison.how.levels}
    stages = [attrs.asdict(stage) for stage in comparison.stages]
    return {"against": {"asked": asked, "revision": revision}, "stages": stages, "levels": levels}


def _weights(stages: Sequence[Stage]) -> str:
    """Say how the whole run is weighted."""
    return "a run is " + " + ".join(f"{stage.steps} x ({stage.title})" for stage in stages)


def _compare(level: Level, comparison: Comparison, revisions: Sequence[Sources]) -> dict[str, Any]:
    """Measure one level, print it, and return its record; the revision that this tree is held against comes first."""
    there, here = (sources.name for sources in revisions)
    with contextlib.ExitStack() as stack:
        runners = {one.name: stack.enter_context(_start(level, comparison, one)) for one in revisions}
        cases = [case for name, runner in runners.items() for case in _cases(name, runner, comparison, level)]
        peak = peak_of_level(level, comparison.how.device)
        progress = stack.enter_context(show_progress(f"measuring {level}", unit="rounds"))
        measured = measure(
            [*cases, peak],
            rounds=comparison.how.rounds,
            warmup=_WARMUP,
            threads=comparison.how.threads,
            device=comparison.how.device,
            progress=progress,
        )
        used = {name: runner.record() for name, runner in runners.items()}
    runs = [averaged(measured, name, comparison.stages) for name in runners]
    stages = measured.cases[: len(cases)] if len(comparison.stages) > 1 else ()
    result = attrs.evolve(measured, cases=(*stages, *runs))
    print_result(result, baseline=there, title=f"{level}, one training step, {comparison.subject.title}")
    for series in runs:
        use = used[series.name]
        use["share_of_peak"] = use["flop"] / series.median / peak_of(measured.case(peak.name), comparison.how.device)
        _print_use(series.name, use)
    gain = gain_of(result, slow=there, fast=here)
    print_gain(f"{level}, {here}", gain, there)
    return {**as_record(result, baseline=there), "gain": gain, "use": used}


@contextlib.contextmanager
def _start(level: Level, comparison: Comparison, sources: Sources) -> Iterator[_Runner]:
    plan = {
        "document": comparison.subject.document,
        "overrides": [*comparison.overrides, f"precision.level={level}"],
        "title": comparison.subject.title,
        "stages": [(stage.first, stage.frames) for stage in comparison.stages],
        "threads": comparison.how.threads,
        "device": comparison.how.device.type,
    }
    stages = comparison.stages
    with start_worker(sources, {**plan, "count": True}) as (_, facts):  # counting takes memory that no step takes
        flop = _average(facts["flop"], stages)
    with start_worker(sources, {**plan, "count": False}) as (worker, _):
        yield _Runner(worker=worker, stages=stages, flop=flop, page_faults=[[] for _ in stages])


def _cases(name: str, runner: _Runner, comparison: Comparison, level: Level) -> list[Case]:
    note = optim.describe(optim.resolve_precision(PRECISIONS[level], comparison.how.device))
    return [
        Case(
            name=stage_name(name, stage, comparison.stages),
            run=functools.partial(runner.run, index),
            prepare=functools.partial(time.sleep, _REST_SECONDS),
            note=note,
        )
        for index, stage in enumerate(comparison.stages)
    ]


def stage_name(name: str, stage: Stage, stages: Sequence[Stage]) -> str:
    """Return what a revision's steps of a stage are called: the revision alone where a run has but one stage. Pure."""
    return f"{name}, {stage.title}" if len(stages) > 1 else name


def averaged(result: Result, name: str, stages: Sequence[Stage]) -> Series:
    """Return how long a revision's average step of the whole run takes, round by round: stages count by their steps."""
    series = [result.case(stage_name(name, stage, stages)) for stage in stages]
    rounds = zip(*(one.seconds for one in series), strict=True)
    return Series(name=name, seconds=tuple(_average(times, stages) for times in rounds), note=series[0].note)


def _average(numbers: Sequence[float], stages: Sequence[Stage]) -> float:
    """Return the average over a run's steps of what each stage's steps have a number of."""
    steps = [stage.steps for stage in stages]
    return sum(count * one for count, one in zip(steps, numbers, strict=True)) / sum(steps)


def _print_use(name: str, use: Mapping[str, Any]) -> None:
    memory = use["peak_memory_bytes"]
    said = "unknown" if memory is None else show_bytes(memory)
    print_line(
        f"{name}: {use['flop'] / 1e9:.1f} GFLOP, {use['share_of_peak']:.0%} of the convolution peak; "
        f"peak memory {said}; {use['page_faults']:,.0f} page faults"
    )
