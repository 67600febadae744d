"""Generators of which parts are compiled learn what they learn otherwise, under the same names."""

import copy
import functools
from typing import Any

import pytest
import torch
from faults import everything, same
from test_step import DOCUMENT, setup, street_clip
from vs_config import load_config
from vs_nets.layers import SpadeResidualBlock
from vs_runtime import compile_modules
from vs_training.config import TrainConfig
from vs_training.errors import VsTrainingError
from vs_training.networks import REGIONS
from vs_training.saved import restore_state, state_to_save
from vs_training.step import train_clip

pytestmark = pytest.mark.filterwarnings("ignore")  # PyTorch's compiler warns of PyTorch, and of gradients it looks for


@pytest.fixture
def backend(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Trace all the same, but leave out the C++ compiler, which takes a minute for a few blocks."""
    name: str = getattr(request, "param", "aot_eager")
    original = torch.nn.Module.compile
    monkeypatch.setattr(torch.nn.Module, "compile", functools.partialmethod(original, backend=name))
    torch._dynamo.reset()
    return name


def config(*, compiled: bool, **memory: Any) -> TrainConfig:
    return load_config(TrainConfig, {**DOCUMENT, "performance": {"compile": compiled}, "memory": memory})


def test_without_a_compiler_it_is_refused_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vs_ops._compiling._without_cpp_compiler", lambda: "there is no g++")
    with pytest.raises(
        VsTrainingError, match=r"^performance.compile: there is no g\+\+; or train without it, .*=false$"
    ):
        setup(config(compiled=True))


def test_names_and_first_values_are_those_of_networks_that_are_not_compiled() -> None:
    state, plain = (setup(config(compiled=compiled))[0] for compiled in (True, False))
    regions = [each for each in state.generator.modules() if isinstance(each, REGIONS)]
    assert len(regions) > 10
    assert all(each._compiled_call_impl is not None for each in regions)
    for network, other in ((state.generator, plain.generator), (state.discriminator, plain.discriminator)):
        tensors, others = network.state_dict(), other.state_dict()
        assert tensors.keys() == others.keys()
        assert all(torch.equal(tensors[name], others[name]) for name in tensors)


@pytest.mark.usefixtures("backend")
def test_a_compiled_block_gives_values_gradients_and_power_iterations_of_the_block() -> None:
    torch.manual_seed(0)
    block = SpadeResidualBlock(4, 2, [3], kernel=3, spade_kernel=1, spectral=True)
    compiled = copy.deepcopy(block)
    assert compile_modules([compiled]) == 1
    x, one_map, upstream = torch.randn(2, 4, 6, 5), torch.randn(2, 3, 6, 5), torch.randn(2, 2, 6, 5)
    found = []
    for each in (block, compiled):
        result = each(x, (one_map,))
        gradients = torch.autograd.grad(result, list(each.parameters()), upstream)
        found.append((result, *gradients, *each.buffers()))
    torch.testing.assert_close(*found, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["eager"], indirect=True)
@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize("memory", [{}, {"checkpoint": "blocks"}], ids=str)
def test_what_is_traced_is_bit_for_bit_the_step_by_references(
    memory: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """References are what the compiler traces. Left uncompiled they show whether tracing keeps what a step does."""
    monkeypatch.setenv("VS_OPS_IMPL", "reference")
    ends = []
    for compiled in (True, False):
        state, recipe = setup(config(compiled=compiled, **memory))
        for _ in range(2):
            state, _ = train_clip(state, street_clip(3), recipe)
        ends.append(everything(state))
    assert same(*ends)


@pytest.mark.slow
@pytest.mark.usefixtures("backend")
def test_a_compiled_run_that_goes_on_is_bit_for_bit_the_unbroken_one() -> None:
    """The one that goes on compiles anew, as another process would."""
    unbroken, recipe = setup(config(compiled=True))
    unbroken, _ = train_clip(unbroken, street_clip(3), recipe)
    saved = copy.deepcopy(state_to_save(unbroken))
    unbroken, _ = train_clip(unbroken, street_clip(3), recipe)
    torch._dynamo.reset()
    resumed, recipe = setup(config(compiled=True))
    resumed, _ = train_clip(restore_state(resumed, saved), street_clip(3), recipe)
    assert same(everything(resumed), everything(unbroken))
