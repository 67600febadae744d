"""The street's flow is that of its geometry: checked against pictures, formulas and instance ids."""

import numpy as np
import pytest
from vs_data.street import StreetConfig
from vs_data.street.camera import view_at
from vs_data.street.render import Frames, render
from vs_data.street.visibility import SKY_ROWS, shoot
from vs_data.street.world import build_world

ROAD, SIDEWALK, BUILDING, VEGETATION, SKY, PERSON, CAR = 7, 8, 11, 21, 23, 24, 26


def warp(picture: np.ndarray, flow: np.ndarray) -> np.ndarray:
    """(C,H,W) looked up bilinearly at every pixel's place plus flow (2,H,W), clamped to the border."""
    height, width = picture.shape[1:]
    rows, columns = np.mgrid[0:height, 0:width]
    x, y = np.clip(columns + flow[0], 0, width - 1), np.clip(rows + flow[1], 0, height - 1)
    left, top = np.minimum(x.astype(int), width - 2), np.minimum(y.astype(int), height - 2)
    right_part, low_part = x - left, y - top
    upper = picture[:, top, left] * (1 - right_part) + picture[:, top, left + 1] * right_part
    lower = picture[:, top + 1, left] * (1 - right_part) + picture[:, top + 1, left + 1] * right_part
    return upper * (1 - low_part) + lower * low_part


def clips(config: StreetConfig, size: tuple[int, int], count: int, length: int) -> list[Frames]:
    return [
        render(build_world(config, number), number * 3 % (config.sequence_length - length + 1), length, size)
        for number in range(count)
    ]


@pytest.mark.parametrize(("size", "count"), [((64, 128), 24), ((128, 256), 6), ((256, 512), 2), ((45, 77), 6)])
def test_warping_the_previous_frame_reproduces_the_frame(size: tuple[int, int], count: int) -> None:
    shares, errors, naive = [], [], []
    for frames in clips(StreetConfig(), size, count, 3):
        for now in (1, 2):
            sure = frames.confidence[now, 0] > 0
            shares.append(sure.mean())
            errors.append(np.abs(warp(frames.rgb[now - 1], frames.flow[now]) - frames.rgb[now])[:, sure].mean())
            naive.append(np.abs(frames.rgb[now - 1] - frames.rgb[now]).mean())
    assert np.mean(shares) >= (0.8 if size[0] >= 64 else 0.72)
    assert min(shares) >= 0.65
    assert np.mean(errors) * 255 <= 3.0
    assert max(errors) * 255 <= 4.0
    assert np.mean(naive) > 2 * np.mean(errors)  # there is motion to speak of


def test_a_parked_camera_sees_no_motion_but_that_of_others() -> None:
    config = StreetConfig(speed_min=0.0, speed_max=0.0, sway=0.0)
    most = 0.0
    for number in range(6):
        frames = render(build_world(config, number), 3, 2, (64, 128))
        still = frames.instances[1] == 0
        assert np.abs(frames.flow[1][:, still]).max() < 1e-3
        assert np.abs(frames.flow[1][:, frames.labels[1] == SKY]).max() < 1e-3
        most = max(most, float(np.abs(frames.flow[1]).max()))
        moved = np.abs(frames.flow[1]).max(axis=0) > 0.05
        assert np.isin(frames.labels[1][moved], [PERSON, CAR]).all()
    assert most > 1.0


def test_the_flow_of_the_road_is_that_of_a_plane_below_a_camera() -> None:
    config = StreetConfig(sway=0.0, speed_min=6.0, speed_max=6.0, traffic=0.0, people=0.0)
    world = build_world(config, 4)
    frames, view = render(world, 7, 2, (96, 192)), view_at(world.path, 8 / config.fps, (96, 192))
    rows, columns = np.nonzero(frames.labels[1] == ROAD)
    u, v = columns - view.centre[0], rows - view.centre[1]
    rows, columns, u, v = (values[v > 4] for values in (rows, columns, u, v))
    depth = view.focal * view.position[1] / v
    shrink = depth / (depth + 6.0 / config.fps)
    np.testing.assert_allclose(frames.flow[1][0, rows, columns], u * shrink - u, atol=2e-3)
    np.testing.assert_allclose(frames.flow[1][1, rows, columns], v * shrink - v, atol=2e-3)


