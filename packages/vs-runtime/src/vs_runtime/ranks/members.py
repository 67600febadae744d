"""The processes that train together: who one of them is, as torchrun says in the environment."""

from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from typing import Protocol, TypeVar

import attrs

from vs_runtime.errors import RanksError

T = TypeVar("T")

COUNTED = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")
"""Variables of the environment that say who a process is."""

MEETING = ("MASTER_ADDR", "MASTER_PORT")
"""Those that say where all of them meet."""

LAUNCH = "TORCHELASTIC_RUN_ID"
"""The one by which processes know that torchrun has started them; its value may come again."""

ATTEMPT = "TORCHELASTIC_RESTART_COUNT"
"""The one in which an agent of torchrun's counts how often a process of its own has failed."""

LAUNCHER = "VS_LAUNCHER"
"""The one in which our own launcher says its number to those that are to end with it."""


@attrs.frozen(kw_only=True)
class Ranks:
    """A process among those that train together.

    Attributes:
        rank: its number among all, from 0.
        count: how many there are; of one alone nothing is asked.
        local_rank: its number among those of its machine.
        local_count: how many of them its machine has.
    """

    rank: int = 0
    count: int = 1
    local_rank: int = 0
    local_count: int = 1

    @property
    def first(self) -> bool:
        """Whether this is the one that writes and speaks for all."""
        return self.rank == 0


ONE = Ranks()
"""A process by itself."""


class GradientSums(Protocol):
    """The gradients of one network, added up over the parts of a batch and over processes."""

    def each(self, parts: Iterable[T], count: int, kind: Hashable = None) -> Iterator[T]:
        """Yield the parts of a batch, of which there are `count`, each for its backward pass.

        What is of one `kind` is computed alike: gradients of the same parameters come in the same order. When all parts
        have been taken, every parameter has the sum of its gradients in all parts of all processes.
        """


class LocalSums:
    """The gradients of a process by itself: autograd adds up those of one part after the other."""

    def each(self, parts: Iterable[T], count: int, kind: Hashable = None) -> Iterator[T]:  # noqa: ARG002 - others ask
        """Yield the parts."""
        yield from parts


def ranks_of(environment: Mapping[str, str]) -> Ranks:
    """Return who this process is by the variables that torchrun sets; without any of them it is `ONE`. Pure.

    Raises:
        RanksError: some are set and others are not, or they contradict one another.
    """
    missing = [name for name in (*COUNTED, *MEETING) if not environment.get(name)]
    if set(COUNTED) <= set(missing):
        return ONE
    if missing:
        raise RanksError(f"{', '.join(missing)}: not set, though other variables of torchrun are; start by torchrun")
    rank, count, local_rank, local_count, _ = (_whole(name, environment[name]) for name in (*COUNTED, "MASTER_PORT"))
    if not (rank < count and local_rank < local_count <= count):
        said = ", ".join(f"{name}={environment[name]}" for name in COUNTED)
        raise RanksError(f"{said}: contradict one another; start by torchrun, which sets all of them")
    return ONE if count == 1 else Ranks(rank=rank, count=count, local_rank=local_rank, local_count=local_count)


def fair_owners(sizes: Sequence[int], count: int) -> tuple[int, ...]:
    """Return which of so many processes has each piece, the largest first to whoever has the least. Pure."""
    loads, owners = [0] * count, [0] * len(sizes)
    for index in sorted(range(len(sizes)), key=lambda i: -sizes[i]):
        owner = loads.index(min(loads))
        owners[index] = owner
        loads[owner] += max(1, sizes[index])
    return tuple(owners)


def require_one(ranks: Ranks, what: str) -> None:
    """Refuse to do in several processes what one has to do.

    Raises:
        RanksError: this process is one of several.
    """
    if ranks.count > 1:
        raise RanksError(f"{what} is done by one process, and torchrun has started {ranks.count}: start it without")


def _whole(name: str, text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise RanksError(f"{name}: expected a whole number, which torchrun sets, got {text[:40]!r}")
    return int(text)
