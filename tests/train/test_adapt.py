"""Fitting a few-shot model to a subject: what is trained, what stays, what is written, and what is refused."""

import re
from pathlib import Path

import attrs
import pytest
import torch
import toy_models
from toy_runs import FEW_SHOT, STREET
from vs_config.signals import StopRequest
from vs_data import FacesConfig, open_source, write_folder
from vs_synthesis import ModelContents, load_model, read_model, read_trained, write_model
from vs_train.adapting import fitting
from vs_train.adapting.fitting import Score, begin_fitting, fit
from vs_train.adapting.settings import Options, adaptation_config, folder_of
from vs_train.adapting.subject import open_subject
from vs_train.cli import main
from vs_training.adapting import is_adapted

PERSON = FacesConfig(height=32, width=32, sequence_length=10, train_identities=1, val_identities=1, motions=1)
QUICK = Options(steps=10, lr=1e-2, photos=True)


class Silent:
    """Nobody watches."""

    def update(self, done: int, total: int | None = None, *, what: str = "", figures: str = "") -> None: ...

    def message(self, text: str) -> None: ...


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A few-shot run that was never trained."""
    return toy_models.make_run(tmp_path_factory.mktemp("few-shot") / "run", FEW_SHOT)


@pytest.fixture(scope="module")
def person(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ten frames of one person whom nobody has seen."""
    root = tmp_path_factory.mktemp("person") / "anna"
    write_folder(open_source(PERSON, "val"), root, sequences=1)
    return root


def test_held_out_frames_become_more_like_the_subject_and_what_sees_stays_bit_for_bit(run: Path) -> None:
    contents = read_trained(run, training=True)
    subject = open_subject(open_source(PERSON, "val"), sequence=0, references=1, photos=True)
    assert subject.training.frames == 8
    config = adaptation_config(contents, PERSON, QUICK)
    fitted = fit(contents, subject, config, progress=Silent(), stop=StopRequest())
    assert fitted.after.where == "in the head"
    assert fitted.after.psnr > fitted.before.psnr + 0.5
    assert fitted.weights.keys() == contents.generator.keys()
    for name, weight in fitted.weights.items():
        # Nothing is warped from a previous frame where each is generated for itself.
        trained = is_adapted(name) and ".projections.2." not in name
        assert torch.equal(weight, contents.generator[name]) == (not trained), name
    groups = {name.split(".")[0] for name in fitted.weights if not is_adapted(name)}
    assert groups == {"weights", "embed_label", "flow_reference", "embed_reference", "embed_previous"}


def test_fitting_begins_as_the_very_function_of_the_model(run: Path) -> None:
    contents = read_trained(run, training=True)
    config = adaptation_config(contents, PERSON, QUICK)
    state, _ = begin_fitting(contents, config, contents.config.label_spec)
    averaged = load_model(run, device="cpu").generator.state_dict()
    assert all(torch.equal(tensor, averaged[name]) for name, tensor in state.generator.state_dict().items())
    assert contents.training is not None
    kept = contents.training.discriminator
    assert all(torch.equal(tensor, kept[name]) for name, tensor in state.discriminator.state_dict().items())


@pytest.mark.parametrize("kind", ["folder", "video", "shards"])
def test_a_model_of_clips_that_lay_in_files_of_any_kind_is_fitted_to_a_folder(
    kind: str, run: Path, person: Path
) -> None:
    contents = read_trained(run, training=True)
    folder = folder_of(contents, person)
    data = {"kind": kind, "height": 32, "width": 32, "labels": [{"kind": "landmarks-dlib68"}]}
    known = attrs.evolve(contents, settings={**(contents.settings or {}), "data": data})
    assert adaptation_config(known, folder, QUICK) == adaptation_config(contents, folder, QUICK)


