"""What a kind of label has to say of itself, so that folders of it can be listed, checked and read."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import attrs
from torch import Tensor

from vs_data.clips import LabelInfo
from vs_data.findings import Finding
from vs_data.seen import Seen, Size, Traces
from vs_data.views import View


def _find_nothing(_place: str, _names: Sequence[str], _traces: Traces) -> Iterator[Finding]:
    return iter(())


@attrs.frozen(kw_only=True)
class LabelHandler:
    """The behaviour of a kind of label, as it is configured.

    Attributes:
        info: What it is to the networks.
        extensions: Which file names its files have, lower case, with the dot; the first is the usual one.
        read: (sequence, frames, subject) -> labels of these frames at the final size, (n,H,W) class ids or (n,C,H,W)
            float32 maps. `subject` is another sequence whose subject is shown in the motion of the first, or None: a
            kind that has proportions brings labels to those of the subject, and into its pictures. Raises `DataError`
            when a file is bad, or not of the size that the sequence is read in.
        look: (file, size of the frame's picture) -> what is seen in one file when a folder is checked; the size is None
            where the picture cannot be read. Raises `DataError` when the file is bad.
        check_sequence: (folder, names of frames, traces of their files) -> what is wrong with the files of a sequence
            that each for itself does not tell, besides what is looked for in labels of every kind; by default nothing.
    """

    info: LabelInfo
    extensions: tuple[str, ...]
    read: Callable[[View, Sequence[int], View | None], Tensor]
    look: Callable[[Path, Size | None], Seen]
    check_sequence: Callable[[str, Sequence[str], Traces], Iterator[Finding]] = _find_nothing
