"""Flow that is given: no network estimates it, and the frame before is moved by it exactly."""

import attrs
import pytest
import torch
import vs_nets as nets
from vs_config import ConfigError

ESTIMATED = nets.GeneratorConfig(
    levels=3,
    image_downsamples=2,
    filters=4,
    max_filters=16,
    frames=2,
    embedder=nets.EmbedderConfig(filters=4, max_filters=16, downsamples=3),
    flow=nets.FlowConfig(filters=4, max_filters=16, downsamples=2, residual_blocks=1),
    combination=nets.SpadeCombination(
        levels=2, embedder=nets.EmbedderConfig(arch="unet", filters=4, max_filters=16, downsamples=3)
    ),
)
GIVEN = attrs.evolve(ESTIMATED, flow=nets.GivenFlow())
H, W, C = 16, 32, 5


def generator(config: nets.GeneratorConfig = GIVEN) -> nets.Generator:
    torch.manual_seed(0)
    built = nets.build_generator(config, label_channels=C)
    assert isinstance(built, nets.Generator)
    return built.eval()


def label() -> torch.Tensor:
    return torch.nn.functional.one_hot(torch.randint(C, (2, H, W)), C).permute(0, 3, 1, 2).float()


def motion(x: float = 0.0, y: float = 0.0) -> nets.Motion:
    flow = torch.tensor([x, y]).reshape(1, 2, 1, 1).expand(2, 2, H, W)
    return nets.Motion(flow=flow, confidence=torch.rand(2, 1, H, W))


def history(known: nets.Motion | None, frames: int = 1) -> nets.History:
    pictures = tuple(torch.rand(2, 3, H, W) * 2 - 1 for _ in range(frames))
    return nets.History(labels=tuple(label() for _ in range(frames)), frames=pictures, motion=known)


def test_what_is_missing_is_the_flow_network_and_nothing_else() -> None:
    estimated, given = generator(ESTIMATED).state_dict(), generator().state_dict()
    assert {name for name in estimated if not name.startswith("flow.")} == set(given)
    published = attrs.evolve(nets.GeneratorConfig(published_layout=True), flow=nets.GivenFlow())
    with torch.device("meta"):
        built = nets.build_generator(published, label_channels=35)
    assert sum(p.numel() for p in built.parameters()) == 346_972_262 - 132_186_915


def test_published_stride_does_not_depend_on_a_network_that_is_not_there() -> None:
    deep = attrs.evolve(ESTIMATED, flow=nets.FlowConfig(downsamples=6))
    assert deep.stride == 64
    assert attrs.evolve(deep, flow=nets.GivenFlow()).stride == 8


@pytest.mark.parametrize(("x", "y"), [(0, 0), (3, 0), (0, -2), (-5, 1)])
def test_frame_before_is_fetched_by_the_given_flow(x: int, y: int) -> None:
    past = history(motion(x, y))
    made = generator()(label(), past)
    rows, columns = (torch.arange(H) + y).clamp(0, H - 1), (torch.arange(W) + x).clamp(0, W - 1)
    assert made.warped is not None
    torch.testing.assert_close(made.warped, past.frames[-1][:, :, rows][..., columns], rtol=0, atol=1e-6)
    assert made.flow is past.motion.flow


def test_mask_asks_for_new_content_where_the_motion_is_not_to_be_trusted() -> None:
    past = history(motion())
    made = generator()(label(), past)
    torch.testing.assert_close(made.mask + past.motion.confidence, torch.ones(2, 1, H, W))


def test_motion_matters_from_the_first_past_frame_on_whatever_the_number_of_frames() -> None:
    made, past, now = generator(attrs.evolve(GIVEN, frames=4)), history(motion()), label()
    moved = attrs.evolve(past, motion=attrs.evolve(past.motion, flow=past.motion.flow + 2))
    assert not torch.equal(made(now, past).frame, made(now, moved).frame)


def test_first_frame_needs_no_motion_and_looks_at_none() -> None:
    made, now = generator(), label()
    torch.testing.assert_close(
        made(now, nets.History()).frame, made(now, nets.History(motion=motion(1.0))).frame, rtol=0, atol=0
    )


def test_missing_motion_and_motion_of_another_size_are_named() -> None:
    with pytest.raises(nets.ShapeError, match="its history needs the motion to the frame, and has none"):
        generator()(label(), history(None))
    for name in ("flow", "confidence"):
        cut = attrs.evolve(motion(), **{name: getattr(motion(), name)[..., :-1]})
        with pytest.raises(nets.ShapeError, match=f"^{name} has shape .*: expected "):
            generator()(label(), history(cut))


def test_generators_that_estimate_flow_do_not_look_at_motion() -> None:
    made, past, now = generator(ESTIMATED), history(motion(4.0)), label()
    assert torch.equal(made(now, past).frame, made(now, attrs.evolve(past, motion=None)).frame)


def test_rollout_gives_each_frame_its_motion() -> None:
    seen: list[nets.Motion | None] = []

    def generate(_: nets.Label, past: nets.History) -> nets.Synthesis:
        seen.append(past.motion)
        return nets.Synthesis(frame=torch.zeros(1, 3, 2, 2))

    motions = [motion(float(i)) for i in range(3)]
    assert len(list(nets.rollout(generate, [label()] * 3, past=1, motions=motions))) == 3
    assert all(one is other for one, other in zip(seen, motions, strict=True))


def test_nothing_is_learned_of_given_flow() -> None:
    made, past = generator().train(), history(motion(1.0))
    synthesis = made(label(), past)
    assert synthesis.given
    target = nets.Target(frame=torch.zeros(2, 3, H, W), flow=past.motion.flow, flow_confidence=past.motion.confidence)
    assert nets.flow_losses(synthesis, target, nets.ObjectiveConfig()) == {}
    synthesis.frame.square().mean().backward()
    assert made.embed_warped is not None
    assert all(p.grad is not None and bool(p.grad.any()) for p in made.embed_warped.first.parameters())


def test_prepared_generator_makes_the_same_frames() -> None:
    torch.manual_seed(1)
    averaged = nets.build_ema(GIVEN, label_channels=C).eval()
    prepared = nets.prepare_for_inference(averaged)
    past, now = history(motion(1.5, -0.5)), label()
    with torch.inference_mode():
        torch.testing.assert_close(prepared(now, past).frame, averaged(now, past).frame, rtol=1e-4, atol=1e-5)


def test_blending_by_given_motion_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"combination\.kind: expected 'spade' with flow\.kind = 'given'"):
        attrs.evolve(GIVEN, combination=nets.LinearCombination())
