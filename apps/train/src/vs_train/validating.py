"""Validations of a run: what they write and say, which checkpoint is kept as the best, and when enough is enough."""

import time
from typing import get_args

import attrs
import vs_runtime as runtime
from vs_config import refuse
from vs_runtime.metrics_log import read_validations
from vs_runtime.ranks import told
from vs_training.config import BestBy, RunConfig
from vs_training.quality.course import (
    Validation,
    beats_kept,
    best_of,
    from_line,
    got_worse,
    in_words,
    to_line,
    validation_of,
    without_better,
)
from vs_training.quality.validating import HeldOut, validate
from vs_training.shards import whole_average
from vs_training.state import TrainState

from vs_train.outputs import Outputs
from vs_train.setup import Prepared

Course = tuple[Validation, ...]
"""The validations of a run so far; other processes than the first know of none."""


@attrs.frozen(kw_only=True)
class Verdict:
    """A verdict on what was learnt.

    Attributes:
        best: it is to be kept as the best checkpoint.
        over: the run ends with it.
    """

    best: bool
    over: bool


def is_due(config: RunConfig, step: int) -> bool:
    """Return whether there is a validation after a training step."""
    return config.validate_every > 0 and step % config.validate_every == 0


def check_validation(prepared: Prepared) -> None:
    """See that held-out clips have the measure by which the best checkpoint is kept, on a few frames if these will do.

    Raises:
        ConfigError: they do not.
    """
    config, state = prepared.config.run, prepared.state
    if config.keep_best == "none":
        return
    average = whole_average(state.generator_ema, state.ema_shards)  # all have to ask
    if average is None or not prepared.recipe.ranks.first:
        return
    whole = _held_out(prepared)
    few = attrs.evolve(whole, clips=1, frames=min(state.generator.config.frames + 1, whole.frames))
    known: set[str] = set()
    for held_out in (few, whole):  # what few frames lack may come later, as a head that moves
        found = validate(average, held_out, prepared.recipe.labels, prepared.recipe.device).totals
        known |= {name.removesuffix("/generated") for name in found if name.endswith("/generated")}
        if config.keep_best in known:
            return
    can = ", ".join(name for name in get_args(BestBy) if name in known)
    raise refuse("run.keep_best", f"a measure that these held-out clips have ({can})", config.keep_best)


def read_course(out: Outputs) -> Course:
    """Return the validations that metrics.jsonl tells of."""
    return () if out.files is None else tuple(from_line(line) for line in read_validations(out.run.metrics))


def is_over(config: RunConfig, course: Course) -> bool:
    """Return whether a run has gone on for long enough without getting better."""
    return 0 < config.patience <= without_better(course, config.keep_best)


def validate_step(out: Outputs, prepared: Prepared, state: TrainState, course: Course) -> tuple[Course, Verdict]:
    """Validate the average, and write and say what comes of it; of several processes the first one does.

    Raises:
        VsDataError: a held-out clip cannot be read (and whatever writing raises).
    """
    config = prepared.config.run
    average = whole_average(state.generator_ema, state.ema_shards)  # all have to ask
    best = over = False
    if out.files is not None and average is not None:
        report = validate(average, _held_out(prepared), prepared.recipe.labels, prepared.recipe.device)
        now = validation_of(state.step, report)
        course = (*course, now)
        out.files.log.append_validation(state.step, to_line(now), {"time": time.time()})
        out.files.numbers(state.step, {f"validation/{name}": value for name, value in now.scores.items()})
        best, over = _beats_kept(out, config, now), is_over(config, course)
        _say(out, prepared, course, best=best)
    best, over = told(prepared.recipe.ranks, [best, over])
    return course, Verdict(best=best, over=over)


def is_owed(out: Outputs, prepared: Prepared, state: TrainState, course: Course) -> bool:
    """Return whether a run that goes on has the best checkpoint before it, not kept: as that failed, the run ended."""
    last = course[-1] if course else None
    found = last is not None and last.step == state.step and _beats_kept(out, prepared.config.run, last)
    return bool(told(prepared.recipe.ranks, found))


def _beats_kept(out: Outputs, config: RunConfig, now: Validation) -> bool:
    kept = runtime.best_scores(out.run.checkpoints)
    return config.keep_best != "none" and beats_kept(now, config.keep_best, kept)


def end_in_words(config: RunConfig, course: Course) -> str:
    """Say why a run ends before its last step."""
    best = best_of(course, config.keep_best)
    kept = "none had a value" if best is None else f"the best is of step {best.step}"
    count = without_better(course, config.keep_best)
    return f"no better {config.keep_best} in {count} validations (run.patience={config.patience}), {kept}: the run ends"


def _say(out: Outputs, prepared: Prepared, course: Course, *, best: bool) -> None:
    *_, now = course
    mark = f"; the best {prepared.config.run.keep_best} so far" if best else ""
    out.progress.message(f"step {now.step}: validation of {in_words(now)}{mark}")
    worse = got_worse(course, prepared.config.curriculum)
    if worse is not None:
        out.progress.message(f"step {now.step}: {worse}")


def _held_out(prepared: Prepared) -> HeldOut:
    config = prepared.config
    return HeldOut(
        source=prepared.held_out,
        clips=config.run.validate_clips,
        frames=config.run.validate_frames,
        references=0 if config.references is None else config.references.min,
    )
