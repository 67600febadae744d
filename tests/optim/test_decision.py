"""The policy of a pair of networks: every decision, every bound, and a state that goes on where it was."""

import itertools
import json
from typing import Any, get_args

import attrs
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from vs_optim import (
    Decision,
    Finding,
    OverflowPolicy,
    Pair,
    Precision,
    ScalerConfig,
    ScaleState,
    ScalingState,
    StateError,
    both,
    count_replay,
    decide,
    initial_scaling,
    scaling_from_dict,
    scaling_to_dict,
)

HALF = Precision(level="O1", dtype=torch.float16, scaling=True)
PLAIN = Precision(level="O0", dtype=None, scaling=False)
FINDINGS: tuple[Finding, ...] = get_args(Finding)
POLICIES: tuple[OverflowPolicy, ...] = get_args(OverflowPolicy)
UPDATES = st.lists(st.tuples(*[st.sampled_from(["finite", "overflow"])] * 2), max_size=120)

Update = tuple[Finding, Finding]


@st.composite
def configs(draw: st.DrawFn) -> ScalerConfig:
    low, start, high = sorted(2.0 ** draw(st.integers(-4, 24)) for _ in range(3))
    return ScalerConfig(
        init_scale=start,
        min_scale=low,
        max_scale=high,
        growth_interval=draw(st.integers(1, 5)),
        growth_factor=draw(st.sampled_from([1.5, 2.0, 4.0])),
        backoff_factor=draw(st.sampled_from([0.25, 0.5, 0.7])),
        max_skips=draw(st.integers(1, 8)),
        max_replays=draw(st.integers(0, 3)),
        policy=draw(st.sampled_from(POLICIES)),
    )


def scaling(scale: float = 1024.0) -> ScalingState:
    return ScalingState(enabled=True, scales=both(lambda _: ScaleState(scale=scale)))


def play(config: ScalerConfig, state: ScalingState, updates: list[Update]) -> list[Decision]:
    """The decision on every attempt, until the updates are used up or training has diverged."""
    decisions: list[Decision] = []
    replays = 0
    for d, g in updates:
        decision = decide(config, state, Pair(discriminator=d, generator=g), replays=replays)
        decisions.append(decision)
        if decision.kind == "diverged":
            break
        state = decision.state
        replays = replays + 1 if decision.kind == "replay" else 0
    return decisions


# kind, D keeps, G steps, D's scale, G's scale, D's skips, G's skips, replays; from scale 1024, one replay allowed
TABLE: list[tuple[OverflowPolicy, Finding, Finding, int, tuple[Any, ...]]] = [
    ("independent", "finite", "finite", 0, ("good", True, True, 1024, 1024, 0, 0, 0)),
    ("independent", "overflow", "finite", 0, ("overflow", False, True, 512, 1024, 1, 0, 0)),
    ("independent", "finite", "overflow", 0, ("overflow", True, False, 1024, 512, 0, 1, 0)),
    ("independent", "overflow", "overflow", 0, ("overflow", False, False, 512, 512, 1, 1, 0)),
    ("generator_waits", "finite", "finite", 0, ("good", True, True, 1024, 1024, 0, 0, 0)),
    ("generator_waits", "overflow", "finite", 0, ("overflow", False, False, 512, 1024, 1, 1, 0)),
    ("generator_waits", "finite", "overflow", 0, ("overflow", True, False, 1024, 512, 0, 1, 0)),
    ("generator_waits", "overflow", "overflow", 0, ("overflow", False, False, 512, 512, 1, 1, 0)),
    ("paired", "finite", "finite", 0, ("good", True, True, 1024, 1024, 0, 0, 0)),
    ("paired", "finite", "finite", 1, ("good", True, True, 1024, 1024, 0, 0, 0)),
    ("paired", "overflow", "finite", 0, ("replay", False, False, 512, 1024, 0, 0, 1)),
    ("paired", "finite", "overflow", 0, ("replay", False, False, 1024, 512, 0, 0, 1)),
    ("paired", "overflow", "overflow", 0, ("replay", False, False, 512, 512, 0, 0, 1)),
    ("paired", "overflow", "finite", 1, ("overflow", False, False, 512, 1024, 1, 1, 0)),
    ("paired", "finite", "overflow", 1, ("overflow", False, False, 1024, 512, 1, 1, 0)),
    ("paired", "overflow", "overflow", 1, ("overflow", False, False, 512, 512, 1, 1, 0)),
]


