"""Driving a body by another: whose proportions, whose pose, whose ground the result has."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from test_keypoints import standing
from vs_data.body_driving import body_subject_of, drive_body
from vs_data.skeletons import MEDIAPIPE33, OPENPOSE, OPENPOSE_BODY25, Skeleton

FEET = [11, 14, 19, 20, 21, 22, 23, 24]

seeds = st.integers(0, 10_000)


def dance(seed: int, frames: int = 6, skeleton: Skeleton = OPENPOSE_BODY25) -> NDArray[np.float64]:
    """A track (frames, n, 3) of points that go anywhere, some of them absent."""
    rng = np.random.default_rng(seed)
    points = rng.uniform(0, 60, (1, len(skeleton.points), 2)) + rng.normal(0, 3, (frames, len(skeleton.points), 2))
    there = rng.random((frames, len(skeleton.points), 1)) > 0.15
    return np.where(there, np.concatenate([points, np.full_like(there, 0.9, float)], axis=2), 0.0)


@settings(deadline=None)
@given(seed=seeds, skeleton=st.sampled_from([OPENPOSE_BODY25, OPENPOSE, MEDIAPIPE33]))
def test_driving_by_oneself_changes_nothing(seed: int, skeleton: Skeleton) -> None:
    track = dance(seed, skeleton=skeleton)
    subject = body_subject_of(track, skeleton)
    np.testing.assert_allclose(drive_body(track, subject, subject, skeleton), track, atol=1e-6)


@settings(deadline=None)
@given(seed=seeds, size=st.floats(0.5, 2.0), x=st.floats(-50, 50), y=st.floats(-50, 50))
def test_where_and_how_large_the_driver_is_in_its_pictures_does_not_matter(
    seed: int, size: float, x: float, y: float
) -> None:
    track, subject = dance(seed), body_subject_of(dance(seed + 1), OPENPOSE_BODY25)
    other = np.where(track[..., 2:] > 0, track * [size, size, 1] + [x, y, 0], 0.0)
    driven = drive_body(track, body_subject_of(track, OPENPOSE_BODY25), subject, OPENPOSE_BODY25)
    same = drive_body(other, body_subject_of(other, OPENPOSE_BODY25), subject, OPENPOSE_BODY25)
    np.testing.assert_allclose(same, driven, atol=1e-6)


def lengths(body: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.array([np.linalg.norm(body[a, :2] - body[b, :2]) for a, b in OPENPOSE_BODY25.limbs])


def long_legged(body: NDArray[np.float64]) -> NDArray[np.float64]:
    """The same body with legs that are half as long again."""
    longer = body.copy()
    for hip, below in ((9, [10, 11, 22, 23, 24]), (12, [13, 14, 19, 20, 21])):
        longer[below, 1] = body[hip, 1] + 1.5 * (body[below, 1] - body[hip, 1])
    return longer


def test_limbs_get_the_subjects_lengths_and_keep_the_drivers_directions() -> None:
    driver, subject = standing(), long_legged(standing(y=2, height=30))
    raised = driver.copy()
    raised[3, :2], raised[4, :2] = driver[2, :2] - [6, 6], driver[2, :2] - [10, 14]
    track = np.stack([driver, raised, driver])
    [_, driven, _] = drive_body(
        track,
        body_subject_of(track, OPENPOSE_BODY25),
        body_subject_of(subject[None], OPENPOSE_BODY25),
        OPENPOSE_BODY25,
    )
    usual, now = lengths(driver), lengths(raised)
    np.testing.assert_allclose(lengths(driven), lengths(subject) * now / usual, rtol=1e-6)
    for a, b in OPENPOSE_BODY25.limbs:
        one, other = raised[b, :2] - raised[a, :2], driven[b, :2] - driven[a, :2]
        np.testing.assert_allclose(one / np.linalg.norm(one), other / np.linalg.norm(other), atol=1e-6)


def test_feet_stand_on_the_subjects_ground_and_leave_it_when_the_driver_jumps() -> None:
    subject = long_legged(standing(y=2, height=30))
    ground = subject[FEET, 1].max()
    track = np.stack([standing(), standing(), standing(y=-4)])
    driver, other = (body_subject_of(each, OPENPOSE_BODY25) for each in (track, subject[None]))
    driven = drive_body(track, driver, other, OPENPOSE_BODY25)
    feet = driven[:, FEET, 1].max(axis=1)
    np.testing.assert_allclose(feet[:2], ground)
    size = other.lengths.sum() / driver.lengths.sum()
    np.testing.assert_allclose(feet[2], ground - 10 * size)


def test_hands_and_face_are_carried_by_wrists_and_nose() -> None:
    track = dance(3, skeleton=OPENPOSE)
    track[..., 2] = 1
    subject = body_subject_of(dance(4, skeleton=OPENPOSE), OPENPOSE)
    driven = drive_body(track, body_subject_of(track, OPENPOSE), subject, OPENPOSE)
    for anchor, name in ((0, "face"), (7, "left hand"), (4, "right hand")):
        part = OPENPOSE.part(name)
        assert part is not None
        before = track[:, part.first : part.stop, :2] - track[:, anchor, None, :2]
        after = driven[:, part.first : part.stop, :2] - driven[:, anchor, None, :2]
        ratio = (after * before).sum() / (before * before).sum()
        np.testing.assert_allclose(after, ratio * before, atol=1e-6)


def test_nobody_stays_nobody() -> None:
    track = np.zeros((2, 25, 3))
    subject = body_subject_of(dance(5), OPENPOSE_BODY25)
    empty = body_subject_of(track, OPENPOSE_BODY25)
    np.testing.assert_array_equal(drive_body(track, empty, subject, OPENPOSE_BODY25), track)
    shown = drive_body(dance(5), subject, empty, OPENPOSE_BODY25)
    assert np.isfinite(shown).all()
