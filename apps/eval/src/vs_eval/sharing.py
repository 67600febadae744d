"""How several processes under torchrun share sequences: each makes its own, the first one gathers and speaks.

What one process makes of a sequence depends on no other sequence, so that results are those of a single process.
"""

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import cattrs
import torch
from vs_config import report_error
from vs_config.commands import EXIT_INPUT
from vs_config.streams import dropped_streams
from vs_runtime.ranks import Ranks, collected, fair_owners, joined, require_one, told

from vs_eval.errors import VsEvalError, memory_explained
from vs_eval.input_errors import INPUT_ERRORS
from vs_eval.opening import say_warning
from vs_eval.output import report_directory

T = TypeVar("T")

PATIENCE = 24 * 3600.0
"""Seconds that a process waits for another's share, which may be long; torchrun ends all of them when one dies."""

MEETING = 600.0
"""Seconds that a process waits for the others to start."""


@contextlib.contextmanager
def joined_ranks() -> Iterator[Ranks]:
    """Join the processes that torchrun has started, if it has; all but the first are silent, and each has its GPU.

    Of several the first one says what is wrong before any of them ends: torchrun ends all as soon as one has.
    """
    with joined(meeting=MEETING, timeout=PATIENCE) as ranks, _speaking(ranks):
        if ranks.count > 1 and torch.cuda.is_available():
            torch.cuda.set_device(ranks.local_rank % torch.cuda.device_count())
        try:
            yield ranks
        except INPUT_ERRORS as error:
            if ranks.count == 1:
                raise
            raise SystemExit(report_error(error, status=EXIT_INPUT)) from None


@contextlib.contextmanager
def by_itself(what: str) -> Iterator[None]:
    """Do within it what one process has to do: several are refused, in the words of the first."""
    with joined_ranks() as ranks:
        require_one(ranks, what)
        yield


@contextlib.contextmanager
def _speaking(ranks: Ranks) -> Iterator[None]:
    """Let nothing be seen of what others than the first one say, but for the stack trace of a defect."""
    if ranks.first:
        yield
        return
    with dropped_streams():
        try:
            yield
        except KeyboardInterrupt:
            raise SystemExit(130) from None


def own_share(ranks: Ranks, weights: Sequence[int]) -> list[int]:
    """Return the numbers of the pieces of work that this process has, in rising order."""
    return [piece for piece, owner in enumerate(fair_owners(weights, ranks.count)) if owner == ranks.rank]


def shared(ranks: Ranks, weights: Sequence[int], work: Callable[[int], T], kind: Any) -> list[T]:
    """Do this process's share of some work, and return what all of it has come to, in its order.

    Args:
        ranks: the processes.
        weights: of each piece, such as its frames: all are to have about as many of them.
        work: does the piece of a number.
        kind: what it returns, which cattrs can bring into JSON and back.

    Raises:
        VsEvalError: it failed somewhere, see `agreed`.
    """
    own = own_share(ranks, weights)
    made = agreed(ranks, lambda: [work(piece) for piece in own])
    if ranks.count == 1:
        return made
    parts = [iter(part) for part in collected(ranks, cattrs.unstructure(made))]
    return [cattrs.structure(next(parts[owner]), kind) for owner in fair_owners(weights, ranks.count)]


def agreed(ranks: Ranks, work: Callable[[], T]) -> T:
    """Do something in every process, and return what it comes to here, if it has failed in none.

    Raises:
        VsEvalError: it has failed by wrong input or for want of memory, in the first process or in the one that is
            named. In all others it is `SystemExit`, so that there is one message.
    """
    if ranks.count == 1:
        return work()
    done: list[T] = []
    problem = None
    try:
        with memory_explained():
            done.append(work())
    except INPUT_ERRORS as error:
        problem = str(error)
    problems = {rank: each for rank, each in enumerate(collected(ranks, problem)) if each is not None}
    if not problems:
        return done[0]
    if ranks.first:
        raise VsEvalError(in_words(problems, ranks.count))
    raise SystemExit(EXIT_INPUT)


def in_words(problems: Mapping[int, str], count: int) -> str:
    """Say what went wrong, and where, unless it is the same everywhere. Pure."""
    rank, problem = min(problems.items())
    if len(problems) == count and len(set(problems.values())) == 1:
        return problem
    others = len(problems) - 1
    return f"rank {rank} of {count}: {problem}" + (f" (and {others} other rank{'s' * (others > 1)})" if others else "")


@contextlib.contextmanager
def shared_report(ranks: Ranks, path: Path) -> Iterator[Path]:
    """Yield the draft of a report, the same to every process; the first one makes it, and puts it at `path` at the end.

    Raises:
        VsEvalError: it cannot be written, or not every process sees it.
    """
    with contextlib.ExitStack() as stack:
        made = agreed(ranks, lambda: stack.enter_context(report_directory(path)) if ranks.first else path)
        draft = Path(told(ranks, str(made)))
        agreed(ranks, lambda: _look_at(draft))
        yield draft
        agreed(ranks, stack.close)


def _look_at(draft: Path) -> None:
    if not draft.is_dir():
        raise VsEvalError(f"{draft.parent}: is not the directory that the first rank has; name an --out that all share")


def warn_of_idle(ranks: Ranks, pieces: int) -> None:
    """Say on stderr if there are more processes than pieces of work."""
    if pieces < ranks.count:
        say_warning(f"{ranks.count} processes for {pieces} sequence{'s' * (pieces > 1)}: some have nothing to do")
