"""Writing the clips of a source to disk in the layout of data folders."""

import io
import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vs_data.clips import Clip, ClipRequest, ClipSource, FloatMaps, LabelInfo, class_ids_in
from vs_data.dancers import DancersSource
from vs_data.dancers.source import DENSEPOSE_KIND, KEYPOINTS_KIND
from vs_data.errors import DataError
from vs_data.faces import FacesSource
from vs_data.files import whole_or_not_at_all
from vs_data.labels.densepose import levels_of
from vs_data.layout import IMAGES
from vs_data.pictures import write_png
from vs_data.sampling import iterate_sequence
from vs_data.street.source import StreetSource

_CHUNK = 16  # frames made at once
_PIXELS = 16 * 512 * 1024  # of all of them at most; each takes some 40 bytes

_Writer: TypeAlias = Callable[[Clip, ClipRequest, Path], None]
"""Writes the maps of a clip of a request to a folder, as the files that they are drawn from."""


def write_folder(
    source: ClipSource,
    root: Path,
    *,
    sequences: int,
    max_frames: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> int:
    """Write the first sequences of a source as `images/SEQ/FRAME.png`, `KIND/SEQ/FRAME.png`, `flow/SEQ/FRAME.npz`.

    Landmarks of faces are written as `KIND/SEQ/FRAME.json`, a list of [x, y] pairs; keypoints of dancers as OpenPose
    writes them, DensePose as `DenseposeConfig` reads it; and instance ids where clips have them as
    `instances/SEQ/FRAME.png`, greys of 16 bits. When writing fails or is interrupted, nothing of it is left.

    Args:
        source: What to write; its label kinds become folders, and `flow` is written if clips have it.
        root: Folder to write to; made if missing, must be empty.
        sequences: How many sequences.
        max_frames: At most so many frames of each; None: all.
        progress: Called with (frames done, frames in all).

    Returns:
        The number of frames written.

    Raises:
        DataError: the folder is not empty or cannot be written; more sequences are asked for than there are; a label
            is a map of which nobody knows what it was drawn from.
    """
    writers = _writers_of(source)
    if not 1 <= sequences <= len(source.sequences):
        raise DataError(f"{sequences} sequences asked for, allowed: 1 to {len(source.sequences)}")
    with whole_or_not_at_all(root) as draft:
        return _write_sequences(source, draft, writers, sequences, max_frames, progress)


def _writers_of(source: ClipSource) -> Mapping[str, _Writer]:
    """Return what writes each kind of label that is maps of numbers."""
    ids = class_ids_in(source.label_kinds)
    maps = [kind for kind, info in source.label_kinds.items() if kind not in ids and not _is_picture(info)]
    match source:
        case FacesSource():
            return dict.fromkeys(maps, partial(_write_landmarks, source))
        case DancersSource():
            known: dict[str, _Writer] = {
                KEYPOINTS_KIND: partial(_write_keypoints, source),
                DENSEPOSE_KIND: _write_densepose,
            }
            return {kind: write for kind, write in known.items() if kind in source.label_kinds}
        case StreetSource():
            return {}  # borders of instances are made of the ids, which are written in any case
        case _ if maps:
            raise DataError(f"labels of kind '{maps[0]}' are maps of numbers, of which folders hold none")
        case _:
            return {}


def _is_picture(info: LabelInfo) -> bool:
    match info:
        case FloatMaps():
            return info.pictures
        case _:
            return False


def _write_sequences(
    source: ClipSource,
    root: Path,
    writers: Mapping[str, _Writer],
    sequences: int,
    max_frames: int | None,
    progress: Callable[[int, int], None] | None,
) -> int:
    lengths = [min(info.frames, max_frames or info.frames) for info in source.sequences[:sequences]]
    chunk = max(1, min(_CHUNK, _PIXELS // (source.size[0] * source.size[1])))
    pictures = [kind for kind, info in source.label_kinds.items() if _is_picture(info) and kind not in writers]
    done = 0
    for index, info in enumerate(source.sequences[:sequences]):
        first = 0
        for clip in iterate_sequence(source, index, chunk=chunk, max_frames=max_frames):
            length = clip.frames.shape[0]
            _write_clip(clip, root, info.name, first, pictures)
            request = ClipRequest(sequence=index, start=first, length=length)
            for kind, write in writers.items():
                write(clip, request, root / kind / info.name)
            first, done = first + length, done + length
            if progress is not None:
                progress(done, sum(lengths))
    return done


def _write_clip(clip: Clip, root: Path, sequence: str, first: int, pictures: Sequence[str]) -> None:
    """Write frames, labels and flow of a clip; `pictures`: those of its labels that are pictures in [-1, 1]."""
    images = {IMAGES: _levels(clip.frames), **{kind: _levels(clip.labels[kind]) for kind in pictures}}
    for kind, label in clip.labels.items():
        if not label.is_floating_point():
            images[kind] = label.to(torch.uint8).numpy()
    if clip.instances is not None:
        images["instances"] = clip.instances.numpy().astype(np.uint16)
    kinds = [*images, *clip.labels] + ([] if clip.flow is None else ["flow"])
    folders = {kind: root / kind / sequence for kind in kinds}
    for folder in folders.values():
        folder.mkdir(parents=True, exist_ok=True)
    for index in range(len(clip.frames)):
        name = f"{first + index:06d}"
        for kind, pixels in images.items():
            write_png(folders[kind] / f"{name}.png", pixels[index])
        if clip.flow is not None and first + index > 0:
            _write_flow(folders["flow"] / f"{name}.npz", clip, index)


def _levels(pictures: Tensor) -> NDArray[np.uint8]:
    """Return pictures (T,C,H,W) in [-1,1], one channel or three, with 8 bits: (T,H,W) or (T,H,W,3)."""
    levels: NDArray[np.uint8] = ((pictures + 1) * 127.5).round().clamp(0, 255).to(torch.uint8).movedim(1, -1).numpy()
    return levels[..., 0] if levels.shape[-1] == 1 else levels


def _write_flow(path: Path, clip: Clip, index: int) -> None:
    assert clip.flow is not None  # noqa: S101 - the caller has looked
    arrays = {"flow": clip.flow[index].half().numpy()}
    if clip.flow_confidence is not None:
        arrays["confidence"] = clip.flow_confidence[index, 0].half().numpy()
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)  # type: ignore[arg-type]  # NumPy's annotations take the names for options
    path.write_bytes(buffer.getvalue())


def _write_landmarks(source: FacesSource, _clip: Clip, request: ClipRequest, folder: Path) -> None:
    for frame, face in enumerate(_shortened(source.landmarks(request)), request.start):
        (folder / f"{frame:06d}.json").write_text(json.dumps(face), encoding="utf-8")


def _write_keypoints(source: DancersSource, _clip: Clip, request: ClipRequest, folder: Path) -> None:
    for frame, points in enumerate(source.keypoints(request), request.start):
        person = {"person_id": [-1], "pose_keypoints_2d": _shortened(points.ravel())}
        text = json.dumps({"version": 1.3, "people": [person]})
        (folder / f"{frame:06d}.json").write_text(text, encoding="utf-8")


def _shortened(points: NDArray[np.float64]) -> list[Any]:
    """Return coordinates to a thousandth of a pixel."""
    found: list[Any] = points.round(3).tolist()
    return found


def _write_densepose(clip: Clip, request: ClipRequest, folder: Path) -> None:
    for frame, maps in enumerate(clip.labels[DENSEPOSE_KIND], request.start):
        write_png(folder / f"{frame:06d}.png", levels_of(maps.numpy()))
