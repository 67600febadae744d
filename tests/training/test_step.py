"""What a training step promises, on networks of a few thousand parameters."""

import math
from typing import Any

import attrs
import pytest
import torch
import vs_nets as nets
import vs_optim as optim
from hypothesis import given
from hypothesis import strategies as st
from vs_config import load_config
from vs_data import Clip, ClipRequest, StreetConfig, collate, move, open_source
from vs_train.numbers import named_losses
from vs_training.config import TrainConfig, label_spec
from vs_training.curriculum import CurriculumConfig, clip_length
from vs_training.errors import NonFiniteError
from vs_training.networks import build_recipe, build_state
from vs_training.passes import frozen_parameters
from vs_training.saved import restore_state, state_to_save
from vs_training.state import Recipe, TrainState
from vs_training.step import train_clip

DOCUMENT: dict[str, Any] = {
    "data": {"kind": "street", "height": 32, "width": 64, "sequence_length": 6},
    "generator": {
        "levels": 3,
        "image_downsamples": 2,
        "filters": 4,
        "max_filters": 8,
        "embedder": {"filters": 4, "max_filters": 8, "downsamples": 2},
        "flow": {"filters": 4, "max_filters": 8, "downsamples": 2, "residual_blocks": 1},
        "combination": {
            "kind": "spade",
            "levels": 2,
            "raw_output": True,
            "embedder": {"arch": "unet", "filters": 4, "max_filters": 8, "downsamples": 2},
        },
    },
    "discriminator": {
        "image": {"filters": 4, "layers": 2, "scales": 1},
        "temporal": {"patch": {"filters": 4, "layers": 2, "scales": 1, "spectral_norm": True}},
    },
    "objective": {"perceptual": {"kind": "random", "width_divisor": 16}},
    "optim": {"generator": {"lr": 1e-3}, "discriminator": {"lr": 1e-3}, "ema": {"start_step": 1, "beta": 0.5}},
    "precision": {"level": "O0"},
    "curriculum": {"max_length": 4},
}
CONFIG = load_config(TrainConfig, DOCUMENT)
CPU = torch.device("cpu")


def setup(config: TrainConfig = CONFIG, device: torch.device = CPU) -> tuple[TrainState, Recipe]:
    torch.manual_seed(0)
    spec = label_spec(config.labels, open_source(config.data, "train"))
    precision = optim.resolve_precision(config.precision, device)
    state, _ = build_state(config, spec, precision, device)
    recipe = build_recipe(config, spec, precision, device)
    return state, recipe


def street_clip(frames: int = 4) -> Clip:
    assert isinstance(CONFIG.data, StreetConfig)
    source = open_source(CONFIG.data, "train")
    return collate([source.read(ClipRequest(sequence=i, start=0, length=frames)) for i in range(2)])


def weights(module: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in module.state_dict().items()}


@pytest.mark.parametrize("level", ["O0", "O1"])
@pytest.mark.parametrize("policy", ["blocks", "all"])
def test_activation_checkpointing_changes_no_value(level: str, policy: str) -> None:
    """Also with spectral norm, whose power iteration must not run twice, and under autocast."""
    clip = street_clip()
    document = {**DOCUMENT, "precision": {"level": level}}
    results = []
    for checkpoint in ("none", policy):
        state, recipe = setup(load_config(TrainConfig, {**document, "memory": {"checkpoint": checkpoint}}))
        state, report = train_clip(state, clip, recipe)
        results.append((report, weights(state.generator), weights(state.discriminator), weights(state.generator_ema)))
    (plain, *plain_weights), (recomputed, *recomputed_weights) = results
    assert plain == recomputed
    for a, b in zip(plain_weights, recomputed_weights, strict=True):
        assert all(torch.equal(a[name], b[name]) for name in a)


