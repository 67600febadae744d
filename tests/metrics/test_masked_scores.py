"""Scores inside a mask: what counts, what does not, and that the map of SSIM lies where the frame does."""

import inspect
import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import settings as limits
from hypothesis import strategies as st
from vs_metrics import ShapeError, average_of, masked_psnr, masked_ssim, mean_of, psnr, ssim

SEEDS = st.integers(0, 2**31 - 1)
HEIGHT, WIDTH = 14, 17


def random_pair(seed: int, *lead: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    a, noise = torch.rand(2, *lead, 3, HEIGHT, WIDTH, generator=generator) * 2 - 1
    return a, (a + 0.3 * noise).clamp(-1, 1)


def pixel_mask(y: int, x: int) -> torch.Tensor:
    mask = torch.zeros(1, HEIGHT, WIDTH)
    mask[0, y, x] = 1.0
    return mask


def ssim_at(a: torch.Tensor, b: torch.Tensor, y: int, x: int) -> float:
    """SSIM of one pixel from its definition in float64: moments under an 11x11 Gaussian, the frame mirrored."""
    line = torch.exp(-((torch.arange(11, dtype=torch.float64) - 5) ** 2) / (2 * 1.5**2))
    window = line[:, None] * line[None] / line.sum() ** 2
    intensities = ((frame.double()[None] + 1) / 2 for frame in (a, b))
    p, q = (F.pad(frame, (5, 5, 5, 5), mode="reflect")[0, :, y : y + 11, x : x + 11] for frame in intensities)

    def mean(values: torch.Tensor) -> torch.Tensor:
        return (values * window).sum(dim=(1, 2))

    c1, c2 = 0.01**2, 0.03**2
    covariance = mean(p * q) - mean(p) * mean(q)
    variances = mean(p * p) - mean(p) ** 2 + mean(q * q) - mean(q) ** 2
    luminance = (2 * mean(p) * mean(q) + c1) / (mean(p) ** 2 + mean(q) ** 2 + c1)
    return float((luminance * (2 * covariance + c2) / (variances + c2)).mean())


def test_psnr_counts_the_pixels_of_the_mask_and_no_others() -> None:
    a, b = torch.zeros(3, 3, 2, 2), torch.zeros(3, 3, 2, 2)
    b[0, :, 0, 0] = 0.2  # mean square 0.04: 10 log10(4 / 0.04) = 20 dB
    b[0, :, 0, 1] = 1.0
    b[1] = b[0]
    mask = torch.zeros(3, 1, 2, 2)
    mask[0, 0, 0, 0] = 1.0
    mask[1, 0, 0] = torch.tensor([0.75, 0.25])  # 0.75 * 0.04 + 0.25 * 1 = 0.28
    mask[2] = 1.0
    values, weights = masked_psnr(a, b, mask)
    torch.testing.assert_close(values, torch.tensor([20.0, 10 * math.log10(4 / 0.28), math.inf]))
    assert weights.tolist() == [1.0, 1.0, 4.0]
    b[0, 0, 0, 0], b[0, 1:, 0, 0] = 0.2 * math.sqrt(3), 0.0  # the same error in one channel
    assert float(masked_psnr(a, b, mask)[0][0]) == pytest.approx(20.0, abs=1e-4)


@limits(max_examples=25)
@given(seed=SEEDS)
def test_a_mask_of_all_that_counts_changes_nothing(seed: int) -> None:
    a, b = random_pair(seed, 2, 3)
    ones, inside = torch.ones(2, 3, 1, HEIGHT, WIDTH), torch.zeros(2, 3, 1, HEIGHT, WIDTH)
    inside[..., 5:-5, 5:-5] = 1.0
    for masked, whole, mask in ((masked_psnr, psnr, ones), (masked_ssim, ssim, inside)):
        values, weights = masked(a, b, mask)
        torch.testing.assert_close(values, whole(a, b), rtol=1e-5, atol=1e-5)
        assert bool((weights == mask[0, 0].sum()).all())


@limits(max_examples=25)
@given(seed=SEEDS)
def test_what_is_outside_of_the_mask_does_not_count(seed: int) -> None:
    a, b = random_pair(seed)
    mask = torch.zeros(1, HEIGHT, WIDTH)
    mask[:, :, :5] = 1.0
    changed = b.clone()
    changed[:, :, 5:] = a[:, :, 5:].flip(0)
    assert torch.equal(masked_psnr(a, changed, mask)[0], masked_psnr(a, b, mask)[0])
    far = b.clone()
    far[:, :, 10:] = 0.0  # more than 5 pixels away: no window of the mask's pixels reaches it
    torch.testing.assert_close(masked_ssim(a, far, mask)[0], masked_ssim(a, b, mask)[0])


@limits(max_examples=25)
@given(seed=SEEDS, y=st.integers(0, HEIGHT - 1), x=st.integers(0, WIDTH - 1))
def test_the_ssim_of_one_pixel_is_that_of_the_window_around_it(seed: int, y: int, x: int) -> None:
    a, b = random_pair(seed)
    values, weights = masked_ssim(a, b, pixel_mask(y, x))
    assert float(values) == pytest.approx(ssim_at(a, b, y, x), abs=2e-5)
    assert float(weights) == 1.0


@limits(max_examples=25)
@given(seed=SEEDS)
def test_the_parts_of_a_frame_average_to_the_whole(seed: int) -> None:
    a, b = random_pair(seed)
    part = torch.rand(1, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(seed))
    masks = torch.stack([part, 1 - part])
    both = masked_ssim(a.expand(2, -1, -1, -1), b.expand(2, -1, -1, -1), masks)
    together = float(masked_ssim(a, b, torch.ones(1, HEIGHT, WIDTH))[0])
    assert mean_of(average_of(*both)) == pytest.approx(together, abs=1e-5)
    errors = 4 / 10 ** (masked_psnr(a.expand(2, -1, -1, -1), b.expand(2, -1, -1, -1), masks)[0] / 10)
    weights = masks.sum(dim=(1, 2, 3))
    total = float((errors * weights).sum() / weights.sum())
    assert 10 * math.log10(4 / total) == pytest.approx(float(psnr(a, b)), abs=1e-3)


@pytest.mark.parametrize("score", [masked_psnr, masked_ssim])
def test_frames_whose_mask_is_empty_are_left_out_of_means(score) -> None:
    a, b = random_pair(0, 2)
    mask = torch.zeros(2, 1, HEIGHT, WIDTH)
    mask[0, :, 3:9, 4:] = 1.0
    a[1] = b[1]
    values, weights = score(a, b, mask)
    assert (float(values[1]), float(weights[1])) == (0.0, 0.0)
    assert mean_of(average_of(values, weights)) == pytest.approx(float(values[0]))
    assert mean_of(average_of(values, (weights > 0).float())) == pytest.approx(float(values[0]))
    assert math.isnan(mean_of(average_of(*score(a[1:], b[1:], mask[1:]))))
    assert [result.shape for result in score(a[:0], b[:0], mask[:0])] == [(0,), (0,)]
    assert [result.shape for result in score(a[0], b[0], mask[0])] == [(), ()]


@pytest.mark.parametrize("score", [masked_psnr, masked_ssim])
def test_half_precision_is_scored_in_float32_and_leaves_no_graph(score) -> None:
    a, b = (frame.bfloat16() for frame in random_pair(1, 2))
    mask = torch.ones(2, 1, HEIGHT, WIDTH)
    values, weights = score(a.clone().requires_grad_(), b, mask.bfloat16())
    assert not values.requires_grad
    assert not weights.requires_grad
    torch.testing.assert_close((values, weights), score(a.float(), b.float(), mask))


def test_masks_count_the_border_and_whole_frames_what_has_a_whole_window() -> None:
    frame = torch.zeros(3, 32, 32)
    other = frame.clone()
    other[:, 0] = (
        1.0  # in the window of the pixels of the first five rows, which are too near the border, and of the next
    )
    border = torch.zeros(1, 32, 32)
    border[:, :5] = 1.0
    assert float(masked_ssim(frame, other, border)[0]) < 0.5
    assert float(masked_ssim(frame, other, 1 - border)[0]) > 0.9
    assert float(ssim(frame, other)) > 0.98
    other[:, 16] = 1.0
    assert float(ssim(frame, other)) < 0.9


@pytest.mark.parametrize(
    ("score", "shapes", "argument"),
    [
        (masked_psnr, ((3, 12, 12), (3, 12, 13), (1, 12, 12)), "b has shape"),
        (masked_psnr, ((2, 3, 12, 12), (2, 3, 12, 12), (2, 12, 12)), "mask has shape"),
        (masked_psnr, ((2, 3, 12, 12), (2, 3, 12, 12), (2, 3, 12, 12)), "mask has shape"),
        (masked_ssim, ((2, 3, 12, 12), (2, 3, 12, 12), (1, 1, 12, 12)), "mask has shape"),
        (masked_ssim, ((3, 10, 12), (3, 10, 12), (1, 10, 12)), "11x11"),
    ],
)
def test_masks_and_frames_that_do_not_fit_are_named(score, shapes, argument) -> None:
    with pytest.raises(ShapeError, match=argument):
        inspect.unwrap(score)(*map(torch.zeros, shapes))
