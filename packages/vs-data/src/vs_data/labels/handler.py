"""What a kind of label has to say of itself, so that folders of it can be listed, checked and read."""

from collections.abc import Callable, Iterator, Sequence

import attrs
import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from vs_data.body_driving import BodySubject
from vs_data.clips import LabelInfo
from vs_data.content import Content
from vs_data.driving import Subject
from vs_data.findings import Finding
from vs_data.geometry import Geometry
from vs_data.labels.colours import Colours
from vs_data.seen import Seen, Size, Traces
from vs_data.views import View


def _find_nothing(_place: str, _names: Sequence[str], _traces: Traces) -> Iterator[Finding]:
    return iter(())


ANY_PICTURE = (2**20, 2**20)
"""(H, W) of pictures that are large enough for any coordinates."""


@attrs.frozen(kw_only=True, eq=False)
class Target:
    """The place where a subject is to be drawn: a geometry, and whose face or body it is to become; None: its own."""

    geometry: Geometry
    subject: Subject | BodySubject | None = None


@attrs.frozen(kw_only=True, eq=False)
class LooseFiles:
    """The label files of a sequence that no pictures need to be beside.

    Attributes:
        first: the data of the first frame.
        view: geometry -> all of them through it.
        geometry: returns that of pictures of the sequence on their way to the size of the frames.
        framed: whether labels that have a size of their own go through that geometry too, as they do in training,
            since labels beside them are made at the size of the frames.
        target: where and as whose face a kind that has proportions is to be drawn, or None.
    """

    first: Content
    view: Callable[[Geometry], View]
    geometry: Callable[[], Geometry]
    framed: bool = False
    target: Target | None = None


@attrs.frozen(kw_only=True)
class LabelHandler:
    """The behaviour of a kind of label, as it is configured.

    Attributes:
        info: What it is to the networks.
        says: What its labels are, in a few words that end a sentence; of class ids the card of a model tells more.
        extensions: Which file names its files have, lower case, with the dot; the first is the usual one.
        read: (sequence, frames, subject) -> labels of these frames at the final size, (n,H,W) class ids or (n,C,H,W)
            float32 maps. `subject` is another sequence whose subject is shown in the motion of the first, or None: a
            kind that has proportions brings labels to those of the subject, and into its pictures. Raises `DataError`
            when a file is bad, or not of the size that the sequence is read in.
        open_loose: label files without pictures -> (H, W) of their labels, and what reads the labels of some of them,
            as `read` gives them.
        of_levels: ((H,W) greys or (H,W,3) RGB, file and frame for messages) -> the label of one frame, for pictures and
            pipes whose levels are labels. Raises `DataError` for what is none.
        exact_levels: Whether such levels must come as they were written, since they are ids; no mixture of them is one.
        videos: Whether a video may stand for the files of a sequence, which are pictures then.
        level_channels: How many of them there are for each pixel in a pipe.
        framed: Whether labels are made at the size of the frames, by drawing or computing, so that those that have a
            size of their own are brought to it when they are beside.
        grown: (label (C,H,W) that was resized, how much it grew: (x, y)) -> what it says in its new pixels; None: the
            same, since the kind has no numbers of pixels.
        mirrors: Whether labels can be mirrored with their frames; else `augment.flip` is refused beside them.
        computed: (pictures (H,W,3) RGB at the final size) -> their labels, as `read` gives them: the kind is computed
            from frames and has no files of its own. Then `extensions` are those of pictures, which are what labels
            are asked of where there are no frames: at synthesis.
        target: the sequence of a subject -> where and as whose face labels of others are to be drawn; None: the kind
            has no proportions.
        look: (data of a frame, size of its picture) -> what is seen in one file when a folder is checked; the size is
            None where the picture cannot be read. Raises `DataError` when the file is bad.
        check_sequence: (folder, names of frames, traces of their files) -> what is wrong with the files of a sequence
            that each for itself does not tell, besides what is looked for in labels of every kind; by default nothing.
        colours: The colour of each class in the files, where classes are stored as colours; None: they are not.
        covers: Whether maps are areas, not lines: what is below them is to be seen through them where they are shown.
        boxes: (sequence, frames, subject), as for `read` -> region of a person -> boxes (n,B,4), see `Clip.boxes`;
            None: the kind knows none.
    """

    info: LabelInfo
    says: str
    extensions: tuple[str, ...]
    read: Callable[[View, Sequence[int], View | None], Tensor]
    open_loose: Callable[[LooseFiles], tuple[Size, Callable[[Sequence[int]], Tensor]]]
    of_levels: Callable[[NDArray[np.uint8], str], Tensor]
    exact_levels: bool
    look: Callable[[Content, Size | None], Seen]
    videos: bool = False
    level_channels: int = 1
    framed: bool = False
    grown: Callable[[Tensor, tuple[float, float]], Tensor] | None = None
    mirrors: bool = True
    computed: Callable[[Sequence[NDArray[np.uint8]]], Tensor] | None = None
    target: Callable[[View], Target] | None = None
    check_sequence: Callable[[str, Sequence[str], Traces], Iterator[Finding]] = _find_nothing
    colours: Colours | None = None
    covers: bool = False
    boxes: Callable[[View, Sequence[int], View | None], dict[str, Tensor]] | None = None
