"""Talking heads as a source of clips."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Literal

import attrs
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vs_data.clips import (
    REGIONS,
    ClassIds,
    Clip,
    ClipRequest,
    LabelInfo,
    References,
    SequenceInfo,
    check_request,
)
from vs_data.faces.config import MAX_IDENTITIES, FacesConfig
from vs_data.faces.head import Subject, build_subject
from vs_data.faces.motion import draw_motion, moment_at
from vs_data.faces.points import landmarks_at
from vs_data.faces.render import Shot, flow_between, picture_of, regions_of, shoot
from vs_data.faces.stage import Stage, stage_at
from vs_data.labels.face_landmarks import LANDMARKS
from vs_data.landmarks import draw_face

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
        info = check_request(self.sequences, request)
        subject = self._subject(request)
        stages = self._stages(request.sequence, range(request.start, request.start + request.length))
        shots = [shoot(subject, stage, self.size) for stage in stages]
        flow, confidence = _flow_within(shots)
        driven = "" if request.reference_sequence is None else f" of {self.sequences[request.reference_sequence].name}"
        return Clip(
            frames=_frames(shots),
            labels=self._labels(subject, shots),
            flow=flow,
            flow_confidence=confidence,
            references=self._references(request, subject, shots),
            regions=torch.from_numpy(np.stack([regions_of(shot) for shot in shots])),
            name=f"{info.name} frame {request.start}{driven}",
        )

    def landmarks(self, request: ClipRequest) -> NDArray[np.float64]:
        """Return (T,68,2) x and y, pixels, of the landmarks in the frames of `read(request)`: exact, hidden or not.

        Raises:
            RequestError: as `read`.
        """
        check_request(self.sequences, request)
        subject = self._subject(request)
        stages = self._stages(request.sequence, range(request.start, request.start + request.length))
        return np.stack([landmarks_at(subject, stage, self.size) for stage in stages])

    def _subject(self, request: ClipRequest) -> Subject:
        shown = request.sequence if request.reference_sequence is None else request.reference_sequence
        return build_subject(self.config.seed, self.first + shown // self.config.motions)

    def _stages(self, sequence: int, frames: Sequence[int]) -> list[Stage]:
        person, motion = divmod(sequence, self.config.motions)
        drawn = draw_motion(self.config, self.first + person, motion)
        return [stage_at(moment_at(drawn, frame, self.config.expression)) for frame in frames]

    def _labels(self, subject: Subject, shots: Sequence[Shot]) -> dict[str, Tensor]:
        def drawn() -> Tensor:
            faces = [draw_face(landmarks_at(subject, shot.stage, self.size), self.size) for shot in shots]
            return torch.from_numpy(np.stack(faces)[:, None])

        def regions() -> Tensor:
            return torch.from_numpy(np.stack([regions_of(shot) for shot in shots]))

        makers = {LANDMARKS_KIND: drawn, REGIONS_KIND: regions}
        return {kind: makers[kind]() for kind in self.label_kinds}

    def _references(self, request: ClipRequest, subject: Subject, shots: Sequence[Shot]) -> References | None:
        if not request.references:
            return None
        shown = request.sequence if request.reference_sequence is None else request.reference_sequence
        stages = self._stages(shown, request.references)
        examples = [shoot(subject, stage, self.size) for stage in stages]
        flow, confidence = _flow_to(examples, shots)
        return References(
            frames=_frames(examples),
            labels=self._labels(subject, examples),
            flow=flow,
            flow_confidence=confidence,
            name=f"{self.sequences[shown].name} frames {', '.join(map(str, request.references))}",
        )


def open_faces(config: FacesConfig, split: Literal["train", "val"]) -> FacesSource:
    """Open the people of one split. Those for training are numbered from 0, others from 500000: they never meet."""
    first, people = {"train": (0, config.train_identities), "val": (MAX_IDENTITIES, config.val_identities)}[split]
    sequences = tuple(
        SequenceInfo(name=f"face-{first + person:06d}-{motion}", frames=config.sequence_length)
        for person in range(people)
        for motion in range(config.motions)
    )
    return FacesSource(config=config, first=first, sequences=sequences)


def _frames(shots: Sequence[Shot]) -> Tensor:
    """Return (n,3,H,W) in [-1,1]."""
    pictures = np.stack([picture_of(shot) for shot in shots])
    return torch.from_numpy(np.clip(pictures * np.float32(2) - np.float32(1), -1, 1))


def _flow_within(shots: Sequence[Shot]) -> tuple[Tensor, Tensor]:
    """Return (T,2,H,W) and (T,1,H,W): flow from each shot to the one before, 0 for the first, and confidence."""
    size = shots[0].size
    pairs = [(np.zeros((2, *size), np.float32), np.zeros((1, *size), np.float32))]
    pairs += [flow_between(shot, before) for before, shot in pairwise(shots)]
    flow, confidence = (torch.from_numpy(np.stack(values)) for values in zip(*pairs, strict=True))
    return flow, confidence


def _flow_to(examples: Sequence[Shot], shots: Sequence[Shot]) -> tuple[Tensor, Tensor]:
    """Return (T,K,2,H,W) and (T,K,1,H,W): flow from each shot to each example, and the confidence in it."""
    pairs = [flow_between(shot, example) for shot in shots for example in examples]
    flow, confidence = (torch.from_numpy(np.stack(values)) for values in zip(*pairs, strict=True))
    leading = (len(shots), len(examples))
    return flow.unflatten(0, leading), confidence.unflatten(0, leading)
