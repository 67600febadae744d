"""Measure every operator of vs-ops in every implementation that accepts the call, beside plain PyTorch and apex.

Usage: hatch run bench:ops [--only NAME] [--dtype bfloat16] [--device cuda] [--memory-format both] [--store]
                           [--write-rules]
       hatch run bench:ops --executors [--store]

For every operator there are subjects: sizes that the networks of the presets give it. Each is measured forward and, if
it has gradients, backward, with all implementations in turns (see harness.py), and with figures beside the time:
kernels, bytes moved against the bandwidth of copying, and by `--profile` what the time goes to (see measure.py).
`eager` is what one would write without this package; `apex` is NVIDIA's counterpart, where it is installed and has one.

Writes runs/bench/ops-DEVICE-DTYPE.json; with `--store`, which takes all operators in all sizes, docs/benchmarks/
instead, where documents cite it. `--write-rules` writes from the same figures the rules by which "auto" chooses, and
replaces those of the operators and dtypes that were measured (see rules.py).
"""

import functools
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Literal

import attrs
import cyclopts
import torch
import vs_ops
from rich.console import Console
from vs_config import Range
from vs_config.commands import option_of
from vs_config.errors import refuse_choice
from vs_optim import find_apex
from vs_runtime import choose_device
from vs_training.tensors import tensors_in

from vs_bench.errors import VsBenchError
from vs_bench.harness import Case, measure
from vs_bench.operators import executors
from vs_bench.operators import rules as rules_file
from vs_bench.operators.measure import (
    COPY_BYTES,
    copier,
    min_bytes,
    name_compiled_loops,
    profile_call,
    quiet_profiler,
    repeats_for,
)
from vs_bench.operators.report import (
    APEX,
    BOTH,
    COPY,
    EAGER,
    FORWARD,
    About,
    claims_of,
    claims_table,
    per_call,
    profile_table,
    record_of,
    table_of,
)
from vs_bench.operators.subjects import PLANS, Make, MemoryFormat, Plan, Subject, work_of
from vs_bench.options import Count, Threads
from vs_bench.results import Begun, begin, command_of, folder_of, save_records
from vs_bench.tables import wide_console

Formats = Literal["channels_last", "contiguous", "both"]
Records = dict[str, list[dict[str, Any]]]


@attrs.frozen(kw_only=True)
class Settings:
    """Settings of measuring; `seconds` is how long one measurement of one implementation should take."""

    device: torch.device
    dtype: torch.dtype
    rounds: int
    seconds: float
    threads: int
    skip: tuple[str, ...] = ()


def planned(only: Sequence[str], size: str, dtype: torch.dtype, device_type: str = "cpu") -> list[Plan]:
    """Return the plans of the operators in `only` (all if empty) with `size` in their size's name. Pure.

    Operators over parameters, which are float32 in any precision, are left out for other dtypes, and sizes that only
    GPUs train on other devices.

    Raises:
        VsBenchError: there is no such operator, or no such size of it.
    """
    names = {plan.operator.name: None for plan in PLANS}
    if unknown := sorted(set(only) - names.keys()):
        raise VsBenchError(str(refuse_choice("--only", names, unknown[0])))
    plans = [plan for plan in PLANS if (not only or plan.operator.name in only) and size in plan.size]
    plans = [plan for plan in plans if dtype is torch.float32 or not plan.parameters]
    plans = [plan for plan in plans if device_type == "cuda" or not plan.gpu]
    if not plans:
        raise VsBenchError(f"nothing of the size {size!r} to be measured in {dtype} on {device_type}")
    return plans


def formats_of(plan: Plan, formats: Formats) -> list[MemoryFormat]:
    """Return the memory formats in which a plan is measured: one will do where there are no images. Pure."""
    if formats == "both":
        return ["channels_last", "contiguous"] if plan.images else ["channels_last"]
    return [formats]


