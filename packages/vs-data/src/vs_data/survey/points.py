"""Files of points: whose landmarks or keypoints they are, by what a sample of them holds."""

from collections.abc import Sequence
from typing import get_args

import attrs

from vs_data.content import Content
from vs_data.errors import DataError
from vs_data.findings import counted
from vs_data.json_files import read_json
from vs_data.keypoint_files import read_people
from vs_data.labels import KeypointsConfig, LandmarksConfig
from vs_data.labels.keypoints import BuiltIn
from vs_data.landmark_files import read_landmarks
from vs_data.skeletons import BUILT_IN
from vs_data.survey.verdict import Guess

_MAX_FILE_BYTES = 2**22
_OF_LISTS: dict[int, BuiltIn] = {len(BUILT_IN[name].points): name for name in get_args(BuiltIn)}
_COUNTS = ", ".join(map(str, sorted(_OF_LISTS)))
_FIX = "expected [[x, y, confidence], ...] in pixels, or what OpenPose, COCO or MediaPipe writes"
_FIX_OWN = 'name the points in data.labels as `kind = "keypoints"` with `own`, a skeleton of yours'


def guess_points(folder: str, sample: Sequence[Content], there: int) -> Guess:
    """Say what the points in JSON files are.

    Args:
        folder: Their folder.
        sample: Some of the files.
        there: How many there are.

    Raises:
        DataError: they are no points that any kind of label takes.
    """
    formats = [_skeleton_in(content) for content in sample]
    known = next((found for found in formats if found is not None), None)
    if known is None:
        return _nobody(folder, len(sample), there)
    if known == "dlib68":
        for content in sample:
            read_landmarks(content)
        return Guess(kind=LandmarksConfig(folder=folder), why="68 [x, y] pairs a file: landmarks of a face, of dlib")
    return _guess_people(KeypointsConfig(folder=folder, skeleton=known), sample, there)


def _skeleton_in(content: Content) -> BuiltIn | None:
    """Return what the points of one file are; None: nobody is in it."""
    match read_json(content, _MAX_FILE_BYTES, _FIX):
        case {"people": []} | {"annotations": []} | []:
            return None
        case {"people": list()}:
            return "openpose"
        case {"annotations": list()} | {"keypoints": list()} | [{"keypoints": list()}, *_]:
            return "coco17"
        case {"pose_landmarks": list()} | {"landmarks": list()} | [{"x": _}, *_] | [[{"x": _}, *_], *_]:
            return "mediapipe33"
        case list() as rows if len(rows) in _OF_LISTS:
            return _OF_LISTS[len(rows)]
        case [[int() | float(), int() | float(), *_], *_] as rows:
            what = f"holds {counted(len(rows), 'point')}, and built-in skeletons have {_COUNTS}"
            raise DataError(what, file=str(content), fix=_FIX_OWN)
        case _:
            raise DataError("holds no points of people", file=str(content), fix=_FIX)


def _nobody(folder: str, seen: int, there: int) -> Guess:
    question = f"nobody is in {seen} of {there} files of {folder}: set skeleton to what wrote them"
    return Guess(kind=KeypointsConfig(folder=folder), why="keypoints, of nobody so far", questions=(question,))


def _guess_people(kind: KeypointsConfig, sample: Sequence[Content], there: int) -> Guess:
    """Say who is followed, and what coordinates are."""
    try:
        crowds = [read_people(content, BUILT_IN[kind.skeleton], None, kind.units) for content in sample]
    except DataError as failure:
        if "units" not in (failure.fix or ""):
            raise
        kind = attrs.evolve(kind, units="normalised")
        crowds = [read_people(content, BUILT_IN[kind.skeleton], None, kind.units) for content in sample]
    several = sum(len(people) > 1 for people in crowds)
    empty = sum(not people for people in crowds)
    questions = []
    if several:
        who = "the largest is drawn; set follow = 'nearest', or 'number' where the files number people, for another"
        questions.append(f"several people are in {several} of {len(crowds)} files of {kind.folder}: {who}")
    if empty:
        questions.append(
            f"nobody is in {empty} of {len(crowds)} files of {kind.folder}: those frames have empty labels"
        )
    looked = f"{len(crowds)} of {there} files hold points as {_writers(kind)} writes them"
    return Guess(kind=kind, why=looked, questions=tuple(questions))


def _writers(kind: KeypointsConfig) -> str:
    return {"openpose": "OpenPose", "coco17": "COCO", "mediapipe33": "MediaPipe"}.get(kind.skeleton, kind.skeleton)
