"""Thread affinity: copies between host and device and whole steps, bound to some CPUs and unbound."""

from collections.abc import Callable, Sequence
from functools import partial

import attrs
import torch
from vs_runtime import AffinityPlan, Topology, allowed_cpus, apply_affinity, gpu_index_of, plan_affinity, read_topology

from vs_bench.harness import Case, Result, ratio_of
from vs_bench.tables import as_record
from vs_bench.talk.outcome import Line, Outcome, line_of_ratio
from vs_bench.talk.setting import Candidate, Row, Setting, measure_fitting
from vs_bench.talk.stage import config_of, one_clip, set_up, sized, step_of

UNBOUND = "unbound"
PROCESSES = 2
"""That share the cores in the modes which are about sharing; the first one is measured."""
COPY_BYTES = 256 * 2**20


@attrs.frozen(kw_only=True)
class Mode:
    """A way to bind the process.

    Attributes:
        name: what it is called.
        cpus: logical CPUs that it is bound to, in rising order.
        cores: physical cores among them, as many as there are threads of computation.
    """

    name: str
    cpus: tuple[int, ...]
    cores: int


def modes_of(topology: Topology, allowed: frozenset[int], gpu_index: int | None = None) -> tuple[Mode, ...]:
    """Return the ways to bind a process of the machine, those that come to the same CPUs once. Pure.

    They are those of NVIDIA's `set_affinity`, which the talk calls, by names of our own, and the planner's.
    """
    near = plan_affinity(topology, allowed, gpu_index=gpu_index, policy="node").process
    cores = [core.cpus for core in topology.cores if set(core.cpus) & set(near)]
    firsts = [min(set(cpus) & allowed) for cpus in cores]
    share = -(-len(firsts) // PROCESSES)
    both = tuple(sorted(cpu for cpus in cores for cpu in cpus if cpu in allowed))
    far = tuple(sorted(cpu for core in topology.cores for cpu in core.cpus if cpu in allowed and cpu not in both))
    named = {
        UNBOUND: tuple(sorted(allowed)),
        "all cores of the node": tuple(firsts),
        "all cores of the node, hyper-threads together": both,
        "contiguous share of two": tuple(firsts[:share]),
        "interleaved share of two": tuple(firsts[::PROCESSES]),
        "one core": tuple(firsts[:1]),
        "another node": far,
    }
    modes: list[Mode] = []
    for name, cpus in named.items():
        if cpus and cpus not in [mode.cpus for mode in modes]:
            cores_used = sum(bool(set(core.cpus) & set(cpus)) for core in topology.cores)
            modes.append(Mode(name=name, cpus=cpus, cores=cores_used))
    return tuple(modes)


def measure(setting: Setting) -> Outcome:
    """Measure a step, and on CUDA copies, bound in every way there is on this machine, in turns."""
    topology, allowed = read_topology(), allowed_cpus()
    modes = modes_of(topology, allowed, gpu_index_of(topology, setting.device))
    try:
        found = measure_fitting(setting, setting.budget, candidates_of(setting, modes))
    finally:
        bind(Mode(name=UNBOUND, cpus=tuple(sorted(allowed)), cores=len(allowed)), torch.get_num_threads())
    on_cuda = setting.device.type == "cuda"
    left_out = found.left_out if on_cuda else (*found.left_out, "copies between host and device: there is no GPU here")
    return outcome_of(sentence_of(topology, allowed), modes, found.result, left_out)


def bind(mode: Mode, threads: int) -> None:
    """Bind this process and all its threads, and compute with at most so many threads."""
    plan = AffinityPlan(process=mode.cpus, workers=(), threads=mode.cores, reasons=())
    apply_affinity(plan, threads=min(threads, mode.cores))


def candidates_of(setting: Setting, modes: Sequence[Mode]) -> list[Candidate]:
    """Return the cases of every mode; what they compute with is allocated while the process is bound so."""
    config = config_of(setting.scale.street, *sized(*setting.scale.adam_size), "loader.batch_size=1")
    shared = set_up(config, setting.device) if setting.device.type == "cuda" else None

    def cases(mode: Mode) -> list[Case]:
        prepare = partial(bind, mode, setting.threads)
        prepare()
        stage = shared or set_up(config, setting.device)
        step = step_of(stage, one_clip(stage, batch=1, frames=setting.scale.frames))
        made = [Case(name=mode.name, run=step, prepare=prepare)]
        if setting.device.type == "cuda":
            made += [Case(name=mode.name + way, run=run, prepare=prepare) for way, run in copies(setting.device)]
        return made

    return [Candidate(what=f"bound to {mode.name}", make=partial(cases, mode)) for mode in modes]


TO_DEVICE, TO_HOST = ", host to device", ", device to host"


def copies(device: torch.device) -> list[tuple[str, Callable[[], object]]]:
    """Return copies of page-locked memory in both directions."""
    here = torch.zeros(COPY_BYTES, dtype=torch.uint8).pin_memory()
    there = torch.zeros(COPY_BYTES, dtype=torch.uint8, device=device)
    return [
        (TO_DEVICE, lambda: there.copy_(here, non_blocking=True)),
        (TO_HOST, lambda: here.copy_(there, non_blocking=True)),
    ]


def sentence_of(topology: Topology, allowed: frozenset[int]) -> str:
    """Describe the machine. Pure."""
    cores = [core for core in topology.cores if set(core.cpus) & allowed]
    nodes, packages = len({core.node for core in cores}), len({core.package for core in cores})
    machine = f"{packages} socket(s), {nodes} NUMA node(s), {len(cores)} core(s), {len(allowed)} logical CPU(s)"
    one = " With one node, binding brings nothing nearer to anything, and the talk's gain cannot show." * (nodes == 1)
    return f"A whole step, one clip a batch, O0, on a machine of {machine}.{one}"


def outcome_of(sentence: str, modes: Sequence[Mode], result: Result | None, left_out: Sequence[str]) -> Outcome:
    """Return the outcome of the row. Pure."""
    if result is None:
        return Outcome(setting=sentence, left_out=tuple(left_out))
    names = {series.name for series in result.cases}
    lines = [line for mode in modes if mode.name in names for line in lines_of(mode, result, names)]
    return Outcome(
        setting=sentence,
        lines=tuple(lines),
        left_out=tuple(left_out),
        measured=({**as_record(result, baseline=UNBOUND), "modes": [attrs.asdict(mode) for mode in modes]},),
    )


def lines_of(mode: Mode, result: Result, names: set[str]) -> list[Line]:
    """Return the lines of a mode. Pure."""
    lines = []
    series, where = result.case(mode.name), f"{mode.name} ({len(mode.cpus)} CPU(s))"
    low, high = series.quartiles
    lines.append(Line(what=f"{where}: a step", value=series.median, unit="seconds", low=low, high=high))
    if mode.name != UNBOUND:
        speedup = ratio_of(result.case(UNBOUND), series)
        node = mode.name.startswith("all cores")
        lines.append(line_of_ratio(f"{where}: speed-up of a step", speedup, wanted=1 if node else None))
    for way in (TO_DEVICE, TO_HOST):
        if mode.name + way in names:
            copied = result.case(mode.name + way)
            rate = COPY_BYTES / copied.median
            lines.append(Line(what=f"{where}{way}: bytes a second", value=rate, unit="bytes", talk="better when bound"))
    return lines


ROW = Row(
    name="affinity",
    title="Thread affinity",
    says="Threads are bound to the socket of their GPU, which makes copies between host and device faster.",
    figure="no figure",
    measure=measure,
    share=0.7,
)
