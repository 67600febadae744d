"""Adam's state: the same training after it was saved, across implementations."""

import pytest
import torch
from torch import nn
from vs_optim import AdamConfig, StateError, adam_state, build_adam, load_adam_state


def parameters() -> list[nn.Parameter]:
    generator = torch.Generator().manual_seed(1)
    return [nn.Parameter(torch.randn(shape, generator=generator)) for shape in [(3, 2), (5,), ()]]


def step(optimizer: torch.optim.Optimizer, params: list[nn.Parameter], number: int, skip: int | None = None) -> None:
    generator = torch.Generator().manual_seed(number)
    for index, p in enumerate(params):
        grad = torch.randn(p.shape, generator=generator)
        p.grad = None if index == skip else grad
    optimizer.step()


class StepPerGroup(torch.optim.SGD):
    """Keeps its state as NVIDIA apex does: the step count in the group, averages with the parameters."""

    def __init__(self, params: list[nn.Parameter]) -> None:
        super().__init__(params, lr=0.1)


@pytest.mark.parametrize("before", ["fused", "foreach"])
@pytest.mark.parametrize("after", ["fused", "foreach"])
def test_training_goes_on_as_if_nothing_had_happened(before: str, after: str) -> None:
    params, reference = parameters(), parameters()
    first, _ = build_adam(params, AdamConfig(impl=before))  # type: ignore[arg-type]
    whole, _ = build_adam(reference, AdamConfig(impl=before))  # type: ignore[arg-type]
    for number in range(6):
        step(whole, reference, number, skip=2 if number < 3 else None)
    for number in range(3):
        step(first, params, number, skip=2)
    resumed = [nn.Parameter(p.detach().clone()) for p in params]
    second, _ = build_adam(resumed, AdamConfig(impl=after))  # type: ignore[arg-type]
    load_adam_state(second, adam_state(first))
    assert second.param_groups[0].get(after) is True
    for number in range(3, 6):
        step(second, resumed, number)
    for a, b in zip(resumed, reference, strict=True):
        if before == after:
            assert torch.equal(a, b)
        else:
            torch.testing.assert_close(a, b)


def test_a_loaded_state_is_a_copy_and_leaves_the_learning_rate_alone() -> None:
    params = parameters()
    first, _ = build_adam(params, AdamConfig(lr=0.1))
    step(first, params, 0)
    second, _ = build_adam(params, AdamConfig(lr=0.3))
    load_adam_state(second, adam_state(first))
    average = first.state[params[0]]["exp_avg"].clone()
    step(second, params, 1)
    assert torch.equal(first.state[params[0]]["exp_avg"], average)
    assert second.param_groups[0]["lr"] == 0.3


def test_a_step_count_per_group_goes_both_ways() -> None:
    params = parameters()
    adam, _ = build_adam(params, AdamConfig())
    for number in range(3):
        step(adam, params, number)
    other = StepPerGroup(params)
    load_adam_state(other, adam_state(adam))
    assert other.param_groups[0]["step"] == 3
    assert set(other.state[params[0]]) == {"exp_avg", "exp_avg_sq"}
    back, _ = build_adam(params, AdamConfig())
    load_adam_state(back, adam_state(other))
    for p in params:
        for name in ("step", "exp_avg", "exp_avg_sq"):
            assert torch.equal(back.state[p][name], adam.state[p][name])


def test_counts_that_apex_cannot_hold_are_refused() -> None:
    params = parameters()
    adam, _ = build_adam(params, AdamConfig())
    step(adam, params, 0, skip=1)
    step(adam, params, 1)
    with pytest.raises(StateError, match=r"one step count per group, got \[1, 2\]"):
        load_adam_state(StepPerGroup(params), adam_state(adam))


def test_a_state_of_another_network_is_refused_and_nothing_is_touched() -> None:
    params = parameters()
    adam, _ = build_adam(params, AdamConfig())
    step(adam, params, 0)
    saved = adam_state(adam)
    shorter, _ = build_adam(params[:2], AdamConfig())
    with pytest.raises(StateError, match="the state is of 3 parameters, and the optimizer has 2"):
        load_adam_state(shorter, saved)
    other_shapes, _ = build_adam([params[1], params[0], params[2]], AdamConfig())
    with pytest.raises(StateError, match=r"parameter 0: exp_avg has shape \(3, 2\), the parameter \(5,\)"):
        load_adam_state(other_shapes, saved)
    for wrong in ({}, {"params": [{"step": 1}, None, None]}):
        with pytest.raises(StateError):
            load_adam_state(adam, wrong)
    assert not other_shapes.state
    assert len(adam.state) == 3
