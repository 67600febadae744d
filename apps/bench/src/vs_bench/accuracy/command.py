"""Train the same data, seeds and schedule in O0 and O1, and say whether O1 is as good as O0.

Usage: hatch run bench:accuracy [--out DIR] [--store] [--network NAME] [--preset NAME] [--levels LEVEL] [PATH=VALUE ...]

Without options: vid2vid and few-shot with several seeds each in O0 and in O1, and with a few in O0 with planted
precision faults of several sizes, one of which the experiment has to find out before it may call a level equivalent.
Everything is written into runs/accuracy-DATE/: a run directory for each arm, `accuracy.json` and `accuracy.png`. With
--store they are kept as docs/benchmarks/accuracy-DEVICE.json and .png too. Given the same --out again, it goes on where
it was stopped. docs/accuracy.md tells how to read the result.
"""

import itertools
import shutil
import signal
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Annotated, Literal

import attrs
import cyclopts
from cyclopts import Parameter
from rich.console import Console
from vs_config import shown
from vs_config.progress import show_progress
from vs_config.signals import stop_requests
from vs_runtime import allowed_cpus, choose_device

from vs_bench.accuracy.evaluation import HeldOut
from vs_bench.accuracy.fault import MAX_BITS, describe_fault
from vs_bench.accuracy.picture import draw
from vs_bench.accuracy.plan import (
    SHORT,
    AccuracyError,
    Arm,
    Experiment,
    Level,
    LevelName,
    default_experiments,
    plan_arms,
    plan_levels,
    preset_experiments,
)
from vs_bench.accuracy.programs import missing_programs
from vs_bench.accuracy.report import Finding, compact, find, read_result, record_of
from vs_bench.accuracy.runs import Setting, Stopped, check_arms, is_finished, run_arms
from vs_bench.accuracy.words import statements, table_of
from vs_bench.options import Count, Threads
from vs_bench.results import RESULTS, command_of, given_arguments, save_records
from vs_bench.tables import wide_console

SEEDS = 7
FAULT_SEEDS = 4
"""With how many of the seeds faults are planted; they are large, so that few are enough."""

FAULT_BITS = (2, 0)
"""Bits of mantissa that the planted faults leave the generator's weights, unless told otherwise."""

MAX_SEEDS = 1000

Network = Literal["vid2vid", "few-shot"]
DeviceType = Literal["cpu", "cuda"]


@attrs.frozen(kw_only=True)
class Plan:
    """The whole experiment.

    Attributes:
        experiments: what is trained.
        levels: at which levels; O0 first, planted faults last.
        arms: every combination with every seed, of planted faults with the first few.
        faults: level with a planted fault -> what is planted, in words.
    """

    experiments: tuple[Experiment, ...]
    levels: tuple[Level, ...]
    arms: tuple[Arm, ...]
    faults: Mapping[str, str]


def make_plan(
    experiments: tuple[Experiment, ...],
    levels: Sequence[LevelName],
    seeds: int,
    fault_seeds: int,
    fault_bits: Sequence[int],
    device_type: DeviceType,
) -> Plan:
    """Plan the arms of some experiments.

    Raises:
        AccuracyError: too few or too many seeds, or bits that the fault cannot have.
        PrecisionError: the device does not know a level.
    """
    for option, value in (("--seeds", seeds), ("--fault-seeds", fault_seeds)):
        if not 2 <= value <= MAX_SEEDS:
            message = f"{option}: expected a whole number from 2 to {MAX_SEEDS}, got {value}; a spread needs two"
            raise AccuracyError(message)
    for bits in fault_bits:
        if not 0 <= bits <= MAX_BITS:
            message = f"--fault-bits: expected a whole number from 0 to {MAX_BITS}, got {bits}"
            raise AccuracyError(message)
    planned = plan_levels(levels, device_type, fault_bits)
    return Plan(
        experiments=experiments,
        levels=planned,
        arms=plan_arms(experiments, planned, range(seeds), device_type, fault_seeds),
        faults={
            level.name: f"{describe_fault(level.fault_bits)} after every step, in O0"
            for level in planned
            if level.fault_bits is not None
        },
    )


def choose_experiments(
    networks: Sequence[Network], presets: Sequence[str], overrides: Sequence[str]
) -> tuple[Experiment, ...]:
    """Return the presets, or the short experiments of the networks, or both short experiments.

    Raises:
        AccuracyError: networks and presets are given.
        PresetError, ConfigError: there is no such preset, or an override is wrong.
    """
    if networks and presets:
        message = "--network and --preset exclude each other: a preset has its own network"
        raise AccuracyError(message)
    return preset_experiments(presets, overrides) if presets else default_experiments(networks or SHORT, overrides)


