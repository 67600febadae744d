"""Resizing, cropping and mirroring as plans, and as applied to pictures, ids and flow."""

import attrs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from vs_data import AugmentConfig
from vs_data.geometry import Geometry, apply_to_flow, apply_to_ids, apply_to_image, inside, plan_geometry

SIDES = st.integers(16, 300)


@settings(max_examples=200)
@given(
    source=st.tuples(SIDES, SIDES),
    size=st.tuples(SIDES, SIDES),
    smallest=st.none() | st.integers(1, 400),
    keep=st.booleans(),
    scale=st.floats(0, 1),
    seed=st.none() | st.integers(0, 1000),
)
def test_the_crop_always_lies_inside(source, size, smallest, keep, scale, seed):
    config = AugmentConfig(smallest_side=smallest if keep else None, keep_aspect=keep, scale=scale, flip=0.5)
    plan = plan_geometry(source, size, config, None if seed is None else np.random.default_rng(seed))
    assert 0 <= plan.top <= plan.resized[0] - size[0]
    assert 0 <= plan.left <= plan.resized[1] - size[1]
    if seed is None:
        assert not plan.flip
        assert plan.top == round((plan.resized[0] - size[0]) / 2)


@settings(max_examples=100)
@given(seed=st.integers(0, 10_000), scale=st.floats(0, 0.5))
def test_the_smallest_side_grows_by_at_most_the_scale(seed, scale):
    config = AugmentConfig(smallest_side=64, scale=scale)
    plan = plan_geometry((128, 200), (48, 80), config, np.random.default_rng(seed))
    assert 64 <= plan.resized[0] <= round(64 * (1 + scale)) + 1
    assert abs(plan.resized[1] / plan.resized[0] - 200 / 128) < 0.02


def test_flipping_follows_its_probability():
    flips = [
        plan_geometry((64, 64), (64, 64), AugmentConfig(flip=0.25), np.random.default_rng(seed)).flip
        for seed in range(400)
    ]
    assert 60 <= sum(flips) <= 140


def test_the_published_augmentation_of_cityscapes():
    config = AugmentConfig(smallest_side=512, scale=0.2, flip=0.5)
    assert plan_geometry((1024, 2048), (512, 1024), config, None) == Geometry(
        source=(1024, 2048), resized=(512, 1024), top=0, left=0, size=(512, 1024), flip=False
    )


def test_stretching_ignores_the_aspect():
    plan = plan_geometry((100, 100), (40, 80), AugmentConfig(keep_aspect=False), None)
    assert plan.resized == (40, 80)


PLAN = Geometry(source=(40, 60), resized=(80, 120), top=10, left=30, size=(48, 64), flip=False)


@pytest.mark.parametrize("flip", [False, True])
def test_ids_and_colours_stay_together(flip, ids_of, colours):
    plan = attrs.evolve(PLAN, flip=flip)
    ids = ids_of(plan.source, 0)
    after = apply_to_ids(plan, ids)
    image = apply_to_image(plan, colours[ids])
    assert set(np.unique(after)) <= set(np.unique(ids))
    same = np.all(image == colours[after], axis=2)
    assert same.mean() > 0.8  # all but the blended edges of the blocks
    assert np.all(image == colours[apply_to_ids(attrs.evolve(plan, flip=not flip), ids)], axis=2).mean() < 0.5


@pytest.mark.parametrize("flip", [False, True])
def test_a_constant_flow_is_scaled_and_mirrored(flip):
    plan = attrs.evolve(PLAN, flip=flip)
    flow = np.broadcast_to(np.array((3, -1), np.float32), (40, 60, 2)).copy()
    after, confidence = apply_to_flow(plan, flow, np.ones((40, 60), np.float32))
    assert np.allclose(after, (-6 if flip else 6, -2))
    assert np.array_equal(confidence, inside(after).astype(np.float32))


def test_flow_is_taken_from_the_place_that_the_picture_is_taken_from():
    """A flow that says its own position, as a picture would: both must move alike."""
    plan = Geometry(source=(64, 64), resized=(32, 32), top=3, left=5, size=(20, 24), flip=True)
    y, x = np.mgrid[:64, :64].astype(np.float32)
    after, _ = apply_to_flow(plan, np.stack([x, y], axis=2), np.ones((64, 64), np.float32))
    ids = apply_to_ids(plan, x.astype(np.uint8))
    assert np.allclose(after[..., 0], ids.astype(np.float32) / -2)


def test_flow_that_leaves_the_crop_is_not_trusted():
    flow = np.zeros((48, 64, 2), np.float32)
    flow[:, :, 0] = -10
    assert not inside(flow)[:, :10].any()
    assert inside(flow)[:, 10:].all()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"scale": -0.1}, "scale: expected a number from 0 to 4, got -0.1"),
        ({"flip": 1.5}, "flip: expected .*, got 1.5"),
        ({"smallest_side": 0}, "smallest_side: expected a whole number from 1 to 16384 pixels or 'none', got 0"),
        ({"smallest_side": 64, "keep_aspect": False}, "keep_aspect is false"),
        ({"scale": float("nan")}, "scale: expected .*, got nan"),
        ({"keep_aspect": 1}, "keep_aspect: expected true or false, got 1"),
    ],
)
def test_impossible_values_are_refused(values, message):
    with pytest.raises(ValueError, match=message):
        AugmentConfig(**values)
