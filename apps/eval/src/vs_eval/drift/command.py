"""What `drift` does: roll a generator out far beyond its clips, and say when metrics leave their first frames' band."""

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, assert_never

import attrs
from rich.console import Console
from torch import Tensor
from vs_data import open_source
from vs_metrics import Average, ClassColours, ClipFrame, clip_picture, strip_frames, write_png
from vs_nets import AnyGeneratorConfig, FewShotGeneratorConfig, GeneratorConfig, class_kind
from vs_runtime import choose_device
from vs_runtime.ranks import ONE
from vs_synthesis import find_run
from vs_training.pictures import palette_of
from vs_training.quality.features import FeatureGatherer
from vs_training.quality.few_shot import score_subject_frame
from vs_training.quality.measures import FEW_SHOT_MEASURES, MEASURES, Measure, headed
from vs_training.quality.rolling import bound, reference_frames
from vs_training.quality.scoring import ScoreFrame, is_broken, roll_out, score_frame, scored_views

from vs_eval.agreement import Reading, shared_reader
from vs_eval.command import announce, evaluation_spec, with_reader
from vs_eval.drift.curves import FIRST, WIDTH, Drift, combined_rows, curves_of, drift_of
from vs_eval.drift.picture import draw_drift
from vs_eval.drift.sources import back_and_forth, lengthened, moving_sequences
from vs_eval.drift.windows import Rolled, windowed_metrics
from vs_eval.errors import VsEvalError
from vs_eval.facts import json_facts, step_title, with_notices
from vs_eval.few_shot.subjects import training_region_colours
from vs_eval.files import Picture
from vs_eval.opening import COMMANDS, Opened, Request, open_held_out, open_trained, report_name, say_warning
from vs_eval.output import check_output, report_directory, results_of, write_json
from vs_eval.pages.evaluation_page import write_evaluation_page
from vs_eval.pictures import clip_frame
from vs_eval.report import Table, measures_json
from vs_eval.terminal import Advance, say, show_progress, show_tables
from vs_eval.videos import add_up, training_colours

MARKER = "drift.json"
"""The file that makes a directory a report on drift."""

CURVES, STRIP, PAGE = "drift.png", "frames.png", "report.html"

BESIDE = ("real", "class_mean", "repeated", "previous")
"""Methods whose curves say what is not the generator's doing."""

ROWS = 8
"""Frames of the strip."""


@attrs.frozen(kw_only=True, eq=False)
class Known:
    """Facts of training frames: mean colours of classes, (regions, 3) of regions; None where there is none."""

    classes: ClassColours | None = None
    regions: Tensor | None = None


@attrs.frozen(kw_only=True, eq=False)
class Roller:
    """The parts that all roll-outs have in common.

    Attributes:
        opened: the run or model.
        frames: how many frames each has.
        reading: what reads labels in them; None: nothing does.
        known: of training frames.
    """

    opened: Opened[AnyGeneratorConfig]
    frames: int
    reading: Reading | None
    known: Known


def measure_drift(request: Request, console: Console) -> Path:
    """Do what the command line asks for, and return the report's directory."""
    opened, frames = _open(request)
    chosen = moving_sequences(opened.source, request.clips or 1)
    if not chosen:
        raise VsEvalError(f"{opened.trained.title}: no held-out sequence has two frames; name others by --data")
    opened = attrs.evolve(opened, facts=with_notices(opened.facts, *_turns(opened, chosen, frames)))
    opened, plan = with_reader(opened, agreement=request.agreement, frames=frames * len(chosen))
    announce(opened, console)
    known = _known_of_training(opened, console)
    with report_directory(opened.out, MARKER) as draft:
        reading = None if plan is None else shared_reader(plan, opened.out, draft, console, ONE)
        roller = Roller(opened=opened, frames=frames, reading=reading, known=known)
        with show_progress(console, clips=len(chosen), frames=frames * len(chosen)) as advance:
            clips = [
                _rolled(roller, sequence, draft / STRIP if not index else None, partial(_told, advance, index))
                for index, sequence in enumerate(chosen)
            ]
        found = _drifts(clips, roller)
        step = opened.trained.step
        draw_drift(found, f"{step_title(opened.facts.what.path, step)}: {frames} frames", draft / CURVES)
        table = drift_table(found, frames)
        title = step_title(f"Over {frames} frames", step)
        looks, numbers = _looks(table, len(chosen), frames, title), drift_json(found, frames, len(chosen))
        document = {**json_facts(opened.facts), **looks, **numbers}
        write_evaluation_page(document, draft)
        write_json(draft / MARKER, document)
    show_tables([table], console)
    say(console, f"report: {opened.out / PAGE}")
    return opened.out


