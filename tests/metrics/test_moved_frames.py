"""Where the head is, and in which frames it has moved from where the reference shows it."""

import inspect

import pytest
import torch
from hypothesis import given
from hypothesis import settings as limits
from hypothesis import strategies as st
from vs_metrics import ShapeError, head_mask, moved_frames

SEEDS = st.integers(0, 2**31 - 1)


def random_frames(seed: int, *shape: int) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def constant_flow(vectors: list[tuple[float, float]], height: int, width: int) -> torch.Tensor:
    return torch.tensor(vectors)[:, :, None, None].expand(-1, 2, height, width).clone()


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
