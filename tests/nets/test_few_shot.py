"""Shapes, options and promises of the few-shot generator."""

from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from functools import cache

import attrs
import pytest
import torch
import vs_nets as nets
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from vs_config import ConfigError
from vs_nets.layers import Conv2d, GeneratedConv, HyperConv2d, InstanceNorm2d
from vs_nets.spectral import SpectralLayer
from vs_nets.weight_generator import WeightHead
from vs_runtime import checkpointed

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


# One model, any number of references


@by_weights
@pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])
@pytest.mark.parametrize("k", [1, 2, 3])
def test_any_number_of_references_at_any_time(weights: nets.WeightGeneratorConfig, training: bool, k: int) -> None:
    generator = build(weights).train(training)
    first, later = of_clip(generator, references(k), 2)
    for synthesis in (first, later):
        assert synthesis.frame.shape == (2, 3, H, W)
        assert synthesis.raw is not None
        assert synthesis.raw.shape == (2, 3, H, W)
        assert max(synthesis.frame.abs().max(), synthesis.raw.abs().max()) <= 1
        assert synthesis.chosen is not None
        assert synthesis.chosen.shape == (2,)
        assert synthesis.chosen.dtype == torch.int64
        assert 0 <= int(synthesis.chosen.min()) <= int(synthesis.chosen.max()) < k
        assert synthesis.reference is not None
        assert synthesis.reference.flow.shape == (2, 2, H, W)
        assert synthesis.reference.mask.shape == (2, 1, H, W)
        assert 0 <= synthesis.reference.mask.min() <= synthesis.reference.mask.max() <= 1
        assert synthesis.reference.frame.shape == (2, 3, H, W)
    assert first.flow is None
    assert later.flow is not None
    loss_of(iter([first, later])).backward()
    gradient = generator.weights.encode_image.first.conv.weight.grad
    assert gradient is not None
    assert gradient.isfinite().all()
    assert gradient.abs().sum() > 0


@by_weights
def test_a_subject_is_one_of_the_two_kinds(weights: nets.WeightGeneratorConfig) -> None:
    generator = build(weights).eval()
    assert isinstance(generator.encode_references(references(1)), nets.SeparateSubject)
    several = nets.SeparateSubject if weights.attention is None else nets.AttendedSubject
    assert isinstance(generator.encode_references(references(3)), several)


def test_attention_does_not_depend_on_the_order_of_the_references() -> None:
    generator, order = build(EVERYTHING).eval(), [2, 0, 1]
    known = references(3)
    plain, shuffled = synthesize(generator, known), synthesize(generator, of_references(known, order))
    close(shuffled, plain)
    assert plain.chosen is not None
    assert shuffled.chosen is not None
    assert [order[i] for i in shuffled.chosen.tolist()] == plain.chosen.tolist()


def test_the_reference_that_gets_most_attention_is_chosen() -> None:
    generator = build(ATTENTION).eval()
    known = references(3, n=4)
    attention = generator.weights.attention
    assert attention is not None
    queries = attention(label(0, 4), "query").flatten(2)
    keys = attention(known.labels.flatten(0, 1), "key").unflatten(0, (4, 3)).flatten(3)
    shares = torch.einsum("ncq,nkcp->nqkp", queries, keys).flatten(2).softmax(2).unflatten(2, (3, -1))
    most = shares.sum((1, 3)).argmax(1)
    assert len(set(most.tolist())) > 1
    synthesis = synthesize(generator, known)
    assert synthesis.chosen is not None
    assert synthesis.chosen.tolist() == most.tolist()


def test_attention_uses_every_reference() -> None:
    generator = build(ATTENTION).eval()
    known = references(3)
    before = synthesize(generator, known)
    assert before.chosen is not None
    other = (int(before.chosen[0]) + 1) % 3
    changed = nets.References(frames=known.frames.clone(), labels=known.labels)
    changed.frames[0, other] = frame(7, 1)[0]
    after = synthesize(generator, changed)
    assert torch.equal(after.frame[1], before.frame[1])
    assert (after.frame[0] - before.frame[0]).abs().max() > 1e-3
    assert after.reference is not None
    assert before.reference is not None
    assert torch.equal(after.reference.frame, before.reference.frame)  # another one is warped