def _open(request: Request) -> tuple[Opened[AnyGeneratorConfig], int]:
    choose_device(request.device)
    path = find_run(say_warning).path if request.run is None else request.run
    frames = request.frames or FIRST + 1
    trained = open_trained(path, checkpoint=request.checkpoint, data=request.data)
    trained = attrs.evolve(trained, data=lengthened(trained.data, frames))
    out = request.out or results_of(trained.contents, "eval") / f"drift-{report_name(trained.contents)}"
    check_output(out, MARKER)
    opened = open_held_out(request, trained, trained.contents.config.generator, out)
    command = opened.facts.command.replace(COMMANDS[trained.contents.config.kind], "hatch run eval:drift", 1)
    return attrs.evolve(opened, facts=attrs.evolve(opened.facts, command=command)), frames


def _turns(opened: Opened[AnyGeneratorConfig], chosen: Sequence[int], frames: int) -> list[str]:
    """Say which sequences are too short and are shown forwards and backwards."""
    short = [info for info in (opened.source.sequences[index] for index in chosen) if info.frames < frames]
    if not short:
        return []
    which = f"{short[0].name} has {short[0].frames} frames"
    return [
        f"{len(short)} of {len(chosen)} sequences are shorter than {frames} frames ({which}): they are shown forwards "
        "and backwards in turn, and backwards nothing is measured along the teacher's flow"
    ]


def _known_of_training(opened: Opened[AnyGeneratorConfig], console: Console) -> Known:
    """Return what frames are held against of the training's, where these are there."""
    seen, kind = opened.trained.seen, class_kind(opened.model.labels)
    if seen is None:
        return Known()
    say(console, "baseline: mean colours of training frames")
    source = open_source(seen, "train")
    match opened.generator:
        case GeneratorConfig():
            return Known() if kind is None else Known(classes=training_colours(source, kind))
        case FewShotGeneratorConfig():
            return Known(regions=training_region_colours(source))
        case _:
            assert_never(opened.generator)


def _rolled(roller: Roller, sequence: int, strip: Path | None, told: Callable[[str], None]) -> Rolled:
    """Roll out one sequence, and return what each frame is measured by; some are drawn if there is a place for them."""
    opened, frames = roller.opened, roller.frames
    references = _references(opened, sequence)
    gather = FeatureGatherer(opened.networks, _kind(opened.generator, references, roller.known.regions)[1])
    spec, drawn = evaluation_spec(opened.model, roller.known.classes), strip_frames(frames, ROWS)
    shown, rows, sums = list[ClipFrame](), list[Mapping[str, Average]](), list[Mapping[str, Tensor]]()
    pieces = back_and_forth(opened.source, sequence, frames, references)
    first = next(pieces)
    generate = bound(opened.model.generator.bind, first, spec)
    for view, row in scored_views(roll_out(generate, itertools.chain([first], pieces), spec), gather):
        rows.append(row)
        sums.append(add_up(roller.reading, view) if row and not is_broken(view) else {})
        if view.index in drawn:
            shown.append(clip_frame(spec.labels, view))
        told(opened.source.sequences[sequence].name)
    if strip is not None:
        write_png(strip, clip_picture(shown, palette_of(spec.labels)))
    return Rolled(rows=rows, sums=sums, features=gather.features())


def _told(advance: Advance, index: int, name: str) -> None:
    advance(name, index)


def _references(opened: Opened[AnyGeneratorConfig], sequence: int) -> tuple[int, ...]:
    match opened.generator:
        case GeneratorConfig():
            return ()
        case FewShotGeneratorConfig():
            return reference_frames(opened.source.sequences[sequence].frames, 1)
        case _:
            assert_never(opened.generator)


