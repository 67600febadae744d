"""From the scores of clips to the tables that people read and the JSON that programs read."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import attrs
from vs_metrics import LEAST_CLIPS, LEVEL, Average, Interval, mean_of
from vs_training.quality.measures import (
    CLASS_MEASURES,
    MEASURES,
    Measure,
    headed,
    measure_of,
    method_of,
    needed_by,
    shown,
)
from vs_training.quality.sets import SetMetric, interval_json, set_metric_json
from vs_training.quality.summary import Comparison, Report

METHODS: Mapping[str, str] = {
    "generated": "generated",
    "class_mean": "mean colour of each class",
    "previous": "previous real frame repeated",
    "real": "real video",
}

MOTION: Mapping[str, str] = {
    "generated": "generated flow",
    "zero": "zero flow",
    "warped_generated": "previous generated frame, warped by the model's flow",
    "repeated_generated": "previous generated frame, repeated",
    "warped_real": "previous real frame, warped by the model's flow",
    "warped_real_by_teacher": "previous real frame, warped by the teacher's flow",
    "repeated_real": "previous real frame, repeated",
}


@attrs.frozen(kw_only=True)
class Table:
    """A table as text: what the terminal and the page show."""

    title: str
    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""


def tables(report: Report) -> tuple[Table, ...]:
    """Return the tables of a report: frames, change, motion (when the generator warps), sets, comparisons."""
    made = [
        _frame_table(report),
        change_table(report, METHODS),
        _motion_table(report),
        set_table(report),
        comparison_table(report.comparisons),
    ]
    return tuple(table for table in made if table.rows)


def clip_table(report: Report) -> Table:
    """Return one row for each clip: what the generator scored on it."""
    names = (
        "psnr/generated",
        "psnr/class_mean",
        "ssim/generated",
        "ssim/class_mean",
        "warping/generated",
        "epe/generated",
    )
    present = tuple(name for name in names if name in report.totals)
    heads = tuple(f"{headed(measure_of(name))} ({METHODS[method_of(name)]})" for name in present)
    rows = tuple(
        (clip.name, str(clip.frames), *(shown(name, clip.totals) for name in present)) for clip in report.clips
    )
    return Table(title="Each clip", heads=("clip", "frames", *heads), rows=rows)


def broken_frames(reports: Iterable[Report]) -> tuple[str, ...]:
    """Say that frames were generated whose values are not finite; nothing where all are."""
    clips = [clip for report in reports for clip in report.clips]
    broken = [(clip.name, index) for clip in clips for index in clip.broken]
    if not broken:
        return ()
    (name, index), frames = broken[0], sum(clip.frames for clip in clips)
    return (
        f"{len(broken)} of {frames} generated frames have values that are not finite, the first of them is frame "
        f"{index + 1} of {name}: scores and means that they are part of are left out; evaluate another checkpoint",
    )


def to_json(report: Report, facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return the whole report as JSON values: numbers with units, every clip, and the facts about the run.

    A score that does not exist (no teacher flow, nothing confident, a generated frame that is not finite) is left out;
    a curve has nan or infinity at such a frame, and null where it is written.
    """
    return {**facts, "measures": measures_json(MEASURES), **report_json(report)}


def measures_json(measures: Sequence[Measure]) -> dict[str, dict[str, Any]]:
    """Say what the numbers of a report mean."""
    return {
        measure.name: {
            **{name: value for name, value in attrs.asdict(measure).items() if name != "name"},
            "needs": needed_by(measure),
        }
        for measure in measures
    }


def report_json(report: Report) -> dict[str, Any]:
    """Return the scores of a report: in all, compared, and of each clip."""
    return {
        "scores": _scores_json(report.totals, report.intervals),
        "sets": [set_metric_json(metric) for metric in report.sets],
        "comparisons": [
            {
                "claim": item.claim,
                "value": item.value,
                "baseline": item.baseline,
                "holds": item.holds,
                "lead": interval_json(item.lead),
            }
            for item in report.comparisons
        ],
        "clips": [
            {
                "name": clip.name,
                "frames": clip.frames,
                "scores": _scores_json(clip.totals),
                "curves": {name: list(values) for name, values in clip.curves.items()},
            }
            for clip in report.clips
        ],
    }


def _scores_json(
    totals: Mapping[str, Average], intervals: Mapping[str, Interval] | None = None
) -> dict[str, dict[str, Any]]:
    ends = {} if intervals is None else {name: interval_json(interval) for name, interval in intervals.items()}
    return {
        name: {
            "value": mean_of(average),
            "unit": measure_of(name).unit,
            "weight": average.weight,
            **({"interval": ends[name]} if name in ends else {}),
        }
        for name, average in totals.items()
        if math.isfinite(mean_of(average))
    }


