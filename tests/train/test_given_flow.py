"""Training by given motion, by the real commands: run, resume, synthesis, evaluation; and what is refused."""

import json
from pathlib import Path

import pytest
import torch
from vs_data import StreetConfig, open_source, write_folder
from vs_eval.app import main as eval_main
from vs_runtime import load_checkpoint
from vs_train.cli import main

SMALL = (
    *("data.height=32", "data.width=64", "data.sequence_length=4", "data.val_sequences=1", "curriculum.max_length=2"),
    *("curriculum.initial_length=2", "curriculum.single_frame_steps=0", "generator.levels=3", "generator.filters=4"),
    *("generator.image_downsamples=2", "generator.max_filters=8", "generator.embedder.filters=4"),
    *("generator.embedder.max_filters=8", "generator.embedder.downsamples=3", "run.threads=1"),
    *("generator.combination.levels=2", "generator.combination.embedder.filters=4"),
    *("discriminator.image.filters=4", "discriminator.image.layers=2", "discriminator.image.scales=1"),
    *("objective.perceptual.kind=none", "precision.level=O0"),
    *("run.steps=2", "run.checkpoint_every=1", "run.sample_every=2", "run.sample_frames=2"),
)


def train(*arguments: str) -> int:
    return main(["vid2vid", "--preset", "street-sim", *SMALL, *arguments])


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("given") / "run"
    assert train("--out", str(path)) == 0
    return path


def evaluate(command: str, run: Path, *arguments: str) -> int:
    with pytest.raises(SystemExit) as stop:
        eval_main([command, str(run), "--device", "cpu", *arguments])
    return int(stop.value.code or 0)


def synthesise(run: Path, *arguments: str) -> int:
    return evaluate("synthesize", run, *arguments)


def losses(run: Path) -> set[str]:
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return {name for line in lines for name in line if "flow" in name}


def test_there_is_no_flow_network_and_no_loss_of_flow(run: Path) -> None:
    state = load_checkpoint(run / "checkpoints" / "step-00000002").state
    assert not [name for name in state["generator"] if name.startswith("flow")]
    assert losses(run) == set()
    assert (run / "samples" / "step-00000002.png").stat().st_size > 0


def test_a_resumed_run_is_the_run(run: Path, tmp_path: Path) -> None:
    first = tmp_path / "first"
    assert train("--out", str(first), "run.steps=1") == 0
    assert main(["vid2vid", "--resume", str(first), "run.steps=2"]) == 0
    whole, resumed = (load_checkpoint(each / "checkpoints" / "step-00000002").state for each in (run, first))
    assert all(torch.equal(x, resumed["generator"][name]) for name, x in whole["generator"].items())


def test_it_synthesises_from_a_world_and_is_scored(run: Path, tmp_path: Path) -> None:
    out = tmp_path / "frames"
    assert synthesise(run, "--labels", "street:9", "--frames", "3", "--format", "png", "--out", str(out)) == 0
    assert len(list(out.iterdir())) == 3
    assert evaluate("vid2vid", run, "--no-agreement", "--out", str(tmp_path / "report")) == 0
    report = json.loads((tmp_path / "report" / "report.json").read_text())
    assert report["scores"]["warping/generated"]["value"] > 0
    assert not [name for name in report["scores"] if name.startswith("epe")]  # given flow is not to be measured


def test_a_folder_of_renderings_and_motion_trains_and_is_synthesised_from(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    street = StreetConfig(height=32, width=64, sequence_length=3, train_sequences=2, labels="render")
    write_folder(open_source(street, "train"), tmp_path / "street", sequences=2)
    run, labels = tmp_path / "run", '[{kind = "image", folder = "render"}]'
    folder = ("data.kind=folder", f"data.root={tmp_path / 'street'}", "data.height=32", "data.width=64")
    small = [each for each in SMALL if not each.startswith("data.")]
    data = (*folder, f"data.labels={labels}", "data.flow.kind=files")
    assert main(["vid2vid", "--preset", "street-sim", *small, *data, "run.steps=1", "--out", str(run)]) == 0
    assert synthesise(run, "--labels", str(tmp_path / "street"), "--out", str(tmp_path / "made")) == 0
    assert len(list((tmp_path / "made").iterdir())) == 2
    (tmp_path / "street" / "flow").rename(tmp_path / "street" / "motion")
    capsys.readouterr()
    assert synthesise(run, "--labels", str(tmp_path / "street"), "--out", str(tmp_path / "more")) == 2
    assert "flow/street-000000: cannot be listed" in capsys.readouterr().err.replace("\\", "/")
    assert not (tmp_path / "more").exists()


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("generator.combination.kind=linear",), "combination.kind: expected 'spade' with flow.kind = 'given'"),
        (("data.kind=folder", "data.root=x", "data.flow.kind=none"), "data.flow.kind: expected a teacher, with"),
        (("generator.flow.filters=8",), "generator.flow.filters"),
    ],
)
def test_what_cannot_be_is_refused_at_once(
    arguments: tuple[str, ...], expected: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["vid2vid", "--preset", "street-sim", "--out", str(tmp_path / "run"), *arguments]) == 2
    told = capsys.readouterr().err
    assert expected in told
    assert "Traceback" not in told
    assert not (tmp_path / "run").exists()


def test_few_shot_generators_estimate_their_flow(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["few-shot", "--preset", "faces-tiny", "generator.flow.kind=given", "--print-config"]) == 2
    assert "generator.flow.kind: expected 'estimated', got 'given'" in capsys.readouterr().err