@pytest.mark.parametrize("weights", [PLAIN, CONVOLUTIONS], ids=["spade", "convolutions"])
def test_without_attention_each_sample_uses_its_nearest_reference_alone(weights: nets.WeightGeneratorConfig) -> None:
    generator = build(weights).eval()
    known = references(3)
    known.labels[0, 2], known.labels[1, 1] = label(0)[0] + 0.01, label(0)[1] + 0.01
    synthesis = synthesize(generator, known)
    assert synthesis.chosen is not None
    assert synthesis.chosen.tolist() == [2, 1]
    alone = nets.References(
        frames=torch.stack([known.frames[0, 2], known.frames[1, 1]])[:, None],
        labels=torch.stack([known.labels[0, 2], known.labels[1, 1]])[:, None],
    )
    close(synthesis, synthesize(generator, alone), atol=1e-5)


def test_each_frame_chooses_anew() -> None:
    generator = build().eval()
    known = references(2)
    known.labels[:, 0], known.labels[:, 1] = label(0), label(1)
    subject = generator.encode_references(known)
    chosen = [generator(label(seed), history(), subject).chosen.tolist() for seed in (0, 1)]
    assert chosen == [[0, 0], [1, 1]]


def test_copies_of_the_reference_add_nothing() -> None:
    plain = build().eval()
    close(synthesize(plain, of_references(references(1), [0, 0, 0])), synthesize(plain, references(1)), atol=1e-5)
    attending = build(ATTENTION).eval()
    two, three = (synthesize(attending, of_references(references(1), [0] * k)) for k in (2, 3))
    close(three, two)


def test_one_reference_needs_no_attention() -> None:
    attending, plain = build(ATTENTION).eval(), build().eval()
    own = {name: x for name, x in attending.state_dict().items() if not name.startswith("weights.attention.")}
    plain.load_state_dict(own)
    same(synthesize(attending, references(1)), synthesize(plain, references(1)))


def test_near_means_near_on_the_picture_not_pixel_by_pixel() -> None:
    def line(column: int) -> Tensor:
        return torch.nn.functional.one_hot(torch.full((128,), column), 128).float().expand(1, 1, 128, 128)

    known = torch.stack([torch.zeros(1, 1, 128, 128), line(100), line(41)], 1)  # (1, 3, 1, 128, 128)
    assert nets.nearest_reference(line(40), known).tolist() == [2]
    assert nets.nearest_reference(line(100), known).tolist() == [1]


def test_for_each_sample_that_of_its_own_choice() -> None:
    x = torch.arange(6).view(2, 3, 1)
    assert nets.pick_reference(x, torch.tensor([2, 0])).tolist() == [[2], [3]]


# What is computed once for a subject


@by_weights
@pytest.mark.parametrize("k", [1, 3])
def test_a_subject_that_is_encoded_once_serves_every_frame(weights: nets.WeightGeneratorConfig, k: int) -> None:
    generator = build(weights).eval()
    known = references(k)
    subject = generator.encode_references(known)
    rolled = nets.rollout(lambda now, past: generator(now, past, subject), map(label, range(3)), past=1)
    with torch.no_grad():
        for once, anew in zip(rolled, of_clip(generator, known, 3), strict=True):
            same(once, anew)


@by_weights
def test_nothing_of_a_subject_stays_in_the_network(weights: nets.WeightGeneratorConfig) -> None:
    generator = build(weights).eval()
    attributes = {name: set(vars(m)) for name, m in generator.named_modules()}
    state = {name: x.clone() for name, x in generator.state_dict().items()}
    before = synthesize(generator, references(2))
    synthesize(generator, references(3, seed=200))
    assert {name: set(vars(m)) for name, m in generator.named_modules()} == attributes
    assert all(torch.equal(x, state[name]) for name, x in generator.state_dict().items())
    same(synthesize(generator, references(2)), before)


# What the frame depends on


