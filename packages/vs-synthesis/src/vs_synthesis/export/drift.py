"""How far an exported model and the model itself come apart on their own output, frame after frame."""

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import attrs
import torch
import vs_nets as nets
import vs_optim as optim
from torch import Tensor

from vs_synthesis.export.formats import RunProgram
from vs_synthesis.export.plan import Made, Phase, Plan, roll
from vs_synthesis.export.steps import MOTION
from vs_synthesis.export.walk import subject_of_walk, walk
from vs_synthesis.fit import Size
from vs_synthesis.model import Model
from vs_synthesis.stream import encode_subject, start

TOLERANCE = 2 / 255
"""Largest difference of a pixel that passes, in frames from -1 to 1: one step of a picture of bytes."""

_LOST = TOLERANCE / 10
"""Distance of float32 from float64 from which on the model blows rounding up: no two ways of rounding stay together."""


@attrs.frozen(kw_only=True)
class Deviation:
    """Differences of two clips, frame by frame: of the worst pixel, and of all in the mean."""

    largest: tuple[float, ...]
    mean: tuple[float, ...]


@attrs.frozen(kw_only=True, eq=False)
class Drift:
    """A closed loop of an export beside the model.

    Frames count in closed loop as long as the model in float32 stays by its exact self. From where it does not,
    rounding alone makes other clips, and each frame counts against what the model makes from the same past.

    Attributes:
        size: of the frames.
        exported: the export against the model in float32.
        rounding: the model in float32 against itself in float64.
        closed: how many frames counted in closed loop.
        bad: the first frame that is too far off, as the export made it; None: there is none.
    """

    size: Size
    exported: Deviation
    rounding: Deviation
    closed: int
    bad: Made | None = None

    def document(self) -> dict[str, Any]:
        """Return it as the manifest has it."""
        return {
            "size": list(self.size),
            "frames": len(self.exported.largest),
            "frames_in_closed_loop": self.closed,
            "tolerance": TOLERANCE,
            "export_to_float32": _document(self.exported),
            "float32_to_float64": _document(self.rounding),
        }


def _document(curve: Deviation) -> dict[str, list[float]]:
    return {name: [float(f"{x:.3g}") for x in values] for name, values in attrs.asdict(curve).items()}


def measure_drift(
    model: Model,
    plan: Plan,
    programs: Mapping[str, RunProgram],
    *,
    size: Size,
    frames: int,
    watch: Callable[[], None] = lambda: None,
) -> Drift:
    """Let an export run on its own output, beside the model in float32 and float64, up to a frame that is too far off.

    Args:
        model: what was exported, in float32.
        plan: its programs.
        programs: what runs them, by their names.
        size: of the frames.
        frames: how many.
        watch: is called for each.
    """
    clip = list(walk(model.labels, size, frames, motion=model.config.takes_motion))
    count = 0 if plan.subject is None else plan.subject.inputs[0].shape[1]
    subject = subject_of_walk(model.labels, size, count) if isinstance(count, int) and count else {}
    exported = roll(plan, lambda phase, inputs: programs[phase.name](*inputs), clip, subject)
    off: list[tuple[float, float]] = []
    rounding: list[tuple[float, float]] = []
    closed, bad = 0, None
    for made, single, exact in zip(exported, _streamed(model, clip, subject), _exact(plan, clip, subject), strict=True):
        off.append(_difference(made.frame, single))
        rounding.append(_difference(single, exact))
        watch()
        stays = closed == len(off) - 1 and rounding[-1][0] <= _LOST
        closed += stays
        largest = off[-1][0] if stays else _difference(made.frame, made.phase.step(*made.inputs)[0])[0]
        if not largest <= TOLERANCE:  # also where it is not a number
            bad = made
            break
    return Drift(size=size, exported=_deviation(off), rounding=_deviation(rounding), closed=closed, bad=bad)


def _difference(one: Tensor, other: Tensor) -> tuple[float, float]:
    apart = (one.double() - other.double()).abs()
    return float(apart.max()), float(apart.mean())


def _deviation(differences: Sequence[tuple[float, float]]) -> Deviation:
    largest, mean = zip(*differences, strict=True)
    return Deviation(largest=largest, mean=mean)


def _streamed(model: Model, clip: Sequence[Mapping[str, Tensor]], subject: Mapping[str, Tensor]) -> Iterator[Tensor]:
    """Make the clip as everybody does who has the model."""
    kinds = [kind.name for kind in model.labels.kinds]
    known: nets.Subject | None = None
    if subject:
        labels = {kind: subject[f"reference_label_{i}"] for i, kind in enumerate(kinds)}
        known = encode_subject(model, subject["reference_frames"], labels)
    stream = start(model, known)
    for label in clip:
        motion = nets.Motion(**{name: label[name] for name in MOTION}) if model.config.takes_motion else None
        yield stream({kind: label[f"label_{i}"] for i, kind in enumerate(kinds)}, motion)


def _exact(plan: Plan, clip: Sequence[Mapping[str, Tensor]], subject: Mapping[str, Tensor]) -> Iterator[Tensor]:
    """Make the clip in float64."""
    wide = {phase.name: copy.deepcopy(phase.step).double() for phase in plan.phases}

    def run(phase: Phase, inputs: Sequence[Tensor]) -> Sequence[Tensor]:
        with torch.inference_mode(), optim.wide_islands():
            outputs: Sequence[Tensor] = wide[phase.name](*inputs)
            return outputs

    doubled = {name: x.double() if name == "reference_frames" else x for name, x in subject.items()}
    return (made.frame for made in roll(plan, run, clip, doubled))


def summary(drift: Drift) -> list[tuple[int, tuple[float, ...]]]:
    """Return rows for a table: number of the frame, largest and mean of both curves, at 1, 3, 10, ... and the last."""
    last = len(drift.exported.largest)
    shown = sorted({n for n in (1, 3, 10, 30, 100, 300, 1000, 3000) if n < last} | {last})
    curves = (drift.exported.largest, drift.exported.mean, drift.rounding.largest, drift.rounding.mean)
    return [(n, tuple(curve[n - 1] for curve in curves)) for n in shown]
