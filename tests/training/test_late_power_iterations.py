"""Power iterations that are late: for one frame, spectral norm divides by too little for float16."""

import math
from typing import Any

import pytest
import torch
import vs_optim as optim
from faults import PLACES, POLICIES, counts, everything, held, network_of, run_config, same
from test_step import setup, street_clip
from vs_nets.spectral import SpectralLayer
from vs_optim import OverflowPolicy
from vs_train.numbers import named_losses
from vs_training.errors import NonFiniteError
from vs_training.retry import MAX_LATE_PASSES
from vs_training.state import Recipe, TrainState
from vs_training.step import train_clip


def prepared(dtype: str, **scaler: Any) -> tuple[TrainState, Recipe]:
    precision = {"level": "O1", "dtype": dtype}
    return setup(run_config(precision=precision, optim={"scaler": {"init_scale": 2.0**10, **scaler}}))


def layer_before_a_norm(state: TrainState) -> SpectralLayer:
    """What leaves it is normalised, so that a value within the range does no harm however large."""
    layer = state.generator.get_submodule("up.1.conv_0")
    assert isinstance(layer, SpectralLayer)
    return layer


@torch.no_grad()
def make_late(layer: SpectralLayer, gain: float) -> None:
    """Singular values `gain` and 1, and a vector from which one iteration goes half the way, and a second one the rest.

    The first divides by about 1.4, so that `gain` / 1.4 is what the network has to hold.
    """
    matrix = torch.zeros_like(layer.weight.flatten(1))
    matrix[0, 0], matrix[1, 1] = gain, 1.0
    layer.weight.copy_(matrix.view(layer.weight.shape))
    layer.u.zero_()
    layer.u[:2] = torch.tensor([gain**-2, 1.0])


@pytest.mark.parametrize("policy", POLICIES)
def test_a_forward_pass_that_leaves_the_range_of_float16_is_made_again_one_iteration_further(
    policy: OverflowPolicy,
) -> None:
    state, recipe = prepared("float16", policy=policy)
    layer = layer_before_a_norm(state)
    make_late(layer, gain=1e6)
    before = held(state, "discriminator")
    state, report = train_clip(state, street_clip(1), recipe)
    assert report.replays == 1
    assert all(math.isfinite(value) for value in named_losses(report.losses).values())
    assert None not in (report.gradient_norms.generator, report.gradient_norms.discriminator)
    assert abs(float(layer.u[0])) == pytest.approx(1.0)  # both iterations have stayed
    assert counts(state) == (2.0**10, 2.0**10, 0, 0, 1)  # no scale is to blame
    assert not same(before, held(state, "discriminator"))
    for network in PLACES[2]:
        assert all(bool(p.isfinite().all()) for p in network_of(state, network).parameters())


@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
def test_wider_formats_hold_it_and_nothing_is_made_again(dtype: str) -> None:
    state, recipe = prepared("bfloat16")
    if dtype == "float32":
        state, recipe = setup(run_config())
    make_late(layer_before_a_norm(state), gain=1e6)
    _, report = train_clip(state, street_clip(1), recipe)
    assert report.replays == 0
    assert all(math.isfinite(value) for value in named_losses(report.losses).values())


def test_what_no_iteration_cures_is_a_divergence_soon_and_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    state, recipe = prepared("float16")
    with torch.no_grad():
        layer_before_a_norm(state).bias.fill_(math.inf)
    made = []
    original = optim.count_replay
    monkeypatch.setattr(optim, "count_replay", lambda scaling: made.append(scaling) or original(scaling))
    before = {network: held(state, network) for network in PLACES[2]}
    average = everything(state)["average"]
    with pytest.raises(NonFiniteError):
        train_clip(state, street_clip(1), recipe)
    assert len(made) == MAX_LATE_PASSES
    after = {network: held(state, network) for network in PLACES[2]}
    for network in PLACES[2]:
        for vectors in (before[network], after[network]):
            for name in [name for name in vectors if name.endswith((".u", ".v"))]:
                del vectors[name]  # so many iterations further
        assert same(before[network], after[network])
    assert same(average, everything(state)["average"])
