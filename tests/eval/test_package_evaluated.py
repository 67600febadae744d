"""`package --evaluate`: a model has scores and pictures of what was written, and its card says how it came about."""

import json
import re

import attrs
import cv2
import numpy as np
import pytest
import torch
from toy_runs import FEW_SHOT, STREET, make_run
from vs_config import load_config
from vs_data import FolderConfig, open_source, write_folder
from vs_eval.written import rounding
from vs_runtime import load_latest
from vs_synthesis import model_card, read_model, read_run, write_model
from vs_training.config import TrainConfig
from vs_training.presets import read_preset

CONFIGS = {
    "vid2vid": attrs.evolve(STREET, data=attrs.evolve(STREET.data, val_sequences=5)),
    "few-shot": attrs.evolve(FEW_SHOT, data=attrs.evolve(FEW_SHOT.data, val_identities=5)),
}
"""As many held-out clips as intervals need."""

BASELINES = {
    "vid2vid": ("mean colour of each class", "psnr/class_mean"),
    "few-shot": ("reference repeated", "psnr/repeated"),
}

LICENCE = ("--licence", "Apache-2.0")


def report_in(directory):
    return json.loads((directory / "report.json").read_text())


@pytest.mark.parametrize("kind", ["vid2vid", pytest.param("few-shot", marks=pytest.mark.slow)])
def test_scores_and_pictures_are_those_of_what_was_written(kind, run_command, tmp_path):
    make_run(tmp_path / "run", CONFIGS[kind])
    options = ("--dtype", "float16", "--no-training", "--max-mb", "1", "--evaluate", *LICENCE)
    status, out, err = run_command("package", "run", "--out", "model", *options)
    assert status == 0, err
    of_run, of_model = report_in(tmp_path / "run/eval/step-00000003"), report_in(tmp_path / "model-eval/scores")
    part_of = {"few-shot": lambda report: report["sections"][0], "vid2vid": lambda report: report}[kind]
    before, after = (part_of(report)["scores"]["psnr/generated"]["value"] for report in (of_run, of_model))
    assert before != after  # float16 rounds
    assert f"{before:.4f} dB of the run, {after:.4f} dB of the model in float16 ({after - before:+.4f})" in out
    metrics = read_model(tmp_path / "model").provenance["metrics"][0]
    scores = part_of(of_model)["scores"]
    interval = scores["psnr/generated"]["interval"]
    name, of_baseline = BASELINES[kind]
    beside = {name: scores[of_baseline]["value"]}
    assert metrics["scores"]["psnr"] == {"value": after, "unit": "dB", "interval": interval, "beside": beside}
    assert metrics["command"].startswith(f"hatch run eval:{kind} model ")
    card = (tmp_path / "model" / "README.md").read_text()
    assert f"| psnr | {after:.4g} [{interval[0]:.4g}, {interval[1]:.4g}] | dB | {name} {beside[name]:.4g} |" in card
    assert "The weights and all else in this directory: Apache-2\\.0." in card
    pictures = re.findall(r"!\[.*\]\((.*)\)", card)
    assert 2 <= len(pictures) <= 3
    assert {file.name for file in (tmp_path / "model").glob("*.webp")} == set(pictures)
    assert all(cv2.imread(str(tmp_path / "model" / file)).shape[1] <= 1000 for file in pictures)


def test_ctrl_c_leaves_a_model_without_scores_and_says_so(run_command, tmp_path, monkeypatch):
    def stop(contents, console):
        raise KeyboardInterrupt

    make_run(tmp_path / "model-run", STREET)
    write_model(tmp_path / "wide", read_run(tmp_path / "model-run"))
    monkeypatch.setattr("vs_eval.package.evaluated", stop)
    status, _, err = run_command("package", "wide", "--out", "narrow", "--evaluate")
    assert (status, err) == (130, "error: stopped; narrow was written, without scores\n")
    assert "metrics" not in read_model(tmp_path / "narrow").provenance


