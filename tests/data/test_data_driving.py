"""Driving a subject by another: whose proportions, whose pose, whose expression the result has."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from vs_data import drive, subject_of

EYES = (slice(36, 42), slice(42, 48))

poses = st.lists(
    st.tuples(st.floats(0.5, 3.0), st.floats(20, 200), st.floats(20, 200), st.floats(-1.0, 1.0)), min_size=1, max_size=6
)
stretches = st.tuples(st.floats(0.7, 1.4), st.floats(0.7, 1.4))


def moved(face: np.ndarray, motion: list[tuple[float, float, float, float]]) -> np.ndarray:
    """A face (68, 2) around (0, 0) in each pose (size, x, y, roll): (n, 68, 2)."""
    frames = []
    for size, x, y, roll in motion:
        cos, sin = np.cos(roll), np.sin(roll)
        frames.append(size * face @ np.array([[cos, sin], [-sin, cos]]) + (x, y))
    return np.stack(frames)


def shaken(track: np.ndarray, seed: int) -> np.ndarray:
    return track + np.random.default_rng(seed).normal(0, 1.0, track.shape)


def proportions(points: np.ndarray) -> np.ndarray:
    """Lengths within faces (..., 68, 2), in distances between the eyes: they do not change with pose or size."""
    eyes = [points[..., eye, :].mean(axis=-2) for eye in EYES]
    unit = np.linalg.norm(eyes[1] - eyes[0], axis=-1)
    pairs = ((0, 16), (8, 27), (48, 54), (21, 22), (36, 39), (37, 41), (31, 35), (17, 8))
    return np.stack([np.linalg.norm(points[..., a, :] - points[..., b, :], axis=-1) / unit for a, b in pairs], axis=-1)


def roll(points: np.ndarray) -> np.ndarray:
    """The angle of the line between the eyes."""
    across = points[..., EYES[1], :].mean(axis=-2) - points[..., EYES[0], :].mean(axis=-2)
    return np.arctan2(across[..., 1], across[..., 0])


@settings(max_examples=50, deadline=None)
@given(motion=poses, seed=st.integers(0, 1000))
def test_driving_by_oneself_changes_nothing(face_points, motion, seed):
    track = shaken(moved(face_points(centre=(0, 0)), motion), seed)
    subject = subject_of(track)
    assert np.allclose(drive(track, subject, subject), track, atol=1e-6)


@settings(max_examples=50, deadline=None)
@given(motion=poses, size=st.floats(0.3, 4.0), x=st.floats(-500, 500), y=st.floats(-500, 500), shape=stretches)
def test_where_and_how_large_the_driver_is_in_its_pictures_does_not_matter(face_points, motion, size, x, y, shape):
    face = face_points(centre=(0, 0))
    track = shaken(moved(face, motion), 1)
    subject = subject_of(shaken(moved(face * np.array(shape), [(2.0, 50, 60, 0.1)] * 3), 2))
    other = track * size + np.array([x, y])
    driven = drive(track, subject_of(track), subject)
    assert np.allclose(drive(other, subject_of(other), subject), driven, atol=1e-5)


@settings(max_examples=50, deadline=None)
@given(motion=poses, ours=poses, shape=stretches)
def test_proportions_are_the_subjects_and_roll_is_the_drivers(face_points, motion, ours, shape):
    face = face_points(centre=(0, 0))
    stretched = face * np.array(shape)
    track = moved(face, motion)
    driven = drive(track, subject_of(track), subject_of(moved(stretched, ours)))
    assert np.allclose(proportions(driven), proportions(stretched), atol=1e-6)
    assert np.allclose(roll(driven), [pose[3] for pose in motion], atol=1e-6)


def test_motion_is_carried_over_in_units_of_the_faces_size(face_points):
    face = face_points(centre=(0, 0))
    track = moved(face, [(1.0, 100, 50, 0.0), (1.0, 110, 50, 0.0), (1.5, 105, 62, 0.0)])
    subject = moved(face, [(2.0, 300, 200, 0.0)] * 2)
    driven = drive(track, subject_of(track), subject_of(subject))
    assert np.allclose(driven[1] - driven[0], (10 * 2 * 6 / 7, 0))  # the driver's mean size is 7 / 6
    spread = [np.linalg.norm(points[45] - points[36]) for points in driven]
    assert spread[2] / spread[0] == pytest.approx(1.5)
    assert np.mean(spread) == pytest.approx(np.linalg.norm(subject[0, 45] - subject[0, 36]))


def test_an_expression_is_carried_over_and_a_blink_closes_the_eyes(face_points, speaking):
    face = face_points(4.0, (0, 0))
    blink = face.copy()
    for eye in EYES:
        blink[eye, 1] = face[eye, 1].mean()
    track = np.stack([face] * 5 + [speaking(face, 0.2), blink])
    wide = face * np.array([1.2, 1.0])
    for eye in EYES:  # a subject whose eyes are twice as open
        wide[eye, 1] = face[eye, 1].mean() + 2 * (face[eye, 1] - face[eye, 1].mean())
    driven = drive(track, subject_of(track), subject_of(np.stack([wide] * 3)))

    def height(points, eye):
        return np.ptp(points[eye, 1]) / np.ptp(points[0:17, 0])

    for eye in EYES:
        assert height(driven[0], eye) == pytest.approx(height(wide, eye), rel=0.05)
        assert height(driven[6], eye) < 0.1 * height(driven[0], eye)
    mouth = driven[:, 66, 1] - driven[:, 62, 1]
    assert mouth[5] - mouth[0] > 0.8 * (track[5, 66, 1] - track[0, 66, 1])
    assert np.allclose(mouth[:5], mouth[0])


def test_the_neutral_shape_does_not_follow_what_a_few_frames_do(face_points, speaking):
    face = face_points(4.0, (0, 0))
    quiet = subject_of(np.stack([face] * 7))
    talking = subject_of(np.stack([face] * 4 + [speaking(face, 0.3)] * 3))
    assert np.allclose(quiet.neutral, talking.neutral, atol=1e-6)


def test_broken_faces_give_finite_numbers(face_points):
    point = np.zeros((2, 68, 2))
    face = face_points()[None]
    for track, subject in ((point, face), (face, point)):
        assert np.isfinite(drive(track, subject_of(track), subject_of(subject))).all()
