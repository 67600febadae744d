"""What a generated frame of a subject is measured by: the true frame, and what its reference alone would give."""

from collections.abc import Collection, Mapping, Sequence

import torch
import vs_ops
from torch import Tensor
from vs_data import HEAD_REGIONS, REGIONS
from vs_metrics import (
    MIN_REGION_PIXELS,
    PSNR_CAP,
    Average,
    average_of,
    combine,
    head_mask,
    identity_distances,
    masked_psnr,
    masked_ssim,
    moved_frames,
    region_colours,
)

from vs_training.quality.scoring import (
    ChosenReference,
    FrameView,
    chosen_reference,
    flow_errors,
    image_scores,
    temporal_scores,
)

MOVED = 0.02
"""A head has moved when the flow to the reference is longer than this on average, in heights of the frame."""

COLOUR_REGIONS = ("skin", "hair", "clothes", "background")
"""The regions whose mean colours say who somebody is; "features" is too small and moves too much."""


def score_subject_frame(
    view: FrameView, past: Sequence[FrameView], *, references: Collection[int] = (), training: Tensor | None = None
) -> dict[str, Average]:
    """Return measure -> average of one frame (see `measures.FEW_SHOT_MEASURES`); nothing for a reference.

    What needs the teacher's flow or the regions of the frame is left out where there are none.

    Args:
        view: the frame; its references are those that it was generated from.
        past: see `ScoreFrame`.
        references: which frames of the clip are references.
        training: (regions, 3) mean colour of each of `REGIONS` in the training split, or None.
    """
    if view.index in references:
        return {}
    chosen = chosen_reference(view)
    candidates = {"generated": view.synthesis.frame} | ({} if chosen is None else _baselines(chosen))
    scores = image_scores("psnr", "ssim", view.truth.frames, candidates)
    if past:
        scores |= temporal_scores(view, past)
    scores |= flow_errors("epe", view.synthesis.flow, view.truth.flow, view.truth.flow_confidence)
    if chosen is not None:
        warp = view.synthesis.reference
        scores |= flow_errors("reference_epe", None if warp is None else warp.flow, chosen.flow, chosen.confidence)
        scores |= _head_scores(view, chosen, candidates)
    return scores if training is None else scores | _colour_scores(view, "training", training, torch.ones(len(REGIONS)))


def score_driven_frame(view: FrameView, past: Sequence[FrameView]) -> dict[str, Average]:
    """Return measure -> average of a frame of a subject in somebody else's motion; nothing where truth is unknown.

    Args:
        view: the frame, and the one that drives it; with regions, `view.truth` is the subject in this motion.
        past: see `ScoreFrame`.
    """
    if view.truth.regions is None:
        return {}
    scores, driver = score_subject_frame(view, past), view.driving
    if driver is None or driver.regions is None:
        return scores
    colours, pixels = region_colours(driver.frames, driver.regions, len(REGIONS))
    return scores | _colour_scores(view, "driver", colours[0], (pixels[0] >= MIN_REGION_PIXELS).float())


def _baselines(chosen: ChosenReference) -> dict[str, Tensor]:
    """Return the chosen reference as it is, and moved by the teacher's flow."""
    frames = {"repeated": chosen.frame}
    if chosen.flow is not None:
        frames["warped"] = vs_ops.warp(chosen.frame, chosen.flow)
    return frames


def _head_scores(view: FrameView, chosen: ChosenReference, candidates: Mapping[str, Tensor]) -> dict[str, Average]:
    """Measure PSNR and SSIM in the head, on frames in which it has moved from the reference."""
    if view.truth.regions is None or chosen.flow is None or chosen.confidence is None:
        return {}
    head = head_mask(view.truth.regions, HEAD_REGIONS)
    counts = moved_frames(chosen.flow, head, MOVED * head.shape[-2], chosen.confidence).float()
    scores = {}
    for method, frame in candidates.items():
        loud, seen = masked_psnr(frame, view.truth.frames, head)
        scores[f"head_psnr/{method}"] = average_of(loud.clamp_max(PSNR_CAP), counts * (seen > 0))
        alike, seen = masked_ssim(frame, view.truth.frames, head)
        scores[f"head_ssim/{method}"] = average_of(alike, counts * (seen > 0))
    return scores


def _colour_scores(view: FrameView, other: str, colours: Tensor, known: Tensor) -> dict[str, Average]:
    """Measure how far colours of regions are apart: generated, true, and others that may have been painted instead.

    Args:
        view: the frame.
        other: what the others are called.
        colours: (regions, 3) theirs.
        known: (regions,) 1 where they have one.
    """
    if view.truth.regions is None:
        return {}
    found = identity_distances(view.synthesis.frame, view.truth.frames, view.truth.regions, colours)
    weights = found.weights[0] * known
    pairs = {"generated": found.to_subject, other: found.mean_to_subject, f"to_{other}": found.to_mean}
    scores: dict[str, Average] = {}
    for method, distances in pairs.items():
        regions = {name: REGIONS.index(name) for name in COLOUR_REGIONS}
        parts = {f"colour_{name}/{method}": average_of(distances[0, i], weights[i]) for name, i in regions.items()}
        scores |= {**parts, f"colour/{method}": combine(parts.values())}
    return scores
