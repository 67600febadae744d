"""Normalising the weights of many layers at once is what each of them alone would have done."""

import copy
from typing import Any

import pytest
import torch
import vs_nets as nets
import vs_ops
from torch import Tensor, nn
from vs_nets import spectral
from vs_nets.layers import Conv2d, Linear
from vs_nets.spectral import normalised_at_once, spectral_layers


def layers() -> nn.ModuleList:
    torch.manual_seed(0)
    plain = Conv2d(3, 4)
    return nn.ModuleList([Conv2d(3, 4, spectral=True), plain, Linear(5, 6, spectral=True)]).train()


def vectors(module: nn.Module) -> dict[str, Tensor]:
    return {name: buffer.clone() for name, buffer in module.named_buffers()}


def call(conv: nn.Module, plain: nn.Module, linear: nn.Module) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    x, rows = torch.randn(1, 3, 6, 5, generator=generator), torch.randn(2, 5, generator=generator)
    return conv(x).mean() + plain(x).mean() + linear(rows).square().mean() + conv(x).square().mean()  # type: ignore[no-any-return]


@pytest.mark.parametrize("training", [True, False])
def test_values_gradients_and_vectors_are_those_of_single_calls(training: bool) -> None:
    together, alone = layers().train(training), layers().train(training)
    with normalised_at_once(together):
        one = call(*together)
    other = call(*alone)
    torch.testing.assert_close(one, other)
    one.backward()
    other.backward()
    for a, b in zip(together.parameters(), alone.parameters(), strict=True):
        torch.testing.assert_close(a.grad, b.grad)
    torch.testing.assert_close(vectors(together), vectors(alone))


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("together", [True, False])
def test_large_weights_whose_results_are_divided_give_the_same(
    training: bool, together: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = []
    for large in (2**40, 1):
        monkeypatch.setattr(spectral, "_LARGE", large)
        group = layers().train(training)
        taken = []
        monkeypatch.setattr(vs_ops, "spectral_conv2d", counted(vs_ops.spectral_conv2d, taken))
        with normalised_at_once(group if together else nn.ModuleList()):
            result = call(*group)
        result.backward()
        monkeypatch.undo()
        found.append((result, vectors(group), [p.grad for p in group.parameters()]))
        assert len(taken) == (2 if large == 1 else 0)  # the one spectrally normalised convolution is called twice
    torch.testing.assert_close(*found)


def counted(function: Any, calls: list[int]) -> Any:
    def call(*args: Any, **kwargs: Any) -> Any:
        calls.append(1)
        return function(*args, **kwargs)

    return call


def test_under_autocast_large_weights_are_divided_and_cast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spectral, "_LARGE", 1)
    conv = layers()[0]
    with torch.autocast("cpu", torch.bfloat16):
        assert conv.next_normalised().sigma is None
    assert conv.next_normalised().sigma is not None


def test_each_call_of_a_layer_iterates_once() -> None:
    group, alone = layers(), layers()
    with normalised_at_once(group):
        for _ in range(3):
            group[0].next_weight()
        group[2].next_weight()
    for index, calls in ((0, 3), (2, 1)):
        u, v, weight = alone[index].u, alone[index].v, alone[index].weight.detach().flatten(1)
        for _ in range(calls):
            u, v = vs_ops.power_iteration(weight, u, v)
        torch.testing.assert_close(group[index].u, u)
        torch.testing.assert_close(group[index].v, v)


def test_a_layer_that_is_named_and_not_called_keeps_its_vectors_and_gets_no_gradient() -> None:
    group = layers()
    before = vectors(group)
    with normalised_at_once(group):
        loss = group[2](torch.ones(2, 5)).square().mean()
    loss.backward()
    after = vectors(group)
    assert torch.equal(before["0.u"], after["0.u"])
    assert torch.equal(before["0.v"], after["0.v"])
    assert group[0].weight.grad is None
    assert not torch.equal(before["2.u"], after["2.u"])


def test_a_nested_group_does_not_iterate_what_lies_ready() -> None:
    group, alone = layers(), layers()
    with normalised_at_once(group):
        ready = group[0].ready
        with normalised_at_once(group[0]):
            assert group[0].ready is ready
        assert group[0].ready is ready
        group[0].next_weight()
        with normalised_at_once(group[0]):  # the second call goes on from the first
            group[0].next_weight()
    assert group[0].ready is None
    for _ in range(2):
        alone[0].next_weight()
    torch.testing.assert_close(group[0].u, alone[0].u)


def test_after_an_error_nothing_lies_ready_and_what_was_called_has_advanced() -> None:
    group, alone = layers(), layers()
    before = vectors(group)

    def fail() -> None:
        with normalised_at_once(group):
            group[0].next_weight()
            raise RuntimeError("deliberate")

    with pytest.raises(RuntimeError, match="deliberate"):
        fail()
    assert all(layer.ready is None and layer.unwritten is None for layer in group)
    alone[0].next_weight()
    torch.testing.assert_close(group[0].u, alone[0].u)
    assert torch.equal(before["2.u"], group[2].u)


