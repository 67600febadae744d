"""Runs that are validated while they train: the bits are those of a run that is not, and the best one is kept."""

import errno
import json
import os
import re
import shutil
from pathlib import Path
from typing import Any

import attrs
import pytest
import torch
import vs_runtime as runtime
from faults import final, lines, run, run_config, same
from vs_config import ConfigError
from vs_data import DataError
from vs_eval.app import main as evaluate
from vs_metrics import Average
from vs_runtime.metrics_log import MetricsLog, read_metrics, read_validations
from vs_synthesis import ModelError, build_model, read_origin, read_trained
from vs_train import validating
from vs_train.cli import main
from vs_training.config import TrainConfig
from vs_training.errors import VsTrainingError
from vs_training.quality import course

VALIDATED: dict[str, Any] = {
    "steps": 6,
    "validate_every": 2,
    "validate_clips": 1,
    "validate_frames": 4,
    "keep_best": "ssim",
}


def config(**settings: Any) -> TrainConfig:
    return run_config(run={**VALIDATED, **settings})


@pytest.fixture(scope="module")
def validated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("validated") / "run"
    run(config(), folder)
    return folder


def test_validation_changes_no_bit_of_training(validated: Path, tmp_path: Path) -> None:
    run(run_config(run={"steps": 6}), tmp_path / "run")
    kept, plain = final(validated, 6), final(tmp_path / "run", 6)
    assert same({**kept, "metrics": 0}, {**plain, "metrics": 0})
    assert [line for line in lines(validated) if "kind" not in line] == lines(tmp_path / "run")
    assert len(list(read_metrics(validated / "metrics.jsonl"))) == 6
    for picture in (tmp_path / "run" / "samples").iterdir():
        assert (validated / "samples" / picture.name).read_bytes() == picture.read_bytes()


def test_the_best_is_kept_with_its_weights_and_can_be_used(validated: Path) -> None:
    found = [course.from_line(line) for line in read_validations(validated / "metrics.jsonl")]
    assert [each.step for each in found] == [2, 4, 6]
    best = course.best_of(found, "ssim")
    assert best is not None
    contents = read_trained(validated, checkpoint="best")
    assert contents.provenance["steps"] == best.step == runtime.best_step(validated / "checkpoints")
    for name, tensor in read_trained(validated, checkpoint=best.step).generator.items():
        assert torch.equal(tensor, contents.generator[name])
    build_model(contents, device="cpu")
    by_path = read_trained(validated / "checkpoints" / "best", training=True)
    assert by_path.path == validated
    assert same(dict(by_path.generator), dict(contents.generator))
    assert read_origin(validated / "checkpoints" / "best").raw is not None
    assert read_trained(validated / "checkpoints" / "step-00000004").provenance["steps"] == 4


