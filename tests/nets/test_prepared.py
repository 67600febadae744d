"""Generators that are prepared for inference: the same frames but for rounding, from the same weights."""

from collections.abc import Sequence

import attrs
import pytest
import torch
import vs_nets as nets
import vs_ops
from test_generator import SMALL
from toy_few_shot import TOY, C, H, W, by_weights
from vs_nets.prepared import PreparedBlock, UpsamplingConv2d

CONFIGS = (
    SMALL,
    attrs.evolve(SMALL, combination=nets.LinearCombination()),
    attrs.evolve(SMALL, spade_kernel=3),
    attrs.evolve(SMALL, image_downsamples=1, start=nets.ConstantStart(height=2, width=4)),
)


def averaged(config: nets.AnyGeneratorConfig) -> nets.AnyGenerator:
    torch.manual_seed(0)
    generator = nets.build_ema(config, label_channels=C)
    for parameter in generator.parameters():
        torch.nn.init.normal_(parameter, std=0.15)
    return generator.to(memory_format=torch.channels_last)  # type: ignore[call-overload] # unknown to its stubs


def check_frames(
    generator: nets.AnyGenerator,
    ready: nets.AnyGenerator,
    references: nets.References | None = None,
    size: Sequence[int] = (32, 64),
) -> None:
    """Frames of two samples, each from the past that `generator` has made: a roll-out makes any difference grow."""
    torch.manual_seed(1)
    history, past = nets.History(), generator.config.frames - 1
    with torch.inference_mode():
        one, other = generator.bind(references), ready.bind(references)
        for _ in range(past + 2):
            label = torch.rand(2, C, *size).contiguous(memory_format=torch.channels_last)
            expected, made = one(label, history), other(label, history)
            torch.testing.assert_close(made.frame, expected.frame, rtol=0, atol=1e-4)
            assert expected.frame.std() > 0.05  # it shows something
            history = nets.remember(history, label, expected.frame, past)


def examples(count: int) -> nets.References:
    torch.manual_seed(2)
    return nets.References(frames=torch.rand(2, count, 3, H, W) * 2 - 1, labels=torch.rand(2, count, C, H, W))


@pytest.mark.parametrize("config", CONFIGS, ids=["spade", "linear", "kernel-3", "constant"])
def test_prepared_generator_makes_the_same_frames(config: nets.GeneratorConfig) -> None:
    generator = averaged(config)
    before = {name: tensor.clone() for name, tensor in generator.state_dict().items()}
    ready = nets.prepare_for_inference(generator)
    check_frames(generator, ready)
    after = ready.state_dict()
    assert after.keys() == before.keys()
    for name, tensor in generator.state_dict().items():
        torch.testing.assert_close(tensor, before[name], rtol=0, atol=0)
        assert after[name].data_ptr() == tensor.data_ptr()
    kinds = {type(module) for module in ready.modules()}
    assert {UpsamplingConv2d, PreparedBlock} <= kinds
    assert not {UpsamplingConv2d, PreparedBlock} & {type(module) for module in generator.modules()}


@by_weights
@pytest.mark.parametrize("count", [1, 2])
def test_prepared_few_shot_generator_makes_the_same_frames(weights: nets.WeightGeneratorConfig, count: int) -> None:
    generator, references = averaged(attrs.evolve(TOY, weights=weights)), examples(count)
    ready = nets.prepare_for_inference(generator)
    check_frames(generator, ready, references, (H, W))


def test_generated_convolutions_of_an_encoder_are_no_kernels_for_up_sampling() -> None:
    generator = averaged(attrs.evolve(TOY, embedder=attrs.evolve(TOY.embedder, arch="encoder")))
    check_frames(generator, nets.prepare_for_inference(generator), examples(1), (H, W))


def test_prepared_generator_computes_under_autocast_what_another_does() -> None:
    generator, label = averaged(SMALL), torch.rand(1, C, 32, 64)
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        expected, made = (each(label, nets.History()) for each in (generator, nets.prepare_for_inference(generator)))
    torch.testing.assert_close(made.frame, expected.frame, rtol=0, atol=0.1)


def test_generator_with_spectral_norm_is_refused() -> None:
    with pytest.raises(nets.VsNetsError, match="spectral norm"):
        nets.prepare_for_inference(nets.build_generator(SMALL, label_channels=C).eval())


def test_up_sampling_kernel_makes_what_its_weight_does() -> None:
    x, weight, bias = (torch.randn(shape, dtype=torch.float64) for shape in ((2, 3, 5, 4), (6, 3, 3, 3), (6,)))
    expected = vs_ops.upsample_conv2d(x, weight, bias, impl="reference")
    torch.testing.assert_close(vs_ops.upsample_conv2d_by(x, vs_ops.upsampling_kernel(weight), bias), expected)


def test_kernels_of_other_shapes_are_refused() -> None:
    x, weight = torch.zeros(1, 3, 4, 4), torch.zeros(6, 3, 3, 3)
    with pytest.raises(vs_ops.ShapeError, match="odd"):
        vs_ops.upsampling_kernel(torch.zeros(6, 3, 2, 2))
    with pytest.raises(vs_ops.ShapeError, match="kernel must be"):
        vs_ops.upsample_conv2d_by(x[:, :2], vs_ops.upsampling_kernel(weight))
    with pytest.raises(vs_ops.ShapeError, match="bias must be"):
        vs_ops.upsample_conv2d_by(x, vs_ops.upsampling_kernel(weight), torch.zeros(5))
