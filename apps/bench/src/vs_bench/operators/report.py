"""Records and tables of the benchmark of the operators; everything here is pure.

A record is a dict of plain values that holds all figures of one subject. Tables are made of records, so that they can
be made again from the file.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import attrs
from rich.table import Table
from vs_ops.dispatch import IMPLEMENTATION_NAMES

from vs_bench.harness import Result, Series, ratio_of
from vs_bench.operators.measure import Profile
from vs_bench.tables import as_record

COPY, EAGER, APEX = "copy", "eager", "apex"
FORWARD, BOTH = "forward", "forward and backward"
CLAIMS = {"spade": 1.5, "label_conv2d": 1.5, "spectral_normalize_all": 1.5}
"""How many times as fast as eager an operator is meant to be, forward and backward, at every size of the networks."""

Record = Mapping[str, Any]


@attrs.frozen(kw_only=True)
class About:
    """All that a record says beside what was measured; `elements` are the deciding tensor's."""

    operator: str
    size: str
    shape: tuple[int, ...]
    elements: int
    dtype: str
    memory_format: str | None
    way: str
    bytes: int
    rule: bool
    chosen: str
    note: str


def per_call(result: Result, repeats: Mapping[str, int]) -> Result:
    """Return the result with the seconds of one call instead of those of `repeats` calls of each case."""
    cases = (
        attrs.evolve(series, seconds=tuple(one / repeats[series.name] for one in series.seconds))
        for series in result.cases
    )
    return attrs.evolve(result, cases=tuple(cases))


def record_of(
    about: About,
    result: Result,
    *,
    profiles: Mapping[str, Profile],
    repeats: Mapping[str, int],
    copied: int,
) -> dict[str, Any]:
    """Return everything measured of one subject; `result` is per call and has the cases `eager` and `copy`.

    `copied` is how many bytes the case `copy` moves. Rounds one by one are left out: quartiles and intervals remain.
    """
    bandwidth = copied / result.case(COPY).median
    figures = as_record(result, baseline=EAGER)
    cases = [one for one in figures["cases"] if one["name"] != COPY]
    for case in cases:
        rate = about.bytes / case["median_seconds"]
        found = profiles[case["name"]]
        case |= {
            "repeats": repeats[case["name"]],
            "kernels": found.kernels,
            "bytes_per_second": rate,
            "share_of_copy": rate / bandwidth,
            "hottest": [list(one) for one in found.hottest],
        }
    for case in (*cases, figures["unit"]):
        del case["seconds"]
    return {**attrs.asdict(about), **figures, "cases": cases, "copy_bytes_per_second": bandwidth}


def title_of(record: Record) -> str:
    """Say in one line what was measured."""
    shape = "x".join(str(size) for size in record["shape"])
    layout = f", {record['memory_format']}" if record["memory_format"] else ""
    return f"{record['operator']}: {record['size']}\n{shape} {record['dtype']}{layout}, {record['way']}"


def table_of(record: Record) -> Table:
    """Make the table of one subject: time of a call, speed-up over eager, kernels, bandwidth, by implementation."""
    copy = record["copy_bytes_per_second"]
    moved = f"at least {record['bytes'] / 1e6:.2f} MB a call; copying: {copy / 1e9:.1f} GB/s"
    caption = "\n".join(line for line in (moved, record["note"]) if line)
    table = Table(title=title_of(record), caption=caption, title_justify="left", caption_justify="left")
    headings = ("implementation", "median us", "quartiles", "speed-up", "95 %", "kernels", "GB/s", "of copying", "note")
    for heading in headings:
        table.add_column(heading, justify="left" if heading in ("implementation", "note") else "right", no_wrap=True)
    for case in record["cases"]:
        low, high = (1e6 * one for one in case["quartiles_seconds"])
        speedup, compared = case["speedup"], case["name"] != EAGER
        table.add_row(
            case["name"],
            f"{1e6 * case['median_seconds']:.1f}",
            f"{low:.1f}-{high:.1f}",
            f"{speedup['value']:.2f}" if compared else "",
            f"{speedup['low']:.2f}-{speedup['high']:.2f}" if compared else "",
            str(case["kernels"]),
            f"{case['bytes_per_second'] / 1e9:.2f}",
            f"{case['share_of_copy']:.0%}",
            case["note"],
        )
    return table


