"""Dancers' flow, parts and keypoints are those of their bodies: checked against pictures, formulas and each other."""

import attrs
import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from vs_data import ClipRequest, DancersConfig, open_dancers
from vs_data.dancers.body import PARTS, Body, build_body
from vs_data.dancers.cast import NONE, figure_of, nearest
from vs_data.dancers.motion import STANDING, Moment, draw_motion, moment_at
from vs_data.dancers.points import keypoints_at
from vs_data.dancers.pose import Bone, pose_of, unit
from vs_data.dancers.render import Shot, densepose_of, flow_between, parts_of, picture_of, shoot
from vs_data.labels import densepose

CONFIG = DancersConfig()
SIZE = (96, 96)
NOSE, NECK, R_SHOULDER, R_ELBOW, R_WRIST, L_SHOULDER, L_ELBOW, L_WRIST = range(8)
R_KNEE, R_ANKLE, L_KNEE, L_ANKLE = 10, 11, 13, 14
LIMBS = (
    # two joints, and the parts that lie between them
    (R_SHOULDER, R_ELBOW, (16, 18)), (R_ELBOW, R_WRIST, (20, 22)), (L_SHOULDER, L_ELBOW, (15, 17)),
    (L_ELBOW, L_WRIST, (19, 21)), (R_KNEE, R_ANKLE, (11, 13)), (L_KNEE, L_ANKLE, (12, 14)),
)  # fmt: skip
people = st.integers(0, 10_000)
frames = st.integers(0, 2_000)


def moment_of(motion: int, frame: int) -> Moment:
    return moment_at(draw_motion(CONFIG, motion, 0), frame)


def shot_of(person: int, moment: Moment, size: tuple[int, int] = SIZE) -> Shot:
    return shoot(build_body(0, person), moment, size)


def points_of(person: int, moment: Moment, size: tuple[int, int] = SIZE) -> np.ndarray:
    return keypoints_at(figure_of(build_body(0, person), moment), size)


def warp(picture: np.ndarray, flow: np.ndarray) -> np.ndarray:
    """(C,H,W) looked up bilinearly at every pixel's place plus flow (2,H,W), clamped to the border."""
    height, width = picture.shape[1:]
    rows, columns = np.mgrid[0:height, 0:width].astype(np.float32)
    x, y = columns + flow[0], rows + flow[1]
    looked_up = cv2.remap(picture.transpose(1, 2, 0), x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return looked_up.transpose(2, 0, 1)


@pytest.mark.parametrize(
    ("size", "most", "of_reference", "gain"), [(64, 9.0, 18.0, 1.3), (128, 6.0, 14.0, 1.8), (192, 5.0, 13.5, 2.2)]
)
def test_warping_reproduces_frames(size: int, most: float, of_reference: float, gain: float) -> None:
    """Of a range of 255; what is left are edges, most of a small picture, and that light falls on limbs otherwise."""
    dancers = open_dancers(attrs.evolve(CONFIG, height=size, width=size, labels="parts"), "train")
    errors, naive, shares, floor = [], [], [], []
    for sequence in range(0, 12, 2):
        clip = dancers.read(ClipRequest(sequence=sequence, start=12, length=2, references=(0, 29)))
        now, before = clip.frames[1].numpy(), clip.frames[0].numpy()
        person = clip.labels["seg_maps"][1].numpy() > 0
        examples = clip.references
        others = [(before, clip.flow[1], clip.flow_confidence[1])]
        others += [(examples.frames[k].numpy(), examples.flow[1, k], examples.flow_confidence[1, k]) for k in (0, 1)]
        for other, flow, confidence in others:
            sure = confidence[0].numpy() > 0
            wrong = np.abs(warp(other, flow.numpy()) - now).mean(axis=0) * 127.5
            errors.append(wrong[person & sure].mean())
            floor.append(wrong[~person & sure].mean())
            naive.append(np.abs(other - now)[:, person].mean() * 127.5)
            shares.append(sure[person].mean())
    consecutive, distant = slice(None, None, 3), [k for k in range(len(errors)) if k % 3]
    errors, naive, shares = np.array(errors), np.array(naive), np.array(shares)
    assert errors[consecutive].mean() < most
    assert errors[distant].mean() < of_reference
    assert np.mean(floor) < 1.5
    assert naive[consecutive].mean() > gain * errors[consecutive].mean()
    assert naive[distant].mean() > 2 * errors[distant].mean()
    assert shares[consecutive].mean() > 0.95
    assert shares[distant].mean() > 0.75


@settings(max_examples=12)
@given(people, people, frames)
def test_every_point_is_found_where_it_is(person: int, motion: int, frame: int) -> None:
    shot = shot_of(person, moment_of(motion, frame))
    flow, confidence = flow_between(shot, shot)
    assert np.abs(flow).max() < 0.02
    assert confidence.mean() > 0.999


@settings(max_examples=12)
@given(people, people, frames)
def test_flow_there_and_back_is_none(person: int, motion: int, frame: int) -> None:
    now, before = (shot_of(person, moment_of(motion, time)) for time in (frame + 5, frame))
    forth, sure = flow_between(now, before)
    back, also_sure = flow_between(before, now)
    returned = warp(np.concatenate([back, also_sure]), forth)
    trusted = (sure[0] > 0) & (returned[2] > 0.999)
    closed = np.abs(forth + returned[:2]).max(axis=0)[trusted]
    assert np.percentile(closed, 92) < 0.3  # at edges flow of two things is mixed
    assert np.median(closed) < 0.01


@settings(max_examples=12)
@given(people, people, frames)
def test_limbs_move_as_their_joints_do(person: int, motion: int, frame: int) -> None:
    """The middle of a limb that lies across the view goes where the middle between its joints goes."""
    now, before = moment_of(motion, frame + 3), moment_of(motion, frame)
    shot = shot_of(person, now, (192, 192))
    flow, confidence = flow_between(shot, shot_of(person, before, (192, 192)))
    parts = parts_of(shot)
    places, goals = (points_of(person, moment, (192, 192))[:, :2] for moment in (now, before))
    shape, off = build_body(0, person).person.shape, []
    arm, leg = (shape.upper_arm, shape.forearm), (shape.shin,)
    for (one, other, numbers), length in zip(LIMBS, (*arm, *arm, *leg, *leg), strict=True):
        if min(np.linalg.norm(each[one] - each[other]) for each in (places, goals)) < 0.8 * length * unit((192, 192)):
            continue
        middle, goal = (places[one] + places[other]) / 2, (goals[one] + goals[other]) / 2
        x, y = np.rint(middle).astype(int)
        if 0 <= x < 192 and 0 <= y < 192 and parts[y, x] in numbers and confidence[0, y, x] > 0:
            off.append(np.abs(flow[:, y, x] - (goal - middle)).max())
    thickest = 0.09 * unit((192, 192))  # the surface is before the axis, and turns about it
    assert not off or max(off) < thickest


def test_the_background_stands_still_and_is_not_trusted_where_it_was_hidden_or_lit_otherwise() -> None:
    uncovered = shaded = 0
    for person in range(4):
        now, before = (shot_of(person, moment_of(person, frame)) for frame in (9, 4))
        flow, confidence = flow_between(now, before)
        behind, was_behind = (parts_of(shot) == 0 for shot in (now, before))
        changed = np.abs(now.shadow - before.shadow) > 0.03
        assert np.abs(flow[:, behind]).max() == 0
        assert (confidence[0][behind] == (was_behind & ~changed)[behind]).all()
        uncovered += int((behind & ~was_behind).sum())
        shaded += int((behind & changed).sum())
    assert uncovered > 100
    assert shaded > 20


def test_what_another_limb_hides_is_not_trusted() -> None:
    """An arm that is raised in front of the trunk hides it; the trunk that is bare afterwards was not seen before."""
    forward = (1.3, 1.9, 0.0, 0.6, 0.0)
    for person in range(4):
        hidden = shot_of(person, attrs.evolve(STANDING, arms=(forward, STANDING.arms[1])), (192, 192))
        bare = shot_of(person, STANDING, (192, 192))
        trunk = np.isin(parts_of(bare), (1, 2))
        covered = trunk & np.isin(parts_of(hidden), (3, 16, 18, 20, 22))
        assert covered.sum() > 100
        inner = cv2.erode(covered.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
        assert flow_between(bare, hidden)[1][0][inner].mean() < 0.02


def test_turning_shows_the_back_and_brings_the_front_again() -> None:
    facing, away = (shot_of(2, attrs.evolve(STANDING, yaw=yaw), SIZE) for yaw in (0.0, np.pi))
    trunk = [np.bincount(parts_of(shot).ravel(), minlength=25)[[1, 2]] for shot in (facing, away)]
    assert trunk[0][1] > 10 * trunk[0][0]
    assert trunk[1][0] > 10 * trunk[1][1]
    assert flow_between(facing, away)[1][0][parts_of(facing) == 2].mean() < 0.05


@given(people, st.floats(-3, 3))
def test_turning_follows_a_formula(person: int, yaw: float) -> None:
    """The shoulders of somebody who turns on the spot go round in a circle, seen from a little above."""
    places, turned = (points_of(person, attrs.evolve(STANDING, yaw=angle)) for angle in (0.0, yaw))
    apart, then = (points[L_SHOULDER, :2] - points[R_SHOULDER, :2] for points in (places, turned))
    assert apart[1] == pytest.approx(0, abs=1e-9)
    np.testing.assert_allclose(then, apart[0] * np.array([np.cos(yaw), -np.sin(yaw) * np.sin(0.22)]), atol=1e-6)


@settings(max_examples=20)
@given(people, people, frames)
def test_bones_keep_their_lengths_and_feet_stand_on_the_ground(person: int, motion: int, frame: int) -> None:
    body, moment = build_body(0, person), moment_of(motion, frame)
    shape, pose = body.person.shape, pose_of(body.person.shape, moment)
    np.testing.assert_allclose(pose.turns @ pose.turns.swapaxes(1, 2), np.tile(np.eye(3), (15, 1, 1)), atol=1e-9)
    for first in (Bone.RIGHT_UPPER_ARM, Bone.LEFT_UPPER_ARM):
        joints = pose.origins[first : first + 6]
        lengths = np.linalg.norm(joints[[1, 2, 4, 5]] - joints[[0, 1, 3, 4]], axis=1)
        wanted = (shape.upper_arm, shape.forearm, shape.thigh, shape.shin)
        np.testing.assert_allclose(lengths, wanted, atol=1e-6)
    ankles = pose.origins[[Bone.RIGHT_FOOT, Bone.LEFT_FOOT], 1]
    assert (ankles < -0.9 * shape.ankle).all()
    assert max(ankles) < -0.9 * shape.ankle < -0.02


@settings(max_examples=20)
@given(people, people, frames)
def test_keypoints_lie_on_their_parts_where_these_are_seen(person: int, motion: int, frame: int) -> None:
    moment, size = moment_of(motion, frame), (128, 128)
    shot, points = shot_of(person, moment, size), points_of(person, moment, size)
    assert (points[:, 2] == 1).all()
    body = cv2.dilate((parts_of(shot) > 0).astype(np.uint8), np.ones((3, 3), np.uint8))
    inside = ((points[:, :2] >= 0) & (points[:, :2] <= 127)).all(axis=1)
    columns, rows = np.rint(points[inside, :2]).astype(int).T
    assert body[rows, columns].all()  # whatever hides a joint is a part of the body too
    hits = total = 0
    for one, other, numbers in LIMBS:
        if inside[one] and inside[other]:
            x, y = np.rint(points[[one, other], :2].mean(axis=0)).astype(int)
            seen = cv2.dilate(np.isin(parts_of(shot), numbers).astype(np.uint8), np.ones((3, 3), np.uint8))
            hits, total = hits + int(seen[y, x]), total + 1
    assert hits >= total / 2  # the others are hidden


@settings(max_examples=20)
@given(people)
def test_somebody_who_looks_ahead_is_symmetric(person: int) -> None:
    points = points_of(person, STANDING, (100, 80))
    exchanged = [0, 1, 5, 6, 7, 2, 3, 4, 8, 12, 13, 14, 9, 10, 11, 16, 15, 18, 17, 22, 23, 24, 19, 20, 21]
    np.testing.assert_allclose(points[exchanged, :2] * (-1, 1) + (79, 0), points[:, :2], atol=1e-6)
    assert points[R_SHOULDER, 0] < points[L_SHOULDER, 0]
    assert (np.diff(points[[NOSE, NECK, 8, R_KNEE, R_ANKLE], 1]) > 0).all()
    parts = parts_of(shot_of(person, STANDING, (100, 81)))
    twin = np.array([0, 1, 2, 4, 3, 6, 5, 8, 7, 10, 9, 12, 11, 14, 13, 16, 15, 18, 17, 20, 19, 22, 21, 24, 23])
    assert (twin[parts[:, ::-1]] != parts).mean() < 0.005  # the middle of the head is nobody's side


@settings(max_examples=8)
@given(people, people, frames)
def test_densepose_says_where_on_a_part_a_pixel_is(person: int, motion: int, frame: int) -> None:
    """It has the parts' ids, nothing where nobody is, and on a limb rises along it."""
    shot = shot_of(person, moment_of(motion, frame), (128, 128))
    along, _, part = np.moveaxis(densepose_of(shot), -1, 0)
    assert np.array_equal(part, parts_of(shot))
    assert len(PARTS) == densepose.PARTS + 1
    assert not densepose_of(shot)[part == 0].any()
    points = points_of(person, moment_of(motion, frame), (128, 128))[:, :2]
    for one, other, numbers in LIMBS:
        way = points[other] - points[one]
        there = np.isin(part, numbers)
        if there.sum() > 40 and np.linalg.norm(way) > 12:
            rows, columns = np.nonzero(there)
            down = (np.stack([columns, rows], axis=1) - points[one]) @ way / (way @ way)
            assert np.corrcoef(down, along[there])[0, 1] > 0.9


@settings(max_examples=10)
@given(people, frames)
def test_motion_is_smooth_and_within_bounds(person: int, frame: int) -> None:
    now, after = moment_of(person, frame), moment_of(person, frame + 1)
    assert abs(after.yaw - now.yaw) < 0.25
    assert abs(now.x) < 0.2
    assert np.abs(points_of(person, after) - points_of(person, now)).max() < 9
    assert all(0.05 <= arm[0] < 3.1 and 0 <= arm[3] < 2.3 for arm in now.arms)


@settings(max_examples=8)
@given(people, people, frames)
def test_looking_at_points_and_at_a_grid_sees_one_surface(person: int, motion: int, frame: int) -> None:
    shot = shot_of(person, moment_of(motion, frame), (48, 48))
    seen, (lines, columns) = shot.seen, np.nonzero(shot.seen.solid != NONE)
    spacing = 1 / (3 * unit((48, 48)))
    x = ((columns - 71.5) * spacing).astype(np.float32)
    y = ((lines - 71.5) * spacing - 0.93).astype(np.float32)
    apart = np.abs(nearest(shot.figure, x, y) - seen.depth[lines, columns])
    assert np.percentile(apart, 99) < 1e-3


def test_the_shadow_falls_on_the_floor_beside_the_feet_and_moves_with_the_body() -> None:
    """It is darkest at the feet, there is none on the wall, and it goes where the body goes."""

    def standing_at(x: float) -> Shot:
        feet = tuple(foot._replace(x=foot.x + x) for foot in STANDING.feet)
        return shot_of(1, attrs.evolve(STANDING, x=x, feet=feet))

    left, right = standing_at(-0.3), standing_at(0.3)
    leg = sum(getattr(build_body(0, 1).person.shape, name) for name in ("thigh", "shin"))
    middle = [(shot.shadow.sum(axis=0) * np.arange(96)).sum() / shot.shadow.sum() for shot in (left, right)]
    assert middle[1] - middle[0] == pytest.approx(0.6 * leg * unit(SIZE), abs=2)
    for shot in (left, right):
        assert not shot.shadow[:40].any()
        assert 0.2 < shot.shadow.max() < 0.5
        feet = np.isin(parts_of(shot), (5, 6))
        assert cv2.dilate(feet.astype(np.uint8), np.ones((5, 5)))[shot.shadow > 0.15].any()


def test_pictures_of_people_are_anti_aliased() -> None:
    """Halving a picture of twice the size gives nearly the same picture."""
    moment = moment_of(5, 40)
    small, large = (picture_of(shot_of(5, moment, size)) for size in ((64, 64), (128, 128)))
    halved = cv2.resize(large.transpose(1, 2, 0), (64, 64), interpolation=cv2.INTER_AREA).transpose(2, 0, 1)
    assert np.abs(small - halved).mean() < 0.01


def test_everybody_is_whole() -> None:
    """From the front all parts of a body but its backs are seen, of anybody."""
    spread = (0.5, 0.0, 0.0, 0.1, 0.0)
    for person in range(24):
        body: Body = build_body(0, person)
        shot = shoot(body, attrs.evolve(STANDING, arms=(spread, spread)), (192, 192))
        counts = np.bincount(parts_of(shot).ravel(), minlength=25)
        skirt = body.person.looks.skirt is not None
        fronts = [2, 3, 4, 5, 6, 13, 14, 15, 16, 19, 20, 23, 24] + ([] if skirt else [9, 10])
        assert (counts[fronts] > 10).all(), person
