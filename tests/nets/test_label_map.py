"""Class ids that stay ids are the same label as their one-hot map, to every network that takes labels."""

import copy
from typing import Any

import pytest
import torch
import vs_nets as nets
import vs_ops
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from vs_nets.label_map import OneHot, convolve_label, join_labels, shrink_label

MANY = nets.ClassMap(name="seg_maps", classes=20, dont_care=True)
FEW = nets.ClassMap(name="instances", classes=3, ignore_id=None)
EDGES = nets.FloatMap(name="edges", channels=2)
SPEC = nets.LabelSpec((EDGES, MANY, FEW))


def clip_labels(height: int = 16, width: int = 24, seed: int = 0) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(0, 21, (2, height, width), generator=generator)
    return {
        "seg_maps": torch.where(ids == 20, 255, ids).to(torch.uint8),
        "instances": torch.randint(0, 3, (2, height, width), generator=generator),
        "edges": torch.rand(2, 2, height, width, generator=generator),
    }


def both(seed: int = 0) -> tuple[nets.LabelMap, Tensor]:
    kept = nets.keep_class_ids(SPEC, clip_labels(seed=seed))
    assert isinstance(kept, nets.LabelMap)
    return kept, nets.encode_labels(SPEC, clip_labels(seed=seed))


def test_ids_are_kept_of_large_kinds_alone() -> None:
    kept, dense = both()
    assert [isinstance(part, OneHot) for part in kept.parts] == [False, True, False]
    assert kept.shape == dense.shape == (2, SPEC.channels, 16, 24)
    assert torch.equal(nets.dense_label(kept), dense)
    small = nets.LabelSpec((FEW, EDGES))
    plain = nets.keep_class_ids(small, clip_labels())
    assert isinstance(plain, Tensor)
    assert torch.equal(plain, nets.encode_labels(small, clip_labels()))


def test_missing_and_misshapen_labels_are_refused_as_by_encoding() -> None:
    labels = clip_labels()
    for wrong in ({"edges": labels["edges"]}, {**labels, "seg_maps": labels["seg_maps"][0]}):
        with pytest.raises(nets.ShapeError, match="seg_maps"):
            nets.keep_class_ids(SPEC, wrong)


def test_joining_and_shrinking_are_those_of_tensors() -> None:
    (kept, dense), (other, other_dense) = both(), both(seed=1)
    joined = join_labels([kept, other_dense, other])
    assert torch.equal(nets.dense_label(joined), torch.cat([dense, other_dense, other_dense], 1))
    expected = torch.nn.functional.interpolate(dense, size=(4, 6), mode="nearest")
    assert torch.equal(shrink_label(kept, 4), expected)
    assert torch.equal(shrink_label(dense, 4), expected)


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize(("kernel", "stride"), [(3, 1), (4, 2)])
def test_convolving_is_that_of_the_tensor(memory_format: torch.memory_format, kernel: int, stride: int) -> None:
    kept, dense = both()
    generator = torch.Generator().manual_seed(2)
    weight = torch.randn(5, SPEC.channels, kernel, kernel, generator=generator)
    weight = weight.contiguous(memory_format=memory_format).requires_grad_()
    bias = torch.randn(5, generator=generator).requires_grad_()
    results = [convolve_label(label, weight, bias, stride, 1) for label in (kept, dense)]
    torch.testing.assert_close(*results, rtol=1e-4, atol=1e-4)
    grads = [torch.autograd.grad(result.square().mean(), (weight, bias)) for result in results]
    torch.testing.assert_close(*grads, rtol=1e-4, atol=1e-4)
    assert results[0].is_contiguous(memory_format=memory_format)


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_a_kernel_of_one_pixel_with_a_stride_never_meets_the_kernel_that_corrupts_memory(
    memory_format: torch.memory_format,
) -> None:
    """PyTorch's, for the gradient of such a weight in float32, channels-last, from a few channels of an even size."""
    strides = []

    class Watch(TorchDispatchMode):
        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            if func is torch.ops.aten.convolution.default:
                strides.append(args[3])
            return func(*args, **(kwargs or {}))

    generator = torch.Generator().manual_seed(0)
    x, weight = (torch.randn(shape, generator=generator) for shape in ((2, 4, 32, 30), (8, 4, 1, 1)))
    leaves = [one.contiguous(memory_format=memory_format).requires_grad_() for one in (x, weight)]
    with Watch():
        result = convolve_label(leaves[0], leaves[1], None, 2, 0)
    assert strides == [[1, 1]]
    wide = [one.detach().double().requires_grad_() for one in (x, weight)]
    expected = torch.nn.functional.conv2d(*wide, stride=2)
    torch.testing.assert_close(result, expected.float(), rtol=1e-5, atol=1e-5)
    grads, expected_grads = (
        torch.autograd.grad(one.square().sum(), of) for one, of in ((result, leaves), (expected, wide))
    )
    torch.testing.assert_close(grads, tuple(one.float() for one in expected_grads), rtol=1e-4, atol=1e-4)


