"""What videos are measured by: all that an evaluation shows of generated frames, by the functions that it calls."""

from collections.abc import Callable, Sequence
from typing import Literal

import attrs
import torch
from torch import Tensor
from vs_data import HEAD_REGIONS, REGIONS, ClipSource, spread_frames
from vs_metrics import (
    GRID_PERIOD,
    PSNR_CAP,
    average_of,
    class_scores,
    confusions,
    distance_changes,
    flicker_errors,
    flow_changes,
    grid_amplitudes,
    grid_tiles,
    head_mask,
    identity_distances,
    masked_psnr,
    masked_ssim,
    mean_iou,
    mean_of,
    psnr,
    ssim,
    tile_amplitudes,
    warping_errors,
)
from vs_metrics.features import I3d, Inception, Lpips, VideoMae
from vs_nets import ClassMap, LabelSpec, class_ids, class_kind
from vs_training.quality.features import FeatureNetworks, Features, set_metrics
from vs_training.quality.few_shot import COLOUR_REGIONS
from vs_training.quality.measures import Measure, measure_of
from vs_training.quality.motion import estimate_flow
from vs_training.quality.reader import (
    TRAINING_FRAMES,
    LabelReader,
    examples_of,
    read,
    smaller_frames,
    smaller_ids,
    train_reader,
)
from vs_training.quality.reading import LABEL_IOU, Readable, read_ids, readable_labels
from vs_training.quality.scoring import LEVELS
from vs_training.quality.sets import SetMeasure
from vs_training.quality.still_grid import STILL_GRID

from vs_bench.ruler.scenes import Scene

ESTIMATED = ", DIS flow"
"""What is added to the title of a metric that is given estimated flow instead of the exact one."""


@attrs.frozen(kw_only=True)
class Metric:
    """A metric: what it is called, and which way is better."""

    name: str
    title: str
    unit: str
    better: Literal["higher", "lower"]
    digits: int


@attrs.frozen(kw_only=True, eq=False)
class Judges:
    """The judges of a world's frames, besides frames and flow.

    Attributes:
        kind: the classes of its labels, or None.
        readable: what a reader reads, or None: then there is no reader.
        reader: trained on the world's own frames.
        networks: feature networks, as far as they were given.
    """

    kind: ClassMap | None = None
    readable: Readable | None = None
    reader: LabelReader | None = None
    networks: FeatureNetworks = attrs.field(factory=FeatureNetworks)


def metric_of(name: str) -> Metric:
    """Return what is known of a metric that is measured of each clip."""
    match name:
        case "still_grid":
            return of_measure(STILL_GRID, title="grid that stays")
        case "label_iou":
            return of_measure(LABEL_IOU)
        case "warping_estimated" | "flicker_estimated":
            measure = measure_of(name.partition("_")[0])
            return attrs.evolve(of_measure(measure, title=measure.title + ESTIMATED), name=name)
        case "class_psnr" | "class_ssim" | "class_l1":
            measure = measure_of(name)
            return of_measure(measure, title=f"{measure.title}, mean over classes")
        case _:
            return of_measure(measure_of(name))


def of_measure(measure: Measure | SetMeasure, title: str | None = None) -> Metric:
    """Return a measure of evaluations as a metric."""
    return Metric(
        name=measure.name,
        title=title or measure.title,
        unit=measure.unit,
        better=measure.better,
        digits=measure.digits,
    )


def judges_of(
    labels: LabelSpec, training: ClipSource, networks: FeatureNetworks, *, steps: int, tell: Callable[[int, int], None]
) -> Judges:
    """Return what measures frames of a world; its labels are read by a reader that is trained here.

    Args:
        labels: of the world.
        training: the world's training split, which the reader learns from.
        networks: feature networks, as far as they were given.
        steps: how long the reader learns.
        tell: is told the steps that are done, and how many there are.
    """
    readable, reader = readable_labels(labels), None
    if readable is not None:
        examples = examples_of(spread_frames(training, TRAINING_FRAMES), readable)
        reader = train_reader(examples, readable.classes, seed=0, tell=tell, steps=steps)
    return Judges(kind=class_kind(labels), readable=readable, reader=reader, networks=networks)


def clip_values(scene: Scene, frames: Tensor, judges: Judges) -> dict[str, float]:
    """Return metric -> its mean over some version (T, 3, H, W) of a scene's frames, as an evaluation has it.

    In a head PSNR and SSIM are means over all frames that show it: no reference is there that it could have moved from.
    """
    real = scene.clip.frames
    values = {
        "psnr": mean_of(average_of(psnr(frames, real).clamp_max(PSNR_CAP))),
        "ssim": mean_of(average_of(ssim(frames, real))),
        **_temporal_values(scene, frames),
        "grid": LEVELS * float(grid_amplitudes(frames).mean()),
        "still_grid": LEVELS * float(tile_amplitudes(grid_tiles(frames, GRID_PERIOD).mean(dim=0))),
    }
    values |= _class_values(scene, frames, judges)
    values |= _person_values(scene, frames)
    lpips = judges.networks.lpips
    return values if lpips is None else values | _lpips_values(lpips, frames, real)


