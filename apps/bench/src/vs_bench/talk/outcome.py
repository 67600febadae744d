"""What a row of the talk comes to: lines with the talk's figure beside ours, and what follows; everything here is pure.

Outcomes are stored as JSON and read again, so that the page and the terminal show the same words made of the same
numbers.
"""

from collections.abc import Mapping
from typing import Any, Literal

import attrs
import cattrs
from vs_config.amounts import show_bytes

from vs_bench.harness import Ratio

Unit = Literal["seconds", "times", "share", "count", "bytes", "per second", "none"]
Verdict = Literal["", "holds", "does not hold", "cannot tell"]


@attrs.frozen(kw_only=True)
class Line:
    """One figure.

    Attributes:
        what: what is counted or measured.
        talk: the talk's figure as it is written there; empty where the talk has none.
        value: ours; None where there is none, and `note` says why.
        unit: of the value.
        low: lower end of the 95 % interval, if there is one.
        high: upper end of it.
        verdict: whether what the talk says holds here.
        note: what else is to be said.
    """

    what: str
    talk: str = ""
    value: float | None = None
    unit: Unit = "none"
    low: float | None = None
    high: float | None = None
    verdict: Verdict = ""
    note: str = ""


@attrs.frozen(kw_only=True)
class Trace:
    """One line of a plot; `low` and `high` are as long as `y`, or empty."""

    name: str
    x: tuple[float, ...]
    y: tuple[float, ...]
    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()


@attrs.frozen(kw_only=True)
class Curve:
    """A plot: traces over one axis, and the talk's own figure as a level across it, if it has one."""

    title: str
    x: str
    y: str
    traces: tuple[Trace, ...]
    talk: float | None = None


@attrs.frozen(kw_only=True)
class Outcome:
    """The figures of a row that was measured, and what is to be said of them.

    Attributes:
        setting: what was measured, in a sentence.
        lines: the figures.
        findings: what follows from them, in sentences.
        left_out: what was not measured, and why, a sentence each.
        curve: the plot, where the row is one.
        measured: the records of the measurements, every single time among them.
    """

    setting: str
    lines: tuple[Line, ...] = ()
    findings: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    curve: Curve | None = None
    measured: tuple[Mapping[str, Any], ...] = ()


def as_content(outcome: Outcome) -> dict[str, Any]:
    """Return an outcome as plain values."""
    return attrs.asdict(outcome)


def from_content(content: Mapping[str, Any]) -> Outcome:
    """Make the outcome of plain values, of which what else a file says of a measurement is left out."""
    names = {field.name for field in attrs.fields(Outcome)}
    return cattrs.structure({key: value for key, value in content.items() if key in names}, Outcome)


def written(value: float | None, unit: Unit) -> str:
    """Write a number with its unit, for people."""
    if value is None:
        return "-"
    match unit:
        case "seconds":
            return _seconds(value)
        case "times":
            return f"{value:.2f}x"
        case "share":
            return f"{value:+.0%}"
        case "bytes":
            return show_bytes(value)
        case "per second":
            return f"{value:.3g}/s"
        case "count" | "none":
            return f"{value:,g}"


def _seconds(value: float) -> str:
    for factor, name in ((1, "s"), (1e3, "ms")):
        if value * factor >= 1:
            return f"{value * factor:.3g} {name}"
    return f"{value * 1e6:.3g} us"


def interval(line: Line) -> str:
    """Write the interval of a line, or nothing."""
    if line.low is None or line.high is None:
        return ""
    return f"{written(line.low, line.unit)} to {written(line.high, line.unit)}"


def judge(low: float, high: float, wanted: float, *, most: bool = False) -> Verdict:
    """Say whether a number whose interval is given is at least `wanted`, or with `most` at most that."""
    if most:
        low, high, wanted = -high, -low, -wanted
    if low >= wanted:
        return "holds"
    return "does not hold" if high < wanted else "cannot tell"


def line_of_ratio(what: str, ratio: Ratio, *, talk: str = "", wanted: float | None = None, note: str = "") -> Line:
    """Return the line of a ratio of times, which by the talk is at least `wanted`."""
    return Line(
        what=what,
        talk=talk,
        value=ratio.value,
        unit="times",
        low=ratio.low,
        high=ratio.high,
        verdict="" if wanted is None else judge(ratio.low, ratio.high, wanted),
        note=note,
    )
