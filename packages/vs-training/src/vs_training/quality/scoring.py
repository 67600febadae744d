"""The pure part of an evaluation: roll a generator over a clip and score every frame of it."""

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import attrs
import torch
import vs_ops
from torch import Tensor
from vs_data import Clip, collate, cut, move
from vs_metrics import (
    PSNR_CAP,
    Average,
    ClassColours,
    absolute_errors,
    average_of,
    combine,
    end_point_errors,
    paint_classes,
    psnr,
    ssim,
    warping_errors,
)
from vs_nets import History, Label, LabelSpec, Motion, Synthesis, class_ids, class_kind, rollout
from vs_nets.synthesis import GenerateFrame

from vs_training import pictures
from vs_training.inputs import encode_label, motion_at
from vs_training.tensors import map_tensors

LEVELS = 127.5
"""Levels of 255 in one unit of a frame in [-1, 1]."""

_CURVES = {"psnr": "psnr", "first_psnr": "psnr", "ssim": "ssim", "first_ssim": "ssim"}
"""Measure -> the curve over the frames of a clip that it is a part of."""


@attrs.frozen(kw_only=True, eq=False)
class EvaluationSpec:
    """A specification of what an evaluation needs to know besides generator and clip.

    Attributes:
        labels: how labels are encoded for the generator.
        past: how many past frames the generator looks at.
        colours: mean colour of each class in the training split, or None when there are no classes.
        device: where the generator is.
    """

    labels: LabelSpec
    past: int
    colours: ClassColours | None = None
    device: torch.device = attrs.field(default=torch.device("cpu"))


@attrs.frozen(kw_only=True, eq=False)
class FrameView:
    """A frame of a rolled out clip beside what is known of it, on the CPU.

    Attributes:
        index: its number within the clip.
        truth: the frame itself, its labels, the teacher's flow and its references, as a clip of this one frame.
        synthesis: what the generator returned; `synthesis.frame` is (1, 3, H, W).
        painted: (1, 3, H, W): every pixel in the mean colour of its class, or None.
        driving: of a subject in somebody else's motion, the frame that it is taken from, as a clip of one frame.
    """

    index: int
    truth: Clip
    synthesis: Synthesis
    painted: Tensor | None = None
    driving: Clip | None = None


@attrs.frozen(kw_only=True, eq=False)
class ChosenReference:
    """The reference of a frame that the generator warped: its frame (1, 3, H, W) and the teacher's flow to it, if any.

    Attributes:
        frame: (1, 3, H, W).
        flow: (1, 2, H, W) from the frame to the reference, or None.
        confidence: (1, 1, H, W), or None.
    """

    frame: Tensor
    flow: Tensor | None = None
    confidence: Tensor | None = None


def chosen_reference(view: FrameView) -> ChosenReference | None:
    """Return the reference that the generator chose for a frame; the first one where it has not said; None without."""
    references = view.truth.references
    if references is None:
        return None
    index = pictures.chosen_reference(view.synthesis)
    return ChosenReference(
        frame=references.frames[index][None],
        flow=None if references.flow is None else references.flow[:, index],
        confidence=None if references.flow_confidence is None else references.flow_confidence[:, index],
    )


@attrs.frozen(kw_only=True)
class ClipScores:
    """The scores of one clip.

    Attributes:
        name: the clip's name.
        frames: number of frames.
        totals: measure -> average over the frames that it exists for (see `measures`); nan or infinite where one of
            them is broken.
        curves: measure -> mean of each scored frame in order, for `psnr/...` and `ssim/...`: how a roll-out drifts.
        broken: numbers of the frames that were generated with values that are not finite, in frame or flow.
    """

    name: str
    frames: int
    totals: Mapping[str, Average]
    curves: Mapping[str, tuple[float, ...]]
    broken: tuple[int, ...] = ()


Watch = Callable[[FrameView], None]

ScoreFrame = Callable[[FrameView, FrameView | None], Mapping[str, Average]]
"""(a frame, the one before it) -> measure -> average; empty for a frame that does not count."""


def evaluate_clip(
    generator: GenerateFrame, clip: Clip, spec: EvaluationSpec, *, watch: Watch | None = None
) -> ClipScores:
    """Roll the generator over a whole clip from its own frames and score every frame.

    Args:
        generator: (encoded label (1, C, H, W), history) -> Synthesis, in evaluation mode and on `spec.device`.
        clip: one clip without N axis.
        spec: what else there is to know.
        watch: called with every frame in order, to draw it.
    """
    return evaluate_pieces(generator, [clip], spec, name=clip.name, watch=watch)


