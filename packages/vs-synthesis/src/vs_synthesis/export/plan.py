"""Which programs a model is exported as, and a clip made by whatever runs them."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import attrs
import torch
import vs_nets as nets
from torch import Tensor, nn

from vs_synthesis.contents import build_averaged
from vs_synthesis.export.errors import ExportError
from vs_synthesis.export.steps import FRAME, MOTION, NEXT, FrameStep, SubjectStep, label_dtype
from vs_synthesis.export.values import Value, values_of
from vs_synthesis.fit import Size, only_size
from vs_synthesis.model import Model

MAX_SIDE = 8192
"""Largest height and width of a program that takes any size."""


@attrs.frozen(kw_only=True, eq=False)
class Phase:
    """A program: one step of a clip.

    Attributes:
        name: `subject`, `first`, `warmup_1`, ..., `steady`.
        step: what it computes.
        inputs: what it takes, in order.
        outputs: what it returns, in order.
    """

    name: str
    step: nn.Module
    inputs: tuple[Value, ...]
    outputs: tuple[Value, ...]


@attrs.frozen(kw_only=True, eq=False)
class Plan:
    """The programs of a model for frames of one size, or of any.

    Attributes:
        subject: encodes the subject of a few-shot model, once; otherwise None.
        frames: make the first, the second frame and so on; the last of them makes all further ones.
        size: of the frames; None: any from `least` on that the stride divides.
        least: the smallest height and width.
        trained: the size that the model was trained for.
        stride: divides height and width.
    """

    subject: Phase | None
    frames: tuple[Phase, ...]
    size: Size | None
    least: Size
    trained: Size
    stride: int

    @property
    def phases(self) -> tuple[Phase, ...]:
        """All programs, in the order in which a clip needs them."""
        return self.frames if self.subject is None else (self.subject, *self.frames)

    @property
    def traced(self) -> Size:
        """A size that it can be traced at."""
        return self.size or (self.least[0], self.least[1] + self.stride)


def make_plan(model: Model, *, references: int = 1, size: Size | None = None) -> Plan:
    """Plan the programs of a model.

    Args:
        model: on the CPU, in float32.
        references: how many example frames the subject of a few-shot model has.
        size: of the frames; None: any size if the model can take any, else that of its training.

    Raises:
        ExportError: the size is none that the model takes, or references are asked of a model without.
    """
    # As it was trained: what is prepared for inference calls kernels of PyTorch that other formats do not have.
    model = attrs.evolve(model, generator=build_averaged(model.contents))
    config = model.config
    trained, stride = (config.height, config.width), config.generator.stride
    _check(model, references, size)
    size = size or _fixed(model, references)
    least = size or (2 * stride, 2 * stride)
    sizes = [size] if size else [least, (4 * stride, 4 * stride)]
    with torch.inference_mode():
        subject, frames = _phases(model, references, sizes)
    return Plan(subject=subject, frames=frames, size=size, least=least, trained=trained, stride=stride)


def _check(model: Model, references: int, size: Size | None) -> None:
    stride = model.config.generator.stride
    if references != 1 and model.config.kind != "few-shot":
        raise ExportError("--references: the model is no few-shot model; leave it out")
    if size is None:
        return
    if size[0] % stride or size[1] % stride:
        raise ExportError(f"--size {size[0]}x{size[1]}: both must be divisible by the model's stride, {stride}")
    only = only_size(model.config)
    if only is not None and size != only:
        raise ExportError(f"--size {size[0]}x{size[1]}: this model makes frames of {only[0]}x{only[1]} only")


def _fixed(model: Model, references: int) -> Size | None:
    """Return the size of programs that cannot take any; None: they can.

    They cannot where a side has no two tiles of the stride, or where references are compared by their labels: these are
    shrunk by a pooling that formats know for one size only.
    """
    trained, compares = (model.config.height, model.config.width), False
    match model.generator:
        case nets.FewShotGenerator(config=config):
            compares = references > 1 and config.weights.attention is None
        case _:
            pass
    one = compares or min(trained) < 2 * model.config.generator.stride
    return only_size(model.config) or (trained if one else None)


def _phases(model: Model, references: int, sizes: Sequence[Size]) -> tuple[Phase | None, tuple[Phase, ...]]:
    """Run a clip at each of the sizes, to see which tensors go in and come out."""
    subject: Phase | None = None
    form: nets.Subject | None = None
    names = (*_label_names(model), *(MOTION if model.config.takes_motion else ()))
    known = {name: [_blank(name, model, size) for size in sizes] for name in names}
    match model.generator:
        case nets.FewShotGenerator() as generator:
            step = SubjectStep(generator, model.labels)
            given = {name: [_blank(name, model, size, references) for size in sizes] for name in step.inputs}
            form = step.subject(*(tensors[0] for tensors in given.values()))
            subject, made = _tried("subject", step, given, sizes)
            known |= made
        case _:
            pass
    frames = []
    for held in range(model.config.past + 1):
        step_of_frame = FrameStep(model.generator, model.labels, held=held, subject=form)
        given = {name: known[name] for name in step_of_frame.inputs}
        phase, made = _tried(_name(held, model.config.past), step_of_frame, given, sizes)
        known |= {name.removeprefix(NEXT): tensors for name, tensors in made.items() if name.startswith(NEXT)}
        frames.append(phase)
    return subject, tuple(frames)


def _name(held: int, past: int) -> str:
    return "first" if held == 0 else "steady" if held == past else f"warmup_{held}"


def _tried(
    name: str, step: SubjectStep | FrameStep, given: Mapping[str, Sequence[Tensor]], sizes: Sequence[Size]
) -> tuple[Phase, dict[str, list[Tensor]]]:
    """Run a step at each of the sizes; return the phase, and what came out by name."""
    results = [step(*tensors) for tensors in zip(*given.values(), strict=True)]
    made = {output: [each[i] for each in results] for i, output in enumerate(step.outputs)}
    return Phase(name=name, step=step, inputs=values_of(given, sizes), outputs=values_of(made, sizes)), made


def _label_names(model: Model) -> list[str]:
    return [f"label_{i}" for i in range(len(model.labels.kinds))]


def _blank(name: str, model: Model, size: Size, references: int | None = None) -> Tensor:
    """Return zeros of the shape of a label, of motion or of references."""
    leading = (1,) if references is None else (1, references)
    if name == "reference_frames":
        return torch.zeros(*leading, 3, *size)
    if name in MOTION:
        return torch.zeros(*leading, 2 if name == "flow" else 1, *size)
    kind = model.labels.kinds[int(name.rpartition("_")[2])]
    channels = () if isinstance(kind, nets.ClassMap) else (kind.channels,)
    return torch.zeros(*leading, *channels, *size, dtype=label_dtype(kind))


@attrs.frozen(kw_only=True, eq=False)
class Made:
    """A frame of a clip, with the phase that made it and what went in."""

    phase: Phase
    inputs: tuple[Tensor, ...]
    frame: Tensor


RunPhase = Callable[[Phase, Sequence[Tensor]], Sequence[Tensor]]
"""Runs a program of a plan, in whatever form it is."""


def roll(
    plan: Plan, run: RunPhase, labels: Iterable[Mapping[str, Tensor]], references: Mapping[str, Tensor]
) -> Iterator[Made]:
    """Make a clip with the programs of a plan from its own frames.

    Args:
        plan: the programs.
        run: runs one of them.
        labels: of each frame, by the name of their input, and its motion, where the model takes it.
        references: of the subject, by name of their input; empty where there is none.
    """
    known: dict[str, Tensor] = {}
    if plan.subject is not None:
        made = run(plan.subject, [references[value.name] for value in plan.subject.inputs])
        known = _named(plan.subject, made)
    for t, label in enumerate(labels):
        phase = plan.frames[min(t, len(plan.frames) - 1)]
        values = {**known, **label}
        inputs = tuple(values[value.name] for value in phase.inputs)
        outputs = _named(phase, run(phase, inputs))
        known |= {name.removeprefix(NEXT): x for name, x in outputs.items() if name.startswith(NEXT)}
        yield Made(phase=phase, inputs=inputs, frame=outputs[FRAME])


def _named(phase: Phase, outputs: Sequence[Tensor]) -> dict[str, Tensor]:
    return {value.name: x for value, x in zip(phase.outputs, outputs, strict=True)}
