"""Talking heads' flow and landmarks are those of their surfaces: checked against pictures, formulas and each other."""

import attrs
import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from vs_data import HEAD_REGIONS, ClipRequest, FacesConfig, open_faces
from vs_data.faces import features
from vs_data.faces.head import build_subject, height_at
from vs_data.faces.identity import HAIR_STYLES, draw_identity
from vs_data.faces.motion import FRONTAL, Moment, draw_motion, moment_at
from vs_data.faces.parts import REGION_OF, Part
from vs_data.faces.points import landmarks_at
from vs_data.faces.render import Shot, flow_between, regions_of, shoot
from vs_data.faces.stage import stage_at

CONFIG = FacesConfig()
SIZE = (96, 96)
EYES = (Part.SCLERA, Part.IRIS)
JAW, BROWS, NOSE = range(17), range(17, 27), [27, 28, 29, 30, 35, 34, 33, 32, 31]
MIRRORED_EYES = [45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40]
MIRRORED_LIPS = [54, 53, 52, 51, 50, 49, 48, 59, 58, 57, 56, 55, 64, 63, 62, 61, 60, 67, 66, 65]
MIRRORED = np.array([*reversed(JAW), *reversed(BROWS), *NOSE, *MIRRORED_EYES, *MIRRORED_LIPS])
people = st.integers(0, 10_000)
frames = st.integers(0, 2_000)


def moment_of(motion: int, frame: int) -> Moment:
    return moment_at(draw_motion(CONFIG, motion, 0), frame, 1.0)


def shot_of(person: int, moment: Moment, size: tuple[int, int] = SIZE) -> Shot:
    return shoot(build_subject(0, person), stage_at(moment), size)


def points_of(person: int, moment: Moment, size: tuple[int, int] = SIZE) -> np.ndarray:
    return landmarks_at(build_subject(0, person), stage_at(moment), size)


