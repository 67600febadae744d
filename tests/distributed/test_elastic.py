"""Elastic torchrun: a machine that leaves takes its processes along, and the run goes on in fewer."""

import os
import signal
import socket
from pathlib import Path

import pytest
from commands import write_config
from faults import final, lines, run, same
from launches import Launch, launched, wait_for_step
from vs_config import load_config, read_toml
from vs_training.config import TrainConfig

STEPS = 12


@pytest.mark.slow
def test_a_run_goes_on_in_the_processes_of_the_machines_that_are_left(tmp_path: Path) -> None:
    """Two torchruns are two machines; that which does not keep the meeting is killed with its process."""
    changes = {"steps": STEPS, "checkpoint_every": 1, "keep_checkpoints": 99, "threads": 1}
    config, folder = write_config(tmp_path, run=changes), tmp_path / "run"
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    words = (
        *("torch.distributed.run", "--nnodes=1:2", "--nproc-per-node=1", "--max-restarts=3", "--rdzv-backend=c10d"),
        *("--rdzv-id=elastic", f"--rdzv-endpoint=localhost:{port}", "--rdzv-conf=last_call_timeout=15"),
        *("-m", "vs_train", "vid2vid", "--config", str(config), "--out", str(folder)),
    )
    with launched(*words) as first, launched(*words) as other:
        wait_for_step(folder, 2)
        assert {len(first.ranks()), len(other.ranks())} == {1}
        assert {int(v["WORLD_SIZE"]) for v in first.alive().values() if "WORLD_SIZE" in v} == {2}
        kill(other)
        said = first.ended()
    print(said)
    assert first.process.returncode == 0, said
    whole = load_config(TrainConfig, read_toml(config))
    run(whole, tmp_path / "alone")
    assert same(final(folder, STEPS), final(tmp_path / "alone", STEPS))
    assert lines(folder) == lines(tmp_path / "alone")


def kill(launch: Launch) -> None:
    for pid in launch.alive():
        os.kill(pid, signal.SIGKILL)
