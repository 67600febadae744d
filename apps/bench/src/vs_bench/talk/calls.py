"""Short calls beside each other: their kernels and their time, as the talk's first tips are about."""

import warnings
from collections.abc import Callable, Mapping
from typing import TypeVar

import attrs
import torch

from vs_bench.harness import Case, Ratio, Result, ratio_of
from vs_bench.operators.measure import profile_call, quiet_profiler, repeats_for
from vs_bench.operators.report import per_call
from vs_bench.tables import as_record
from vs_bench.talk.outcome import Line, Outcome, judge, line_of_ratio
from vs_bench.talk.setting import Candidate, Setting, measure_fitting

SECONDS = 0.02
"""Of one measurement of one call; shorter ones are repeated."""

F = TypeVar("F", bound=Callable[..., object])


@attrs.frozen(kw_only=True)
class Calls:
    """Measured calls: seconds of one call each, and how many kernels it launches."""

    result: Result
    kernels: Mapping[str, int]

    def ratio(self, slow: str, fast: str) -> Ratio:
        """Return how many times as long one takes as another."""
        return ratio_of(self.result.case(slow), self.result.case(fast))


def scripted(function: F) -> F:
    """Compile a function by TorchScript, as the talk does."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # PyTorch has another compiler by now
        compiled: F = torch.jit.script(function)
    return compiled


def measure_calls(setting: Setting, what: str, calls: Mapping[str, Callable[[], object]]) -> Calls | str:
    """Measure calls in turns, or say why they are not measured."""
    quiet_profiler()
    repeats: dict[str, int] = {}
    kernels: dict[str, int] = {}

    def cases() -> list[Case]:
        for name, call in calls.items():
            repeats[name] = repeats_for(call, setting.device, seconds=SECONDS)  # and so warms up what is compiled
            kernels[name] = profile_call(call, setting.device).kernels
        return [Case(name=name, run=_repeated(call, repeats[name])) for name, call in calls.items()]

    found = measure_fitting(setting, setting.budget, [Candidate(what=what, make=cases)])
    if found.result is None:
        return found.left_out[0]
    return Calls(result=per_call(found.result, repeats), kernels=kernels)


def _repeated(call: Callable[[], object], count: int) -> Callable[[], None]:
    def run() -> None:
        for _ in range(count):
            call()

    return run


def kernels_and_time(
    calls: Calls, name: str, *, kernels: str = "", time: str = "", one: bool = False
) -> tuple[Line, Line]:
    """Return two lines of a call: its kernels, which by the talk are `one`, and its time, with the talk's of both."""
    series = calls.result.case(name)
    low, high = series.quartiles
    found = calls.kernels[name]
    return (
        Line(
            what=f"{name}: kernels",
            talk=kernels,
            value=found,
            unit="count",
            verdict=judge(found, found, 1, most=True) if one else "",
        ),
        Line(what=f"{name}: time", talk=time, value=series.median, unit="seconds", low=low, high=high),
    )


def lines_of_scripting(calls: Calls, *names: str) -> tuple[Line, ...]:
    """Return the lines of calls of which the second is the first one scripted, and what scripting is worth."""
    before, after, *_ = names
    return (
        *(line for name in names for line in kernels_and_time(calls, name)),
        line_of_ratio("scripting: speed-up", calls.ratio(before, after), talk="shown, without a figure", wanted=1),
    )


def outcome_of_calls(
    sentence: str, calls: Calls | str, baseline: str, lines: Callable[[Calls], tuple[Line, ...]], *findings: str
) -> Outcome:
    """Return the outcome of calls; `lines` makes its lines of them, if they were measured."""
    if isinstance(calls, str):
        return Outcome(setting=sentence, left_out=(calls,))
    return Outcome(
        setting=sentence,
        lines=lines(calls),
        findings=findings,
        measured=({**as_record(calls.result, baseline=baseline), "kernels": dict(calls.kernels)},),
    )
