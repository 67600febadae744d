"""Frames one after the other, made in the ways that `bench:stream` compares.

A *scene* is a generator that was never trained, and a clip of a procedural world whose labels come round again and
again. A *way* begins a scene anew each time it is called, and returns what makes the next frame.
"""

import itertools
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Literal

import attrs
import torch
import vs_nets as nets
import vs_optim as optim
import vs_synthesis as synthesis
from torch import Tensor
from vs_data import Clip, ClipRequest, collate, move, open_source
from vs_training.config import TrainConfig
from vs_training.inputs import encode_label, encode_references, motion_at

NextFrame = Callable[[], Tensor]
Way = Callable[[], NextFrame]

WayName = Literal["stream", "graph", "roll-out"]
"""A stream as users have it, the same as a CUDA graph, and the roll-out that training validates with."""

SETTLED = 4
"""Frames after which a clip is certainly in its steady state."""

CLIP_FRAMES = 16
"""Frames whose labels come round again, at most."""

WEIGHT_SCALE = 8.0
"""What fresh weights are multiplied by, so that frames differ as their labels do and flows are not next to zero."""


@attrs.frozen(kw_only=True, eq=False)
class Scene:
    """A generator, and a batch of one clip that it makes again, with references if it takes any."""

    contents: synthesis.ModelContents
    clip: Clip

    def labels(self) -> Iterator[tuple[Mapping[str, Tensor], nets.Motion | None]]:
        """Yield the labels (1, H, W) or (1, C, H, W) of one frame after the other, without an end.

        With the motion to it, if the generator takes any.
        """
        for t in itertools.cycle(range(self.clip.frames.shape[1])):
            motion = motion_at(self.clip, t) if self.contents.config.takes_motion else None
            yield {kind: x[:, t] for kind, x in self.clip.labels.items()}, motion


def scene_of(config: TrainConfig) -> Scene:
    """Return the scene of a configuration."""
    torch.manual_seed(config.seed)
    model = synthesis.model_config(config)
    generator = nets.build_ema(config.generator, label_channels=model.label_spec.channels)
    weights = {name: x * (WEIGHT_SCALE if x.dim() > 1 else 1.0) for name, x in generator.state_dict().items()}
    return Scene(
        contents=synthesis.ModelContents(path=Path("untrained"), config=model, generator=weights),
        clip=_clip_of(config),
    )


def _clip_of(config: TrainConfig) -> Clip:
    source, count = open_source(config.data, "train"), 0 if config.references is None else config.references.min
    frames = min(CLIP_FRAMES, source.sequences[0].frames - count)
    references = tuple(frames + k for k in range(count))  # behind the clip, so that no frame shows itself
    return collate([source.read(ClipRequest(sequence=0, start=0, length=frames, references=references))])


def way_of(name: WayName, scene: Scene, computing: synthesis.Computing, device: torch.device) -> Way:
    """Return a way to make the frames of a scene; each of its clips has a state of its own, all share the network."""
    match name:
        case "stream":
            return streaming(model_of(scene, computing, device), scene)
        case "graph":
            return graphed(model_of(scene, computing, device), scene)
        case "roll-out":
            return rolling(scene, computing, device)


def model_of(scene: Scene, computing: synthesis.Computing, device: torch.device) -> synthesis.Model:
    """Return the model of a scene."""
    return synthesis.build_model(scene.contents, device="cuda" if device.type == "cuda" else "cpu", precision=computing)


def streaming(model: synthesis.Model, scene: Scene) -> Way:
    """Return the way of `vs_synthesis.start`."""

    def begin() -> NextFrame:
        stream, labels = synthesis.start(model, _subject(model, scene)), scene.labels()
        return lambda: stream(*next(labels))

    return begin


def rolling(scene: Scene, computing: synthesis.Computing, device: torch.device) -> Way:
    """Return the way of a validation in training: contiguous memory, the past's embedding made anew for each frame."""
    generator, spec = synthesis.build_averaged(scene.contents).to(device), scene.contents.config.label_spec
    precision = synthesis.precision_of(computing, device)

    def begin() -> NextFrame:
        clip = move(scene.clip, device)
        with torch.inference_mode(), optim.autocast(precision, device):
            generate = forgetful(generator.bind(encode_references(clip, spec)))
        times, moments = itertools.tee(itertools.cycle(range(clip.frames.shape[1])))
        labels, motions = (encode_label(clip, t, spec) for t in times), (motion_at(clip, t) for t in moments)
        made = nets.rollout(generate, labels, past=generator.config.frames - 1, motions=motions)

        def frame() -> Tensor:
            with torch.inference_mode(), optim.autocast(precision, device):
                return next(made).frame

        return frame

    return begin


def forgetful(generate: nets.GenerateFrame) -> nets.GenerateFrame:
    """Return a generator that computes the embedding of the newest past label again, as it must while it is trained."""
    return lambda label, history: generate(label, attrs.evolve(history, maps=()))


def graphed(model: synthesis.Model, scene: Scene) -> Way:
    """Return the way of `vs_synthesis.start_graphed`: each clip begins in its steady state, with its graph recorded."""

    def begin() -> NextFrame:
        stream, labels = synthesis.start_graphed(model, _subject(model, scene)), scene.labels()
        for given in itertools.islice(labels, SETTLED):
            stream(*given)
        return lambda: stream(*next(labels))

    return begin


def _subject(model: synthesis.Model, scene: Scene) -> nets.Subject | None:
    references = scene.clip.references
    return None if references is None else synthesis.encode_subject(model, references.frames, references.labels)
