"""Processes that stay, and as ranks of a new group each time do what a test asks of them: to start one takes long."""

import contextlib
import multiprocessing
import threading
import traceback
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch
from vs_config.processes import end_with_parent, leave_signals_to_parent, signals_held
from vs_runtime.ranks import joined

PATIENCE = 60.0
"""Seconds that a process waits for another one, and a test for all."""


class RankProcesses:
    """Some processes; `run` has the first of them do something as a group."""

    def __init__(self, channels: list[Connection], folder: Path) -> None:
        self._channels, self._folder, self._count = channels, folder, 0

    def run(self, function: Callable[..., Any], *arguments: Any, ranks: int, timeout: float = PATIENCE) -> list[Any]:
        """Return what `function(ranks, *arguments)` returns in each process, or the error that it raises there."""
        self._count += 1
        meeting = f"file://{self._folder / f'meeting-{self._count}'}"
        for rank, channel in enumerate(self._channels[:ranks]):
            channel.send((rank, ranks, meeting, timeout, function, arguments))
        return [self._answer(channel) for channel in self._channels[:ranks]]

    def _answer(self, channel: Connection) -> Any:
        assert channel.poll(PATIENCE), "a rank has not answered"
        return channel.recv()


def environment(rank: int, count: int) -> dict[str, str]:
    """What torchrun would set on one machine."""
    said = {"RANK": rank, "WORLD_SIZE": count, "LOCAL_RANK": rank, "LOCAL_WORLD_SIZE": count}
    return {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "1", **{name: str(value) for name, value in said.items()}}


def serve(channel: Connection) -> None:
    """Do what is asked for, again and again."""
    leave_signals_to_parent()
    threading.Thread(target=end_with_parent, daemon=True).start()
    torch.set_num_threads(1)
    while True:
        rank, count, meeting, timeout, function, arguments = channel.recv()
        try:
            with joined(timeout=timeout, environment=environment(rank, count), meeting=meeting) as ranks:
                answer = function(ranks, *arguments)
        except Exception as error:
            error.add_note(traceback.format_exc())
            answer = error.with_traceback(None)
        channel.send(answer)


@contextlib.contextmanager
def rank_processes(count: int, folder: Path) -> Iterator[RankProcesses]:
    """Start so many processes, and end them."""
    context = multiprocessing.get_context("spawn")
    pipes = [context.Pipe() for _ in range(count)]
    processes = [context.Process(target=serve, args=(theirs,), daemon=True) for _, theirs in pipes]
    try:
        with signals_held():
            for process in processes:
                process.start()
        yield RankProcesses([ours for ours, _ in pipes], folder)
    finally:
        for process in processes:
            process.kill()
            process.join()
        for ours, theirs in pipes:
            ours.close()
            theirs.close()


def whole(answers: list[Any]) -> list[Any]:
    """The answers, none of which is an error."""
    for answer in answers:
        if isinstance(answer, Exception):
            raise answer
    return answers