def test_the_evaluation_finds_the_same_scores(validated: Path, tmp_path: Path) -> None:
    words = [
        "vid2vid",
        str(validated),
        "--checkpoint",
        "best",
        "--clips",
        "1",
        "--frames",
        "4",
        "--out",
        str(tmp_path / "e"),
    ]
    with pytest.raises(SystemExit, match="0"):
        evaluate(words)
    report = json.loads((tmp_path / "e" / "report.json").read_text())
    best = runtime.best_step(validated / "checkpoints")
    assert report["checkpoint"]["step"] == best
    assert " --checkpoint best " in report["command"]
    (line,) = [line for line in read_validations(validated / "metrics.jsonl") if line["step"] == best]
    others = re.compile(r".*/class_mean|class_.*")  # which are not looked at while training
    known = {name: score["value"] for name, score in report["scores"].items() if not others.fullmatch(name)}
    assert known == {name: line[name] for name in known}
    assert "ssim/generated" in known


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (
            ["run.keep_best=ssim", "run.validate_every=0"],
            "run.validate_every: expected 1 or more, with keep_best, got 0",
        ),
        (["run.keep_best=fid", "run.validate_every=2"], "run.keep_best: expected one of 'none', 'psnr', "),
        (["run.profile_steps=[5, 3]"], "run.profile_steps: expected [], or the first step and the last one, "),
        (['run.trackers=["aim"]'], "run.trackers: expected what is installed; add it by `pip install aim`, got 'aim'"),
    ],
)
def test_wrong_words_are_one_line_and_nothing_is_written(
    words: list[str], error: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    assert main(["vid2vid", "--out", str(tmp_path / "run"), *words]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.removeprefix("error: ").removeprefix("command line: ").startswith(error)
    assert not (tmp_path / "run").exists()


def test_a_checkpoint_that_is_no_step_and_not_the_best_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        evaluate(["vid2vid", "runs/a", "--checkpoint", "worst"])
    (line,) = capsys.readouterr().err.splitlines()
    assert line == "error: --checkpoint: expected a whole number from 0 to 99999999 or 'best', got 'worst'"


class Killed(BaseException):
    """The process is gone."""


@pytest.mark.parametrize(
    "where",
    [
        pytest.param("validate", marks=pytest.mark.slow),
        "append_validation",
        pytest.param("keep_best", marks=pytest.mark.slow),
        "save",
    ],
)
def test_killed_at_a_validation_it_is_the_unbroken_run_in_the_end(
    validated: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    """Killed before a validation, before its line, before what is kept and behind it."""
    place = {"append_validation": MetricsLog, "validate": validating}.get(where, runtime)
    name = "save_checkpoint" if where == "save" else where
    original, calls = getattr(place, name), iter(range(9))

    def die(*arguments: Any, **options: Any) -> Any:
        if next(calls) == (2 if where == "validate" else 1):  # the first looks for the measure
            raise Killed
        return original(*arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(place, name, die)
        with pytest.raises(Killed):
            run(config(), tmp_path / "run")
    run(config(), tmp_path / "run", resume=True)
    assert lines(tmp_path / "run") == lines(validated)
    assert same(final(tmp_path / "run", 6), final(validated, 6))
    best = [runtime.load_checkpoint(folder / "checkpoints" / "best") for folder in (validated, tmp_path / "run")]
    assert best[0].step == best[1].step
    assert same(best[0].state, best[1].state)


def values(patch: pytest.MonkeyPatch, *found_values: float, measure: str = "ssim") -> None:
    """Have validations find these values of a measure, one after the other."""
    rest, original = iter(found_values), validating.validation_of

    def validation_of(step: int, report: Any) -> course.Validation:
        found = original(step, report)
        return course.Validation(
            step=step, scores={**found.scores, f"{measure}/generated": next(rest)}, clips=1, frames=4
        )

    patch.setattr(validating, "validation_of", validation_of)


def test_without_progress_a_run_ends_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        values(patch, 0.5, float("nan"), 0.4)
        result, watch = run(config(patience=2, steps=7), tmp_path / "run")
    assert (result.step, result.finished) == (6, True)
    told = "no better ssim in 2 validations (run.patience=2), the best is of step 2: the run ends"
    assert f"step 6: {told}" in watch.messages
    assert runtime.best_step(tmp_path / "run" / "checkpoints") == 2
    assert json.loads((tmp_path / "run" / "metrics.jsonl").read_text().splitlines()[5])["ssim/generated"] == "nan"
    assert (tmp_path / "run" / "samples" / "step-00000006.png").exists()
    result, watch = run(config(patience=2, steps=7), tmp_path / "run", resume=True)
    assert (result.step, result.finished) == (6, True)
    assert any(told in message for message in watch.messages)
    result, _ = run(config(patience=0, steps=7), tmp_path / "run", resume=True)
    assert (result.step, result.finished) == (7, True)


def test_longer_clips_that_make_videos_less_steady_are_said_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Clips have one frame up to step 3, and two from there on: the validations at 2, 4 and 6 are of 1, 2 and 2."""
    with monkeypatch.context() as patch:
        values(patch, 1.0, 2.0, 3.0, measure="warping")
        _, watch = run(config(), tmp_path / "run")
    told = "since clips have 2 frames instead of 1, videos are less steady: temporal warping error 2.00 after 1.00"
    (line,) = [message for message in watch.messages if "less steady" in message]
    assert line.startswith(f"step 4: {told}")
    assert "\n" not in line


def test_the_best_that_could_not_be_written_is_kept_when_the_run_goes_on(
    validated: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk is full where the best is written: the step itself is saved, and nobody would look at it again."""

    def full(*_: Any, **__: Any) -> Any:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "best")

    with monkeypatch.context() as patch:
        patch.setattr(runtime, "keep_best", full)
        with pytest.raises(VsTrainingError, match=r"No space left on device.*; step 2 is saved; go on with"):
            run(config(), tmp_path / "run")
    assert runtime.best_step(tmp_path / "run" / "checkpoints") is None
    with monkeypatch.context() as patch:
        values(patch, 0.0, 0.0)
        run(config(), tmp_path / "run", resume=True)
    assert runtime.best_step(tmp_path / "run" / "checkpoints") == 2
    scores = runtime.best_scores(tmp_path / "run" / "checkpoints")
    (line,) = [line for line in read_validations(validated / "metrics.jsonl") if line["step"] == 2]
    assert scores == {name: value for name, value in line.items() if "/" in name}


def test_a_measure_that_only_later_frames_have_can_be_kept_by(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A head has not moved yet on the first frames of the first clip."""
    original = validating.validate

    def validate(average: Any, held_out: Any, *rest: Any) -> Any:
        report = original(average, held_out, *rest)
        later = {"head_ssim/generated": Average(total=0.5, weight=1.0)} if held_out.frames == 6 else {}
        return attrs.evolve(report, totals={**report.totals, **later})

    monkeypatch.setattr(validating, "validate", validate)
    run(config(steps=2, keep_best="head_ssim", validate_frames=6), tmp_path / "run")
    assert runtime.best_step(tmp_path / "run" / "checkpoints") == 2


def test_a_measure_that_so_few_frames_lack_is_refused(tmp_path: Path) -> None:
    """Flow is generated from the third frame on, and two are validated."""
    with pytest.raises(ConfigError, match=r"run.keep_best: expected a measure that .* have \(.*ssim.*\), got 'epe'"):
        run(config(keep_best="epe", validate_frames=2), tmp_path / "run")


def test_a_measure_that_the_clips_lack_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"run.keep_best: expected a measure that .* have \(.*ssim.*\), got 'head_ssim'"
    ):
        run(config(keep_best="head_ssim"), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_held_out_clips_that_are_lost_end_the_run_with_its_steps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lost(*_: Any) -> None:
        raise DataError("cannot be read", file="a.png")

    with monkeypatch.context() as patch:
        patch.setattr(validating, "validate", lost)
        with pytest.raises(VsTrainingError, match=r"a\.png: cannot be read; step 2 is saved; go on with"):
            run(config(keep_best="none"), tmp_path / "run")
    run(config(keep_best="none", steps=4), tmp_path / "run", resume=True)
    assert [line["step"] for line in read_validations(tmp_path / "run" / "metrics.jsonl")] == [4]
    assert not (tmp_path / "run" / "checkpoints" / "best").exists()
    with pytest.raises(ModelError, match=r"--checkpoint: none is kept as the best \(run.keep_best\); there are: 4, 2"):
        read_trained(tmp_path / "run", checkpoint="best")


def test_a_best_one_that_was_being_replaced_counts(validated: Path, tmp_path: Path) -> None:
    copy = tmp_path / "run"
    shutil.copytree(validated, copy)
    (copy / "checkpoints" / "best").rename(copy / "checkpoints" / "best.replaced")
    assert runtime.best_step(copy / "checkpoints") == runtime.best_step(validated / "checkpoints")
    assert read_trained(copy, checkpoint="best").provenance == read_trained(validated, checkpoint="best").provenance
    (copy / "checkpoints" / "best.replaced" / "manifest.json").write_text("{")
    assert runtime.best_step(copy / "checkpoints") is None
    with pytest.raises(ModelError, match="is damaged"):
        read_trained(copy, checkpoint="best")
