"""Which frames of a sequence are shown to the generator as references, and how they get there."""

from collections.abc import Callable, Sequence

import torch
import vs_nets as nets
from torch import Tensor
from vs_data import References, SequenceInfo
from vs_nets.synthesis import GenerateFrame

from vs_eval.errors import OptionError
from vs_eval.scoring import EvaluationSpec

BindReferences = Callable[[nets.References], GenerateFrame]
"""References of one subject -> what generates that subject's frames; called once for a video."""


def reference_frames(frames: int, count: int) -> tuple[int, ...]:
    """The references of a sequence of so many frames: it is cut into `count` equal parts, and each gives its middle."""
    return tuple((2 * part + 1) * frames // (2 * count) for part in range(count))


def check_counts(
    counts: Sequence[int], sequences: Sequence[SequenceInfo], frames: int | None = None
) -> tuple[int, ...]:
    """The numbers of references, each once, in order.

    Args:
        counts: as they are asked for.
        sequences: those that are generated.
        frames: at most so many frames of each are, from the first on; None: all.

    Raises:
        OptionError: one is below 1, or leaves a sequence without a frame that could be scored.
    """
    if not counts:
        raise OptionError("--references", "no number is given; 1 for one reference, 1 3 for a section each")
    if min(counts) < 1:
        raise OptionError("--references", f"must be at least 1, got {min(counts)}")
    shortest = min(sequences, key=lambda info: info.frames, default=None)
    if shortest is not None:
        _check_shortest(max(counts), shortest)
    if frames is not None:
        for count in counts:
            _check_scored(count, sequences, frames)
    return tuple(dict.fromkeys(counts))


def _check_shortest(most: int, shortest: SequenceInfo) -> None:
    if shortest.frames == 1:
        what = f"sequence '{shortest.name}' has 1 frame: with it as the reference none is left to be generated"
        raise OptionError("--references", f"{what}; remove the sequence or add frames to it")
    if most >= shortest.frames:
        raise OptionError(
            "--references",
            f"{most} asked for, but sequence '{shortest.name}' has {shortest.frames} frames, and one must be left "
            f"to be generated: at most {shortest.frames - 1}",
        )


def _check_scored(count: int, sequences: Sequence[SequenceInfo], frames: int) -> None:
    """References do not count: one frame of those that are generated must be something else."""
    for info in sequences:
        if set(range(min(frames, info.frames))) <= set(reference_frames(info.frames, count)):
            what = f"{frames} asked for, all of them among the {count} references of sequence '{info.name}'"
            raise OptionError("--frames", f"{what}, which are not scored; give more frames or fewer references")


def bind_generator(generator: nets.FewShotGenerator) -> BindReferences:
    """The generator as a function of references, which are encoded once."""

    def bind(references: nets.References) -> GenerateFrame:
        with torch.inference_mode():
            return generator.bind(references)

    return bind


def encode_references(references: References, spec: EvaluationSpec) -> nets.References:
    """References of a clip, (K, ...), as the generator takes them: N = 1, labels encoded, on its device."""

    def moved(x: Tensor) -> Tensor:
        return x.to(spec.device)

    labels = nets.encode_labels(spec.labels, {kind: moved(x) for kind, x in references.labels.items()})
    return nets.References(frames=moved(references.frames)[None], labels=labels[None])
