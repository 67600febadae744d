import inspect
import math

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from vs_metrics import (
    ShapeError,
    absolute_errors,
    average_of,
    end_point_errors,
    masked_ssim,
    mean_of,
    psnr,
    ssim,
    warping_errors,
)

SEEDS = st.integers(0, 2**31 - 1)


def random_frames(seed: int, *shape: int) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed)) * 2 - 1


@settings(deadline=None, max_examples=20)
@given(seed=SEEDS, offset=st.floats(0.01, 1.0))
def test_psnr_of_a_constant_offset_is_known(seed: int, offset: float) -> None:
    frames = random_frames(seed, 2, 3, 3, 12, 14)
    values = psnr(frames, frames + offset)
    assert values.shape == (2, 3)
    torch.testing.assert_close(values, torch.full((2, 3), 20 * math.log10(2 / offset)), rtol=1e-4, atol=1e-3)


def mean_end_point_error(*arguments: torch.Tensor) -> float:
    return mean_of(average_of(*end_point_errors(*arguments)))


def test_psnr_of_gaussian_noise_is_that_of_its_variance() -> None:
    frames = random_frames(0, 4, 3, 64, 64)
    noise = 0.1 * torch.randn(frames.shape, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(psnr(frames + noise, frames), torch.full((4,), 20 * math.log10(20)), rtol=0, atol=0.2)


def test_psnr_is_per_frame_and_infinite_for_equal_ones() -> None:
    frames = random_frames(3, 3, 3, 8, 8)
    other = frames.clone()
    other[1] += 0.2
    values = psnr(frames, other)
    assert math.isinf(values[0])
    assert math.isinf(values[2])
    assert float(values[1]) == pytest.approx(20.0, abs=1e-4)
    assert psnr(frames[1], other[1]).shape == ()
    assert psnr(frames[:0], other[:0]).shape == (0,)


@settings(deadline=None, max_examples=10)
@given(seed=SEEDS, height=st.integers(11, 30), width=st.integers(11, 30))
def test_ssim_of_a_frame_with_itself_is_one_and_noise_lowers_it(seed: int, height: int, width: int) -> None:
    frames = random_frames(seed, 3, 3, height, width)
    same, noisy = ssim(frames, frames), ssim(frames, frames + 0.3 * random_frames(seed + 1, 3, 3, height, width))
    torch.testing.assert_close(same, torch.ones(3), rtol=0, atol=1e-5)
    assert bool((noisy < 0.999).all())
    torch.testing.assert_close(ssim(frames[None], frames[None] * 0.5)[0], ssim(frames, frames * 0.5))


@settings(deadline=None, max_examples=30)
@given(x=st.floats(0, 1), y=st.floats(0, 1))
@example(x=133.9 / 255, y=121.1 / 255)  # 0.995: two greys that hardly differ
@example(x=0.0, y=1.0)
def test_ssim_of_two_flat_frames_is_the_luminance_term_of_their_intensities(x: float, y: float) -> None:
    a, b = torch.full((1, 3, 16, 16), 2 * x - 1), torch.full((1, 3, 16, 16), 2 * y - 1)
    c1 = 0.01**2
    expected = (2 * x * y + c1) / (x**2 + y**2 + c1)
    torch.testing.assert_close(ssim(a, b), torch.tensor([expected]), rtol=0, atol=2e-3)
    torch.testing.assert_close(
        masked_ssim(a, b, torch.ones(1, 1, 16, 16))[0], torch.tensor([expected]), rtol=0, atol=2e-3
    )


def test_ssim_clips_what_a_picture_clips() -> None:
    frames = 1.05 * random_frames(4, 2, 3, 16, 16)
    other = random_frames(5, 2, 3, 16, 16)
    assert torch.equal(ssim(frames, other), ssim(frames.clamp(-1, 1), other))


def test_ssim_is_the_same_under_autocast() -> None:
    frames, other = random_frames(4, 1, 3, 16, 16), random_frames(5, 1, 3, 16, 16)
    with torch.autocast("cpu", torch.bfloat16):
        inside = ssim(frames, other)
    assert torch.equal(inside, ssim(frames, other))


def test_what_nobody_is_confident_of_does_not_count_whatever_it_is() -> None:
    flow, target = torch.zeros(2, 1, 2), torch.tensor([[[3.0, math.nan]], [[4.0, math.inf]]])
    assert mean_end_point_error(flow, target, torch.tensor([[[1.0, 0.0]]])) == 5.0


@settings(deadline=None, max_examples=20)
@given(seed=SEEDS, dx=st.integers(-3, 3), dy=st.integers(-3, 3))
def test_warping_error_of_an_exact_shift_is_zero(seed: int, dx: int, dy: int) -> None:
    height, width, length = 16, 20, 3
    world = random_frames(seed, 3, height + 12, width + 12)
    frames = torch.stack(
        [world[:, 6 + t * dy : 6 + t * dy + height, 6 + t * dx : 6 + t * dx + width] for t in range(length)]
    )
    flow = torch.tensor([dx, dy], dtype=torch.float32).view(1, 2, 1, 1).expand(length, 2, height, width).clone()
    rows, columns = torch.arange(height)[:, None], torch.arange(width)[None]
    inside = (rows + dy >= 0) & (rows + dy < height) & (columns + dx >= 0) & (columns + dx < width)
    confidence = inside.float().expand(length, 1, height, width).clone()
    errors, weights = warping_errors(frames, flow, confidence)
    torch.testing.assert_close(errors, torch.zeros(length), rtol=0, atol=1e-5)
    assert weights.tolist() == [0.0] + [float(inside.sum())] * (length - 1)


def test_warping_error_counts_confident_pixels_only_and_has_exact_values() -> None:
    frames = torch.zeros(2, 3, 3, 4, 4)
    frames[0, 1, :, :2] = 0.5  # upper half of frame 1
    frames[0, 2] = 1.0
    flow, confidence = torch.zeros(2, 3, 2, 4, 4), torch.zeros(2, 3, 1, 4, 4)
    confidence[0, 1] = 1.0
    confidence[0, 2, :, 2:] = 1.0
    errors, weights = warping_errors(frames, flow, confidence)
    torch.testing.assert_close(errors, torch.tensor([[0.0, 0.25, 1.0], [0.0, 0.0, 0.0]]))
    assert weights.tolist() == [[0.0, 16.0, 8.0], [0.0, 0.0, 0.0]]
    alone, nothing = warping_errors(frames[:, :1], flow[:, :1], confidence[:, :1])
    assert alone.tolist() == nothing.tolist() == [[0.0], [0.0]]


@settings(deadline=None, max_examples=20)
@given(seed=SEEDS, x=st.floats(-5, 5), y=st.floats(-5, 5))
def test_end_point_error_of_a_constant_offset_is_its_length(seed: int, x: float, y: float) -> None:
    flow = 10 * random_frames(seed, 2, 3, 2, 5, 6)
    moved = flow + torch.tensor([x, y]).view(2, 1, 1)
    assert mean_end_point_error(flow, moved) == pytest.approx(math.hypot(x, y), abs=1e-4)
    half = torch.zeros(2, 3, 1, 5, 6)
    half[0] = 1.0
    moved[1] += 100.0
    assert mean_end_point_error(moved, flow, half) == pytest.approx(math.hypot(x, y), abs=1e-4)


def test_end_point_errors_weigh_by_confidence() -> None:
    flow = torch.zeros(2, 2, 1, 2)
    target = torch.tensor([[[[3.0, 0.0]], [[4.0, 0.0]]], [[[1.0, 1.0]], [[0.0, 0.0]]]])
    confidence = torch.tensor([[[[1.0, 0.25]]], [[[0.0, 0.0]]]])
    errors, weights = end_point_errors(flow, target, confidence)
    torch.testing.assert_close(errors, torch.tensor([4.0, 0.0]))
    torch.testing.assert_close(weights, torch.tensor([1.25, 0.0]))
    assert math.isnan(mean_end_point_error(flow[1:], target[1:], confidence[1:]))


def test_absolute_errors_are_means_over_channels_and_confident_pixels() -> None:
    a, b = torch.zeros(1, 3, 1, 2), torch.tensor([[[[0.3, 1.0]], [[0.6, 1.0]], [[0.0, 1.0]]]])
    torch.testing.assert_close(absolute_errors(a, b)[0], torch.tensor([0.65]))
    torch.testing.assert_close(absolute_errors(a, b, torch.tensor([[[[1.0, 0.0]]]]))[0], torch.tensor([0.3]))


def test_scores_leave_no_graph_behind() -> None:
    frames = random_frames(5, 2, 3, 12, 12).requires_grad_()
    other = random_frames(6, 2, 3, 12, 12)
    flow = torch.zeros(2, 2, 12, 12)
    for value in (psnr(frames, other), ssim(frames, other), *warping_errors(frames, flow, torch.ones(2, 1, 12, 12))):
        assert not value.requires_grad


@pytest.mark.parametrize(
    ("function", "arguments", "argument"),
    [
        (psnr, (torch.zeros(2, 3, 8, 8), torch.zeros(2, 3, 8, 9)), "b has shape"),
        (psnr, (torch.zeros(8, 8), torch.zeros(8, 8)), "a has shape"),
        (ssim, (torch.zeros(3, 10, 20), torch.zeros(3, 10, 20)), "11x11"),
        (warping_errors, (torch.zeros(3, 8, 8),) * 3, "frames has shape"),
        (warping_errors, (torch.zeros(2, 3, 8, 8),) * 3, "flow has shape"),
        (
            warping_errors,
            (torch.zeros(2, 3, 8, 8), torch.zeros(2, 2, 8, 8), torch.zeros(2, 8, 8)),
            "confidence has shape",
        ),
        (end_point_errors, (torch.zeros(3, 8, 8), torch.zeros(3, 8, 8)), "flow has shape"),
        (end_point_errors, (torch.zeros(2, 8, 8), torch.zeros(2, 8, 7)), "target has shape"),
        (end_point_errors, (torch.zeros(2, 8, 8), torch.zeros(2, 8, 8), torch.zeros(2, 8, 8)), "confidence has shape"),
        (absolute_errors, (torch.zeros(3, 8, 8), torch.zeros(3, 8, 8), torch.zeros(3, 8, 8)), "confidence has shape"),
    ],
)
def test_shapes_that_do_not_fit_are_named(function, arguments, argument) -> None:
    with pytest.raises(ShapeError, match=argument):
        inspect.unwrap(function)(*arguments)


def test_clip_score_equals_average_of_its_frames() -> None:
    flow, target = random_frames(7, 4, 2, 6, 6), random_frames(8, 4, 2, 6, 6)
    confidence = (random_frames(9, 4, 1, 6, 6) + 1) / 2
    expected = ((flow - target).norm(dim=1, keepdim=True) * confidence).sum() / confidence.sum()
    assert mean_end_point_error(flow, target, confidence) == pytest.approx(float(expected), rel=1e-5)
