"""How much fitting a few-shot model to made-up people that it has never seen is worth: `measure_adapting.py MODEL`.

Each of the held-out people is seen in two motions. The model is fitted to the first one, as `train:adapt` does, whose
last frames decide which state is kept. It is measured in the head on the second motion, which had no say in anything,
with references from the first. `--store` writes `docs/benchmarks/adapting-cpu.json`, which documents cite.
"""

import sys
from pathlib import Path
from typing import Annotated, Any

import attrs
from cyclopts import Parameter
from vs_bench.results import begin, save_records
from vs_config import shown
from vs_config.commands import run_command
from vs_config.progress import show_progress
from vs_config.signals import stop_requests
from vs_data import ClipRequest, ClipSource, FacesConfig, VsDataError, open_source
from vs_synthesis import ModelContents, VsSynthesisError, read_trained
from vs_train.adapting.fitting import Fitted, Score, begin_fitting, fit, score
from vs_train.adapting.settings import REFERENCES, Options, adaptation_config
from vs_train.adapting.subject import Subject, open_subject
from vs_training.errors import VsTrainingError

TESTED = 12
"""Frames of the second motion."""


def measure(
    model: Annotated[Path, Parameter(help="A few-shot model directory, or a run, of procedural people.")],
    /,
    *,
    people: Annotated[int, Parameter(help="Held-out people.")] = 4,
    frames: Annotated[int, Parameter(help="Frames of each.")] = 30,
    steps: Annotated[int, Parameter(help="Training steps at most.")] = Options().steps,
    lr: Annotated[float, Parameter(help="Learning rate.")] = Options().lr,
    store: Annotated[bool, Parameter(help="Keep the result for the documents.", negative="")] = False,
) -> int:
    """Print a line for each person, and the means."""
    begun = begin()
    contents, options = read_trained(model, training=True), Options(steps=steps, lr=lr)
    height, width = contents.config.height, contents.config.width
    data = FacesConfig(height=height, width=width, sequence_length=frames, val_identities=people, motions=2)
    source = open_source(data, "val")
    found: list[_Found] = []
    print(f"{'person':28} {'PSNR':>7} {'fitted':>7} {'SSIM':>7} {'fitted':>7}  step", flush=True)
    with stop_requests() as stop, show_progress("step", interval_s=60.0) as progress:
        for person in range(people):
            subject = open_subject(source, sequence=2 * person, references=REFERENCES, photos=False)
            fitted = fit(contents, subject, adaptation_config(contents, data, options), progress=progress, stop=stop)
            if stop.requested is not None:
                return stop.exit_status
            found.append(_test(contents, _second_motion(source, subject), data, fitted))
            print(_line(found[-1]), fitted.step, flush=True)
    mean = _mean(found)
    print(_line(mean), mean.before.where)
    if store:
        command = (
            f"python tools/measure_adapting.py RUN --people {people} --frames {frames} --steps {steps} --lr {lr:g}"
        )
        print(save_records(_document(mean, found, contents), "adapting-cpu", command=command, begun=begun))
    return 0


@attrs.frozen(kw_only=True)
class _Found:
    """The worth of fitting: scores of the second motion of a person, or their means over all."""

    name: str
    before: Score
    after: Score
    step: int


def _second_motion(source: ClipSource, subject: Subject) -> Subject:
    """Return the same person with the beginning of the next sequence held out."""
    first = subject.training.sequence
    learned = subject.training.frames
    references = tuple((2 * i + 1) * learned // (2 * REFERENCES) for i in range(REFERENCES))
    clip = source.read(
        ClipRequest(sequence=first + 1, start=0, length=TESTED, references=references, reference_sequence=first)
    )
    return attrs.evolve(subject, held_out=(clip,))


def _test(contents: ModelContents, tested: Subject, data: FacesConfig, fitted: Fitted) -> _Found:
    """Score the model as it was, and as it was fitted."""
    config = adaptation_config(contents, data, Options())
    state, recipe = begin_fitting(contents, config, contents.config.label_spec)
    before = score(state.generator_ema, tested, recipe)
    state.generator_ema.load_state_dict(fitted.weights)
    after = score(state.generator_ema, tested, recipe)
    return _Found(name=tested.name, before=before, after=after, step=fitted.step)


def _mean(found: list[_Found]) -> _Found:
    before, after = (_mean_score([getattr(each, when) for each in found]) for when in ("before", "after"))
    return attrs.evolve(found[0], name="mean", before=before, after=after)


def _mean_score(scores: list[Score]) -> Score:
    psnr, ssim = (sum(getattr(each, name) for each in scores) / len(scores) for name in ("psnr", "ssim"))
    return attrs.evolve(scores[0], psnr=psnr, ssim=ssim)


def _line(found: _Found) -> str:
    before, after = found.before, found.after
    return f"{shown(found.name, 28):28} {before.psnr:7.2f} {after.psnr:7.2f} {before.ssim:7.4f} {after.ssim:7.4f} "


def _document(mean: _Found, found: list[_Found], contents: ModelContents) -> dict[str, Any]:
    """Return the result as documents cite it: the means, each person, and what the model is."""
    better = {
        name: sum(getattr(each.after, name) > getattr(each.before, name) for each in found) for name in ("psnr", "ssim")
    }
    people = [attrs.asdict(each) for each in found]
    about = {key: contents.provenance[key] for key in ("preset", "steps") if key in contents.provenance}
    return {"model": about, "mean": attrs.asdict(mean), "better": better, "people": people}


if __name__ == "__main__":
    sys.exit(run_command(measure, VsSynthesisError, VsTrainingError, VsDataError))