def _kind(
    generator: AnyGeneratorConfig, references: tuple[int, ...] = (), training: Tensor | None = None
) -> tuple[Sequence[Measure], ScoreFrame]:
    """Return what generators of a kind are measured by."""
    match generator:
        case GeneratorConfig():
            return MEASURES, score_frame
        case FewShotGeneratorConfig():
            return FEW_SHOT_MEASURES, partial(score_subject_frame, references=references, training=training)
        case _:
            assert_never(generator)


def _drifts(clips: Sequence[Rolled], roller: Roller) -> list[Drift]:
    curves, opened = curves_of(combined_rows([clip.rows for clip in clips])), roller.opened
    readable = None if roller.reading is None else roller.reading.readable
    windows = windowed_metrics(clips, readable, opened.networks)
    found = [drift_of(measure, curves, BESIDE) for measure in _kind(opened.generator)[0]]
    found += [drift_of(each.measure, each.curves, BESIDE, start=each.start) for each in windows]
    return [drift for drift in found if drift is not None]


def drift_table(found: Sequence[Drift], frames: int) -> Table:
    """Return a row for each metric: its band, where it ends, and when it leaves."""
    rows = tuple(
        (
            headed(drift.measure),
            f"{drift.mean:.{drift.measure.digits}f} ± {WIDTH * drift.deviation:.{drift.measure.digits}f}",
            f"{drift.last:.{drift.measure.digits}f}" if math.isfinite(drift.last) else "–",
            _excursions(drift),
            _way_out(drift),
        )
        for drift in found
    )
    first = f"first {FIRST} frames ± {WIDTH:g} sd"
    heads = ("metric", first, f"last {FIRST} frames", "outside of this band", "leaves it for good")
    note = (
        f"Over {frames} frames from its own frames. A metric is outside of its band where the mean of the last {FIRST} "
        "frames is, and leaves it for good at the first frame from which that stays outside. What is of several frames "
        "has its band from its first value on. A wide band hides much, and the world changes too: see the frames, and "
        "the curves of the real video."
    )
    return Table(title="Drift", heads=heads, rows=rows, note=note)


def _excursions(drift: Drift) -> str:
    """Say in how much of the roll-out a metric is outside of its band, worse or better, and since when."""
    higher = drift.measure.better == "higher"
    sides = (("worse", drift.below if higher else drift.above), ("better", drift.above if higher else drift.below))
    length = len(drift.running)
    said = [f"{name} in {len(frames) / length:.0%}, first at {frames[0]}" for name, frames in sides if frames]
    return "; ".join(said) or "–"


def _way_out(drift: Drift) -> str:
    """Say when a metric leaves its band, and whether for the better; broken frames have no values."""
    if drift.leaves is None:
        return "stays"
    if not math.isfinite(drift.running[drift.leaves]):
        return f"frame {drift.leaves}, no values from there on"
    higher = drift.running[drift.leaves] > drift.mean
    return f"frame {drift.leaves}, {'better' if higher == (drift.measure.better == 'higher') else 'worse'}"


def drift_json(found: Sequence[Drift], frames: int, sequences: int) -> dict[str, Any]:
    """Return drift as JSON values, with the curves; null where there is no value."""
    return {
        "frames": frames,
        "sequences": sequences,  # `clips` is a list in reports, and the page reads this one as it reads those
        "band": {"first_frames": FIRST, "deviations": WIDTH},
        "measures": measures_json([drift.measure for drift in found]),
        "drift": {
            drift.measure.name: {
                "mean": drift.mean,
                "deviation": drift.deviation,
                "last": drift.last,
                "leaves": drift.leaves,
                "above": list(drift.above),
                "below": list(drift.below),
                "generated": drift.generated.tolist(),
                "running_mean": drift.running.tolist(),
                "beside": {method: values.tolist() for method, values in drift.beside.items()},
            }
            for drift in found
        },
    }


def _looks(table: Table, clips: int, frames: int, title: str) -> dict[str, Any]:
    """Return for the JSON what people look at, see `vs_eval.parts.looks_json`; pages draw the curves anew."""
    pictures = (Picture(title="Frames of the first sequence, from its first to its last", file=STRIP),)
    sequences = f"{clips} held-out sequence{'s' * (clips > 1)}"
    return {
        "title": title,
        "summary": f"{sequences}, {frames} frames each, generated from its own frames.",
        "tables": [attrs.asdict(table)],
        "pictures": [attrs.asdict(picture) for picture in pictures],
    }
