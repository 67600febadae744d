"""The level of precision `auto`: settled when a run begins, and kept by the run wherever it goes on."""

from pathlib import Path

import pytest
import torch
from faults import run, run_config
from vs_runtime.run_directory import RunDirectory, read_run_config
from vs_training.config import TrainConfig

STEPS = {"checkpoint_every": 1, "sample_every": 9}


@pytest.mark.parametrize(("kernels", "level"), [(True, "O1"), (False, "O0")])
def test_a_run_keeps_the_level_that_its_first_machine_settled(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, kernels: bool, level: str
) -> None:
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: kernels, raising=False)
    _, began = run(run_config(precision={"level": "auto"}, run={**STEPS, "steps": 1}), tmp_path / "run")
    assert any(message.startswith(f"precision.level=auto: {level}, since") for message in began.messages)
    kept = read_run_config(RunDirectory(tmp_path / "run"), TrainConfig)
    assert kept.precision.level == level

    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: not kernels, raising=False)
    result, went_on = run(
        run_config(precision={"level": kept.precision.level}, run={**STEPS, "steps": 2}), tmp_path / "run", resume=True
    )
    assert result.finished
    assert any(message.startswith(f"{level}: ") for message in went_on.messages)
