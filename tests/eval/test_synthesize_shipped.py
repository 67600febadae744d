"""`synthesize` of those who have trained nothing: by the models of the workspace, which is said."""

from pathlib import Path

import pytest
from toy_runs import FEW_SHOT, STREET, make_run
from vs_eval.synthesize import shipped
from vs_synthesis import read_run, write_model

ROOT = Path(__file__).resolve().parents[2]
SHORT = ("--frames", "2", "--device", "cpu")


@pytest.fixture
def models(tmp_path, monkeypatch) -> Path:
    """A folder in the place of the workspace's, with a model of each kind."""
    folder = tmp_path / "workspace" / "models"
    for name, config in {"street": STREET, "faces": FEW_SHOT}.items():
        write_model(folder / name, read_run(make_run(tmp_path / "made" / name, config).path))
    monkeypatch.setattr(shipped, "MODELS", folder)
    return folder


def test_the_models_are_those_of_the_workspace():
    assert shipped.MODELS == ROOT / "models"
    assert (shipped.MODELS.parent / "pyproject.toml").read_text().startswith("# The workspace.")


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ([], "street"),
        (["--labels", "street:5"], "street"),
        (["--references", "faces:7"], "faces"),
        (["--labels", "faces:5", "--references", "faces:7"], "faces"),
    ],
)
def test_without_a_run_a_model_of_the_workspace_makes_the_frames(options, name, run_command, models):
    status, out, err = run_command("synthesize", *SHORT, *options)
    assert status == 0, err
    said = (
        f"warning: no run of yours has a checkpoint yet: workspace/models/{name}, which comes with vs, makes the frames"
    )
    assert [line for line in err.splitlines() if line.startswith("warning: ")] == [said]
    (video,) = (models / f"{name}-synthesis").iterdir()
    assert out == f"workspace/models/{name}-synthesis/{video.name}: 2 frames\n"


def test_a_run_goes_before_the_models_of_the_workspace(run_command, models, tmp_path):
    make_run(tmp_path / "runs" / "mine", STREET)
    status, out, err = run_command("synthesize", *SHORT)
    assert (status, "warning" in err) == (0, False)
    assert out.startswith("runs/mine/synthesis/")


@pytest.mark.parametrize("options", [["--checkpoint", "3"], ["--checkpoint", "best"], ["--labels", "faces:3"]])
def test_what_no_model_of_the_workspace_can_is_one_line(options, run_command, models, everything_below, tmp_path):
    if "--labels" in options:
        (models / "faces").rename(models / "people")
    before = everything_below(tmp_path)
    status, out, err = run_command("synthesize", *SHORT, *options)
    assert (status, out, err) == (2, "", "error: runs: there is no run here yet; train one first, or name a run\n")
    assert everything_below(tmp_path) == before