GENERATOR = nets.GeneratorConfig(
    levels=3,
    image_downsamples=1,
    filters=4,
    max_filters=8,
    embedder=nets.EmbedderConfig(filters=4, max_filters=8, downsamples=2),
    flow=nets.FlowConfig(filters=4, max_filters=8, downsamples=2, residual_blocks=1),
    combination=nets.SpadeCombination(
        levels=2, embedder=nets.EmbedderConfig(arch="unet", filters=4, max_filters=8, downsamples=2)
    ),
)


@pytest.mark.parametrize("frames", [0, 1, 2])
def test_a_generator_draws_the_same_frame_and_learns_the_same(frames: int) -> None:
    torch.manual_seed(0)
    generator = nets.build_generator(GENERATOR, label_channels=SPEC.channels).train()
    twin = copy.deepcopy(generator)
    kept, dense = both()
    frame = torch.rand(2, 3, 16, 24) * 2 - 1
    outcomes = []
    for network, label in ((generator, kept), (twin, dense)):
        synthesis = network(label, nets.History(labels=(label,) * frames, frames=(frame,) * frames))
        synthesis.frame.square().mean().backward()
        outcomes.append(synthesis.frame)
    torch.testing.assert_close(*outcomes, rtol=1e-4, atol=1e-5)
    for (name, one), other in zip(generator.named_parameters(), twin.parameters(), strict=True):
        if other.grad is not None:
            torch.testing.assert_close(one.grad, other.grad, rtol=1e-3, atol=1e-6, msg=name)


@pytest.mark.parametrize("spectral", [False, True])
def test_discriminators_judge_the_same(spectral: bool) -> None:
    patch = nets.PatchConfig(filters=4, max_filters=8, layers=2, spectral_norm=spectral)
    config = nets.DiscriminatorConfig(image=patch)
    torch.manual_seed(0)
    net = nets.build_discriminator(config, label_channels=SPEC.channels).train()
    twin = copy.deepcopy(net)
    kept, dense = both()
    generator = torch.Generator().manual_seed(1)
    real, fake = (torch.rand(2, 3, 16, 24, generator=generator) for _ in range(2))
    outputs = []
    for network, label in ((net, kept), (twin, dense)):
        condition = nets.condition_pyramid(label, 2)
        outputs.append(
            nets.discriminate_both(network.image, condition, nets.pyramid(real, 2), [nets.pyramid(fake, 2)])[0]
        )
    assert isinstance(nets.condition_pyramid(kept, 2)[0], nets.LabelMap)
    for one, other in zip(outputs[0].fake.logits, outputs[1].fake.logits, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


def test_a_wrong_id_is_named_with_its_place() -> None:
    labels = clip_labels()
    labels["seg_maps"][1, 2, 3] = 77
    generator = nets.build_generator(GENERATOR, label_channels=SPEC.channels)
    with pytest.raises(vs_ops.ClassIdError, match=r"class id 77 at .* = \(1, 2, 3\)"):
        generator(nets.keep_class_ids(SPEC, labels), nets.History())
