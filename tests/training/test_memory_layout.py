"""`memory.channels_last` holds for a whole step: what convolutions read, what is learned, and what is saved of it."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from test_few_shot_training import SMALL, faces_clip
from test_few_shot_training import setup as few_shot_setup
from test_step import DOCUMENT, setup, street_clip
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from vs_config import load_config
from vs_data import Clip
from vs_train.numbers import named_losses
from vs_training.config import TrainConfig
from vs_training.saved import restore_state, state_to_save
from vs_training.state import Recipe, TrainState
from vs_training.step import train_clip

CL = torch.channels_last
Case = tuple[TrainState, Recipe, Clip]


def case_of(kind: str, *, channels_last: bool) -> Case:
    memory = {"channels_last": channels_last}
    if kind == "vid2vid":
        return *setup(load_config(TrainConfig, {**DOCUMENT, "memory": memory})), street_clip(3)
    config, state, recipe = few_shot_setup({**SMALL, "memory": memory})
    return state, recipe, faces_clip(config, (4, 5))


class Orders(TorchDispatchMode):
    """Counts elements of what convolutions read, forward, by order; what is in both orders at once says nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.elements: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.ops.aten.convolution.default and len({name for name, _ in orders(args[0])}) == 1:
            ((name, count),) = orders(args[0])
            self.elements[name] += count
        return func(*args, **(kwargs or {}))


def orders(x: Tensor) -> list[tuple[str, int]]:
    last, planes = x.is_contiguous(memory_format=CL), x.is_contiguous()
    names = ["channels-last"] * last + ["contiguous"] * planes or ["neither"]
    return [(name, x.numel()) for name in names]


def moments(state: TrainState) -> Iterator[tuple[Tensor, Tensor]]:
    """Every parameter with four dimensions, and each average of Adam over it."""
    for optimizer in (state.optimizers.generator, state.optimizers.discriminator):
        for group in optimizer.param_groups:
            for p in group["params"]:
                if p.dim() == 4 and p in optimizer.state:
                    yield from ((p, optimizer.state[p][name]) for name in ("exp_avg", "exp_avg_sq"))


kinds = pytest.mark.parametrize("kind", ["vid2vid", "few-shot"])


@kinds
@pytest.mark.parametrize("channels_last", [True, False])
def test_convolutions_read_features_in_the_order_that_is_asked_for(kind: str, channels_last: bool) -> None:
    state, recipe, clip = case_of(kind, channels_last=channels_last)
    with Orders() as seen:
        train_clip(state, clip, recipe)
    share = seen.elements["channels-last"] / seen.elements.total()
    # What is put together of maps of one channel is in planes, which counts in networks as narrow as these.
    assert share >= 0.8 if channels_last else share == 0, seen.elements


@kinds
def test_weights_averages_and_moments_keep_the_order_also_when_they_come_from_a_checkpoint(kind: str) -> None:
    state, recipe, clip = case_of(kind, channels_last=True)
    state, _ = train_clip(state, clip, recipe)
    saved = state_to_save(state)
    fresh, _, _ = case_of(kind, channels_last=True)
    for one in (state, restore_state(fresh, saved)):
        for network in (one.generator, one.discriminator, one.generator_ema):
            assert all(p.is_contiguous(memory_format=CL) for p in network.parameters() if p.dim() == 4)
        pairs = list(moments(one))
        assert pairs
        assert all(p.stride() == moment.stride() for p, moment in pairs)


@kinds
def test_the_order_changes_no_value_of_a_fresh_network_and_losses_by_rounding_only(kind: str) -> None:
    cases = [case_of(kind, channels_last=flag) for flag in (False, True)]
    weights = [state.generator.state_dict() for state, _, _ in cases]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    contiguous, last = (train_clip(*(case[0], case[2], case[1]))[1] for case in cases)
    for name, value in named_losses(contiguous.losses).items():
        torch.testing.assert_close(named_losses(last.losses)[name], value, rtol=1e-2, atol=1e-4)
