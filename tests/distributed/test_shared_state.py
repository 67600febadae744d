"""What processes share between them is there once, and whole in every file."""

from pathlib import Path
from typing import Any

from commands import command, write_config
from faults import lines, run, same
from in_ranks import averaged
from rank_processes import RankProcesses, whole
from vs_config import load_config, read_toml
from vs_runtime import load_latest
from vs_runtime.ranks import ONE
from vs_training.config import TrainConfig

SHARED: dict[str, Any] = {"distributed": {"reduce": "ordered", "shard_optimizer": True}}


def test_each_process_averages_its_share_of_the_weights_and_the_first_is_told_the_rest(
    processes: RankProcesses,
) -> None:
    answers = processes.start(averaged, "vid2vid", SHARED, 1, ranks=4)
    count, expected = averaged(ONE, "vid2vid", SHARED, 1)
    found = whole(answers())
    assert sum(own for own, _ in found) == count
    assert all(own < 0.5 * count for own, _ in found)
    assert [told is None for _, told in found] == [False, True, True, True]
    assert same(found[0][1], expected)


def test_files_of_processes_that_share_it_are_those_of_one(processes: RankProcesses, tmp_path: Path) -> None:
    """Checkpoints, pictures, videos, and all numbers."""
    every_two = {"sample_every": 2, "checkpoint_every": 2}
    config, together, alone = write_config(tmp_path, run=every_two, **SHARED), tmp_path / "two", tmp_path / "one"
    words = ("--config", str(config), "--out", str(together), "distributed.check_every=1")
    said = processes.start(command, ["vid2vid", *words], None, {}, ranks=2, joins=False)
    run(load_config(TrainConfig, read_toml(config)), alone)
    assert [each.status for each in whole(said())] == [0, 0]
    assert same(
        load_latest(together / "checkpoints").state["average"], load_latest(alone / "checkpoints").state["average"]
    )
    pictures = sorted((alone / "samples").iterdir())
    assert len(pictures) == 4
    assert [(together / "samples" / path.name).read_bytes() for path in pictures] == [p.read_bytes() for p in pictures]
    assert lines(together) == lines(alone)