def default_jobs(arms: Sequence[Arm], device_type: str) -> int:
    """Return as many arms at a time as there are cores for their threads; one on a GPU."""
    if device_type != "cpu":
        return 1
    cores = len(allowed_cpus())
    return max(1, min(cores // max(arm.config.run.threads or cores for arm in arms), len(arms)))


def run(plan: Plan, setting: Setting) -> list[Finding]:
    """Train what is not trained yet, and compare.

    Raises:
        AccuracyError: an arm failed or does not belong to the plan.
        Stopped: somebody asked to stop.
    """
    check_arms(plan.arms, setting.out)
    left = sum(not is_finished(arm, setting.out) for arm in plan.arms)
    log = Console(stderr=True)
    log.print(f"{setting.out}: {left} of {len(plan.arms)} arms to train, {setting.jobs} at a time", highlight=False)
    with (
        stop_requests() as stop,
        show_progress("training", unit="frames", notice=lambda: stop.notice, interval_s=30.0) as progress,
    ):
        run_arms(plan.arms, setting, stop, progress)
    return [
        find(experiment.name, [read_result(arm, setting.out) for arm in plan.arms if arm.experiment == experiment.name])
        for experiment in plan.experiments
    ]


def write(
    plan: Plan, findings: Sequence[Finding], said: Sequence[Sequence[str]], setting: Setting, command: str
) -> tuple[Path, Path]:
    """Write `accuracy.json` and `accuracy.png` into the experiment's directory; returns both.

    `said` are the statements on each finding.
    """
    held_out = attrs.asdict(setting.held_out)
    record = {"held_out": held_out, **record_of(plan.experiments, plan.levels, findings, plan.faults, said)}
    document = save_records(record, "accuracy", command=command, folder=setting.out)
    document.write_text(compact(document.read_text("utf-8")), "utf-8")
    return document, draw(findings, setting.out / "accuracy.png")


def keep(files: Sequence[Path], name: str) -> list[Path]:
    """Copy the results to docs/benchmarks under a name."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    return [Path(shutil.copyfile(file, RESULTS / f"{name}{file.suffix}")) for file in files]


def command_without_out() -> str:
    """Return the command that repeats the experiment; where it goes is nobody else's business."""
    words = given_arguments()
    for index, word in enumerate(words):
        if word == "--out":
            return command_of("bench:accuracy", words[:index] + words[index + 2 :])
        if word.startswith("--out="):
            return command_of("bench:accuracy", words[:index] + words[index + 1 :])
    return command_of("bench:accuracy", words)


app = cyclopts.App(name="bench:accuracy", help=__doc__, suppress_keyboard_interrupt=False)


@app.default
def main(
    *overrides: str,
    network: tuple[Network, ...] = (),
    preset: tuple[str, ...] = (),
    levels: tuple[LevelName, ...] = (),
    seeds: int = SEEDS,
    fault_seeds: int = FAULT_SEEDS,
    fault_bits: tuple[int, ...] = FAULT_BITS,
    device: Literal["auto", "cpu", "cuda"] = "auto",
    jobs: Threads | None = None,
    clips: Count | None = None,
    frames: Count | None = None,
    out: Path | None = None,
    store: Annotated[bool, Parameter(negative="")] = False,
) -> int:
    """Run the experiment.

    Args:
        overrides: changes to the configuration of every arm: dotted.path=value.
        network: only this one of the two default experiments; may be given several times.
        preset: instead of them a preset at its own size, with its own schedule; may be given several times.
        levels: beside O0: O1 (the dtype of the device), float16, bfloat16; may be given several times. Default: O1, and
            on CUDA bfloat16 too.
        seeds: how many seeds, from 0 on.
        fault_seeds: with how many of them faults are planted.
        fault_bits: bits of mantissa that a planted fault leaves the generator's weights; may be given several times.
        device: where to train.
        jobs: how many arms are trained at a time; default: one for each core, on CUDA one.
        clips: how many held-out clips are generated; default: all.
        frames: at most so many frames of each; default: all.
        out: directory of the experiment; default runs/accuracy-DATE. What is there already is not trained again.
        store: keep the result in docs/benchmarks, where documents cite it from.
    """
    if missing := missing_programs():
        message = f"arms are trained and evaluated by vs_train and vs_eval: {', '.join(missing)} is not installed"
        raise AccuracyError(message)
    place: DeviceType = "cuda" if choose_device(device).type == "cuda" else "cpu"
    plan = make_plan(choose_experiments(network, preset, overrides), levels, seeds, fault_seeds, fault_bits, place)
    folder = out or Path("runs") / f"accuracy-{datetime.now():%Y%m%d-%H%M%S}"
    held_out = HeldOut(clips=clips, frames=frames)
    setting = Setting(out=folder, jobs=jobs or default_jobs(plan.arms, place), held_out=held_out)
    try:
        findings = run(plan, setting)
    except Stopped as stop:
        print(shown(stop), file=sys.stderr)
        return 128 + signal.Signals[stop.signal]
    except KeyboardInterrupt:
        print("stopped at once; the same command with --out goes on from the last checkpoints", file=sys.stderr)
        return 128 + signal.SIGINT
    said = [statements(finding, plan.faults) for finding in findings]
    written = list(write(plan, findings, said, setting, command_without_out()))
    if store:
        counted = () if seeds == SEEDS else (f"{seeds}-seeds",)
        written += keep(written, "-".join(("accuracy", *network, *preset, *counted, place)))
    console = wide_console()
    console.print(table_of(findings))
    for sentence in itertools.chain.from_iterable(said):
        console.print(sentence, highlight=False, markup=False)
    console.print("written: " + ", ".join(str(file) for file in written), highlight=False, soft_wrap=True)
    return 0
