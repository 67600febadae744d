"""Steps of a model as functions of flat tensors, each with a name: what is traced, and run beside its trace.

Labels go in as they come (class ids or maps), and become what the network takes within. The past is explicit: an output
`next_X` is the input `X` of the next frame's step.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any, assert_never

import attrs
import torch
import vs_nets as nets
from torch import Tensor, nn
from torch.utils import _pytree as pytree

NEXT = "next_"
"""What the name of an output begins with that is an input of the next step."""

FRAME = "frame"
"""The output that is wanted."""

MOTION = ("flow", "confidence")
"""What goes in beside labels from the second frame on, where flow is given: a `vs_nets.Motion`."""


def takes_motion(generator: nets.AnyGenerator) -> bool:
    """Return whether flow is given to a generator, and estimated by no network."""
    match generator:
        case nets.Generator(config=nets.GeneratorConfig(flow=nets.GivenFlow())):
            return True
        case _:
            return False


def label_dtype(kind: nets.LabelKind) -> torch.dtype:
    """Return how the labels of a kind go in: ids as bytes where these hold them."""
    match kind:
        case nets.ClassMap():
            return torch.uint8 if max(kind.classes - 1, kind.id_of_no_class) < 256 else torch.int32
        case nets.FloatMap():
            return torch.float32
        case _ as never:
            assert_never(never)


def subject_tensors(subject: nets.Subject) -> dict[str, Tensor]:
    """Return the tensors of a subject by name."""
    return {name: leaf for name, leaf in _named_leaves(_parts(subject)) if isinstance(leaf, Tensor)}


def subject_like(form: nets.Subject, tensors: Mapping[str, Tensor]) -> nets.Subject:
    """Return a subject of the form of another one, with the tensors that `subject_tensors` named."""
    parts = _parts(form)
    leaves = [tensors.get(name) for name, _ in _named_leaves(parts)]
    made = pytree.tree_unflatten(leaves, pytree.tree_structure(parts))
    references = nets.References(frames=made["reference_frames"], labels=made["reference_labels"])
    match form:
        case nets.SeparateSubject():
            return attrs.evolve(form, references=references, generated=made["weights"])
        case nets.AttendedSubject():
            return attrs.evolve(form, references=references, features=made["features"], keys=made["keys"])
        case _ as never:
            assert_never(never)


def _parts(subject: nets.Subject) -> dict[str, Any]:
    parts: dict[str, Any] = {
        "reference_frames": subject.references.frames,
        "reference_labels": subject.references.labels,
    }
    match subject:
        case nets.SeparateSubject():
            return {**parts, "weights": subject.generated}
        case nets.AttendedSubject():
            return {**parts, "features": subject.features, "keys": subject.keys}
        case _ as never:
            assert_never(never)


def _named_leaves(parts: Mapping[str, Any]) -> list[tuple[str, Any]]:
    leaves, _ = pytree.tree_flatten_with_path(parts)
    return [("subject_" + re.sub(r"\W+", "_", pytree.keystr(path)).strip("_"), leaf) for path, leaf in leaves]


class SubjectStep(nn.Module):
    """Encoding of a subject: example frames (1, K, 3, H, W) and their labels -> the tensors of `subject_tensors`."""

    def __init__(self, generator: nets.FewShotGenerator, spec: nets.LabelSpec) -> None:
        super().__init__()
        self.generator = generator
        self.spec = spec
        self.inputs = ("reference_frames", *(f"reference_label_{i}" for i in range(len(spec.kinds))))
        self.outputs: tuple[str, ...] = ()
        """Names of what a call has returned."""

    def subject(self, frames: Tensor, *labels: Tensor) -> nets.Subject:
        """Encode it."""
        shape = frames.shape[:2]
        flat = {kind.name: x.flatten(0, 1) for kind, x in zip(self.spec.kinds, labels, strict=True)}
        encoded = nets.encode_labels(self.spec, flat, frames.dtype).unflatten(0, shape)
        return self.generator.encode_references(nets.References(frames=frames, labels=encoded))

    def forward(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        """Take and return flat tensors, in the order of `inputs` and `outputs`."""
        made = subject_tensors(self.subject(*tensors))
        self.outputs = tuple(made)
        return _own(made.values(), tensors)


class FrameStep(nn.Module):
    """One frame after a past of `held` frames, with the past as flat tensors in and out."""

    def __init__(
        self, generator: nets.AnyGenerator, spec: nets.LabelSpec, *, held: int, subject: nets.Subject | None = None
    ) -> None:
        super().__init__()
        self.generator = generator
        self.spec = spec
        self.held = held
        self.form = subject
        past, maps = generator.config.frames - 1, _count_maps(generator)
        self.labels = tuple(f"label_{i}" for i in range(len(spec.kinds)))
        self.motion = MOTION if held and takes_motion(generator) else ()
        known = subject_tensors(subject) if subject else ()
        self.inputs = (*self.labels, *self.motion, *known, *self._past(held, maps))
        self.outputs = (FRAME, *(NEXT + name for name in self._past(min(held + 1, past), maps)))

    def _past(self, held: int, maps: int) -> tuple[str, ...]:
        labels = tuple(f"past_{name}_{t}" for t in range(held) for name in self.labels)
        frames = tuple(f"past_frame_{t}" for t in range(held))
        return (*labels, *frames, *(f"past_map_{i}" for i in range(maps if held else 0)))

    def forward(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        """Take and return flat tensors, in the order of `inputs` and `outputs`."""
        given = dict(zip(self.inputs, tensors, strict=True))
        history = nets.History(
            labels=tuple(self._encoded(given, "past_{}_" + str(t)) for t in range(self.held)),
            frames=tuple(given[f"past_frame_{t}"] for t in range(self.held)),
            maps=tuple(x for name, x in given.items() if name.startswith("past_map_")),
            motion=nets.Motion(**{name: given[name].to(self._dtype) for name in self.motion}) if self.motion else None,
        )
        made = self._generate(self._encoded(given, "{}"), history, given)
        after = {**given, **{f"past_{name}_{self.held}": given[name] for name in self.labels}}
        after |= {f"past_frame_{self.held}": made.frame, **{f"past_map_{i}": x for i, x in enumerate(made.maps)}}
        frame = made.frame.contiguous()
        return (frame, *_own(self._newest(after), (*tensors, made.frame, frame)))

    def _newest(self, after: Mapping[str, Tensor]) -> list[Tensor]:
        """Return the past of the next step, the oldest frame of which falls out when it is full."""
        drop = int(self.held == self.generator.config.frames - 1)
        names = [name.removeprefix(NEXT) for name in self.outputs[1:]]
        return [after[name if "_map_" in name else _later(name, drop)] for name in names]

    def _generate(self, label: Tensor, history: nets.History, given: Mapping[str, Tensor]) -> nets.Synthesis:
        match self.generator, self.form:
            case nets.FewShotGenerator() as generator, form if form is not None:
                return generator(label, history, subject_like(form, given))  # type: ignore[no-any-return]
            case generator, _:
                return generator(label, history)  # type: ignore[no-any-return]

    def _encoded(self, given: Mapping[str, Tensor], named: str) -> Tensor:
        labels = {kind.name: given[named.format(name)] for kind, name in zip(self.spec.kinds, self.labels, strict=True)}
        return nets.encode_labels(self.spec, labels, self._dtype)

    @property
    def _dtype(self) -> torch.dtype:
        """What it computes in."""
        return self.generator.last.weight.dtype


def _later(name: str, by: int) -> str:
    stem, _, index = name.rpartition("_")
    return f"{stem}_{int(index) + by}"


def _count_maps(generator: nets.AnyGenerator) -> int:
    """Return how many tensors the embedding of a label has that the next frame takes."""
    match generator:
        case nets.Generator():
            return generator.config.embedder.downsamples + 1
        case nets.FewShotGenerator():
            return 0
        case _ as never:
            assert_never(never)


def _own(made: Iterable[Tensor], others: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """Return contiguous tensors none of which is one of the others.

    A program whose output is its input confuses formats. AOTInductor reads inputs in the order of memory that it
    traced, whatever order they have: so what goes out and in again is always in the same one.
    """
    taken = {id(x) for x in others}
    return tuple(x.clone(memory_format=torch.contiguous_format) if id(x) in taken else x.contiguous() for x in made)
