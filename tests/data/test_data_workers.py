"""Worker processes: whatever becomes of them is noticed, told in one line, and leaves nothing behind."""

import gc
import multiprocessing
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import cv2
import pytest
import torch
from loader_sources import HAS_FORK, Endless, drain, length_of, open_small_folder, take
from vs_data import Clip, LoaderConfig, LoaderError, load_clips, loader


@pytest.fixture
def source(folder):
    return open_small_folder(folder)


def test_workers_end_when_the_iterator_is_dropped(source, wait_for_workers):
    clips = load_clips(source, LoaderConfig(workers=2), seed=0, length_of=length_of)
    next(clips)
    assert len(multiprocessing.active_children()) == 2
    del clips
    gc.collect()


@pytest.mark.skipif(not HAS_FORK, reason="this system does not fork")
def test_forking_after_opencv_has_started_threads_works(source, wait_for_workers):
    threads = cv2.getNumThreads()
    try:
        cv2.setNumThreads(4)
        picture = torch.zeros(512, 512, dtype=torch.uint8).numpy()
        assert cv2.resize(picture, (2048, 2048)).shape == (2048, 2048)  # large enough for its threads to start
        assert len(take(source, 2, workers=1, start_method="fork")) == 2
        assert cv2.getNumThreads() == 4
    finally:
        cv2.setNumThreads(threads)


class OfParent:
    """Garbage that hangs if a child collects it, as a decoder with threads does."""

    def __init__(self):
        self.itself, self.owner = self, os.getpid()

    def __del__(self):
        if os.getpid() != self.owner:
            time.sleep(3600)


class Collecting(Endless):
    """A source that collects garbage whenever it reads."""

    def read(self, request):
        gc.collect()
        return Clip(frames=torch.zeros(request.length, 3, 2, 2))


@pytest.mark.skipif(not HAS_FORK, reason="this system does not fork")
def test_a_forked_worker_collects_no_garbage_of_the_process_that_it_was_forked_from(wait_for_workers):
    gc.disable()
    try:
        OfParent()
        config = LoaderConfig(batch_size=1, workers=1, start_method="fork", timeout=5)
        assert len(list(load_clips(Collecting(), config, seed=0, length_of=lambda _: 2, stop=2))) == 2
        assert not gc.isenabled()
    finally:
        gc.enable()
        gc.collect()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGBUS, signal.SIGSEGV])
def test_a_lost_worker_is_one_clear_error_where_a_batch_is_awaited(source, number, wait_for_workers):
    clips = load_clips(source, LoaderConfig(workers=1), seed=0, length_of=length_of)
    next(clips)
    (worker,) = multiprocessing.active_children()
    assert worker.pid is not None
    os.kill(worker.pid, number)
    worker.join(20)  # nothing is raised here, nor anywhere else that this process is
    with pytest.raises(
        LoaderError, match=rf"worker 0.*was lost: it was killed \({number.name}\).*loader.workers"
    ) as caught:
        drain(clips)
    assert "\n" not in str(caught.value)
    assert ("memory runs out" in str(caught.value)) == (number == signal.SIGKILL)


@pytest.fixture
def hurried(monkeypatch):
    monkeypatch.setattr(loader, "FIRST_REPORT_S", 0.1)
    monkeypatch.setattr(loader, "_TICK_S", 0.05)


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="this system does not tell what processes do")
def test_a_stopped_worker_is_reported_and_then_given_up(source, hurried, wait_for_workers):
    said: list[str] = []
    config = LoaderConfig(workers=1, prefetch=1, timeout=1)
    clips = load_clips(source, config, seed=0, length_of=length_of, start=7, waiting=said.append)
    next(clips)
    (worker,) = multiprocessing.active_children()
    assert worker.pid is not None
    os.kill(worker.pid, signal.SIGSTOP)
    with pytest.raises(LoaderError, match=rf"process {worker.pid}\) is stopped by a signal .*loader.timeout"):
        drain(clips)
    assert 2 <= len(said) <= 5  # each time that the wait has doubled
    assert all("waiting for data: batch" in text and "is stopped by a signal" in text for text in said)


def test_a_worker_that_goes_on_in_time_is_no_error(source, hurried, wait_for_workers):
    def go_on(_text: str) -> None:
        os.kill(pids[0], signal.SIGCONT)

    config = LoaderConfig(workers=1, prefetch=1, timeout=20)
    clips = load_clips(source, config, seed=0, length_of=length_of, stop=4, waiting=go_on)
    next(clips)
    pids = [worker.pid or 0 for worker in multiprocessing.active_children()]
    os.kill(pids[0], signal.SIGSTOP)
    assert len(list(clips)) == 3


def test_a_signal_handler_that_raises_ends_the_wait(source, wait_for_workers):
    class Stop(BaseException):
        pass

    def handle(*_: object) -> None:
        raise Stop

    clips = load_clips(Endless(), LoaderConfig(workers=2), seed=0, length_of=length_of)
    before = signal.signal(signal.SIGALRM, handle)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.2)
        with pytest.raises(Stop):
            next(clips)
    finally:
        signal.signal(signal.SIGALRM, before)


def test_workers_that_cannot_be_started_are_one_error_and_leave_none(source, monkeypatch, wait_for_workers):
    start = multiprocessing.Process.start
    started: list[object] = []

    def limited(process: multiprocessing.Process) -> None:
        if started:
            raise BlockingIOError(11, "Resource temporarily unavailable")
        started.append(process)
        start(process)

    monkeypatch.setattr("multiprocessing.process.BaseProcess.start", limited)
    clips = load_clips(source, LoaderConfig(workers=3), seed=0, length_of=length_of)
    with pytest.raises(LoaderError, match=r"cannot be started .*unavailable.*fewer workers"):
        next(clips)
    assert len(started) == 1