@pytest.mark.parametrize("given", ["run", "model"])
def test_the_command_writes_a_model_of_its_own(
    given: str,
    run: Path,
    person: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    model = run
    if given == "model":  # one that nobody can go on from: it has no discriminators
        contents = read_trained(run)
        model = tmp_path / "model"
        assert contents.settings is not None
        trained_with = {"keep_memory": False, "graphs": "on", "compile": True}  # the last two not on every machine
        settings = {**contents.settings, "performance": trained_with}
        write_model(model, attrs.evolve(contents, training=None, settings=settings))
    assert main(["adapt", str(model), "--references", str(person), "--photos", "--steps", "8", "--lr", "1e-2"]) == 0
    captured = capsys.readouterr()
    assert re.search(
        r"^before: PSNR [\d.]+ dB, SSIM -?[\d.]+ in the whole frame of 2 held-out frames$", captured.err, re.M
    )
    assert ("freed memory goes back to the system, as asked for" in captured.err) == (given == "model")
    assert re.fullmatch(r"after step 8 of 8: PSNR .*; before: PSNR .*\ndone: adapted-anna\n", captured.out)
    adapted = read_model(tmp_path / "adapted-anna", training=True)
    assert adapted.config == read_trained(run).config
    assert adapted.training is None
    facts = adapted.provenance["adapted"]
    assert facts["steps"] == 8
    assert facts["after"]["psnr"] > facts["before"]["psnr"]
    load_model(tmp_path / "adapted-anna", device="cpu")


def test_what_does_not_help_is_not_kept(
    run: Path, person: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    worse = iter([3.0, 2.0])
    score = Score(psnr=0.0, ssim=0.5, frames=2, where="in the whole frame")
    monkeypatch.setattr(fitting, "score", lambda *_: attrs.evolve(score, psnr=next(worse)))
    command = ["adapt", str(run), "--references", str(person), "--out", str(tmp_path / "out"), "--photos"]
    assert main([*command, "--steps", "1"]) == 0
    assert capsys.readouterr().out.startswith("fitting did not help in 1 steps (PSNR 3.00 dB, ")
    kept, before = read_model(tmp_path / "out"), read_trained(run)
    assert all(torch.equal(kept.generator[name], tensor) for name, tensor in before.generator.items())


def test_what_psnr_loses_ssim_may_win() -> None:
    """In the way in which codecs are compared: 1 - SSIM in dB too."""
    score = Score(psnr=20.0, ssim=0.5, frames=2, where="in the head")
    assert score.likeness == pytest.approx(23.0103, abs=1e-4)
    assert attrs.evolve(score, psnr=19.5, ssim=0.6).likeness > score.likeness
    assert attrs.evolve(score, psnr=18.9, ssim=0.6).likeness < score.likeness
    assert attrs.evolve(score, ssim=1.0).likeness == pytest.approx(80.0)


def test_somebody_who_stops_it_gets_the_best_so_far(run: Path) -> None:
    stop = StopRequest()
    contents = read_trained(run, training=True)
    subject = open_subject(open_source(PERSON, "val"), sequence=0, references=1, photos=True)

    class Impatient(Silent):
        def update(self, done: int, *_: object, **__: object) -> None:
            stop.requested = "SIGINT" if done == 3 else None

    config = adaptation_config(contents, PERSON, QUICK)
    fitted = fit(contents, subject, config, progress=Impatient(), stop=stop)
    assert fitted.steps == 3


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(["adapt", *arguments]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    (line,) = captured.err.splitlines()[-1:]
    return line


def test_wrong_input_is_one_line_and_writes_nothing(
    run: Path, person: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    street = toy_models.make_run(tmp_path / "street", STREET)
    two, short = tmp_path / "two", tmp_path / "short"
    write_folder(open_source(attrs.evolve(PERSON, val_identities=2), "val"), two, sequences=2)
    write_folder(open_source(attrs.evolve(PERSON, sequence_length=3), "val"), short, sequences=1)
    (tmp_path / "file").write_text("")
    before = sorted(path.name for path in tmp_path.iterdir())
    model, subject = str(run), ("--references", str(person))
    cases = [
        (["nowhere", *subject], "error: nowhere: there is no such directory"),
        ([str(street), *subject], f"error: {street}: is a vid2vid model: only few-shot models are fitted to a subject"),
        ([model, "--references", "nobody"], "error: nobody: the folder does not exist"),
        ([model, "--references", ""], "error: --references: expected a path that is not empty, got ''"),
        ([model, "--references", str(two)], "error: --references: .*two: has 2 sequences; put .* into one"),
        ([model, "--references", str(short)], "error: .*3 frames"),
        ([model, *subject, "--out", "file"], "error: file: is a file; --out wants a directory"),
        ([model, *subject, "--out", model], "error: --out: .*run: is the model itself; name another directory"),
        ([model, *subject, "--out", str(person)], "error: .*anna: holds other files than a model"),
        ([model, *subject, "--steps", "0"], "error: --steps: expected a whole number from 1 to 1000000, got '0'"),
        ([model, *subject, "--lr", "nan"], "error: --lr: expected a number > 0 and <= 1, got 'nan'"),
        ([model], "error: .*--references"),
    ]
    for arguments, message in cases:
        assert re.match(message, refused(capsys, *arguments)), arguments
    assert sorted(path.name for path in tmp_path.iterdir()) == before


def test_a_model_of_which_nothing_is_known_is_fitted_by_what_it_shows(run: Path) -> None:
    contents: ModelContents = attrs.evolve(read_trained(run), training=None, settings=None)
    config = adaptation_config(contents, PERSON, QUICK)
    assert config.objective.gan == config.objective.feature_matching == 0.0
    assert config.objective.pixel > 0
    assert config.objective.perceptual.kind == "random"
