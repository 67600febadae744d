"""A profile of one step: operators with self times, layers that most of the time goes to, copies, page faults.

Convolutions and matrix products, whose FLOPs are known, are leaves: what they call is theirs. All other operators have
the time in which they call none. FLOPs come from a second step whose calls are the same, in the same order.
"""

import collections
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any

import attrs
import torch
from rich.markup import escape
from rich.table import Table
from torch.autograd.profiler_util import FunctionEvent
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from vs_bench.step.report import print_line
from vs_bench.step.stepper import Step, page_faults
from vs_bench.tables import plain_table, speed_cells, wide_console

ALLOCATING = frozenset({"aten::empty", "aten::empty_strided", "aten::resize_"})
COPYING = frozenset({"aten::copy_"})
"""What copies all data that is copied, whoever asks for it."""

_PRINTED = 25  # rows of a table


@attrs.frozen(kw_only=True)
class Call:
    """One call of an operator whose FLOPs are known; `shapes` are those of its tensors."""

    operator: str
    shapes: str
    flop: int


@attrs.frozen(kw_only=True)
class Row:
    """Calls of one kind in a step.

    Attributes:
        name: the operator, with shapes where those are told apart.
        calls: how many.
        seconds: in all.
        flop: in all; None where nobody knows.
    """

    name: str
    calls: int
    seconds: float
    flop: int | None


@attrs.frozen(kw_only=True)
class Profile:
    """The operators of a step, and what they take.

    Attributes:
        operators: the longest first.
        layers: calls whose FLOPs are known by shapes, the longest first.
        copies: calls that copy a tensor.
        allocations: calls that ask for memory.
        page_faults: of a step that is not profiled.
    """

    operators: tuple[Row, ...]
    layers: tuple[Row, ...]
    copies: int
    allocations: int
    page_faults: int


def profile_of(step: Step, device: torch.device) -> Profile:
    """Profile a step, which is made five times."""
    step()
    step()
    before = page_faults()
    step()
    faults = page_faults() - before
    with _Recorder() as recorder:
        step()
    activities = [torch.profiler.ProfilerActivity.CPU]
    if device.type == "cuda":
        activities.append(torch.profiler.ProfilerActivity.CUDA)
    with torch.profiler.profile(activities=activities) as profiler:
        step()
    return read_events(profiler.events() or [], recorder.calls, device, faults)


class _Recorder(TorchDispatchMode):
    """Notes the calls of operators whose FLOPs are known."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call] # PyTorch's
        self.calls: list[Call] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        packet = func._overloadpacket
        if packet in flop_registry:
            flop = flop_registry[packet](*args, **(kwargs or {}), out_val=out)
            shapes = " ".join("x".join(map(str, x.shape)) for x in args if isinstance(x, torch.Tensor))
            self.calls.append(Call(operator=str(packet).replace(".", "::"), shapes=shapes, flop=int(flop)))
        return out


def read_events(events: Iterable[FunctionEvent], calls: Sequence[Call], device: torch.device, faults: int) -> Profile:
    """Return what a profiler's events say, and the calls whose FLOPs are known, in their order."""
    on_cpu = [event for event in events if event.device_type.name == "CPU"]
    known = {call.operator for call in calls}
    roots = sorted((event for event in on_cpu if event.cpu_parent is None), key=lambda event: event.time_range.start)
    found = [one for event in roots for one in _counted(event, known)]
    kind = "cpu" if device.type == "cpu" else "device"
    attribute = f"self_{kind}_time_total", f"{kind}_time_total"  # of others, and of leaves
    timed = ((event.name, getattr(event, attribute[event.name in known]) / 1e6) for event in found)
    matched = _matched(timed, calls)
    return Profile(
        operators=_rows(
            (_short(name), seconds, None if call is None else call.flop) for name, seconds, call in matched
        ),
        layers=_rows((f"{_short(name)} {call.shapes}", seconds, call.flop) for name, seconds, call in matched if call),
        copies=sum(event.name in COPYING for event in on_cpu),
        allocations=sum(event.name in ALLOCATING for event in on_cpu),
        page_faults=faults,
    )


def _counted(event: FunctionEvent, leaves: Collection[str]) -> Iterator[FunctionEvent]:
    """Yield an event and those within it, but for those within leaves, in the order in which they began."""
    yield event
    if event.name not in leaves:
        for child in sorted(event.cpu_children, key=lambda child: child.time_range.start):
            yield from _counted(child, leaves)


