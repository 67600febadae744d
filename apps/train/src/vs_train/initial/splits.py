"""What of some data is held out, so that a model is looked at and scored on what it has not seen."""

import math
from collections.abc import Sequence

from vs_data import VideoConfig
from vs_data.findings import counted
from vs_data.survey import Survey

from vs_train.initial.draft import Choice

_PART = 0.1  # of the sequences, or of a video
_MOST = 20  # sequences
_FEW = 4  # sequences; of fewer none is held out
_SECONDS = 10.0  # of a video at most
_WORTH = 8  # frames of a video at least: fewer are not worth holding out
_LEFT = 0.75  # of a video at least, to train on


def held_out(found: Survey) -> Choice | None:
    """Choose what is held out: a root beside, the last sequences, or the end of each video; None: nothing is."""
    if found.place.val_root is not None:
        why = "held out: the folder beside the training data"
        return Choice(path="data.val_root", value=found.place.val_root, why=why)
    count = len(found.sequences)
    if count >= _FEW:
        last = min(max(1, round(_PART * count)), _MOST)
        return Choice(path="data.val_sequences", value=last, why=f"the last of {count} sequences are held out")
    seconds = _seconds(found)
    if seconds:
        return Choice(path="data.val_seconds", value=seconds, why="the end of each video is held out")
    return None


def too_few(found: Survey) -> str:
    """Say of what nothing is held out, since there is too little of it."""
    known = [seconds for seconds in found.seconds if seconds is not None]
    if found.place.stored is VideoConfig and known:
        return f"videos as short as {min(known):.1f} s"
    return counted(len(found.sequences), "sequence")


def _seconds(found: Survey) -> float:
    """Return how many seconds of each video are held out; 0 where it is none, or too short."""
    known = [seconds for seconds in found.seconds if seconds is not None]
    if found.place.stored is not VideoConfig or not known:
        return 0.0
    rates = [sequence.frames / lasts for sequence, lasts in zip(found.sequences, known, strict=True)]
    part = max(_PART * min(known), _WORTH / min(rates))
    seconds = math.ceil(10 * min(_SECONDS, part) - 1e-6) / 10
    return seconds if seconds <= (1 - _LEFT) * min(known) else 0.0


def frames_left(found: Survey, held: Choice | None) -> Sequence[int]:
    """Return the frames of each sequence that are trained on, without what is held out."""
    lengths = [sequence.frames for sequence in found.sequences]
    match held:
        case Choice(path="data.val_sequences", value=int() as last):
            return lengths[:-last]
        case Choice(path="data.val_seconds", value=float() as end):
            rates = [frames / (lasts or 1) for frames, lasts in zip(lengths, found.seconds, strict=True)]
            return [frames - round(end * rate) for frames, rate in zip(lengths, rates, strict=True)]
        case _:
            return lengths
