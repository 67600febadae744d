"""Writing the clips of a source to disk in the layout of data folders."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from vs_data.clips import Clip, ClipSource
from vs_data.errors import DataError
from vs_data.layout import IMAGES
from vs_data.pictures import write_png
from vs_data.sampling import iterate_sequence


def write_folder(
    source: ClipSource,
    root: Path,
    *,
    sequences: int,
    max_frames: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> int:
    """Write the first sequences of a source as `images/SEQ/FRAME.png`, `KIND/SEQ/FRAME.png`, `flow/SEQ/FRAME.npz`.

    Args:
        source: What to write; its label kinds become folders, and `flow` is written if clips have it.
        root: Folder to write to; made if missing, must be empty.
        sequences: How many sequences.
        max_frames: At most so many frames of each; None: all.
        progress: Called with (frames done, frames in all).

    Returns:
        The number of frames written.

    Raises:
        DataError: the folder is not empty or cannot be written; more sequences are asked for than there are.
    """
    if not 1 <= sequences <= len(source.sequences):
        raise DataError(f"{sequences} sequences asked for, allowed: 1 to {len(source.sequences)}")
    lengths = [min(info.frames, max_frames or info.frames) for info in source.sequences[:sequences]]
    try:
        root.mkdir(parents=True, exist_ok=True)
        if any(root.iterdir()):
            raise DataError("the folder is not empty", file=str(root), fix="choose another one")
        done = 0
        for index, info in enumerate(source.sequences[:sequences]):
            first = 0
            for clip in iterate_sequence(source, index, max_frames=max_frames):
                _write_clip(clip, root, info.name, first)
                first += clip.frames.shape[0]
                done += clip.frames.shape[0]
                if progress is not None:
                    progress(done, sum(lengths))
    except OSError as error:
        raise DataError(f"cannot be written: {error.strerror}", file=str(error.filename or root)) from error
    return done


def _write_clip(clip: Clip, root: Path, sequence: str, first: int) -> None:
    kinds = [IMAGES, *clip.labels] + ([] if clip.flow is None else ["flow"])
    folders = {kind: root / kind / sequence for kind in kinds}
    for folder in folders.values():
        folder.mkdir(parents=True, exist_ok=True)
    frames = ((clip.frames + 1) * 127.5).round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).numpy()
    for index, frame in enumerate(frames):
        name = f"{first + index:06d}"
        write_png(folders[IMAGES] / f"{name}.png", frame)
        for kind, ids in clip.labels.items():
            write_png(folders[kind] / f"{name}.png", ids[index].to(torch.uint8).numpy())
        if clip.flow is not None and first + index > 0:
            _write_flow(folders["flow"] / f"{name}.npz", clip, index)


def _write_flow(path: Path, clip: Clip, index: int) -> None:
    assert clip.flow is not None  # noqa: S101 - the caller has looked
    arrays = {"flow": clip.flow[index].half().numpy()}
    if clip.flow_confidence is not None:
        arrays["confidence"] = clip.flow_confidence[index, 0].half().numpy()
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)  # type: ignore[arg-type]  # NumPy's annotations take the names for options
    path.write_bytes(buffer.getvalue())
