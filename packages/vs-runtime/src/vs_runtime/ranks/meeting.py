"""Where processes meet: a store of few words, in which each says that it is there, and why it leaves.

A process that waits for another one which was killed, or is stuck, learns from it which one that is.

torchrun keeps one store for all attempts, in which words of earlier ones are left, and nothing that it says tells all
processes which attempt this is: each machine counts its own restarts. So the first process makes up a name for each
meeting, and tells it to whoever knocks, by a word that nobody has said before.
"""

import contextlib
import json
import os
import threading
import time
import uuid
from collections.abc import Iterator

from torch.distributed import PrefixStore, Store  # type: ignore[attr-defined]  # exported, says the documentation

from vs_runtime.errors import RanksError
from vs_runtime.memory import is_out_of_memory
from vs_runtime.ranks.members import ATTEMPT, MEETING, Ranks
from vs_runtime.ranks.store import BRIEF, LOOK, connected, late, named

_BEAT = 0.5
"""Seconds between the signs of life of a process."""

_SILENCE = 3.0
"""Seconds without one after which a process is lost of which others know that something is wrong."""

_LONG_SILENCE = 20.0
"""The same while nothing else speaks for it: much at work may keep a process from giving signs for a while."""

_KNOCK = 0.05
"""Seconds between two looks at who wants to come in."""

_STORE_LOST = "rank 0 was lost, and with it the place where the processes meet"

_meeting: "Meeting | None" = None
_tried: tuple[str | None, ...] | None = None


def _place() -> tuple[str | None, ...]:
    """Return what tells one meeting of this process from another."""
    return tuple(os.environ.get(name) for name in (*MEETING, ATTEMPT))


def opened(ranks: Ranks, timeout: float) -> "Meeting":
    """Go to where the processes meet, in the store that they share.

    Raises:
        RanksError: the first process, or the agent, does not come within so many seconds.
    """
    global _meeting, _tried  # as PyTorch's group of all processes is one of the whole process
    _meeting, _tried = None, _place()
    hall = connected(ranks, timeout)
    _meeting = Meeting(ranks, hall, uuid.uuid4().hex if ranks.first else _led_in(ranks, hall, timeout))
    return _meeting


def _led_in(ranks: Ranks, hall: Store, timeout: float) -> str:
    """Ask the first process where those meet that were started with this one: others may have met here before."""
    knock, end = uuid.uuid4().hex, time.monotonic() + timeout
    try:
        hall.set(f"knock/{ranks.rank}", knock)
        while not hall.check([f"room/{knock}"]):
            if time.monotonic() > end:
                raise RanksError(late({0}, timeout))
            time.sleep(_KNOCK)
        room: bytes = hall.get(f"room/{knock}")
    except RuntimeError as error:
        raise RanksError(_STORE_LOST) from error
    return room.decode()


def present() -> "Meeting":
    """Return the meeting that this process is, or last was, at."""
    if _meeting is None:
        raise RanksError("the processes have not met yet: see `joined`")
    return _meeting


@contextlib.contextmanager
def answered() -> Iterator[None]:
    """Ask something of all processes.

    Raises:
        RanksError: one of them does not answer, and why.
    """
    meeting = present()
    meeting.asked += 1
    try:
        yield
    except RuntimeError as error:  # what the backends raise
        if is_out_of_memory(error):
            raise
        raise meeting.explain(error) from error


def part(ranks: Ranks, error: str) -> bool:
    """Say, unless that is done, that this process ends with an error; return whether another one speaks for it.

    Args:
        ranks: the processes.
        error: what has ended it.
    """
    if _tried != _place():  # they were to meet later
        try:
            meeting = opened(ranks, BRIEF)
        except RanksError:
            return False
        meeting.leave(error)
        meeting.see_off(BRIEF, starting=True)
        meeting.end()
    return _meeting is not None and _meeting.heard()