def warp(picture: np.ndarray, flow: np.ndarray) -> np.ndarray:
    """(C,H,W) looked up bilinearly at every pixel's place plus flow (2,H,W), clamped to the border."""
    height, width = picture.shape[1:]
    rows, columns = np.mgrid[0:height, 0:width].astype(np.float32)
    x, y = columns + flow[0], rows + flow[1]
    looked_up = cv2.remap(picture.transpose(1, 2, 0), x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return looked_up.transpose(2, 0, 1)


def person_without_glasses(style: str) -> int:
    wanted = (
        number
        for number in range(1000)
        if (looks := draw_identity(0, number).looks).style == style and looks.glasses is None
    )
    return next(wanted)


@pytest.mark.parametrize(("size", "most", "of_reference"), [(64, 5.0, 8.0), (128, 3.5, 5.5), (192, 2.5, 4.0)])
def test_warping_reproduces_frames(size: int, most: float, of_reference: float) -> None:
    faces = open_faces(attrs.evolve(CONFIG, height=size, width=size), "train")
    errors, naive, shares = [], [], []
    for sequence in range(0, 16 if size == 64 else 8, 2):
        clip = faces.read(ClipRequest(sequence=sequence, start=12, length=2, references=(0, 29)))
        now, before = clip.frames[1].numpy(), clip.frames[0].numpy()
        person = clip.regions[1].numpy() > 0
        examples = clip.references
        others = [(before, clip.flow[1], clip.flow_confidence[1])]
        others += [(examples.frames[k].numpy(), examples.flow[1, k], examples.flow_confidence[1, k]) for k in (0, 1)]
        for other, flow, confidence in others:
            sure = person & (confidence[0].numpy() > 0)
            errors.append(np.abs(warp(other, flow.numpy()) - now)[:, sure].mean() * 127.5)
            naive.append(np.abs(other - now)[:, person].mean() * 127.5)
            shares.append(sure.sum() / person.sum())
    consecutive, distant = slice(None, None, 3), [k for k in range(len(errors)) if k % 3]
    errors, naive, shares = np.array(errors), np.array(naive), np.array(shares)
    assert errors[consecutive].mean() < most
    assert errors[distant].mean() < of_reference
    assert naive[consecutive].mean() > 2 * errors[consecutive].mean()
    assert naive[distant].mean() > 4 * errors[distant].mean()
    assert shares[consecutive].mean() > 0.95
    assert shares[distant].mean() > 0.75


@settings(max_examples=15)
@given(people, people, frames)
def test_every_point_is_found_where_it_is(person: int, motion: int, frame: int) -> None:
    shot = shot_of(person, moment_of(motion, frame))
    flow, confidence = flow_between(shot, shot)
    assert np.abs(flow).max() < 0.02
    assert confidence.mean() > 0.999


@settings(max_examples=15)
@given(people, people, frames)
def test_flow_there_and_back_is_none(person: int, motion: int, frame: int) -> None:
    now, before = (shot_of(person, moment_of(motion, time)) for time in (frame + 5, frame))
    forth, sure = flow_between(now, before)
    back, also_sure = flow_between(before, now)
    returned = warp(np.concatenate([back, also_sure]), forth)
    trusted = (sure[0] > 0) & (returned[2] > 0.999)
    closed = np.abs(forth + returned[:2]).max(axis=0)[trusted]
    assert np.percentile(closed, 92) < 0.3  # at edges, up to a twentieth of all, flow of two things is mixed
    assert np.median(closed) < 0.01


@settings(max_examples=15)
@given(people, people, frames)
def test_flow_takes_landmarks_to_landmarks(person: int, motion: int, frame: int) -> None:
    now, before = moment_of(motion, frame + 4), moment_of(motion, frame)
    flow, confidence = flow_between(shot_of(person, now), shot_of(person, before))
    places, goals = (points_of(person, moment) for moment in (now, before))
    x, y = places.T.astype(np.float32)[:, :, None]
    looked_up = cv2.remap(np.concatenate([flow, confidence]).transpose(1, 2, 0), x, y, cv2.INTER_LINEAR)[:, 0]
    sure = looked_up[:, 2] > 0.999
    apart = np.abs(places + looked_up[:, :2] - goals).max(axis=1)
    assert sure.sum() > 20
    assert np.median(apart[sure]) < 0.25  # on edges of lids and lips, flow of two things is mixed
    assert apart[27:30][sure[27:30]].max(initial=0) < 0.2  # nothing else is near the bridge of the nose but glasses


def test_the_background_stands_still_and_is_not_trusted_where_it_was_hidden() -> None:
    uncovered = 0
    for person in range(6):
        now, before = (shot_of(person, moment_of(person, frame)) for frame in (9, 4))
        flow, confidence = flow_between(now, before)
        behind, was_behind = (regions_of(shot) == 0 for shot in (now, before))
        assert np.abs(flow[:, behind]).max() < 1e-9
        assert (confidence[0][behind] == was_behind[behind]).all()
        uncovered += int((behind & ~was_behind).sum())
    assert uncovered > 100


@given(people, st.floats(-0.5, 0.5))
def test_turning_follows_a_formula(person: int, yaw: float) -> None:
    """Of points in the middle of the face, which a turning head moves sideways by their depth."""
    subject, unit = build_subject(0, person), SIZE[0] / 3.24
    bridge = slice(27, 31)
    places, turned = (points_of(person, attrs.evolve(FRONTAL, yaw=angle))[bridge] for angle in (0.0, yaw))
    y = (places[:, 1] - 47.5) / unit + 0.26
    depth = height_at(subject, np.zeros(4), y)
    assert (np.diff(depth) > 0).all()  # down the bridge the nose stands out more and more
    np.testing.assert_allclose(turned[:, 0], 47.5 + unit * (depth + 0.25) * np.sin(yaw), atol=1e-6)
    np.testing.assert_allclose(turned[:, 1], places[:, 1], atol=1e-6)


def test_what_lids_and_lips_uncover_is_not_trusted() -> None:
    for person in (person_without_glasses(style) for style in ("bald", "short", "bun")):
        opened, closed = (shot_of(person, attrs.evolve(FRONTAL, blink=blink), (192, 192)) for blink in (0.0, 1.0))
        eyes = np.isin(opened.traces.part, EYES).reshape(192, 192)
        assert eyes.sum() > 150
        assert np.isin(closed.traces.part, EYES).sum() < 0.15 * eyes.sum()
        uncovered = eyes & ~np.isin(closed.traces.part, EYES).reshape(192, 192)
        assert not flow_between(opened, closed)[1][0][uncovered].any()
        assert not flow_between(closed, opened)[1][0][uncovered & (regions_of(closed) == 1)].any()

        speaking = shot_of(person, attrs.evolve(FRONTAL, open=0.2), (192, 192))
        silent = shot_of(person, FRONTAL, (192, 192))
        hollow = np.isin(speaking.traces.part, (Part.MOUTH, Part.TEETH)).reshape(192, 192)
        assert hollow.sum() > 100
        assert not flow_between(speaking, silent)[1][0][hollow].any()
        lips = np.isin(speaking.traces.part, (Part.UPPER_LIP, Part.LOWER_LIP)).reshape(192, 192)
        flow, sure = flow_between(speaking, silent)
        assert sure[0][lips].mean() > 0.9
        lower = (speaking.traces.part == Part.LOWER_LIP).reshape(192, 192)
        assert flow[1][lower].mean() < -2  # they were farther up


def test_eyes_that_look_elsewhere_move_their_irises() -> None:
    person = person_without_glasses("short")
    away, ahead = (shot_of(person, attrs.evolve(FRONTAL, gaze=gaze), (192, 192)) for gaze in ((0.05, 0.0), (0.0, 0.0)))
    flow, confidence = flow_between(away, ahead)
    iris = (away.traces.part == Part.IRIS).reshape(192, 192) & (confidence[0] > 0)
    assert iris.sum() > 40
    np.testing.assert_allclose(flow[0][iris], -0.05 * 192 / 3.24, atol=1e-2)
    assert np.abs(flow[:, regions_of(away) == 1]).max() < 1e-2


@settings(max_examples=60)
@given(people, st.floats(0, 0.3), st.floats(-1, 1), st.floats(-1, 1.2))
def test_the_jaw_can_be_opened_and_closed_again(person: int, open_: float, x: float, y: float) -> None:
    shape, moment = draw_identity(0, person).shape, attrs.evolve(FRONTAL, open=open_)
    moved = features.jaw_moved(shape, moment, np.array([x]), np.array([y]))
    assert moved[0] >= y
    np.testing.assert_allclose(features.jaw_rest(shape, moment, np.array([x]), moved), y, atol=1e-9)


@settings(max_examples=25)
@given(people, people, frames)
def test_landmarks_are_on_the_head(person: int, motion: int, frame: int) -> None:
    moment = moment_of(motion, frame)
    points = points_of(person, moment, (128, 128))
    assert np.isfinite(points).all()
    head = np.isin(regions_of(shot_of(person, moment, (128, 128))), HEAD_REGIONS).astype(np.uint8)
    near = cv2.dilate(head, np.ones((3, 3), np.uint8))
    columns, rows = np.clip(np.rint(points), 0, 127).astype(int).T
    assert near[rows, columns].all()


@settings(max_examples=25)
@given(people)
def test_a_face_that_looks_ahead_is_symmetric(person: int) -> None:
    points = points_of(person, FRONTAL, (100, 80))
    mirrored = points[MIRRORED] * (-1, 1) + (79, 0)
    np.testing.assert_allclose(points, mirrored, atol=1e-4)
    jaw, brows, nose, eyes, lips = np.split(points, [17, 27, 36, 48])
    assert (np.diff(jaw[1:-1, 0]) > 0).all()
    assert jaw[:, 1].argmax() == 8
    assert (np.diff(brows[:, 0]) > 0).all()
    assert (np.diff(nose[:4, 1]) > 0).all()
    assert (np.diff(nose[4:, 0]) > 0).all()
    assert (np.diff(eyes[[0, 1, 2, 3, 6, 7, 8, 9], 0]) > 0).all()
    assert (eyes[[1, 2, 7, 8], 1] < eyes[[5, 4, 11, 10], 1]).all()
    assert brows[:, 1].max() < eyes[:, 1].min() < eyes[:, 1].max() < nose[4:, 1].min() < lips[:, 1].min()
    assert lips[:, 1].max() < jaw[8, 1]
    for line in (lips[0:7], lips[12:17]):
        assert (np.diff(line[:, 0]) > 0).all()
    assert (lips[1:6, 1] <= lips[11:6:-1, 1]).all()


@settings(max_examples=15)
@given(people)
def test_landmarks_move_as_the_face_does(person: int) -> None:
    rest = points_of(person, FRONTAL)
    blinking = points_of(person, attrs.evolve(FRONTAL, blink=1.0))
    assert (blinking[[37, 38, 43, 44], 1] > rest[[37, 38, 43, 44], 1]).all()
    changed = np.abs(blinking - rest).max(axis=1) > 1e-6
    assert not changed[:36].any()
    assert not changed[48:].any()
    speaking = points_of(person, attrs.evolve(FRONTAL, open=0.2))
    assert speaking[66, 1] - speaking[62, 1] > rest[66, 1] - rest[62, 1] + 3
    assert speaking[8, 1] > rest[8, 1] + 3
    assert np.abs(speaking[17:48] - rest[17:48]).max() < 1e-6
    smiling = points_of(person, attrs.evolve(FRONTAL, smile=1.0))
    assert (smiling[[48, 54], 1] < rest[[48, 54], 1] - 0.5).all()
    raised = points_of(person, attrs.evolve(FRONTAL, brows=0.05))
    np.testing.assert_allclose(rest[17:27, 1] - raised[17:27, 1], 0.05 * 96 / 3.24, atol=1e-6)
    for turn, axis in (({"yaw": 0.3}, 0), ({"pitch": 0.3}, 1)):
        turned = points_of(person, attrs.evolve(FRONTAL, **turn))
        assert turned[30, axis] - turned[27:31, axis].mean() > -1
        assert (turned[30] - turned[[36, 45]].mean(axis=0))[axis] > (rest[30] - rest[[36, 45]].mean(axis=0))[axis] + 1


@settings(max_examples=10)
@given(people, frames)
def test_motion_is_smooth_and_within_bounds(person: int, frame: int) -> None:
    now, after = moment_of(person, frame), moment_of(person, frame + 1)
    assert abs(now.yaw) < 0.6
    assert abs(now.pitch) < 0.3
    assert abs(now.roll) < 0.3
    assert 0 <= now.blink <= 1
    assert 0 <= now.open < 0.3
    assert abs(after.yaw - now.yaw) < 0.2
    assert abs(after.x - now.x) < 0.06
    assert np.abs(points_of(person, after) - points_of(person, now)).max() < 8


def test_every_hair_style_is_hair_on_a_head() -> None:
    for style in HAIR_STYLES:
        regions = regions_of(shot_of(person_without_glasses(style), FRONTAL))
        hair, skin = ((regions == REGION_OF[part]).mean() for part in (Part.HAIR, Part.SKIN))
        assert skin > 0.12
        assert hair > 0.02 or style == "bald"
        top = regions[:, 48][regions[:, 48] > 0][0]
        assert top == REGION_OF[Part.SKIN if style == "bald" else Part.HAIR]
