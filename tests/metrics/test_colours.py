import inspect
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from vs_metrics import (
    ClassIdError,
    ShapeError,
    flow_to_rgb,
    frame_to_uint8,
    labels_to_rgb,
    mask_to_rgb,
    palette_for,
)
from vs_metrics.colours import CITYSCAPES_PALETTE, generated_palette


def test_frames_map_to_levels_and_are_clipped() -> None:
    values = torch.tensor([-2.0, -1.0, 0.0, 1.0, 2.0, math.nan]).view(1, 1, 6).expand(3, 1, 6)
    assert frame_to_uint8(values)[0, :, 1].tolist() == [0, 0, 128, 255, 255, 0]
    assert frame_to_uint8(values.expand(2, 5, 3, 1, 6)).shape == (2, 5, 1, 6, 3)


@settings(deadline=None, max_examples=30)
@given(level=st.integers(0, 255))
def test_levels_survive_the_round_trip(level: int) -> None:
    assert frame_to_uint8(torch.full((3, 1, 1), level / 127.5 - 1)).tolist() == [[[level] * 3]]


def test_channels_are_red_green_blue() -> None:
    frame = torch.tensor([1.0, 0.0, -1.0]).view(3, 1, 1)
    assert frame_to_uint8(frame).tolist() == [[[255, 128, 0]]]


def test_cityscapes_palette_is_the_published_one() -> None:
    assert len(CITYSCAPES_PALETTE) == 35
    assert palette_for(35) is CITYSCAPES_PALETTE
    known = {7: (128, 64, 128), 8: (244, 35, 232), 11: (70, 70, 70), 23: (70, 130, 180), 24: (220, 20, 60)}
    assert all(CITYSCAPES_PALETTE[index] == colour for index, colour in known.items())
    # Published doubles: everything void is black, poles and pole groups agree, licence plates look like cars.
    drawn = [colour for index, colour in enumerate(CITYSCAPES_PALETTE) if index not in (0, 1, 2, 3, 18, 34)]
    assert len(set(drawn)) == len(drawn)


@pytest.mark.parametrize("count", [1, 2, 19, 34, 36, 256, 1000])
def test_generated_colours_are_unique_bytes(count: int) -> None:
    palette = palette_for(count)
    assert palette == generated_palette(count)
    assert len(set(palette)) == count
    assert all(0 <= value <= 255 for colour in palette for value in colour)


def test_labels_are_painted_and_wrong_ids_named() -> None:
    ids = torch.tensor([[7, 23, 255]], dtype=torch.uint8)
    assert labels_to_rgb(ids, CITYSCAPES_PALETTE).tolist() == [[[128, 64, 128], [70, 130, 180], [255, 255, 255]]]
    assert labels_to_rgb(torch.tensor([[999]]), generated_palette(1000)).shape == (1, 1, 3)
    assert labels_to_rgb(torch.tensor([[255]]), generated_palette(256))[0, 0].tolist() == list(
        generated_palette(256)[255]
    )
    with pytest.raises(ClassIdError, match="class id 35"):
        labels_to_rgb(torch.tensor([[35]]), CITYSCAPES_PALETTE)
    with pytest.raises(ClassIdError, match="class id -2"):
        labels_to_rgb(torch.tensor([[-2]]), CITYSCAPES_PALETTE)


def test_flow_colours_show_direction_and_length() -> None:
    flow = torch.tensor([[0.0, 4.0, 0.0, -4.0, 0.0, 2.0, 40.0], [0.0, 0.0, 4.0, 0.0, -4.0, 0.0, 0.0]]).view(2, 1, 7)
    still, right, down, left, up, half, far = flow_to_rgb(flow, 4.0)[0].tolist()
    assert still == [255, 255, 255]
    assert right == far == [255, 0, 0]
    assert down == [128, 255, 0]
    assert left == [0, 255, 255]
    assert up == [128, 0, 255]
    assert half == [255, 128, 128]


def test_flow_scale_defaults_to_the_longest_vector_but_at_least_a_pixel() -> None:
    flow = torch.zeros(2, 2, 1, 2)
    flow[1, 0, 0, 1] = 8.0
    flow[0, 0, 0, 0] = 4.0
    assert flow_to_rgb(flow)[0, 0, 0].tolist() == [255, 128, 128]
    assert flow_to_rgb(flow / 16)[1, 0, 1].tolist() == [255, 128, 128]
    assert bool((flow_to_rgb(torch.zeros(2, 3, 3)) == 255).all())


def test_flow_that_is_not_finite_is_black() -> None:
    flow = torch.tensor([[[math.nan, 1.0, math.inf]], [[0.0, 0.0, 0.0]]])
    assert flow_to_rgb(flow).tolist() == [[[0, 0, 0], [255, 0, 0], [0, 0, 0]]]


@settings(deadline=None, max_examples=20)
@given(angle=st.floats(-3.1, 3.1), length=st.floats(0.1, 5.0))
def test_flow_colour_of_a_direction_only_pales_with_its_length(angle: float, length: float) -> None:
    flow = torch.tensor([math.cos(angle), math.sin(angle)]).view(2, 1, 1)
    full, part = (flow_to_rgb(flow * scale, 5.0)[0, 0].astype(int) for scale in (5.0, length))
    assert np.abs((255 - part) - (255 - full) * length / 5).max() <= 1


def test_masks_are_grey_and_clipped() -> None:
    mask = torch.tensor([0.0, 0.5, 1.0, 3.0]).view(1, 1, 1, 4)
    assert mask_to_rgb(mask)[0, 0].tolist() == [[level] * 3 for level in (0, 128, 255, 255)]


def test_wrong_channel_counts_are_refused() -> None:
    for function in (frame_to_uint8, flow_to_rgb, mask_to_rgb):
        with pytest.raises(ShapeError, match="has shape"):
            inspect.unwrap(function)(torch.zeros(4, 8, 8))