def test_another_reference_gives_another_frame() -> None:
    generator = build().eval()
    first, other = (synthesize(generator, references(1, seed=seed)) for seed in (100, 200))
    assert (first.frame - other.frame).abs().max() > 1e-2
    assert first.raw is not None
    assert other.raw is not None
    assert (first.raw - other.raw).abs().max() > 1e-2  # by its weights, not only by what is warped
    assert first.flow is not None
    assert other.flow is not None
    assert torch.equal(first.flow, other.flow)  # the previous frame's flow sees no reference


def test_the_label_moves_frame_and_flow() -> None:
    generator = build().eval()
    first, other = (synthesize(generator, references(1), seed=seed) for seed in (0, 1))
    for name, x in tensors_of(first).items():
        assert (x - tensors_of(other)[name]).abs().max() > 1e-3, name


def test_the_raw_frame_ignores_what_is_warped() -> None:
    generator = build().eval()
    first, later = synthesize(generator, references(1), nets.History()), synthesize(generator, references(1))
    assert first.raw is not None
    assert later.raw is not None
    assert torch.equal(first.raw, later.raw)
    assert not torch.equal(first.raw, first.frame)  # the warped reference is there from the first frame on
    combination = attrs.evolve(TOY.combination, raw_output=False)
    silent = synthesize(build(combination=combination).eval(), references(1))
    assert silent.raw is None
    assert torch.equal(silent.frame, later.frame)


def test_a_longer_history_changes_nothing() -> None:
    generator = build().eval()
    past = history(3)
    newest = nets.History(labels=past.labels[-1:], frames=past.frames[-1:])
    same(synthesize(generator, references(1), past), synthesize(generator, references(1), newest))


def test_more_past_frames_have_a_flow_network_of_their_own() -> None:
    generator = build(frames=3, separate_flow=True).eval()
    assert generator.flow_previous is not None
    assert generator.flow_reference.encode[0].conv.weight.shape[1] == 2 * C + 3
    assert generator.flow_previous.encode[0].conv.weight.shape[1] == 3 * C + 2 * 3
    assert [s.flow is None for s in of_clip(generator, references(2), 4)] == [True, True, False, False]
    past = history(2)
    older = nets.History(labels=past.labels, frames=(frame(9), past.frames[1]))
    with_past, with_older = (synthesize(generator, references(1), each) for each in (past, older))
    assert with_past.flow is not None
    assert with_older.flow is not None
    assert not torch.equal(with_past.flow, with_older.flow)


def test_reference_and_previous_frame_may_share_an_embedder() -> None:
    shared = build(separate_embedder=False).eval()
    apart = build().eval()
    extra = {name: x for name, x in apart.state_dict().items() if name.startswith("embed_previous.")}
    assert extra
    assert set(apart.state_dict()) - set(shared.state_dict()) == set(extra)
    state = shared.state_dict()
    apart.load_state_dict(
        state | {name: state[name.replace("embed_previous.", "embed_reference.")].clone() for name in extra}
    )
    same(synthesize(shared, references(1)), synthesize(apart, references(1)))


# What is generated


def test_what_is_generated_has_no_parameters_of_its_own() -> None:
    generator = build(CONVOLUTIONS)
    generated = {name for name, m in generator.named_modules() if isinstance(m, HyperConv2d)}
    norms = {f"up.{level}.norm_{n}.projections.0" for level in (0, 1) for n in "01s"}
    convs = {f"up.{level}.conv_{n}" for level in (0, 1) for n in "01s"}
    assert generated == norms | convs | {"embed_label.up.0", "embed_label.up.1"}
    assert not [name for name in generator.state_dict() if any(name.startswith(f"{each}.") for each in generated)]
    assert isinstance(generator.up[2].conv_0, Conv2d)


def shapes_of(convs: Mapping[str, GeneratedConv | None]) -> dict[str, tuple[int, ...]]:
    for conv in convs.values():
        assert conv is None or conv.bias.shape == conv.weight.shape[:2]
    return {name: tuple(conv.weight.shape) for name, conv in convs.items() if conv is not None}