def test_every_loss_is_reported_and_finite() -> None:
    state, recipe = setup()
    state, report = train_clip(state, street_clip(), recipe)
    assert state.step == 1
    assert state.updates == report.frames == 4
    generator = {"gan", "feature_matching", "perceptual", "flow", "flow_warp", "flow_mask"}
    raw = {"gan_raw", "feature_matching_raw", "perceptual_raw"}
    temporal = {"temporal_gan_0", "temporal_feature_matching_0"}
    discriminator = {"gan", "gan_raw", "temporal_gan_0"}
    expected = {f"g_{name}" for name in generator | raw | temporal} | {f"d_{name}" for name in discriminator}
    assert set(named_losses(report.losses)) == expected
    assert all(math.isfinite(value) for value in named_losses(report.losses).values())


def test_single_frames_train_without_flow() -> None:
    state, recipe = setup()
    _, report = train_clip(state, street_clip(1), recipe)
    assert not any("flow" in name or "temporal" in name for name in named_losses(report.losses))


def test_without_a_teacher_only_the_flow_loss_is_missing() -> None:
    state, recipe = setup()
    clip = attrs.evolve(street_clip(), flow=None, flow_confidence=None)
    _, report = train_clip(state, clip, recipe)
    assert "flow" not in report.losses.generator
    assert {"g_flow_warp", "g_flow_mask"} <= set(named_losses(report.losses))


def test_update_of_the_generator_computes_no_gradient_of_the_discriminator() -> None:
    state, recipe = setup()
    seen: list[tuple[bool, ...]] = []
    step = state.optimizers.generator.step

    def watching_step(*arguments: Any, **options: Any) -> Any:
        seen.append(tuple(p.requires_grad for p in state.discriminator.parameters()))
        return step(*arguments, **options)

    state.optimizers.generator.step = watching_step  # type: ignore[method-assign]
    gradients: list[torch.Tensor | None] = []
    d_zero = state.optimizers.discriminator.zero_grad
    d_step = state.optimizers.discriminator.step

    def forgetting_step(*arguments: Any, **options: Any) -> Any:
        result = d_step(*arguments, **options)
        d_zero(set_to_none=True)  # what the update of D left; the update of G must not add to it
        return result

    state.optimizers.discriminator.step = forgetting_step  # type: ignore[method-assign]
    state, _ = train_clip(state, street_clip(), recipe)
    gradients = [p.grad for p in state.discriminator.parameters()]
    assert gradients
    assert all(g is None for g in gradients)
    assert all(all(flags) for flags in seen)  # thawed again by the time G steps


def test_frozen_parameters_come_back_even_after_an_error() -> None:
    layer = torch.nn.Linear(2, 2)
    layer.bias.requires_grad_(False)

    def fail() -> None:
        assert not layer.weight.requires_grad
        raise RuntimeError("on purpose")

    with pytest.raises(RuntimeError, match="on purpose"), frozen_parameters(layer):
        fail()
    assert layer.weight.requires_grad
    assert not layer.bias.requires_grad


def test_the_ema_follows_the_normalised_weights() -> None:
    state, recipe = setup()
    clip = street_clip(1)
    state, _ = train_clip(state, clip, recipe)
    first = dict(nets.effective_weights(state.generator))
    for name, parameter in state.generator_ema.named_parameters():
        torch.testing.assert_close(parameter, first[name])  # a copy while step < start_step
    before = weights(state.generator_ema)
    state, _ = train_clip(state, clip, recipe)
    now = nets.effective_weights(state.generator)
    for name, parameter in state.generator_ema.named_parameters():
        torch.testing.assert_close(parameter, 0.5 * before[name] + 0.5 * now[name])


def test_low_precision_starts_nearly_like_float32() -> None:
    clip = street_clip(1)  # later frames amplify the difference: instance norms of nearly constant features
    losses = []
    for level in ("O0", "O1"):
        state, recipe = setup(load_config(TrainConfig, {**DOCUMENT, "precision": {"level": level}}))
        losses.append(named_losses(train_clip(state, clip, recipe)[1].losses))
    for name, value in losses[0].items():
        assert losses[1][name] == pytest.approx(value, rel=0.05, abs=0.01), name


