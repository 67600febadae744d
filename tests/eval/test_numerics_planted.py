"""Faults planted in random layers of random networks: the audit ranks that layer first, and is silent without one."""

import random
from collections.abc import Callable

import attrs
import pytest
import torch
import vs_nets.layers as ours
from torch import Tensor, nn
from vs_eval.numerics.audit import Result, audit, examine
from vs_eval.numerics.execution import Execution, Networks, Workload
from vs_eval.numerics.ranges import BFLOAT16, FLOAT16, Format

SEEDS = range(8)
Fault = Callable[[random.Random, nn.ModuleList], int]

formats = pytest.mark.parametrize("form", [FLOAT16, BFLOAT16], ids=lambda form: form.name)
seeds = pytest.mark.parametrize("seed", SEEDS)


class Chain(nn.Module):
    def __init__(self, layers: list[nn.Module]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = layer(x)
        return x


class HiddenNorm(nn.Module):
    """A normalisation whose eps is out of reach, and that does something else besides."""

    def forward(self, x: Tensor) -> Tensor:
        centred = x - x.mean((2, 3), keepdim=True)
        scaled = centred.float() if x.dtype is not torch.float64 else centred
        return (torch.tanh(scaled * torch.rsqrt(scaled.square().mean((2, 3), keepdim=True) + 3e-4)) * 2).to(x.dtype)


NORMS = (
    ours.InstanceNorm2d,
    lambda channels: nn.InstanceNorm2d(channels, affine=True),
    nn.BatchNorm2d,
    lambda channels: nn.GroupNorm(1, channels),
    lambda channels: nn.GroupNorm(2, channels),
)


@attrs.frozen(kw_only=True)
class Case:
    network: Chain
    workload: Workload
    choice: random.Random


def random_case(seed: int) -> Case:
    """Two to five blocks of convolution, norm (or none) and activation; at least one has a norm."""
    choice = random.Random(seed)
    torch.manual_seed(seed)
    inputs = width = choice.choice([2, 3, 5])
    layers: list[nn.Module] = []
    blocks = choice.randint(2, 5)
    always = choice.randrange(blocks)
    for block in range(blocks):
        wider, kernel = choice.choice([4, 6, 8]), choice.choice([1, 3])
        if choice.random() < 0.5:
            layers.append(nn.Conv2d(width, wider, kernel, padding=kernel // 2))
        else:
            layers.append(ours.Conv2d(width, wider, kernel, spectral=True))
        if block == always or choice.random() < 0.8:
            layers.append(choice.choice(NORMS)(wider))
        layers.append(choice.choice([nn.LeakyReLU(0.2), nn.ReLU(), nn.GELU(), nn.Tanh()]))
        width = wider
    layers.append(nn.Conv2d(width, 3, 3, padding=1))
    network = Chain(layers)
    return Case(network=network, workload=regression(network, inputs), choice=choice)


def regression(network: nn.Module, inputs: int) -> Workload:
    x, y = torch.randn(2, inputs, 16, 16), torch.randn(2, 3, 16, 16)

    def step(networks: Networks, execution: Execution) -> None:
        with execution.forward():
            made = networks["net"](x.to(execution.dtype))
            loss = (made.to(torch.promote_types(made.dtype, torch.float32)) - y.to(execution.dtype)).square().mean()
        execution.backward("net", loss)

    return Workload(networks={"net": network}, step=step)


def norms_of(layers: nn.ModuleList) -> list[int]:
    return [index for index, layer in enumerate(layers) if "Norm" in type(layer).__name__]


def plain_before(choice: random.Random, layers: nn.ModuleList, index: int) -> nn.Conv2d:
    """Put a convolution without spectral norm before a norm, with biases that are alike within a group of channels."""
    old = layers[index - 1]
    channels, inputs, kernel = old.weight.shape[:3]
    plain = layers[index - 1] = nn.Conv2d(inputs, channels, kernel, padding=kernel // 2)
    grouped = isinstance(layers[index], nn.GroupNorm)
    values = [choice.uniform(0.5, 4)] * channels if grouped else [choice.uniform(0.5, 4) for _ in range(channels)]
    plain.bias.data = torch.tensor(values)
    return plain


def tiny_eps(choice: random.Random, layers: nn.ModuleList) -> int:
    """A norm with a tiny eps meets planes that hardly vary."""
    index = choice.choice(norms_of(layers))
    plain_before(choice, layers, index).weight.data *= 1e-4
    layers[index].eps = 10.0 ** -choice.randint(8, 12)
    return index


def constant_input(choice: random.Random, layers: nn.ModuleList) -> int:
    """A norm meets planes that do not vary at all."""
    index = choice.choice(norms_of(layers))
    plain_before(choice, layers, index).weight.data *= 0.0
    return index


def huge_weight(choice: random.Random, layers: nn.ModuleList) -> int:
    """A convolution's results leave float16."""
    index = choice.choice([i for i, layer in enumerate(layers) if isinstance(layer, nn.Conv2d)])
    layers[index].weight.data *= 2.0 ** choice.randint(19, 24)
    return index


def tiny_weight(choice: random.Random, layers: nn.ModuleList) -> int:
    """A convolution's results are lost in float16."""
    index = choice.choice([i for i, layer in enumerate(layers) if isinstance(layer, nn.Conv2d)])
    layers[index].weight.data *= 2.0 ** -choice.randint(27, 40)
    nn.init.zeros_(layers[index].bias)
    return index


def examined(case: Case, form: Format) -> Result:
    return examine(case.workload, form)[1]


@formats
@seeds
def test_a_healthy_network_raises_no_alarm(form: Format, seed: int) -> None:
    assert examined(random_case(seed), form).totals.at_risk == 0


@formats
@pytest.mark.parametrize("fault", [tiny_eps, constant_input])
@seeds
def test_a_norm_that_amplifies_noise_is_ranked_first(form: Format, fault: Fault, seed: int) -> None:
    case = random_case(seed)
    index = fault(case.choice, case.network.layers)
    worst = examined(case, form).ranked[0]
    assert worst.at_risk
    assert worst.layer.key == ("net", f"layers.{index}")
    assert worst.score.cause == "cancellation"


@pytest.mark.parametrize("fault", [huge_weight, tiny_weight])
@seeds
def test_a_weight_that_leads_out_of_the_range_is_ranked_first(fault: Fault, seed: int) -> None:
    case = random_case(seed)
    index = fault(case.choice, case.network.layers)
    worst = examined(case, FLOAT16).ranked[0]
    assert worst.at_risk
    assert worst.layer.key == ("net", f"layers.{index}")
    assert worst.score.cause == "range"
    assert (worst.layer.breaks > 0) == (fault is huge_weight)


@seeds
def test_what_is_huge_for_float16_is_none_of_bfloat16s_business(seed: int) -> None:
    case = random_case(seed)
    index = huge_weight(case.choice, case.network.layers)
    assert examined(case, BFLOAT16).of(("net", f"layers.{index}")).score.range == 0


@seeds
def test_no_network_is_changed_by_being_examined(seed: int) -> None:
    case = random_case(seed)
    before = {name: value.clone() for name, value in case.network.state_dict().items()}
    random_state = torch.get_rng_state()
    examined(case, FLOAT16)
    assert all(torch.equal(value, before[name]) for name, value in case.network.state_dict().items())
    assert all(parameter.grad is None for parameter in case.network.parameters())
    assert torch.equal(torch.get_rng_state(), random_state)


@formats
@pytest.mark.parametrize("seed", SEEDS[:4])
def test_a_larger_eps_takes_the_alarm_and_the_noise_away(form: Format, seed: int) -> None:
    case = random_case(seed)
    key = "net", f"layers.{tiny_eps(case.choice, case.network.layers)}"
    found = audit(case.workload, form)
    effect = next(effect for effect in found.effects if effect.proposal.kind == "eps")
    assert effect.proposal.changes.eps.keys() == {key}
    before, after = found.result.of(key), effect.result.of(key)
    assert before.at_risk
    assert not after.at_risk
    assert after.layer.norm.amplification[1] < before.layer.norm.amplification[1] / 100
    # In units of an ordinary result, which is 1: the planes' own results have become small.
    assert noise_of(after.layer) < noise_of(before.layer) / 10


def noise_of(layer) -> float:
    return layer.output.error * layer.output.exact.rms


@pytest.mark.parametrize("seed", SEEDS[:4])
def test_a_float32_island_takes_the_noise_away(seed: int) -> None:
    case = random_case(seed)
    index = tiny_eps(case.choice, case.network.layers)
    found = audit(case.workload, FLOAT16)
    effect = next(effect for effect in found.effects if effect.proposal.kind == "islands")
    assert effect.proposal.changes.islands == {("net", f"layers.{index}"), ("net", f"layers.{index - 1}")}
    before, after = (result.of(("net", f"layers.{index}")) for result in (found.result, effect.result))
    assert after.layer.output.error < before.layer.output.error / 10
    assert after.score.total < before.score.total


def test_a_loss_scale_at_which_gradients_overflow_is_lowered_and_one_at_which_they_vanish_is_raised() -> None:
    case = random_case(3)
    for scale, before, after in ((2.0**40, "broken", 0.0), (2.0**-24, "lost", 0.01)):
        found = audit(case.workload, FLOAT16, scales={"net": scale})
        (effect,) = (effect for effect in found.effects if effect.proposal.kind == "scale")
        assert getattr(found.result.totals, before) > 0.5
        assert getattr(effect.result.totals, before) <= after
        assert effect.proposal.scales["net"] == found.result.totals.fitting["net"]
    fits = found.result.totals.fitting["net"]
    assert not audit(case.workload, FLOAT16, scales={"net": fits}).effects
    assert examine(case.workload, FLOAT16, scales={"net": 2 * fits})[1].totals.fitting["net"] == fits


def test_a_norm_is_found_and_its_eps_changed_where_nothing_says_that_it_is_one() -> None:
    torch.manual_seed(0)
    first = nn.Conv2d(2, 4, 3, padding=1)
    network = Chain([first, HiddenNorm(), nn.Conv2d(4, 3, 3, padding=1)])
    first.weight.data *= 1e-4
    first.bias.data = torch.tensor([2.0, -1.0, 3.0, 0.5])
    found = audit(regression(network, 2), FLOAT16)
    worst = found.result.ranked[0]
    assert worst.layer.key == ("net", "layers.1")
    assert worst.layer.norm.eps == pytest.approx(3e-4, rel=1e-6)
    effect = found.effects[0]
    assert effect.proposal.changes.eps == {("net", "layers.1"): pytest.approx(1.0)}
    after = effect.result.of(("net", "layers.1"))
    assert after.layer.norm.eps == 1.0
    assert after.layer.output.exact.rms < worst.layer.output.exact.rms / 10
    assert not after.at_risk
