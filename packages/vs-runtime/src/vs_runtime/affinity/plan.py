"""Which CPUs a process and its loader workers should run on: a pure function of a described machine.

The talk "Mixed Precision Training for Video Synthesis" pins each process to cores close to its GPU; the plan does that,
never leaves the CPUs that the process was given, keeps processes of one machine apart where cores suffice, and gives
physical cores before SMT siblings.
"""

from collections.abc import Iterable, Sequence
from typing import Literal

import attrs
from vs_config import choice

from vs_runtime.affinity.topology import Core, Topology
from vs_runtime.errors import AffinityError

AffinityPolicy = Literal["none", "node", "unique"]
_POLICIES = ("none", "node", "unique")


@attrs.frozen(kw_only=True)
class AffinityConfig:
    """The CPUs that a process runs on, as a user writes it."""

    policy: AffinityPolicy = choice(
        "unique",
        "none: wherever the system likes; node: the CPUs close to the GPU, shared by the processes there; "
        "unique: cores of its own for every process",
        _POLICIES,
    )


@attrs.frozen(kw_only=True)
class AffinityPlan:
    """A plan of where to run.

    Attributes:
        process: CPUs of the main process, in rising order, at least one.
        workers: CPUs of each loader worker, at least one each.
        threads: physical cores among `process`: how many threads of computation fit.
        reasons: why so, in words for a log.
    """

    process: tuple[int, ...]
    workers: tuple[tuple[int, ...], ...]
    threads: int
    reasons: tuple[str, ...]


def plan_affinity(
    topology: Topology,
    allowed: Iterable[int],
    *,
    process_index: int = 0,
    processes_on_node: int = 1,
    workers: int = 0,
    gpu_index: int | None = None,
    policy: AffinityPolicy = "unique",
) -> AffinityPlan:
    """Plan for one process; every process of a machine computes its own, and the plans fit together.

    Two processes of one machine get disjoint CPUs with policy `unique` whenever there are as many allowed cores as
    processes and all processes call with the same topology, `allowed` and `processes_on_node`.

    Args:
        topology: the machine.
        allowed: logical CPUs that may be used, such as `allowed_cpus()`; one that the topology does not know counts as
            a core of its own.
        process_index: which process of this machine, from 0 (torchrun's LOCAL_RANK).
        processes_on_node: how many there are (LOCAL_WORLD_SIZE).
        workers: loader workers of this process.
        gpu_index: index of its GPU in the topology, or None when it computes on the CPU. The others are taken to have
            consecutive GPUs, as under torchrun: process k has GPU gpu_index - process_index + k.
        policy: see `AffinityConfig`.

    Raises:
        AffinityError: an argument is out of range.
    """
    cpus = frozenset(allowed)
    _check_arguments(cpus, process_index, processes_on_node, workers, policy)
    reasons = list(topology.notes)
    cores = _allowed_cores(topology, cpus)
    if policy == "none":
        return AffinityPlan(
            process=tuple(sorted(cpus)),
            workers=(tuple(sorted(cpus)),) * workers,
            threads=len(cores),
            reasons=(*reasons, f"policy none: all {len(cpus)} CPUs that the process was given"),
        )
    first_gpu = None if gpu_index is None else gpu_index - process_index
    homes = [_home(topology, cores, None if first_gpu is None else first_gpu + k) for k in range(processes_on_node)]
    if policy == "node":
        own = homes[process_index]
        reasons.append(f"policy node: {len(own)} of {len(cores)} allowed cores are close to the process's GPU")
    else:
        own = _unique_cores(cores, homes, process_index, reasons)
    return _split_between_workers(own, workers, computes_on_cpu=gpu_index is None, reasons=reasons)


def _check_arguments(cpus: frozenset[int], index: int, processes: int, workers: int, policy: str) -> None:
    if not cpus:
        raise AffinityError("allowed", "no CPU at all")
    if policy not in _POLICIES:
        raise AffinityError("policy", f"expected one of 'none', 'node', 'unique', got {policy!r}")
    if not 0 <= index < processes:
        raise AffinityError("process_index", f"expected a number in [0, {processes}), got {index}")
    if workers < 0:
        raise AffinityError("workers", f"expected a number >= 0, got {workers}")


