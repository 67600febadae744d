"""Numbers that say how close frames and flows are to what they should be.

Functions whose names end in "errors", and the masked scores, return what they measured in every frame together with its
weight, for `average_of`; a frame in which nothing can be measured has weight 0.

Frames are float tensors in [-1, 1], so that the full range of a channel is 2; flow is in pixels, x then y, backward.
A measure that looks at levels and not only at differences (SSIM, the colours of `vs_metrics.identity`) first brings
frames to the intensities that its definition is written for.

torchmetrics is imported when it is first asked: it brings scipy and matplotlib along, for whose import every process of
a training would wait.
"""

import math
from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor
from vs_ops import warp

from vs_metrics.errors import ShapeError

DATA_RANGE = 2.0
"""Distance between the darkest and the brightest value of a frame in [-1, 1]."""

SSIM_WINDOW = 11
"""Side of the Gaussian window of SSIM in pixels (sigma 1.5, Wang et al. 2004); smaller frames have no SSIM."""

SSIM_BORDER = SSIM_WINDOW // 2
"""Pixels nearer to the border than this have a window that does not lie in the frame."""

PSNR_OF_UNIT_ERROR = 20 * math.log10(DATA_RANGE)
"""PSNR in dB of a mean squared error of 1."""

PSNR_CAP = 100.0
"""PSNR in dB up to which a frame should count in a mean: that of equal frames is infinite."""


def psnr(a: Float[Tensor, "*batch c h w"], b: Float[Tensor, "*batch c h w"]) -> Float[Tensor, "*batch"]:
    """Return the peak signal-to-noise ratio of every frame in dB, with a data range of 2; infinite for equal frames.

    Only differences count, so that levels may be shifted and scaled together with the data range: pictures of 8 bits
    with a data range of 255 give the same number. Values outside of [-1, 1] are taken as they are.

    Args:
        a: frames (..., C, H, W) in [-1, 1].
        b: the same shape.

    Returns:
        (...) float32: one number per frame.

    Raises:
        ShapeError: the shapes differ, or there are fewer than three axes.
    """
    batch = check_frames(a, b)
    if a.numel() == 0:
        return torch.empty(batch, device=a.device)
    from torchmetrics.functional.image import peak_signal_noise_ratio

    values = peak_signal_noise_ratio(
        a.detach().float().flatten(0, -4) if batch else a.detach().float()[None],
        b.detach().float().flatten(0, -4) if batch else b.detach().float()[None],
        data_range=DATA_RANGE,
        reduction="none",
        dim=(1, 2, 3),
    )
    return values.reshape(batch)


def ssim(a: Float[Tensor, "*batch c h w"], b: Float[Tensor, "*batch c h w"]) -> Float[Tensor, "*batch"]:
    """Return the structural similarity of every frame (Wang et al. 2004): Gaussian window 11, sigma 1.5; 1 is equal.

    Of intensities in [0, 1], (frame + 1) / 2, with a data range of 1: the definition compares mean levels, which must
    count from black. Values outside of [-1, 1] are clipped, as in a picture. Averaged over the channels and the pixels
    whose window lies in the frame, those at least 5 from its border, as scikit-image does:
    `structural_similarity(x, y, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=1,
    channel_axis=0)`, of saved pictures with `data_range=255`, is this number. (torchmetrics 1.9 averages the pixels
    near the border too.) Computed in float32, whose variances, small differences of large squares, leave an error of
    up to 0.005 where frames are bright and flat, and of less than 0.0001 in pictures.

    Args:
        a: frames (..., C, H, W) in [-1, 1], at least 11 pixels high and wide.
        b: the same shape.

    Returns:
        (...) float32: one number per frame.

    Raises:
        ShapeError: the shapes differ, there are fewer than three axes, or a side is shorter than 11 pixels.
    """
    inside = slice(SSIM_BORDER, -SSIM_BORDER)
    return ssim_map(a, b)[..., inside, inside].flatten(-3).mean(dim=-1)


def masked_psnr(
    a: Float[Tensor, "*batch c h w"], b: Float[Tensor, "*batch c h w"], mask: Float[Tensor, "*batch 1 h w"]
) -> tuple[Float[Tensor, "*batch"], Float[Tensor, "*batch"]]:
    """Return per frame the PSNR in dB of the mean squared error over the mask's pixels, and the frame's weight.

    With a mask of ones this is `psnr`. Mind how frames are averaged: by these weights frames with a larger mask count
    more; `average_of(values, (weights > 0).float())` lets all frames that have a mask count alike.

    Args:
        a: frames (..., C, H, W) in [-1, 1].
        b: the same shape.
        mask: (..., 1, H, W) in [0, 1]: how much each pixel counts.

    Returns:
        values (...): dB, float32; infinite where the frames are equal in the mask; 0 where the mask is empty.
        weights (...): the sum of the mask in pixels.

    Raises:
        ShapeError: the shapes do not fit.
    """
    check_frames(a, b)
    _check_beside("mask", mask, a)
    squares = (a.detach().float() - b.detach().float()).square().mean(dim=-3, keepdim=True)
    errors, weights = confident_mean(squares, mask)
    return torch.where(weights > 0, PSNR_OF_UNIT_ERROR - 10 * errors.log10(), 0.0), weights