def test_rows_of_a_matrix_are_read_as_weights_then_bias_and_the_rest_is_left() -> None:
    head = WeightHead(4, 4, (2, 2, 1, 1), hidden_layers=1, spectral=False)
    with torch.no_grad():
        head.layers[0].weight.copy_(torch.eye(4))
        head.layers[1].weight.copy_(torch.tensor([[1.0] * 4, [10.0] * 4]))
    matrix = torch.diag(torch.tensor([1.0, 2.0, 3.0, 4.0]))  # rows give (1, 10), (2, 20), (3, 30), (4, 40)
    generated = head(torch.stack([matrix, -matrix]))  # a leaky ReLU stands between the layers
    torch.testing.assert_close(generated.weight[0].flatten(1), torch.tensor([[1.0, 10.0], [2.0, 20.0]]))
    torch.testing.assert_close(generated.bias, torch.tensor([[3.0, 30.0], [-0.6, -6.0]]))


def test_shapes_of_generated_weights() -> None:
    subject = build(CONVOLUTIONS).eval().encode_references(references(1))
    assert isinstance(subject, nets.SeparateSubject)
    generated = subject.generated
    assert generated.start.shape == (2, 32, H // 8, W // 8)
    assert [tuple(conv.weight.shape) for conv in generated.embedder] == [(2, 4, 8, 3, 3), (2, 8, 16, 3, 3)]
    assert shapes_of(generated.blocks[1]._asdict()) == {
        "norm_0": (2, 32, 8, 1, 1),
        "norm_1": (2, 16, 8, 1, 1),
        "norm_s": (2, 32, 8, 1, 1),
        "conv_0": (2, 8, 16, 3, 3),
        "conv_1": (2, 8, 8, 3, 3),
        "conv_s": (2, 8, 16, 1, 1),
    }


def test_an_encoder_alone_takes_generated_convolutions_too() -> None:
    generator = build(embedder=attrs.evolve(TOY.embedder, arch="encoder")).eval()
    assert len(generator.embed_label.up) == 0
    assert [isinstance(m, HyperConv2d) for m in generator.embed_label.down] == [True, True, False]
    subject = generator.encode_references(references(1))
    assert isinstance(subject, nets.SeparateSubject)
    assert [tuple(conv.weight.shape) for conv in subject.generated.embedder] == [(2, 8, 4, 3, 3), (2, 16, 8, 3, 3)]
    assert synthesize(generator, references(2)).frame.shape == (2, 3, H, W)


@pytest.mark.parametrize(
    "weights",
    [
        attrs.evolve(PLAIN, embedder=False),
        attrs.evolve(PLAIN, spade=False),
        attrs.evolve(CONVOLUTIONS, spade=False, embedder=False),
        attrs.evolve(PLAIN, levels=3),
    ],
    ids=["spade", "embedder", "convolutions", "every level"],
)
def test_parts_can_be_generated_alone(weights: nets.WeightGeneratorConfig) -> None:
    generator = build(weights).eval()
    first, other = (synthesize(generator, references(2, seed=seed)) for seed in (100, 200))
    assert (first.frame - other.frame).abs().max() > 1e-3


def test_generated_embedders_may_be_shallower_than_the_main_branch() -> None:
    generator = build(embedder=attrs.evolve(TOY.embedder, downsamples=2)).eval()
    assert synthesize(generator, references(2)).frame.shape == (2, 3, H, W)


# Averages, gradients, precision, memory


@by_weights
def test_the_average_computes_the_same_without_spectral_norm(weights: nets.WeightGeneratorConfig) -> None:
    generator = build(attrs.evolve(weights, label_eps=0.07))
    list(of_clip(generator, references(2), 2))  # training mode: power iterations
    average = nets.build_ema(generator.config, label_channels=C)
    average.load_state_dict(nets.effective_weights(generator))
    assert not any(name.endswith((".u", ".v")) for name in average.state_dict())
    assert not average.training
    assert not any(p.requires_grad for p in average.parameters())
    for k in (1, 2):
        close(synthesize(average, references(k)), synthesize(generator.eval(), references(k)))


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
        nets.ActivationCheckpointing(blocks=checkpointed, stages=checkpointed),
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


# Samples of a batch have nothing to do with each other


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


# Bad input


def zeros(*shape: int) -> Tensor:
    return torch.zeros(shape)


@pytest.mark.parametrize(
    ("frames", "labels", "message"),
    [
        ((2, 0, 3, H, W), (2, 0, C, H, W), "no reference: at least one"),
        ((2, 1, 1, H, W), (2, 1, C, H, W), r"frames have shape \(2, 1, 1, 16, 32\): expected \(N, K, 3, H, W\)"),
        ((2, 3, H, W), (2, C, H, W), r"expected \(N, K, 3, H, W\)"),
        ((2, 1, 3, H, W), (2, 1, 5, H, W), r"labels have shape \(2, 1, 5, 16, 32\): expected \(2, 1, 2, 16, 32\)"),
        ((2, 2, 3, H, W), (2, 1, C, H, W), r"labels have shape .*: expected \(2, 2, 2, 16, 32\)"),
        ((2, 1, 3, H, W), (2, 1, C, H, 24), "labels have shape"),
        ((2, 1, 3, 20, W), (2, 1, C, 20, W), "size 20x32: height and width must be divisible by 8"),
    ],
)
def test_wrong_references_are_refused(frames: tuple[int, ...], labels: tuple[int, ...], message: str) -> None:
    with pytest.raises(nets.ShapeError, match=message) as caught:
        build().encode_references(nets.References(frames=zeros(*frames), labels=zeros(*labels)))
    assert "\n" not in str(caught.value)


@by_weights
@pytest.mark.parametrize("k", [1, 2])
@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((2, C, 24, W), r"references have shape .*label, \(2, 2, 24, 32\)"),
        ((3, C, H, W), r"references have shape .*label, \(3, 2, 16, 32\)"),
        ((2, C, 12, W), "divisible by 8"),
        ((2, 1, H, W), r"expected \(N, 2, H, W\)"),
        ((C, H, W), r"expected \(N, 2, H, W\)"),
    ],
)
def test_wrong_labels_are_refused(
    weights: nets.WeightGeneratorConfig, k: int, shape: tuple[int, ...], message: str
) -> None:
    generator = build(weights).eval()
    with torch.no_grad():
        subject = generator.encode_references(references(k))
        with pytest.raises(nets.ShapeError, match=message) as caught:
            generator(zeros(*shape), nets.History(), subject)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"combination": nets.SpadeCombination(levels=5)},
            "combination.levels: expected at most downsamples . 1, 4, got 5",
        ),
        ({"frames": 3}, "separate_flow: expected true with frames = 3, got false"),
        ({"frames": 1}, "frames"),
        (
            {"weights": nets.WeightGeneratorConfig(levels=2, attention=nets.AttentionConfig(downsamples=4))},
            "weights.attention.downsamples: expected at most downsamples, 3, got 4",
        ),
        ({"weights": nets.WeightGeneratorConfig(levels=4)}, "weights.levels: expected at most downsamples, 3, got 4"),
        ({"max_filters": 8}, "level 1 has 8 and level 2 8; raise max_filters or lower weights.levels"),
        (
            {"embedder": nets.EmbedderConfig(arch="unet", filters=4)},
            "embedder.arch: expected 'encoderdecoder' or 'encoder' .*, got 'unet'",
        ),
        (
            {"embedder": nets.EmbedderConfig(filters=4, downsamples=1)},
            "embedder.downsamples: expected at least weights.levels, 2, got 1",
        ),
        (
            {"embedder": nets.EmbedderConfig(filters=8)},
            "embedder: expected .* that give 4 channels at level 0, as the generator has, got 8",
        ),
    ],
)
def test_impossible_shapes_are_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        attrs.evolve(TOY, **changes)
    assert len(str(caught.value).splitlines()) == len(caught.value.problems)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"label_eps": 0.0}, "label_eps"),
        ({"label_eps": float("inf")}, "label_eps"),
        ({"levels": 0}, "levels"),
        ({"hidden_layers": 0}, "hidden_layers"),
        ({"spade": False, "embedder": False}, "nothing is generated"),
    ],
)
def test_impossible_weight_generators_are_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        attrs.evolve(PLAIN, **changes)


def test_attention_needs_a_convolution_before_it() -> None:
    with pytest.raises(ValueError, match="downsamples"):
        nets.AttentionConfig(downsamples=0)
