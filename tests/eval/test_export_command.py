"""`export` as a command: what it writes and says, and every mistake in one line."""

import json
import re

import pytest
import vs_eval.export
from toy_models import CONFIGS, make_run
from vs_eval.app import main
from vs_synthesis import read_trained, write_model
from vs_synthesis.export import Deviation, Drift, Export


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    root = tmp_path_factory.mktemp("place")
    run = make_run(root / "runs" / "street", CONFIGS["vid2vid"])
    write_model(root / "model", read_trained(run))
    return root


@pytest.fixture
def here(place, tmp_path, monkeypatch):
    for name in ("runs", "model"):
        (tmp_path / name).symlink_to(place / name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def export(*arguments):
    with pytest.raises(SystemExit) as stop:
        main(["export", *map(str, arguments)])
    return int(stop.value.code or 0)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nowhere"], "nowhere: there is no such directory"),
        (["model", "--size", "large"], "--size: expected HEIGHTxWIDTH in pixels"),
        (["model", "--size", "31x64"], "--size 31x64: both must be divisible by the model's stride, 8"),
        (["model", "--references", "3"], "--references: the model is no few-shot model"),
        (["model", "--checkpoint", "3"], "--checkpoint: this is a model, which has none"),
        (["model", "--check-frames", "0"], "--check-frames: expected a whole number from 1"),
        (["model", "--format", "tflite"], "--format: expected one of"),
        (["model", "--out", "mine.onnx"], "--out mine.onnx: an export is a directory: .*; name mine-pt2 for example"),
        (["model", "--out", "runs"], "holds other files than a package of programs"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_wrong_input_is_one_line_and_leaves_nothing(here, capsys, arguments, words):
    assert export(*arguments) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1, lines
    assert re.search(words, lines[0]), lines
    assert sorted(path.name for path in here.iterdir()) == ["model", "runs"]


def test_the_drift_is_shown_and_where_the_model_blows_rounding_up(here, capsys, monkeypatch):
    asked = []

    def pretend(model, out, request, watch):
        asked.append((out, request))
        watch("steady", 1)
        curve = Deviation(largest=(1e-6, 0.25), mean=(1e-7, 0.125))
        return Export(path=out, plans=(), drifts=(Drift(size=(32, 64), exported=curve, rounding=curve, closed=1),))

    monkeypatch.setattr(vs_eval.export, "export_model", pretend)
    assert export("--check-frames", 2, "--size", "32x64", "64x64") == 0
    assert export("model", "--format", "pt2") == 0
    (first, request), (second, _) = asked
    assert request.sizes == ((32, 64), (64, 64))
    assert first.as_posix().endswith("runs/street/export-pt2")
    assert second.as_posix() == "model-export-pt2"
    said = capsys.readouterr().out
    assert "2.50e-01" in said
    assert "rounding alone makes other clips of this model from frame 2 on" in said


@pytest.mark.slow
def test_a_run_becomes_an_export(here):
    assert export("--check-frames", 2, "--size", "32x64", "--out", "made") == 0
    manifest = json.loads((here / "made" / "manifest.json").read_text())
    assert manifest["frames"] == ["first", "warmup_1", "steady"]
    assert (here / "made" / "examples" / "run_torch.py").is_file()
