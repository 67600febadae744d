"""Frames from labels, one after the other: a pure step with its state in the open, and an object that keeps it.

    model = load_model("street")
    stream = start(model)
    for label in labels:
        frame = stream(label)

`advance` is the step itself: `frame, state = advance(model, label, state)`. A state is a value. It may be kept and gone
on from later, copied by assigning it, saved (`state_tensors`, `restored_state`), and any number of them may take turns.
"""

from collections.abc import Mapping

import attrs
import torch
import vs_nets as nets
import vs_optim as optim
from torch import Tensor
from vs_training.inputs import encode_maps
from vs_training.tensors import map_tensors

from vs_synthesis.errors import VsSynthesisError
from vs_synthesis.model import Model

Labels = Mapping[str, Tensor] | Tensor
"""Labels of one frame: kind -> class ids (N, H, W) or maps (N, C, H, W); of a model with one kind, the tensor alone."""


class StreamError(VsSynthesisError):
    """Labels, references or a state that are not what the model takes."""


@attrs.frozen(kw_only=True, eq=False)
class StreamState:
    """The past that the next frame goes on from.

    Attributes:
        labels: of the newest past frames, oldest first, by kind, as they came, on the model's device.
        frames: (N, 3, H, W) each: what was generated, oldest first.
        maps: the embedding of the newest label, or ().
    """

    labels: tuple[Mapping[str, Tensor], ...] = ()
    frames: tuple[Tensor, ...] = ()
    maps: tuple[Tensor, ...] = ()


def advance(
    model: Model,
    label: Labels,
    state: StreamState,
    subject: nets.Subject | None = None,
    motion: nets.Motion | None = None,
) -> tuple[Tensor, StreamState]:
    """Make the next frame.

    Args:
        model: makes it.
        label: of the frame.
        state: the past; `StreamState()` before the first frame. It is left as it is.
        subject: of a few-shot model, what `encode_subject` returned.
        motion: from the frame before, for a model of given flow; the first frame needs none.

    Returns:
        The frame (N, 3, H, W), float32 in [-1, 1], and the state of the next one.

    Raises:
        StreamError: labels, subject or motion are not what the model takes.
        ShapeError: sizes are not divisible by the stride, or not those of past frames and references.
    """
    synthesis, after = synthesise(model, label, state, subject, motion)
    return synthesis.frame, after


def synthesise(
    model: Model,
    label: Labels,
    state: StreamState,
    subject: nets.Subject | None = None,
    motion: nets.Motion | None = None,
) -> tuple[nets.Synthesis, StreamState]:
    """Do what `advance` does, and return flow, mask and warped frame too."""
    labels = _by_kind(model, label)
    history = nets.History(
        labels=tuple(_encoded(model, past) for past in state.labels),
        frames=state.frames,
        maps=state.maps,
        motion=_checked_motion(model, state, motion),
    )
    with torch.inference_mode(), optim.autocast(model.precision, model.device):
        synthesis = _generate(model, subject)(_encoded(model, labels), history)
    past = model.config.past
    return synthesis, StreamState(
        labels=(*state.labels, labels)[-past:], frames=(*state.frames, synthesis.frame)[-past:], maps=synthesis.maps
    )


def encode_subject(model: Model, frames: Tensor, labels: Labels) -> nets.Subject:
    """Compute what depends on a subject alone, once for all of its frames.

    Args:
        model: a few-shot model.
        frames: (K, 3, H, W) float32 in [-1, 1], or (N, K, 3, H, W): examples of the subject.
        labels: of these, with the same leading dimensions.

    Raises:
        StreamError: the model is no few-shot model, or labels are missing.
        ShapeError: frames and labels do not fit each other or the model.
    """
    match model.generator:
        case nets.FewShotGenerator() as generator:
            pass
        case _:
            raise StreamError("references are of no use: the model is no few-shot model")
    kinds = _named(model, labels)
    if frames.dim() == 4:
        frames, kinds = frames[None], {name: x[None] for name, x in kinds.items()}
    n, k = frames.shape[:2]
    flat = {name: x.to(model.device).flatten(0, 1) for name, x in kinds.items()}
    with torch.inference_mode(), optim.autocast(model.precision, model.device):
        encoded = nets.encode_labels(model.labels, flat).contiguous(memory_format=torch.channels_last)
        pictures = frames.to(model.device).flatten(0, 1).contiguous(memory_format=torch.channels_last)
        return generator.encode_references(
            nets.References(frames=pictures.unflatten(0, (n, k)), labels=encoded.unflatten(0, (n, k)))
        )


class Stream:
    """A stream of frames, which remembers its past; see `start`."""

    def __init__(self, model: Model, subject: nets.Subject | None, state: StreamState) -> None:
        self.model = model
        self.subject = subject
        self.state = state

    def __call__(self, label: Labels, motion: nets.Motion | None = None) -> Tensor:
        """Make the frame of a label: (N, 3, H, W), or (3, H, W) of a label without N, float32 in [-1, 1].

        A model of given flow takes the motion from the frame before too, with N where the label has it.

        Raises:
            StreamError, ShapeError: label or motion are not what the model takes; the stream is as it was.
        """
        batch, motion, single = batched(self.model, label, motion)
        frame, self.state = advance(self.model, batch, self.state, self.subject, motion)
        return frame[0] if single else frame