def _matched(timed: Iterable[tuple[str, float]], calls: Sequence[Call]) -> list[tuple[str, float, Call | None]]:
    """Return names and seconds with their calls; with none where an operator has not as many calls as events."""
    timed = list(timed)
    events = collections.Counter(name for name, _ in timed)
    counts = collections.Counter(call.operator for call in calls)
    queues = {
        name: iter([call for call in calls if call.operator == name])
        for name, count in counts.items()
        if events[name] == count
    }
    return [(name, seconds, next(queues[name]) if name in queues else None) for name, seconds in timed]


def _rows(parts: Iterable[tuple[str, float, int | None]]) -> tuple[Row, ...]:
    """Return a row for each name, the longest first."""
    groups = collections.defaultdict[str, list[tuple[float, int | None]]](list)
    for name, seconds, flop in parts:
        groups[name].append((seconds, flop))
    rows = (
        Row(
            name=name,
            calls=len(group),
            seconds=sum(seconds for seconds, _ in group),
            flop=None if group[0][1] is None else sum(flop or 0 for _, flop in group),
        )
        for name, group in groups.items()
    )
    return tuple(sorted(rows, key=lambda row: row.seconds, reverse=True))


def _short(name: str) -> str:
    return name.removeprefix("autograd::engine::evaluate_function: ").removeprefix("aten::")


@attrs.frozen(kw_only=True)
class Bounds:
    """The limits of a step: what it could gain, and where.

    Attributes:
        products: the share of its time that convolutions and matrix products take.
        of_peak: the share of the peak that these get.
        floor: the share of its time that would be left if these got the whole peak and all else took no time.
        others: how many calls there are of everything else.
        seconds_of_others: what one of these takes on average.
    """

    products: float
    of_peak: float
    floor: float
    others: int
    seconds_of_others: float


def bounds_of(profile: Profile, peak: float) -> Bounds:
    """Return what bounds a step of which some rows are convolutions or products."""
    known = [row for row in profile.operators if row.flop is not None]
    rest = [row for row in profile.operators if row.flop is None]
    seconds, other_seconds = (sum(row.seconds for row in rows) for rows in (known, rest))
    least, others = sum(row.flop or 0 for row in known) / peak, sum(row.calls for row in rest)
    return Bounds(
        products=seconds / (seconds + other_seconds),
        of_peak=least / seconds if seconds else 0.0,
        floor=least / (seconds + other_seconds),
        others=others,
        seconds_of_others=other_seconds / max(others, 1),
    )


def as_record(profile: Profile, peak: float) -> dict[str, Any]:
    """Return a profile for the file; `peak`: the FLOPs that a large convolution makes in a second."""
    return {
        "peak_flop_per_second": peak,
        "bounds": attrs.asdict(bounds_of(profile, peak)),
        "copies": profile.copies,
        "allocations": profile.allocations,
        "page_faults": profile.page_faults,
        "operators": [attrs.asdict(row) for row in profile.operators],
        "layers": [attrs.asdict(row) for row in profile.layers],
    }


def print_profile(profile: Profile, peak: float, title: str) -> None:
    """Print the longest rows of both tables, and the counts."""
    console = wide_console()
    total = sum(row.seconds for row in profile.operators)
    for what, rows in (("operators", profile.operators), ("convolutions and products, by shapes", profile.layers)):
        console.print(_table(rows[:_PRINTED], total, peak, f"{title}, {what}"))
    bounds = bounds_of(profile, peak)
    print_line(
        f"{title}: convolutions and products take {bounds.products:.0%}, at {bounds.of_peak:.0%} of the peak; "
        f"the rest is {bounds.others:,} calls of {1e6 * bounds.seconds_of_others:.1f} µs"
    )
    print_line(
        f"{title}: {profile.copies:,} copies, {profile.allocations:,} allocations, {profile.page_faults:,} page faults"
    )


def _table(rows: Sequence[Row], total: float, peak: float, title: str) -> Table:
    table = plain_table(title, ("name", "calls", "ms", "share", "GFLOP", "GFLOP/s", "of peak"))
    for row in rows:
        known = ("", "", "") if not row.flop else speed_cells(row.flop, row.seconds, peak)
        table.add_row(
            escape(row.name), f"{row.calls:,}", f"{1e3 * row.seconds:.1f}", f"{row.seconds / total:.1%}", *known
        )
    return table