class Meeting:
    """This process at the meeting: it gives a sign of life now and then until it is over, and the first lets others in.

    Args:
        ranks: the processes.
        hall: the store that they share with those who were started before them.
        room: the part of it that these have for themselves.
    """

    def __init__(self, ranks: Ranks, hall: Store, room: str) -> None:
        self.ranks, self.store, self._room = ranks, PrefixStore(room, hall), room
        self.asked = 0
        self.lost: frozenset[int] = frozenset()
        self._over = threading.Event()
        self._beating = threading.Thread(target=self._beat, args=(hall.clone(),), daemon=True)  # type: ignore[attr-defined]
        self._beating.start()

    def _beat(self, hall: Store) -> None:
        store, number = PrefixStore(self._room, hall), 0
        outside = self._others() if self.ranks.first else set()
        with contextlib.suppress(RuntimeError):  # whoever keeps the store has gone
            while not self._over.wait(_KNOCK if outside else _BEAT):
                outside -= {rank for rank in outside if self._let_in(hall, rank)}
                number += 1
                store.set(f"beat/{self.ranks.rank}", f"{number} {self.asked}")

    def _let_in(self, hall: Store, rank: int) -> bool:
        """Tell a process that knocks where the meeting is; return whether it is there, and not one of before."""
        if hall.check([f"knock/{rank}"]):
            hall.set(f"room/{hall.get(f'knock/{rank}').decode()}", self._room)
        return bool(hall.check([f"{self._room}/beat/{rank}"]))

    def end(self) -> None:
        """Give no more signs of life."""
        self._over.set()
        self._beating.join()

    def arrive(self, timeout: float) -> None:
        """Wait until all are there.

        Raises:
            RanksError: some have not come in that time, or have left with an error.
        """
        self.store.set(f"here/{self.ranks.rank}", "")
        late = self._without("here")
        end = time.monotonic() + timeout
        while late:
            self._raise_errors()
            if time.monotonic() > end:
                self.lost |= late
                raise RanksError(f"{named(late)} did not start within {timeout:g} seconds")
            time.sleep(LOOK)
            late = self._without("here")

    def ready(self) -> None:
        """Say that this process is ready, and wait until all are.

        Raises:
            RanksError: one of them has left with an error, or is lost.
        """
        self.store.set(f"ready/{self.ranks.rank}", "")
        watch = _Watch(self)
        while self._without("ready"):
            self._raise_errors()
            self._raise_silent(watch, _LONG_SILENCE)
            time.sleep(LOOK)

    def leave(self, error: str | None, *, stopped: bool = False) -> None:
        """Say that this process leaves, and why.

        Args:
            error: what has ended it; None: its work is done.
            stopped: whether somebody has asked it to stop.
        """
        with contextlib.suppress(RuntimeError):  # the store has gone, with whoever kept it
            self.store.set(f"left/{self.ranks.rank}", json.dumps({"error": error, "stopped": stopped}))

    def see_off(self, patience: float, *, starting: bool = False) -> None:
        """Wait until all others have left too, or are lost, but not for longer than so many seconds.

        Who has the answer to a common question first, and goes, would take it from the rest. And torchrun ends the
        others as soon as one has failed: they may have something to save or to say. `starting`: those too that have not
        come yet.
        """
        end = time.monotonic() + patience
        with contextlib.suppress(RuntimeError):
            watch = _Watch(self)
            while (still := self._without("left") - self.lost) and time.monotonic() < end:
                if not starting and not still & self._with("here"):
                    break
                time.sleep(LOOK)
                self.lost |= watch.silent(_LONG_SILENCE) & still

    def heard(self) -> bool:
        """Return whether a process before this one has left too: the first of those that are left speaks for all."""
        try:
            return any(self.store.check([f"left/{rank}"]) for rank in range(self.ranks.rank))
        except RuntimeError:
            return False

    def explain(self, error: Exception) -> RanksError:
        """Return why the others do not answer: one has left with an error, or is lost, or does something else."""
        try:
            return self._explain(error)
        except RanksError as found:
            return found
        except RuntimeError:
            self.lost |= {0}
            return RanksError(_STORE_LOST)

    def _explain(self, error: Exception) -> RanksError:
        watch = _Watch(self)
        end = time.monotonic() + _SILENCE + _BEAT
        while time.monotonic() < end:
            self._raise_errors()
            time.sleep(LOOK)
            self._raise_silent(watch, _SILENCE)
        behind = {rank for rank, asked in watch.asked.items() if asked < self.asked}
        why = "".join(str(error).strip().splitlines()[:1])
        who = f"{named(behind)} did not answer in time" if behind else "the processes cannot hear one another"
        return RanksError(f"{who}, though all of them live ({why})")

    def _raise_errors(self) -> None:
        for rank in sorted(self._with("left")):
            words = json.loads(self.store.get(f"left/{rank}"))
            if words["error"] is not None:
                raise RanksError(words["error"], stopped=words["stopped"])

    def _raise_silent(self, watch: "_Watch", seconds: float) -> None:
        silent = watch.silent(seconds) - self._with("left")
        if silent:
            self.lost |= silent
            raise RanksError(f"{named(silent)} was lost: no answer, and no sign of life")

    def _with(self, word: str) -> set[int]:
        return {rank for rank in self._others() if self.store.check([f"{word}/{rank}"])}

    def _without(self, word: str) -> set[int]:
        if self.store.check([f"{word}/{rank}" for rank in self._others()]):
            return set()
        return self._others() - self._with(word)

    def _others(self) -> set[int]:
        return set(range(self.ranks.count)) - {self.ranks.rank}


class _Watch:
    """The signs of life of the others since somebody began to look at them."""

    def __init__(self, meeting: Meeting) -> None:
        self._meeting = meeting
        self._seen = {rank: (b"", time.monotonic()) for rank in meeting._others()}
        self.asked: dict[int, int] = dict.fromkeys(self._seen, 0)

    def silent(self, seconds: float) -> set[int]:
        """Return who has given none for so long."""
        now = time.monotonic()
        for rank, (last, _) in self._seen.items():
            key = f"beat/{rank}"
            sign = self._meeting.store.get(key) if self._meeting.store.check([key]) else b""
            if sign != last:
                self._seen[rank] = (sign, now)
                self.asked[rank] = int(sign.split()[1])
        return {rank for rank, (_, since) in self._seen.items() if now - since > seconds}
