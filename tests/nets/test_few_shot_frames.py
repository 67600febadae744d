"""What a frame of the few-shot generator depends on, and what it does not."""

import attrs
import torch
import vs_nets as nets
from toy_few_shot import TOY, C, build, frame, history, of_clip, references, same, synthesize, tensors_of


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


def test_what_is_warped_is_blended_in_where_the_masks_say_so() -> None:
    """The frame is what is made up; the warped previous frame covers it, and the warped reference covers both."""
    generator = build(combination=nets.LinearCombination()).eval()
    assert not [name for name, _ in generator.named_parameters() if name.startswith(("embed_ref", "embed_prev"))]
    first, later = synthesize(generator, references(1), nets.History()), synthesize(generator, references(1))
    for made in (first, later):
        assert made.raw is not None
        assert made.reference is not None
        expected = made.raw
        if made.warped is not None:
            assert made.mask is not None
            expected = torch.lerp(made.warped, expected, made.mask)
        expected = torch.lerp(made.reference.frame, expected, made.reference.mask)
        torch.testing.assert_close(made.frame, expected, rtol=0, atol=1e-6)
    assert first.warped is None
    assert first.raw is not None
    assert later.raw is not None
    assert torch.equal(first.raw, later.raw)  # what is made up sees the reference and the label alone
    silent = synthesize(build(combination=nets.LinearCombination(raw_output=False)).eval(), references(1))
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
