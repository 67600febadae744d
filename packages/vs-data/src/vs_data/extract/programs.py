"""Labels by a program of somebody: it gets the frames of a sequence as raw bytes, and answers with a label for each.

The program is started once for each sequence, without a shell; `{width}` and `{height}` in its arguments become those
of the frames. Frames are height x width x 3 bytes on its standard input, RGB, one after the other, until that ends. On
its standard output it writes, for each frame in order (of flow: from the second on), and nothing else:

- keypoints: a line of JSON, `[[x, y, confidence], ...]` in pixels of the frame, `[]` where nobody is;
- landmarks-dlib68: a line of JSON, 68 pairs `[x, y]`;
- seg_maps: height x width bytes, ids;
- depth: height x width float32, little-endian;
- image: height x width x 3 bytes, RGB;
- flow: 2 x height x width float32, little-endian: x of all pixels, then y, backward, pixels.
"""

import contextlib
import json
import math
import os
import shlex
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from typing import IO, Any

import attrs
import numpy as np
from vs_config import shown

from vs_data.errors import DataError
from vs_data.extract.labelling import Frames, Labeller, Labels, Task
from vs_data.extract.options import ExtractKind
from vs_data.extract.outputs import Label, without_far

_LONGEST_LINE = 2**22  # bytes of JSON
_LAST_WORDS = 2000  # bytes of standard error that are kept
_GRACE_S = 5.0
_PROTOCOL = "see the protocol of --program in the README of vs-data"


@attrs.define(kw_only=True, eq=False)
class _Run:
    """A program at work, and what its threads have found out.

    Attributes:
        process: The program.
        words: Of its command.
        alive_at: When it was last heard of.
        silent: Whether it was ended because nothing was heard of it.
        said: The end of what it wrote to standard error.
        failure: What went wrong with the frames that it should get.
    """

    process: subprocess.Popen[bytes]
    words: tuple[str, ...]
    alive_at: float
    silent: bool = False
    said: bytes = b""
    failure: BaseException | None = None
    over: threading.Event = attrs.field(factory=threading.Event)


def words_of(command: str) -> tuple[str, ...]:
    """Return a command as its words, the first of which is a program that is there.

    Raises:
        DataError: There is none.
    """
    try:
        words = tuple(shlex.split(command))
    except ValueError as error:
        raise DataError(f"--program: {error}: {shown(command, 100)}", fix="close what is quoted") from None
    if not words or shutil.which(words[0]) is None:
        what = f"--program: no program that can be started: {shown(words[0] if words else '', 100)!r}"
        raise DataError(what, fix="write its path, and see that it may be executed")
    return words


def label_by_program(words: tuple[str, ...], timeout_s: float) -> Labeller:
    """Return what labels frames by a program; see the module for what it gets and answers.

    Args:
        words: Of its command.
        timeout_s: It is ended when nothing is heard of it for so long.
    """

    def label(frames: Frames, task: Task) -> Labels:
        with _running(words, frames, task, timeout_s) as run:
            for number in range(task.count):
                answer = _answer(run, task)
                if answer is None:
                    raise _ended_early(run, task, number, timeout_s)
                run.alive_at = time.monotonic()
                yield _label(run, task, answer, number)
            _require_end(run, task)

    return label


@contextlib.contextmanager
def _running(words: tuple[str, ...], frames: Frames, task: Task, timeout_s: float) -> Iterator[_Run]:
    """Start the program with all that serves it; it and what it has started are gone when the block ends."""
    sizes = {"{height}": str(task.size[0]), "{width}": str(task.size[1])}
    command = [_filled(word, sizes) for word in words]
    pipe = subprocess.PIPE
    try:
        process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, start_new_session=True)  # noqa: S603 - it is the user's own
    except OSError as error:
        raise DataError(f"--program cannot be started: {error.strerror}", file=words[0]) from None
    run = _Run(process=process, words=words, alive_at=time.monotonic())
    helpers = [
        threading.Thread(target=work, args=arguments, daemon=True)
        for work, arguments in ((_feed, (run, frames)), (_listen, (run,)), (_watch, (run, timeout_s)))
    ]
    try:
        for helper in helpers:
            helper.start()
        yield run
    finally:
        run.over.set()
        _end(process)
        for helper in helpers:
            helper.join()
        for stream in (process.stdout, process.stderr):
            _stream(stream).close()


def _filled(word: str, sizes: dict[str, str]) -> str:
    for name, size in sizes.items():
        word = word.replace(name, size)
    return word


def _stream(stream: IO[bytes] | None) -> IO[bytes]:
    assert stream is not None  # noqa: S101 - all of them are pipes
    return stream


