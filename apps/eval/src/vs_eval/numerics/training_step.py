"""The step that is audited: what training does to each frame of a clip, but for the updates themselves."""

import copy
from collections.abc import Mapping
from typing import Any, TypeVar

import attrs
import torch
import vs_nets as nets
from torch import Tensor
from torch.utils import _pytree as pytree
from vs_data import Clip

from vs_eval.numerics.execution import Execution, Networks, Step

GENERATOR, DISCRIMINATOR, PERCEPTUAL = "generator", "discriminator", "perceptual"
"""The networks of a step, by name; the last one only where there is a perceptual loss."""

Item = TypeVar("Item")


@attrs.frozen(kw_only=True, eq=False)
class Frame:
    """One frame of a clip (N, T, ...) with its past, in float32: what a step takes in, whatever it computes in."""

    label: nets.Label
    target: nets.Target
    references: nets.References | None
    labels_before: tuple[nets.Label, ...]
    frames_before: tuple[Tensor, ...]
    real_before: tuple[Tensor, ...]


def frames_of(clip: Clip, labels: nets.LabelSpec, generator: nets.AnyGenerator) -> list[Frame]:
    """The frames of a batched clip. The past is what the generator itself makes of them, in float32 and evaluation."""
    count = clip.frames.shape[1]
    encode = nets.keep_class_ids if clip.references is None else nets.encode_labels
    encoded = [encode(labels, {name: x[:, t] for name, x in clip.labels.items()}) for t in range(count)]
    references = encode_references(clip, labels)
    network = copy.deepcopy(generator).eval()
    past = network.config.frames - 1
    with torch.no_grad():
        made = [s.frame for s in nets.rollout(network.bind(references), encoded, past=past)]
    return [
        Frame(
            label=encoded[t],
            target=_target(clip, t),
            references=references,
            labels_before=tuple(encoded[:t]),
            frames_before=tuple(made[:t]),
            real_before=tuple(clip.frames[:, i] for i in range(t)),
        )
        for t in range(count)
    ]


def training_step(frames: list[Frame], objective: nets.ObjectiveConfig) -> Step:
    """The losses of D and of G on each frame, each with its backward pass; nobody's weights change."""

    def step(networks: Networks, execution: Execution) -> None:
        generator: Any = networks[GENERATOR]
        discriminator: Any = networks[DISCRIMINATOR]
        perceptual: Any = networks.get(PERCEPTUAL)
        for one in frames:
            frame = cast(one, execution.dtype)
            with execution.forward():
                history = _history(frame, generator.config.frames - 1)
                synthesis = generator.bind(frame.references)(frame.label, history)
                condition = nets.discriminator_condition(frame.label, frame.references, synthesis)
                memory = nets.temporal_memory(discriminator.config.temporal)
                real_past, fake_past = (_last(x, memory) for x in (frame.real_before, frame.frames_before))
                real = nets.real_inputs(condition, frame.target.frame, real_past, discriminator.config)
                detached = pytree.tree_map_only(Tensor, Tensor.detach, (synthesis.frame, synthesis.raw))
                shown = nets.Synthesis(frame=detached[0], raw=detached[1])
                verdicts = nets.discriminate_frame(discriminator, real, shown, fake_past, nets.discriminate_both)
                loss = nets.total(nets.discriminator_losses(verdicts, objective))
            execution.backward(DISCRIMINATOR, loss)
            discriminator.requires_grad_(False)
            with execution.forward():
                verdicts = nets.discriminate_frame(discriminator, real, synthesis, fake_past, nets.discriminate_fake)
                losses = nets.generator_losses(synthesis, frame.target, verdicts, objective, perceptual)
                loss = nets.total(losses)
            execution.backward(GENERATOR, loss)
            discriminator.requires_grad_(True)

    return step


def encode_references(clip: Clip, labels: nets.LabelSpec) -> nets.References | None:
    """References of a batched clip (N, K, ...) as the generator takes them."""
    if clip.references is None:
        return None
    frames = clip.references.frames
    flat: Mapping[str, Tensor] = {name: x.flatten(0, 1) for name, x in clip.references.labels.items()}
    return nets.References(frames=frames, labels=nets.encode_labels(labels, flat).unflatten(0, frames.shape[:2]))


def cast(frame: Frame, dtype: torch.dtype) -> Frame:
    """A frame in another dtype. For float64, class ids become the map that they stand for, which is then convolved."""

    def converted(x: Any) -> Any:
        if isinstance(x, Tensor):
            return x.to(dtype) if x.is_floating_point() else x
        if isinstance(x, nets.LabelMap) and dtype is torch.float64:
            return nets.dense_label(x).to(dtype)
        if isinstance(x, tuple):
            return tuple(converted(each) for each in x)
        if attrs.has(type(x)):
            return attrs.evolve(x, **{each.name: converted(getattr(x, each.name)) for each in attrs.fields(type(x))})
        return x

    return converted(frame)  # type: ignore[no-any-return]


def _history(frame: Frame, past: int) -> nets.History:
    return nets.History(labels=_last(frame.labels_before, past), frames=_last(frame.frames_before, past))


def _last(items: tuple[Item, ...], count: int) -> tuple[Item, ...]:
    return items[-count:] if count else ()


def _target(clip: Clip, t: int) -> nets.Target:
    references = clip.references
    flows = (clip.flow, clip.flow_confidence) if t > 0 else (None, None)
    to_references = (None, None) if references is None else (references.flow, references.flow_confidence)
    flow, confidence, reference_flow, reference_confidence = (
        None if x is None else x[:, t] for x in (*flows, *to_references)
    )
    if flow is None or confidence is None:
        flow, confidence = None, None
    return nets.Target(
        frame=clip.frames[:, t],
        flow=flow,
        flow_confidence=confidence,
        reference_flow=reference_flow,
        reference_confidence=reference_confidence,
    )