def _frame_table(report: Report) -> Table:
    totals = report.totals
    first = ", ".join(
        f"{METHODS[method]} {shown(f'first_psnr/{method}', totals)} dB, SSIM {shown(f'first_ssim/{method}', totals)}"
        for method in ("generated", "class_mean")
        if f"first_psnr/{method}" in totals
    )
    note = f"All frames but the first of each clip, which has no frame before. First frames: {first}." if first else ""
    return score_table(
        "Frames",
        METHODS,
        ("psnr", "ssim", "person_psnr", "lpips", "grid"),
        report,
        "video",
        with_intervals(note, report),
    )


def change_table(report: Report, methods: Mapping[str, str]) -> Table:
    """Return how videos change from frame to frame; without rows where nobody knows."""
    note = "What the real video has is the floor of the first two."
    return score_table("Change", methods, ("warping", "flicker", "tof", "tlp"), report, "video", note)


def with_intervals(note: str, report: Report) -> str:
    """Add to a note what the brackets in tables are, or why there are none."""
    clips = len(report.clips)
    share = f"In brackets: {100 * LEVEL:.0f} % intervals by bootstrap over {clips} clips."
    few = f"No intervals: {clips} clip{'s' * (clips != 1)}, and bootstrap over clips needs {LEAST_CLIPS}."
    return f"{note} {share if report.intervals else few}".strip() if report.totals else note


def score_table(
    title: str, methods: Mapping[str, str], measures: Sequence[str], report: Report, head: str, note: str
) -> Table:
    """Return a row for each method, a column for each measure that has any score, with intervals."""
    totals = report.totals
    present = [name for name in measures if any(f"{name}/{method}" in totals for method in methods)]
    rows = score_rows(methods, lambda method: [shown(f"{name}/{method}", totals, report.intervals) for name in present])
    return Table(title=title, heads=(head, *(headed(measure_of(name)) for name in present)), rows=rows, note=note)


def class_table(report: Report, names: Sequence[str]) -> Table:
    """Return a row for each class that has scores; `names`: what classes are called, as far as known."""
    totals = report.totals
    ids = sorted({int(method_of(name)) for name in totals if name.startswith("class_psnr/")})
    rows = tuple(
        (
            names[number] if number < len(names) else f"class {number}",
            f"{totals[f'class_l1/{number}'].weight:.0f}",
            *(shown(f"{measure.name}/{number}", totals, report.intervals) for measure in CLASS_MEASURES),
        )
        for number in ids
    )
    heads = ("class", "pixels", *(headed(measure) for measure in CLASS_MEASURES))
    return Table(title="Each class", heads=heads, rows=rows)


def set_table(report: Report) -> Table:
    """Return what is measured of all frames together; without rows where nothing is."""
    rows = tuple(
        (
            f"{metric.measure.title} {'↑' if metric.measure.better == 'higher' else '↓'}",
            _set_value(metric),
            _set_number(metric, metric.real),
            str(metric.frames),
        )
        for metric in report.sets
    )
    notes = dict.fromkeys(metric.note for metric in report.sets if metric.note)
    heads = ("of all frames together", "generated", "real frames", "frames")
    return Table(title="Sets", heads=heads, rows=rows, note="; ".join(notes))


def _set_value(metric: SetMetric) -> str:
    interval = metric.interval
    ends = "" if interval is None else f" [{_set_number(metric, interval.low)}, {_set_number(metric, interval.high)}]"
    return f"{_set_number(metric, metric.value)}{ends}"


def _set_number(metric: SetMetric, value: float | None) -> str:
    return "–" if value is None or not math.isfinite(value) else f"{value:.{metric.measure.digits}f}"


def score_rows(names: Mapping[str, str], values: Callable[[str], list[str]]) -> tuple[tuple[str, ...], ...]:
    """Return a row for each method that has any score: name -> title, and name -> its scores as text."""
    filled = ((title, *values(name)) for name, title in names.items())
    return tuple(row for row in filled if any(cell != "–" for cell in row[1:]))


def _motion_table(report: Report) -> Table:
    note = "On the frames for which the generator warps the previous one."
    return score_table("Motion", MOTION, ("epe", "moving_epe", "l1"), report, "motion", note)


def comparison_table(comparisons: Sequence[Comparison]) -> Table:
    """Return one row for each claim; without rows where there is none."""
    rows = tuple(
        (item.claim, f"{item.value:.3f}", f"{item.baseline:.3f}", _lead(item), "yes" if item.holds else "no")
        for item in comparisons
    )
    heads = ("claim", "value", "to beat", "ahead by", "holds")
    return Table(title="Comparisons", heads=heads, rows=rows)


def _lead(item: Comparison) -> str:
    return "–" if item.lead is None else f"[{item.lead.low:.3f}, {item.lead.high:.3f}]"