def _feed(run: _Run, frames: Frames) -> None:
    """Give the program its frames; one that ends before it has all of them is judged by its labels."""
    stream = _stream(run.process.stdin)
    try:
        for frame in frames:
            stream.write(np.ascontiguousarray(frame).data)
            run.alive_at = time.monotonic()
            if run.over.is_set():
                break
    except BrokenPipeError:
        pass
    except BaseException as failure:  # told by the thread that waits for labels
        run.failure = failure
    finally:
        with contextlib.suppress(BrokenPipeError):
            stream.close()


def _listen(run: _Run) -> None:
    while said := os.read(_stream(run.process.stderr).fileno(), 4096):
        run.said = (run.said + said)[-_LAST_WORDS:]


def _watch(run: _Run, timeout_s: float) -> None:
    while not run.over.wait(min(0.2, timeout_s / 4)):
        if time.monotonic() > run.alive_at + timeout_s:
            run.silent = True
            _end(run.process)
            return


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the program and what it has started, which may hold its pipes open."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        if hasattr(os, "killpg"):
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
    process.wait()


def _answer(run: _Run, task: Task) -> bytes | None:
    """Return what the program writes for one frame, or None where that is not there."""
    stream = _stream(run.process.stdout)
    if task.kind in ("keypoints", "landmarks-dlib68"):
        line = stream.readline(_LONGEST_LINE + 1)
        if len(line) > _LONGEST_LINE:
            raise _refusal(run, f"writes lines of more than {_LONGEST_LINE} bytes")
        return line or None
    size = _bytes_of(task)
    answer = stream.read(size)
    return answer if len(answer) == size else None


def _shape_of(task: Task) -> tuple[tuple[int, ...], np.dtype[Any]]:
    kinds: dict[ExtractKind, tuple[tuple[int, ...], str]] = {
        "seg_maps": (task.size, "u1"),
        "depth": ((*task.size, 1), "<f4"),
        "image": ((*task.size, 3), "u1"),
        "flow": ((2, *task.size), "<f4"),
    }
    shape, dtype = kinds[task.kind]
    return shape, np.dtype(dtype)


def _bytes_of(task: Task) -> int:
    shape, dtype = _shape_of(task)
    return math.prod(shape) * dtype.itemsize


def _label(run: _Run, task: Task, answer: bytes, number: int) -> Label:
    if task.kind not in ("keypoints", "landmarks-dlib68"):
        shape, dtype = _shape_of(task)
        return np.frombuffer(answer, dtype).reshape(shape)
    try:
        rows = [[*map(float, row)] for row in json.loads(answer)]
        points = np.array(rows, np.float64).reshape(len(rows), -1 if rows else 3)
    except (ValueError, TypeError, RecursionError, OverflowError):
        what = f"line {number + 1} is no list of points: {shown(answer[:60].decode(errors='replace').strip())}"
        raise _refusal(run, what) from None
    if points.shape[1] not in (2, 3):
        raise _refusal(run, f"line {number + 1} has points of {points.shape[1]} numbers, expected 2 or 3")
    confidence = points[:, 2:] if points.shape[1] == 3 else np.ones((len(points), 1))
    return without_far(np.concatenate([points[:, :2], confidence], axis=1), task.size)


def _ended_early(run: _Run, task: Task, number: int, timeout_s: float) -> BaseException:
    """Return the error for labels that are not there, by the first reason that is known."""
    if run.failure is not None:
        return run.failure
    label = f"label {number + 1} of {task.count} of {shown(task.sequence)}"
    if run.silent:
        return _refusal(run, f"was ended: nothing was heard of it for {timeout_s:g} s before {label}", "see --timeout")
    return _refusal(run, f"ended before {label}{_status(run)}")


def _status(run: _Run) -> str:
    """Say how the program ended, and its last words."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        status = run.process.wait(_GRACE_S)
        time.sleep(0.05)  # its last words are on their way through the pipe
        words = run.said.decode(errors="replace").strip().splitlines()[-1:]
        return f" with status {status}" + "".join(f": {shown(word, 200)}" for word in words)
    return ""


def _require_end(run: _Run, task: Task) -> None:
    if run.failure is not None:
        raise run.failure
    if _stream(run.process.stdout).read(1):
        raise _refusal(run, f"writes more than {task.count} labels for {shown(task.sequence)}")
    if run.silent:
        raise _refusal(run, "was ended: it wrote all labels and did not end", "see --timeout")
    if run.process.wait() != 0:
        raise _refusal(run, f"failed{_status(run)}")


def _refusal(run: _Run, what: str, fix: str = _PROTOCOL) -> DataError:
    return DataError(f"the program {what}", file=run.words[0], fix=fix)
