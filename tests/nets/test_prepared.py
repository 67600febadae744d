"""Generators that are prepared for inference: the same frames but for rounding, from the same weights."""

from collections.abc import Sequence

import attrs
import pytest
import torch
import vs_nets as nets
import vs_ops
from test_generator import SMALL
from toy_few_shot import TOY, C, H, W, by_weights
from vs_nets.layers import Conv2d
from vs_nets.prepared import CastConv2d, PreparedBlock, UpsamplingConv2d, WideConv2d

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


@pytest.mark.parametrize(("stride", "upsample"), [(1, False), (2, False), (1, True)], ids=["plain", "half", "double"])
@pytest.mark.parametrize("size", [(4, 2), (8, 8), (16, 16)], ids=["product", "both", "winograd"])
def test_a_wide_convolution_is_a_convolution_at_every_size(size: Sequence[int], stride: int, upsample: bool) -> None:
    torch.manual_seed(0)
    conv = Conv2d(256, 512, stride=stride).double().requires_grad_(False)
    conv.bias.normal_()
    x = torch.randn(2, 256, *size, dtype=torch.float64)
    expected = conv(x, upsample=upsample)
    ready = WideConv2d(conv.float())
    for layout in (torch.channels_last, torch.contiguous_format):
        made = ready(x.float().contiguous(memory_format=layout), upsample=upsample)
        torch.testing.assert_close(made.double(), expected, rtol=0, atol=2e-5 * float(expected.abs().max()))


def test_a_wide_convolution_is_done_as_its_size_wants_it(monkeypatch: pytest.MonkeyPatch) -> None:
    ways = []
    ready = WideConv2d(Conv2d(256, 512).requires_grad_(False))
    for name in ("addmm", "conv2d"):
        space = torch if name == "addmm" else torch.nn.functional
        original = getattr(space, name)
        monkeypatch.setattr(space, name, lambda *a, name=name, original=original: ways.append(name) or original(*a))
    made = ready(torch.randn(1, 256, 8, 8))
    assert ways == ["addmm"]
    ready(torch.randn(1, 256, 8, 9))
    assert ways == ["addmm", "conv2d"]
    ready(torch.randn(1, 256, 16, 16))
    assert ways == ["addmm", "conv2d"]  # by Winograd's filtering
    with torch.autocast("cpu", torch.bfloat16):
        assert ready(torch.randn(1, 256, 8, 8)).dtype is torch.bfloat16 is not made.dtype


@pytest.mark.parametrize("config", [SMALL, TOY], ids=["vid2vid", "few-shot"])
def test_weights_that_are_cast_once_make_the_same_bits(config: nets.AnyGeneratorConfig) -> None:
    generator, references = averaged(config), examples(1) if config is TOY else None
    size, dtype = (H, W) if config is TOY else (32, 64), torch.bfloat16
    one, other = nets.prepare_for_inference(generator), nets.prepare_for_inference(generator, dtype)
    assert other.state_dict().keys() == generator.state_dict().keys()
    assert CastConv2d in {type(module) for module in other.modules()}
    history = nets.History()
    with torch.inference_mode(), torch.autocast("cpu", dtype):
        makers = [each.bind(references) for each in (one, other)]
        for _ in range(config.frames):
            label = torch.rand(2, C, *size).contiguous(memory_format=torch.channels_last)
            frame, same = (make(label, history).frame for make in makers)
            assert torch.equal(frame, same)
            history = nets.remember(history, label, frame, config.frames - 1)


def test_warps_at_once_are_warps_one_by_one() -> None:
    generator = averaged(TOY)
    ready = nets.prepare_for_inference(generator)
    calls = []
    ready.flow_reference.register_forward_hook(lambda _, inputs, __: calls.append(len(inputs[0])))
    with torch.inference_mode():
        one, other = (each.bind(examples(1)) for each in (generator, ready))
        label, past = torch.rand(2, C, H, W), torch.rand(2, 3, H, W)
        for history in (nets.History(), nets.History(labels=(label,), frames=(past,))):
            expected, made = one(label, history), other(label, history)
            for name in ("flow", "mask", "frame"):
                torch.testing.assert_close(getattr(made.reference, name), getattr(expected.reference, name))
            for name in ("flow", "mask", "warped"):
                torch.testing.assert_close(getattr(made, name), getattr(expected, name))
    assert calls == [2, 4]  # samples: of the reference, and of both


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
