"""The step that is audited: the passes of training on each frame of a clip, without the updates themselves."""

import copy
from typing import Any

import attrs
import torch
import vs_nets as nets
from torch import Tensor
from vs_data import Clip
from vs_training import passes
from vs_training.inputs import FrameInputs, Past, encode_references, frame_inputs, history_of, remember
from vs_training.tensors import map_tensors

from vs_eval.numerics.execution import Execution, Networks, Step

GENERATOR, DISCRIMINATOR, PERCEPTUAL = "generator", "discriminator", "perceptual"
"""The networks of a step, by name; the last one only where there is a perceptual loss."""


def frames_of(
    clip: Clip, labels: nets.LabelSpec, generator: nets.AnyGenerator, discriminator: nets.Discriminator
) -> list[FrameInputs]:
    """Return the frames of a batched clip, each with its past, in float32.

    The past is what the generator makes of them in evaluation, so that it is the same whatever the step computes in.
    """
    network, memory = copy.deepcopy(generator).eval(), nets.temporal_memory(discriminator.config.temporal)
    references, past, frames = encode_references(clip, labels), Past(), []
    with torch.no_grad():
        generate = network.bind(references)
        for t in range(clip.frames.shape[1]):
            inputs = frame_inputs(clip, t, labels, references=references, past=past)
            fake = generate(inputs.label, history_of(inputs)).frame
            past = remember(past, inputs, fake, generator=network.config.frames - 1, discriminator=memory)
            frames.append(inputs)
    return frames


def training_step(frames: list[FrameInputs], objective: nets.ObjectiveConfig) -> Step:
    """Return a step: on each frame D's pass and G's, as training makes them; nobody's weights change."""

    def step(networks: Networks, execution: Execution) -> None:
        generator: Any = networks[GENERATOR]
        discriminator: Any = networks[DISCRIMINATOR]
        perceptual: Any = networks.get(PERCEPTUAL)
        run = passes.Execution(forward=execution.forward, backward=execution.backward)
        for frame in frames:
            shown = passes.show(generator, discriminator, cast(frame, execution.dtype), run)
            passes.discriminator_pass(discriminator, shown, objective, run)
            passes.generator_pass(discriminator, shown, objective, perceptual, run)

    return step


def cast(frame: FrameInputs, dtype: torch.dtype) -> FrameInputs:
    """Return a frame in another dtype. For float64, class ids become the map that they stand for, to be convolved."""
    if dtype is torch.float64:
        history = frame.past.history
        dense = attrs.evolve(history, labels=tuple(nets.dense_label(label) for label in history.labels))
        label, past = nets.dense_label(frame.label), attrs.evolve(frame.past, history=dense)
        frame = attrs.evolve(frame, label=label, past=past)

    def converted(x: Tensor) -> Tensor:
        return x.to(dtype) if x.is_floating_point() else x

    return map_tensors(converted, frame)
