"""Videos whose frames are labels, decoded one at a time."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from vs_data.errors import DataError
from vs_data.labels import LabelKind, handler_of
from vs_data.sequences.frames import LabelFrame, LabelRequest, LabelSequence
from vs_data.videos import opened, require_exact, video_levels


def open_video_labels(path: Path, how: LabelRequest) -> LabelSequence:
    """Open a video whose frames are labels of one kind.

    Grey levels are class ids, stored without loss; of drawn maps (edges of a face) 255 is 1, whatever the format.

    Raises:
        DataError: it is no video, loses levels that are ids, or the model takes several kinds of label.
    """
    if len(how.kinds) > 1:
        names = ", ".join(kind.folder for kind in how.kinds)
        raise DataError(
            "one video cannot hold several kinds of label", file=str(path), fix=f"name a folder with {names}"
        )
    (kind,) = how.kinds
    with opened(path) as (_, stream):
        if handler_of(kind).exact_levels:
            require_exact(stream, path)
        known, fps = stream.frames or None, float(stream.average_rate) if stream.average_rate else None
        size = stream.height, stream.width
    count = known if known is None else how.limit(known)
    return LabelSequence(
        name=path.stem,
        frames=how.frames if count is None else count,
        size=size,
        read=partial(_read, path, kind, how.frames),
        fps=fps,
    )


def _read(path: Path, kind: LabelKind, most: int | None) -> Iterator[LabelFrame]:
    for index, levels in enumerate(video_levels(path)):
        if index == most:
            return
        where = f"{path} frame {index}"
        labels = {kind.folder: handler_of(kind).of_levels(levels, where)}
        yield LabelFrame(labels=labels, name=f"{index:06d}", where=where)
