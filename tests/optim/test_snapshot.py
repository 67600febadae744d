"""A step that is undone leaves no trace, for every optimizer and whether or not it has stepped before."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn
from vs_optim import AdamConfig, build_adam, keep_optimizer, keep_tensors, put_back

Make = Callable[[list[nn.Parameter]], torch.optim.Optimizer]


class GroupCounting(torch.optim.SGD):
    """Counts its steps in the group, as apex does."""

    def step(self, *arguments: Any, **options: Any) -> Any:
        for group in self.param_groups:
            group["step"] = group.get("step", 0) + 1
        return super().step(*arguments, **options)


OPTIMIZERS: dict[str, Make] = {
    "fused": lambda parameters: build_adam(parameters, AdamConfig(impl="fused", weight_decay=0.1))[0],
    "foreach": lambda parameters: build_adam(parameters, AdamConfig(impl="foreach"))[0],
    "momentum": lambda parameters: torch.optim.SGD(parameters, lr=0.1, momentum=0.9),
    "group": lambda parameters: GroupCounting(parameters, lr=0.1),
}


def step(parameters: list[nn.Parameter], optimizer: torch.optim.Optimizer, seed: int) -> None:
    torch.manual_seed(seed)
    for parameter in parameters:
        parameter.grad = torch.randn_like(parameter)
    optimizer.step()


def held(parameters: list[nn.Parameter], optimizer: torch.optim.Optimizer) -> list[Any]:
    """All that a step changes, by value."""
    states = [
        {k: v.tolist() if isinstance(v, torch.Tensor) else v for k, v in optimizer.state.get(p, {}).items()}
        for p in parameters
    ]
    groups = [{k: v for k, v in group.items() if k != "params"} for group in optimizer.param_groups]
    return [[p.tolist() for p in parameters], states, groups]


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("steps", [0, 2])
def test_an_undone_step_leaves_no_trace(name: str, steps: int) -> None:
    torch.manual_seed(0)
    parameters = [nn.Parameter(torch.randn(3, 4)), nn.Parameter(torch.randn(5)), nn.Parameter(torch.zeros(0))]
    optimizer = OPTIMIZERS[name](parameters)
    for seed in range(steps):
        step(parameters, optimizer, seed)
    before = held(parameters, optimizer)
    kept = keep_optimizer(optimizer)
    step(parameters, optimizer, 7)
    after = held(parameters, optimizer)
    assert after != before
    put_back(kept)
    assert held(parameters, optimizer) == before
    step(parameters, optimizer, 7)  # and the same step from there ends in the same place
    assert held(parameters, optimizer) == after
    put_back(kept)  # as often as one likes
    assert held(parameters, optimizer) == before


def test_a_graph_from_before_is_refused_after_putting_back() -> None:
    """Weights are written to in place, and autograd knows."""
    weight = nn.Parameter(torch.ones(2))
    kept = keep_tensors([weight])
    loss = (weight * weight).sum()
    put_back(kept)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()  # type: ignore[no-untyped-call]


def test_copies_are_of_values_and_layouts_do_not_matter() -> None:
    image = torch.randn(2, 3, 4, 5).contiguous(memory_format=torch.channels_last)
    before = image.clone()
    kept = keep_tensors([image, torch.zeros(0)])
    image.zero_()
    put_back(kept)
    assert torch.equal(image, before)
    put_back(keep_tensors(()))
