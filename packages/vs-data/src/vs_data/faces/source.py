"""Talking heads as a source of clips."""

from collections.abc import Mapping, Sequence
from typing import Literal

import attrs
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vs_data.clips import REGIONS, ClassIds, Clip, ClipRequest, LabelInfo, SequenceInfo, check_request
from vs_data.faces.config import FacesConfig
from vs_data.faces.head import Subject, build_subject
from vs_data.faces.motion import draw_motion, moment_at
from vs_data.faces.points import landmarks_at
from vs_data.faces.render import Shot, flow_between, picture_of, regions_of, shoot
from vs_data.faces.stage import Stage, stage_at
from vs_data.labels.face_landmarks import LANDMARKS
from vs_data.landmarks import draw_face
from vs_data.procedural.film import Studio, film, frames_of, name_people, person_of

LANDMARKS_KIND, REGIONS_KIND = "landmarks-dlib68", "seg_maps"
_KINDS = {"landmarks": (LANDMARKS_KIND,), "regions": (REGIONS_KIND,), "both": (LANDMARKS_KIND, REGIONS_KIND)}
_INFO: Mapping[str, LabelInfo] = {
    LANDMARKS_KIND: LANDMARKS,
    REGIONS_KIND: ClassIds(classes=len(REGIONS), names=REGIONS),
}


@attrs.frozen(kw_only=True)
class FacesSource:
    """Clips of the people of one split, rendered when they are read. A sequence is one person in one motion."""

    config: FacesConfig
    first: int
    sequences: tuple[SequenceInfo, ...]

    @property
    def size(self) -> tuple[int, int]:
        """(H, W) of every clip, pixels."""
        return self.config.height, self.config.width

    @property
    def label_kinds(self) -> Mapping[str, LabelInfo]:
        """The landmarks' drawing, the ids of `vs_data.clips.REGIONS`, or both, as the configuration says."""
        return {kind: _INFO[kind] for kind in _KINDS[self.config.labels]}

    def read(self, request: ClipRequest) -> Clip:
        """Render a clip: a pure function of configuration and request, in which `request.seed` plays no part.

        With a `reference_sequence`, frames, labels, flow and regions are those of that one's person in this sequence's
        motion, and the references are of that sequence.

        Raises:
            RequestError: there is no such sequence, or it has no such frames.
        """
        studio = Studio(
            shoot=self._shoot, picture=picture_of, labels=self._labels, flow=flow_between, regions=regions_of
        )
        return film(studio, self.sequences, request)

    def landmarks(self, request: ClipRequest) -> NDArray[np.float64]:
        """Return (T,68,2) x and y, pixels, of the landmarks in the frames of `read(request)`: exact, hidden or not.

        Raises:
            RequestError: as `read`.
        """
        check_request(self.sequences, request)
        subject, stages = self._subject(person_of(request)), self._stages(request.sequence, frames_of(request))
        return np.stack([landmarks_at(subject, stage, self.size) for stage in stages])

    def _subject(self, sequence: int) -> Subject:
        return build_subject(self.config.seed, self.first + sequence // self.config.motions)

    def _stages(self, sequence: int, frames: Sequence[int]) -> list[Stage]:
        person, motion = divmod(sequence, self.config.motions)
        drawn = draw_motion(self.config, self.first + person, motion)
        return [stage_at(moment_at(drawn, frame, self.config.expression)) for frame in frames]

    def _shoot(self, person: int, motion: int, frames: Sequence[int]) -> list[Shot]:
        subject = self._subject(person)
        return [shoot(subject, stage, self.size) for stage in self._stages(motion, frames)]

    def _labels(self, shots: Sequence[Shot]) -> dict[str, Tensor]:
        def drawn() -> Tensor:
            faces = [draw_face(landmarks_at(shot.subject, shot.stage, self.size), self.size) for shot in shots]
            return torch.from_numpy(np.stack(faces)[:, None])

        def regions() -> Tensor:
            return torch.from_numpy(np.stack([regions_of(shot) for shot in shots]))

        makers = {LANDMARKS_KIND: drawn, REGIONS_KIND: regions}
        return {kind: makers[kind]() for kind in self.label_kinds}


def open_faces(config: FacesConfig, split: Literal["train", "val"]) -> FacesSource:
    """Open the people of one split. Those for training are numbered from 0, others from 500000: they never meet."""
    people = {"train": config.train_identities, "val": config.val_identities}[split]
    first, sequences = name_people("face", split, people, config.motions, config.sequence_length)
    return FacesSource(config=config, first=first, sequences=sequences)
