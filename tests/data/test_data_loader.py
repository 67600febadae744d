"""The loader: the same batches whatever the workers and wherever it starts, clear errors, and nothing left behind."""

import gc
import multiprocessing
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
import traceback
from collections.abc import Mapping
from pathlib import Path

import attrs
import cv2
import pytest
import torch
from vs_data import (
    AugmentConfig,
    Clip,
    ClipRequest,
    DataError,
    DisFlowConfig,
    FolderConfig,
    LabelInfo,
    LoaderConfig,
    LoaderError,
    SequenceInfo,
    VsDataError,
    count_bytes,
    load_clips,
    loader,
    open_folder,
)

HAS_FORK = "fork" in multiprocessing.get_all_start_methods()


def length_of(batch: int) -> int:
    return 2 + batch % 2


@pytest.fixture
def source(folder):
    root = folder({"a": 3, "b": 4, "c": 6})
    augment = AugmentConfig(scale=0.3, flip=0.5)
    return open_folder(
        FolderConfig(root=str(root), height=32, width=48, flow=DisFlowConfig(preset="fast"), augment=augment), "train"
    )


def take(source, count, start=0, **config):
    clips = load_clips(
        source, LoaderConfig(batch_size=2, **config), seed=11, length_of=length_of, start=start, stop=start + count
    )
    return list(clips)


def assert_same(one, two):
    assert one.name == two.name
    assert torch.equal(one.frames, two.frames)
    assert torch.equal(one.flow, two.flow)
    assert torch.equal(one.flow_confidence, two.flow_confidence)
    assert torch.equal(one.labels["seg_maps"], two.labels["seg_maps"])


@pytest.fixture
def wait_for_workers():
    """No worker may outlive its test."""
    yield
    deadline = time.monotonic() + 20
    while multiprocessing.active_children() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert multiprocessing.active_children() == []


def test_batches_are_what_they_are_whatever_reads_them(source, wait_for_workers):
    alone = take(source, 6)
    assert [clip.frames.shape[:2] for clip in alone] == [(2, length_of(batch)) for batch in range(6)]
    assert len({clip.name for clip in alone}) > 3
    for workers, prefetch in ((1, 1), (2, 3)):
        for one, two in zip(alone, take(source, 6, workers=workers, prefetch=prefetch), strict=True):
            assert_same(one, two)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_resumed_loader_goes_on_where_it_was(source, workers, wait_for_workers):
    alone = take(source, 6, workers=0)
    for one, two in zip(alone[4:], take(source, 2, start=4, workers=workers), strict=True):
        assert_same(one, two)


@pytest.mark.parametrize("workers", [0, 1])
def test_each_batch_has_as_many_references_as_are_asked_of_it(source, workers, wait_for_workers):
    def read(**options):
        return list(load_clips(source, LoaderConfig(batch_size=2), seed=11, length_of=length_of, stop=4, **options))

    clips = list(
        load_clips(
            source,
            LoaderConfig(batch_size=2, workers=workers),
            seed=11,
            length_of=length_of,
            stop=4,
            references_of=lambda batch: batch % 3,
        )
    )
    for batch, (clip, plain) in enumerate(zip(clips, read(), strict=True)):
        assert_same(clip, plain)
        if batch % 3 == 0:
            assert clip.references is None
            continue
        frames, count = clip.frames.shape[1], batch % 3
        assert clip.references is not None
        assert clip.references.flow is not None
        assert clip.references.frames.shape == (2, count, 3, 32, 48)
        assert clip.references.labels["seg_maps"].shape == (2, count, 32, 48)
        assert clip.references.flow.shape == (2, frames, count, 2, 32, 48)


def test_spawned_workers_read_the_same(source, wait_for_workers):
    spawned = take(source, 2, workers=1, start_method="spawn")
    for one, two in zip(take(source, 2, workers=0), spawned, strict=True):
        assert_same(one, two)


def test_the_global_random_state_is_left_alone(source, wait_for_workers):
    before = torch.get_rng_state()
    take(source, 2, workers=1)
    take(source, 2, workers=0)
    assert torch.equal(torch.get_rng_state(), before)


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


