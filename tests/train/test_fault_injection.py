"""An inf or NaN put anywhere, at any step: the run goes on or stops as the policy says, and nothing is lost."""

import math
import random
import re
import shutil
from pathlib import Path
from typing import Any

import attrs
import pytest
import torch
import vs_nets as nets
import vs_optim as optim
import vs_runtime as runtime
from faults import (
    PLACES,
    POLICIES,
    SCALED,
    GradientFault,
    cloned,
    counts,
    everything,
    final,
    held,
    lines,
    network_of,
    run,
    run_config,
    same,
    scaled_setup,
    spoil_loss,
    spoil_weight,
    train_single_frames,
)
from test_step import setup, street_clip
from torch import nn
from vs_optim import Network, OverflowPolicy
from vs_train.numbers import named_losses
from vs_training import step as step_module
from vs_training import update as updates
from vs_training.errors import NonFiniteError
from vs_training.state import TrainState
from vs_training.step import train_clip


@pytest.fixture
def scaled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the configuration says, losses are scaled and computed in float32."""
    monkeypatch.setattr(optim, "resolve_precision", lambda *_: SCALED)


# One frame at a time


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("places", PLACES, ids="+".join)
def test_a_skipped_network_is_bit_for_bit_what_it_was_and_the_run_goes_on(
    monkeypatch: pytest.MonkeyPatch, policy: OverflowPolicy, places: tuple[Network, ...]
) -> None:
    state, recipe = scaled_setup(policy=policy, max_replays=0)
    draw = random.Random(f"{policy} {places}")
    at, bad = draw.randrange(3), draw.choice([math.inf, -math.inf, math.nan])
    for network in places:
        GradientFault(monkeypatch, network, [at], bad=bad, seed=draw.randrange(99))
    d_steps = "discriminator" not in places and policy != "paired"
    g_steps = places == ("discriminator",) and policy == "independent"
    clip = street_clip(1)
    for number in range(3):
        before, average = {network: held(state, network) for network in PLACES[2]}, cloned(state.generator_ema)
        state, report = train_clip(state, clip, recipe)
        d_moves, g_moves = (d_steps, g_steps) if number == at else (True, True)
        assert same(before["discriminator"], held(state, "discriminator")) == (not d_moves)
        assert same(before["generator"], held(state, "generator")) == (not g_moves)
        assert same(average, cloned(state.generator_ema)) == (not g_moves)
        assert {name for name, norm in report.gradient_norms.items() if norm is not None} == set(PLACES[2]) - (
            set(places) if number == at else set()
        )
        assert all(math.isfinite(value) for value in named_losses(report.losses).values())
    lowered = {network: 2.0**9 if network in places else 2.0**10 for network in PLACES[2]}
    assert counts(state) == (lowered["discriminator"], lowered["generator"], not d_steps, not g_steps, 0)
    assert (state.step, state.updates) == (3, 3)


@pytest.mark.parametrize("places", PLACES, ids="+".join)
@pytest.mark.parametrize("parts", [1, 2])
def test_a_replayed_frame_is_the_frame_without_the_fault(
    monkeypatch: pytest.MonkeyPatch, places: tuple[Network, ...], parts: int
) -> None:
    """Also the frames after it, which see it in their past; but for the scale, which is a power of two."""
    clip, memory = street_clip(3), {"loader": {"batch_size": 2}, "memory": {"micro_batches": parts}}
    clean, recipe = scaled_setup(memory, policy="paired")
    clean_reports = []
    for _ in range(2):
        clean, report = train_clip(clean, clip, recipe)
        clean_reports.append(report)
    draw = random.Random(f"{parts} {places}")
    at, bad = draw.randrange(6), draw.choice([math.inf, math.nan])
    faults = [GradientFault(monkeypatch, network, [at], bad=bad, seed=draw.randrange(99)) for network in places]
    state, recipe = scaled_setup(memory, policy="paired")
    for expected in clean_reports:
        state, report = train_clip(state, clip, recipe)
        assert report.losses == expected.losses
        assert report.gradient_norms == expected.gradient_norms
    assert [fault.count for fault in faults] == [7] * len(faults)
    assert same(everything(state), everything(clean))
    lowered = [2.0**9 if network in places else 2.0**10 for network in PLACES[2]]
    assert counts(state) == (*lowered, 0, 0, 1)


def test_later_frames_see_the_attempt_that_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Here the frame of a spoilt attempt is told from that of its replay, which is the same otherwise."""
    state, recipe = scaled_setup(policy="paired")
    fault = GradientFault(monkeypatch, "generator", [1, 3], bad=math.inf)
    original, made, seen = step_module.update_frame, [], []

    def update_frame(state: TrainState, inputs: Any, *arguments: Any) -> Any:
        seen.append(inputs.past.history.frames)
        attempt = original(state, inputs, *arguments)
        if fault.count - 1 in fault.attempts:
            return attrs.evolve(attempt, frame=torch.zeros_like(attempt.frame))
        made.append(attempt.frame)
        return attempt

    monkeypatch.setattr(step_module, "update_frame", update_frame)
    train_clip(state, street_clip(4), recipe)
    assert (len(seen), len(made)) == (6, 4)
    assert seen[-1]
    assert same(list(seen[-1]), made[:3][-len(seen[-1]) :])


