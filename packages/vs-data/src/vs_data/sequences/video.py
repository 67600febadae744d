"""Videos whose frames are labels, or what labels are computed from, decoded one at a time."""

from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice
from pathlib import Path

from vs_data.errors import DataError
from vs_data.geometry import apply_to_image, plan_geometry
from vs_data.labels import LabelKind, handler_of, has_files
from vs_data.seen import Size, size_of
from vs_data.sequences.frames import LabelFrame, LabelRequest, LabelSequence
from vs_data.sequences.motion import refuse_motion
from vs_data.videos import Stream, opened, require_exact, video_frames, video_levels


def open_video_labels(path: Path, how: LabelRequest) -> LabelSequence:
    """Open a video whose frames are labels of one kind, or what labels of any number of kinds are computed from.

    Grey levels are class ids, stored without loss; of drawn maps (edges of a face) 255 is 1, whatever the format. Of
    pictures they are the colours that a player shows, as in training.
    Frames that labels are computed from are brought to the size of the model's as training does it.

    Raises:
        DataError: it is no video, loses levels that are ids, or the model takes several kinds of label, or motion.
    """
    refuse_motion(how, str(path), "a video")
    if not any(map(has_files, how.kinds)):
        return _of_frames(path, how)
    if len(how.kinds) > 1:
        names = ", ".join(kind.folder for kind in how.kinds)
        raise DataError(
            "one video cannot hold several kinds of label", file=str(path), fix=f"name a folder with {names}"
        )
    (kind,) = how.kinds
    with opened(path) as (_, stream):
        if handler_of(kind).exact_levels:
            require_exact(stream, path)
        size = stream.height, stream.width
        return _sequence(path, stream, size, partial(_read, path, kind, how.frames), how)


def _of_frames(path: Path, how: LabelRequest) -> LabelSequence:
    """Open a video whose frames all labels are computed from."""
    with opened(path) as (_, stream):
        return _sequence(path, stream, how.size, partial(_computed, path, how), how)


def _sequence(
    path: Path,
    stream: Stream,
    size: Size,
    read: Callable[[], Iterator[LabelFrame]],
    how: LabelRequest,
) -> LabelSequence:
    frames = how.limit(stream.frames) if stream.frames else how.frames
    fps = float(stream.average_rate) if stream.average_rate else None
    return LabelSequence(name=path.stem, frames=frames, size=size, read=read, fps=fps)


def _computed(path: Path, how: LabelRequest) -> Iterator[LabelFrame]:
    for index, picture in enumerate(islice(video_frames(path), how.frames)):
        geometry = plan_geometry(size_of(picture), how.size, how.augment, None)
        small, where = apply_to_image(geometry, picture), f"{path} frame {index}"
        labels = {kind.folder: handler_of(kind).of_levels(small, where) for kind in how.kinds}
        yield LabelFrame(labels=labels, name=f"{index:06d}", where=where)


def _read(path: Path, kind: LabelKind, most: int | None) -> Iterator[LabelFrame]:
    handler = handler_of(kind)
    as_shown = handler.videos and not handler.exact_levels  # as training reads them where a video stands for files
    for index, levels in enumerate(islice(video_frames(path) if as_shown else video_levels(path), most)):
        where = f"{path} frame {index}"
        labels = {kind.folder: handler.of_levels(levels, where)}
        yield LabelFrame(labels=labels, name=f"{index:06d}", where=where)
