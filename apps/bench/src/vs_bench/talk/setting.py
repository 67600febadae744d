"""How a row of the talk is measured: where, at which sizes, and in how much time."""

import time
from collections.abc import Callable, Sequence

import attrs
import torch
from vs_runtime import is_out_of_memory

from vs_bench.harness import Case, Result, measure, unit_of_work, using_threads, wait_for
from vs_bench.talk.outcome import Outcome
from vs_bench.talk.scale import Scale

LEAST_ROUNDS, MOST_ROUNDS = 3, 15


@attrs.frozen(kw_only=True)
class Budget:
    """Time that may be used: `seconds` from `began` on."""

    seconds: float
    clock: Callable[[], float] = time.monotonic
    began: float = attrs.field(default=attrs.Factory(lambda self: self.clock(), takes_self=True))

    @property
    def left(self) -> float:
        """The seconds that are left, negative when there are none."""
        return self.seconds - (self.clock() - self.began)

    def part(self, share: float) -> "Budget":
        """Return a share of what is left, beginning now."""
        return Budget(seconds=max(0.0, share * self.left), clock=self.clock)


def share_of(weights: Sequence[float], index: int) -> float:
    """Return the share of the time that is left which one of several gets, those before it being done. Pure.

    What one leaves over goes to those behind it.
    """
    rest = sum(weights[index:])
    return weights[index] / rest if rest else 0.0


def _silent(_: str) -> None:
    pass


@attrs.frozen(kw_only=True)
class Setting:
    """The place and the way in which a row is measured.

    Attributes:
        device: where to compute.
        threads: CPU threads.
        scale: the sizes.
        budget: the time of the row.
        emulated: whether to measure a level that the device has no instructions for.
        say: told in a few words what is being measured.
    """

    device: torch.device
    threads: int
    scale: Scale
    budget: Budget
    emulated: bool = False
    say: Callable[[str], None] = _silent


@attrs.frozen(kw_only=True)
class Row:
    """A row of the talk.

    Attributes:
        name: what it is called on the command line and in files.
        title: what it is about.
        says: what the talk says, in its words as far as it has any.
        figure: the figure that the talk gives, in a few words.
        measure: measures it.
        share: how much of the time it gets, relative to other rows; 0 for what measures nothing.
    """

    name: str
    title: str
    says: str
    figure: str
    measure: Callable[[Setting], Outcome]
    share: float = 1.0


@attrs.frozen(kw_only=True)
class Candidate:
    """Cases that are measured together or not at all.

    Attributes:
        what: what they are, in a few words.
        make: makes them, and all that they need.
        cost: their work, relative to that of the other candidates.
        expected: seconds that they are expected to take, where no other candidate tells.
    """

    what: str
    make: Callable[[], Sequence[Case]]
    cost: float = 1.0
    expected: float = 0.0


@attrs.frozen(kw_only=True)
class Found:
    """The part of some candidates that could be measured.

    Attributes:
        result: None if nothing could.
        left_out: sentences on what was left out.
        seconds: that a round takes, 0 if there is none.
    """

    result: Result | None
    left_out: tuple[str, ...] = ()
    seconds: float = 0.0


def measure_fitting(setting: Setting, budget: Budget, candidates: Sequence[Candidate]) -> Found:
    """Measure those candidates in turns that time and memory suffice for, in as many rounds as there is time for.

    Each runs once beforehand, which warms it up and tells how long it takes; how long the next one will take is
    foretold by its cost. No case is cut. Hand them over from small to large.
    """
    cases: list[Case] = []
    left_out: list[str] = []
    with using_threads(setting.threads):
        round_seconds = _seconds_of([Case(name="unit", run=unit_of_work(setting.device))], setting)
        pace = 0.0
        for candidate in candidates:
            expected = pace * candidate.cost or candidate.expected
            if budget.left < expected + LEAST_ROUNDS * (round_seconds + expected):
                left_out.append(f"{candidate.what}: left out for want of time")
                continue
            setting.say(candidate.what)
            try:
                made = candidate.make()
                seconds = _seconds_of(made, setting)
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                left_out.append(f"{candidate.what}: does not fit into the memory")
                continue
            cases += made
            round_seconds, pace = round_seconds + seconds, seconds / candidate.cost
    if not cases:
        return Found(result=None, left_out=tuple(left_out))
    rounds = max(LEAST_ROUNDS, min(MOST_ROUNDS, int(budget.left / round_seconds)))
    on_cuda = setting.device.type == "cuda"
    result = measure(cases, rounds=rounds, warmup=0, threads=setting.threads, device=setting.device, events=on_cuda)
    return Found(result=result, left_out=tuple(left_out), seconds=round_seconds)


def _seconds_of(cases: Sequence[Case], setting: Setting) -> float:
    """Warm cases up, and return how long they take: on CUDA the second time, since the first one searches kernels."""
    seconds = 0.0
    for _ in range(2 if setting.device.type == "cuda" else 1):
        wait_for(setting.device)
        began = setting.budget.clock()
        for case in cases:
            case.prepare()
            case.run()
        wait_for(setting.device)
        seconds = setting.budget.clock() - began
    return seconds