def test_a_frame_that_no_replay_cures_is_left_out_by_both(monkeypatch: pytest.MonkeyPatch) -> None:
    state, recipe = scaled_setup(policy="paired", max_replays=2)
    GradientFault(monkeypatch, "generator", range(1, 4), bad=math.inf)
    clip = street_clip(1)
    state, _ = train_clip(state, clip, recipe)
    before = everything(state)
    state, report = train_clip(state, clip, recipe)
    assert same({**before, "step": 2, "updates": 2}, everything(state))
    assert counts(state) == (2.0**10, 2.0**7, 1, 1, 2)
    assert all(math.isfinite(value) for value in named_losses(report.losses).values())
    state, _ = train_clip(state, clip, recipe)
    assert not same(before["generator"], held(state, "generator"))
    assert state.scaling.scales.generator.skips_in_row == 0


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("network", PLACES[2])
def test_a_loss_that_is_not_finite_stops_the_run(
    monkeypatch: pytest.MonkeyPatch, policy: OverflowPolicy, network: Network
) -> None:
    state, recipe = scaled_setup(policy=policy)
    spoil_loss(monkeypatch, network, 2, math.nan)
    with pytest.raises(NonFiniteError, match="loss gan is not finite") as caught:
        train_clip(state, street_clip(3), recipe)
    error = caught.value
    assert (error.step, error.what, error.network, error.frame) == (0, "loss gan", network, 2)
    assert error.clip is not None
    assert "street" in error.clip
    assert all(bool(p.isfinite().all()) for name in PLACES[2] for p in network_of(state, name).state_dict().values())


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("network", PLACES[2])
def test_a_weight_that_is_not_finite_stops_the_run_and_is_named(
    monkeypatch: pytest.MonkeyPatch, policy: OverflowPolicy, network: Network
) -> None:
    state, recipe = scaled_setup(policy=policy)
    name, _ = next(network_of(state, network).named_parameters())
    spoil_weight(monkeypatch, network, 1, math.inf)
    with pytest.raises(NonFiniteError, match="is not finite") as caught:
        train_clip(state, street_clip(3), recipe)
    assert (caught.value.layer, caught.value.frame) == (f"{network}.{name}", 1)


@pytest.mark.parametrize("policy", POLICIES)
def test_an_overflow_at_the_floor_stops_the_run_and_names_the_gradient(
    monkeypatch: pytest.MonkeyPatch, policy: OverflowPolicy
) -> None:
    state, recipe = scaled_setup(policy=policy, init_scale=4.0, min_scale=1.0, max_replays=1)
    fault = GradientFault(monkeypatch, "generator", range(100), bad=math.inf)
    with pytest.raises(NonFiniteError, match="the gradient is not finite at the smallest loss scale, 1 ") as caught:
        train_single_frames(state, recipe, 9)
    assert fault.count == 3  # at scales 4, 2 and 1
    assert caught.value.layer == fault.spoilt[-1]
    assert caught.value.network == "generator"


