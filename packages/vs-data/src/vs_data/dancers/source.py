"""Dancers as a source of clips."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import attrs
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vs_data.boxes import boxes_of
from vs_data.clips import ClassIds, Clip, ClipRequest, LabelInfo, SequenceInfo, check_request
from vs_data.dancers.body import PARTS, Body, build_body
from vs_data.dancers.cast import figure_of
from vs_data.dancers.config import DancersConfig, Labels
from vs_data.dancers.motion import Moment, draw_motion, moment_at
from vs_data.dancers.points import keypoints_at
from vs_data.dancers.render import Shot, densepose_of, flow_between, parts_of, picture_of, regions_of, shoot
from vs_data.labels.densepose import DenseposeConfig, handle_densepose, normalised
from vs_data.labels.keypoints import KeypointsConfig, handle_keypoints
from vs_data.procedural.film import Studio, film, frames_of, name_people, person_of
from vs_data.skeletons import OPENPOSE_BODY25, draw_skeleton

DENSEPOSE_KIND, KEYPOINTS_KIND, PARTS_KIND = "densepose", "keypoints", "seg_maps"

LABELS: Mapping[Labels, tuple[str, ...]] = {
    "keypoints": (KEYPOINTS_KIND,),
    "densepose": (DENSEPOSE_KIND,),
    "parts": (PARTS_KIND,),
    "poses": (DENSEPOSE_KIND, KEYPOINTS_KIND),
    "all": (DENSEPOSE_KIND, KEYPOINTS_KIND, PARTS_KIND),
}
"""The kinds of labels that each choice of the configuration means."""

_INFO: Mapping[str, LabelInfo] = {
    DENSEPOSE_KIND: handle_densepose(DenseposeConfig()).info,
    KEYPOINTS_KIND: handle_keypoints(KeypointsConfig()).info,
    PARTS_KIND: ClassIds(classes=len(PARTS), names=PARTS),
}


@attrs.frozen(kw_only=True)
class DancersSource:
    """Clips of the people of one split, rendered when they are read. A sequence is one person in one dance."""

    config: DancersConfig
    first: int
    sequences: tuple[SequenceInfo, ...]

    @property
    def size(self) -> tuple[int, int]:
        """(H, W) of every clip, pixels."""
        return self.config.height, self.config.width

    @property
    def label_kinds(self) -> Mapping[str, LabelInfo]:
        """What the configuration says of: parts and places on them, the keypoints' drawing, ids of parts."""
        return {kind: _INFO[kind] for kind in LABELS[self.config.labels]}

    def read(self, request: ClipRequest) -> Clip:
        """Render a clip: a pure function of configuration and request, in which `request.seed` plays no part.

        With a `reference_sequence`, frames, labels, flow and regions are those of that one's person in this sequence's
        dance, and the references are of that sequence.

        Raises:
            RequestError: there is no such sequence, or it has no such frames.
        """
        studio = Studio(
            shoot=self._shoot,
            picture=picture_of,
            labels=self._labels,
            flow=flow_between,
            regions=regions_of,
            boxes=_boxes,
        )
        return film(studio, self.sequences, request)

    def keypoints(self, request: ClipRequest) -> NDArray[np.float64]:
        """Return (T,25,3) x and y, pixels, and confidence 1 of the keypoints in the frames of `read(request)`.

        They are exact, hidden or not, in the order of OpenPose's BODY_25.

        Raises:
            RequestError: as `read`.
        """
        check_request(self.sequences, request)
        body = self._body(person_of(request))
        moments = self._moments(request.sequence, frames_of(request))
        return np.stack([keypoints_at(figure_of(body, moment), self.size) for moment in moments])

    def _body(self, sequence: int) -> Body:
        own = self.first + sequence // self.config.motions
        return build_body(self.config.seed, own if self.config.person is None else self.config.person)

    def _moments(self, sequence: int, frames: Sequence[int]) -> list[Moment]:
        person, motion = divmod(sequence, self.config.motions)
        drawn = draw_motion(self.config, self.first + person, motion)
        return [moment_at(drawn, frame) for frame in frames]

    def _shoot(self, person: int, motion: int, frames: Sequence[int]) -> list[Shot]:
        body = self._body(person)
        return [shoot(body, moment, self.size) for moment in self._moments(motion, frames)]

    def _labels(self, shots: Sequence[Shot]) -> dict[str, Tensor]:
        makers: Mapping[str, Callable[[Shot], NDArray[Any]]] = {
            DENSEPOSE_KIND: lambda shot: normalised(densepose_of(shot)),
            KEYPOINTS_KIND: _drawn,
            PARTS_KIND: parts_of,
        }
        return {kind: torch.from_numpy(np.stack([makers[kind](shot) for shot in shots])) for kind in self.label_kinds}


def open_dancers(config: DancersConfig, split: Literal["train", "val"]) -> DancersSource:
    """Open the people of one split. Those for training are numbered from 0, others from 500000: they never meet.

    With a `person` it is the same one in both, in dances that never meet.
    """
    people = {"train": config.train_identities, "val": config.val_identities}[split]
    first, sequences = name_people("dancer", split, people, config.motions, config.sequence_length)
    return DancersSource(config=config, first=first, sequences=sequences)


def _boxes(shots: Sequence[Shot]) -> dict[str, Tensor]:
    """Return the boxes (T,B,4) of face and hands."""
    found = [boxes_of(keypoints_at(shot.figure, shot.size), OPENPOSE_BODY25, shot.size) for shot in shots]
    return {name: torch.from_numpy(np.stack([each[name] for each in found])) for name in found[0]}


def _drawn(shot: Shot) -> NDArray[np.float32]:
    return draw_skeleton(keypoints_at(shot.figure, shot.size), OPENPOSE_BODY25, shot.size)
