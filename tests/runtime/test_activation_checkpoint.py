"""Activation checkpointing: not one bit differs, and less is kept."""

import contextlib
import copy
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm
from vs_runtime import ActivationError, checkpointed

Run = Callable[..., Any]
MODES: dict[str, Callable[[], AbstractContextManager[Any]]] = {
    "float32": contextlib.nullcontext,
    "bfloat16": lambda: torch.autocast("cpu", dtype=torch.bfloat16, cache_enabled=False),
    "bfloat16 with weight cache": lambda: torch.autocast("cpu", dtype=torch.bfloat16),
    "float16": lambda: torch.autocast("cpu", dtype=torch.float16, cache_enabled=False),
}


def direct(block: nn.Module, *args: Any) -> Any:
    return block(*args)


class Block(nn.Module):
    """What is hard to recompute: buffers written in place and buffers replaced, a list of maps, dropout."""

    def __init__(self, channels: int = 4, dropout: float = 0.0) -> None:
        super().__init__()
        self.first = spectral_norm(nn.Conv2d(channels, channels, 3, padding=1))
        self.second = nn.Conv2d(channels, channels, 1)
        self.norm = nn.BatchNorm2d(channels)
        self.dropout = nn.Dropout(dropout)
        self.register_buffer("calls", torch.zeros(()))
        self.register_buffer("direction", torch.ones(channels), persistent=False)
        self.times_run = 0

    def forward(self, x: Tensor, maps: list[Tensor] | None = None, gain: float = 1.0) -> Tensor:
        self.times_run += 1
        self.calls.add_(1)
        calls = self.calls.clone()  # autograd keeps it, and the next call writes to the buffer
        self.direction = nn.functional.normalize(self.direction + calls * torch.arange(4.0), dim=0)
        hidden = self.dropout(torch.tanh(self.norm(self.first(x)))) * self.direction.view(1, -1, 1, 1)
        for one in maps or []:
            hidden = hidden * (1 + one)
        return gain * self.second(hidden) + calls * x


def evidence(block: nn.Module, inputs: list[Tensor], outputs: list[Tensor]) -> list[Tensor]:
    """Everything that a difference could show in."""
    gradients = [p.grad if p.grad is not None else torch.zeros(()) for p in block.parameters()]
    input_gradients = [x.grad if x.grad is not None else torch.zeros(()) for x in inputs]
    return [*(o.detach() for o in outputs), *gradients, *input_gradients, *block.buffers(), torch.get_rng_state()]


def assert_same(compute: Callable[[nn.Module, Run, list[Tensor]], list[Tensor]], block: nn.Module) -> None:
    """`compute` leaves the same traces, bit for bit, whether it calls blocks directly or checkpointed."""
    traces = []
    for run in (direct, checkpointed):
        torch.manual_seed(3)
        own = copy.deepcopy(block)
        inputs = [torch.randn(2, 4, 5, 6, requires_grad=True) for _ in range(2)]
        traces.append(evidence(own, inputs, compute(own, run, inputs)))
    for a, b in zip(*traces, strict=True):
        assert a.dtype is b.dtype
        assert torch.equal(a, b)


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Any:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@settings(max_examples=40)
@given(
    mode=st.sampled_from(sorted(MODES)),
    calls=st.integers(1, 3),
    between=st.integers(0, 2),
    dropout=st.sampled_from([0.0, 0.4]),
    training=st.booleans(),
    maps=st.booleans(),
)
def test_values_gradients_and_buffers_are_those_of_a_direct_call(
    mode: str, calls: int, between: int, dropout: float, training: bool, maps: bool
) -> None:
    def compute(block: nn.Module, run: Run, inputs: list[Tensor]) -> list[Tensor]:
        outputs = []
        with MODES[mode]():
            x = inputs[0]
            for _ in range(calls):  # several iterations of the power method lie between a forward and its backward
                x = run(block, x, [inputs[1], inputs[1] * 2] if maps else None, 0.5)
                outputs.append(x)
        with torch.no_grad():
            for _ in range(between):  # so does a call that needs no gradient, as when a GAN makes its next fake
                run(block, inputs[1])
        sum(o.float().square().mean() for o in outputs).backward()  # type: ignore[union-attr]
        return outputs

    assert_same(compute, Block(dropout=dropout).train(training))


@pytest.mark.parametrize("mode", sorted(MODES))
def test_a_weight_cast_before_the_block_changes_nothing(mode: str) -> None:
    """Autocast may have cached the cast of a weight that the block uses, and has not when it is recomputed."""

    def compute(block: nn.Module, run: Run, inputs: list[Tensor]) -> list[Tensor]:
        with MODES[mode]():
            before = block.get_submodule("second")(inputs[0])
            out = run(block, inputs[1])
            (before * out).float().sum().backward()
        return [before, out]

    assert_same(compute, Block())


@pytest.mark.parametrize("mode", sorted(MODES))
def test_checkpointed_blocks_may_hold_checkpointed_blocks(mode: str) -> None:
    class Outer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = nn.ModuleList(Block(dropout=0.3) for _ in range(2))

        def forward(self, run: Run, x: Tensor) -> Tensor:
            for block in self.inner:
                x = run(block, x)
            return x

    def compute(block: nn.Module, run: Run, inputs: list[Tensor]) -> list[Tensor]:
        with MODES[mode]():
            out = run(block, run, run(block, run, inputs[0]))
        out.float().square().sum().backward()
        return [out]

    assert_same(compute, Outer())


