"""Subjects that training has never seen, each generated from so many references of its own."""

from collections.abc import Sequence
from functools import partial

from torch import Tensor
from vs_data import REGIONS, ClipSource, spread_frames
from vs_metrics import class_mean_colours
from vs_training.quality.few_shot import score_subject_frame
from vs_training.quality.rolling import ClipPlan, reference_frames

from vs_eval.videos import COLOUR_FRAMES, Video, file_name


def training_region_colours(source: ClipSource, *, frames: int = COLOUR_FRAMES) -> Tensor | None:
    """Return mean colours (regions, 3) of `REGIONS` over frames that are spread evenly over a source; None without."""
    known = [(clip.frames, clip.regions) for clip in spread_frames(source, frames) if clip.regions is not None]
    return class_mean_colours(known, num_classes=len(REGIONS)).colours if known else None


def plan_subjects(source: ClipSource, plans: Sequence[ClipPlan], count: int, training: Tensor | None) -> list[Video]:
    """Plan a video `clip-000-NAME-kCOUNT` of each sequence, from `count` references of it.

    Args:
        source: held-out sequences.
        plans: which of them.
        count: references of each, see `reference_frames`.
        training: (regions, 3) mean colour of each region in the training split, or None where nobody knows regions.
    """
    videos = []
    for index, plan in enumerate(plans):
        info = source.sequences[plan.sequence]
        references = reference_frames(info.frames, count)
        videos.append(
            Video(
                name=info.name,
                stem=f"clip-{index:03d}-{file_name(info.name)}-k{count}",
                plan=plan,
                score=partial(score_subject_frame, references=references, training=training),
                references=references,
            )
        )
    return videos
