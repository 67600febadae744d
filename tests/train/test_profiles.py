"""Profiles of some steps of a run."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
import torch
import vs_runtime as runtime
from faults import final, lines, run, run_config, same
from vs_runtime.run_directory import RunDirectory
from vs_train import shortage
from vs_training.errors import VsTrainingError


def events(path: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(gzip.decompress(path.read_bytes()))["traceEvents"]
    return found


def test_a_profile_of_some_steps_changes_no_bit_and_goes_on_after_a_resume(tmp_path: Path) -> None:
    short = {"steps": 2, "checkpoint_every": 1, "sample_every": 9}
    run(run_config(run={**short, "steps": 3}), tmp_path / "plain")
    _, watch = run(run_config(run={**short, "profile_steps": [2, 2]}), tmp_path / "run")
    (first,) = (tmp_path / "run" / "profile").iterdir()
    assert first.name == "steps-00000002-00000002.json.gz"
    assert any(str(first) in message for message in watch.messages)
    assert any("convolution" in event.get("name", "") for event in events(first))
    run(run_config(run={**short, "steps": 3, "profile_steps": [1, 3]}), tmp_path / "run", resume=True)
    assert sorted(path.name for path in (tmp_path / "run" / "profile").iterdir()) == [
        "steps-00000002-00000002.json.gz",
        "steps-00000003-00000003.json.gz",
    ]
    assert lines(tmp_path / "run") == lines(tmp_path / "plain")
    assert same(final(tmp_path / "run", 3), final(tmp_path / "plain", 3))


def test_memory_that_is_too_small_is_told_with_what_the_gpu_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = {"segments": [{"device": 0, "total_size": 2**21, "blocks": []}], "device_traces": [[]]}
    monkeypatch.setattr(torch.cuda.memory, "_snapshot", lambda: held)
    with pytest.raises(VsTrainingError) as caught, shortage.memory_explained(run_config(), RunDirectory(tmp_path)):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
    message = str(caught.value)
    path = tmp_path / "memory-rank-0.json.gz"
    assert message.endswith(f"hatch run train:plan {tmp_path / 'config.toml'}; what the GPU held is in {path}")
    assert json.loads(gzip.decompress(path.read_bytes())) == held


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory")])
def test_of_the_memory_of_the_computer_there_is_no_snapshot(tmp_path: Path, error: Exception) -> None:
    assert runtime.is_out_of_memory(error)
    explained = shortage.memory_explained(run_config(), RunDirectory(tmp_path / "none"))
    with (
        pytest.raises(VsTrainingError, match=r"the memory of this computer .* hatch run train:plan") as caught,
        explained,
    ):
        raise error
    assert "GPU" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []
