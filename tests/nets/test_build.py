"""What holds of a generator whatever its kind."""

import pytest
import torch
import vs_nets as nets

WIDTHS = {"filters": 4, "max_filters": 16}
FLOW = nets.FlowConfig(**WIDTHS, downsamples=2, residual_blocks=1)
COMBINATION = nets.SpadeCombination(levels=2, embedder=nets.EmbedderConfig(arch="unet", **WIDTHS, downsamples=2))
VID2VID = nets.GeneratorConfig(
    **WIDTHS,
    levels=3,
    image_downsamples=1,
    embedder=nets.EmbedderConfig(**WIDTHS, downsamples=2),
    flow=FLOW,
    combination=COMBINATION,
)
FEW_SHOT = nets.FewShotGeneratorConfig(
    **WIDTHS,
    downsamples=2,
    embedder=nets.EmbedderConfig(**WIDTHS, downsamples=2),
    weights=nets.WeightGeneratorConfig(levels=1),
    flow=FLOW,
    combination=COMBINATION,
)
C, H, W = 2, 16, 24

either = pytest.mark.parametrize("config", [VID2VID, FEW_SHOT], ids=["vid2vid", "few-shot"])


def references() -> nets.References:
    return nets.References(frames=torch.rand(1, 2, 3, H, W) * 2 - 1, labels=torch.rand(1, 2, C, H, W))


@either
def test_a_bound_generator_makes_frames_that_discriminators_can_be_shown(config: nets.AnyGeneratorConfig) -> None:
    generator = nets.build_generator(config, label_channels=C).eval()
    label, known = torch.rand(1, C, H, W), references()
    given = known if config is FEW_SHOT else None
    synthesis = generator.bind(given)(label, nets.History())
    assert synthesis.frame.shape == (1, 3, H, W)
    condition = nets.discriminator_condition(label, given, synthesis)
    assert condition.shape == (1, nets.condition_channels(config, C), H, W)


@either
def test_the_ema_takes_the_weights_as_they_are_used(config: nets.AnyGeneratorConfig) -> None:
    generator = nets.build_generator(config, label_channels=C)
    ema = nets.build_ema(config, label_channels=C)
    assert type(ema) is type(generator)
    assert not ema.training
    assert not any(p.requires_grad for p in ema.parameters())
    ema.load_state_dict(nets.effective_weights(generator))


def test_a_vid2vid_generator_looks_at_no_references() -> None:
    generator = nets.build_generator(VID2VID, label_channels=C)
    assert generator.bind(None) is generator.bind(references()) is generator


def test_a_few_shot_generator_needs_references() -> None:
    generator = nets.build_generator(FEW_SHOT, label_channels=C)
    with pytest.raises(nets.VsNetsError, match="a few-shot generator needs references, and the clip has none"):
        generator.bind(None)


def test_a_few_shot_generator_encodes_its_references_once() -> None:
    generator = nets.build_generator(FEW_SHOT, label_channels=C).eval()
    calls: list[object] = []
    generator.weights.encode_image.register_forward_hook(lambda *_: calls.append(None))
    generate = generator.bind(references())
    once = len(calls)
    for _ in range(2):
        generate(torch.rand(1, C, H, W), nets.History())
    assert once == len(calls) > 0
