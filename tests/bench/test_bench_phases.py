"""Where a step's time goes: phases that do not overlap, found without a change of what is computed, and profiles."""

import json
import time

import attrs
import pytest
import torch
import vs_nets
import vs_training.update
from torch import nn
from torch.utils.flop_counter import FlopCounterMode
from toy_runs import FEW_SHOT, STREET
from vs_bench.__main__ import main
from vs_bench.step import command, phases, profile
from vs_bench.step.stepper import stepper
from vs_bench.step.subject import How
from vs_training.networks import build_state

CPU = torch.device("cpu")
FACE = attrs.evolve(
    FEW_SHOT,
    objective=attrs.evolve(FEW_SHOT.objective, perceptual=vs_nets.RandomPerceptual(width_divisor=16, scales=1)),
    discriminator=attrs.evolve(
        FEW_SHOT.discriminator, image=attrs.evolve(FEW_SHOT.discriminator.image, spectral_norm=True)
    ),
)
PAUSE = 0.05


def test_a_phase_within_another_is_not_counted_twice():
    times = iter([0.0, 1.0, 3.0, 7.0, 15.0, 31.0, 31.0])
    watch = phases.Stopwatch(clock=lambda: next(times))
    with watch.during("outer"):
        with watch.during("inner"):
            pass
        watch.lap("half of outer")
    assert watch.seconds == {phases.REST: 1.0, "outer": 2.0 + 16.0, "inner": 4.0, "half of outer": 8.0}


@pytest.fixture
def states(monkeypatch):
    """Return the list of the states that steppers are built with."""
    built = []

    def remembered(*given):
        state, notes = build_state(*given)
        built.append(state)
        return state, notes

    monkeypatch.setitem(stepper.__globals__, "build_state", remembered)
    return built


def test_all_phases_of_a_step_are_found_and_are_all_of_it():
    step = stepper(FACE, 2, CPU)
    step()
    begun = time.perf_counter()
    found = phases.phases_of(step, CPU, rounds=1)
    took = time.perf_counter() - begun
    assert list(found) == list(phases.PHASES)
    assert 0.8 * took < sum(found.values()) <= took


def test_watching_changes_nothing(states):
    plain, watched = (stepper(FACE, 2, CPU) for _ in range(2))
    plain()
    phases.phases_of(watched, CPU, rounds=1)
    one, other = (state.generator.state_dict() for state in states)
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert phases.phases_of(lambda: None, CPU, rounds=1).keys() <= {phases.REST}
    assert vs_training.update.update_ema.__module__ == "vs_training.update"
    assert not hasattr(vs_training.update.update_ema, "__wrapped__")


class Slow(torch.autograd.Function):
    """A pause in the backward pass."""

    @staticmethod
    def forward(_, x):
        return x.clone()

    @staticmethod
    def backward(_, gradient):
        time.sleep(PAUSE)
        return gradient


def test_time_of_the_way_back_is_that_of_the_network_that_takes_it(states, monkeypatch):
    step = stepper(FACE, 1, CPU)
    (state,) = states
    step()
    original = vs_nets.discriminate_frame

    def slowly(discriminator, real, synthesis, *given):
        return original(discriminator, real, attrs.evolve(synthesis, frame=Slow.apply(synthesis.frame)), *given)

    monkeypatch.setattr(vs_nets, "discriminate_frame", slowly)
    next(state.generator.parameters()).register_hook(lambda _: time.sleep(2 * PAUSE))
    after = phases.phases_of(step, CPU, rounds=1)
    assert after[phases.G_DISCRIMINATOR_BACKWARD] >= PAUSE
    assert after[phases.G_BACKWARD] >= 2 * PAUSE


def test_time_of_a_phase_is_found_in_it(monkeypatch):
    step, original = stepper(STREET, 1, CPU), vs_training.update.update_ema
    monkeypatch.setattr(vs_training.update, "update_ema", lambda *given: (time.sleep(PAUSE), original(*given)))
    found = phases.phases_of(step, CPU, rounds=1)
    assert found[phases.AVERAGE] >= PAUSE


def small_step():
    layer, matrix = nn.Conv2d(3, 4, 3), torch.randn(5, 6)
    image = torch.randn(2, 3, 8, 8, requires_grad=True)

    def step():
        layer(image).sum().backward()
        matrix @ matrix.t().contiguous()

    return step


def test_a_profile_knows_the_work_of_convolutions_and_products():
    step = small_step()
    with FlopCounterMode(display=False) as counter:
        step()
    found = profile.profile_of(step, CPU)
    counted = {row.name: (row.calls, row.flop) for row in found.operators if row.flop is not None}
    by_name = {str(packet).removeprefix("aten."): flop for packet, flop in counter.get_flop_counts()["Global"].items()}
    assert counted == {name: (1, flop) for name, flop in by_name.items()}
    assert {"convolution", "convolution_backward", "mm"} == set(counted)
    assert {row.name for row in found.layers} >= {"mm 5x6 6x5", "convolution 2x3x8x8 4x3x3x3 4"}
    assert sum(row.seconds for row in found.layers) <= sum(row.seconds for row in found.operators)
    assert found.copies >= 1


def test_copies_and_allocations_are_counted():
    x = torch.randn(4, 5)
    assert profile.profile_of(lambda: x.t().contiguous(), CPU).copies == 1
    assert profile.profile_of(lambda: [torch.empty(3) for _ in range(7)], CPU).allocations == 7


def test_what_bounds_a_step_is_told_by_its_products_and_by_the_calls_of_the_rest():
    rows = (
        profile.Row(name="mm", calls=2, seconds=3.0, flop=4 * 10**9),
        profile.Row(name="add", calls=400, seconds=0.75, flop=None),
        profile.Row(name="copy_", calls=100, seconds=0.25, flop=None),
    )
    step = profile.Profile(operators=rows, layers=rows[:1], copies=100, allocations=0, page_faults=0)
    bounds = profile.bounds_of(step, peak=2e9)
    assert (bounds.products, bounds.of_peak, bounds.floor) == (0.75, pytest.approx(2 / 3), 0.5)
    assert (bounds.others, bounds.seconds_of_others) == (500, 0.002)


def test_a_profile_of_a_step_is_printed_within_bounds_and_recorded(capsys):
    how = How(levels=("O0",), rounds=1, threads=1, device=CPU)
    record = json.loads(json.dumps(command.profile_levels(STREET, "a street", 1, how)))["levels"]["O0"]
    assert max(map(len, capsys.readouterr().out.splitlines())) <= 160
    assert {"convolution", "convolution_backward"} <= {row["name"] for row in record["operators"]}
    assert record["copies"] > 0
    assert record["peak_flop_per_second"] > 0


@pytest.mark.parametrize("options", [("--profile", "--impl", "reference"), ("--profile", "--against", "HEAD")])
def test_two_kinds_of_measurement_are_refused(options, capsys):
    assert main(["step", *options]) == 2
    assert "measure one after the other" in capsys.readouterr().err
