"""The street as a source of clips."""

from collections.abc import Mapping, Sequence
from typing import Literal

import attrs
import numpy as np
import torch
from torch import Tensor

from vs_data.clips import (
    ClassIds,
    Clip,
    ClipRequest,
    ClipSource,
    FloatMaps,
    LabelInfo,
    References,
    SequenceInfo,
    check_request,
)
from vs_data.labels.instances import INSTANCES, instance_edges
from vs_data.procedural.arrays import F32
from vs_data.street.config import MAX_SEQUENCES, StreetConfig
from vs_data.street.render import Frames, render
from vs_data.street.world import build_world

CLASS_NAMES = (
    "unlabeled",
    "ego vehicle",
    "rectification border",
    "out of roi",
    "static",
    "dynamic",
    "ground",
    "road",
    "sidewalk",
    "parking",
    "rail track",
    "building",
    "wall",
    "fence",
    "guard rail",
    "bridge",
    "tunnel",
    "pole",
    "polegroup",
    "traffic light",
    "traffic sign",
    "vegetation",
    "terrain",
    "sky",
    "person",
    "rider",
    "car",
    "truck",
    "bus",
    "caravan",
    "trailer",
    "train",
    "motorcycle",
    "bicycle",
    "license plate",
)
"""Cityscapes class ids 0 to 34 by the names that Cityscapes gives them; nine of them occur."""

IGNORE_ID = 255
"""Of pixels without a class, in Cityscapes."""

RENDER = "render"
"""The kind of label that is the street rendered plainly: (T,3,H,W) float32 in [-1,1], RGB."""

BORDERS = "instances"
"""The kind of label that are the borders between instances, as folders of them are read: (T,1,H,W)."""


@attrs.frozen(kw_only=True)
class StreetSource:
    """Clips of the worlds of one split, rendered when they are read."""

    config: StreetConfig
    first: int
    sequences: tuple[SequenceInfo, ...]

    @property
    def size(self) -> tuple[int, int]:
        """(H, W) of every clip, pixels."""
        return self.config.height, self.config.width

    @property
    def label_kinds(self) -> Mapping[str, LabelInfo]:
        """What `config.labels` asks for: class ids, numbered as in Cityscapes, a plain rendering, borders of instances.

        The street draws no pixel without a class.
        """
        kinds: dict[str, LabelInfo] = {}
        if self.config.labels != "render":
            kinds["seg_maps"] = ClassIds(classes=len(CLASS_NAMES), ignore_id=IGNORE_ID, names=CLASS_NAMES)
        if self._plain:
            kinds[RENDER] = FloatMaps(channels=3, title=RENDER, pictures=True)
        if self.config.labels == BORDERS:
            kinds[BORDERS] = INSTANCES
        return kinds

    @property
    def _plain(self) -> bool:
        return self.config.labels in (RENDER, "both")

    def read(self, request: ClipRequest) -> Clip:
        """Render a clip: a pure function of configuration, sequence and frames, in which `request.seed` plays no part.

        Raises:
            RequestError: there is no such sequence, or it has no such frames.
        """
        info = check_request(self.sequences, request)
        world = build_world(self.config, self.first + request.sequence)
        frames = render(world, request.start, request.length, self.size, plain=self._plain)
        return Clip(
            frames=_picture(frames.rgb),
            labels=self._labels([frames]),
            flow=torch.from_numpy(frames.flow),
            flow_confidence=torch.from_numpy(frames.confidence),
            instances=torch.from_numpy(frames.instances),
            references=self._references(request) if request.references else None,
            name=f"{info.name} frame {request.start}",
        )

    def _references(self, request: ClipRequest) -> References:
        """Return other moments of the same street, or of another one; nobody knows the flow to them."""
        sequence = request.sequence if request.reference_sequence is None else request.reference_sequence
        world = build_world(self.config, self.first + sequence)
        frames = [render(world, frame, 1, self.size, plain=self._plain) for frame in request.references]
        return References(
            frames=_picture(np.concatenate([each.rgb for each in frames])),
            labels=self._labels(frames),
            name=f"{self.sequences[sequence].name} frames {', '.join(map(str, request.references))}",
        )

    def _labels(self, frames: Sequence[Frames]) -> dict[str, Tensor]:
        labels = {"seg_maps": torch.from_numpy(np.concatenate([each.labels for each in frames]))}
        if self._plain:
            labels[RENDER] = _picture(np.concatenate([each.plain for each in frames if each.plain is not None]))
        if BORDERS in self.label_kinds:
            labels[BORDERS] = torch.from_numpy(instance_edges(np.concatenate([each.instances for each in frames])))
        return {kind: labels[kind] for kind in self.label_kinds}


def _picture(rgb: F32) -> Tensor:
    """Return colours of [0,1] in [-1,1]."""
    return torch.from_numpy(rgb * np.float32(2) - np.float32(1))


def open_street(config: StreetConfig, split: Literal["train", "val"]) -> ClipSource:
    """Open the worlds of one split. Those for training are numbered from 0, others from 500000: they never meet."""
    first, count = {"train": (0, config.train_sequences), "val": (MAX_SEQUENCES, config.val_sequences)}[split]
    sequences = tuple(
        SequenceInfo(name=f"street-{first + index:06d}", frames=config.sequence_length) for index in range(count)
    )
    return StreetSource(config=config, first=first, sequences=sequences)
