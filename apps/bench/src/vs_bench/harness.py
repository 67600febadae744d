"""A small harness for honest comparisons of speed on machines that are shared and noisy.

Everything to be compared runs in one process, in turns: a round runs every case once, in an order that changes from
round to round, and beside them the *unit*, a fixed piece of PyTorch work. Slow spells of the machine so hit all cases
alike. Ratios are computed from medians, their spread by resampling whole rounds, and times are also given in units,
which can be compared between machines.

    result = measure([Case(name="O0", run=step_o0), Case(name="O1", run=step_o1)], rounds=15)
    ratio = ratio_of(result.case("O0"), result.case("O1"))

A case's `run` does one whole measured piece of work; its `prepare` runs before each, unmeasured.
"""

import contextlib
import random
import statistics
import time
from collections.abc import Callable, Iterator, Sequence

import attrs
import torch
from torch import Tensor, nn
from vs_config.progress import Progress

UNIT = "unit"
_RESAMPLES = 2000


def _nothing() -> None:
    pass


@attrs.frozen(kw_only=True)
class Case:
    """One of the things to be compared.

    `run` does the measured work once; `prepare` runs before each `run` and is not measured; `note` is one line for the
    table and the file.
    """

    name: str
    run: Callable[[], object]
    prepare: Callable[[], object] = _nothing
    note: str = ""


@attrs.frozen(kw_only=True)
class Series:
    """The seconds that one case took, one number a round, in the order of the rounds."""

    name: str
    seconds: tuple[float, ...] = attrs.field(validator=attrs.validators.min_len(1))
    note: str = ""

    @property
    def median(self) -> float:
        """The middle of the measured seconds."""
        return statistics.median(self.seconds)

    @property
    def quartiles(self) -> tuple[float, float]:
        """The seconds below which a quarter and three quarters of the rounds lie."""
        if len(self.seconds) == 1:
            return self.seconds[0], self.seconds[0]
        low, _, high = statistics.quantiles(self.seconds, n=4, method="inclusive")
        return low, high


@attrs.frozen(kw_only=True)
class Ratio:
    """The ratio of the times of `slow` and `fast`, with the middle 95 % of the ratios of resampled rounds."""

    slow: str
    fast: str
    value: float
    low: float
    high: float


@attrs.frozen(kw_only=True)
class Result:
    """The result of `measure`: a series for the unit and one for each case, all over the same rounds."""

    unit: Series
    cases: tuple[Series, ...]
    threads: int
    device: str

    def case(self, name: str) -> Series:
        """Return the series called `name`, the unit's included; a `KeyError` lists the names there are."""
        series = {one.name: one for one in (self.unit, *self.cases)}
        if name not in series:
            message = f"no case is called {name!r}; there are {', '.join(series)}"
            raise KeyError(message)
        return series[name]