def masked_ssim(
    a: Float[Tensor, "*batch c h w"], b: Float[Tensor, "*batch c h w"], mask: Float[Tensor, "*batch 1 h w"]
) -> tuple[Float[Tensor, "*batch"], Float[Tensor, "*batch"]]:
    """Return per frame the mean SSIM of the mask's pixels, and the frame's weight.

    The SSIM of a pixel (see `ssim`) is that of the window around it, so that pixels up to 5 outside of the mask have a
    say; beyond the border of the frame the window sees the frame mirrored. Every pixel of the mask counts, near the
    border too, where a head may be; with a mask that is 0 nearer to it than 5 pixels, and 1 elsewhere, this is `ssim`.
    For how frames are averaged see `masked_psnr`.

    Args:
        a: frames (..., C, H, W) in [-1, 1], at least 11 pixels high and wide.
        b: the same shape.
        mask: (..., 1, H, W) in [0, 1]: how much each pixel counts.

    Returns:
        values (...): float32, 1 is equal; 0 where the mask is empty.
        weights (...): the sum of the mask in pixels.

    Raises:
        ShapeError: the shapes do not fit, or a side is shorter than 11 pixels.
    """
    check_frames(a, b)
    _check_beside("mask", mask, a)
    return confident_mean(ssim_map(a, b).mean(dim=-3, keepdim=True), mask)


def warping_errors(
    frames: Float[Tensor, "*batch t c h w"],
    flow: Float[Tensor, "*batch t 2 h w"],
    confidence: Float[Tensor, "*batch t 1 h w"],
) -> tuple[Float[Tensor, "*batch t"], Float[Tensor, "*batch t"]]:
    """Return per frame how far it is from the frame before, warped onto it by the flow (Lai et al. 2018).

    Returns:
        errors (..., T): mean over the confident pixels and the channels of |frame[t] - warp(frame[t-1], flow[t])|, in
            the frames' units (times 127.5: levels of 255); weighted by the confidence; 0 where nothing is confident.
        weights (..., T): the sum of the confidence in pixels; 0 for the first frame, which has no frame before.

    Raises:
        ShapeError: an axis does not fit the others.
    """
    check_clip(frames, flow, confidence)
    errors = torch.zeros(frames.shape[:-3], device=frames.device)
    weights = torch.zeros_like(errors)
    if frames.shape[-4] < 2 or frames.numel() == 0:
        return errors, weights
    difference = residuals(frames, flow).abs().mean(dim=-3, keepdim=True)  # (..., T-1, 1, H, W)
    errors[..., 1:], weights[..., 1:] = confident_mean(difference, confidence[..., 1:, :, :, :])
    return errors, weights


def residuals(frames: Tensor, flow: Tensor) -> Tensor:
    """Return what is new in each frame but the first: less the one before, moved by the flow; (..., T - 1, C, H, W)."""
    video, motion = frames.detach().float(), flow.detach().float()
    return video[..., 1:, :, :, :] - moved(video[..., :-1, :, :, :], motion[..., 1:, :, :, :])


def moved(images: Tensor, flow: Tensor) -> Tensor:
    """Fetch images (..., C, H, W) through flow (..., 2, H, W), whatever leading axes they have."""
    return warp(images.flatten(0, -4), flow.flatten(0, -4)).reshape(images.shape)


def end_point_errors(
    flow: Float[Tensor, "*batch 2 h w"],
    target: Float[Tensor, "*batch 2 h w"],
    confidence: Float[Tensor, "*batch 1 h w"] | None = None,
) -> tuple[Float[Tensor, "*batch"], Float[Tensor, "*batch"]]:
    """Return per frame the mean length of `flow - target`, pixels, where confident, and the sum of the confidence.

    Without confidence every pixel counts. A frame in which nothing is confident has error 0 and weight 0.

    Raises:
        ShapeError: an axis does not fit the others.
    """
    if flow.ndim < 3 or flow.shape[-3] != 2:
        raise ShapeError("flow", tuple(flow.shape), "(..., 2, H, W)")
    if target.shape != flow.shape:
        raise ShapeError("target", tuple(target.shape), f"that of flow, {tuple(flow.shape)}")
    valid = torch.ones_like(flow[..., :1, :, :]) if confidence is None else confidence
    _check_beside("confidence", valid, flow)
    distance = (flow.detach().float() - target.detach().float()).square().sum(dim=-3, keepdim=True).sqrt()
    return confident_mean(distance, valid)


