"""Colours of regions as a measure of identity: what is averaged, how far colours are apart, and who looks like whom."""

import inspect
import math

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import settings as limits
from hypothesis import strategies as st
from vs_metrics import (
    ClassIdError,
    ShapeError,
    average_of,
    class_mean_colours,
    colour_distances,
    identity_distances,
    mean_of,
    paint_classes,
    region_colours,
)
from vs_metrics.identity import srgb_to_lab

SEEDS = st.integers(0, 2**31 - 1)


def random_colours(seed: int, *shape: int) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def random_regions(seed: int, count: int, *shape: int) -> torch.Tensor:
    return torch.randint(0, count, shape, generator=torch.Generator().manual_seed(seed), dtype=torch.uint8)


def painted(regions: torch.Tensor, colours: list[list[float]]) -> torch.Tensor:
    return torch.tensor(colours)[regions.long()].movedim(-1, -3)


def test_regions_have_the_mean_colour_of_their_pixels_in_each_frame() -> None:
    frames = torch.tensor([[[0.0, 0.5, 1.0]], [[0.0, 0.25, 0.5]], [[1.0, -1.0, 0.5]]])[None].repeat(2, 1, 1, 1)
    regions = torch.tensor([[[2, 2, 0]], [[0, 255, 255]]])
    means, pixels = region_colours(frames, regions, 4)
    assert pixels.tolist() == [[1.0, 0.0, 2.0, 0.0], [1.0, 0.0, 0.0, 0.0]]
    zero = [0.0, 0.0, 0.0]
    assert means.tolist() == [
        [[1.0, 0.5, 0.5], zero, [0.25, 0.125, 0.0], zero],
        [[0.0, 0.0, 1.0], zero, zero, zero],
    ]


@limits(max_examples=20)
@given(seed=SEEDS, count=st.integers(1, 5))
def test_colours_of_frames_add_up_to_the_mean_colours_of_classes(seed: int, count: int) -> None:
    frames, regions = random_colours(seed, 2, 3, 3, 5, 7), random_regions(seed, count, 2, 3, 5, 7)
    means, pixels = region_colours(frames, regions, count)
    assert means.shape == (2, 3, count, 3)
    assert bool((pixels.sum(dim=-1) == 35).all())
    together = class_mean_colours([(frames, regions)], num_classes=count)
    for region in range(count):
        expected = together.colours[region] if together.counts[region] else torch.full((3,), math.nan)
        weights = pixels[..., region]
        found = [mean_of(average_of(means[..., region, channel], weights)) for channel in range(3)]
        torch.testing.assert_close(torch.tensor(found), expected, rtol=1e-5, atol=1e-6, equal_nan=True)


@pytest.mark.parametrize(
    ("colour", "lab"),
    [
        ((1.0, 1.0, 1.0), (100.0, 0.0, 0.0)),
        ((-1.0, -1.0, -1.0), (0.0, 0.0, 0.0)),
        ((0.0, 0.0, 0.0), (53.39, 0.0, 0.0)),  # half of the levels is 0.214 of the light: 116 * 0.214^(1/3) - 16
        ((1.0, -1.0, -1.0), (53.24, 80.09, 67.20)),
        ((-1.0, 1.0, -1.0), (87.73, -86.18, 83.18)),
        ((-1.0, -1.0, 1.0), (32.30, 79.19, -107.86)),
        ((1.5, 1.0, 7.0), (100.0, 0.0, 0.0)),  # clipped
    ],
)
def test_lab_has_its_published_values(colour: tuple[float, ...], lab: tuple[float, ...]) -> None:
    torch.testing.assert_close(srgb_to_lab(torch.tensor(colour)).float(), torch.tensor(lab), rtol=0, atol=0.01)


@limits(max_examples=20)
@given(seed=SEEDS)
def test_lab_agrees_with_another_implementation(seed: int) -> None:
    colours = random_colours(seed, 1, 50, 3)
    other = cv2.cvtColor(((colours + 1) / 2).numpy().astype(np.float32), cv2.COLOR_RGB2LAB)
    # OpenCV reads its curves from tables, which costs it up to 0.6.
    torch.testing.assert_close(srgb_to_lab(colours).float(), torch.from_numpy(other), rtol=0, atol=1.0)


@limits(max_examples=50)
@given(seed=SEEDS)
def test_distances_of_colours_are_a_metric(seed: int) -> None:
    a, b, c = random_colours(seed, 3, 20, 3)
    assert bool((colour_distances(a, a) == 0).all())
    assert torch.equal(colour_distances(a, b), colour_distances(b, a))
    assert bool((colour_distances(a, b) > 0).all())
    assert bool((colour_distances(a, c) <= colour_distances(a, b) + colour_distances(b, c) + 1e-3).all())


def test_distances_of_greys_are_those_of_their_lightness() -> None:
    black, white, grey = torch.full((3,), -1.0), torch.ones(3), torch.zeros(3)
    assert float(colour_distances(black, white)) == pytest.approx(100.0, abs=1e-3)
    assert float(colour_distances(grey, white)) == pytest.approx(100 - 53.389, abs=1e-2)
    near = torch.full((3,), 1e-4)  # the least of differences is not lost in rounding
    assert 0 < float(colour_distances(grey, near)) < 0.01


