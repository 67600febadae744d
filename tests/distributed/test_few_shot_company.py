"""Few-shot training in several processes, through the real command."""

from pathlib import Path

import pytest
from commands import command
from faults import final, lines, merged, run, same
from in_ranks import FACES, OWN
from launches import launched
from rank_processes import RankProcesses, whole
from test_few_shot_training import SMALL
from vs_config import load_config, read_toml, render_config
from vs_runtime import load_checkpoint
from vs_training.config import TrainConfig

STEPS = 2


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One step that trains flow alone, and one that trains everything; both are validated."""
    changes = {
        "distributed": {"reduce": "ordered", "check_every": 1},
        "run": {
            "steps": STEPS,
            "sample_every": 90,
            "checkpoint_every": 90,
            "threads": 1,
            "validate_every": 1,
            "validate_clips": 1,
            "validate_frames": 3,
            "keep_best": "ssim",
        },
    }
    path = tmp_path_factory.mktemp("config") / "faces.toml"
    path.write_text(render_config(load_config(TrainConfig, merged(merged(merged(SMALL, OWN), FACES), changes))))
    return path


@pytest.fixture(scope="module")
def alone(config: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("alone") / "run"
    run(load_config(TrainConfig, read_toml(config)), folder)
    return folder


def test_two_processes_train_what_one_does(processes: RankProcesses, config: Path, alone: Path, tmp_path: Path) -> None:
    words = ["few-shot", "--config", str(config), "--out", str(tmp_path / "run")]
    said = whole(processes.run(command, words, None, {}, ranks=2, joins=False))
    assert [each.status for each in said] == [0, 0], said[0].err
    is_that_of_one(tmp_path / "run", alone)


@pytest.mark.slow
def test_so_do_two_that_the_command_starts(config: Path, alone: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    with launched("vs_train", "few-shot", "--config", str(config), "--out", str(folder), "--processes", "2") as launch:
        said = launch.ended()
    assert launch.process.returncode == 0, said
    is_that_of_one(folder, alone)


def is_that_of_one(folder: Path, alone: Path) -> None:
    assert same(final(folder, STEPS), final(alone, STEPS))
    assert lines(folder) == lines(alone)
    assert sum(line.get("kind") == "validation" for line in lines(folder)) == STEPS
    kept = [load_checkpoint(each / "checkpoints" / "best") for each in (folder, alone)]
    assert kept[0].step == kept[1].step
