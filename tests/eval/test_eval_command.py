"""The command line on runs that were never trained: a checkpoint with fresh weights is enough to be evaluated."""

import datetime
import json
import math
import os
import shlex
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import attrs
import av
import pytest
import torch
from toy_runs import STREET
from vs_config import render_config
from vs_data import DataError
from vs_eval.app import main
from vs_metrics import VsMetricsError
from vs_nets import (
    DiscriminatorConfig,
    NoPerceptual,
    ObjectiveConfig,
    PatchConfig,
    VsNetsError,
    build_ema,
)
from vs_ops import VsOpsError
from vs_runtime import VsRuntimeError, save_checkpoint
from vs_runtime.run_directory import RunDirectory, create_run
from vs_training.config import TrainConfig

CONFIG = attrs.evolve(
    STREET,
    discriminator=DiscriminatorConfig(image=PatchConfig(filters=4, layers=2, scales=1)),
    objective=ObjectiveConfig(perceptual=NoPerceptual()),
)


def make_run(path: Path, *steps: int, config: TrainConfig = CONFIG) -> RunDirectory:
    run = RunDirectory(path)
    create_run(run, config=render_config(config), environment={})
    for step in steps:
        torch.manual_seed(step)
        average = build_ema(config.generator, label_channels=35)
        save_checkpoint(run.checkpoints, step=step, state={"average": average.state_dict(), "step": step}, keep=9)
    return run


def damage(run: RunDirectory, step: int) -> None:
    file = run.checkpoints / f"step-{step:08d}" / "tensors.safetensors"
    file.write_bytes(file.read_bytes()[:-7])


@pytest.fixture
def run_main(run_command):
    """Call the command in an empty directory: (exit status, stdout, stderr)."""
    return partial(run_command, "vid2vid")


def test_a_run_is_evaluated_as_a_whole(run_main, tmp_path):
    run = make_run(tmp_path / "runs" / "one", 3)
    status, out, err = run_main("--device", "cpu")
    assert (status, err) == (0, "")
    report = run.path / "eval" / "step-00000003"
    assert f"report: {Path('runs/one/eval/step-00000003/report.html')}" in out
    read = json.loads((report / "report.json").read_text())
    assert read["checkpoint"]["step"] == 3
    assert [clip["frames"] for clip in read["clips"]] == [4, 4]
    assert {"psnr/generated", "psnr/class_mean", "psnr/previous", "ssim/generated", "warping/real"} <= set(
        read["scores"]
    )
    assert {"epe/generated", "epe/zero", "l1/warped_generated", "l1/repeated_real"} <= set(read["scores"])
    assert read["environment"]["packages"]["torch"] == torch.__version__
    for item in read["files"]:
        assert (report / item["strip"]).is_file()
        with av.open(str(report / item["video"])) as container:
            assert len(list(container.decode(video=0))) == 4
    assert [entry.name for entry in report.parent.iterdir()] == ["step-00000003"]


def test_the_same_checkpoint_gives_the_same_report(run_main, tmp_path, all_but_the_time):
    run = make_run(tmp_path / "run", 1)
    for name in ("a", "b"):
        assert run_main(str(run.path), "--out", name, "--clips", "1", "--frames", "3")[0] == 0
    assert all_but_the_time(tmp_path / "a") == all_but_the_time(tmp_path / "b")


def test_a_report_says_how_when_and_on_what_it_was_measured_and_nothing_of_where(run_main, tmp_path, monkeypatch):
    run = make_run(tmp_path / "my runs" / "one", 2, 5)
    environment = json.loads(run.environment.read_text())
    del environment["sha256"]  # as older versions wrote it
    text = json.dumps({**environment, "environment": {"git": {"revision": "abc"}, "odd": math.inf}})
    run.environment.write_text(text.replace("Infinity", "1e999"))
    begun = datetime.datetime.now(datetime.UTC).replace(microsecond=0)
    assert run_main(str(run.path), "--checkpoint", "2", "--clips", "1", "--frames", "2", "--out", "here")[0] == 0
    text = (tmp_path / "here" / "report.json").read_text()
    assert str(tmp_path) not in text + (tmp_path / "here" / "report.html").read_text()
    read = json.loads(text)
    assert begun <= datetime.datetime.fromisoformat(read["measured"]) <= datetime.datetime.now(datetime.UTC)
    assert {"git", "cpu", "gpus", "packages", "platform"} <= set(read["environment"])
    assert read["training"]["started"] == environment["started"]
    assert read["training"]["environment"]["git"] == {"revision": "abc"}
    assert read["run"] == "my runs/one"
    assert read["checkpoint"] == {"path": "my runs/one/checkpoints/step-00000002", "step": 2}
    command = shlex.split(read["command"])
    assert command[:3] == ["hatch", "run", "eval:vid2vid"]
    assert run_main(*command[3:], "--out", "again")[0] == 0
    again = json.loads((tmp_path / "again" / "report.json").read_text())
    assert {**again, "measured": read["measured"]} == read
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert run_main("../my runs/one", "--clips", "1", "--frames", "1")[0] == 0
    far = (run.path / "eval" / "step-00000005" / "report.json").read_text()
    assert json.loads(far)["config"] == "one/config.toml"
    assert str(tmp_path) not in far