def test_a_generator_that_copies_the_subject_is_told_from_one_that_paints_the_mean() -> None:
    regions = torch.zeros(2, 8, 8, dtype=torch.uint8)
    regions[:, 2:6, 2:6] = 1
    subject = painted(regions, [[0.5, -0.5, 0.0], [0.9, 0.4, 0.1]])
    mean = torch.tensor([[0.0, 0.0, 0.0], [0.2, 0.1, 0.0]])
    copied = identity_distances(subject, subject, regions, mean)
    assert copied.weights.tolist() == [[1.0, 1.0]] * 2
    assert copied.to_subject.tolist() == [[0.0, 0.0]] * 2
    torch.testing.assert_close(copied.to_mean, copied.mean_to_subject)
    assert copied.closer.tolist() == [[1.0, 1.0]] * 2
    colours = class_mean_colours([(painted(regions, mean.tolist()), regions)], num_classes=2)
    lazy = identity_distances(paint_classes(regions, colours), subject, regions, mean)
    torch.testing.assert_close(lazy.to_subject, lazy.mean_to_subject)
    torch.testing.assert_close(lazy.to_mean, torch.zeros(2, 2), rtol=0, atol=1e-3)
    assert lazy.closer.tolist() == [[0.0, 0.0]] * 2
    expected = colour_distances(mean, torch.tensor([[0.5, -0.5, 0.0], [0.9, 0.4, 0.1]]))
    torch.testing.assert_close(lazy.mean_to_subject[0], expected)


def test_regions_weigh_alike_and_small_ones_nothing() -> None:
    regions = torch.zeros(1, 8, 8, dtype=torch.uint8)
    regions[0, 0], regions[0, 1, :7] = 1, 2  # 8 and 7 pixels, 49 of background
    real = painted(regions, [[1.0] * 3, [0.0] * 3, [0.0] * 3, [0.0] * 3])
    made = painted(regions, [[1.0] * 3, [-1.0] * 3, [-1.0] * 3, [0.0] * 3])
    distances = identity_distances(made, real, regions, torch.zeros(4, 3))
    assert distances.weights.tolist() == [[1.0, 1.0, 0.0, 0.0]]
    assert distances.to_subject[0, 2:].tolist() == [0.0, 0.0]
    assert mean_of(average_of(distances.to_subject, distances.weights)) == pytest.approx(53.389 / 2, abs=1e-2)
    assert distances.closer[0, :2].tolist() == [1.0, 0.0]
    everything = identity_distances(made, real, regions, torch.zeros(4, 3), min_pixels=0)
    assert everything.weights.tolist() == [[1.0, 1.0, 1.0, 0.0]]  # there is no region of no pixels


@limits(max_examples=20)
@given(seed=SEEDS, share=st.floats(0.0, 1.0))
def test_the_nearer_to_the_subject_the_smaller_the_distance(seed: int, share: float) -> None:
    """Greys between the training mean and the subject: lightness is one line, on which distances add up."""
    regions = random_regions(seed, 2, 6, 6)
    real, mean = torch.full((3, 6, 6), 0.8), torch.full((2, 3), -0.4)
    made = share * real + (1 - share) * -0.4
    found = identity_distances(made, real, regions, mean, min_pixels=1)
    counted = found.weights > 0
    torch.testing.assert_close((found.to_subject + found.to_mean)[counted], found.mean_to_subject[counted])
    if share < 0.4 or share > 0.6:
        assert bool((found.closer[counted] == float(share > 0.5)).all())


def test_colours_leave_no_graph_behind() -> None:
    frames = random_colours(0, 2, 3, 4, 4).requires_grad_()
    regions = torch.zeros(2, 4, 4, dtype=torch.uint8)
    found = identity_distances(frames, frames.detach(), regions, torch.zeros(1, 3))
    assert not found.to_subject.requires_grad
    assert not colour_distances(frames.movedim(1, -1), frames.movedim(1, -1)).requires_grad
    assert region_colours(frames[:0], regions[:0], 3)[0].shape == (0, 3, 3)


def test_what_does_not_fit_is_named() -> None:
    frames, regions = torch.zeros(2, 3, 4, 4), torch.full((2, 4, 4), 7)
    with pytest.raises(ClassIdError, match="class id 7"):
        region_colours(frames, regions, 7)
    colours, distances = inspect.unwrap(region_colours), inspect.unwrap(identity_distances)
    with pytest.raises(ShapeError, match="regions has shape"):
        colours(frames, regions[:1], 8)
    with pytest.raises(ShapeError, match="frames has shape"):
        colours(frames[:, :2], regions, 8)
    with pytest.raises(ShapeError, match="training_mean has shape"):
        distances(frames, frames, regions, torch.zeros(3))
    with pytest.raises(ShapeError, match="real has shape"):
        distances(frames, frames[:1], regions, torch.zeros(8, 3))
    with pytest.raises(ShapeError, match="b has shape"):
        inspect.unwrap(colour_distances)(torch.zeros(2, 3), torch.zeros(3))
    with pytest.raises(ShapeError, match="colours has shape"):
        srgb_to_lab(torch.zeros(2, 4))