def calls_of(plan: Plan, subject: Subject, skip: Sequence[str] = ()) -> dict[str, Callable[[], object]]:
    """Return the calls to be compared by name: eager, our implementations that accept the call, and apex's, if any."""
    candidates = vs_ops.explain(plan.operator, subject.described)
    accepted = [one.implementation.name for one in candidates if one.reason is None]
    ours = {name: functools.partial(subject.call, name) for name in accepted if name not in skip}
    calls: dict[str, Callable[[], object]] = {EAGER: subject.eager, **ours}
    if subject.apex is not None and subject.described.device_type == "cuda" and find_apex().usable:
        try:
            calls[APEX] = subject.apex()
        except ImportError as error:
            Console(stderr=True).print(f"{plan.operator.name}: apex was built without its counterpart ({error})")
    return calls


def about(plan: Plan, subject: Subject, memory_format: MemoryFormat) -> About:
    """Say what a record says beside the figures."""
    described = subject.described
    outputs = list(tensors_in(subject.call("reference")))
    return About(
        operator=plan.operator.name,
        size=plan.size,
        shape=described.shape,
        elements=subject.decides.numel(),
        dtype=str(described.dtype).removeprefix("torch."),
        memory_format=memory_format if plan.images else None,
        way=BOTH if subject.leaves else FORWARD,
        bytes=min_bytes(inputs=subject.inputs, outputs=outputs, leaves=subject.leaves, mutated=subject.mutated),
        rule=plan.rule,
        chosen=vs_ops.choose(plan.operator, described).name,
        note=plan.note,
    )


def measure_plan(plan: Plan, memory_format: MemoryFormat, settings: Settings) -> dict[str, Any]:
    """Build a subject, measure all calls in turns with a large copy among them, and return the record."""
    device = settings.device
    subject = plan.build(Make(device=device, dtype=settings.dtype, memory_format=memory_format))
    facts = about(plan, subject, memory_format)
    calls = calls_of(plan, subject, settings.skip)
    single = {name: work_of(call, subject.leaves) for name, call in calls.items()}
    repeats = {name: repeats_for(run, device, seconds=settings.seconds) for name, run in single.items()}
    profiles = {name: profile_call(run, device) for name, run in single.items()}
    cases = [
        Case(
            name=name,
            run=work_of(call, subject.leaves, repeats[name]),
            note="auto" if name == facts.chosen else "",
        )
        for name, call in calls.items()
    ]
    cases.append(Case(name=COPY, run=copier(device)))
    result = measure(cases, rounds=settings.rounds, threads=settings.threads, device=device)
    measured = per_call(result, {**repeats, COPY: 1})
    return record_of(facts, measured, profiles=profiles, repeats=repeats, copied=2 * COPY_BYTES)


def measure_all(plans: Sequence[Plan], formats: Formats, settings: Settings, *, profiles: bool) -> Records:
    """Measure all plans, print their tables as they come, and return the records by operator."""
    records: Records = {}
    console = wide_console()
    for plan in plans:
        for memory_format in formats_of(plan, formats):
            record = measure_plan(plan, memory_format, settings)
            records.setdefault(plan.operator.name, []).append(record)
            console.print(table_of(record), "")
            if profiles:
                console.print(profile_table(record), "")
    return records


def origin_of(device: torch.device, command: str, begun: Begun) -> rules_file.Origin:
    """Return where, with what, when and of which revision rules were measured."""
    on_cuda = device.type == "cuda"
    name = torch.cuda.get_device_name(device) if on_cuda else begun.machine["cpu"]
    return rules_file.Origin(
        device_type=device.type,
        device=name or "unknown",
        torch=torch.__version__.partition("+")[0],
        command=command,
        measured_at=begun.measured_at,
        revision=begun.revision,
    )


def check_rules(formats: Formats, size: str, skip: Sequence[str]) -> None:
    """Refuse to make rules of a part of what an operator's rules are made of, since they replace all it had.

    Raises:
        VsBenchError: channels_last, a size or an implementation that can be chosen would be missing.
    """
    if formats == "contiguous":
        raise VsBenchError("rules are made of channels_last, the format that training uses; drop one of the options")
    if size or set(skip) & set(rules_file.CHOSEN_FROM):
        raise VsBenchError("rules replace all that an operator had: measure all sizes and implementations of it")