def evaluate_pieces(
    generator: GenerateFrame, pieces: Iterable[Clip], spec: EvaluationSpec, *, name: str, watch: Watch | None = None
) -> ClipScores:
    """Do what `evaluate_clip` does, of a clip in consecutive pieces, for clips that are too long for the memory.

    Only the very first frame of the first piece has no flow (see `vs_data.iterate_sequence`).
    """
    return score_views(roll_out(generator, pieces, spec), name=name, watch=watch)


def score_views(
    views: Iterable[FrameView], *, name: str, score: ScoreFrame | None = None, watch: Watch | None = None
) -> ClipScores:
    """Score the frames of a clip as they are rolled out.

    Args:
        views: see `roll_out`.
        name: the clip's.
        score: what each frame is measured by; `score_frame` unless given.
        watch: called with every frame in order, to draw it.
    """
    score = score or score_frame
    rows: list[Mapping[str, Average]] = []
    broken: list[int] = []
    before: FrameView | None = None
    for view in views:
        rows.append(score(view, before))
        if is_broken(view):
            broken.append(view.index)
        if watch is not None:
            watch(view)
        before = view
    return clip_scores(name, rows, broken)


def clip_scores(name: str, rows: Sequence[Mapping[str, Average]], broken: Sequence[int]) -> ClipScores:
    """Return the scores of a clip from those of each of its frames; `broken`: see `ClipScores`."""
    return ClipScores(name=name, frames=len(rows), totals=_totals(rows), curves=_curves(rows), broken=tuple(broken))


def is_broken(view: FrameView) -> bool:
    """Say whether a frame was generated with values that are not finite, in frame or flow."""
    made = view.synthesis
    parts = (made.frame, made.flow, made.warped, None if made.reference is None else made.reference.flow)
    return not all(bool(part.isfinite().all()) for part in parts if part is not None)


def roll_out(
    generator: GenerateFrame, pieces: Iterable[Clip], spec: EvaluationSpec, driving: Iterable[Clip] | None = None
) -> Iterator[FrameView]:
    """Yield the frames of a clip beside what the generator makes of their labels and its own past frames.

    Args:
        generator: see `evaluate_clip`.
        pieces: the clip in consecutive pieces.
        spec: what else there is to know.
        driving: where the subject is shown in somebody else's motion, the frames that show whoever drives it, as clips
            of one frame; as many as the pieces have.
    """
    # one frame apart at most: labels and motions are taken one by one
    frames, labelled, moving = itertools.tee(single_frames(pieces), 3)
    labels, motions = (_encoded(frame, spec) for frame in labelled), (_motion(frame, spec) for frame in moving)
    rolled = rollout(_without_gradients(generator), labels, past=spec.past, motions=motions)
    drivers: Iterator[Clip | None] = itertools.repeat(None) if driving is None else iter(driving)
    for index, (frame, synthesis) in enumerate(zip(frames, rolled, strict=True)):
        yield FrameView(
            index=index,
            truth=frame,
            synthesis=map_tensors(_on_cpu, attrs.evolve(synthesis, maps=())),
            painted=_painted(frame.labels, spec),
            driving=next(drivers),
        )


def _encoded(frame: Clip, spec: EvaluationSpec) -> Label:
    return encode_label(move(collate([frame]), spec.device), 0, spec.labels, channels_last=True)


def _motion(frame: Clip, spec: EvaluationSpec) -> Motion | None:
    return motion_at(move(collate([frame]), spec.device), 0)


def _without_gradients(generator: GenerateFrame) -> GenerateFrame:
    """Return the generator in inference mode, which ends before whoever takes the frames goes on."""

    def generate(label: Label, history: History) -> Synthesis:
        with torch.inference_mode():
            return generator(label, history)

    return generate


def single_frames(pieces: Iterable[Clip]) -> Iterator[Clip]:
    """Yield every frame of some clips as a clip of its own, in order."""
    for piece in pieces:
        for index in range(piece.frames.shape[0]):
            yield cut(piece, index, index + 1)


def score_frame(view: FrameView, before: FrameView | None) -> dict[str, Average]:
    """Return measure -> average of one frame; the first of a clip has measures of its own, as nothing precedes it."""
    if before is None:
        return image_scores("first_psnr", "first_ssim", view.truth.frames, _candidates(view, None))
    scores = image_scores("psnr", "ssim", view.truth.frames, _candidates(view, before))
    scores |= temporal_scores(view, before)
    return scores | _flow_scores(view, before)


