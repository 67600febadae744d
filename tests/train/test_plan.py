"""Plans of runs, through the real command line, and batch sizes that are chosen by them."""

import json
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest
import vs_runtime as runtime
from faults import run, run_config
from vs_train.cli import main
from vs_train.planning import fitting, probe
from vs_train.planning.automatic import MOST_CLIPS
from vs_train.planning.probe import Probe, observe, probe_length
from vs_training.config import TrainConfig
from vs_training.forecast import ClipSize, FrameTimes, Observation, fit_memory

MIB = 2**20
CONSTANT, OF_A_CLIP = 500 * MIB, 100 * MIB
CLIP = ClipSize(fixed=0, per_frame=MIB)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def probes(monkeypatch: pytest.MonkeyPatch) -> list[Probe]:
    """Probes that take no time: of a machine that holds 16 clips of four frames, and the reserve."""
    made: list[Probe] = []

    def answer(question: Probe) -> Observation:
        made.append(question)
        batch, length = question.config.loader.clips, probe_length(question.config)
        of_a_clip = OF_A_CLIP // {"none": 1, "blocks": 2, "all": 4}[question.config.memory.checkpoint]
        peak = CONSTANT + batch * (of_a_clip // question.config.memory.micro_batches + length * MIB)
        if question.memory is not None and peak > question.memory:
            raise MemoryError
        times = FrameTimes(first=0.1 * batch, later=0.2 * batch, open=0.01 * batch, read=0.02 * batch)
        return Observation(batch=batch, length=length, peak=peak, clip=CLIP, times=times)

    monkeypatch.setattr(fitting, "observe", answer)
    room = runtime.Room(total=2500 * MIB, free=CONSTANT + 16 * 104 * MIB + 250 * MIB)
    monkeypatch.setattr(runtime, "memory_of", lambda device: room)
    return made


def plan(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, list[str]]:
    capsys.readouterr()
    status = main(["plan", *arguments])
    output = capsys.readouterr()
    return status, output.out, [line for line in output.err.splitlines() if line.startswith("error: ")]


def test_a_plan_says_what_was_measured_in_words_and_as_json(
    here: Path, probes: list[Probe], capsys: pytest.CaptureFixture[str]
) -> None:
    status, output, errors = plan(capsys, "street-tiny", "loader.batch_size=2", "--json")
    assert (status, errors) == (0, [])
    found = json.loads(output)
    assert {way["checkpoint"]: way["largest"] for way in found["memory"]} == {"none": 16, "blocks": 30, "all": 57}
    assert found["memory"][0]["bytes_by_batch"]["8"] == CONSTANT + 8 * 104 * MIB
    assert [(stage["start"], stage["stop"], stage["length"]) for stage in found["stages"]] == [
        (0, 260, 1),
        (260, 520, 4),
    ]
    one, four = 2 * (0.1 + 0.01 + 0.02), 2 * (0.1 + 3 * 0.2 + 0.01 + 4 * 0.02)
    assert found["seconds"] == pytest.approx(260 * one + 260 * four)
    assert found["images"] == 2 * (260 + 4 * 260)
    assert [(p.config.loader.batch_size, p.config.memory.checkpoint) for p in probes] == [
        (1, "none"),
        (2, "none"),
        (2, "blocks"),
        (2, "all"),
    ]
    status, output, errors = plan(capsys, "--preset", "street-tiny", "loader.batch_size=2")
    assert (status, errors) == (0, [])
    for part in ("parameters", "checkpoint=blocks", "1.3 GiB", "520 steps with batch 2: 2,600 frames", "/dev/shm"):
        assert part in output


@pytest.mark.parametrize(
    ("overrides", "batch"),
    [
        ((), 16),
        (("memory.checkpoint=all",), MOST_CLIPS),
        (("memory.micro_batches=5",), MOST_CLIPS // 5 * 5),
        (("loader.workers=4", "loader.prefetch=16"), 4),
    ],
)
def test_auto_is_the_largest_batch_that_fits_within_bounds_and_in_equal_parts(
    here: Path, probes: list[Probe], capsys: pytest.CaptureFixture[str], overrides: tuple[str, ...], batch: int
) -> None:
    _, output, errors = plan(capsys, "street-tiny", "loader.batch_size=auto", *overrides, "--json")
    assert errors == []
    found = json.loads(output)
    assert (found["batch"], found["chosen"]) == (batch, True)


@pytest.mark.parametrize(
    ("overrides", "travelling", "kept"),
    [
        ((), 1, 0),
        (("distributed.shard_optimizer=true",), 1, 1),
        (("distributed.reduce=ordered", "memory.micro_batches=4"), 2, 0),
    ],
)
def test_of_several_processes_one_is_measured_and_what_they_share_is_counted(
    here: Path,
    probes: list[Probe],
    capsys: pytest.CaptureFixture[str],
    overrides: tuple[str, ...],
    travelling: int,
    kept: int,
) -> None:
    """Gradients of G are there twice, or once more for each of its parts; of two processes each keeps one half."""
    words = ("street-tiny", "loader.batch_size=4", *overrides, "--processes", "2", "--device", "cpu")
    status, output, errors = plan(capsys, *words, "--json")
    assert (status, errors) == (0, [])
    found = json.loads(output)
    counts = found["counts"]
    shared = 2 * (counts["generator"] + counts["discriminator"]) + counts["ema"]
    added = 4 * (travelling * counts["generator"] - kept * shared / 2)
    own = probes[0].config
    parts = own.memory.micro_batches
    assert (parts, own.run.threads) == (2 if travelling == 2 else 1, max(1, len(runtime.allowed_cpus()) // 2))
    assert [p.config.loader.batch_size for p in probes] == [parts, 2 * parts, 2 * parts, 2 * parts]
    of_each = OF_A_CLIP // parts + 4 * MIB
    assert found["memory"][0]["bytes_by_batch"]["4"] == pytest.approx(CONSTANT + added + 2 * of_each, abs=2)
    half = (CONSTANT + 16 * 104 * MIB) // 2  # each may take half of what the machine has free
    assert found["memory"][0]["largest"] == max(0, int((half - CONSTANT - added) // of_each) // parts * parts * 2)
    company = found["company"]
    assert (company["clips"], found["batch"], found["images"]) == (2, 4, 4 * (260 + 4 * 260))
    one, four = 2 * (0.1 + 0.01 + 0.02), 2 * (0.1 + 3 * 0.2 + 0.01 + 4 * 0.02)
    waited = company["exposed_seconds"] * (260 + 4 * 260)
    assert waited > 0
    assert found["seconds"] == pytest.approx(260 * one + 260 * four + waited)
    status, output, _ = plan(capsys, *words)
    assert "2, each with 2 clips of a batch" in output


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["street-tiny", "loader.batch_size=3", "--processes", "2"], ["loader.batch_size: expected a multiple of 2"]),
        (["street-tiny", "--processes", "0"], ["--processes: expected a whole number from 1"]),
        (["street-tinny"], ["there is no preset 'street-tinny'", "street-tiny"]),
        (["nowhere.toml"], ["nowhere.toml"]),
        (["street-tiny", "generator.filters=many", "data.height=-4"], ["generator.filters", "data.height"]),
        (["street-tiny", "--config", "x.toml"], ["--preset and --config exclude each other"]),
        (["street-tiny", "--probe"], ["Unknown option: --probe"]),
        (["street-tiny", "loader.batch_size=large"], ["a whole number from 1 to 4096 or 'auto', got 'large'"]),
        (["street-tiny", "generator.filters=16384", "generator.max_filters=16384"], ["at least", "lower filters"]),
        (["street-tiny", "data.kind=folder", "data.root=nowhere"], ["nowhere"]),
    ],
)
def test_wrong_input(
    here: Path, probes: list[Probe], capsys: pytest.CaptureFixture[str], arguments: list[str], parts: list[str]
) -> None:
    status, output, errors = plan(capsys, *arguments)
    assert (status, output) == (2, "")
    assert all(any(part in line for line in errors) for part in parts), errors
    assert probes == []


def test_a_machine_that_holds_no_batch_is_told_in_one_line_with_what_to_lower(
    here: Path, probes: list[Probe], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(runtime, "memory_of", lambda device: runtime.Room(total=2**33, free=2**30))
    for arguments in (["street-tiny"], ["street-tiny", "loader.batch_size=auto"]):
        status, output, errors = plan(capsys, *arguments)
        assert (status, output, len(errors)) == (2, "", 1)
        assert "memory does not hold a step on a single clip" in errors[0]
        assert "memory.checkpoint=all" in errors[0]


def test_without_probes_what_can_be_counted_is_said(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, output, _ = plan(capsys, "faces-tiny", "--no-probe", "--json", "--device", "cpu")
    found = json.loads(output)
    assert (status, found["memory"], found["seconds"], found["device"]) == (0, [], None, "cpu")
    assert [stage["flow_alone"] for stage in found["stages"]][:2] == [True, False]
    assert found["counts"]["generator"] == found["counts"]["ema"] > 10**5
    status, output, _ = plan(capsys, "faces-tiny", "--no-probe")
    assert (status, "not measured" in output) == (0, True)


def test_a_run_keeps_the_batch_that_was_chosen(probes: list[Probe], tmp_path: Path) -> None:
    config = run_config(
        loader={"batch_size": "auto", "workers": 0}, run={"steps": 1, "checkpoint_every": 1, "sample_every": 1}
    )
    room = CONSTANT + 2 * 104 * MIB + 250 * MIB + MIB
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runtime, "memory_of", lambda device: runtime.Room(total=2500 * MIB, free=room))
        _, began = run(config, tmp_path / "run")
    assert (
        sum(line.startswith("loader.batch_size=auto: 2; the longest clips need about") for line in began.messages) == 1
    )
    kept = tomllib.loads((tmp_path / "run" / "config.toml").read_text())
    assert kept["loader"]["batch_size"] == 2


def tiny(batch: int, **memory: Any) -> TrainConfig:
    config = run_config(memory=memory, loader={"batch_size": batch}, data={"height": 96, "width": 192})
    return attrs.evolve(config, run=attrs.evolve(config.run, threads=1))


def test_the_probe_of_a_step_says_what_it_took() -> None:
    seen = probe.observe_here(Probe(config=tiny(2)))
    assert (seen.batch, seen.length) == (2, probe_length(tiny(2)))
    assert seen.clip.bytes_of(3) > 3 * 96 * 192 * 3 * 4
    assert min(seen.times.first, seen.times.later, seen.times.open) > 0


@pytest.mark.slow
@pytest.mark.parametrize("memory", [{}, {"checkpoint": "all"}, {"micro_batches": 2}], ids=str)
def test_the_model_of_memory_is_within_15_percent_of_what_other_batches_take(memory: dict[str, Any]) -> None:
    parts = memory.get("micro_batches", 1)
    small, large, *others = (observe(Probe(config=tiny(parts * batch, **memory))) for batch in (1, 2, 5, 8))
    model = fit_memory(small, large)
    if model is None:
        pytest.skip("this system does not say how much memory a process has had")
    for other in others:
        assert other.peak == pytest.approx(model.bytes_of(other.batch, other.length), rel=0.15)
        beside = other.peak - model.constant  # type: ignore[operator]
        assert beside == pytest.approx(model.bytes_of(other.batch, other.length) - model.constant, rel=0.25)
