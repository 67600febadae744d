"""Shapes, options and promises of the generator."""

import attrs
import pytest
import torch
import vs_nets as nets
from vs_nets.embedder import Embedder

SMALL = nets.GeneratorConfig(
    levels=4,
    image_downsamples=2,
    filters=4,
    max_filters=16,
    embedder=nets.EmbedderConfig(filters=4, max_filters=16, downsamples=3),
    flow=nets.FlowConfig(filters=4, max_filters=16, downsamples=2, residual_blocks=1),
    combination=nets.SpadeCombination(
        levels=2, embedder=nets.EmbedderConfig(arch="unet", filters=4, max_filters=16, downsamples=3)
    ),
)
H, W, C = 32, 64, 5


def label() -> torch.Tensor:
    return torch.nn.functional.one_hot(torch.randint(C, (2, H, W)), C).permute(0, 3, 1, 2).float()


def history(frames: int) -> nets.History:
    return nets.History(
        labels=tuple(label() for _ in range(frames)),
        frames=tuple(torch.rand(2, 3, H, W) * 2 - 1 for _ in range(frames)),
    )


def count(module: torch.nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def test_published_generator_has_the_published_number_of_parameters() -> None:
    generator = nets.build_generator(nets.GeneratorConfig(published_layout=True), label_channels=35)
    assert count(generator) == 346_972_262
    assert count(generator.embed_label) == 12_583_712
    assert count(generator.up) == 83_072_800
    assert count(generator.start) == 323_584
    assert count(generator.first_previous) + count(generator.down) == 896 + 12_362_720
    assert count(generator.middle) == 92_299_264
    assert count(generator.flow) == 132_186_915
    assert generator.embed_warped is not None
    assert count(generator.embed_warped) == 14_141_504
    assert count(generator.last) == 867
    never_used = sum(p.numel() for name, p in generator.down.named_parameters() if ".projections.1." in name)
    assert never_used == 130_368


def test_layout_of_our_own_leaves_out_what_is_never_used() -> None:
    ours = nets.build_generator(SMALL, label_channels=C)
    published = nets.build_generator(attrs.evolve(SMALL, published_layout=True), label_channels=C)
    extra = set(published.state_dict()) - set(ours.state_dict())
    assert extra
    assert all(name.startswith("down.") and ".projections.1." in name for name in extra)
    ours.load_state_dict({k: v for k, v in published.state_dict().items() if k not in extra})
    past = history(2)
    now = label()
    assert torch.equal(ours.eval()(now, past).frame, published.eval()(now, past).frame)


def test_published_discriminator_has_the_published_number_of_parameters() -> None:
    discriminator = nets.build_discriminator(nets.DiscriminatorConfig(), label_channels=35)
    assert count(discriminator) == 5_597_826
    assert [count(scale) for scale in discriminator.image.scales] == [2_798_913] * 2


@pytest.mark.parametrize("past", [0, 1, 2])
def test_shapes(past: int) -> None:
    generator = nets.build_generator(SMALL, label_channels=C)
    synthesis = generator(label(), history(past))
    assert synthesis.frame.shape == (2, 3, H, W)
    assert synthesis.frame.abs().max() <= 1
    assert (synthesis.flow is None) == (past < 2)
    if past == 2:
        assert synthesis.flow is not None
        assert synthesis.mask is not None
        assert synthesis.warped is not None
        assert synthesis.flow.shape == (2, 2, H, W)
        assert synthesis.mask.shape == (2, 1, H, W)
        assert synthesis.mask.min() >= 0
        assert synthesis.mask.max() <= 1
        assert synthesis.warped.shape == (2, 3, H, W)


@pytest.mark.parametrize("arch", ["encoder", "encoderdecoder", "unet"])
def test_embedder_gives_a_map_at_every_resolution(arch: str) -> None:
    config = nets.EmbedderConfig(arch=arch, filters=4, max_filters=16, downsamples=3)  # type: ignore[arg-type]
    maps = Embedder(config, C, spectral=True)(label())
    assert [tuple(m.shape[1:]) for m in maps] == [(4, 32, 64), (8, 16, 32), (16, 8, 16), (16, 4, 8)]


def test_raw_output_is_made_on_every_frame_and_ignores_the_warped_one() -> None:
    combination = attrs.evolve(SMALL.combination, raw_output=True)
    generator = nets.build_generator(attrs.evolve(SMALL, combination=combination), label_channels=C).eval()
    first = generator(label(), history(0))
    assert torch.equal(first.raw, first.frame)
    later = generator(label(), history(2))
    assert later.raw is not None
    assert not torch.equal(later.raw, later.frame)


def test_linear_combination_blends_hallucinated_and_warped() -> None:
    config = attrs.evolve(SMALL, combination=nets.LinearCombination())
    generator = nets.build_generator(config, label_channels=C).eval()
    assert generator(label(), history(1)).raw is None
    s = generator(label(), history(2))
    torch.testing.assert_close(s.frame, s.mask * s.raw + (1 - s.mask) * s.warped)


def test_what_is_hallucinated_need_not_have_losses_of_its_own() -> None:
    """Without them the frame is the same one."""
    asked, silent = (
        nets.build_generator(
            attrs.evolve(SMALL, combination=nets.LinearCombination(raw_output=wanted)), label_channels=C
        ).eval()
        for wanted in (True, False)
    )
    silent.load_state_dict(asked.state_dict())
    now, past = label(), history(2)
    with_raw, without = asked(now, past), silent(now, past)
    assert with_raw.raw is not None
    assert without.raw is None
    assert torch.equal(with_raw.frame, without.frame)


def test_constant_start_ignores_the_label_at_the_bottleneck() -> None:
    config = attrs.evolve(SMALL, start=nets.ConstantStart(height=H // 16, width=W // 16))
    assert nets.build_generator(config, label_channels=C)(label(), history(0)).frame.shape == (2, 3, H, W)


def test_ema_without_spectral_norm_computes_the_same() -> None:
    generator = nets.build_generator(SMALL, label_channels=C)
    for _ in range(3):
        generator(label(), history(2))  # training mode: power iterations
    ema = nets.build_ema(SMALL, label_channels=C)
    ema.load_state_dict(nets.effective_weights(generator))
    assert not any(name.endswith((".u", ".v")) for name in ema.state_dict())
    now, past = label(), history(2)
    torch.testing.assert_close(ema(now, past).frame, generator.eval()(now, past).frame, rtol=0, atol=1e-5)


def test_effective_weights_do_not_iterate() -> None:
    generator = nets.build_generator(SMALL, label_channels=C)
    before = {k: v.clone() for k, v in generator.state_dict().items()}
    nets.effective_weights(generator)
    assert all(torch.equal(before[k], v) for k, v in generator.state_dict().items())


def test_every_parameter_of_a_clip_gets_a_gradient() -> None:
    generator = nets.build_generator(SMALL, label_channels=C)
    past = nets.History()
    total = torch.zeros(())
    for _ in range(3):
        now = label()
        s = generator(now, past)
        total = total + s.frame.square().sum() + (0 if s.flow is None else s.flow.square().sum())
        past = nets.remember(past, now, s.frame, 2)
    total.backward()
    assert [name for name, p in generator.named_parameters() if p.grad is None] == []


@pytest.mark.parametrize(
    ("shape", "message"),
    [((2, C, 30, 64), "divisible by 16"), ((2, 4, 32, 64), r"expected \(N, 5, H, W\)"), ((C, 32, 64), "expected")],
)
def test_wrong_labels_are_refused(shape: tuple[int, ...], message: str) -> None:
    generator = nets.build_generator(SMALL, label_channels=C)
    with pytest.raises(nets.ShapeError, match=message):
        generator(torch.zeros(shape), nets.History())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"image_downsamples": 5}, "at most levels, 4"),
        ({"combination": nets.SpadeCombination(levels=4)}, "at most image_downsamples"),
        ({"filters": 0}, "filters"),
        ({"frames": 1}, "frames"),
    ],
)
def test_impossible_shapes_are_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        attrs.evolve(SMALL, **changes)