@pytest.mark.parametrize(("policy", "d", "g", "replays", "expected"), TABLE)
def test_the_table(policy: OverflowPolicy, d: Finding, g: Finding, replays: int, expected: tuple[Any, ...]) -> None:
    config = ScalerConfig(policy=policy, max_replays=1)
    decision = decide(config, scaling(), Pair(discriminator=d, generator=g), replays=replays)
    new = decision.state
    assert expected == (
        decision.kind,
        decision.steps.discriminator,
        decision.steps.generator,
        new.scales.discriminator.scale,
        new.scales.generator.scale,
        new.scales.discriminator.skipped_total,
        new.scales.generator.skipped_total,
        new.replays_total,
    )
    assert decision.divergence is None


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize(("d", "g"), list(itertools.product(FINDINGS, FINDINGS)))
def test_divergence_outranks_every_overflow_and_changes_nothing(policy: OverflowPolicy, d: Finding, g: Finding) -> None:
    state, config = scaling(1.0), ScalerConfig(policy=policy)  # at the floor
    decision = decide(config, state, Pair(discriminator=d, generator=g))
    if d == g == "finite":
        assert decision.kind == "good"
        return
    assert (decision.kind, decision.steps.discriminator, decision.steps.generator) == ("diverged", False, False)
    assert decision.state == state
    assert decision.divergence is not None
    reason = "not_finite" if "not_finite" in (d, g) else "floor"
    guilty = {"not_finite": "not_finite", "floor": "overflow"}[reason]
    assert (decision.divergence.reason, decision.divergence.network) == (
        reason,
        "discriminator" if d == guilty else "generator",
    )


@pytest.mark.parametrize("policy", POLICIES)
def test_without_scaling_an_overflow_is_divergence(policy: OverflowPolicy) -> None:
    state, config = initial_scaling(ScalerConfig(), PLAIN), ScalerConfig(policy=policy, growth_interval=1)
    assert (state.scales.generator.scale, state.scales.discriminator.scale) == (1.0, 1.0)
    good = decide(config, state, Pair(discriminator="finite", generator="finite"))
    assert (good.kind, good.state) == ("good", state)  # and no scale ever grows
    bad = decide(config, state, Pair(discriminator="finite", generator="overflow"))
    assert bad.divergence is not None
    assert (bad.divergence.reason, bad.divergence.network) == ("floor", "generator")


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("d", ["overflow", "finite"])
def test_so_many_skips_in_a_row_are_divergence_and_a_step_in_between_is_not(policy: OverflowPolicy, d: Finding) -> None:
    config = ScalerConfig(policy=policy, max_skips=3, max_replays=0)
    g: Finding = "overflow" if d == "finite" else "finite"
    kinds = [decision.kind for decision in play(config, scaling(), [(d, g)] * 5)]
    assert kinds == ["overflow", "overflow", "diverged"]
    broken = play(config, scaling(), [(d, g), (d, g), ("finite", "finite"), (d, g), (d, g)])
    assert [decision.kind for decision in broken] == ["overflow", "overflow", "good", "overflow", "overflow"]
    last = play(config, scaling(), [(d, g)] * 3)[-1]
    assert last.divergence is not None
    network = "discriminator" if d == "overflow" or policy == "paired" else "generator"
    assert (last.divergence.reason, last.divergence.network) == ("skips", network)


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("finding", ["finite", "overflow"])
def test_a_network_that_is_not_updated_keeps_its_state(policy: OverflowPolicy, finding: Finding) -> None:
    state = scaling()
    for replays in (0, 9):
        config = ScalerConfig(policy=policy, growth_interval=1)
        decision = decide(config, state, Pair(discriminator=None, generator=finding), replays=replays)
        assert decision.state.scales.discriminator == state.scales.discriminator
        assert not decision.steps.discriminator
        assert decision.steps.generator == (finding == "finite")


@given(configs(), UPDATES)
def test_scales_keep_their_bounds_and_counts_add_up(config: ScalerConfig, updates: list[Update]) -> None:
    decisions = play(config, initial_scaling(config, HALF), updates)
    before = initial_scaling(config, HALF)
    for (d, g), decision in zip(updates, decisions, strict=False):
        for finding, old, new in (
            (d, before.scales.discriminator, decision.state.scales.discriminator),
            (g, before.scales.generator, decision.state.scales.generator),
        ):
            assert config.min_scale <= new.scale <= config.max_scale
            assert new.scale <= old.scale if finding == "overflow" else new.scale >= old.scale
            assert new.good_steps < config.growth_interval
            assert new.skips_in_row < config.max_skips
        assert not (decision.steps.discriminator and d != "finite")  # nobody ever steps with an overflow
        assert not (decision.steps.generator and g != "finite")
        if config.policy == "paired":
            assert decision.steps.discriminator == decision.steps.generator
        before = decision.state
    kinds = [decision.kind for decision in decisions]
    assert before.replays_total == kinds.count("replay")
    done = [decision for decision in decisions if decision.kind in ("good", "overflow")]
    assert before.scales.generator.skipped_total == sum(not decision.steps.generator for decision in done)
    assert before.scales.discriminator.skipped_total == sum(not decision.steps.discriminator for decision in done)


