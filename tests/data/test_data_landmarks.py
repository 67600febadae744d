"""Drawing faces: properties of the edge map, and what is refused."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from vs_data import VsDataError
from vs_data.landmarks import CURVES, draw_face, forehead, line_width

SIZE = (64, 64)


def test_a_drawing_is_a_map_of_numbers_from_0_to_1(face_points):
    drawing = draw_face(face_points(), SIZE)
    assert drawing.shape == SIZE
    assert drawing.dtype == np.float32
    assert drawing.min() == 0.0
    assert drawing.max() == 1.0
    assert 0.05 < drawing.mean() < 0.3


def test_every_line_is_drawn_through_its_points(face_points):
    points = face_points(4.0, (128.0, 140.0))
    drawing = draw_face(points, (256, 256))
    for index in {index for curve in CURVES for index in curve}:
        x, y = np.rint(points[index]).astype(int)
        assert drawing[y, x] > 0.25, index
    assert {index for curve in CURVES for index in curve} == set(range(68))


@pytest.mark.parametrize("roll", [0.0, 0.5, -2.0])
def test_the_outline_is_closed_by_a_forehead_that_turns_with_the_head(face_points, roll):
    points = face_points(4.0, (128.0, 140.0), roll)
    arch = forehead(points)
    assert np.allclose(arch[[0, -1]], points[[16, 0]])
    up = np.array([np.sin(roll), -np.cos(roll)])
    heights = (arch - points[[0, 16]].mean(axis=0)) @ up
    assert heights.max() == pytest.approx(heights[len(heights) // 2])
    assert heights.max() > (points[17:27] - points[[0, 16]].mean(axis=0)).dot(up).max()  # above the brows


@settings(max_examples=25, deadline=None)
@given(
    dx=st.integers(-4, 4),
    dy=st.integers(-4, 4),
    scale=st.floats(0.3, 0.7),
    roll=st.floats(-3.0, 3.0),
    noise=st.integers(0, 1000),
)
def test_drawing_and_shifting_by_whole_pixels_commute(face_points, dx, dy, scale, roll, noise):
    points = face_points(scale, (32.0, 32.0), roll) + np.random.default_rng(noise).normal(0, 0.3, (68, 2))
    moved = draw_face(points + np.array([dx, dy]), SIZE)
    expected = np.roll(draw_face(points, SIZE), (dy, dx), (0, 1))
    assert np.allclose(moved, expected, atol=1e-5)


@settings(max_examples=25, deadline=None)
@given(x=st.floats(-1e9, 1e9), y=st.floats(-1e9, 1e9), scale=st.floats(0.0, 1e6), roll=st.floats(-3.0, 3.0))
def test_whatever_is_drawn_stays_in_the_picture_and_finite(face_points, x, y, scale, roll):
    drawing = draw_face(face_points(scale, (x, y), roll), (16, 24))
    assert drawing.shape == (16, 24)
    assert np.isfinite(drawing).all()
    assert drawing.min() >= 0
    assert drawing.max() <= 1


def test_a_line_that_leaves_the_picture_is_cut_where_it_leaves(face_points):
    points = face_points(3.0, (40.0, 40.0))
    whole = draw_face(points + 50, (200, 200))
    assert np.allclose(draw_face(points, (60, 70)), whole[50:110, 50:120], atol=1e-5)


def test_lines_grow_with_the_face_and_not_with_the_picture(face_points):
    small, large = face_points(), face_points(8.0)
    assert line_width(small) == 2.0
    assert 2.0 < line_width(large) < 3.0
    assert line_width(large) == pytest.approx(line_width(large + 100))
    assert line_width(0.1 * small) == 2.0


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda face: face[:67], r"shape \(67, 2\), allowed: \(68, 2\)"),
        (lambda face: face.T, r"shape \(2, 68\)"),
        (lambda face: np.where(np.arange(136).reshape(68, 2) == 7, np.nan, face), "not finite"),
        (lambda face: face * np.inf, "not finite"),
    ],
)
def test_what_is_no_face_is_refused(face_points, spoil, message):
    with pytest.raises(VsDataError, match=message):
        draw_face(spoil(face_points()), SIZE)