def test_the_embedder_of_what_is_combined_is_deep_enough() -> None:
    with pytest.raises(ValueError, match=r"^embedder\.downsamples: expected at least levels - 1, 2, got 1$"):
        nets.SpadeCombination(levels=3, embedder=nets.EmbedderConfig(downsamples=1))


def test_a_longer_history_changes_nothing() -> None:
    generator = nets.build_generator(SMALL, label_channels=C).eval()
    now, past = label(), history(4)
    newest = nets.History(labels=past.labels[-2:], frames=past.frames[-2:])
    assert torch.equal(generator(now, past).frame, generator(now, newest).frame)


def test_history_is_detached_and_cut() -> None:
    frame = torch.zeros(1, 3, 2, 2, requires_grad=True)
    past = nets.History()
    for _ in range(4):
        past = nets.remember(past, torch.zeros(1, 1, 2, 2), frame * 1, 2)
    assert len(past.frames) == len(past.labels) == 2
    assert not any(f.requires_grad for f in past.frames)
    assert nets.remember(past, torch.zeros(1), frame, 0).frames == ()


@pytest.mark.parametrize("combination", [SMALL.combination, nets.LinearCombination()])
@pytest.mark.parametrize("start", [nets.LabelStart(), nets.ConstantStart(height=2, width=4)])
def test_a_kept_embedding_changes_no_bit_and_saves_a_call_for_each_frame(combination, start) -> None:
    config = attrs.evolve(SMALL, combination=combination, start=start)
    generator, labels = nets.build_ema(config, label_channels=C), [label() for _ in range(4)]
    calls = []
    generator.embed_label.register_forward_hook(lambda *_: calls.append(1))

    def forgetful(now: nets.Label, past: nets.History) -> nets.Synthesis:
        return generator(now, attrs.evolve(past, maps=()))

    with torch.inference_mode():
        plain = [made.frame for made in nets.rollout(forgetful, labels, past=2)]
        assert len(calls) == 7  # each frame's own label, and the one before it of all but the first
        calls.clear()
        kept = [made.frame for made in nets.rollout(generator, labels, past=2)]
    assert len(calls) == 4
    assert all(torch.equal(a, b) for a, b in zip(plain, kept, strict=True))
