"""The pure part of an evaluation: roll a generator over a clip and score every frame of it."""

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import attrs
import torch
import vs_ops
from torch import Tensor
from vs_data import REGIONS, Clip, collate, cut, move
from vs_metrics import (
    FLICKER_FRAMES,
    GRID_PERIOD,
    PSNR_CAP,
    Average,
    ClassColours,
    absolute_errors,
    average_of,
    class_scores,
    combine,
    end_point_errors,
    flicker_errors,
    flow_changes,
    grid_amplitudes,
    masked_psnr,
    paint_classes,
    psnr,
    ssim,
    warping_errors,
)
from vs_nets import ClassMap, History, Label, LabelSpec, Motion, Synthesis, class_ids, class_kind, rollout
from vs_nets.synthesis import GenerateFrame

from vs_training import pictures
from vs_training.inputs import encode_label, motion_at
from vs_training.quality.motion import estimate_flow
from vs_training.tensors import map_tensors

LEVELS = 127.5
"""Levels of 255 in one unit of a frame in [-1, 1]."""

MOVING = 0.5
"""What the teacher's flow moves by more, pixels, is moving."""

GRID_LEAST = 3 * GRID_PERIOD
"""Sides of a picture, pixels, below which its grid is not measured: nothing would repeat often enough."""

_BACKGROUND = REGIONS.index("background")

_CURVES = {
    **{name: name for name in ("psnr", "ssim", "warping", "flicker", "tof", "grid")},
    "first_psnr": "psnr",
    "first_ssim": "ssim",
}
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
        curves: measure -> mean of each frame in order that has it (see `_CURVES`): how
            a roll-out drifts.
        broken: numbers of the frames that were generated with values that are not finite, in frame or flow.
        sums: numbers that add up over frames and clips, by name, that metrics of sets are made from (`quality.sets`).
    """

    name: str
    frames: int
    totals: Mapping[str, Average]
    curves: Mapping[str, tuple[float, ...]]
    broken: tuple[int, ...] = ()
    sums: Mapping[str, tuple[float, ...]] = attrs.field(factory=dict)


Watch = Callable[[FrameView], None]

AddUp = Callable[[FrameView], Mapping[str, Tensor]]
"""A frame -> what it adds to `ClipScores.sums`, tensors of any shape."""

MEMORY = FLICKER_FRAMES - 1
"""Frames before a frame that its scores look at."""

ScoreFrame = Callable[[FrameView, Sequence[FrameView]], Mapping[str, Average]]
"""(a frame, those before it, the newest last, at most `MEMORY`) -> measure -> average; empty: it does not count."""


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
    views: Iterable[FrameView],
    *,
    name: str,
    score: ScoreFrame | None = None,
    add: AddUp | None = None,
    watch: Watch | None = None,
) -> ClipScores:
    """Score the frames of a clip as they are rolled out.

    Args:
        views: see `roll_out`.
        name: the clip's.
        score: what each frame is measured by; `score_frame` unless given.
        add: what is added up of all frames that have scores and are not broken, if anything.
        watch: called with every frame in order, to draw it.
    """
    rows: list[Mapping[str, Average]] = []
    broken: list[int] = []
    sums: dict[str, Tensor] = {}
    for view, row in scored_views(views, score or score_frame):
        rows.append(row)
        if is_broken(view):
            broken.append(view.index)
        elif add is not None and row:
            sums = {key: sums.get(key, 0) + value.double() for key, value in add(view).items()}
        if watch is not None:
            watch(view)
    return clip_scores(name, rows, broken, sums)


def scored_views(views: Iterable[FrameView], score: ScoreFrame) -> Iterator[tuple[FrameView, Mapping[str, Average]]]:
    """Yield each frame as it is rolled out, with its scores."""
    past: tuple[FrameView, ...] = ()
    for view in views:
        yield view, score(view, past)
        past = (*past, view)[-MEMORY:]


def clip_scores(
    name: str,
    rows: Sequence[Mapping[str, Average]],
    broken: Sequence[int],
    sums: Mapping[str, Tensor] | None = None,
) -> ClipScores:
    """Return the scores of a clip from those of each of its frames; `broken`, `sums`: see `ClipScores`."""
    return ClipScores(
        name=name,
        frames=len(rows),
        totals=_totals(rows),
        curves=_curves(rows),
        broken=tuple(broken),
        sums={key: tuple(value.flatten().tolist()) for key, value in (sums or {}).items()},
    )


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


def score_frame(view: FrameView, past: Sequence[FrameView], *, classes: ClassMap | None = None) -> dict[str, Average]:
    """Return measure -> average of one frame; the first of a clip has measures of its own, as nothing precedes it.

    Args:
        view: the frame.
        past: see `ScoreFrame`.
        classes: the kind of label whose classes have scores of their own, or None.
    """
    if not past:
        return image_scores("first_psnr", "first_ssim", view.truth.frames, _candidates(view, None))
    before = past[-1]
    candidates = _candidates(view, before)
    scores = image_scores("psnr", "ssim", view.truth.frames, candidates)
    scores |= _person_scores(view.truth, candidates)
    scores |= temporal_scores(view, past)
    scores |= _flow_scores(view, before)
    return scores | ({} if classes is None else score_classes(view, classes))


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


def _person_scores(truth: Clip, candidates: Mapping[str, Tensor]) -> dict[str, Average]:
    """Measure PSNR over the pixels that show a person, in frames whose regions are known."""
    if truth.regions is None:
        return {}
    person = (truth.regions != _BACKGROUND).float().unsqueeze(-3)
    found = {method: masked_psnr(frame, truth.frames, person) for method, frame in candidates.items()}
    return {
        f"person_psnr/{method}": average_of(loud.clamp_max(PSNR_CAP), (seen > 0).float())
        for method, (loud, seen) in found.items()
    }


def temporal_scores(view: FrameView, past: Sequence[FrameView]) -> dict[str, Average]:
    """Measure how videos change up to a frame, beside the real one, and the grid in it."""
    scores = _grid_scores(view) | _flow_change(view, past[-1])
    views = (*past, view)
    motions = [motion for each in views if (motion := _motion_of(each)) is not None]
    if len(motions) < len(views):
        return scores
    flow, confidence = (torch.cat(parts) for parts in zip(*motions, strict=True))
    for method, frames in _videos(views).items():
        errors, weights = warping_errors(frames[-2:], flow[-2:], confidence[-2:])
        scores[f"warping/{method}"] = average_of(LEVELS * errors[-1], weights[-1])
        if len(views) >= FLICKER_FRAMES:
            errors, weights = flicker_errors(frames, flow, confidence)
            scores[f"flicker/{method}"] = average_of(LEVELS * errors[-1], weights[-1])
    return scores


def _motion_of(view: FrameView) -> tuple[Tensor, Tensor] | None:
    flow, confidence = view.truth.flow, view.truth.flow_confidence
    return None if flow is None or confidence is None else (flow, confidence)


def _videos(views: Sequence[FrameView]) -> dict[str, Tensor]:
    """Return method -> its version of some frames (T, 3, H, W)."""
    videos = {
        "generated": torch.cat([view.synthesis.frame for view in views]),
        "real": torch.cat([view.truth.frames for view in views]),
    }
    painted = [view.painted for view in views if view.painted is not None]
    return videos if len(painted) < len(views) else {**videos, "class_mean": torch.cat(painted)}


def _grid_scores(view: FrameView) -> dict[str, Average]:
    """Measure the grid of up-sampling; none in pictures too small for it."""
    if min(view.truth.frames.shape[-2:]) < GRID_LEAST:
        return {}
    frames = {"generated": view.synthesis.frame, "real": view.truth.frames}
    return {f"grid/{method}": average_of(LEVELS * grid_amplitudes(frame)) for method, frame in frames.items()}


def _flow_change(view: FrameView, before: FrameView) -> dict[str, Average]:
    """Measure tOF by OpenCV's DIS; none in a video that is broken."""
    if is_broken(view) or is_broken(before):
        return {}
    generated = torch.cat([before.synthesis.frame, view.synthesis.frame])
    real = torch.cat([before.truth.frames, view.truth.frames])
    errors, weights = flow_changes(generated, real, estimate_flow)
    return {"tof/generated": average_of(errors[1], weights[1])}