def in_format(records: Records, memory_format: MemoryFormat) -> Records:
    """Return the records of one memory format, and those of what has none. Pure."""
    return {
        name: [one for one in measured if one["memory_format"] in (memory_format, None)]
        for name, measured in records.items()
    }


def compare_executors(device: torch.device, threads: int, *, store: bool) -> None:
    """Measure TorchScript's executors, print and write the comparison."""
    begun = begin()
    record = executors.compare(device, threads=threads)
    executors.print_comparison(record)
    write(record, f"executors-{device.type}", begun, store=store)


def write(record: dict[str, object], name: str, begun: Begun, *, store: bool) -> None:
    """Write what was measured, and say where."""
    path = save_records(record, name, command=command_of("bench:ops"), folder=folder_of(store=store), begun=begun)
    wide_console().print(f"written to {path}", highlight=False, markup=False)


def check_whole(only: Sequence[str], size: str, skip: Sequence[str]) -> None:
    """Refuse to store a part: documents speak of all operators.

    Raises:
        VsBenchError: operators, sizes or implementations that can be chosen would be missing.
    """
    if only or size or set(skip) & set(rules_file.CHOSEN_FROM):
        raise VsBenchError("--store replaces all that is known of the device: measure all operators, sizes and ways")


app = cyclopts.App(name="bench:ops", help=__doc__, suppress_keyboard_interrupt=False)


@app.default
def main(
    *,
    only: tuple[str, ...] = (),
    size: str = "",
    rounds: Count = 15,
    seconds: Annotated[float, option_of(Range(kind=float, low=0, high=60, open_low=True))] = 0.02,
    threads: Threads = 2,
    device: Literal["cpu", "cuda"] = "cpu",
    dtype: Literal["float32", "bfloat16", "float16"] = "float32",
    memory_format: Formats = "channels_last",
    skip: tuple[str, ...] = (),
    profile: bool = False,
    store: bool = False,
    write_rules: bool = False,
    executors: bool = False,
) -> None:
    """Measure the operators by implementation.

    Args:
        only: Names of the operators to measure; all by default.
        size: Measure only sizes with this in their names, "street-small" for example.
        rounds: Measured rounds; each runs every implementation once.
        seconds: How long one measurement of one implementation should take; short calls are repeated.
        threads: CPU threads.
        device: Where to compute.
        dtype: Of images and features; parameters of networks are float32 always.
        memory_format: Of images and features; channels_last is what training uses, and what rules are made of.
        skip: Names of implementations to leave out, "inductor" for example, which takes its time to compile.
        profile: Print what the time of each implementation goes to.
        store: Write to docs/benchmarks; all operators only.
        write_rules: Write the rules of dispatch.
        executors: Measure the switches of TorchScript's executor instead, with GELU, in processes of their own.
    """
    where = choose_device(device)
    if executors:
        compare_executors(where, threads, store=store)
        return
    if store:
        check_whole(only, size, skip)
    if write_rules:
        check_rules(memory_format, size, skip)
    settings = Settings(
        device=where, dtype=getattr(torch, dtype), rounds=rounds, seconds=seconds, threads=threads, skip=skip
    )
    console = wide_console()
    if where.type == "cuda" and not (apex := find_apex()).usable:
        console.print(f"apex is not measured: {apex.reason}")
    torch.set_num_threads(threads)
    quiet_profiler()
    name_compiled_loops()
    begun = begin()
    records = measure_all(planned(only, size, settings.dtype, where.type), memory_format, settings, profiles=profile)
    claims = claims_of(records)
    if claims:
        console.print(claims_table(claims))
    suffix = "-contiguous" if memory_format == "contiguous" else ""
    content: dict[str, object] = {"dtype": dtype, "claims": claims, "operators": records}
    write(content, f"ops-{where.type}-{dtype}{suffix}", begun, store=store)
    if write_rules:
        rules = rules_file.rules_of(in_format(records, "channels_last"))
        path = rules_file.write_rules(rules, origin_of(where, command_of("bench:ops"), begun))
        console.print(f"written to {path}", highlight=False, markup=False)