@given(configs(), st.integers(0, 3), st.integers(0, 3), st.sampled_from(POLICIES))
def test_a_pair_recovers_from_any_overflow_that_a_smaller_scale_cures(
    config: ScalerConfig, d_room: int, g_room: int, policy: OverflowPolicy
) -> None:
    """Each network overflows at every scale above a threshold of its own that is not below the floor."""
    config = attrs.evolve(config, policy=policy, max_skips=400, growth_interval=50)
    limits = {"d": config.min_scale * 2.0**d_room, "g": config.min_scale * 2.0**g_room}
    state, replays, steps = initial_scaling(config, HALF), 0, 0
    for _ in range(300):
        found: dict[str, Finding] = {
            "d": "overflow" if state.scales.discriminator.scale > limits["d"] else "finite",
            "g": "overflow" if state.scales.generator.scale > limits["g"] else "finite",
        }
        decision = decide(config, state, Pair(discriminator=found["d"], generator=found["g"]), replays=replays)
        assert decision.kind != "diverged"
        state, replays = decision.state, replays + 1 if decision.kind == "replay" else 0
        steps += decision.steps.generator and decision.steps.discriminator
    assert steps > 150


@given(configs(), UPDATES, st.data())
def test_a_state_that_was_saved_in_the_middle_goes_on_as_if_it_had_not_been(
    config: ScalerConfig, updates: list[Update], data: st.DataObject
) -> None:
    """Also in the middle of back-off, and through JSON. Saving happens between updates, never between replays."""
    start = initial_scaling(config, HALF)
    whole = play(config, start, updates)
    ends = [0, *(i + 1 for i, decision in enumerate(whole) if decision.kind in ("good", "overflow"))]
    cut = data.draw(st.sampled_from(ends))
    state = whole[cut - 1].state if cut else start
    loaded = scaling_from_dict(start, json.loads(json.dumps(scaling_to_dict(state))))
    assert loaded == state
    assert play(config, loaded, updates[cut:]) == whole[cut:]


def test_a_replay_for_another_reason_is_counted_and_nothing_else() -> None:
    state = attrs.evolve(scaling(), replays_total=3)
    assert count_replay(state) == attrs.evolve(state, replays_total=4)
    assert state.replays_total == 3


@given(configs())
def test_the_modes_agree_while_nothing_overflows(config: ScalerConfig) -> None:
    good: list[Update] = [("finite", "finite")] * 30
    start = initial_scaling(config, HALF)
    states = [play(attrs.evolve(config, policy=policy), start, good)[-1].state for policy in POLICIES]
    assert states[0] == states[1] == states[2]


def test_with_scaling_off_only_the_counts_of_a_saved_state_are_taken_over() -> None:
    state = ScalingState(
        enabled=True,
        scales=Pair(
            generator=ScaleState(scale=64.0, good_steps=3, skips_in_row=1, skipped_total=5),
            discriminator=ScaleState(scale=32.0, good_steps=2, skipped_total=1),
        ),
        replays_total=4,
    )
    loaded = scaling_from_dict(initial_scaling(ScalerConfig(), PLAIN), scaling_to_dict(state))
    assert loaded.scales.generator == ScaleState(scale=1.0, skips_in_row=1, skipped_total=5)
    assert (loaded.scales.discriminator.skipped_total, loaded.replays_total, loaded.enabled) == (1, 4, False)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda saved: saved.pop("generator"), "expected the keys"),
        (lambda saved: saved.update(extra=1), "expected the keys"),
        (lambda saved: saved["generator"].pop("scale"), "of the generator: expected the keys"),
        (lambda saved: saved["discriminator"].update(scale=0.0), "of the discriminator: expected a finite scale > 0"),
        (lambda saved: saved["generator"].update(scale=float("inf")), "expected a finite scale > 0"),
        (lambda saved: saved.update(generator=7), "expected a table of numbers"),
    ],
)
def test_a_foreign_state_is_refused(change: Any, message: str) -> None:
    saved = scaling_to_dict(scaling())
    change(saved)
    with pytest.raises(StateError, match=message):
        scaling_from_dict(scaling(), saved)
