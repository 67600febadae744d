"""Every command on model directories: what it finds is what it finds on the run that the model is made of."""

import json
import math
import shlex
from pathlib import Path

import attrs
import pytest
from toy_runs import FEW_SHOT, STREET, make_run
from vs_data import ClipRequest, FolderConfig, open_source, write_folder
from vs_eval.opening import SEEN
from vs_eval.vid2vid import UNSEEN
from vs_optim import Pair, ScaleState, ScalingState, scaling_to_dict
from vs_synthesis import load_model, read_run, start, write_model
from vs_training.config import TrainConfig

CONFIGS = {"vid2vid": STREET, "few-shot": FEW_SHOT}
SHORT = ("--device", "cpu", "--clips", "1", "--frames", "3")


def run_and_model(root: Path, config: TrainConfig, **saved: object) -> None:
    make_run(root / "run", config, **saved)
    write_model(root / "model", read_run(root / "run"))


def report_in(directory: Path) -> dict:
    return json.loads((directory / "report.json").read_text())


@pytest.mark.parametrize("kind", CONFIGS)
def test_a_model_scores_as_its_run_does_and_stays_as_it_is(kind, run_command, tmp_path, everything_below):
    run_and_model(tmp_path, CONFIGS[kind])
    before = everything_below(tmp_path / "model")
    for what in ("run", "model"):
        few_shot = ("--references", "1") if kind == "few-shot" else ()
        status, out, err = run_command(kind, what, *SHORT, *few_shot, "--no-agreement")
        assert (status, err) == (0, ""), err
        assert f"{what}, step 3, on cpu" in out
    of_run = report_in(tmp_path / "run" / "eval" / "step-00000003")
    of_model = report_in(tmp_path / "model-eval" / "scores")
    about = {"command", "measured", "run", "model", "config", "checkpoint", "training", "provenance"}
    assert {k: v for k, v in of_run.items() if k not in about} == {k: v for k, v in of_model.items() if k not in about}
    assert of_model["model"] == "model"
    assert of_model["provenance"]["steps"] == 3
    assert everything_below(tmp_path / "model") == before
    command = shlex.split(of_model["command"])
    assert command[:4] == ["hatch", "run", f"eval:{kind}", "model"]
    assert run_command(kind, *command[3:], "--out", "again")[0] == 0
    assert {**report_in(tmp_path / "again"), "measured": of_model["measured"]} == of_model


def test_what_is_evaluated_is_what_is_streamed(run_command, tmp_path):
    run_and_model(tmp_path, STREET)
    assert run_command("vid2vid", "model", *SHORT)[0] == 0
    (clip,) = report_in(tmp_path / "model-eval" / "scores")["clips"]
    stream = start(load_model(tmp_path / "model", device="cpu"))
    real = open_source(STREET.data, "val").read(ClipRequest(sequence=0, start=0, length=3))
    frames = [stream({kind: ids[t] for kind, ids in real.labels.items()}) for t in range(3)]
    errors = [(frame - real.frames[t]).double().square().mean().item() for t, frame in enumerate(frames)]
    curve = [10 * math.log10(4 / error) for error in errors]
    assert clip["curves"]["psnr/generated"] == pytest.approx(curve, abs=1e-3)


def test_an_audit_of_a_model_is_that_of_its_run_and_needs_its_training_weights(run_command, tmp_path):
    scale = ScaleState(scale=256.0, good_steps=3)
    scaling = scaling_to_dict(ScalingState(scales=Pair(generator=scale, discriminator=scale), enabled=True))
    run_and_model(tmp_path, STREET, scaling=scaling)
    options = ("--device", "cpu", "--frames", "1", "--reference", "float32")
    for what in ("run", "model"):
        assert run_command("numerics", what, *options)[0] == 0
    of_run = json.loads((tmp_path / "run/eval/numerics-step-00000003-float16/numerics.json").read_text())
    of_model = json.loads((tmp_path / "model-eval/numerics-float16/numerics.json").read_text())
    assert of_model["loss_scales"] == {"generator": 256.0, "discriminator": 256.0}
    assert of_model["checkpoint"] is None
    assert {**of_model, "target": 0, "checkpoint": 0} == {**of_run, "target": 0, "checkpoint": 0}
    write_model(tmp_path / "slim", read_run(tmp_path / "run", training=False))
    status, out, err = run_command("numerics", "slim", *options)
    assert (status, out) == (2, "")
    assert err == "error: slim: has no training.safetensors, which an audit needs; package it again with --training\n"


