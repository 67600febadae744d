"""Discriminators of regions: crops show what is in their boxes, and what is not there does not count."""

from itertools import pairwise

import attrs
import pytest
import torch
import vs_nets as nets
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from vs_config import ConfigError
from vs_nets.regions import (
    RegionOutputs,
    crop_boxes,
    region_feature_matching,
    region_hinge_d,
    region_hinge_g,
    seen_boxes,
)

FACE = nets.RegionConfig(region="face", size=32)
HANDS = nets.RegionConfig(region="hand", size=32, weight=3.0, patch=nets.PatchConfig(filters=4, layers=2, scales=2))
CONFIG = nets.DiscriminatorConfig(image=nets.PatchConfig(filters=4, layers=2), regions=(FACE, HANDS))


def boxes(*rows: tuple[float, float, float, float]) -> Tensor:
    return torch.tensor(rows)[None]


@settings(max_examples=40, deadline=None)
@given(top=st.integers(0, 8), left=st.integers(0, 8), side=st.integers(1, 8))
def test_a_box_around_whole_pixels_shows_these_pixels(top: int, left: int, side: int) -> None:
    images = torch.randn(1, 3, 16, 16)
    box = boxes((left - 0.5, top - 0.5, left + side - 0.5, top + side - 0.5))
    crop = crop_boxes(images, box, side)
    torch.testing.assert_close(crop, images[:, :, top : top + side, left : left + side], atol=1e-5, rtol=1e-4)


def test_crops_are_in_the_order_of_samples_and_their_boxes() -> None:
    images = torch.arange(2 * 8 * 8.0).view(2, 1, 8, 8)
    spots = [[(1, 2), (5, 6)], [(3, 0), (7, 7)]]
    rows = torch.tensor([[[x - 0.5, y - 0.5, x + 0.5, y + 0.5] for x, y in sample] for sample in spots])
    wanted = [images[n, 0, y, x] for n, sample in enumerate(spots) for x, y in sample]
    torch.testing.assert_close(crop_boxes(images, rows, 1).flatten(), torch.stack(wanted))


def test_a_box_of_twice_the_size_averages_a_ramp_and_what_is_outside_is_the_edge() -> None:
    ramp = torch.arange(16.0).expand(1, 1, 16, 16)
    crop = crop_boxes(ramp, boxes((3.5, 3.5, 11.5, 11.5)), 4)
    torch.testing.assert_close(crop[0, 0, 0], torch.tensor([4.5, 6.5, 8.5, 10.5]))
    outside = crop_boxes(ramp, boxes((-8.5, -8.5, -0.5, -0.5)), 4)
    assert outside.abs().max() == 0


def test_boxes_of_other_batches_are_refused() -> None:
    with pytest.raises(nets.ShapeError, match="boxes have the shape"):
        crop_boxes(torch.zeros(2, 3, 8, 8), torch.zeros(1, 1, 4), 4)


def test_only_boxes_with_something_in_them_are_seen() -> None:
    assert seen_boxes(torch.tensor([[[1.0, 1, 3, 3], [0, 0, 0, 0]]])).tolist() == [1.0, 0.0]


def frame_outputs(net: nets.Discriminator, real: Tensor, fake: Tensor, found: dict[str, Tensor]) -> nets.FrameOutputs:
    inputs = nets.real_inputs(torch.zeros(len(real), 2, 64, 64), real, (), net.config, found)
    return nets.discriminate_frame(net, inputs, nets.Synthesis(frame=fake, raw=None), (), nets.discriminate_both)


def found_boxes(count: int) -> dict[str, Tensor]:
    face = torch.tensor([[[10.0, 8.0, 30.0, 28.0]]]).expand(count, 1, 4).clone()
    hands = torch.tensor([[[2.0, 40.0, 14.0, 52.0], [44.0, 40.0, 56.0, 52.0]]]).expand(count, 2, 4).clone()
    return {"face": face, "hand": hands}


def region_of(
    net: nets.Discriminator, real: Tensor, fake: Tensor, found: dict[str, Tensor], name: str
) -> RegionOutputs:
    region = frame_outputs(net, real, fake, found).regions[name]
    assert isinstance(region, RegionOutputs)
    return region


@pytest.fixture
def net() -> nets.Discriminator:
    torch.manual_seed(0)
    return nets.build_discriminator(CONFIG, label_channels=2).eval()


