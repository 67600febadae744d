"""The street as a source of clips."""

from collections.abc import Mapping
from typing import Literal

import attrs
import numpy as np
import torch

from vs_data.clips import ClassIds, Clip, ClipRequest, ClipSource, LabelInfo, References, SequenceInfo, check_request
from vs_data.street.config import MAX_SEQUENCES, StreetConfig
from vs_data.street.render import render
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
        """The one kind of label: class ids, numbered as in Cityscapes; the street draws no pixel without a class."""
        return {"seg_maps": ClassIds(classes=len(CLASS_NAMES), ignore_id=IGNORE_ID, names=CLASS_NAMES)}

    def read(self, request: ClipRequest) -> Clip:
        """Render a clip: a pure function of configuration, sequence and frames, in which `request.seed` plays no part.

        Raises:
            RequestError: there is no such sequence, or it has no such frames.
        """
        info = check_request(self.sequences, request)
        world = build_world(self.config, self.first + request.sequence)
        frames = render(world, request.start, request.length, self.size)
        return Clip(
            frames=torch.from_numpy(frames.rgb * np.float32(2) - np.float32(1)),
            labels={"seg_maps": torch.from_numpy(frames.labels)},
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
        frames = [render(world, frame, 1, self.size) for frame in request.references]
        rgb = np.concatenate([each.rgb for each in frames])
        return References(
            frames=torch.from_numpy(rgb * np.float32(2) - np.float32(1)),
            labels={"seg_maps": torch.from_numpy(np.concatenate([each.labels for each in frames]))},
            name=f"{self.sequences[sequence].name} frames {', '.join(map(str, request.references))}",
        )


def open_street(config: StreetConfig, split: Literal["train", "val"]) -> ClipSource:
    """Open the worlds of one split. Those for training are numbered from 0, others from 500000: they never meet."""
    first, count = {"train": (0, config.train_sequences), "val": (MAX_SEQUENCES, config.val_sequences)}[split]
    sequences = tuple(
        SequenceInfo(name=f"street-{first + index:06d}", frames=config.sequence_length) for index in range(count)
    )
    return StreetSource(config=config, first=first, sequences=sequences)