@pytest.mark.parametrize("policy", POLICIES)
def test_too_many_skips_in_a_row_stop_the_run(monkeypatch: pytest.MonkeyPatch, policy: OverflowPolicy) -> None:
    state, recipe = scaled_setup(policy=policy, max_skips=3, max_replays=0)
    GradientFault(monkeypatch, "discriminator", [0, 1, 3, 4, 5], bad=math.nan)
    with pytest.raises(NonFiniteError, match="3 updates in a row were skipped") as caught:
        train_single_frames(state, recipe, 9)
    assert caught.value.step == 5
    assert caught.value.network == "discriminator"


@pytest.mark.parametrize("network", PLACES[2])
def test_without_scaling_a_gradient_that_is_not_finite_reaches_no_weight(
    monkeypatch: pytest.MonkeyPatch, network: Network
) -> None:
    state, recipe = setup()
    fault = GradientFault(monkeypatch, network, [1], bad=math.nan)
    with pytest.raises(NonFiniteError, match="the gradient is not finite") as caught:
        train_clip(state, street_clip(3), recipe)
    assert (caught.value.layer, caught.value.frame) == (fault.spoilt[0], 1)
    assert all(bool(p.isfinite().all()) for name in PLACES[2] for p in network_of(state, name).state_dict().values())


@pytest.mark.parametrize("seed", range(4))
def test_the_layer_that_makes_the_first_bad_output_is_named(seed: int) -> None:
    """As when activations overflow: all weights are finite, and the loss is not."""
    state, recipe = scaled_setup()
    layers = [
        (f"{network}.{name}", module)
        for network in PLACES[2]
        for name, module in network_of(state, network).named_modules()
        if isinstance(module, nn.Conv2d) or type(module).__name__.startswith("Conv")
    ]
    ran: list[str] = []
    handles = [m.register_forward_hook(lambda *_, name=name: ran.append(name)) for name, m in layers]
    train_clip(state, street_clip(1), recipe)
    for handle in handles:
        handle.remove()
    chosen = random.Random(seed).choice(sorted(set(ran)))
    dict(layers)[chosen].register_forward_hook(lambda _, __, output: output * math.inf)
    with pytest.raises(NonFiniteError, match=r"loss .* is not finite") as caught:
        train_clip(state, street_clip(1), recipe)
    assert caught.value.layer == chosen


def test_bad_data_are_called_so() -> None:
    state, recipe = scaled_setup()
    clip = street_clip(2)
    frames = clip.frames.clone()
    frames[1, 1, 0, 3, 3] = math.nan
    with pytest.raises(NonFiniteError, match="layer data, frame 1"):
        train_clip(state, attrs.evolve(clip, frames=frames), recipe)


