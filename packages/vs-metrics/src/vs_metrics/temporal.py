"""How a video changes from frame to frame, beside how the real one does: flicker, tOF and tLP.

All take clips (..., T, C, H, W) and return what they measured at every frame with its weight, for `average_of`; a frame
that has too few before it has weight 0.
"""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from vs_metrics.errors import ShapeError
from vs_metrics.scores import check_clip, confident_mean, end_point_errors, moved, residuals

FLICKER_FRAMES = 3
"""Frames of a clip below which nothing can be said of its flicker."""

Distance = Callable[[Tensor, Tensor], Tensor]
"""(N, 3, H, W) twice -> (N,): how different two frames look, such as LPIPS."""

EstimateFlow = Callable[[Tensor, Tensor], Tensor]
"""(frames before, frames now), (N, 3, H, W) each -> backward flow (N, 2, H, W) in pixels."""


def flicker_errors(
    frames: Float[Tensor, "*batch t c h w"],
    flow: Float[Tensor, "*batch t 2 h w"],
    confidence: Float[Tensor, "*batch t 1 h w"],
) -> tuple[Float[Tensor, "*batch t"], Float[Tensor, "*batch t"]]:
    """Return per frame how much of its change from the frame before takes back that frame's own change.

    The residual of a frame is what is new in it: the frame less the one before, moved by the flow (the temporal warping
    error of Lai et al. 2018 is its mean magnitude, see `warping_errors`). Flicker is half the mean magnitude of the
    residual less the residual of the frame before, moved likewise: half of the second difference along the motion.
    A video that alternates between two brightnesses a level apart has a flicker of one level, as much as its warping
    error. One that gets brighter by a level each frame has that warping error, and no flicker. White noise of deviation
    s has 0.98 s of flicker, and 1.13 s of warping error.

    Limits: it needs three frames; it knows of motion what the flow knows; details that do not move with the flow
    (shadows, highlights) count in the real video too, so compare with that; a still picture has none.

    Source: the second difference is ours; moving by a flow, and trusting it in part, is Lai et al. 2018.

    Args:
        frames: (..., T, C, H, W).
        flow: from each frame to the one before; that of the first is not looked at.
        confidence: where it is to be trusted.

    Returns:
        errors (..., T): in the frames' units (times 127.5: levels of 255); 0 where nothing is confident.
        weights (..., T): the sum of the confidence in pixels, that of both steps; 0 for the first two frames.

    Raises:
        ShapeError: an axis does not fit the others.
    """
    check_clip(frames, flow, confidence)
    errors = torch.zeros(frames.shape[:-3], device=frames.device)
    weights = torch.zeros_like(errors)
    if frames.shape[-4] < FLICKER_FRAMES or frames.numel() == 0:
        return errors, weights
    trust, onward = confidence.detach().float()[..., 1:, :, :, :], flow.detach().float()[..., 2:, :, :, :]
    new = residuals(frames, flow)
    known = torch.where(trust[..., :-1, :, :, :] > 0, new[..., :-1, :, :, :], 0.0)  # a flow may be nan elsewhere
    second = new[..., 1:, :, :, :] - moved(known, onward)
    both = torch.where(
        trust[..., 1:, :, :, :] > 0, trust[..., 1:, :, :, :] * moved(trust[..., :-1, :, :, :], onward), 0.0
    )
    size = second.abs().mean(dim=-3, keepdim=True) / 2
    errors[..., 2:], weights[..., 2:] = confident_mean(size, both)
    return errors, weights


def flow_changes(
    generated: Float[Tensor, "*batch t 3 h w"], real: Float[Tensor, "*batch t 3 h w"], estimate: EstimateFlow
) -> tuple[Float[Tensor, "*batch t"], Float[Tensor, "*batch t"]]:
    """Return per frame how far the generated video's motion is from the real one's, pixels: tOF (Chu et al. 2020).

    Mean length of the difference between the flow from the frame before in the generated video and that in the real
    one, both by the same estimator. (Chu et al. add up |x| and |y| where this takes the length.)

    Limits: it needs two frames; estimators see little in flat regions, and see motion where there is flicker; a
    generated video that is late is seen as far as its motion changes from frame to frame.

    Returns:
        errors (..., T): pixels; 0 for the first frame.
        weights (..., T): pixels of a frame; 0 for the first, which has no frame before.

    Raises:
        ShapeError: an axis does not fit the others.
    """
    flows = [_of_pairs(estimate, video) for video in _pair_of_videos(generated, real)]
    return _after_the_first(*end_point_errors(flows[0], flows[1]))


def distance_changes(
    generated: Float[Tensor, "*batch t 3 h w"], real: Float[Tensor, "*batch t 3 h w"], distance: Distance
) -> tuple[Float[Tensor, "*batch t"], Float[Tensor, "*batch t"]]:
    """Return per frame how differently the two videos change to the eye: with LPIPS this is tLP (Chu et al. 2020).

    |d(g[t-1], g[t]) - d(r[t-1], r[t])| of a distance d between frames. Chu et al. multiply it by 100 in tables.

    Limits: it needs two frames; it compares amounts of change alone: a video may change as much as the real one, and
    in other places.

    Returns:
        errors (..., T): in units of the distance; 0 for the first frame.
        weights (..., T): 1, and 0 for the first frame, which has no frame before.

    Raises:
        ShapeError: an axis does not fit the others.
    """
    amounts = [_of_pairs(distance, video) for video in _pair_of_videos(generated, real)]
    differences = (amounts[0] - amounts[1]).abs().detach().float()
    return _after_the_first(differences, torch.ones_like(differences))


def _pair_of_videos(generated: Tensor, real: Tensor) -> tuple[Tensor, Tensor]:
    if generated.ndim < 4:
        raise ShapeError("generated", tuple(generated.shape), "(..., T, 3, H, W)")
    if real.shape != generated.shape:
        raise ShapeError("real", tuple(real.shape), f"that of generated, {tuple(generated.shape)}")
    return generated, real


def _of_pairs(function: Callable[[Tensor, Tensor], Tensor], video: Tensor) -> Tensor:
    """Apply a function to every frame and the one before it: (..., T, 3, H, W) to (..., T - 1) and its own axes."""
    before, now = video[..., :-1, :, :, :], video[..., 1:, :, :, :]
    found = function(before.flatten(0, -4), now.flatten(0, -4))
    return found.reshape(*now.shape[:-3], *found.shape[1:])


def _after_the_first(values: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """Put a frame without weight before the others, (..., T - 1) to (..., T)."""
    pad = (1, 0)
    return torch.nn.functional.pad(values, pad), torch.nn.functional.pad(weights, pad)
