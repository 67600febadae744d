"""One few-shot model, any number of references; what of them is computed once for a subject."""

import pytest
import torch
import vs_nets as nets
from torch import Tensor
from toy_few_shot import (
    ATTENTION,
    CONVOLUTIONS,
    EVERYTHING,
    PLAIN,
    H,
    W,
    build,
    by_weights,
    close,
    frame,
    history,
    label,
    loss_of,
    of_clip,
    of_references,
    references,
    same,
    synthesize,
)
from vs_nets.references import nearest_reference, pick_reference


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
    assert nearest_reference(line(40), known).tolist() == [2]
    assert nearest_reference(line(100), known).tolist() == [1]


def test_for_each_sample_that_of_its_own_choice() -> None:
    x = torch.arange(6).view(2, 3, 1)
    assert pick_reference(x, torch.tensor([2, 0])).tolist() == [[2], [3]]


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