def test_under_autocast_weights_are_made_in_its_dtype() -> None:
    group = layers()
    with torch.autocast("cpu", torch.bfloat16), normalised_at_once(group):
        assert group[0].ready.weight.dtype is torch.bfloat16
        assert group[0](torch.randn(1, 3, 6, 5)).dtype is torch.bfloat16
    assert group.double()[0].next_weight().dtype is torch.float64


class Counted:
    """Counts the layers of each call of `spectral_normalize_all`."""

    def __init__(self) -> None:
        self.calls: list[int] = []
        self.counted = vs_ops.spectral_normalize_all

    def __call__(self, weights: Any, us: Any, vs: Any, **options: Any) -> Any:
        self.calls.append(len(weights))
        return self.counted(weights, us, vs, **options)


SMALL = nets.GeneratorConfig(
    levels=3,
    image_downsamples=1,
    filters=4,
    max_filters=8,
    embedder=nets.EmbedderConfig(filters=4, max_filters=8, downsamples=2),
    flow=nets.FlowConfig(filters=4, max_filters=8, downsamples=2, residual_blocks=1),
    combination=nets.SpadeCombination(
        levels=2,
        raw_output=True,
        embedder=nets.EmbedderConfig(arch="unet", filters=4, max_filters=8, downsamples=2),
    ),
)


def count(*modules: nn.Module) -> int:
    return sum(1 for module in modules for _ in spectral_layers(module))


def test_a_generator_normalises_all_that_it_calls_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = nets.build_generator(SMALL, label_channels=3).train()
    counted = Counted()
    monkeypatch.setattr(spectral.vs_ops, "spectral_normalize_all", counted)
    label, frame = torch.randn(1, 3, 16, 24), torch.randn(1, 3, 16, 24)
    generator(label, nets.History())
    begin = count(generator.embed_label, generator.up)
    raw = count(*generator.up[:2])  # a second time, for the raw output
    assert counted.calls == [begin, *[1] * raw]
    counted.calls.clear()
    generator(label, nets.History(labels=(label, label), frames=(frame, frame)))
    parts = (generator.embed_label, generator.down, generator.middle, generator.flow, generator.embed_warped)
    assert counted.calls[0] == count(*parts, *generator.up[:2])
    assert counted.calls[1:] == [count(generator.embed_label), *[1] * raw]  # the previous label


@pytest.mark.parametrize("frames", [0, 1, 2])
def test_a_generator_computes_what_it_did_layer_by_layer(frames: int, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    generator = nets.build_generator(SMALL, label_channels=3).train()
    other = copy.deepcopy(generator)
    label, frame = torch.randn(1, 3, 16, 24), torch.randn(1, 3, 16, 24)
    history = nets.History(labels=(label,) * frames, frames=(frame,) * frames)
    together = generator(label, history)
    monkeypatch.setattr("vs_nets.spectral.torch.compiler.is_compiling", lambda: True)  # which prepares nothing
    alone = other(label, history)
    torch.testing.assert_close(together.frame, alone.frame, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(together.raw, alone.raw, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(vectors(generator), vectors(other), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("named", ["everything", "nothing"])
@pytest.mark.parametrize("frames", [0, 2])
def test_which_layers_are_named_changes_no_value(named: str, frames: int, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    generator = nets.build_generator(SMALL, label_channels=3).train()
    other = copy.deepcopy(generator)
    label, frame = torch.randn(1, 3, 16, 24), torch.randn(1, 3, 16, 24)
    history = nets.History(labels=(label,) * frames, frames=(frame,) * frames)
    expected = generator(label, history)
    monkeypatch.setattr(other, "_called", lambda _: [other] if named == "everything" else [])
    found = other(label, history)
    torch.testing.assert_close(found.frame, expected.frame, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(vectors(other), vectors(generator), rtol=1e-4, atol=1e-5)
    monkeypatch.undo()
    torch.testing.assert_close(other(label, history).frame, generator(label, history).frame, rtol=1e-4, atol=1e-5)


def test_a_layer_that_is_an_island_under_autocast_gets_its_weight_unrounded_and_iterates_once() -> None:
    group, alone = layers(), layers()
    with torch.autocast("cpu", torch.bfloat16), normalised_at_once(group), torch.autocast("cpu", enabled=False):
        weight = group[0].next_weight()
    assert weight.dtype is torch.float32
    torch.testing.assert_close(weight, alone[0].next_weight())
    torch.testing.assert_close(group[0].u, alone[0].u)
    assert group[0].ready is None


def test_large_weights_up_sample_first_and_are_never_divided(monkeypatch: pytest.MonkeyPatch) -> None:
    x = torch.randn(2, 3, 4, 5, generator=torch.Generator().manual_seed(0))
    found = []
    for large in (2**40, 1):
        monkeypatch.setattr(spectral, "_LARGE", large)
        conv, taken = layers()[0], []
        monkeypatch.setattr(vs_ops, "spectral_normalize", counted(vs_ops.spectral_normalize, taken))
        y = conv(x, upsample=True)
        y.square().mean().backward()
        monkeypatch.undo()
        assert not taken
        found.append((y, conv.weight.grad, conv.bias.grad, vectors(conv)))
    torch.testing.assert_close(*found)
