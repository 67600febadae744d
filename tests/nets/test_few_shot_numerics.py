"""EMA, gradients, precision and memory of the few-shot generator; samples of a batch beside each other."""

from collections.abc import Callable

import attrs
import pytest
import torch
import vs_nets as nets
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from toy_few_shot import (
    EVERYTHING,
    PLAIN,
    TOY,
    C,
    build,
    by_weights,
    close,
    history,
    label,
    loss_of,
    of_clip,
    references,
    same,
    synthesize,
    tensors_of,
)
from vs_nets.layers import InstanceNorm2d
from vs_runtime import checkpointed


@by_weights
def test_the_ema_computes_the_same_without_spectral_norm(weights: nets.WeightGeneratorConfig) -> None:
    generator = build(attrs.evolve(weights, label_eps=0.07))
    list(of_clip(generator, references(2), 2))  # training mode: power iterations
    ema = nets.build_ema(generator.config, label_channels=C)
    ema.load_state_dict(nets.effective_weights(generator))
    assert not any(name.endswith((".u", ".v")) for name in ema.state_dict())
    assert not ema.training
    assert not any(p.requires_grad for p in ema.parameters())
    for k in (1, 2):
        close(synthesize(ema, references(k)), synthesize(generator.eval(), references(k)))


def eps_of(module: torch.nn.Module) -> dict[str, float]:
    return {name: m.eps for name, m in module.named_modules() if isinstance(m, InstanceNorm2d)}


@pytest.mark.parametrize("make", [nets.build_generator, nets.build_ema])
@pytest.mark.parametrize("eps", [None, 0.07])
def test_eps_stands_in_the_label_encoder_alone(make: Callable[..., nets.FewShotGenerator], eps: float | None) -> None:
    weights = EVERYTHING if eps is None else attrs.evolve(EVERYTHING, label_eps=eps)
    found = eps_of(make(attrs.evolve(TOY, weights=weights), label_channels=C))
    encoder = {name for name in found if name.startswith("weights.encode_label.")}
    assert len(encoder) == 1 + 3 + 3
    assert {found[name] for name in encoder} == {0.1 if eps is None else eps}
    assert {value for name, value in found.items() if name not in encoder} == {1e-5}


@by_weights
@pytest.mark.parametrize("frames", [2, 3])
def test_every_parameter_that_is_used_gets_a_gradient(weights: nets.WeightGeneratorConfig, frames: int) -> None:
    generator = build(weights, frames=frames, separate_flow=frames != 2)
    loss_of(of_clip(generator, references(2), frames)).backward()
    silent = {name for name, p in generator.named_parameters() if p.grad is None}
    # The published layout makes features of the finest width, from which nothing but convolutions is generated.
    unused = ("weights.encode_image.up.0.", "weights.encode_label.up.0.")
    expected = {name for name, _ in generator.named_parameters() if name.startswith(unused)}
    assert silent == (set() if weights.convolutions else expected)


@by_weights
@pytest.mark.parametrize("k", [1, 2])
def test_recomputed_activations_change_nothing(weights: nets.WeightGeneratorConfig, k: int) -> None:
    results = []
    for call in (
        nets.ActivationCheckpointing(),
        nets.ActivationCheckpointing(blocks=checkpointed, encoders=checkpointed),
    ):
        generator = build(weights)
        generator.call = call
        clip = list(of_clip(generator, references(k), 2))
        loss_of(iter(clip)).backward()
        results.append((generator, clip))
    (plain, wanted), (recomputing, found) = results
    for ours, theirs in zip(found, wanted, strict=True):
        same(ours, theirs)
    assert {n for n, x in plain.state_dict().items() if not torch.equal(x, recomputing.state_dict()[n])} == set()
    gradients = {name: p.grad for name, p in recomputing.named_parameters()}
    for name, p in plain.named_parameters():
        other = gradients[name]
        assert (p.grad is None) == (other is None), name
        assert p.grad is None or other is None or torch.equal(p.grad, other), name


@by_weights
@pytest.mark.parametrize("k", [1, 2])
def test_autocast_keeps_in_float32_what_needs_it(weights: nets.WeightGeneratorConfig, k: int) -> None:
    generator = build(weights)
    exact = synthesize(generator.eval(), references(k))
    with torch.autocast("cpu", torch.bfloat16):
        generator.eval()
        rounded = synthesize(generator, references(k))
        subject = generator.encode_references(references(1))
    assert {name: x.dtype for name, x in tensors_of(rounded).items() if x.dtype != torch.float32} == {}
    assert (rounded.frame - exact.frame).abs().mean() < 0.1
    assert isinstance(subject, nets.SeparateSubject)
    norm = subject.generated.blocks[0].norm_0
    assert norm is not None
    assert norm.weight.dtype == torch.bfloat16
    loss_of(iter([rounded])).backward()
    for name, p in generator.named_parameters():
        assert p.dtype == torch.float32
        assert p.grad is None or bool(p.grad.isfinite().all()), name


@by_weights
@pytest.mark.parametrize("k", [1, 2])
def test_channels_last_computes_the_same(weights: nets.WeightGeneratorConfig, k: int) -> None:
    generator = build(weights).eval()
    wanted = synthesize(generator, references(k))
    generator = generator.to(memory_format=torch.channels_last)
    known, past = references(k), history()

    def last(x: Tensor) -> Tensor:
        return x.contiguous(memory_format=torch.channels_last)

    subject = generator.encode_references(
        nets.References(
            frames=last(known.frames.flatten(0, 1)).unflatten(0, (2, k)),
            labels=last(known.labels.flatten(0, 1)).unflatten(0, (2, k)),
        )
    )
    past = nets.History(labels=tuple(map(last, past.labels)), frames=tuple(map(last, past.frames)))
    close(generator(last(label(0)), past, subject), wanted)


@by_weights
def test_inference_mode_computes_the_same(weights: nets.WeightGeneratorConfig) -> None:
    generator = build(weights).eval()
    with torch.inference_mode():
        found = synthesize(generator, references(2))
    same(found, synthesize(generator, references(2)))


@settings(max_examples=15)
@given(
    weights=st.sampled_from([PLAIN, EVERYTHING]), n=st.integers(1, 4), k=st.integers(1, 3), seed=st.integers(0, 2**16)
)
def test_each_sample_of_a_batch_is_that_sample_alone(
    weights: nets.WeightGeneratorConfig, n: int, k: int, seed: int
) -> None:
    generator, known, past = build(weights).eval(), references(k, n, seed), history(n=n)
    with torch.inference_mode():
        batch = generator(label(seed, n), past, generator.encode_references(known))
        for i in range(n):
            alone = generator(
                label(seed, n)[i : i + 1],
                nets.History(labels=(past.labels[0][i : i + 1],), frames=(past.frames[0][i : i + 1],)),
                generator.encode_references(
                    nets.References(frames=known.frames[i : i + 1], labels=known.labels[i : i + 1])
                ),
            )
            assert int(alone.chosen[0]) == int(batch.chosen[i])
            whole = tensors_of(batch)
            for name, x in tensors_of(alone).items():
                torch.testing.assert_close(x[0], whole[name][i], rtol=0, atol=2e-4)
