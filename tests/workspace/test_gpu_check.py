"""The program that checks a GPU, without one: what it runs, how it ends, what it concludes."""

import json
import zipfile
from pathlib import Path

import gpu_training
import pytest
from gpu_check import GOALS, Part, environment_of, judge, main, measured_in, parts_of, run_part


def test_a_dry_run_lists_every_part_and_writes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--dry-run", "--out", str(tmp_path / "out")]) == 0
    listed = [line.partition(" (")[0] for line in capsys.readouterr().out.splitlines()]
    assert listed == [part.name for part in parts_of("cuda", tiny=False)]
    assert listed[0] == "tests"
    assert not (tmp_path / "out").exists()


def test_every_goal_is_of_a_part_that_is_run() -> None:
    assert {goal.part for goal in GOALS} <= {part.name for part in parts_of("cuda", tiny=False)}


def test_a_part_of_another_name_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--only", "speed"]) == 2
    assert "error: --only: no part is called 'speed'; there are tests, " in capsys.readouterr().err


def test_a_part_that_takes_too_long_is_ended() -> None:
    part = Part(name="slow", command=("-m", "timeit", "-n", "1", "-r", "1", "import time; time.sleep(60)"), minutes=1)
    result = run_part(part, {}, 0.5)
    assert result["ended"] == "ended after 0 s"
    assert result["seconds"] < 30


def test_what_parts_measured_is_judged(tmp_path: Path) -> None:
    """Files that a part says it wrote, and its last line; what is missing is not measured, and not missed."""
    file = tmp_path / "step.json"
    file.write_text(json.dumps({"gains": {"O1": {"value": 4.5}}}))
    assert measured_in(f"table\nwritten to {file}\n") == {"gains": {"O1": {"value": 4.5}}}
    assert measured_in('noise\n{"agrees": true}\n') == {"agrees": True}
    slow = {"cases": [{"name": "O0", "speedup": {"value": 1.0}}, {"name": "O1", "speedup": {"value": 1.5}}]}
    results = {
        "step-256x128": {"measured": measured_in(f"written to {file}")},
        "step-1024x512-batch-8": {"measured": slow},
    }
    verdicts = {one["part"]: (one["reached"], one["met"]) for one in judge(results)}
    assert verdicts == {
        "step-256x128": (4.5, True),
        "step-1024x512-batch-8": (1.5, False),
        "step-1024x512-batch-16": (None, None),
        "stream-1024x512": (None, None),
    }


def test_wheels_are_unpacked_beside_the_packages_of_the_checkout(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "toy-1-py3-none-any.whl", "w") as wheel:
        wheel.writestr("toy_of_a_wheel.py", "word = 'found'")
    environment = environment_of(tmp_path / "out", tmp_path)
    part = Part(name="x", command=("-m", "toy_of_a_wheel"), minutes=1)
    assert run_part(part, environment, 60)["ended"] == "exit status 0"
    assert "vs-training" in environment["PYTHONPATH"]


def test_losses_are_compared_at_first_and_in_the_end() -> None:
    stored = {"discriminator.gan": [1.0] * 20, "generator.gan": [1.0] * 20, "generator.flow": [2.0] * 20}
    good = {"discriminator.gan": [1.01, *[1.2] * 19], "generator.gan": [1.3] * 20, "generator.flow": [2.0] * 20}
    assert gpu_training.differences(good, stored) == []
    bad = {"discriminator.gan": [1.1, *[2.0] * 19], "generator.gan": [1.4] * 20, "generator.flow": [2.0, float("nan")]}
    assert gpu_training.differences(bad, stored) == [
        "discriminator.gan at first: 1.1, on a CPU in float32 1",
        "discriminator.gan in the end: 2, on a CPU in float32 1",
        "generator.gan in the end: 1.4, on a CPU in float32 1",
        "generator.flow: missing or not finite",
    ]


@pytest.mark.slow
def test_every_part_runs_at_a_tiny_size_on_a_cpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    arguments = ["--out", str(tmp_path), "--device", "cpu", "--tiny", "--minutes", "15"]
    assert main(arguments) in (0, 1)  # goals are of a GPU
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert set(summary["parts"].values()) == {"exit status 0"}
