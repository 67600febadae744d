"""Baselines of few-shot generation: the reference as it is, moved by the true flow, and which frames to ask about."""

import inspect

import pytest
import torch
from hypothesis import given
from hypothesis import settings as limits
from hypothesis import strategies as st
from vs_metrics import (
    ShapeError,
    VsMetricsError,
    absolute_errors,
    head_mask,
    moved_frames,
    repeat_reference,
    warp_reference,
)

SEEDS = st.integers(0, 2**31 - 1)


def random_frames(seed: int, *shape: int) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def constant_flow(vectors: list[tuple[float, float]], height: int, width: int) -> torch.Tensor:
    return torch.tensor(vectors)[:, :, None, None].expand(-1, 2, height, width).clone()


def test_each_frame_is_the_reference_of_its_index() -> None:
    references = torch.arange(6.0).view(2, 3, 1, 1, 1).expand(2, 3, 3, 4, 5)
    predicted = repeat_reference(references, torch.tensor([[0, 0, 2, 1], [1, 1, 1, 0]]))
    assert predicted.shape == (2, 4, 3, 4, 5)
    assert predicted[:, :, 0, 0, 0].tolist() == [[0.0, 0.0, 2.0, 1.0], [4.0, 4.0, 4.0, 3.0]]
    alone = repeat_reference(references[1], torch.zeros(5, dtype=torch.int64))
    assert torch.equal(alone, references[1, :1].expand(5, 3, 4, 5))
    with pytest.raises(VsMetricsError, match=r"reference 3 asked for, there are 3"):
        repeat_reference(references[0], torch.tensor([0, 3]))
    with pytest.raises(VsMetricsError, match=r"reference -1 asked for"):
        repeat_reference(references[0], torch.tensor([-1]))


@limits(max_examples=20)
@given(seed=SEEDS, dx=st.integers(-3, 3), dy=st.integers(-3, 3))
def test_a_reference_moved_by_the_true_flow_is_the_frame_where_it_is_seen(seed: int, dx: int, dy: int) -> None:
    world = random_frames(seed, 2, 3, 22, 26)

    def view(t: int) -> torch.Tensor:
        return world[..., 6 + t * dy : 16 + t * dy, 6 + t * dx : 20 + t * dx]

    # Pixel p of frame t shows p + t * d of the world, and so does pixel p + t * d of the reference.
    frames = torch.stack([view(t) for t in range(3)], dim=1)
    flow = constant_flow([(float(t * dx), float(t * dy)) for t in range(3)], 10, 14).expand(2, -1, -1, -1, -1)
    rows, columns = torch.arange(10)[:, None] + flow[:, :, 1], torch.arange(14) + flow[:, :, 0]
    seen = ((rows >= 0) & (rows < 10) & (columns >= 0) & (columns < 14)).float().unsqueeze(2)
    predicted = warp_reference(view(0), flow)
    assert predicted.shape == frames.shape
    errors, _ = absolute_errors(predicted, frames, seen)
    torch.testing.assert_close(errors, torch.zeros(2, 3), rtol=0, atol=1e-5)
    torch.testing.assert_close(warp_reference(view(0)[1], flow[1]), predicted[1])


def test_no_motion_repeats_the_reference() -> None:
    references = random_frames(0, 2, 1, 3, 6, 8)
    still = warp_reference(references[:, 0], torch.zeros(2, 4, 2, 6, 8))
    repeated = repeat_reference(references, torch.zeros(2, 4, dtype=torch.int64))
    torch.testing.assert_close(still, repeated, rtol=0, atol=1e-6)
    half = warp_reference(references[:, 0].bfloat16(), torch.zeros(2, 4, 2, 6, 8))
    assert half.dtype == torch.bfloat16


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int64])
def test_the_head_is_the_regions_that_belong_to_it(dtype: torch.dtype) -> None:
    regions = torch.tensor([[[0, 1, 2], [3, 4, 255]]], dtype=dtype)
    mask = head_mask(regions, (1, 2, 4))
    assert mask.dtype == torch.float32
    assert mask.tolist() == [[[[0.0, 1.0, 1.0], [0.0, 1.0, 0.0]]]]
    assert float(head_mask(regions, ()).sum()) == 0.0


def test_heads_have_moved_when_their_mean_flow_is_long() -> None:
    flow = constant_flow([(0.0, 0.0), (3.0, 4.0), (3.0, 4.0), (0.0, 0.0), (9.0, 0.0)], 2, 2)
    mask = torch.ones(5, 1, 2, 2)
    assert moved_frames(flow, mask, 4.9).tolist() == [False, True, True, False, True]
    assert moved_frames(flow, mask, 5.0).tolist() == [False, False, False, False, True]
    mask[1, :, 0] = 0.0
    flow[1, :, 1] = 1.0  # the head itself has hardly moved
    flow[3, :, 0, 0] = 100.0  # a pixel that is not to be trusted
    confidence = torch.ones(5, 1, 2, 2)
    confidence[3, :, 0, 0] = 0.0
    confidence[4] = 0.0  # nobody knows
    assert moved_frames(flow, mask, 4.9, confidence).tolist() == [False, False, True, False, False]
    assert moved_frames(flow[2], mask[2], 4.9).shape == ()
    assert moved_frames(flow, torch.zeros_like(mask), 0.0).tolist() == [False] * 5


@limits(max_examples=20)
@given(seed=SEEDS, low=st.floats(0, 5), high=st.floats(5, 10))
def test_fewer_frames_have_moved_farther(seed: int, low: float, high: float) -> None:
    flow, mask = 10 * random_frames(seed, 2, 4, 2, 5, 5), (random_frames(seed + 1, 2, 4, 1, 5, 5) > 0).float()
    near, far = moved_frames(flow, mask, low), moved_frames(flow, mask, high)
    assert near.shape == (2, 4)
    assert bool((near | ~far).all())


@pytest.mark.parametrize(
    ("function", "arguments", "argument"),
    [
        (repeat_reference, (torch.zeros(3, 4, 4), torch.zeros(2, dtype=torch.int64)), "references has shape"),
        (repeat_reference, (torch.zeros(2, 1, 3, 4, 4), torch.zeros(2, dtype=torch.int64)), "index has shape"),
        (repeat_reference, (torch.zeros(1, 3, 4, 4), torch.tensor(0)), "index has shape"),
        (warp_reference, (torch.zeros(2, 4, 4), torch.zeros(1, 2, 4, 4)), "reference has shape"),
        (warp_reference, (torch.zeros(3, 4, 4), torch.zeros(2, 4, 4)), "flow has shape"),
        (warp_reference, (torch.zeros(3, 4, 4), torch.zeros(5, 2, 4, 5)), "flow has shape"),
        (warp_reference, (torch.zeros(2, 3, 4, 4), torch.zeros(5, 2, 4, 4)), "flow has shape"),
        (moved_frames, (torch.zeros(1, 2, 4, 4), torch.zeros(1, 4, 4), 1.0), "confidence has shape"),
        (moved_frames, (torch.zeros(3, 4, 4), torch.zeros(1, 4, 4), 1.0), "flow has shape"),
        (
            moved_frames,
            (torch.zeros(2, 4, 4), torch.zeros(1, 4, 4), 1.0, torch.zeros(2, 1, 4, 4)),
            "confidence has shape",
        ),
    ],
)
def test_shapes_that_do_not_fit_are_named(function, arguments, argument) -> None:
    with pytest.raises(ShapeError, match=argument):
        inspect.unwrap(function)(*arguments)
