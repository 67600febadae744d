"""O1 over O0 for few-shot vid2vid, with the talk's batch and with half as much again."""

from vs_bench.tables import as_record
from vs_bench.talk.columns import Column, levels_of, measure_column, name_of
from vs_bench.talk.outcome import Line, Outcome, line_of_ratio
from vs_bench.talk.setting import Row, Setting

TALK, TALK_LARGER = 1.3, 1.5


def measure(setting: Setting) -> Outcome:
    """Measure both batches in both levels, in turns."""
    levels, why_not = levels_of(setting.device, emulated=setting.emulated)
    scale = setting.scale
    column = measure_column(setting, setting.budget, scale.face, scale.face_size, scale.few_shot, levels)
    height, width = scale.face_size
    return Outcome(
        setting=f"Whole steps on clips of {scale.frames} frames of {height}x{width} with data loading.",
        lines=lines_of(column, scale.few_shot),
        left_out=(*column.left_out, *((why_not,) if why_not else ())),
        measured=() if column.result is None else (as_record(column.result, baseline=column.result.cases[0].name),),
    )


def lines_of(column: Column, batches: tuple[int, int]) -> tuple[Line, ...]:
    """Return the lines of the row: images a second, and O1 over O0 beside the talk's. Pure."""
    lines = []
    for batch in batches:
        for level in ("O0", "O1"):
            if column.has(level, batch):
                value, low, high = column.rate(level, batch)
                what = f"{name_of(level, batch)}: images a second"
                lines.append(Line(what=what, value=value, unit="per second", low=low, high=high))
    small, large = batches
    for batch, talk, wanted in (
        (small, f"{TALK:g}x (batch 16)", TALK),
        (large, f"{TALK_LARGER:g}x (batch 24)", TALK_LARGER),
    ):
        what = f"O1 with batch {batch} over O0 with batch {small}, by images"
        if column.has("O0", small) and column.has("O1", batch):
            lines.append(line_of_ratio(what, column.speedup(small, batch), talk=talk, wanted=wanted))
        else:
            lines.append(Line(what=what, talk=talk, note="not measured"))
    return tuple(lines)


ROW = Row(
    name="few-shot",
    title="AMP: few-shot vid2vid",
    says="Few-shot vid2vid with AMP O1, 16 images a batch on a DGX-1: 1.3 times as fast as O0, and 1.5 times with 1.5 "
    "times the batch.",
    figure="1.3x; 1.5x with 1.5x batch",
    measure=measure,
    share=1.2,
)
