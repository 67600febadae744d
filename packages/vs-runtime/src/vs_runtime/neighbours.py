"""Other processes at work: while there are some, waiting threads of OpenMP sleep at once instead of spinning.

A thread that has done its share of an operator waits for the others of its team. GNU's OpenMP lets it spin for a while,
for to sleep and to be woken costs more than most waits last. Where more threads want to work than there are cores, the
thread that is waited for does not run while another spins on its core, and a step takes several times as long. Neither
way is right for both machines, and OpenMP reads what it is told once, when it is loaded.

It has a way of its own, though: where a process has more threads in teams than cores, it spins a hundred times shorter.
So while neighbours are at work a second team, of more threads than there are cores, sleeps in this process. The team
that computes stays as it is: how work is divided, and so every bit of a result, does not depend on the neighbours.
"""

import contextlib
import ctypes
import os
import threading
import time
from collections.abc import Collection, Iterator
from pathlib import Path

import attrs
import torch

from vs_runtime.affinity import allowed_cpus

PERIOD = 0.25
"""Seconds between two looks at the cores."""

BUSY = 0.25
"""Cores that others use beyond what is left over, from which on spinning costs more than sleeping."""

QUIET = 8
"""How many looks in a row find nobody before threads spin again: two seconds."""

_MAPS = Path("/proc/self/maps")
_STAT = Path("/proc/stat")


@attrs.frozen(kw_only=True)
class Look:
    """Seconds at work until a moment: those of all processes on some cores, and of this one.

    Attributes:
        at: the moment, in seconds.
        everybody: of processes that run at the usual priority or above it; who has lowered his gives way by himself.
        own: of this process.
    """

    at: float
    everybody: float
    own: float


def look(cpus: Collection[int]) -> Look:
    """Look at what was done on some cores so far."""
    busy = ticks_at_work(_STAT.read_text(), cpus) / os.sysconf("SC_CLK_TCK")
    return Look(at=time.monotonic(), everybody=busy, own=time.process_time())


def ticks_at_work(stat: str, cpus: Collection[int]) -> int:
    """Return what some cores have done so far, for users and for the system, as /proc/stat counts it. Pure.

    A core is known by its name: those that are switched off have no line.
    """
    lines = [line.split() for line in stat.splitlines() if line.startswith("cpu")]
    names = {f"cpu{cpu}" for cpu in cpus}
    return sum(int(user) + int(system) for name, user, _, system, *_ in lines if name in names)


def cores_of_others(before: Look, after: Look) -> float:
    """Return how many cores other processes have used between two looks, on an average. Pure."""
    others = (after.everybody - before.everybody) - (after.own - before.own)
    return max(0.0, others) / max(after.at - before.at, 1e-3)


def is_crowded(others: float, threads: int, cores: int) -> bool:
    """Tell whether threads of this process have to share cores with others. Pure."""
    return threads + others > cores + BUSY


@contextlib.contextmanager
def giving_way(*, wanted: bool = True) -> Iterator[None]:
    """Watch out for neighbours within it, and let waiting threads sleep while there are some.

    Enter it when the affinity and the number of threads are settled. Only GNU's OpenMP, which PyTorch's builds for
    Linux bring along, can be told so; one thread waits for nobody.
    """
    threads = torch.get_num_threads()
    library = _gnu_openmp() if wanted and threads > 1 else None
    if library is None:
        yield
        return
    stop = threading.Event()
    watch = threading.Thread(target=_watch, args=(library, threads, stop), name="giving-way", daemon=True)
    watch.start()
    try:
        yield
    finally:
        stop.set()
        watch.join()


@contextlib.contextmanager
def second_team(library: ctypes.CDLL, members: int) -> Iterator[None]:
    """Keep a sleeping team of GNU's OpenMP in this process, beside that which computes."""
    formed, over = threading.Event(), threading.Event()

    def hold() -> None:
        # Each member calls free(NULL), which does nothing. The team is this thread's, and ends with it.
        library.GOMP_parallel(ctypes.CDLL(None).free, None, members, 0)
        formed.set()
        over.wait()

    holder = threading.Thread(target=hold, name="giving-way-team", daemon=True)
    holder.start()
    formed.wait()
    try:
        yield
    finally:
        over.set()
        holder.join()


def _watch(library: ctypes.CDLL, threads: int, stop: threading.Event) -> None:
    """Hold a second team from the look that finds neighbours until several in a row find none."""
    cpus = allowed_cpus()
    members = (os.cpu_count() or 1) - threads + 2  # one more than there are cores, with those that compute
    before, quiet = look(cpus), QUIET
    with contextlib.ExitStack() as held:
        while not stop.wait(PERIOD):
            after = look(cpus)
            alone, was_alone = not is_crowded(cores_of_others(before, after), threads, len(cpus)), quiet >= QUIET
            before, quiet = after, quiet + 1 if alone else 0
            if was_alone and not alone:
                held.enter_context(second_team(library, members))
            elif quiet == QUIET:
                held.close()


def _gnu_openmp() -> ctypes.CDLL | None:
    """Return the library that PyTorch computes with, which is loaded already; None: it is another one."""
    if not _MAPS.exists():
        return None
    paths = {line.split(maxsplit=5)[-1].strip() for line in _MAPS.read_text().splitlines() if "libgomp" in line}
    own = {path for path in paths if Path(torch.__file__).parent in Path(path).parents} or paths
    return ctypes.CDLL(own.pop()) if len(own) == 1 else None