# Whole runs


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run without a fault; it is the same in every mode."""
    folder = tmp_path_factory.mktemp("clean") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(optim, "resolve_precision", lambda *_: SCALED)
        run(run_config(), folder)
    return folder


LEARNT = ("generator", "discriminator", "average", "generator_optimizer", "discriminator_optimizer", "updates")


@pytest.mark.parametrize("policy", POLICIES)
def test_a_run_with_a_routine_overflow_ends_with_everything_in_its_place(
    scaled: None, clean: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, policy: OverflowPolicy
) -> None:
    config = run_config(optim={"scaler": {"policy": policy}})
    at = random.Random(policy).randrange(3, 13)  # of 3 + 5 * 2 frames
    with monkeypatch.context() as patch:
        GradientFault(patch, "generator", [at], bad=math.inf)
        result, watch = run(config, tmp_path / "run")
    assert result.finished
    expected, told = lines(clean), lines(tmp_path / "run")
    assert [line["step"] for line in told] == list(range(1, 9))
    faulty = (at - 3) // 2 + 3
    assert told[:faulty] == expected[:faulty]
    after = told[-1]
    assert (after["scale_discriminator"], after["scale_generator"]) == (2.0**16, 2.0**15)
    if policy == "paired":
        assert (after["skipped_generator"], after["replays"]) == (0, 1)
        scale_fields = {"scale_generator", "replays"}
        assert [{k: v for k, v in line.items() if k not in scale_fields} for line in told] == [
            {k: v for k, v in line.items() if k not in scale_fields} for line in expected
        ]
        assert all(same(final(tmp_path / "run")[key], final(clean)[key]) for key in LEARNT)
    else:
        assert (after["skipped_generator"], after["skipped_discriminator"], after["replays"]) == (1, 0, 0)
    measured = [line["step"] for line in told if "underflow_generator" in line]
    assert measured == []  # float32 has no format to underflow from
    told_last = watch.figures[-1].split(" · ")
    assert "scale g 32768 scale d 65536" in told_last
    assert f"{int(policy != 'paired')} skipped" in told_last
    assert ("1 replayed" in told_last) == (policy == "paired")


@pytest.mark.parametrize("place", ["loss", "weight", "gradient"])
def test_a_run_that_diverges_stops_with_a_good_checkpoint_and_goes_on_from_it(
    scaled: None, clean: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, place: str
) -> None:
    """What it then ends in is the run without the fault: nothing has been lost."""
    config = run_config(optim={"scaler": {"min_scale": 2.0**16}})  # which is the initial one
    at = {"loss": 6, "weight": 8, "gradient": 7}[place]  # in steps 5, 6 and 6, counted from 1
    with monkeypatch.context() as patch:
        if place == "loss":
            spoil_loss(patch, "generator", at, math.inf)
        elif place == "weight":
            spoil_weight(patch, "generator", at, math.nan)
        else:
            GradientFault(patch, "discriminator", [at], bad=math.inf)
        with pytest.raises(NonFiniteError) as caught:
            run(config, tmp_path / "run")
    good = tmp_path / "run" / "checkpoints" / "step-00000004"
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    assert f"{good} is good: go on from it" in message
    assert f"hatch run train:vid2vid --resume {tmp_path / 'run'} run.on_divergence=roll-back" in message
    assert caught.value.clip is not None
    assert f"clip {caught.value.clip}" in message
    newest = runtime.load_latest(tmp_path / "run" / "checkpoints")
    assert newest.path == good
    assert same(final(tmp_path / "run", 4), final(clean, 4))
    done = len(lines(tmp_path / "run"))
    assert lines(tmp_path / "run") == lines(clean)[:done]
    assert done == caught.value.step
    run(config, tmp_path / "run", resume=True)
    assert lines(tmp_path / "run") == lines(clean)
    assert same(final(tmp_path / "run"), final(clean))


def test_a_run_that_rolls_back_ends_whole_and_can_be_resumed_after_it(
    scaled: None, clean: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    config = run_config(run={"on_divergence": "roll-back"})
    with monkeypatch.context() as patch:
        spoil_loss(patch, "generator", 6, math.nan)  # in step 5
        result, watch = run(config, tmp_path / "run")
    assert result.finished
    told = next(text for text in watch.messages if "roll-back" in text)
    assert "step 4: loss gan is not finite" in told
    assert f"roll-back 1 of 3: going on from {tmp_path / 'run'}/checkpoints/step-00000004 with other clips" in told
    expected, lived = lines(clean), lines(tmp_path / "run")
    assert [line["step"] for line in lived] == list(range(1, 9))
    assert lived[:4] == expected[:4]
    assert [line["roll_backs"] for line in lived] == [0] * 4 + [1] * 4
    assert all(a["d_gan"] != b["d_gan"] for a, b in zip(lived[4:], expected[4:], strict=True))  # other clips
    shutil.copytree(tmp_path / "run", tmp_path / "resumed")
    shutil.rmtree(tmp_path / "resumed" / "checkpoints" / "step-00000008")
    run(config, tmp_path / "resumed", resume=True)
    assert lines(tmp_path / "resumed") == lived
    assert same(final(tmp_path / "resumed"), final(tmp_path / "run"))


def test_a_run_that_is_resumed_while_its_scale_backs_off_is_the_run_that_was_not(
    scaled: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The generator overflows at every scale above 2**12, so from 2**16 on its scale falls for four frames."""
    original = updates.check_gradients

    def check_gradients(state: TrainState, network: Network, *arguments: Any) -> optim.GradientReport:
        if network == "generator" and state.scaling.scales.generator.scale > 2.0**12:
            next(p.grad for p in state.generator.parameters() if p.grad is not None).fill_(math.inf)
        return original(state, network, *arguments)

    monkeypatch.setattr(updates, "check_gradients", check_gradients)
    for steps, resume in ((2, False), (8, True)):
        run(run_config(run={"steps": steps}), tmp_path / "broken", resume=resume)
    run(run_config(), tmp_path / "whole")
    assert [line["scale_generator"] for line in lines(tmp_path / "whole")] == [2.0**15, 2.0**14, 2.0**13] + [
        2.0**12
    ] * 5
    assert lines(tmp_path / "broken") == lines(tmp_path / "whole")
    assert same(final(tmp_path / "broken"), final(tmp_path / "whole"))