def drain(clips):
    for _ in range(50):
        next(clips)


def damage(source, sequence: str) -> str:
    path = os.path.join(source.root, "images", sequence, "0001.png")  # noqa: PTH118
    with open(path, "wb") as file:  # noqa: PTH123
        file.write(b"broken")
    return path


@pytest.mark.parametrize("workers", [0, 2])
def test_bad_data_is_one_clear_error_that_names_the_file(source, workers, wait_for_workers):
    paths = [damage(source, sequence) for sequence in "abc"]
    clips = load_clips(source, LoaderConfig(workers=workers), seed=0, length_of=lambda _: 3)
    with pytest.raises(DataError, match="not a readable picture") as caught:
        drain(clips)
    assert caught.value.file in paths
    assert "\n" not in str(caught.value)
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


@pytest.mark.parametrize("workers", [0, 2])
def test_batches_before_a_bad_length_are_still_given(source, workers, wait_for_workers):
    clips = load_clips(source, LoaderConfig(workers=workers), seed=0, length_of=lambda batch: 2 if batch < 3 else 99)
    for _ in range(3):
        next(clips)
    with pytest.raises(VsDataError, match="clips of 99 frames asked for, but the longest sequence, 'c', has 6"):
        next(clips)


def test_a_length_that_no_sequence_has_is_an_error_at_once(source):
    with pytest.raises(VsDataError, match="clips of 7 frames"):
        load_clips(source, LoaderConfig(), seed=0, length_of=lambda _: 7)


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
    monkeypatch.setattr(loader, "FIRST_WORD_S", 0.1)
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


def test_batches_come_without_shared_memory(source, monkeypatch, wait_for_workers):
    """Nothing of them may go where containers have 64 MB."""

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("shared memory was asked for")

    for name in ("_share_filename_cpu_", "_share_fd_cpu_"):
        monkeypatch.setattr(torch.UntypedStorage, name, refuse)
    monkeypatch.setattr("multiprocessing.shared_memory.SharedMemory.__init__", refuse)
    for one, two in zip(take(source, 3, workers=0), take(source, 3, workers=1), strict=True):
        assert_same(one, two)


@attrs.frozen
class Endless:
    """A source on a drive that does not answer."""

    sequences: tuple[SequenceInfo, ...] = (SequenceInfo(name="a", frames=9),)
    size: tuple[int, int] = (2, 2)
    label_kinds: Mapping[str, LabelInfo] = attrs.field(factory=dict)

    def read(self, request: ClipRequest) -> Clip:  # noqa: ARG002
        time.sleep(3600)
        raise AssertionError


@attrs.frozen
class Odd(Endless):
    """A source of tensors of every kind: empty, of no dimension, not contiguous, of types that NumPy lacks."""

    def read(self, request: ClipRequest) -> Clip:  # noqa: ARG002
        return Clip(
            frames=torch.arange(24.0).reshape(4, 3, 2).transpose(0, 2),
            labels={"a": torch.ones(2, 0, 3, dtype=torch.bfloat16), "b": torch.tensor(7), "c": torch.ones(3) > 0},
            regions=torch.arange(6, dtype=torch.uint8)[::2],
            name="a name\nof two lines",
        )


def test_every_kind_of_tensor_arrives_as_it_was(wait_for_workers):
    one, two = (
        next(load_clips(Odd(), LoaderConfig(batch_size=2, workers=workers), seed=0, length_of=length_of))
        for workers in (0, 1)
    )
    assert two.name == one.name
    pairs = [(one.frames, two.frames), (one.regions, two.regions), *((one.labels[k], two.labels[k]) for k in "abc")]
    for expected, found in pairs:
        assert found.dtype == expected.dtype
        assert torch.equal(found, expected)
    assert count_bytes(one) == count_bytes(two) == sum(tensor.nbytes for tensor, _ in pairs)


class UnreadableError(Exception):
    """Can be pickled and not be unpickled."""

    def __init__(self, one: object, two: object) -> None:  # noqa: ARG002
        super().__init__("text")


