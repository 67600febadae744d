"""What a busy machine may cost, by hand-made figures; and processes that are begun and stopped."""

import json
import os
import time
from pathlib import Path

import psutil
import pytest
from vs_bench import busy
from vs_bench.busy import Situation, begin_work, end_work, losses_of, neighbours, only_said, ratio_of_rest
from vs_bench.errors import VsBenchError
from vs_bench.harness import Result, Series


@pytest.mark.parametrize(
    ("taken", "threads", "cores", "ratio"),
    [(0.0, 2, 2, 1.0), (1.0, 2, 2, 2.0), (0.5, 2, 2, 4 / 3), (1.0, 1, 2, 1.0), (2.0, 2, 8, 1.0), (1.0, 4, 2, 2.0)],
)
def test_work_takes_as_long_as_the_rest_of_the_cores_makes_it(
    taken: float, threads: int, cores: int, ratio: float
) -> None:
    assert ratio_of_rest(taken, threads, cores) == pytest.approx(ratio)


def test_losses_are_of_the_quickest_on_the_idle_machine_and_only_ours_has_to_keep_to_a_limit() -> None:
    seconds = {"PyTorch, 0 busy": 2.0, "PyTorch, 1 busy": 9.0, "ours, 0 busy": 1.0, "ours, 1 busy": 1.5}
    situations = [Situation(policy=name, neighbours=n) for name in ("PyTorch", "ours") for n in (0, 1)]
    cases = tuple(Series(name=name, seconds=(value,) * 3) for name, value in seconds.items())
    result = Result(unit=Series(name="unit", seconds=(0.1,) * 3), cases=cases, threads=2, device="cpu")
    losses = losses_of(result, situations, dict.fromkeys(seconds, 0.5), available=2)
    assert {name: loss["ratio"] for name, loss in losses.items()} == seconds
    assert losses["ours, 1 busy"]["allowed"] == pytest.approx(1.2 * 2 / 1.5)
    assert losses["PyTorch, 1 busy"]["allowed"] is None


def test_processes_are_told_what_their_policy_says_and_nothing_stays(monkeypatch) -> None:
    monkeypatch.setenv("GOMP_SPINCOUNT", "7")
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    told = {}
    for policy in busy.POLICIES:
        with only_said(policy):
            told[policy] = os.environ.get("GOMP_SPINCOUNT"), os.environ.get("OMP_WAIT_POLICY")
        assert (os.environ["GOMP_SPINCOUNT"], os.environ.get("OMP_WAIT_POLICY")) == ("7", None)
    brief = str(busy.tuning.SPINS), None
    assert told == {"PyTorch": (None, None), "passive": (None, "PASSIVE"), "ours": brief}


def test_neighbours_work_only_within_and_are_gone_afterwards() -> None:
    with neighbours(2) as others:
        first = psutil.Process(others[0].pid)
        before = first.cpu_times().user
        begin_work(others[:1])
        deadline = time.monotonic() + 20
        while first.cpu_times().user < before + 0.05:
            assert time.monotonic() < deadline
        end_work(others)
        assert psutil.Process(others[1].pid).status() == psutil.STATUS_STOPPED
        assert first.cpu_times().user > before
    assert not any(Path(f"/proc/{one.pid}").exists() for one in others)


def test_the_result_is_shown_and_kept(monkeypatch, tmp_path: Path, capsys) -> None:
    def measured(config, situations, **_: object):
        cases = tuple(Series(name=one.name, seconds=(1.0 + one.neighbours,) * 3) for one in situations)
        result = Result(unit=Series(name="unit", seconds=(0.1,) * 3), cases=cases, threads=2, device="cpu")
        return result, {one.name: 0.25 for one in situations}

    monkeypatch.setattr(busy, "measure_subject", measured)
    monkeypatch.setattr(busy, "folder_of", lambda store: tmp_path)
    busy.main(subject=("street-tiny",), policy=("ours",), neighbours=(1,))
    losses = json.loads((tmp_path / "busy-cpu.json").read_text())["subjects"]["street-tiny"]["losses"]
    assert {name: loss["ratio"] for name, loss in losses.items()} == {"ours, 0 busy": 1.0, "ours, 1 busy": 2.0}
    assert "ours, 1 busy" in capsys.readouterr().out


def test_only_the_whole_measurement_is_stored() -> None:
    with pytest.raises(VsBenchError, match="--store"):
        busy.main(frames=1, store=True)
