"""How a step grows: points that are what they are called, and power laws that are found again."""

import itertools
import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from vs_bench.errors import VsBenchError
from vs_bench.harness import Case, Result, Series
from vs_bench.scaling import command
from vs_bench.scaling.exponents import fit_exponent
from vs_bench.scaling.memory import measure_memory
from vs_bench.scaling.picture import draw
from vs_bench.scaling.points import AXES, FRAMES, Point, points_of
from vs_config import ConfigError, resolve_config
from vs_training.config import TrainConfig
from vs_training.presets import read_preset

CPU = torch.device("cpu")
PRESET = resolve_config(TrainConfig, read_preset("street-tiny").document, (), "street-tiny")
POINTS = points_of(read_preset("street-tiny").document, ("precision.level=O0",), "street-tiny")


@given(power=st.floats(-2, 3), factor=st.floats(1e-3, 1e3))
def test_a_power_law_is_found_again(power: float, factor: float) -> None:
    amounts = (1, 2, 4, 8)
    exponent = fit_exponent(amounts, [factor * x**power for x in amounts])
    assert exponent.value == pytest.approx(power, abs=1e-6)
    assert exponent.high - exponent.low < 1e-5
    assert exponent.faster_than_linear == (exponent.low > 1)


def test_the_interval_says_how_well_the_points_fit() -> None:
    """Held against the textbook: Student's t of two degrees of freedom times the standard error of a slope."""
    x, y = (0.0, 1.0, 2.0, 3.0), (0.1, 0.9, 2.2, 2.8)
    slope, mean = 0.94, 1.5
    rest = sum((b - slope * (a - mean) - mean) ** 2 for a, b in zip(x, y, strict=True))
    error = math.sqrt(rest / 2 / sum((a - mean) ** 2 for a in x))
    found = fit_exponent([math.exp(a) for a in x], [math.exp(b) for b in y])
    assert (found.value, found.high - found.value) == pytest.approx((slope, 4.30265 * error), rel=1e-4)


def test_too_few_points_are_refused() -> None:
    with pytest.raises(ValueError, match="three points"):
        fit_exponent([1, 2], [1, 2])


def test_along_each_axis_one_thing_doubles_and_nothing_else_changes() -> None:
    for axis in AXES:
        points = [point for point in POINTS if point.axis == axis]
        assert [b.amount / a.amount for a, b in itertools.pairwise(points)] == [2, 2, 2]
        assert [point.name for point in points if point.factor == 1] == [f"{axis} {_base(points[0], axis)}"]
        for point in points:
            size = point.config.data.height * point.config.data.width
            assert size == (point.amount if axis == "pixels" else 64 * 128)
            assert point.config.loader.clips == (point.amount if axis == "batch" else PRESET.loader.clips)
            assert point.frames == (point.amount if axis == "length" else FRAMES)
            assert point.config.discriminator.image.filters == 16 * (point.factor if axis == "filters" else 1)


def _base(point: Point, axis: str) -> int:
    return {"pixels": 64 * 128, "batch": PRESET.loader.clips, "length": FRAMES, "filters": 16}[axis]


def test_a_wrong_configuration_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"loader\.batch_siz: unknown key"):
        points_of(read_preset("street-tiny").document, ("loader.batch_siz=1",), "street-tiny")


def test_the_command_measures_every_point_and_writes_what_it_found(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made: list[tuple[int, int]] = []

    def stepper(config: TrainConfig, frames: int, device: torch.device) -> Callable[[], None]:
        made.append((config.loader.clips, frames))
        return lambda: None

    def measured(cases: Sequence[Case], **_: object) -> Result:
        series = tuple(Series(name=case.name, seconds=(float(i),)) for i, case in enumerate(cases, start=1))
        return Result(unit=Series(name="unit", seconds=(1.0,)), cases=series, threads=1, device="cpu")

    monkeypatch.setattr(command, "measure", measured)
    monkeypatch.setattr(command, "stepper", stepper)
    monkeypatch.setattr(command, "measure_memory", lambda point, threads, device: 1000 * point.amount)
    monkeypatch.setattr(command, "folder_of", lambda store: tmp_path)
    command.main(rounds=1, threads=1)
    assert made == [(point.config.loader.clips, point.frames) for point in POINTS]
    found = json.loads((tmp_path / "scaling-street-tiny-cpu.json").read_text())
    assert found["axes"]["batch"]["amounts"] == [PRESET.loader.clips * factor for factor in (1, 2, 4, 8)]
    assert found["axes"]["length"]["exponents"]["bytes"]["value"] == pytest.approx(1)
    assert {"command", "measured_at", "machine"} <= found.keys()
    assert (tmp_path / "scaling-street-tiny-cpu.png").exists()
    assert "faster than linearly: " in capsys.readouterr().out
    with pytest.raises(VsBenchError, match="no overrides"):
        command.main("seed=1", store=True)


@pytest.mark.slow
def test_memory_of_a_step_grows_with_the_clip_by_little_more_than_its_tensors() -> None:
    small = resolve_config(TrainConfig, read_preset("street-tiny").document, ("precision.level=O0",), "")
    short, long = (
        measure_memory(Point(axis="length", factor=1, amount=n, config=small, frames=n), 1, CPU) for n in (4, 16)
    )
    if short is None or long is None:
        pytest.skip("this system does not say how much memory a process has had")
    assert long - short < 0.15 * short


def test_growth_is_told_and_drawn(tmp_path: Path) -> None:
    def seconds(point: Point) -> float:
        if point.axis == "length":
            return point.factor - 0.9  # the first frames take almost no time
        return float(point.factor ** (2 if point.axis == "filters" else 1))

    cases = tuple(Series(name=point.name, seconds=(seconds(point),)) for point in POINTS)
    result = Result(unit=Series(name="unit", seconds=(1.0,)), cases=cases, threads=1, device="cpu")
    sizes: list[int | None] = [round(1e9 * point.factor**0.5) for point in POINTS]
    axes = command.growth(POINTS, result, sizes)
    assert axes["filters"]["faster_than_linear"] == ["seconds"]
    assert axes["length"]["exponents"]["seconds"]["value"] == pytest.approx(1)
    assert axes["batch"]["exponents"]["bytes"]["value"] == pytest.approx(0.5, abs=1e-6)
    lines = command.sentences(axes)
    assert lines[-1] == "faster than linearly: time with filters"
    assert lines[0].startswith("with pixels to the power of: time 1.00 (1.00 to 1.00), memory 0.50")
    assert json.loads(json.dumps(axes)) == axes
    assert draw(axes, "a step", tmp_path / "a.png").stat().st_size > 10_000
    untold = command.growth(POINTS, result, [None] * len(POINTS))
    assert all("bytes" not in found for found in untold.values())
    draw(untold, "a step", tmp_path / "b.png")