def absolute_errors(
    a: Float[Tensor, "*batch c h w"],
    b: Float[Tensor, "*batch c h w"],
    confidence: Float[Tensor, "*batch 1 h w"] | None = None,
) -> tuple[Float[Tensor, "*batch"], Float[Tensor, "*batch"]]:
    """Return per frame the mean |a - b| over channels and confident pixels, and the sum of the confidence in pixels.

    Without confidence every pixel counts. In the frames' units (times 127.5: levels of 255).

    Raises:
        ShapeError: an axis does not fit the others.
    """
    check_frames(a, b)
    valid = torch.ones_like(a[..., :1, :, :]) if confidence is None else confidence
    _check_beside("confidence", valid, a)
    return confident_mean((a.detach().float() - b.detach().float()).abs().mean(dim=-3, keepdim=True), valid)


def confident_mean(values: Tensor, confidence: Tensor) -> tuple[Tensor, Tensor]:
    """Return the mean of (..., 1, H, W) weighted by a confidence of the same shape, and the sum of weights: (...).

    Values without confidence do not count, whatever they are: a flow may be nan where it is unknown.
    """
    mass = confidence.detach().float()
    weights = mass.sum(dim=(-3, -2, -1))
    totals = torch.where(mass > 0, values * mass, 0.0).sum(dim=(-3, -2, -1))
    return torch.where(weights > 0, totals / weights.clamp_min(torch.finfo(torch.float32).tiny), 0.0), weights


def ssim_map(a: Tensor, b: Tensor) -> Tensor:
    """Return the SSIM of each pixel and channel: (..., C, H, W) float32; beyond the border frames are mirrored."""
    check_frames(a, b)
    if min(a.shape[-2:]) < SSIM_WINDOW:
        raise ShapeError("a", tuple(a.shape), f"frames of at least {SSIM_WINDOW}x{SSIM_WINDOW} pixels (SSIM's window)")
    if a.numel() == 0:
        return torch.empty(a.shape, device=a.device)
    from torchmetrics.functional.image import structural_similarity_index_measure

    with torch.autocast(a.device.type, enabled=False):
        # The map, not torchmetrics' mean of it: which pixels near the border are in that depends on its version.
        _, similarity = cast(
            tuple[Tensor, Tensor],
            structural_similarity_index_measure(
                _intensities(a), _intensities(b), data_range=1.0, reduction="none", return_full_image=True
            ),
        )
    return similarity.reshape(a.shape)


def _intensities(frames: Tensor) -> Tensor:
    """Return frames (..., C, H, W) in [-1, 1] as (N, C, H, W) in [0, 1]."""
    return frames.detach().float().clamp(-1, 1).add(1).div(2).reshape(-1, *frames.shape[-3:])


def _check_beside(name: str, values: Tensor, frames: Tensor) -> None:
    """Raise `ShapeError` unless `values` has one channel beside frames (..., C, H, W)."""
    wanted = (*frames.shape[:-3], 1, *frames.shape[-2:])
    if tuple(values.shape) != wanted:
        raise ShapeError(name, tuple(values.shape), f"{wanted}")


def check_frames(a: Tensor, b: Tensor) -> torch.Size:
    """Return the leading axes of two batches of frames; raise `ShapeError` unless they have one shape."""
    if a.ndim < 3:
        raise ShapeError("a", tuple(a.shape), "(..., C, H, W)")
    if b.shape != a.shape:
        raise ShapeError("b", tuple(b.shape), f"that of a, {tuple(a.shape)}")
    return a.shape[:-3]


def check_clip(frames: Tensor, flow: Tensor, confidence: Tensor) -> None:
    """Raise `ShapeError` unless flow and confidence are those of a clip's frames."""
    if frames.ndim < 4:
        raise ShapeError("frames", tuple(frames.shape), "(..., T, C, H, W)")
    lead, size = tuple(frames.shape[:-3]), tuple(frames.shape[-2:])
    for name, tensor, channels in (("flow", flow, 2), ("confidence", confidence, 1)):
        wanted = (*lead, channels, *size)
        if tuple(tensor.shape) != wanted:
            raise ShapeError(name, tuple(tensor.shape), f"{wanted}")