def _candidates(view: FrameView, before: FrameView | None) -> dict[str, Tensor]:
    """Return method -> its version of the frame."""
    frames = {"generated": view.synthesis.frame}
    if view.painted is not None:
        frames["class_mean"] = view.painted
    if before is not None:
        frames["previous"] = before.truth.frames
    return frames


def image_scores(psnr_name: str, ssim_name: str, real: Tensor, candidates: Mapping[str, Tensor]) -> dict[str, Average]:
    """Measure PSNR and SSIM of each method's version of a frame, under the names given."""
    scores = {}
    for method, frame in candidates.items():
        scores[f"{psnr_name}/{method}"] = average_of(psnr(frame, real).clamp_max(PSNR_CAP))
        scores[f"{ssim_name}/{method}"] = average_of(ssim(frame, real))
    return scores


def temporal_scores(view: FrameView, before: FrameView) -> dict[str, Average]:
    """Measure how far each video's frame is from its previous one, moved by the teacher's flow; levels of 255."""
    if view.truth.flow is None or view.truth.flow_confidence is None:
        return {}
    pairs = {
        "generated": (before.synthesis.frame, view.synthesis.frame),
        "real": (before.truth.frames, view.truth.frames),
    }
    if before.painted is not None and view.painted is not None:
        pairs["class_mean"] = (before.painted, view.painted)
    flow, confidence = view.truth.flow.expand(2, -1, -1, -1), view.truth.flow_confidence.expand(2, -1, -1, -1)
    scores = {}
    for method, pair in pairs.items():
        errors, weights = warping_errors(torch.cat(pair), flow, confidence)
        scores[f"warping/{method}"] = average_of(LEVELS * errors[1], weights[1])
    return scores


def _flow_scores(view: FrameView, before: FrameView) -> dict[str, Average]:
    """Measure how good flow and warped frame are, where the generator has them."""
    flow, warped = view.synthesis.flow, view.synthesis.warped
    if flow is None or warped is None:
        return {}
    candidates = {
        "warped_generated": warped,
        "repeated_generated": before.synthesis.frame,
        "warped_real": vs_ops.warp(before.truth.frames, flow),
        "repeated_real": before.truth.frames,
    }
    estimated = None if view.synthesis.given else flow
    scores = flow_errors("epe", estimated, view.truth.flow, view.truth.flow_confidence)
    if view.truth.flow is not None and view.truth.flow_confidence is not None:
        candidates["warped_real_by_teacher"] = vs_ops.warp(before.truth.frames, view.truth.flow)
    for method, frame in candidates.items():
        scores[f"l1/{method}"] = average_of(LEVELS * absolute_errors(frame, view.truth.frames)[0])
    return scores


def flow_errors(name: str, flow: Tensor | None, target: Tensor | None, confidence: Tensor | None) -> dict[str, Average]:
    """Measure a generated flow and no motion by end-point error; none where it or the teacher's flow is missing."""
    if flow is None or target is None or confidence is None:
        return {}
    guesses = {"generated": flow, "zero": torch.zeros_like(flow)}
    return {
        f"{name}/{method}": average_of(*end_point_errors(guess, target, confidence))
        for method, guess in guesses.items()
    }


def _painted(labels: Mapping[str, Tensor], spec: EvaluationSpec) -> Tensor | None:
    kind = class_kind(spec.labels)
    if spec.colours is None or kind is None:
        return None
    return paint_classes(class_ids(labels, kind), spec.colours)


def _on_cpu(x: Tensor) -> Tensor:
    return (x.float() if x.is_floating_point() else x).cpu()


def _totals(rows: Iterable[Mapping[str, Average]]) -> dict[str, Average]:
    gathered: dict[str, list[Average]] = {}
    for row in rows:
        for name, average in row.items():
            gathered.setdefault(name, []).append(average)
    return {name: combine(averages) for name, averages in gathered.items()}


def _curves(rows: Iterable[Mapping[str, Average]]) -> dict[str, tuple[float, ...]]:
    gathered: dict[str, list[float]] = {}
    for row in rows:
        for name, average in row.items():
            measure, _, method = name.partition("/")
            if measure in _CURVES and average.weight > 0:
                gathered.setdefault(f"{_CURVES[measure]}/{method}", []).append(average.total / average.weight)
    return {name: tuple(values) for name, values in gathered.items()}