def test_before_the_first_checkpoint_a_run_rolls_back_to_its_beginning(
    scaled: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    config = run_config(run={"on_divergence": "roll-back", "steps": 3})
    with monkeypatch.context() as patch:
        spoil_weight(patch, "discriminator", 1, math.inf)  # in step 2
        result, watch = run(config, tmp_path / "run")
    assert result.finished
    assert any("roll-back 1 of 3: going on from its beginning" in text for text in watch.messages)
    assert [(line["step"], line["roll_backs"]) for line in lines(tmp_path / "run")] == [(1, 1), (2, 1), (3, 1)]


def test_a_divergence_that_comes_back_ends_the_run_after_so_many_roll_backs(
    scaled: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    config = run_config(run={"on_divergence": "roll-back", "max_roll_backs": 2, "steps": 4})
    original = nets.generator_losses

    def losses(*arguments: Any, **options: Any) -> nets.Losses:
        found = original(*arguments, **options)
        late = len((tmp_path / "run" / "metrics.jsonl").read_text().splitlines()) >= 3 if begun() else False
        return {**found, "gan": attrs.evolve(found["gan"], value=found["gan"].value * math.inf)} if late else found

    def begun() -> bool:
        return (tmp_path / "run" / "metrics.jsonl").exists()

    monkeypatch.setattr(nets, "generator_losses", losses)
    with pytest.raises(NonFiniteError, match=r"2 roll-backs did not help; .*step-00000002 is good") as caught:
        run(config, tmp_path / "run")
    assert caught.value.step == 3
    assert "run.max_roll_backs=5" in str(caught.value)
    assert [line["step"] for line in lines(tmp_path / "run")] == [1, 2, 3]


def test_no_checkpoint_is_written_of_an_optimizer_that_is_not_finite(
    scaled: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A gradient of 1e30 is finite; its square, which Adam averages, is not, and the weight stands still for ever."""
    GradientFault(monkeypatch, "generator", [3], bad=1e30)
    with pytest.raises(NonFiniteError, match=r"step 4: the optimizer's exp_avg_sq of .* is not finite .*step-00000002"):
        run(run_config(), tmp_path / "run")
    assert [p.name for p in runtime.list_checkpoints(tmp_path / "run" / "checkpoints")] == ["step-00000002"]


# float16, for real, on this CPU


@pytest.mark.parametrize("policy", ["independent", "paired"])
def test_float16_trains_on_the_cpu_and_recovers_from_a_scale_that_overflows(tmp_path: Path, policy: str) -> None:
    config = run_config(
        precision={"level": "O1", "dtype": "float16"},
        optim={"scaler": {"init_scale": 2.0**24, "backoff_factor": 2.0**-4, "policy": policy, "max_replays": 2}},
        curriculum={"single_frame_steps": 8},
        run={"steps": 8},
    )
    result, watch = run(config, tmp_path / "run")
    assert result.finished
    told = lines(tmp_path / "run")
    assert told[0]["scale_generator"] < 2.0**24  # the first update has overflowed
    assert told[0]["skipped_generator"] == 1
    last = told[-1]
    assert 1.0 <= last["scale_generator"] < 2.0**24
    assert last["skipped_generator"] < 7  # and then it trains
    assert (last["replays"] > 0) == (policy == "paired")
    if policy == "paired":
        assert last["skipped_generator"] == last["skipped_discriminator"]
    assert "gradient_norm_generator" in last
    assert [line["step"] for line in told if "underflow_generator" in line] == [1, 4, 7]
    assert all(0 <= line["underflow_discriminator"] <= 1 for line in told if "underflow_discriminator" in line)
    assert all(math.isfinite(v) for line in told for v in line.values() if isinstance(v, float))
    assert re.search(r"underflow d \S+% underflow g \S+%", watch.figures[-1])
    state = final(tmp_path / "run")
    assert not optim.non_finite((name, tensor) for name, tensor in state["generator"].items())
    assert state["scaling"]["generator"]["scale"] == last["scale_generator"]
    assert not same(state["generator"], final(tmp_path / "run", 2)["generator"])
