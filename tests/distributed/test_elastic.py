"""Elastic torchrun: a machine that leaves takes its processes along, and the run goes on in fewer."""

import os
import signal
import socket
from pathlib import Path

import pytest
from commands import write_config
from faults import final, lines, run, same
from launches import launched, wait_for_step
from vs_config import load_config, read_toml
from vs_training.config import TrainConfig

STEPS = 12


@pytest.mark.slow
@pytest.mark.parametrize("lost", ["machine", "process"])
def test_a_run_goes_on_in_the_processes_of_the_machines_that_are_left(tmp_path: Path, lost: str) -> None:
    """Two torchruns are two machines; that which does not keep the meeting is killed, or its process alone.

    Each counts its own restarts: a process that is lost counts as one there, and not on the other machine. (How the
    other torchrun ends is left to it: the meeting may be gone before it has looked for the last time.)
    """
    changes = {"steps": STEPS, "checkpoint_every": 1, "keep_checkpoints": 99, "threads": 1}
    config, folder = write_config(tmp_path, run=changes), tmp_path / "run"
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]

    def words(is_host: str) -> tuple[str, ...]:
        """Return a machine's command line: of two on one, either would keep the meeting if it came first."""
        return (
            *("torch.distributed.run", "--nnodes=1:2", "--nproc-per-node=1", "--max-restarts=3", "--rdzv-backend=c10d"),
            *("--rdzv-id=elastic", f"--rdzv-endpoint=localhost:{port}"),
            f"--rdzv-conf=last_call_timeout=15,is_host={is_host}",
            *("-m", "vs_train", "vid2vid", "--config", str(config), "--out", str(folder)),
        )

    with launched(*words("true")) as first, launched(*words("false")) as other:
        wait_for_step(folder, 2)
        (process,) = other.ranks().values()
        assert other.alive()[process]["WORLD_SIZE"] == "2"
        for pid in other.alive() if lost == "machine" else [process]:
            os.kill(pid, signal.SIGKILL)
        said = first.ended()
    assert first.process.returncode == 0, said
    assert "holds a run already" not in said
    run(load_config(TrainConfig, read_toml(config)), tmp_path / "alone")
    assert same(final(folder, STEPS), final(tmp_path / "alone", STEPS))
    assert lines(folder) == lines(tmp_path / "alone")