def _temporal_values(scene: Scene, frames: Tensor) -> dict[str, float]:
    clip = scene.clip
    if clip.flow is None or clip.flow_confidence is None:
        raise ValueError(f"{clip.name} has no flow")
    values = {}
    motions = {"": (clip.flow, clip.flow_confidence), "_estimated": (scene.flow, scene.confidence)}
    for suffix, (flow, confidence) in motions.items():
        values[f"warping{suffix}"] = LEVELS * mean_of(average_of(*warping_errors(frames, flow, confidence)))
        values[f"flicker{suffix}"] = LEVELS * mean_of(average_of(*flicker_errors(frames, flow, confidence)))
    return {**values, "tof": mean_of(average_of(*flow_changes(frames, clip.frames, estimate_flow)))}


def _class_values(scene: Scene, frames: Tensor, judges: Judges) -> dict[str, float]:
    """Measure classes each by itself, all that are seen counting alike, and what a reader reads."""
    values: dict[str, float] = {}
    if judges.kind is not None:
        ids = class_ids(scene.clip.labels, judges.kind)
        found = class_scores(frames, scene.clip.frames, ids, judges.kind.classes)
        seen = found.pixels.sign()
        values["class_psnr"] = _mean_over_classes(found.psnr, seen)
        values["class_ssim"] = _mean_over_classes(found.ssim, seen)
        values["class_l1"] = LEVELS * _mean_over_classes(found.l1, found.pixels)
    if judges.reader is not None and judges.readable is not None:
        truth = smaller_ids(read_ids(scene.clip.labels, judges.readable))
        seen = read(judges.reader, smaller_frames(frames))
        values["label_iou"] = float(mean_iou(confusions(seen, truth, judges.readable.classes)))
    return values


def _mean_over_classes(scores: Tensor, weights: Tensor) -> float:
    """Return the mean over classes of each one's weighted mean over frames, (T, classes) both."""
    total = weights.sum(dim=0)
    means = (scores * weights).sum(dim=0)[total > 0] / total[total > 0]
    return float(means.mean())


def _person_values(scene: Scene, frames: Tensor) -> dict[str, float]:
    """Measure the head, and the colours that say who somebody is; nothing where a world does not know them."""
    real, regions = scene.clip.frames, scene.clip.regions
    if regions is None:
        return {}
    head = head_mask(regions, HEAD_REGIONS)
    values = {}
    for name, function in (("head_psnr", masked_psnr), ("head_ssim", masked_ssim)):
        scores, seen = function(frames, real, head)
        values[name] = mean_of(average_of(scores.clamp_max(PSNR_CAP), seen.sign()))
    known = [REGIONS.index(name) for name in COLOUR_REGIONS]
    found = identity_distances(frames, real, regions, torch.zeros(len(REGIONS), 3))
    return {**values, "colour": mean_of(average_of(found.to_subject[:, known], found.weights[:, known]))}


def _lpips_values(network: Lpips, frames: Tensor, real: Tensor) -> dict[str, float]:
    with torch.inference_mode():
        return {
            "lpips": mean_of(average_of(network(frames, real))),
            "tlp": mean_of(average_of(*distance_changes(frames, real, network))),
        }


def features_of(networks: FeatureNetworks, frames: Tensor, side: str) -> Features:
    """Return the features (N, D) of frames, or of windows of frames, in each network, as an evaluation gathers them."""
    with torch.inference_mode():
        return {f"{name}/{side}": _rows(network, frames) for name, network in networks.of_sets.items()}


def _rows(network: Inception | I3d | VideoMae, frames: Tensor) -> Tensor:
    inputs = frames
    match network:
        case I3d() | VideoMae():
            length = network.config.frames
            inputs = frames[: len(frames) // length * length].unflatten(0, (-1, length))
        case Inception():
            pass
    rows: Tensor = network(inputs) if len(inputs) else torch.zeros(0, network.num_features)
    return rows


def set_values(networks: FeatureNetworks, real: Sequence[Features], made: Sequence[Features]) -> dict[Metric, float]:
    """Return the distances of all clips together, FID among them; nan where they refuse so few frames."""
    clips = [{**a, **b} for a, b in zip(real, made, strict=True)]
    return {of_measure(found.measure): found.value for found in set_metrics(networks, clips)}
