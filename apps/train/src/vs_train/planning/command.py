"""`train:plan`: from the words of a command line to a plan on paper, or as JSON."""

import json

import attrs
from vs_config import ConfigError, resolve_config
from vs_config.amounts import show_bytes, show_duration
from vs_config.progress import show_progress
from vs_training.config import TrainConfig

from vs_train.planning.company import CompanyPlan
from vs_train.planning.plan import Plan, make_plan
from vs_train.request import Request, find_conflicts, read_start, usable_overrides


def run_plan(request: Request, *, measured: bool, as_json: bool, processes: int = 1) -> int:
    """Plan what is asked for and print it.

    Raises:
        ConfigError: Something is wrong with what is asked for, or memory holds no batch of it.
    """
    overrides, problems = usable_overrides(request)
    problems = [*find_conflicts(request), *problems]
    if problems:
        raise ConfigError(problems)
    start = read_start(request)
    config = resolve_config(TrainConfig, start.document, overrides, start.source)
    with show_progress("planning") as progress:
        plan = make_plan(config, progress.message, measured=measured, processes=processes)
    print(json.dumps(attrs.asdict(plan), indent=1) if as_json else "\n".join(describe(plan, start.source)))
    return 0


def with_name(words: tuple[str, ...]) -> tuple[dict[str, str], tuple[str, ...]]:
    """Return the preset or the configuration that the first word names, if it does, and the words that are left."""
    if not words or "=" in words[0] or words[0].startswith("-"):
        return {}, words
    is_file = words[0].endswith(".toml") or "/" in words[0]
    return {"config" if is_file else "preset": words[0]}, words[1:]


def describe(plan: Plan, source: str) -> list[str]:
    """Return a plan in lines for people."""
    what = f"{plan.height}x{plan.width} on {plan.device}, {plan.precision}"
    return [
        f"plan of {source}: {what}",
        *_section("parameters", _parameters(plan)),
        *(() if plan.company is None else _section("processes", _company(plan.company))),
        *_section("memory", _memory(plan)),
        *_section("time", _time(plan)),
        *_section("loader", _loader(plan)),
        *_section("disk", _disk(plan)),
    ]


def _section(title: str, lines: list[str]) -> list[str]:
    return ["", *(f"{title if index == 0 else '':12}{line}".rstrip() for index, line in enumerate(lines))]


def _parameters(plan: Plan) -> list[str]:
    counts = plan.counts
    names = {
        "generator": counts.generator,
        "discriminators": counts.discriminator,
        "perceptual": counts.perceptual,
        "EMA": counts.ema,
    }
    return [
        ", ".join(f"{name} {count:,}" for name, count in names.items()),
        f"{show_bytes(plan.networks_bytes)} with gradients and optimizers, whatever the batch",
    ]


def _company(company: CompanyPlan) -> list[str]:
    waited = "" if company.exposed_seconds is None else f", waited for {1e3 * company.exposed_seconds:.3g} ms of it"
    return [
        f"{company.processes}, each with {company.clips} clip{'s' * (company.clips > 1)} of a batch; memory is of one",
        f"{show_bytes(company.gradient_bytes)} of gradients an update{waited}, if they travel by {company.link}",
    ]


def _memory(plan: Plan) -> list[str]:
    if not plan.memory:
        return ["not measured"]
    columns = [
        ["batch", *map(str, plan.memory[0].bytes_by_batch), "largest"],
        *(
            [f"checkpoint={way.checkpoint}", *map(show_bytes, way.bytes_by_batch.values()), str(way.largest)]
            for way in plan.memory
        ),
    ]
    widths = [max(map(len, column)) for column in columns]
    rows = [
        "  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True))
        for row in zip(*columns, strict=True)
    ]
    return [*rows, f"largest: the largest batch within {plan.limit}"]


def _time(plan: Plan) -> list[str]:
    lines = []
    for stage in plan.stages:
        frames = f"{stage.length} frame{'s' if stage.length > 1 else ''}{', flow alone' if stage.flow_alone else ''}"
        each = "" if stage.seconds_per_step is None else f": {stage.seconds_per_step:.3g} s a step"
        lines.append(f"steps {stage.start} to {stage.stop - 1}, {frames}{each}")
    chosen = " (auto)" if plan.chosen else ""
    whole = "" if plan.seconds is None else f", about {show_duration(plan.seconds)} without pictures and checkpoints"
    return [*lines, f"{plan.stages[-1].stop:,} steps with batch {plan.batch}{chosen}: {plan.images:,} frames{whole}"]


def _loader(plan: Plan) -> list[str]:
    loader = plan.loader
    if not loader.workers:
        return ["the training process reads for itself; no shared memory (/dev/shm)"]
    each = f"{loader.batches_ahead} batches ahead, at most {show_bytes(loader.bytes_ahead)} of the process's memory"
    return [f"{loader.workers} workers read {each}; no shared memory (/dev/shm)"]


def _disk(plan: Plan) -> list[str]:
    disk = plan.disk
    return [
        f"{disk.checkpoints} checkpoints of {show_bytes(disk.checkpoint)}, one of them while it is written; "
        f"{disk.samples} samples of about {show_bytes(disk.sample)}: {show_bytes(disk.total)}"
    ]