def profile_table(record: Record) -> Table:
    """Make the table of what the time of each implementation goes to: its largest parts."""
    table = Table(title=f"{title_of(record)}: where the time goes", title_justify="left")
    for heading in ("implementation", "operator or kernel", "of the time"):
        table.add_column(heading, justify="right" if heading == "of the time" else "left")
    for case in record["cases"]:
        for index, (name, fraction) in enumerate(case["hottest"]):
            table.add_row(case["name"] if index == 0 else "", name, f"{fraction:.0%}")
    return table


def claims_of(records: Mapping[str, Sequence[Record]], claims: Mapping[str, float] = CLAIMS) -> list[dict[str, Any]]:
    """Say whether the operators of `claims` are as much faster than eager as is wanted, for each subject.

    `holds` speaks of what "auto" chooses, `can_hold` of the best of all our implementations; both of the ratio of
    medians. The intervals are there for those who doubt.
    """
    return [_claim(name, one, claims[name]) for name in claims for one in records.get(name, ()) if one["way"] == BOTH]


def _claim(name: str, record: Record, wanted: float) -> dict[str, Any]:
    cases = {case["name"]: case for case in record["cases"]}
    best = min(_ours(record), key=lambda case: case["median_seconds"])
    chosen = cases[record["chosen"]] if record["chosen"] in cases else cases["reference"]
    return {
        "operator": name,
        "size": record["size"],
        "shape": record["shape"],
        "memory_format": record["memory_format"],
        "wanted": wanted,
        "chosen": chosen["name"],
        "speedup": chosen["speedup"],
        "holds": chosen["speedup"]["value"] >= wanted,
        "best": best["name"],
        "best_speedup": best["speedup"],
        "can_hold": best["speedup"]["value"] >= wanted,
    }


def _ours(record: Record) -> Iterator[Record]:
    return (case for case in record["cases"] if case["name"] in IMPLEMENTATION_NAMES)


def claims_table(claims: Sequence[Record]) -> Table:
    """Make the table of what was claimed of the speed at the sizes of the networks, and what was measured."""
    table = Table(title="speed-up over eager that is wanted, and measured", title_justify="left")
    for heading in ("operator", "size", "shape", "wanted", "auto", "speed-up", "95 %", "best", "speed-up", ""):
        table.add_column(heading, justify="right" if heading in ("wanted", "speed-up", "95 %") else "left")
    for claim in claims:
        speedup = claim["speedup"]
        table.add_row(
            claim["operator"],
            claim["size"],
            "x".join(str(size) for size in claim["shape"]),
            f"{claim['wanted']:.2f}",
            claim["chosen"],
            f"{speedup['value']:.2f}",
            f"{speedup['low']:.2f}-{speedup['high']:.2f}",
            claim["best"],
            f"{claim['best_speedup']['value']:.2f}",
            "holds" if claim["holds"] else "does not hold",
        )
    return table


def executors_record(seconds: Mapping[str, Sequence[float]], *, kernels: Mapping[str, int]) -> dict[str, Any]:
    """Compare executors of TorchScript by the medians of processes: `profiling` (as PyTorch comes) and `legacy`.

    `speedup` says how many times as fast `legacy` is, the executor that the talk's switches give. `seconds` has `eager`
    too, measured in the same processes.
    """
    series = {name: Series(name=name, seconds=tuple(values)) for name, values in seconds.items()}
    ratio = ratio_of(series["profiling"], series["legacy"])
    return {
        "median_seconds": {name: one.median for name, one in series.items()},
        "kernels": dict(kernels),
        "processes": len(series["legacy"].seconds),
        "speedup": {"value": ratio.value, "low": ratio.low, "high": ratio.high},
    }