def score_classes(view: FrameView, kind: ClassMap) -> dict[str, Average]:
    """Measure each class of a frame by itself: `class_psnr/ID`, `class_ssim/ID`, `class_l1/ID` in levels of 255.

    PSNR and SSIM are means over the frames that show enough of the class, the difference one over its pixels.
    """
    found = class_scores(view.synthesis.frame, view.truth.frames, class_ids(view.truth.labels, kind), kind.classes)
    scores = {}
    for number, pixels in enumerate(found.pixels[0]):
        if pixels:
            seen = pixels.sign()
            scores[f"class_psnr/{number}"] = average_of(found.psnr[0, number], seen)
            scores[f"class_ssim/{number}"] = average_of(found.ssim[0, number], seen)
            scores[f"class_l1/{number}"] = average_of(LEVELS * found.l1[0, number], pixels)
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
    estimated, confidence = None if view.synthesis.given else flow, view.truth.flow_confidence
    scores = flow_errors("epe", estimated, view.truth.flow, confidence)
    scores |= flow_errors("moving_epe", estimated, view.truth.flow, _where_moving(view.truth.flow, confidence))
    if view.truth.flow is not None and view.truth.flow_confidence is not None:
        candidates["warped_real_by_teacher"] = vs_ops.warp(before.truth.frames, view.truth.flow)
    for method, frame in candidates.items():
        scores[f"l1/{method}"] = average_of(LEVELS * absolute_errors(frame, view.truth.frames)[0])
    return scores


def _where_moving(flow: Tensor | None, confidence: Tensor | None) -> Tensor | None:
    """Return the confidence in a flow where it is longer than `MOVING`, 0 elsewhere."""
    if flow is None or confidence is None:
        return None
    return confidence * (flow.square().sum(dim=-3, keepdim=True) > MOVING**2)


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