@attrs.frozen
class Unreadable(Endless):
    def read(self, request: ClipRequest) -> Clip:  # noqa: ARG002
        raise UnreadableError(1, 2)


def test_an_error_that_cannot_be_sent_is_told_all_the_same(wait_for_workers):
    with pytest.raises(RuntimeError, match=r"UnreadableError(?s:.*)in read"):
        next(load_clips(Unreadable(), LoaderConfig(workers=1), seed=0, length_of=length_of))


@attrs.frozen
class Hungry(Endless):
    def read(self, request: ClipRequest) -> Clip:  # noqa: ARG002
        raise MemoryError("no room")


def test_too_little_memory_in_a_worker_is_told_as_such(wait_for_workers):
    with pytest.raises(MemoryError, match="no room"):
        next(load_clips(Hungry(), LoaderConfig(workers=1), seed=0, length_of=length_of))


@attrs.frozen
class Faulty:
    """A source with a bug."""

    sequences: tuple[SequenceInfo, ...] = (SequenceInfo(name="a", frames=2),)
    size: tuple[int, int] = (2, 2)
    label_kinds: Mapping[str, LabelInfo] = attrs.field(factory=dict)

    def read(self, request: ClipRequest) -> Clip:
        raise RuntimeError(f"a bug, not bad data, at {request.start}")


@pytest.mark.parametrize("workers", [0, 1])
def test_a_bug_in_a_source_keeps_its_traceback(workers, wait_for_workers):
    clips = load_clips(Faulty(), LoaderConfig(workers=workers), seed=0, length_of=length_of)
    with pytest.raises(RuntimeError, match="a bug, not bad data") as caught:
        next(clips)
    assert "in read" in "".join(traceback.format_exception(caught.value))
    del clips, caught
    gc.collect()


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
        clips = load_clips(source, LoaderConfig(workers=2), seed=0, length_of=lambda batch: 2)
        next(clips)
        try:
            print("ready", flush=True)
            while sys.argv[2] == "wait":
                time.sleep(0.05)
        except KeyboardInterrupt:
            print("interrupted", flush=True)
"""


@pytest.mark.parametrize("how", ["exit", "wait"])
def test_a_program_ends_in_peace(source, tmp_path, how):
    """With the iterator still alive: at its normal end, and after Ctrl-C to the whole process group."""
    (tmp_path / "program.py").write_text(textwrap.dedent(PROGRAM))
    with subprocess.Popen(
        [sys.executable, "-W", "error", str(tmp_path / "program.py"), source.root, how],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        assert process.stdout is not None
        first = process.stdout.readline()
        if first and how == "wait":
            os.killpg(process.pid, signal.SIGINT)
        output, errors = process.communicate()
    assert (first, errors) == ("ready\n", "")
    assert process.returncode == 0
    assert output == ("interrupted\n" if how == "wait" else "")
    with pytest.raises(ProcessLookupError):  # nobody of its group is left
        os.killpg(process.pid, 0)


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


@pytest.mark.parametrize("method", [pytest.param("fork", marks=pytest.mark.skipif(not HAS_FORK, reason="no fork"))])
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


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"batch_size": 0}, "batch_size: expected .*, got 0"),
        ({"workers": -1}, "workers: expected a whole number from 0 to 256, got -1"),
        ({"workers": True}, "workers: expected .*, got true"),
        ({"timeout": 0}, "timeout: expected a whole number from 1 to 86400 seconds, got 0"),
        ({"start_method": "thread"}, "start_method: expected .*, got 'thread'"),
    ],
)
def test_impossible_values_are_refused(values, message):
    with pytest.raises(ValueError, match=message):
        LoaderConfig(**values)


@pytest.mark.parametrize("values", [{"seed": -1}, {"start": -1}, {"shard": (2, 2)}])
def test_impossible_positions_are_refused(source, values):
    with pytest.raises(VsDataError, match="allowed are"):
        load_clips(source, LoaderConfig(), **{"seed": 0, "length_of": length_of, **values})