def test_backward_may_come_twice() -> None:
    def compute(block: nn.Module, run: Run, inputs: list[Tensor]) -> list[Tensor]:
        out = run(block, run(block, inputs[0]))
        out.sum().backward(retain_graph=True)
        out.square().sum().backward()
        return [out]

    assert_same(compute, Block(dropout=0.3))


def test_gradients_of_gradients() -> None:
    def compute(block: nn.Module, run: Run, inputs: list[Tensor]) -> list[Tensor]:
        out = run(block, inputs[0])
        (gradient,) = torch.autograd.grad(out.square().sum(), inputs[0], create_graph=True)
        gradient.square().sum().backward()
        return [out, gradient]

    assert_same(compute, Block())


def test_gradients_of_inputs_alone_and_of_parameters_alone() -> None:
    def of_inputs(block: nn.Module, run: Run, inputs: list[Tensor]) -> list[Tensor]:
        block.requires_grad_(False)  # as the discriminator in an update of the generator
        out = run(block, inputs[0])
        out.square().sum().backward()
        return [out]

    def of_parameters(block: nn.Module, run: Run, inputs: list[Tensor]) -> list[Tensor]:
        out = run(block, inputs[0].detach())
        out.square().sum().backward()
        return [out]

    assert_same(of_inputs, Block())
    assert_same(of_parameters, Block())


def test_training_flags_are_those_of_the_forward() -> None:
    def compute(block: nn.Module, run: Run, inputs: list[Tensor]) -> list[Tensor]:
        block.get_submodule("norm").eval()
        out = run(block.train(), inputs[0])
        block.eval()
        out.square().sum().backward()
        assert not any(module.training for module in block.modules())
        return [out]

    assert_same(compute, Block(dropout=0.5))


def test_nested_structures_go_in_and_come_out() -> None:
    class Several(nn.Module):
        def forward(self, pairs: dict[str, tuple[Tensor, Tensor | None]]) -> dict[str, Any]:
            first, none = pairs["first"]
            assert none is None
            return {"sum": (first + 1).exp(), "none": None}

    x = torch.ones(2, requires_grad=True)
    out = checkpointed(Several(), {"first": (x, None)})
    assert out["none"] is None
    out["sum"].sum().backward()
    assert torch.equal(x.grad, (torch.ones(2) + 1).exp())  # type: ignore[arg-type]


def test_where_no_gradient_is_needed_the_block_runs_once_and_nothing_is_kept() -> None:
    block = Block()
    with torch.no_grad():
        assert not checkpointed(block, torch.randn(1, 4, 4, 4, requires_grad=True)).requires_grad
    block.requires_grad_(False)
    assert not checkpointed(block, torch.randn(1, 4, 4, 4)).requires_grad
    assert block.times_run == 2


def test_recomputing_does_not_touch_the_real_buffers() -> None:
    block = Block()
    out = checkpointed(block, torch.randn(1, 4, 4, 4))
    before = {name: buffer.clone() for name, buffer in block.named_buffers()}
    out.sum().backward()
    assert block.times_run == 2
    assert block.calls.item() == 1
    for name, buffer in block.named_buffers():
        assert torch.equal(buffer, before[name]), name


def kept_bytes(run: Run, depth: int) -> int:
    """Bytes that autograd holds on to between forward and backward, inputs and parameters left out."""
    blocks = [Block() for _ in range(depth)]
    x = torch.randn(2, 4, 16, 16, requires_grad=True)
    free = {p.data_ptr() for block in blocks for p in block.parameters()} | {x.data_ptr()}
    kept: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        if tensor.data_ptr() not in free:
            kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        for block in blocks:
            x = run(block, x)
    x.sum().backward()
    return sum(kept.values())


def test_only_the_inputs_of_blocks_are_kept() -> None:
    one_map = 2 * 4 * 16 * 16 * 4
    depth = 6
    assert kept_bytes(checkpointed, depth) <= depth * one_map
    assert kept_bytes(direct, depth) > 3.5 * depth * one_map


def test_a_step_between_forward_and_backward_is_an_error_that_names_the_weight() -> None:
    block = Block()
    optimizer = torch.optim.Adam(block.parameters(), lr=0.1, foreach=True)
    out = checkpointed(block, torch.randn(1, 4, 4, 4))
    for parameter in block.parameters():
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    with pytest.raises(ActivationError, match="was written to between forward and backward") as caught:
        out.sum().backward()
    assert caught.value.parameter in dict(block.named_parameters())


def test_a_frozen_weight_between_forward_and_backward_is_an_error() -> None:
    block = Block()
    out = checkpointed(block, torch.randn(1, 4, 4, 4, requires_grad=True))
    block.requires_grad_(False)
    with pytest.raises(ActivationError, match="changed its requires_grad"):
        out.sum().backward()


def test_an_error_of_the_block_comes_out_as_it_is() -> None:
    with pytest.raises(RuntimeError, match="expected input"):
        checkpointed(Block(), torch.randn(1, 3, 4, 4, requires_grad=True))