def _allowed_cores(topology: Topology, allowed: frozenset[int]) -> tuple[Core, ...]:
    """Return cores cut down to the allowed CPUs, node by node and within a node by number; none is empty."""
    known = {cpu for core in topology.cores for cpu in core.cpus}
    cut = [attrs.evolve(core, cpus=tuple(sorted(set(core.cpus) & allowed))) for core in topology.cores]
    unknown = [Core(cpus=(cpu,)) for cpu in sorted(allowed - known)]
    return tuple(sorted((c for c in [*cut, *unknown] if c.cpus), key=lambda c: (c.node, c.package, c.cpus)))


def _home(topology: Topology, cores: tuple[Core, ...], gpu_index: int | None) -> tuple[Core, ...]:
    """Return cores close to that GPU; all cores where there is no such GPU, or none of its CPUs is allowed."""
    gpu = next((gpu for gpu in topology.gpus if gpu.index == gpu_index), None)
    close = set() if gpu is None else set(gpu.cpus)
    return tuple(core for core in cores if close & set(core.cpus)) or cores


def _unique_cores(
    cores: tuple[Core, ...], homes: Sequence[tuple[Core, ...]], index: int, reasons: list[str]
) -> tuple[Core, ...]:
    """Return the cores of one process: of those close to its GPU if that leaves every process a core, else of all."""
    groups = [[k for k, other in enumerate(homes) if other == home] for home in homes]
    roomy = all(len(home) >= len(group) for home, group in zip(homes, groups, strict=True))
    if roomy and _disjoint(set(homes)):
        mine, members = homes[index], groups[index]
        where = (
            f"{len(mine)} of {len(cores)} cores, those close to its GPU,"
            if mine != cores
            else f"all {len(cores)} cores"
        )
        reasons.append(f"{where} shared out among {len(members)} process(es)")
    else:
        mine, members = cores, list(range(len(homes)))
        reasons.append(f"too few cores close to the GPUs: all {len(cores)} shared out among {len(members)} process(es)")
    position, count = members.index(index), len(members)
    if len(mine) < count:
        reasons.append(f"more processes than cores ({count} and {len(mine)}): processes share cores")
        return (mine[position % len(mine)],)
    return mine[position * len(mine) // count : (position + 1) * len(mine) // count]


def _disjoint(homes: Iterable[tuple[Core, ...]]) -> bool:
    listed = [core for home in homes for core in home]
    return len(listed) == len(set(listed))


def _split_between_workers(
    cores: tuple[Core, ...], workers: int, *, computes_on_cpu: bool, reasons: list[str]
) -> AffinityPlan:
    """Plan main process and workers on the cores of one process.

    With a GPU the main process mostly launches kernels: the workers get cores of their own as far as there are, and
    the main process keeps the rest, at least one. On the CPU the main process computes: it keeps all cores, and the
    workers get the SMT siblings, or share the last cores where there are none.
    """
    siblings = [core.cpus[1:] for core in cores if len(core.cpus) > 1]
    if computes_on_cpu or len(cores) == 1:
        main = cores
        places = siblings or [core.cpus for core in reversed(cores)]
        how = "SMT siblings" if siblings else "the same cores, from the last on"
    else:
        kept = max(1, len(cores) - workers)
        main, places, how = cores[:kept], [core.cpus for core in cores[kept:]] or [cores[-1].cpus], "cores of their own"
    process = tuple(sorted(core.cpus[0] for core in main))
    reasons.append(f"main process on CPU {_words(process)} (one per core)")
    if workers:
        reasons.append(f"{workers} loader worker(s) on {how}" + (", shared" if workers > len(places) else ""))
    assigned = tuple(places[worker % len(places)] for worker in range(workers))
    return AffinityPlan(process=process, workers=assigned, threads=len(main), reasons=tuple(reasons))


def _words(cpus: tuple[int, ...]) -> str:
    return ", ".join(map(str, cpus[:8])) + (", ..." if len(cpus) > 8 else "")