def unit_of_work(device: torch.device) -> Callable[[], Tensor]:
    """Return the fixed work by which times are divided, about 0.1 s on two cores of a server.

    Forward and backward, in eager float32, of six rounds of (3x3 convolution 32 -> 32 with padding 1, instance norm,
    leaky ReLU 0.2) on a (1,32,128,256) input, the loss being the mean of squares.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        layers = [
            layer
            for _ in range(6)
            for layer in (nn.Conv2d(32, 32, 3, padding=1), nn.InstanceNorm2d(32), nn.LeakyReLU(0.2))
        ]
        network = nn.Sequential(*layers).to(device)
        image = torch.randn(1, 32, 128, 256).to(device)

    def work() -> Tensor:
        network.zero_grad(set_to_none=True)
        with torch.autocast(device.type, enabled=False):
            loss: Tensor = network(image).square().mean()
        loss.backward()
        return loss

    return work


def order_of_round(names: Sequence[str], number: int) -> list[str]:
    """Return the order in which round `number` runs the cases: a shuffle that is the same in every process."""
    order = list(names)
    random.Random(number).shuffle(order)
    return order


def measure(
    cases: Sequence[Case],
    *,
    rounds: int = 15,
    warmup: int = 2,
    threads: int = 2,
    device: torch.device | str = "cpu",
    clock: Callable[[], float] = time.perf_counter,
    events: bool = False,
    progress: Progress | None = None,
) -> Result:
    """Run all cases and the unit in turns, `warmup` rounds unmeasured and then `rounds` measured ones.

    PyTorch computes with `threads` threads meanwhile. Work queued on a CUDA device is waited for before and after each
    piece. `clock` returns seconds; with `events` a CUDA device's own events tell the time instead. `progress` hears of
    every round. Raises `ValueError` for no cases, names used twice and no rounds.
    """
    names = [case.name for case in cases]
    if not cases or len({*names, UNIT}) != len(names) + 1:
        message = f"cases need names of their own, other than {UNIT!r}; got {names}"
        raise ValueError(message)
    if rounds < 1 or warmup < 0:
        message = f"at least one round and no negative warm-up are needed; got rounds={rounds}, warmup={warmup}"
        raise ValueError(message)
    where = torch.device(device)
    everything = {UNIT: Case(name=UNIT, run=unit_of_work(where)), **{case.name: case for case in cases}}
    seconds: dict[str, list[float]] = {name: [] for name in everything}
    with computing_with(threads):
        for number in range(-warmup, rounds):
            if progress is not None:
                progress.update(warmup + number, warmup + rounds)
            for name in order_of_round(list(everything), number):
                case = everything[name]
                elapsed = _time_by_events(case, where) if events else _time_once(case, where, clock)
                if number >= 0:
                    seconds[name].append(elapsed)
    return Result(
        unit=Series(name=UNIT, seconds=tuple(seconds[UNIT])),
        cases=tuple(Series(name=case.name, seconds=tuple(seconds[case.name]), note=case.note) for case in cases),
        threads=threads,
        device=str(where),
    )


def _time_once(case: Case, device: torch.device, clock: Callable[[], float]) -> float:
    case.prepare()
    wait_for(device)
    start = clock()
    case.run()
    wait_for(device)
    return clock() - start


def _time_by_events(case: Case, device: torch.device) -> float:
    case.prepare()
    wait_for(device)
    begun, ended = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    stream = torch.cuda.current_stream(device)
    begun.record(stream)
    case.run()
    ended.record(stream)
    wait_for(device)
    return float(begun.elapsed_time(ended)) / 1e3


def wait_for(device: torch.device) -> None:
    """Wait until a CUDA device has done what it was given; on any other it has."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


@contextlib.contextmanager
def computing_with(number: int) -> Iterator[None]:
    """Let PyTorch compute with so many threads within it."""
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def ratio_of(slow: Series, fast: Series, *, resamples: int = _RESAMPLES) -> Ratio:
    """Return how many times as long `slow` takes as `fast`: the ratio of medians and its bootstrap interval.

    Whole rounds are resampled, because what disturbed one case of a round probably disturbed the other too.
    """
    if len(slow.seconds) != len(fast.seconds):
        message = f"{slow.name} has {len(slow.seconds)} rounds and {fast.name} has {len(fast.seconds)}"
        raise ValueError(message)
    pairs = list(zip(slow.seconds, fast.seconds, strict=True))
    draw = random.Random(0)
    ratios = sorted(_ratio_of_medians(draw.choices(pairs, k=len(pairs))) for _ in range(resamples))
    low, high = ratios[int(0.025 * resamples)], ratios[min(int(0.975 * resamples), resamples - 1)]
    return Ratio(slow=slow.name, fast=fast.name, value=_ratio_of_medians(pairs), low=low, high=high)


def _ratio_of_medians(pairs: Sequence[tuple[float, float]]) -> float:
    numerators, denominators = zip(*pairs, strict=True)
    return float(statistics.median(numerators) / statistics.median(denominators))
