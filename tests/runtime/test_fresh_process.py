"""A function in a process of its own: what comes back, and what does not stay."""

import os
import signal
import threading
import time
from pathlib import Path

import psutil  # type: ignore[import-untyped]
import pytest
import torch
from in_a_fresh_process import CPU, end, fail, fill, leave_mark, number_of_process
from vs_runtime import VsRuntimeError, in_fresh_process, is_out_of_memory, memory_of
from vs_runtime import memory as memory_module


@pytest.fixture
def own_children() -> None:
    """What these tests start is gone when they end, but for what multiprocessing keeps for next time."""
    before = set(psutil.Process().children())
    yield  # type: ignore[misc]
    left = [child for child in set(psutil.Process().children()) - before if "tracker" not in " ".join(child.cmdline())]
    assert left == []


pytestmark = pytest.mark.usefixtures("own_children")


def test_it_is_another_process_and_memory_of_before_is_not_in_its_peak() -> None:
    assert in_fresh_process(number_of_process, None) != os.getpid()
    held = torch.ones(2**26)  # 256 MiB
    small, large = (in_fresh_process(fill, size) for size in (2**20, 2**27))
    assert held.sum() == 2**26
    if small is None or large is None:
        pytest.skip("this system does not say how much memory a process has had")
    assert large - small == pytest.approx(2**27, rel=0.1)


def test_errors_come_back_as_they_are_with_where_they_were_raised() -> None:
    with pytest.raises(FileNotFoundError, match="nothing there") as caught:
        in_fresh_process(fail, "nothing there")
    assert "fail(" in "".join(caught.value.__notes__) or "in fail" in "".join(caught.value.__notes__)


@pytest.mark.skipif(not hasattr(signal, "pthread_sigmask"), reason="a system without limits of memory")
def test_more_memory_than_allowed_is_an_error_and_nobody_is_killed() -> None:
    with pytest.raises(RuntimeError) as caught:
        in_fresh_process(fill, 2**33, memory=2**31)
    assert is_out_of_memory(caught.value)


def test_a_process_that_is_lost_is_told_from_one_that_was_killed() -> None:
    with pytest.raises(VsRuntimeError, match="ended with status 3"):
        in_fresh_process(end, 3)
    with pytest.raises(MemoryError, match="was killed, which the system does when memory runs out"):
        in_fresh_process(end, -signal.SIGKILL)


def test_who_stops_waiting_leaves_no_process_behind(tmp_path: Path) -> None:
    mark = tmp_path / "mark"

    def interrupt() -> None:
        while not (mark.exists() and mark.read_text()):
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        in_fresh_process(leave_mark, mark)
    thread.join()
    assert not psutil.pid_exists(int(mark.read_text()))


@pytest.mark.parametrize(
    ("limit", "used", "free"), [("1000000", "400000", 600_000), ("1000", "4000", 0), ("max", "5", None)]
)
def test_a_container_bounds_what_is_free(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, limit: str, used: str, free: int | None
) -> None:
    (tmp_path / "max").write_text(f"{limit}\n")
    (tmp_path / "used").write_text(f"{used}\n")
    monkeypatch.setattr(memory_module, "_CONTAINER", ((tmp_path / "max", tmp_path / "used"),))
    room, machine = memory_of(CPU), psutil.virtual_memory()
    if free is None:
        assert room.total == machine.total
    else:
        assert (room.total, room.free) == (int(limit), free)
