"""How measured series are shown and kept: a table for people, a record for the file."""

from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from vs_bench.harness import UNIT, Result, Series, ratio_of


def table_of(result: Result, *, baseline: str, title: str = "") -> Table:
    """Return a table of every case: median and quartiles, units, and how many times as fast as `baseline` it is."""
    table = Table(
        title=title or None, caption=f"speed-up over {baseline}", title_justify="left", caption_justify="left"
    )
    for heading in ("case", "median ms", "quartiles", "units", "speed-up", "95 %", "note"):
        table.add_column(heading, justify="left" if heading in ("case", "note") else "right", no_wrap=heading != "note")
    reference = result.case(baseline)
    for series in (result.unit, *result.cases):
        low, high = series.quartiles
        speedup = ratio_of(reference, series)
        compared = series.name not in (UNIT, baseline)
        table.add_row(
            series.name,
            f"{1e3 * series.median:.2f}",
            f"{1e3 * low:.1f}-{1e3 * high:.1f}",
            f"{series.median / result.unit.median:.3f}",
            f"{speedup.value:.2f}" if compared else "",
            f"{speedup.low:.2f}-{speedup.high:.2f}" if compared else "",
            series.note,
        )
    return table


def plain_table(title: str, headings: Sequence[str]) -> Table:
    """Return a table of names, in its first column, and of numbers."""
    table = Table(title=title, title_justify="left", caption_justify="left")
    for heading in headings:
        name = heading in headings[:1]
        table.add_column(heading, justify="left" if name else "right", no_wrap=True, overflow="ellipsis")
    return table


def speed_cells(flop: float, seconds: float, peak: float) -> tuple[str, str, str]:
    """Return the cells of `GFLOP`, `GFLOP/s` and `of peak`; `peak`: the FLOPs of a large convolution in a second."""
    rate = flop / max(seconds, 1e-9)
    return f"{flop / 1e9:.2f}", f"{rate / 1e9:.0f}", f"{rate / peak:.0%}"


def wide_console() -> Console:
    """Return the terminal, or in a file or a pipe lines that are long enough for the tables."""
    console = Console()
    return console if console.is_terminal else Console(width=160)


def print_result(result: Result, *, baseline: str, title: str = "") -> None:
    """Print the table of `result` to the terminal."""
    wide_console().print(table_of(result, baseline=baseline, title=title))


def as_record(result: Result, *, baseline: str) -> dict[str, Any]:
    """Return `result` as what the result file holds: all seconds, and the figures of the table."""
    reference = result.case(baseline)
    return {
        "device": result.device,
        "threads": result.threads,
        "rounds": len(result.unit.seconds),
        "baseline": baseline,
        "unit": _series_record(result.unit, result, reference),
        "cases": [_series_record(series, result, reference) for series in result.cases],
    }


def _series_record(series: Series, result: Result, reference: Series) -> dict[str, Any]:
    speedup = ratio_of(reference, series)
    return {
        "name": series.name,
        "note": series.note,
        "median_seconds": series.median,
        "quartiles_seconds": series.quartiles,
        "units": series.median / result.unit.median,
        "speedup": {"value": speedup.value, "low": speedup.low, "high": speedup.high},
        "seconds": series.seconds,
    }
