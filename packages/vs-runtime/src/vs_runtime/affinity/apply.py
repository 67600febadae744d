"""The edge: hand a plan to the operating system."""

import contextlib
import os
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

import torch

from vs_runtime.affinity.plan import AffinityPlan
from vs_runtime.affinity.topology import Topology
from vs_runtime.errors import AffinityError


def apply_affinity(plan: AffinityPlan, *, threads: int | None = None) -> tuple[str, ...]:
    """Pin this process, with all the threads that it has already, and set PyTorch's number of threads.

    Args:
        plan: where to run.
        threads: how many threads of computation, exactly, whether the process can be pinned or not. None fits them to
            the plan: lowered to `plan.threads` and never raised, so OMP_NUM_THREADS keeps its say; as they are where
            the process cannot be pinned.

    Returns:
        The plan's reasons and, in the last line, what was done or could not be done, for a log. A platform that has no
        affinity, or refuses it, is no error.

    Raises:
        AffinityError: `threads` is below 1; nothing was done.
    """
    if threads is not None and threads < 1:
        raise AffinityError("threads", f"expected None or a whole number >= 1, got {threads}")
    problem = _pin(plan.process)
    pinned = problem or f"pinned to {len(plan.process)} CPU(s)"
    if threads is not None:
        torch.set_num_threads(threads)
        return (*plan.reasons, f"{pinned}, {threads} thread(s) of computation as asked for")
    if problem:
        return (*plan.reasons, problem)
    torch.set_num_threads(min(torch.get_num_threads(), plan.threads))
    return (*plan.reasons, f"{pinned}, {torch.get_num_threads()} thread(s) of computation")


def worker_init(plan: AffinityPlan) -> Callable[[int], None]:
    """Return a `worker_init_fn` for a `DataLoader` that pins worker number i as the plan says; picklable."""
    return partial(_pin_worker, plan.workers)


def gpu_index_of(topology: Topology, device: torch.device | str) -> int | None:
    """Return the index in the topology of the GPU that PyTorch calls `device`; None: the CPU, or NVML does not list it.

    PyTorch numbers only the visible GPUs and in its own order, so the two are matched by UUID.
    """
    device = torch.device(device)
    if device.type != "cuda" or not topology.gpus:
        return None
    uuid = str(getattr(torch.cuda.get_device_properties(device), "uuid", "")).removeprefix("GPU-")
    return next((gpu.index for gpu in topology.gpus if gpu.uuid.removeprefix("GPU-") == uuid), None)


def _pin_worker(workers: tuple[tuple[int, ...], ...], worker_id: int) -> None:
    if workers:
        _pin(workers[worker_id % len(workers)])


def _pin(cpus: Iterable[int]) -> str:
    """Pin every thread of this process; what went wrong in words, or nothing."""
    if not hasattr(os, "sched_setaffinity"):
        return "not pinned: this platform has no thread affinity"
    try:
        os.sched_setaffinity(0, cpus)
        for thread in _threads():
            with contextlib.suppress(ProcessLookupError):  # it ended meanwhile
                os.sched_setaffinity(thread, cpus)
    except OSError as error:
        return f"not pinned: the system refused CPUs {sorted(cpus)} ({error.strerror})"
    return ""


def _threads() -> list[int]:
    """Return threads that run already: affinity is a thread's own, and only new ones inherit it."""
    tasks = Path("/proc/self/task")
    return [int(task.name) for task in tasks.iterdir()] if tasks.is_dir() else []
