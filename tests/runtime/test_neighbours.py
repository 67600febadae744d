"""Waiting threads beside other processes: figures by hand, and the states of threads as the system knows them."""

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from vs_runtime import allowed_cpus, giving_way
from vs_runtime.neighbours import BUSY, Look, cores_of_others, is_crowded, look, ticks_at_work

GNU_OPENMP = sys.platform == "linux" and any((Path(torch.__file__).parent / "lib").glob("libgomp*"))
needs_gnu_openmp = pytest.mark.skipif(not GNU_OPENMP, reason="PyTorch computes by another OpenMP here")

# A thread that waits awake for ever is running ("R"); one that sleeps is not ("S").
PROGRAM = """
import os, time
import torch
import vs_runtime.neighbours as ours

torch.set_num_threads(2)
before = set(os.listdir("/proc/self/task"))
x = torch.ones(2**20)
x.add_(1)
(worker,) = set(os.listdir("/proc/self/task")) - before

def wait_until(wanted):
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        x.add_(1)
        time.sleep(0.05)
        with open(f"/proc/self/task/{worker}/stat") as file:
            if file.read().rpartition(")")[2].split()[0] == wanted:
                return wanted
    return f"not {wanted}"

others, at = 0.0, 0.0

def look(cpus):
    global at, work
    at, work = at + 1.0, work + others
    return ours.Look(at=at, everybody=work, own=0.0)

work, ours.look, ours.PERIOD = 0.0, look, 0.01
with ours.giving_way():
    states = [wait_until("R")]
    others = 64.0 * (os.cpu_count() or 1)
    states.append(wait_until("S"))
    others = 0.0
    states.append(wait_until("R"))
while set(os.listdir("/proc/self/task")) - before != {worker}:
    time.sleep(0.05)
print(*states)
"""


def child(program: str) -> str:
    environment = {**os.environ, "GOMP_SPINCOUNT": "infinity", "OMP_NUM_THREADS": "2"}
    environment.pop("OMP_WAIT_POLICY", None)
    return subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=100, env=environment
    ).stdout.strip()


@given(seconds=st.floats(0.1, 10), others=st.floats(0, 64), own=st.floats(0, 64))
def test_others_have_what_everybody_has_but_this_process(seconds: float, others: float, own: float) -> None:
    before = Look(at=5.0, everybody=100.0, own=7.0)
    after = Look(at=5.0 + seconds, everybody=100.0 + seconds * (others + own), own=7.0 + seconds * own)
    assert cores_of_others(before, after) == pytest.approx(others, abs=1e-6)


def test_clocks_that_disagree_find_nobody() -> None:
    before, after = Look(at=0.0, everybody=10.0, own=0.0), Look(at=1.0, everybody=11.0, own=1.9)
    assert cores_of_others(before, after) == 0
    assert cores_of_others(before, before) == 0


@pytest.mark.parametrize(
    ("others", "threads", "cores", "crowded"),
    [(0, 2, 2, False), (1, 2, 2, True), (BUSY / 2, 2, 2, False), (5, 2, 8, False), (7, 2, 8, True), (0, 4, 2, True)],
)
def test_it_is_crowded_where_threads_and_neighbours_are_more_than_cores(
    others: float, threads: int, cores: int, crowded: bool
) -> None:
    assert is_crowded(others, threads, cores) == crowded


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux counts so")
def test_a_look_sees_what_this_process_has_done() -> None:
    before = look(allowed_cpus())
    deadline = time.monotonic() + 20
    while (after := look(allowed_cpus())).own < before.own + 0.2:
        assert time.monotonic() < deadline
    # The system counts in hundredths, on each core by itself.
    assert after.everybody - before.everybody >= 0.2 - 0.02 * len(allowed_cpus())


def test_cores_are_known_by_their_names_where_some_are_switched_off() -> None:
    stat = "cpu  1111 9 1111 9 0\ncpu0 1 9 10 9 0\ncpu2 100 9 1000 9 0\ncpu10 10000 9 0 9 0\nintr 5 0\n"
    assert ticks_at_work(stat, {0, 1}) == 11
    assert ticks_at_work(stat, {1, 2}) == 1100
    assert ticks_at_work(stat, range(11)) == 11111


@needs_gnu_openmp
def test_threads_sleep_only_while_there_are_neighbours() -> None:
    assert child(PROGRAM) == "R S R"


@pytest.mark.parametrize(("threads", "wanted"), [(1, True), (2, False)])
def test_one_thread_waits_for_nobody_and_who_does_not_want_it_does_not_get_it(threads: int, wanted: bool) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        with giving_way(wanted=wanted):
            assert not any("giving-way" in thread.name for thread in threading.enumerate())
    finally:
        torch.set_num_threads(before)