def test_a_damaged_checkpoint_is_passed_over_and_said(run_main, tmp_path):
    run = make_run(tmp_path / "run", 1, 2)
    damage(run, 2)
    status, _, err = run_main("run", "--clips", "1", "--frames", "2", "--no-agreement")
    assert status == 0
    assert len(err.splitlines()) == 1
    assert "step-00000002 is damaged" in err
    assert "step 1 is used instead" in err
    report = run.path / "eval" / "step-00000001"
    assert "step-00000002" in json.loads((report / "report.json").read_text())["notices"][0]
    assert "step-00000002 is damaged" in (report / "report.html").read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere"], "there is no such directory"),
        (["foreign"], "not a run"),
        (["fresh"], "no checkpoint that can be read: nothing has been saved yet"),
        (["broken"], "no checkpoint that can be read: step-00000005: tensors.safetensors has"),
        (["broken", "--checkpoint", "5"], "is damaged"),
        (["good", "--checkpoint", "4"], "--checkpoint: there is none of step 4; there are: 3, 1"),
        (["good", "--clips", "0"], "--clips: expected a whole number from 1 to 1000000, got '0'"),
        (["good", "--frames", "-1"], "--frames: expected a whole number from 1 to 1000000, got '-1'"),
        (["good", "--frames", "many"], "--frames"),
        (["good", "--device", "toaster"], "--device"),
        (["good", "--out", "foreign"], "holds other files than a report"),
        (["good", "--out", "foreign/thing.txt"], "is a file"),
        (["good", "--colour", "red"], "--colour"),
        (["edited"], "do not fit the configuration"),
        (["typo"], "generator.filtres"),
        ([], "runs: there is no run here yet"),
    ],
)
def test_wrong_input_is_one_line_and_status_2_and_leaves_nothing(
    run_main, tmp_path, arguments, message, everything_below
):
    make_run(tmp_path / "good", 1, 3)
    make_run(tmp_path / "fresh")
    damage(make_run(tmp_path / "broken", 5), 5)
    edited = make_run(tmp_path / "edited", 1)
    wider = attrs.evolve(CONFIG, generator=attrs.evolve(CONFIG.generator, filters=8))
    edited.config.write_text(render_config(wider))
    typo = make_run(tmp_path / "typo", 1)
    typo.config.write_text(typo.config.read_text().replace("filters", "filtres", 1))
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "thing.txt").write_text("mine")
    before = everything_below(tmp_path)
    status, out, err = run_main(*arguments)
    assert (status, out) == (2, "")
    assert len(err.splitlines()) == 1, err
    assert err.startswith("error: ")
    assert message in err
    assert everything_below(tmp_path) == before


def test_without_a_name_the_run_that_saved_last_is_evaluated(run_main, tmp_path):
    for name, time in (("z-old", 1_000), ("a-new", 2_000)):
        for path in make_run(tmp_path / "runs" / name, 1).checkpoints.iterdir():
            os.utime(path, (time, time))
    assert run_main("--clips", "1", "--frames", "1")[0] == 0
    assert [path.parent.name for path in (tmp_path / "runs").glob("*/eval")] == ["a-new"]


def test_cuda_without_a_gpu_is_wrong_input(run_main, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    make_run(tmp_path / "runs" / "one", 1)
    wanted = "error: device: 'cuda' was asked for, and PyTorch finds no GPU here; use 'auto' or 'cpu'\n"
    assert run_main("--device", "cuda") == (2, "", wanted)


@pytest.mark.parametrize(
    "error",
    [
        PermissionError(13, "Permission denied", "runs"),
        DataError("is cut short", file="x.png", fix="copy it again"),
        VsMetricsError("no pixel has a class"),
        VsNetsError("label 'edges' is missing"),
        VsOpsError("warp", "flow has 3 channels"),
        VsRuntimeError("no device"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_every_mistake_that_a_package_explains_is_one_line_and_status_2(run_main, monkeypatch, error):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr("vs_eval.opening.find_run", fail)
    assert run_main() == (2, "", f"error: {error}\n")


def test_a_defect_keeps_its_stack_trace(run_main, monkeypatch):
    def fail(*_, **__):
        raise ZeroDivisionError

    monkeypatch.setattr("vs_eval.opening.find_run", fail)
    with pytest.raises(ZeroDivisionError):
        main(["vid2vid"])


def test_ctrl_c_leaves_nothing_and_says_so(run_main, tmp_path, monkeypatch, everything_below):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    make_run(tmp_path / "runs" / "one", 1)
    before = everything_below(tmp_path)
    monkeypatch.setattr("vs_eval.videos.score_views", interrupted)
    status, _, err = run_main("--device", "cpu")
    assert (status, err) == (130, "error: stopped; nothing was written\n")
    assert everything_below(tmp_path) == before


def test_a_trained_run_is_evaluated(run_main, tmp_path):
    (tmp_path / "small.toml").write_text(render_config(CONFIG))
    train = ["vid2vid", "--config", "small.toml", "run.steps=2", "loader.workers=0", "device=cpu"]
    done = subprocess.run([sys.executable, "-m", "vs_train", *train], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    status, out, err = run_main("--frames", "3", "--no-agreement", "--out", "report")
    assert (status, err) == (0, "")
    assert "step 2" in out
    read = json.loads((tmp_path / "report" / "report.json").read_text())
    assert read["checkpoint"]["step"] == 2
    assert read["scores"]["psnr/generated"]["weight"] == 4


def test_sigterm_leaves_nothing(tmp_path, everything_below):
    long = attrs.evolve(CONFIG, data=attrs.evolve(CONFIG.data, sequence_length=400))
    run = make_run(tmp_path / "run", 1, config=long)
    command = [sys.executable, "-m", "vs_eval", "vid2vid", str(run.path), "--device", "cpu", "--no-agreement"]
    before = everything_below(tmp_path)
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        while "clip 1 of" not in process.stdout.readline():
            assert process.poll() is None
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=60) == 143
    assert everything_below(tmp_path) == before


def test_help_names_the_options():
    command = [sys.executable, "-m", "vs_eval", "vid2vid", "--help"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    for option in ("RUN", "--out", "--checkpoint", "--device", "--clips", "--frames"):
        assert option in done.stdout