@pytest.mark.parametrize("error", [RuntimeError("can't start new thread"), KeyboardInterrupt()])
def test_workers_whose_threads_cannot_be_started_are_ended(source, monkeypatch, wait_for_workers, error):
    """They ignore the signal by which Python asks them to end at its exit, and waits: this process would hang."""

    here, start = os.getpid(), threading.Thread.start

    def fail(thread):
        if os.getpid() == here:
            raise error
        start(thread)

    clips = load_clips(source, LoaderConfig(workers=2), seed=0, length_of=length_of)
    monkeypatch.setattr(threading.Thread, "start", fail)
    with pytest.raises(type(error)):
        next(clips)
    assert multiprocessing.active_children() == []


@pytest.mark.skipif(not HAS_FORK, reason="no fork")
def test_a_worker_that_cannot_begin_says_why(source, monkeypatch, capfd, wait_for_workers):
    here, start = os.getpid(), threading.Thread.start

    def fail(thread):
        if os.getpid() != here:
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", fail)
    clips = load_clips(source, LoaderConfig(workers=1, start_method="fork"), seed=0, length_of=length_of)
    with pytest.raises(RuntimeError, match="can't start new thread"):
        next(clips)
    clips.close()
    assert capfd.readouterr().err == ""


def test_workers_ignore_the_signals_of_their_group(source, wait_for_workers):
    clips = load_clips(source, LoaderConfig(workers=1, prefetch=1), seed=0, length_of=length_of)
    next(clips)
    (worker,) = multiprocessing.active_children()
    assert worker.pid is not None
    for number in (signal.SIGINT, signal.SIGTERM):
        os.kill(worker.pid, number)
    for _ in range(6):
        next(clips)
    assert worker.is_alive()
    clips.close()  # type: ignore[attr-defined]


def test_the_hook_runs_in_each_worker(source, tmp_path, wait_for_workers):
    def hook(worker: int) -> None:
        (tmp_path / f"worker-{worker}").write_text(f"{torch.get_num_threads()} {cv2.getNumThreads()}")

    list(load_clips(source, LoaderConfig(workers=2), seed=0, length_of=length_of, stop=4, worker_init=hook))
    found = sorted(path.name for path in tmp_path.glob("worker-*"))
    assert found == ["worker-0", "worker-1"]
    assert (tmp_path / "worker-0").read_text() == "1 1"


PROGRAM = """
    import sys, time
    from vs_data import FolderConfig, LoaderConfig, load_clips, open_source

    if __name__ == "__main__":
        source = open_source(FolderConfig(root=sys.argv[1], height=32, width=48), "train")
        config = LoaderConfig(workers=2, prefetch=1, start_method=sys.argv[3])
        clips = load_clips(source, config, seed=0, length_of=lambda batch: 2)
        next(clips)
        try:
            print("ready", flush=True)
            while sys.argv[2] == "wait":
                time.sleep(0.05)
        except KeyboardInterrupt:
            for _ in range(4):
                next(clips)
            print("interrupted", flush=True)
"""


def lives(group: int) -> bool:
    """Whether anybody of a group of processes is left."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.parametrize("method", ["auto", "forkserver"])
@pytest.mark.parametrize("how", ["exit", "wait"])
def test_a_program_ends_in_peace(source, tmp_path, how, method):
    """With the iterator still alive: at its normal end, and after Ctrl-C to all of the group, whose workers read on."""
    (tmp_path / "program.py").write_text(textwrap.dedent(PROGRAM))
    with subprocess.Popen(
        [sys.executable, "-W", "error", str(tmp_path / "program.py"), source.root, how, method],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        assert process.stdout is not None
        too_long = threading.Timer(60, os.killpg, (process.pid, signal.SIGKILL))
        too_long.start()
        try:
            first = process.stdout.readline()
            if first and how == "wait":
                os.killpg(process.pid, signal.SIGINT)
            output, errors = process.communicate()
        finally:
            too_long.cancel()
    assert (first, errors) == ("ready\n", "")
    assert process.returncode == 0
    assert output == ("interrupted\n" if how == "wait" else "")
    deadline = time.monotonic() + (0 if method == "auto" else 5)  # a server of forks sees its program end
    while lives(process.pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not lives(process.pid)


ORPHANS = """
    import attrs, os, sys, time
    from vs_data import LoaderConfig, SequenceInfo, load_clips

    @attrs.frozen
    class Endless:
        sequences: object = (SequenceInfo(name="a", frames=9),)
        size: object = (2, 2)
        label_kinds: object = attrs.field(factory=dict)

        def read(self, request):
            os.write(1, b"reading\\n")  # at once, beside another that does so
            time.sleep(3600)

    if __name__ == "__main__":
        next(load_clips(Endless(), LoaderConfig(workers=2, start_method=sys.argv[1]), seed=0, length_of=lambda _: 2))
"""


@pytest.mark.skipif(not HAS_FORK, reason="no fork")
@pytest.mark.parametrize("method", ["fork", "forkserver"])
def test_workers_that_hang_end_when_their_parent_is_killed(tmp_path, method):
    (tmp_path / "orphans.py").write_text(textwrap.dedent(ORPHANS))
    with subprocess.Popen(
        [sys.executable, str(tmp_path / "orphans.py"), method],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        assert process.stdout is not None
        began = [process.stdout.readline() for _ in range(2)]
        process.kill()
        rest = process.stdout.read()  # which ends when the last one that could write there has
    assert (began, rest) == (["reading\n"] * 2, "")
