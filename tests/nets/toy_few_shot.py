"""A small few-shot generator, and what its tests show it and ask of it."""

from collections.abc import Iterator
from copy import deepcopy
from functools import cache

import attrs
import pytest
import torch
import vs_nets as nets
from torch import Tensor
from vs_nets.spectral import SpectralLayer

H, W, C = 16, 32, 2
PLAIN = nets.WeightGeneratorConfig(levels=2)
ATTENTION = attrs.evolve(PLAIN, attention=nets.AttentionConfig(downsamples=1))
CONVOLUTIONS = attrs.evolve(PLAIN, convolutions=True)
EVERYTHING = attrs.evolve(ATTENTION, convolutions=True)
TOY = nets.FewShotGeneratorConfig(
    downsamples=3,
    filters=4,
    max_filters=32,
    embedder=nets.EmbedderConfig(filters=4, max_filters=32, downsamples=3),
    weights=PLAIN,
    flow=nets.FlowConfig(filters=4, max_filters=8, downsamples=2, residual_blocks=1, multiplier=2.0),
    combination=nets.SpadeCombination(
        levels=2,
        embedder=nets.EmbedderConfig(arch="unet", filters=4, max_filters=16, downsamples=2),
        raw_output=True,
    ),
)

by_weights = pytest.mark.parametrize(
    "weights",
    [PLAIN, ATTENTION, CONVOLUTIONS, EVERYTHING],
    ids=["spade", "attention", "convolutions", "everything"],
)


@cache
def built(config: nets.FewShotGeneratorConfig) -> nets.FewShotGenerator:
    torch.manual_seed(0)
    generator = nets.build_generator(config, label_channels=C)
    for module in generator.modules():
        if isinstance(module, SpectralLayer):
            module.reset_parameters(gain=1.0)
            torch.nn.init.normal_(module.bias, std=0.1)
    return generator


def build(weights: nets.WeightGeneratorConfig = PLAIN, **changes: object) -> nets.FewShotGenerator:
    """A generator whose every part matters: at their initial size most weights hardly do. Always the same one."""
    return deepcopy(built(attrs.evolve(TOY, weights=weights, **changes)))


def label(seed: int, n: int = 2) -> Tensor:
    return torch.rand(n, C, H, W, generator=torch.Generator().manual_seed(seed))


def frame(seed: int, n: int = 2) -> Tensor:
    return torch.rand(n, 3, H, W, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def references(k: int, n: int = 2, seed: int = 100) -> nets.References:
    return nets.References(
        frames=torch.stack([frame(seed + i, n) for i in range(k)], 1),
        labels=torch.stack([label(seed + i, n) for i in range(k)], 1),
    )


def of_references(known: nets.References, order: list[int]) -> nets.References:
    return nets.References(frames=known.frames[:, order], labels=known.labels[:, order])


def history(frames: int = 1, n: int = 2) -> nets.History:
    return nets.History(
        labels=tuple(label(50 + i, n) for i in range(frames)), frames=tuple(frame(50 + i, n) for i in range(frames))
    )


def synthesize(
    generator: nets.FewShotGenerator, known: nets.References, past: nets.History | None = None, seed: int = 0
) -> nets.Synthesis:
    """One frame, after one past frame unless told otherwise."""
    n = known.frames.shape[0]
    return generator(label(seed, n), history(n=n) if past is None else past, generator.encode_references(known))


def tensors_of(synthesis: nets.Synthesis) -> dict[str, Tensor]:
    plain = {name: x for name, x in vars_of(synthesis).items() if isinstance(x, Tensor) and name != "chosen"}
    assert synthesis.reference is not None
    return plain | {f"reference.{name}": x for name, x in vars_of(synthesis.reference).items()}


def vars_of(value: attrs.AttrsInstance) -> dict[str, Tensor]:
    return {a.name: getattr(value, a.name) for a in attrs.fields(type(value))}


def close(actual: nets.Synthesis, expected: nets.Synthesis, atol: float = 1e-4) -> None:
    found, wanted = tensors_of(actual), tensors_of(expected)
    assert found.keys() == wanted.keys()
    for name, x in wanted.items():
        torch.testing.assert_close(found[name], x, rtol=0, atol=atol, msg=lambda text, name=name: f"{name}: {text}")


def same(actual: nets.Synthesis, expected: nets.Synthesis) -> None:
    found, wanted = tensors_of(actual), tensors_of(expected)
    assert found.keys() == wanted.keys()
    assert [name for name, x in wanted.items() if not torch.equal(found[name], x)] == []


def of_clip(generator: nets.FewShotGenerator, known: nets.References, frames: int) -> Iterator[nets.Synthesis]:
    """As in training: references encoded anew for each frame."""
    past = nets.History()
    for t in range(frames):
        synthesis = synthesize(generator, known, past, seed=t)
        past = nets.remember(past, label(t, known.frames.shape[0]), synthesis.frame, generator.config.frames - 1)
        yield synthesis


def loss_of(syntheses: Iterator[nets.Synthesis]) -> Tensor:
    return torch.stack([x.square().mean() for s in syntheses for x in tensors_of(s).values()]).sum()