def test_the_sky_turns_with_the_camera_only() -> None:
    world = build_world(StreetConfig(sway=0.0), 2)
    frames = render(world, 0, 2, (64, 128))
    assert np.abs(frames.flow[1][:, frames.labels[1] == SKY]).max() < 1e-3
    turning = render(build_world(StreetConfig(sway=2.0), 2), 0, 2, (64, 128))
    sky = turning.flow[1][:, turning.labels[1] == SKY]
    assert np.abs(sky).mean() > 0.02
    assert sky.std(axis=1).max() < 0.2  # nearly a shift


def test_confident_pixels_come_from_the_same_thing() -> None:
    for number in range(8):
        frames = render(build_world(StreetConfig(), number), 5, 2, (64, 128))
        height, width = frames.labels.shape[1:]
        rows, columns = np.mgrid[0:height, 0:width]
        x = np.rint(np.clip(columns + frames.flow[1][0], 0, width - 1)).astype(int)
        y = np.rint(np.clip(rows + frames.flow[1][1], 0, height - 1)).astype(int)
        sure = frames.confidence[1, 0] > 0
        assert (frames.instances[0][y, x] == frames.instances[1])[sure].all()
        assert ((frames.labels[0][y, x] == frames.labels[1])[sure]).mean() > 0.97  # kerbs and house feet may touch


def test_what_leaves_the_picture_or_was_hidden_is_not_trusted() -> None:
    untrusted = 0
    for number in range(6):
        frames = render(build_world(StreetConfig(sway=3.0), number), 2, 2, (64, 128))
        rows, columns = np.mgrid[0:64, 0:128]
        x, y = columns + frames.flow[1][0], rows + frames.flow[1][1]
        outside = (x < -0.1) | (x > 127.1) | (y < -0.1) | (y > 63.1)
        assert not frames.confidence[1, 0][outside].any()
        near = frames.instances[0][np.clip(np.rint(y), 0, 63).astype(int), np.clip(np.rint(x), 0, 127).astype(int)]
        uncovered = (frames.instances[1] == 0) & (near > 0)
        assert not frames.confidence[1, 0][uncovered].any()
        untrusted += int(uncovered.sum())
    assert untrusted > 50


def test_oncoming_cars_and_the_road_below_them_move_differently() -> None:
    config = StreetConfig(speed_min=6.0, speed_max=6.0, sway=0.0, traffic=2.0)
    found = 0
    for number in range(10):
        world = build_world(config, number)
        frames = render(world, 4, 2, (96, 192))
        view = view_at(world.path, 5 / config.fps, (96, 192))
        oncoming = frames.instances[1] // 1000 == CAR
        for instance in np.unique(frames.instances[1][oncoming]):
            mask = frames.instances[1] == instance
            rows, columns = np.nonzero(mask)
            if len(rows) < 80 or columns.mean() > view.centre[0] - 12:
                continue
            # growth about the vanishing point, relative: oncoming cars approach faster than what stands
            growth = -frames.flow[1][0][mask] / (columns - view.centre[0])
            ground = frames.labels[1][rows.max()] == ROAD
            if not ground.any():
                continue
            still = -frames.flow[1][1][rows.max()][ground].mean() / (rows.max() - view.centre[1])
            found += int(np.median(growth) > 1.5 * still)
    assert found >= 5


def test_shadows_of_what_moves_are_not_trusted_but_flow_with_their_ground() -> None:
    config = StreetConfig(sway=0.0, speed_min=6.0, speed_max=6.0, traffic=2.0)
    size, found = (128, 256), 0
    for number in range(4):
        world = build_world(config, number)
        frames, shot = render(world, 4, 2, size), shoot(world, 5 / config.fps, size)
        moving = world.things.motion[world.surfaces.thing[shot.scene.rows], -1] > 0
        shadow = np.concatenate([np.zeros(SKY_ROWS, bool), moving])[shot.ids].reshape(size)
        assert not frames.confidence[1, 0][shadow].any()
        rows, columns = np.nonzero(shadow & (frames.labels[1] == ROAD))
        v = rows - shot.view.centre[1]
        depth = shot.view.focal * shot.view.position[1] / v
        expected = v * depth / (depth + 6.0 / config.fps) - v
        np.testing.assert_allclose(frames.flow[1][1, rows, columns], expected, atol=5e-3)
        found += len(rows)
    assert found > 100
