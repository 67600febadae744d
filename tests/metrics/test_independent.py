"""Every number beside one that somebody else's program computes, on dark, bright, flat, shifted and random pictures."""

import math
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import example, given
from hypothesis import settings as limits
from hypothesis import strategies as st
from scipy import ndimage
from skimage import color, metrics
from torchmetrics.functional.image import structural_similarity_index_measure
from vs_metrics import (
    MIN_REGION_PIXELS,
    absolute_errors,
    average_of,
    class_mean_colours,
    colour_distances,
    end_point_errors,
    flow_to_rgb,
    frame_to_uint8,
    identity_distances,
    masked_psnr,
    masked_ssim,
    mean_of,
    moved_frames,
    paint_classes,
    psnr,
    region_colours,
    ssim,
    warping_errors,
    write_mp4,
)
from vs_metrics.identity import srgb_to_lab

Array = npt.NDArray[np.float64]

SEEDS = st.integers(0, 2**31 - 1)
HEIGHT, WIDTH = 20, 26


def picture(seed: int, level: float, contrast: float) -> Array:
    """(H, W, 3) intensities in [0, 1] around a level: edges and noise, or flat without contrast."""
    random = np.random.default_rng(seed)
    coarse = np.kron(random.uniform(-1, 1, (HEIGHT // 4 + 1, WIDTH // 4 + 1, 3)), np.ones((4, 4, 1)))[:HEIGHT, :WIDTH]
    return np.clip(level + contrast * (coarse + 0.3 * random.uniform(-1, 1, coarse.shape)), 0.0, 1.0)


LEVELS = st.sampled_from((0.0, 0.02, 0.1, 0.475, 0.525, 0.9, 1.0)) | st.floats(0, 1)
CONTRASTS = st.sampled_from((0.0, 0.005, 0.05, 0.5)) | st.floats(0, 1)


@st.composite
def pairs(draw: st.DrawFn) -> tuple[Array, Array]:
    """Two pictures: of different seeds, or one beside itself shifted in level, stretched and made noisy."""
    seed, level, contrast = draw(SEEDS), draw(LEVELS), draw(CONTRASTS)
    first = picture(seed, level, contrast)
    if draw(st.booleans()):
        return first, picture(seed + 1, draw(LEVELS), draw(CONTRASTS))
    noise = draw(st.sampled_from((0.0, 0.02, 0.2))) * np.random.default_rng(seed).standard_normal(first.shape)
    return first, np.clip(draw(st.floats(0.5, 1.5)) * first + draw(st.floats(-0.3, 0.3)) + noise, 0.0, 1.0)


def frame(intensities: Array) -> torch.Tensor:
    """(H, W, 3) in [0, 1] as (3, H, W) in [-1, 1]."""
    return torch.from_numpy(2 * intensities - 1).movedim(-1, 0).float()


def their_ssim(a: npt.NDArray[np.generic], b: npt.NDArray[np.generic], data_range: float) -> tuple[float, Array]:
    return metrics.structural_similarity(
        a,
        b,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        data_range=data_range,
        channel_axis=-1,
        full=True,
    )


def rounding(*pictures: Array) -> float:
    """What float32 may cost SSIM: the more, the smaller the variances beside the squares of the levels."""
    return 5e-3 if min(one.std() for one in pictures) < 0.1 else 1e-4


@limits(max_examples=30)
@given(pair=pairs())
@example(pair=(np.full((HEIGHT, WIDTH, 3), 0.98828125), np.full((HEIGHT, WIDTH, 3), 0.99)))  # rounded alike everywhere
def test_ssim_is_that_of_scikit_image_and_torchmetrics(pair: tuple[Array, Array]) -> None:
    whole, each = their_ssim(*pair, data_range=1.0)
    a, b = map(frame, pair)
    assert float(ssim(a, b)) == pytest.approx(whole, abs=rounding(*pair))
    masks = torch.zeros(3, 1, HEIGHT, WIDTH)
    masks[0, :, 7:12, 6:-7], masks[1, :, 9, 13] = 1.0, 1.0
    masks[2] = 1.0
    values, _ = masked_ssim(a.expand(3, -1, -1, -1), b.expand(3, -1, -1, -1), masks)
    x, y = (torch.from_numpy(intensities).movedim(-1, 0)[None] for intensities in pair)
    mirrored = float(structural_similarity_index_measure(x, y, data_range=1.0, return_full_image=True)[1].mean())
    theirs = [each[7:12, 6:-7].mean(), each[9, 13].mean(), mirrored]
    assert values.tolist() == pytest.approx(
        theirs, abs=5 * rounding(*pair)
    )  # of few pixels, whose errors do not cancel


@limits(max_examples=25)
@given(pair=pairs())
def test_saved_pictures_have_the_scores_of_their_frames(pair: tuple[Array, Array]) -> None:
    a, b = (frame_to_uint8(frame(intensities)) for intensities in pair)
    for ours, theirs in zip((a, b), pair, strict=True):
        assert np.abs(ours - 255 * theirs).max() <= 0.5001  # the nearest level, not the one below
    x, y = frame(a / 255.0), frame(b / 255.0)
    assert float(ssim(x, y)) == pytest.approx(their_ssim(a, b, data_range=255)[0], abs=rounding(*pair))
    if not np.array_equal(a, b):
        assert float(psnr(x, y)) == pytest.approx(metrics.peak_signal_noise_ratio(a, b), abs=1e-3)


@limits(max_examples=25)
@given(pair=pairs())
def test_psnr_is_that_of_scikit_image(pair: tuple[Array, Array]) -> None:
    if np.abs(pair[0] - pair[1]).max() < 1e-3:
        pair = (pair[0], pair[1] + 0.01)
    a, b = map(frame, pair)
    assert float(psnr(a, b)) == pytest.approx(metrics.peak_signal_noise_ratio(*pair, data_range=1), abs=1e-2)
    if np.abs(pair[0] - pair[1])[3:9, 5:20].max() > 1e-3:
        mask = torch.zeros(1, HEIGHT, WIDTH)
        mask[:, 3:9, 5:20] = 1.0
        parts = (intensities[3:9, 5:20] for intensities in pair)
        theirs = metrics.peak_signal_noise_ratio(*parts, data_range=1)
        assert float(masked_psnr(a, b, mask)[0]) == pytest.approx(theirs, abs=1e-2)


@limits(max_examples=25)
@given(pair=pairs())
def test_colours_and_their_distances_are_those_of_cie_1976(pair: tuple[Array, Array]) -> None:
    labs = [color.rgb2lab(intensities) for intensities in pair]
    ours = [frame(intensities).movedim(0, -1) for intensities in pair]
    for found, expected in zip(ours, labs, strict=True):
        # Published matrices of sRGB are rounded to four, six or seven digits.
        np.testing.assert_allclose(srgb_to_lab(found).numpy(), expected, atol=0.02)
    np.testing.assert_allclose(colour_distances(*ours).numpy(), color.deltaE_cie76(*labs), atol=0.03)


def test_distances_are_not_those_of_later_formulas() -> None:
    red, orange = np.array([0.9, 0.1, 0.1]), np.array([0.9, 0.4, 0.1])
    found = float(colour_distances(*(torch.from_numpy(2 * colour - 1).float() for colour in (red, orange))))
    lab = [color.rgb2lab(colour) for colour in (red, orange)]
    assert found == pytest.approx(float(color.deltaE_cie76(*lab)), abs=0.02)
    assert abs(found - float(color.deltaE_ciede94(*lab))) > 10
    assert abs(found - float(color.deltaE_ciede2000(*lab))) > 10


def moved_by_scipy(image: Array, flow: Array) -> Array:
    """(3, H, W) fetched at (index + flow), bilinear, clamped to the border."""
    rows, columns = np.mgrid[: image.shape[1], : image.shape[2]]
    places = np.stack([rows + flow[1], columns + flow[0]])
    return np.stack([ndimage.map_coordinates(plane, places, order=1, mode="nearest") for plane in image])


@limits(max_examples=20)
@given(pair=pairs(), seed=SEEDS)
def test_warping_errors_are_those_of_a_clip_moved_by_scipy(pair: tuple[Array, Array], seed: int) -> None:
    random = np.random.default_rng(seed)
    flow, confidence = random.normal(0, 3, (2, 2, HEIGHT, WIDTH)), random.random((2, 1, HEIGHT, WIDTH))
    clip = torch.stack([frame(intensities) for intensities in pair])
    before, now = clip.double().numpy()
    moved = moved_by_scipy(before, flow[1])
    expected = np.average(np.abs(now - moved).mean(axis=0), weights=confidence[1, 0])
    errors, weights = warping_errors(clip, torch.from_numpy(flow).float(), torch.from_numpy(confidence).float())
    assert float(errors[1]) == pytest.approx(expected, abs=1e-4)
    assert weights.tolist() == pytest.approx([0.0, confidence[1].sum()], rel=1e-5)


@limits(max_examples=20)
@given(seed=SEEDS, pair=pairs(), share=st.floats(0.1, 1.0))
def test_errors_are_weighted_means(seed: int, pair: tuple[Array, Array], share: float) -> None:
    random = np.random.default_rng(seed)
    flow, target = random.normal(0, 5, (2, 2, HEIGHT, WIDTH))
    weights = random.random((HEIGHT, WIDTH)) * (random.random((HEIGHT, WIDTH)) < share)
    confidence = torch.from_numpy(weights[None]).float()
    lengths = np.linalg.norm(flow - target, axis=0)
    found = end_point_errors(torch.from_numpy(flow).float(), torch.from_numpy(target).float(), confidence)
    assert mean_of(average_of(*found)) == pytest.approx(np.average(lengths, weights=weights), rel=1e-4)
    differences = np.abs(2 * pair[0] - 2 * pair[1]).mean(axis=-1)
    errors, _ = absolute_errors(*map(frame, pair), confidence)
    assert float(errors) == pytest.approx(np.average(differences, weights=weights), abs=1e-5)
    together = average_of(torch.from_numpy(lengths), torch.from_numpy(weights))
    assert mean_of(together) == pytest.approx(np.average(lengths, weights=weights))
    length = np.average(np.linalg.norm(flow, axis=0), weights=weights)
    for threshold in (0.9 * length, 1.1 * length):
        head = torch.ones(1, HEIGHT, WIDTH)
        assert bool(moved_frames(torch.from_numpy(flow).float(), head, threshold, confidence)) == (length > threshold)


@limits(max_examples=20)
@given(seed=SEEDS, pair=pairs(), count=st.integers(1, 6))
def test_means_of_classes_and_regions_are_those_of_scipy(seed: int, pair: tuple[Array, Array], count: int) -> None:
    ids = np.random.default_rng(seed).integers(0, count, (HEIGHT, WIDTH))
    frames, places = torch.stack([frame(each) for each in pair]), torch.from_numpy(np.stack([ids, ids]))
    means, pixels = region_colours(frames, places, count)
    present = [region for region in range(count) if (ids == region).any()]
    each = np.stack(
        [
            [ndimage.mean(plane, labels=ids, index=present) for plane in view.double().numpy()]
            for view in frames  # (2, 3, present)
        ]
    ).swapaxes(1, 2)
    np.testing.assert_allclose(means[:, present].numpy(), each, atol=1e-6)
    assert pixels[0].tolist() == np.bincount(ids.ravel(), minlength=count).tolist()
    together = class_mean_colours([(frames, places)], num_classes=count)
    np.testing.assert_allclose(together.colours[present].numpy(), each.mean(axis=0), atol=1e-6)
    if len(present) == count:
        painted = paint_classes(places[0], together).movedim(0, -1).numpy()
        np.testing.assert_allclose(painted, each.mean(axis=0)[ids], atol=1e-6)


@limits(max_examples=20)
@given(seed=SEEDS, pair=pairs(), level=LEVELS)
def test_identity_distances_are_those_of_the_means_of_regions(
    seed: int, pair: tuple[Array, Array], level: float
) -> None:
    ids = np.random.default_rng(seed).integers(0, 3, (HEIGHT, WIDTH))
    made, true = (
        color.rgb2lab(np.stack([ndimage.mean(view[..., c], labels=ids, index=range(3)) for c in range(3)], axis=-1))
        for view in pair
    )
    average = color.rgb2lab(np.full((3, 3), level))
    found = identity_distances(*map(frame, pair), torch.from_numpy(ids), torch.full((3, 3), 2 * level - 1))
    assert (np.bincount(ids.ravel()) >= MIN_REGION_PIXELS).all()
    assert found.weights.tolist() == [1.0] * 3
    sides = ((found.to_subject, made, true), (found.to_mean, made, average), (found.mean_to_subject, average, true))
    for distances, a, b in sides:
        np.testing.assert_allclose(distances.numpy(), color.deltaE_cie76(a, b), atol=0.03)


@limits(max_examples=20)
@given(angle=st.floats(-math.pi, math.pi), length=st.floats(0.0, 6.0))
def test_colours_of_flow_are_those_of_their_hue(angle: float, length: float) -> None:
    flow = torch.tensor([length * math.cos(angle), length * math.sin(angle)]).view(2, 1, 1)
    hsv = np.array([(angle / (2 * math.pi)) % 1.0, min(length / 5.0, 1.0), 1.0])
    np.testing.assert_allclose(flow_to_rgb(flow, 5.0)[0, 0], 255 * color.hsv2rgb(hsv), atol=1.0)


def test_videos_have_the_levels_of_bt_601(tmp_path: Path) -> None:
    colours = [(0, 0, 0), (3, 3, 3), (40, 20, 10), (134, 134, 134), (250, 240, 230), (255, 255, 255), (255, 0, 0)]
    frames = [np.full((32, 32, 3), colour, dtype=np.uint8) for colour in colours]
    written = write_mp4(tmp_path / "flat.mp4", frames)
    with av.open(str(written.path)) as container:
        stored = [
            view.to_ndarray() for view in container.decode(video=0)
        ]  # (48, 32): Y above both of the halved colours
    for planes, frame in zip(stored, frames, strict=True):
        y, cb, cr = color.rgb2ycbcr(frame)[0, 0]
        assert float(planes[:32].mean()) == pytest.approx(y, abs=1.5)
        assert float(planes[32:40].mean()) == pytest.approx(cb, abs=2)
        assert float(planes[40:].mean()) == pytest.approx(cr, abs=2)
