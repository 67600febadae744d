"""A check's result for people: what is there, and what is wrong with it."""

from collections.abc import Iterator

from rich.console import Console
from rich.table import Table
from rich.text import Text
from vs_config import shown

from vs_data.amounts import Amount
from vs_data.check import CheckReport
from vs_data.findings import Finding, counted, in_words

_BAR = 30  # characters of the longest bar


def print_report(report: CheckReport, console: Console, *, limit: int = 0) -> None:
    """Print a summary and at most `limit` findings (0: all of them)."""
    console.print(_summary(report))
    for kind, pixels in report.class_pixels.items():
        if sum(pixels):
            console.print(_histogram(kind, pixels, report.ignored_pixels[kind]))
    first = report.findings[:limit] if limit else report.findings
    for finding in first:
        console.print(_line(finding), soft_wrap=True)
    if len(first) < len(report.findings):
        console.print(f"... and {len(report.findings) - len(first)} more (--limit 0 shows all)")
    console.print(_counts(report), soft_wrap=True)


def _summary(report: CheckReport) -> Table:
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    lengths = [sequence.frames for sequence in report.sequences]
    span = f", {min(lengths)} to {max(lengths)} per sequence" if lengths else ""
    table.add_row("folder", Text(shown(report.root)))
    table.add_row("sequences", str(len(lengths)))
    table.add_row("frames", f"{report.frames}{span}")
    table.add_row("sizes", ", ".join(_sizes(report)) or "none readable")
    table.add_row("amount", Text(shown(_amount(report.amount))))
    table.add_row("looked at", _looked_at(report))
    return table


def _amount(amount: Amount) -> str:
    """Write an amount in words: `0.25 h; 1.32 GB: images 1.30, seg_maps 0.02`."""
    rate = "" if amount.fps is None else f" (frames that are files: {amount.fps:g} a second, see --fps)"
    lasting = f"{amount.seconds / 3600:.2f} h" if amount.seconds >= 360 else f"{amount.seconds:.1f} s"
    total = sum(amount.size.values())
    factor, unit = (1e9, "GB") if total >= 1e8 else (1e6, "MB")
    parts = ", ".join(f"{folder} {size / factor:.2f}" for folder, size in amount.size.items())
    return f"{lasting}{rate}; {total / factor:.2f} {unit}: {parts}"


def _looked_at(report: CheckReport) -> str:
    """Say what was opened and what was not looked for."""
    files = f"{report.opened} of {report.in_all} files"
    if report.decoded:
        return f"{files}, with all pixels"
    missing = "damage that shows in pixels alone, repeated frames, cuts, labels that never change or are out of step"
    return f"{files}; of pictures what files say of themselves, no pixels: {missing} are found by --decode"


def _sizes(report: CheckReport) -> Iterator[str]:
    for (height, width), count in sorted(report.sizes.items(), key=lambda item: -item[1]):
        yield f"{width}x{height} ({count} images)"


def _histogram(kind: str, pixels: tuple[int, ...], ignored: int) -> Table:
    total = sum(pixels) + ignored
    table = Table(title=Text(shown(f"{kind}: pixels per class id")), title_justify="left", box=None, pad_edge=False)
    table.add_column("id", justify="right")
    table.add_column("share", justify="right")
    table.add_column("")
    for name, count in [*((str(index), count) for index, count in enumerate(pixels)), ("ignored", ignored)]:
        if count:
            table.add_row(name, f"{100 * count / total:.2f} %", "█" * round(_BAR * count / max(pixels)))
    return table


def _line(finding: Finding) -> Text:
    line = Text(in_words(finding))
    line.stylize("bold red" if finding.severity == "error" else "yellow", 0, len(finding.severity))
    return line


def _counts(report: CheckReport) -> Text:
    errors = len(report.errors)
    warnings = len(report.findings) - errors
    text = f"{counted(errors, 'error')}, {counted(warnings, 'warning')}"
    return Text(text, style="bold red" if errors else "bold yellow" if warnings else "bold green")