def test_losses_of_regions_have_names_and_weights_of_their_own(net: nets.Discriminator) -> None:
    real, fake = torch.randn(2, 3, 64, 64), torch.randn(2, 3, 64, 64, requires_grad=True)
    outputs = frame_outputs(net, real, fake, found_boxes(2))
    weights = nets.ObjectiveConfig(gan=2.0, feature_matching=5.0)
    of_d = nets.discriminator_losses(outputs, weights)
    assert {name: loss.weight for name, loss in of_d.items()} == {"gan": 2.0, "gan_face": 20.0, "gan_hand": 6.0}
    synthesis, target = nets.Synthesis(frame=fake, raw=None), nets.Target(frame=real)
    of_g = nets.generator_losses(synthesis, target, outputs, weights)
    assert of_g["gan_hand"].weight == 6.0
    assert of_g["feature_matching_face"].weight == 50.0
    (gradient,) = torch.autograd.grad(of_g["gan_face"].value, fake)
    assert gradient[:, :, 9:28, 11:29].abs().sum() > 0
    outside = gradient.clone()
    outside[:, :, 7:30, 9:32] = 0
    assert outside.abs().max() == 0


def test_with_all_regions_there_the_losses_are_those_of_plain_discriminators(net: nets.Discriminator) -> None:
    real, fake = torch.randn(2, 3, 64, 64), torch.randn(2, 3, 64, 64)
    region = region_of(net, real, fake, found_boxes(2), "hand")
    plain = attrs.evolve(frame_outputs(net, real, fake, found_boxes(2)), image=region.outputs, regions={})
    weights = nets.ObjectiveConfig()
    of_d = nets.discriminator_losses(plain, weights)
    torch.testing.assert_close(region_hinge_d(region), of_d["gan"].value)
    synthesis, target = nets.Synthesis(frame=fake, raw=None), nets.Target(frame=real)
    of_g = nets.generator_losses(synthesis, target, plain, weights)
    torch.testing.assert_close(region_hinge_g(region), of_g["gan"].value)
    torch.testing.assert_close(region_feature_matching(region), of_g["feature_matching"].value)


@settings(max_examples=15, deadline=None)
@given(there=st.lists(st.booleans(), min_size=2, max_size=4))
def test_a_region_that_is_not_there_does_not_count_and_parts_of_a_batch_add_up(there: list[bool]) -> None:
    torch.manual_seed(1)
    net = nets.build_discriminator(CONFIG, label_channels=2).eval()
    count = len(there)
    real, fake = torch.randn(count, 3, 64, 64), torch.randn(count, 3, 64, 64)
    found = found_boxes(count)
    for index, seen in enumerate(there):
        if not seen:
            found["face"][index] = 0
    of_all = region_hinge_d(region_of(net, real, fake, found, "face"))
    each = [
        region_hinge_d(
            region_of(net, real[i : i + 1], fake[i : i + 1], {k: b[i : i + 1] for k, b in found.items()}, "face")
        )
        for i in range(count)
    ]
    torch.testing.assert_close(of_all, torch.stack(each).mean())
    assert all((loss != 0) == seen for loss, seen in zip(each, there, strict=True))


def test_crops_and_losses_are_islands_of_float32(net: nets.Discriminator) -> None:
    real, fake = torch.randn(1, 3, 64, 64), torch.randn(1, 3, 64, 64)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert crop_boxes(real.bfloat16(), found_boxes(1)["face"], 16).dtype == torch.float32
        region = region_of(net, real, fake, found_boxes(1), "hand")
        assert region.outputs.fake.logits[0].dtype == torch.bfloat16
        losses = region_hinge_d(region), region_hinge_g(region), region_feature_matching(region)
    assert {loss.dtype for loss in losses} == {torch.float32}


def test_a_clip_without_boxes_is_refused_with_the_region_that_it_lacks(net: nets.Discriminator) -> None:
    with pytest.raises(nets.VsNetsError, match="'hand' needs boxes"):
        nets.real_inputs(
            torch.zeros(1, 2, 64, 64), torch.zeros(1, 3, 64, 64), (), CONFIG, {"face": boxes((0, 0, 9, 9))}
        )


def test_one_discriminator_a_region_on_crops_that_are_large_enough() -> None:
    with pytest.raises(ConfigError, match=r"regions\[1\]\.region"):
        nets.DiscriminatorConfig(regions=(FACE, FACE))
    with pytest.raises(ConfigError, match="at least 24"):
        nets.RegionConfig(size=16)


def test_the_published_network_of_a_region_has_as_many_parameters_as_its_layers() -> None:
    net = nets.build_discriminator(nets.DiscriminatorConfig(regions=(nets.RegionConfig(),)), label_channels=2)
    widths = [3, 32, 64, 128, 256]
    convolutions = sum(16 * a * b + b for a, b in pairwise(widths))
    norms, head = 2 * sum(widths[1:]), 9 * 256 + 1
    assert sum(p.numel() for p in net.regions.parameters()) == convolutions + norms + head
