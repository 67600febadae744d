"""Validations of a run: what they write and say, which checkpoint is kept as the best, and when enough is enough."""

import time

import attrs
import vs_runtime as runtime
from vs_config import refuse
from vs_runtime.metrics_log import read_validations
from vs_runtime.ranks import told
from vs_training.config import RunConfig
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
    """See that held-out clips have the measure by which the best checkpoint is kept, on a few frames of one of them.

    Raises:
        ConfigError: they do not.
    """
    config, state = prepared.config.run, prepared.state
    if config.keep_best == "none":
        return
    average = whole_average(state.generator_ema, state.ema_shards)  # all have to ask
    if average is None or not prepared.recipe.ranks.first:
        return
    few = attrs.evolve(_held_out(prepared), clips=1, frames=state.generator.config.frames + 1)
    found = validate(average, few, prepared.recipe.labels, prepared.recipe.device).totals
    if f"{config.keep_best}/generated" not in found:
        known = ", ".join(name.removesuffix("/generated") for name in found if name.endswith("/generated"))
        raise refuse("run.keep_best", f"a measure that these held-out clips have ({known})", config.keep_best)


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
        if config.keep_best != "none":
            best = beats_kept(course, config.keep_best, runtime.best_step(out.run.checkpoints))
            over = is_over(config, course)
        _say(out, prepared, course, best=best)
    best, over = told(prepared.recipe.ranks, [best, over])
    return course, Verdict(best=best, over=over)


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
