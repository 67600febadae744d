"""Skeletons: what the built-in ones consist of, and that drawing them follows the points as a picture would."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from vs_data import VsDataError
from vs_data.skeletons import (
    BUILT_IN,
    COCO17,
    DLIB68,
    MEDIAPIPE33,
    OPENPOSE,
    OPENPOSE_BODY25,
    OPENPOSE_COCO18,
    OPENPOSE_FACE70,
    Skeleton,
    draw_layers,
    draw_skeleton,
    exchanged,
)

SIZE = (48, 64)

seeds = st.integers(0, 2**32 - 1)


def body(seed: int, low: float = 5.0, high: float = 40.0) -> NDArray[np.float64]:
    """Return the 25 points of a body whose points are anywhere, some of them absent."""
    rng = np.random.default_rng(seed)
    there = rng.random((25, 1)) > 0.2
    return np.concatenate([rng.uniform(low, high, (25, 2)), there], axis=1)


@pytest.mark.parametrize(
    ("name", "points", "limbs"),
    [("openpose", 137, 24 + 63 + 2 + 40), ("body25", 25, 24), ("coco17", 17, 19), ("mediapipe33", 33, 35)],
)
def test_built_in_skeletons_have_as_many_points_and_limbs_as_their_formats_say(
    name: str, points: int, limbs: int
) -> None:
    assert (len(BUILT_IN[name].points), len(BUILT_IN[name].limbs)) == (points, limbs)


@pytest.mark.parametrize("skeleton", BUILT_IN.values(), ids=BUILT_IN)
def test_each_point_has_a_mirror_image_or_is_in_the_middle(skeleton: Skeleton) -> None:
    mirrored = {point for pair in skeleton.mirrored for point in pair}
    assert len(mirrored) == 2 * len(skeleton.mirrored)
    sided = {index for index, name in enumerate(skeleton.points) if "left" in name or "right" in name}
    assert mirrored == sided
    swapped = {left: right for right, left in skeleton.mirrored} | dict(skeleton.mirrored)
    limbs = {frozenset(limb) for limb in skeleton.limbs}
    assert {frozenset(swapped.get(end, end) for end in limb) for limb in skeleton.limbs} == limbs


def test_formats_agree_where_they_number_the_same_points() -> None:
    assert OPENPOSE_FACE70.points[:68] == DLIB68.points
    assert set(OPENPOSE_COCO18.points) < set(OPENPOSE_BODY25.points)
    assert set(COCO17.points) == set(OPENPOSE_COCO18.points) - {"neck"}
    assert set(COCO17.points) - set(MEDIAPIPE33.points) == set()
    assert [OPENPOSE.points[index] for index in (0, 8, 22, 25, 95, 116)] == [
        *("nose", "middle hip", "right big toe"),
        *("right face 0", "left hand wrist", "right hand wrist"),
    ]


@pytest.mark.parametrize("name", ["body25", "coco17", "mediapipe33"])
def test_colours_of_limbs_differ_and_so_do_those_of_left_and_right(name: str) -> None:
    assert len(set(BUILT_IN[name].colours)) == len(BUILT_IN[name].limbs)


def test_a_level_limb_is_as_wide_as_its_skeleton_says() -> None:
    points = np.zeros((25, 3))
    points[2], points[3] = (40.0, 128.0, 1.0), (200.0, 128.0, 1.0)
    limb = OPENPOSE_BODY25.limbs.index((2, 3))
    drawn = draw_skeleton(points, OPENPOSE_BODY25, (256, 256))
    assert drawn[:, 128, 120] == pytest.approx(OPENPOSE_BODY25.colours[limb])
    covered = draw_layers(points, OPENPOSE_BODY25, (256, 256))
    assert covered[limb, :, 120].sum() == pytest.approx(OPENPOSE_BODY25.widths[limb])
    assert covered[:limb].max() == covered[limb + 1 :].max() == 0


@given(seed=seeds, dx=st.integers(-8, 8), dy=st.integers(-5, 5))
def test_a_moved_skeleton_is_the_moved_drawing(seed: int, dx: int, dy: int) -> None:
    points = body(seed, 12, 34)
    moved = draw_skeleton(points + np.array([dx, dy, 0]), OPENPOSE_BODY25, SIZE)
    there = draw_skeleton(points, OPENPOSE_BODY25, SIZE)
    np.testing.assert_allclose(moved, np.roll(there, (dy, dx), axis=(1, 2)), atol=1e-5)


@settings(max_examples=40, deadline=None)
@given(seed=seeds)
def test_a_mirrored_skeleton_is_the_mirrored_drawing_but_for_the_colours_of_its_sides(seed: int) -> None:
    points = body(seed, -10, 70)
    mirror = np.stack([SIZE[1] - 1 - points[:, 0], points[:, 1], points[:, 2]], axis=1)
    drawn = draw_skeleton(points, OPENPOSE_BODY25, SIZE)
    np.testing.assert_allclose(draw_skeleton(mirror, OPENPOSE_BODY25, SIZE), drawn[:, :, ::-1], atol=1e-5)
    maps = draw_layers(points, OPENPOSE_BODY25, SIZE).max(axis=0)
    swapped = draw_layers(exchanged(mirror, OPENPOSE_BODY25), OPENPOSE_BODY25, SIZE).max(axis=0)
    np.testing.assert_allclose(swapped, maps[:, ::-1], atol=1e-5)


@given(seed=seeds)
def test_exchanging_right_and_left_twice_changes_nothing(seed: int) -> None:
    points = body(seed)
    np.testing.assert_array_equal(exchanged(exchanged(points, OPENPOSE_BODY25), OPENPOSE_BODY25), points)


@settings(max_examples=15, deadline=None)
@given(seed=seeds)
def test_a_skeleton_in_a_picture_twice_as_large_is_drawn_twice_as_large(seed: int) -> None:
    points = body(seed, 20, 236)
    small = draw_layers(points, OPENPOSE_BODY25, (256, 256)).max(axis=0)
    doubled = np.concatenate([(points[:, :2] + 0.5) * 2 - 0.5, points[:, 2:]], axis=1)
    large = draw_layers(doubled, OPENPOSE_BODY25, (512, 512)).max(axis=0)
    shrunk = large.reshape(256, 2, 256, 2).mean(axis=(1, 3))
    assert np.abs(shrunk - small).mean() < 0.01
    assert np.abs(shrunk - small).max() < 0.5


def test_points_that_are_not_there_take_their_limbs_with_them() -> None:
    points = body(1)
    points[:, 2] = 0
    assert draw_skeleton(points, OPENPOSE_BODY25, SIZE).max() == 0
    points[0, 2] = 1
    assert draw_skeleton(points, OPENPOSE_BODY25, SIZE).max() == 0


def test_what_is_far_outside_is_cut_off_without_much_work() -> None:
    points = np.full((25, 3), 1e6)
    points[0, :2] = -1e6
    assert draw_skeleton(points, OPENPOSE_BODY25, SIZE).shape == (3, *SIZE)


@pytest.mark.parametrize("points", [np.zeros((24, 3)), np.zeros((25, 2)), np.full((25, 3), np.nan)])
def test_other_points_are_refused(points: NDArray[np.float64]) -> None:
    with pytest.raises(VsDataError, match="points h"):
        draw_skeleton(points, OPENPOSE_BODY25, SIZE)
