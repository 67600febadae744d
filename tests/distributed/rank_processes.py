"""Processes that stay, and as ranks of a new group each time do what a test asks of them: to start one takes long."""

import contextlib
import multiprocessing
import os
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from multiprocessing import forkserver
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch
from torch.distributed import TCPStore
from vs_config.processes import end_with_parent, fit_to_be_sent, leave_signals_to_parent, signals_held
from vs_runtime.ranks import joined, meeting, ranks_of

ROOT = Path(__file__).parents[2]

LOADED = ["torch.distributed", "vs_train.training", "vs_eval.app"]
"""What is loaded once, for all of them."""

PATIENCE = 60.0
"""Seconds that a process waits for another one, and a test for all."""


class RankProcesses:
    """Some processes; `run` has the first of them do something as a group."""

    def __init__(self, channels: list[Connection]) -> None:
        self._channels, self._groups = channels, 0
        self._store: TCPStore | None = None

    def run(
        self,
        function: Callable[..., Any],
        *arguments: Any,
        ranks: int,
        timeout: float = PATIENCE,
        joins: bool = True,
        again: bool = False,
    ) -> list[Any]:
        """Return what `function(ranks, *arguments)` returns in each process, or the error that it raises there.

        It is what `start` returns, waited for.
        """
        return self.start(function, *arguments, ranks=ranks, timeout=timeout, joins=joins, again=again)()

    def start(
        self,
        function: Callable[..., Any],
        *arguments: Any,
        ranks: int,
        timeout: float = PATIENCE,
        joins: bool = True,
        again: bool = False,
    ) -> Callable[[], list[Any]]:
        """Have them begin, and return what waits for their answers: who asks may compute meanwhile.

        Unless `joins`, it is left to the function to join the others. `again`: as when torchrun starts the processes of
        one launch again; each agent counts for itself how often it does.
        """
        self._groups += 1
        if self._store is None or not again:  # torchrun makes one for each launch
            self._store = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
        for rank, channel in enumerate(self._channels[:ranks]):
            counted = {"TORCHELASTIC_RESTART_COUNT": str(self._groups * (rank + 1))}
            variables = {**environment(rank, ranks, self._store.port), **counted}
            channel.send((self._groups, variables, timeout, joins, function, arguments))
        return lambda: [self._answer(channel) for channel in self._channels[:ranks]]

    def _answer(self, channel: Connection) -> Any:
        """Wait for an answer; what comes late of an earlier test that has given up is left out."""
        group = 0
        while group != self._groups:
            assert channel.poll(PATIENCE), "a rank has not answered"
            group, answer = channel.recv()
        return answer


def environment(rank: int, count: int, port: int = 1) -> dict[str, str]:
    """What torchrun sets on one machine; it keeps the store in which processes meet."""
    said = {"RANK": rank, "WORLD_SIZE": count, "LOCAL_RANK": rank, "LOCAL_WORLD_SIZE": count}
    meeting = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    agent = {"TORCHELASTIC_USE_AGENT_STORE": "True", "TORCHELASTIC_RUN_ID": "none"}
    return {**meeting, **agent, **{name: str(value) for name, value in said.items()}}


def serve(channel: Connection) -> None:
    """Do what is asked for, again and again."""
    leave_signals_to_parent()
    threading.Thread(target=end_with_parent, daemon=True).start()
    sys.path.insert(0, str(ROOT))  # where pytest finds the tests whose functions come through the channel
    torch.set_num_threads(1)
    meeting.LOOK = 0.02  # a hundred groups come and go here, and would wait for one another longer than they compute
    while True:
        group, variables, timeout, joins, function, arguments = channel.recv()
        os.environ.update(variables)
        try:
            together = joined(timeout=timeout) if joins else contextlib.nullcontext(ranks_of(os.environ))
            with together as ranks:
                answer = function(ranks, *arguments)
        except Exception as error:
            error.add_note(traceback.format_exc())
            answer = fit_to_be_sent(error.with_traceback(None))
        channel.send((group, answer))


@contextlib.contextmanager
def rank_processes(count: int) -> Iterator[RankProcesses]:
    """Start so many processes, and end them."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(LOADED)
    forkserver.ensure_running()  # with no signal held back: it is told of the ends of processes by one
    pipes = [context.Pipe() for _ in range(count)]
    processes = [context.Process(target=serve, args=(theirs,), daemon=True) for _, theirs in pipes]
    try:
        with signals_held():
            for process in processes:
                process.start()
        yield RankProcesses([ours for ours, _ in pipes])
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