def folder_run(root: Path) -> FolderConfig:
    """A run that was trained on a folder, which holds nothing out, with its model; and a folder of other sequences."""
    for name, split in (("seen", "train"), ("other", "val")):
        write_folder(open_source(STREET.data, split), root / name, sequences=1)
    data = FolderConfig(root=str(root / "seen"), height=32, width=64)
    run_and_model(root, attrs.evolve(STREET, data=data))
    return data


def test_held_out_sequences_of_a_folder_are_named_for_a_run_and_needed_by_a_model(run_command, tmp_path):
    folder_run(tmp_path)
    status, _, err = run_command("vid2vid", "run", *SHORT, "--out", "seen-report")
    assert (status, SEEN in err) == (0, True)
    for what, baseline in (("run", True), ("model", False)):
        status, _, err = run_command("vid2vid", what, *SHORT, "--data", "other", "--out", f"{what}-report")
        assert status == 0
        assert (SEEN in err, UNSEEN in err) == (False, not baseline)
        report = report_in(tmp_path / f"{what}-report")
        assert report["command"].endswith("--data other")
        assert ("psnr/class_mean" in report["scores"]) is baseline
        assert (UNSEEN in report["notices"]) is not baseline
    scores = [report_in(tmp_path / f"{what}-report")["scores"] for what in ("run", "model", "seen")]
    generated = [score["psnr/generated"]["value"] for score in scores]
    assert generated[0] == generated[1] != generated[2]
    assert run_command("vid2vid", "model", *SHORT)[::2] == (
        2,
        "error: model: was trained on a folder that is no part of it; name one with --data\n",
    )
    assert run_command("numerics", "model", "--frames", "1", "--data", "other", "--reference", "float32")[0] == 0


def test_a_model_of_whose_training_nothing_is_known_is_evaluated_on_a_folder(run_command, tmp_path):
    folder_run(tmp_path)
    write_model(tmp_path / "bare", attrs.evolve(read_run(tmp_path / "run"), settings=None, provenance={}))
    for what in ("model", "bare"):
        assert run_command("vid2vid", what, *SHORT, "--data", "other")[0] == 0
    known, bare = (report_in(tmp_path / f"{what}-eval" / "scores") for what in ("model", "bare"))
    assert known["scores"] == bare["scores"]
    for arguments in (["vid2vid", "bare"], ["numerics", "bare", "--data", "other"]):
        status, _, err = run_command(*arguments)
        assert (status, err.count("\n"), "does not say how it was trained" in err) == (2, 1, True)


@pytest.mark.parametrize("command", ["vid2vid", "few-shot", "numerics", "package"])
@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda m: (m / "model.json").write_text("{"), "not a model"),
        (lambda m: (m / "generator.safetensors").write_bytes(b"x"), "1 bytes instead of"),
        (lambda m: (m / "model.json").unlink(), "not a run"),
    ],
)
def test_a_damaged_model_is_one_line_and_leaves_nothing(
    command, damage, words, run_command, tmp_path, everything_below
):
    write_model(tmp_path / "model", read_run(make_run(tmp_path / "run", FEW_SHOT).path))
    damage(tmp_path / "model")
    before = everything_below(tmp_path)
    status, out, err = run_command(command, "model", "--out", "new")
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert words in err
    assert everything_below(tmp_path) == before


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["few-shot", "model"], "model: its generator is a vid2vid generator; evaluate it by `hatch run eval:vid2vid"),
        (["vid2vid", "model", "--checkpoint", "3"], "--checkpoint: this is a model, which has none"),
        (["vid2vid", "model", "--data", "run"], "was trained on a built-in world, where its clips come from; drop"),
        (["vid2vid", "run", "--data", "run"], "was trained on a built-in world, where its clips come from; drop"),
        (["numerics", "--preset", "street-tiny", "--data", "run"], "--data: a preset has its own"),
        (["package", "model"], "--out: model is a model already"),
        (["package", "run", "--out", "run"], "holds other files than a model"),
        (["package", "run", "--checkpoint", "4"], "there is none of step 4; there are: 3"),
        (["package", "run", "--dtype", "float8"], "--dtype"),
        (["package"], "runs: there is no run here yet"),
    ],
)
def test_what_cannot_be_is_one_line_and_leaves_nothing(arguments, words, run_command, tmp_path, everything_below):
    run_and_model(tmp_path, STREET)
    before = everything_below(tmp_path)
    status, out, err = run_command(*arguments)
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert words in err
    assert everything_below(tmp_path) == before


def test_a_model_in_the_working_directory_is_evaluated_beside_it(run_command, tmp_path, monkeypatch):
    run_and_model(tmp_path, STREET)
    monkeypatch.chdir(tmp_path / "model")
    assert run_command("vid2vid", ".", "--clips", "1", "--frames", "1")[0] == 0
    assert (tmp_path / "model-eval" / "scores" / "report.html").is_file()