def test_a_picture_is_that_of_the_report(run_command, tmp_path):
    make_run(tmp_path / "run", STREET)
    assert run_command("vid2vid", "run", "--device", "cpu")[0] == 0
    assert run_command("package", "run", "--no-training")[0] == 0
    strip = cv2.imread(str(tmp_path / "run/eval/step-00000003/clip-000-street-500000.png")).astype(float)
    small = cv2.imread(str(tmp_path / "run-model/clip-000-street-500000.webp")).astype(float)
    assert small.shape == (*strip.shape[:1], strip.shape[1] * 3 // 7, 3)  # label, real, generated
    assert np.abs(small - strip[:, : small.shape[1]]).mean() < 3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--max-mb", "0.1"], "error: --max-mb: weights of run would take "),
        (["--evaluate"], "error: --evaluate: run was trained on data that are no part of it"),
    ],
)
def test_what_cannot_be_is_one_line_and_nothing_is_written(options, message, run_command, tmp_path, everything_below):
    write_folder(open_source(STREET.data, "train"), tmp_path / "seen", sequences=1)
    data = FolderConfig(root=str(tmp_path / "seen"), height=32, width=64)
    wide = attrs.evolve(STREET.generator, filters=32, max_filters=32)
    make_run(tmp_path / "run", attrs.evolve(STREET, data=data, generator=wide))
    before = everything_below(tmp_path)
    status, _, err = run_command("package", "run", *options)
    assert (status, err.count("\n"), err.startswith(message)) == (2, 1, True), err
    assert everything_below(tmp_path) == before


def test_the_card_of_a_preset_says_how_it_was_trained(run_command, tmp_path):
    document = read_preset("street-tiny").document
    config = load_config(TrainConfig, {**document, "seed": 7, "run": {**document["run"], "threads": 1}})
    run = make_run(tmp_path / "run", config)
    run.metrics.write_text("".join(f'{{"step": {step}, "time": {1000 + 90 * step}}}\n' for step in range(1, 42)))
    assert run_command("package", "run", "--no-training")[0] == 0
    command = read_model(tmp_path / "run-model").provenance["command"]
    assert command == "hatch run train:vid2vid --preset street-tiny seed=7 run.threads=1"
    card = (tmp_path / "run-model" / "README.md").read_text()
    assert "| seeds | 7 of the weights and order, 0 of the world |" in card
    assert "| time it took | 1\\.0 hours |" in card


def test_paths_are_in_no_command(run_command, tmp_path):
    document = read_preset("street-tiny").document
    config = load_config(TrainConfig, {**document, "init": {"from": str(tmp_path)}})
    make_run(tmp_path / "run", config)
    assert run_command("package", "run", "--no-training")[0] == 0
    assert "command" not in read_model(tmp_path / "run-model").provenance


def test_the_machine_is_told_in_general_words(tmp_path):
    contents = read_run(make_run(tmp_path / "run", STREET).path)
    told = {"gpus": [{"name": "X200"}, {"name": "X200"}], "packages": {"torch": "2.13"}, "platform": "Secret-1"}
    provenance = {**contents.provenance, "training": {"started": "2026-01-31T10:11:12", "environment": told}}
    card = model_card(attrs.evolve(contents, provenance=provenance), name="m", dtype=torch.float32)
    assert "| machine | 2 x X200, PyTorch 2\\.13 |" in card
    assert "| begun | 2026-01-31 |" in card
    assert "Secret" not in card


def test_rounding_is_told_of_the_same_clips_alone():
    one = {"clips": 2, "frames": 8, "scores": {"psnr": {"value": 20.0}}}
    other = {"clips": 2, "frames": 8, "scores": {"psnr": {"value": 19.99}}}
    assert list(rounding([one], [other], "float16")) == [
        "PSNR: 20.0000 dB of the run, 19.9900 dB of the model in float16 (-0.0100)"
    ]
    (said,) = rounding([one], [{**other, "frames": 9}], "float16")
    assert said == "the run was evaluated on other clips: what rounding has cost is not known"


def test_half_precision_weights_are_loaded_in_single(run_command, tmp_path):
    run = make_run(tmp_path / "run", STREET)
    assert run_command("package", "run", "--dtype", "float16", "--no-training")[0] == 0
    stored = read_model(tmp_path / "run-model").generator
    average = load_latest(run.checkpoints).state["average"]
    assert all(stored[name].dtype == torch.float16 for name in average)
    assert all(torch.equal(stored[name], average[name].half()) for name in average)
