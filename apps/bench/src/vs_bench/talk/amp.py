"""O1 over O0 by batch and resolution, data loading included: the talk's table, and its doubled batch."""

from collections.abc import Sequence

import attrs

from vs_bench.harness import Ratio
from vs_bench.tables import as_record
from vs_bench.talk.columns import Column, levels_of, measure_column, name_of
from vs_bench.talk.outcome import Curve, Line, Outcome, Trace, judge, line_of_ratio
from vs_bench.talk.scale import Grid
from vs_bench.talk.setting import Row, Setting, share_of

TALK = {
    ("512x256", 8): 0.84,
    ("512x256", 16): 1.15,
    ("512x256", 32): 1.53,
    ("512x256", 64): 2.01,
    ("1024x512", 8): 1.51,
    ("1024x512", 16): 1.99,
}
"""The talk's table: how many times as fast O1 is as O0."""
DOUBLED = 2.0
"""Of the talk: with twice the batch, at 1024x512."""
PER_MACHINE = (
    "The talk's batches are taken for those of its whole machine, a DGX-1 of 8 GPUs, so that one GPU gets an eighth. "
    "It does not say so; but both of its columns end at the same number of pixels, and a GPU that O1 makes slower, "
    "0.84x, is one with too little to do."
)


def measure(setting: Setting) -> Outcome:
    """Measure the columns of the table one after the other; the batches of one in turns."""
    levels, why_not = levels_of(setting.device, emulated=setting.emulated)
    weights = [grid.height * grid.width * grid.batches[-1][0] for grid in setting.scale.grid]
    columns = []
    for index, grid in enumerate(setting.scale.grid):
        budget = setting.budget.part(share_of(weights, index))
        batches = [batch for batch, _ in grid.batches]
        columns.append(
            measure_column(setting, budget, setting.scale.street, (grid.height, grid.width), batches, levels)
        )
    sentence = f"Whole steps on clips of {setting.scale.frames} frames with data loading, {setting.scale.name} sizes."
    return outcome_of(setting.scale.grid, columns, sentence, why_not)


def outcome_of(grids: Sequence[Grid], columns: Sequence[Column], setting: str, why_not: str | None) -> Outcome:
    """Return the outcome of the row; `why_not` says why O1 was not measured. Pure."""
    pairs = list(zip(grids, columns, strict=True))
    return Outcome(
        setting=setting,
        lines=tuple(line for grid, column in pairs for line in lines_of(grid, column)),
        findings=(PER_MACHINE, *(found for grid, column in pairs for found in findings_of(grid, column))),
        left_out=(
            *(left for _, column in pairs for left in column.left_out),
            *((why_not,) if why_not else ()),
        ),
        curve=curve_of(pairs),
        measured=tuple(
            {"talk": grid.talk, "frames": column.frames, **as_record(column.result, baseline=_baseline(grid, column))}
            for grid, column in pairs
            if column.result is not None
        ),
    )


def _baseline(grid: Grid, column: Column) -> str:
    return next(name_of("O0", batch) for batch, _ in grid.batches if column.has("O0", batch))


def lines_of(grid: Grid, column: Column) -> tuple[Line, ...]:
    """Return the lines of a column: images a second, O1 over O0 beside the talk's, and the doubled batch. Pure."""
    lines = []
    for batch, talks in grid.batches:
        where = f"{grid.width}x{grid.height}, batch {batch}"
        for level in ("O0", "O1"):
            if column.has(level, batch):
                value, low, high = column.rate(level, batch)
                what = f"{where}: images a second in {level}"
                lines.append(Line(what=what, value=value, unit="per second", low=low, high=high))
        claimed = TALK.get((grid.talk, talks)) if talks else None
        talk = f"{claimed:.2f}x ({grid.talk}, batch {talks})" if claimed else ""
        if column.has("O0", batch) and column.has("O1", batch):
            lines.append(line_of_ratio(f"{where}: O1 over O0", column.speedup(batch), talk=talk, wanted=claimed))
        elif talk:
            lines.append(Line(what=f"{where}: O1 over O0", talk=talk, note="not measured"))
    lines += doubled(grid, column)
    return tuple(lines)


def doubled(grid: Grid, column: Column) -> list[Line]:
    """Return the line of O1 with twice the batch of O0, by images, at the talk's larger resolution. Pure."""
    sizes = {talks: batch for batch, talks in grid.batches if talks}
    if grid.talk != "1024x512" or not {8, 16} <= sizes.keys():
        return []
    what = f"{grid.width}x{grid.height}: O1 with batch {sizes[16]} over O0 with batch {sizes[8]}, by images"
    talk = f"{DOUBLED:g}x (doubled batch)"
    if not (column.has("O0", sizes[8]) and column.has("O1", sizes[16])):
        return [Line(what=what, talk=talk, note="not measured")]
    return [line_of_ratio(what, column.speedup(sizes[8], sizes[16]), talk=talk, wanted=DOUBLED)]


def findings_of(grid: Grid, column: Column) -> tuple[str, ...]:
    """Say whether the gain of O1 grows with the batch, as the talk says. Pure."""
    measured = [batch for batch, _ in grid.batches if column.has("O0", batch) and column.has("O1", batch)]
    if len(measured) < 2:
        return ()
    least, most = column.speedup(measured[0]), column.speedup(measured[-1])
    return (
        f'"The larger the batch size/computation, the more speed gain for AMP" at {grid.width}x{grid.height}: '
        f"{grows(least, most)}, {least.value:.2f}x with batch {measured[0]} and {most.value:.2f}x with {measured[-1]}.",
    )


def grows(least: Ratio, most: Ratio) -> str:
    """Say whether one ratio is above another. Pure."""
    return judge(most.low - least.high, most.high - least.low, 0)


def curve_of(pairs: Sequence[tuple[Grid, Column]]) -> Curve | None:
    """Return O1 over O0 by batch, or where O1 was not measured images a second in O0. Pure."""
    mixed = any(column.has("O1", batch) for grid, column in pairs for batch, _ in grid.batches)
    traces = tuple(filter(None, (_trace(grid, column, mixed=mixed) for grid, column in pairs)))
    if not traces:
        return None
    if mixed:
        return Curve(title="O1 over O0, with data loading", x="batch", y="times as fast as O0", traces=traces)
    return Curve(title="Images a second in O0, with data loading", x="batch", y="images a second", traces=traces)


def _trace(grid: Grid, column: Column, *, mixed: bool) -> Trace | None:
    batches = [batch for batch, _ in grid.batches if column.has("O0", batch) and (not mixed or column.has("O1", batch))]
    if not batches:
        return None
    points = [attrs.astuple(column.speedup(batch))[2:] if mixed else column.rate("O0", batch) for batch in batches]
    return Trace(
        name=f"{grid.width}x{grid.height}",
        x=tuple(map(float, batches)),
        y=tuple(y for y, _, _ in points),
        low=tuple(low for _, low, _ in points),
        high=tuple(high for _, _, high in points),
    )


ROW = Row(
    name="amp",
    title="AMP: O1 over O0 by batch and resolution",
    says="vid2vid with AMP O1 on a DGX-1 with V100, data loading included: 0.84 to 2.01 times as fast as O0, the "
    "larger the batch and the frames the more; in short 1.5 times, and 2 times with doubled batch.",
    figure="1.5x; 2x with doubled batch",
    measure=measure,
    share=2.5,
)
