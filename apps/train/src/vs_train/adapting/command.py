"""The command `train:adapt`: what somebody asks for, checked, fitted, and written as a model of its own."""

import sys
from pathlib import Path

import attrs
import torch
import vs_runtime as runtime
from vs_config import option_path, shown
from vs_config.progress import show_progress
from vs_config.signals import StopNow, StopRequest, stop_requests
from vs_config.tuning import keep_freed_memory
from vs_data import FolderConfig, open_folder
from vs_nets import FewShotGeneratorConfig
from vs_synthesis import ModelContents, ModelError, model_card, read_trained, write_model
from vs_synthesis.directory import MARKER
from vs_training.checks import check_data
from vs_training.errors import VsTrainingError

from vs_train.adapting.fitting import Fitted, fit
from vs_train.adapting.settings import REFERENCES, Options, adaptation_config, folder_of
from vs_train.adapting.subject import Subject, open_subject

NOTHING_YET = "stopped before anything was fitted; nothing was written"


def run_adapt(model: str, references: str, out: str | None, options: Options) -> int:
    """Fit a model to the subject in a folder, write it, and return the exit status.

    Raises:
        VsTrainingError, ModelError, PlaceError, VsDataError: what somebody has asked for cannot be.
    """
    source, root = _path("MODEL", model), _path("--references", references)
    place = Path(f"adapted-{root.resolve().name}") if out is None else _path("--out", out)
    if place.resolve() == source.resolve():
        raise VsTrainingError(f"--out: {place}: is the model itself; name another directory")
    runtime.check_place(place, marker=MARKER, what="model")
    with stop_requests() as stop:
        try:
            with show_progress("step", notice=lambda: stop.notice, keep=True, at_once=True) as progress:
                with stop.at_once():
                    contents = _few_shot(source)
                    data = folder_of(contents, root)
                    for note in (*contents.notices, *check_data(data, progress.message)):
                        progress.message(note)
                    subject = _subject(contents, data, options)
                    config = adaptation_config(contents, data, options)
                    progress.message(keep_freed_memory(wanted=config.performance.keep_memory))
                with runtime.giving_way(wanted=config.performance.give_way):
                    fitted = fit(contents, subject, config, progress=progress, stop=stop)
        except StopNow:
            print(NOTHING_YET, file=sys.stderr)
            return stop.exit_status
        return _finish(contents, subject, fitted, place, stop)


def _path(name: str, text: str) -> Path:
    try:
        return option_path(text)
    except ValueError as error:
        raise VsTrainingError(f"{name}: {error}") from None


def _few_shot(path: Path) -> ModelContents:
    contents = read_trained(path, training=True)
    match contents.config.generator:
        case FewShotGeneratorConfig():
            return contents
        case other:
            raise ModelError(path, f"is a {other.kind} model: only few-shot models are fitted to a subject")


def _subject(contents: ModelContents, data: FolderConfig, options: Options) -> Subject:
    source = open_folder(data, "train")
    if len(source.sequences) != 1:
        raise VsTrainingError(
            f"--references: {data.root}: has {len(source.sequences)} sequences; put the frames of one subject into one"
        )
    return open_subject(source, sequence=0, references=_references(contents), photos=options.photos)


def _references(contents: ModelContents) -> int:
    match contents.settings:
        case {"references": {"max": int(most)}}:
            return most
        case _:
            return REFERENCES


def _finish(contents: ModelContents, subject: Subject, fitted: Fitted, place: Path, stop: StopRequest) -> int:
    """Write the best that was found, and say what it is."""
    made = adapted_contents(contents, subject, fitted)
    write_model(place, made, card=model_card(made, name=place.resolve().name, dtype=torch.float32))
    if fitted.step == 0:
        said = f"fitting did not help in {fitted.steps} steps ({fitted.before}): the model is kept as it was"
    else:
        said = f"after step {fitted.step} of {fitted.steps}: {fitted.after}; before: {fitted.before}"
    end = "" if stop.requested is None else f"stopped ({stop.requested}); "
    print(f"{end}{shown(said)}\ndone: {shown(place)}")
    return stop.exit_status


def adapted_contents(contents: ModelContents, subject: Subject, fitted: Fitted) -> ModelContents:
    """Return the fitted model, which says whose it is and what that was worth."""
    held_out = {name: attrs.asdict(getattr(fitted, name)) for name in ("before", "after")}
    adapted = {"sequence": subject.name, "frames": subject.training.frames, "steps": fitted.step, **held_out}
    # Scores of the model that was begun from are not those of this one.
    provenance = {name: fact for name, fact in contents.provenance.items() if name != "metrics"}
    return attrs.evolve(
        contents, generator=fitted.weights, training=None, provenance={**provenance, "adapted": adapted}
    )
