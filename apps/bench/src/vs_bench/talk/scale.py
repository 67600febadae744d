"""The sizes at which the talk's rows are measured: the talk's own on a GPU, smaller ones on a CPU."""

from collections.abc import Mapping
from typing import Any

import attrs
from vs_training.presets import read_preset

from vs_bench.operators.subjects.networks import Network

GELU_ELEMENTS = 2**20
"""The talk's vector: "1M fp32 elements"."""


@attrs.frozen(kw_only=True)
class Grid:
    """One column of the talk's table: a resolution, and the batches that are trained at it.

    Attributes:
        height: of the frames.
        width: of the frames.
        talk: the resolution that stands for it in the talk's table.
        batches: clips a step, each with the batch that stands for it in the talk's table, 0 if none does.
    """

    height: int
    width: int
    talk: str
    batches: tuple[tuple[int, int], ...]


@attrs.frozen(kw_only=True)
class Scale:
    """Sizes.

    Attributes:
        name: of the scale, for people.
        elements: of the vector of GELU.
        logits: shape of the discriminator's logits that the hinge loss is measured with.
        spectral: the network whose layers are normalised.
        street: the document of the vid2vid network.
        face: the document of the few-shot network.
        frames: of a clip.
        grid: of AMP over batch and resolution.
        filters: of the generators whose optimizers are measured, with the most that their layers may have.
        adam_size: height and width of the frames that they are trained with.
        few_shot: the batches of the few-shot network: the talk's 16 and 24.
        face_size: height and width of its frames.
        checkpointed: two batches whose memory is measured with and without activation checkpointing.
        checkpoint_size: height and width of their frames.
        workers: of the loader.
        processes: new processes for each setting of TorchScript's executor, at most.
    """

    name: str
    elements: int = GELU_ELEMENTS
    logits: tuple[int, ...]
    spectral: Network = "street-small"
    street: Mapping[str, Any]
    face: Mapping[str, Any]
    frames: int = 4
    grid: tuple[Grid, ...]
    filters: tuple[tuple[int, int], ...]
    adam_size: tuple[int, int]
    few_shot: tuple[int, int]
    face_size: tuple[int, int]
    checkpointed: tuple[int, int]
    checkpoint_size: tuple[int, int]
    workers: int
    processes: int = 5


def scaled() -> Scale:
    """Return the sizes for a CPU: the networks of the tiny presets, a quarter of the talk's height and width."""
    return Scale(
        name="scaled",
        logits=(1, 1, 15, 31),
        street=read_preset("street-tiny").document,
        face=read_preset("faces-tiny").document,
        grid=(
            Grid(height=64, width=128, talk="512x256", batches=((1, 8), (2, 16), (4, 32), (8, 64))),
            Grid(height=128, width=256, talk="1024x512", batches=((1, 8), (2, 16))),
        ),
        filters=((8, 64), (16, 128), (32, 256), (64, 512)),
        adam_size=(64, 128),
        few_shot=(2, 3),
        face_size=(64, 64),
        checkpointed=(1, 4),
        checkpoint_size=(64, 128),
        workers=0,
    )


def published() -> Scale:
    """Return the talk's sizes: the published networks, and an eighth of the talk's batches, which 8 GPUs share."""
    perceptual = {"perceptual": {"kind": "random", "width_divisor": 1, "scales": 3}}
    return Scale(
        name="the talk's",
        logits=(4, 1, 63, 127),
        street={"data": {"kind": "street", "height": 256, "width": 512}, "objective": perceptual},
        face={
            **read_preset("face-forensics").document,
            "data": {"kind": "faces", "height": 512, "width": 512},
            "objective": perceptual,
        },
        grid=(
            Grid(height=256, width=512, talk="512x256", batches=((1, 8), (2, 16), (4, 32), (8, 64))),
            Grid(height=512, width=1024, talk="1024x512", batches=((1, 8), (2, 16), (8, 0), (16, 0))),
        ),
        filters=((8, 256), (16, 512), (32, 1024)),
        adam_size=(256, 512),
        few_shot=(2, 3),
        face_size=(512, 512),
        checkpointed=(1, 2),
        checkpoint_size=(512, 1024),
        workers=8,
    )