def start(model: Model, subject: nets.Subject | None = None, *, state: StreamState | None = None) -> Stream:
    """Begin a stream of frames.

    Args:
        model: makes them.
        subject: of a few-shot model, what `encode_subject` returned.
        state: go on from it; None: from nothing.

    Raises:
        StreamError: a few-shot model gets no subject, or another one does.
    """
    _generate(model, subject)
    return Stream(model, subject, StreamState() if state is None else state)


def batched(
    model: Model, label: Labels, motion: nets.Motion | None
) -> tuple[Mapping[str, Tensor], nets.Motion | None, bool]:
    """Return labels by kind and motion with a batch, and whether they came without one, which is a batch of one then.

    Raises:
        StreamError: the labels are not of the kinds that the model takes.
    """
    labels = _named(model, label)
    single = all(x.dim() == _dimensions(model, name) - 1 for name, x in labels.items())
    if not single:
        return labels, motion, False
    return *map_tensors(lambda x: x[None], (dict(labels), motion)), True


def state_tensors(state: StreamState) -> dict[str, Tensor]:
    """Return the tensors of a state by name, to save it; what it is of is not in there: the subject, the model."""
    named = {f"frames.{i}": frame for i, frame in enumerate(state.frames)}
    named |= {f"labels.{i}.{kind}": x for i, labels in enumerate(state.labels) for kind, x in labels.items()}
    return named | {f"maps.{i}": x for i, x in enumerate(state.maps)}


def restored_state(model: Model, tensors: Mapping[str, Tensor]) -> StreamState:
    """Return the state that `state_tensors` named the tensors of.

    Raises:
        StreamError: they are not those of a state of this model.
    """
    here = {name: tensor.to(model.device) for name, tensor in tensors.items()}
    frames = _numbered(here, "frames.{}")
    labels = [
        {kind.name: _found(here, f"labels.{i}.{kind.name}") for kind in model.labels.kinds} for i in range(len(frames))
    ]
    state = StreamState(labels=tuple(labels), frames=frames, maps=_numbered(here, "maps.{}"))
    if len(frames) > model.config.past or state_tensors(state).keys() != tensors.keys():
        raise StreamError("the tensors are not those of a state of this model")
    return state


def _numbered(tensors: Mapping[str, Tensor], name: str) -> tuple[Tensor, ...]:
    count = sum(1 for i in range(len(tensors)) if name.format(i) in tensors)
    return tuple(_found(tensors, name.format(i)) for i in range(count))


def _found(tensors: Mapping[str, Tensor], name: str) -> Tensor:
    if name not in tensors:
        raise StreamError(f"the tensors are not those of a state of this model: there is no {name!r}")
    return tensors[name]


def _generate(model: Model, subject: nets.Subject | None) -> nets.GenerateFrame:
    match model.generator, subject:
        case nets.Generator() as generator, None:
            return generator
        case nets.Generator(), _:
            raise StreamError("references are of no use: the model is no few-shot model")
        case nets.FewShotGenerator(), None:
            raise StreamError("the model is a few-shot model: it needs a subject, see encode_subject")
        case generator, known:
            return lambda label, history: generator(label, history, known)


def _checked_motion(model: Model, state: StreamState, motion: nets.Motion | None) -> nets.Motion | None:
    """Return the motion on the model's device; there is one where the model cannot do without, and only there."""
    if motion is None:
        if state.frames and model.config.takes_motion:
            raise StreamError("the model takes the motion from the frame before beside each label: a vs_nets.Motion")
        return None
    if not model.config.takes_motion:
        raise StreamError("motion is of no use: the model estimates its flow itself")
    return map_tensors(lambda x: x.to(model.device), motion)


def _encoded(model: Model, labels: Mapping[str, Tensor]) -> nets.Label:
    dense = model.config.kind == "few-shot"
    return encode_maps(labels, model.labels, dense=dense, channels_last=True)


def _by_kind(model: Model, label: Labels) -> dict[str, Tensor]:
    """Return the labels of a batch by kind on the model's device."""
    return {name: x.to(model.device) for name, x in _named(model, label).items()}


def _named(model: Model, label: Labels) -> Mapping[str, Tensor]:
    """Return labels by kind, of which there are those that the model takes and no other."""
    kinds = [kind.name for kind in model.labels.kinds]
    match label:
        case Tensor():
            if len(kinds) > 1:
                raise StreamError(f"one tensor given, but the model takes several kinds of label: {', '.join(kinds)}")
            return {kinds[0]: label}
        case _:
            if set(label) != set(kinds):
                given = ", ".join(label) or "no kind"
                raise StreamError(f"labels of {given} given, the model takes {', '.join(kinds)}")
            return label


def _dimensions(model: Model, name: str) -> int:
    """Return how many dimensions a kind of label has in a batch."""
    kind = next(kind for kind in model.labels.kinds if kind.name == name)
    match kind:
        case nets.ClassMap():
            return 3
        case _:
            return 4