def test_a_loss_that_is_not_finite_is_named_with_its_place() -> None:
    state, recipe = setup()
    clip = street_clip()
    frames = clip.frames.clone()
    frames[:, 2] = math.nan
    with pytest.raises(NonFiniteError, match=r"step 0: loss gan is not finite .*frame 2.*street-"):
        train_clip(state, attrs.evolve(clip, frames=frames), recipe)
    for module in (state.generator, state.discriminator):  # no weight has seen it
        assert all(bool(torch.isfinite(tensor).all()) for tensor in module.state_dict().values())


@pytest.mark.gpu
def test_a_step_on_a_gpu_is_that_of_the_cpu() -> None:
    """Losses and weights, but for rounding; what it saves goes on there and on a CPU alike."""
    gpu = torch.device("cuda")
    steps = {}
    for device in (CPU, gpu):
        state, recipe = setup(device=device)
        state, report = train_clip(state, move(street_clip(2), device), recipe)
        steps[device.type] = (named_losses(report.losses), weights(state.generator_ema), state_to_save(state))
    (expected, averages, _), (found, others, saved) = steps.values()
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, rel=1e-2, abs=1e-3), name
    for name, average in averages.items():
        torch.testing.assert_close(others[name].cpu(), average, atol=5e-3, rtol=0)
    after = []
    for device in (CPU, gpu):
        state, recipe = setup(attrs.evolve(CONFIG, seed=1), device)
        _, report = train_clip(restore_state(state, saved), move(street_clip(1), device), recipe)
        after.append(named_losses(report.losses))
    for name, value in after[0].items():
        assert after[1][name] == pytest.approx(value, rel=1e-2, abs=1e-3), name


def test_state_survives_saving_bit_for_bit() -> None:
    clip = street_clip(3)
    state, recipe = setup()
    state, _ = train_clip(state, clip, recipe)
    saved = state_to_save(state)
    copy = torch.utils._pytree.tree_map(lambda x: x.clone() if isinstance(x, torch.Tensor) else x, saved)
    other, _ = setup(attrs.evolve(CONFIG, seed=1))
    other = restore_state(other, copy)
    state, report = train_clip(state, clip, recipe)
    other, other_report = train_clip(other, clip, recipe)
    assert report == other_report
    for a, b in ((state.generator, other.generator), (state.discriminator, other.discriminator)):
        others = weights(b)
        assert all(torch.equal(tensor, others[name]) for name, tensor in weights(a).items())


def test_a_checkpoint_from_before_the_networks_shared_a_precision_state_goes_on() -> None:
    state, _ = setup()
    saved = state_to_save(state)
    del saved["scaling"], saved["roll_backs"]
    old = {"scale": 1.0, "good_steps": 0, "skipped_total": 3}
    other, _ = setup(attrs.evolve(CONFIG, seed=1))
    other = restore_state(
        other, {**saved, "generator_scaler": old, "discriminator_scaler": {**old, "skipped_total": 1}}
    )
    assert (other.scaling.scales.generator.skipped_total, other.scaling.scales.discriminator.skipped_total) == (3, 1)
    assert other.roll_backs == 0


@given(
    single=st.integers(0, 50),
    initial=st.integers(1, 8),
    every=st.integers(1, 40),
    longest=st.integers(8, 64),
    step=st.integers(0, 10**9),
)
def test_curriculum(single: int, initial: int, every: int, longest: int, step: int) -> None:
    config = CurriculumConfig(single_frame_steps=single, initial_length=initial, double_every=every, max_length=longest)
    length = clip_length(config, step)
    assert 1 <= length <= longest
    assert length <= clip_length(config, step + 1)
    if step < single:
        assert length == 1
    elif step < single + every:
        assert length == initial
    elif length < longest:
        assert length == initial * 2 ** ((step - single) // every)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"data": {"kind": "street", "height": 36, "width": 64}}, "multiple of 8"),
        ({"curriculum": {"max_length": 40}}, r"max_length: expected at most data\.sequence_length, \d+, got 40"),
        ({"discriminator": {"image": {"layers": 6, "scales": 2}}}, "at least"),
        ({"objective": {"perceptual": {"kind": "random", "scales": 4}}}, "at least"),
    ],
)
def test_settings_that_do_not_fit_together(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(Exception, match=message):
        load_config(TrainConfig, {**DOCUMENT, **changes})
