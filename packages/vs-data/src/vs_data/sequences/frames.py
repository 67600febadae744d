"""What all sources of labels have in common: a sequence that is read frame by frame, and how it is to be read."""

from collections.abc import Callable, Iterator, Mapping

import attrs
from torch import Tensor

from vs_data.clips import References
from vs_data.face_crop import FaceCropConfig
from vs_data.flow import FlowFilesConfig
from vs_data.geometry import AugmentConfig
from vs_data.labels import LabelKind, Target
from vs_data.names import Order


@attrs.frozen(kw_only=True, eq=False)
class LabelFrame:
    """The labels of one frame.

    Attributes:
        labels: kind -> (H,W) uint8 class ids, or (C,H,W) float32 maps; all of one size.
        name: of the frame, as a file name.
        where: file and frame, for messages.
        motion: (2,H,W) flow to the frame before and (1,H,W) confidence in it, as in a clip; None unless asked for.
    """

    labels: Mapping[str, Tensor]
    name: str
    where: str
    motion: tuple[Tensor, Tensor] | None = None


@attrs.frozen(kw_only=True)
class LabelSequence:
    """A sequence of labels that has been opened.

    Attributes:
        name: as a file name.
        frames: how many there are; None: nobody knows before the end.
        size: (H, W) of the labels, pixels.
        read: yields the frames in order, one at a time; `DataError` at a frame that is bad, when its turn comes.
        fps: frames per second, where the source says so.
    """

    name: str
    frames: int | None
    size: tuple[int, int]
    read: Callable[[], Iterator[LabelFrame]]
    fps: float | None = None


@attrs.frozen(kw_only=True, eq=False)
class ReferenceSubject:
    """A few frames of somebody, and what labels of others need to become theirs.

    Attributes:
        references: (K,3,H,W) frames with their labels.
        targets: kind of landmarks -> where and as whose face they are to be drawn.
    """

    references: References
    targets: Mapping[str, Target] = attrs.field(factory=dict)


@attrs.frozen(kw_only=True, eq=False)
class LabelRequest:
    """The way in which labels are to be read.

    Attributes:
        kinds: of labels, in the model's order.
        size: (H, W) of the frames that landmarks are drawn for, worlds are rendered in and raw bytes have.
        picture: (H, W) of the pictures that landmarks are pixels of, where no picture or map beside them tells; None:
            `size`, or where the face is cut out, any that has space for it.
        augment: how pictures of another size become that size; nothing is random.
        face_crop: how the face is cut out of them.
        order: how file names sort.
        frames: at most so many frames; None: all. Worlds have 60 unless this says otherwise.
        subject: whose proportions landmarks are brought to.
        motion: the files of motion beside the labels, for models that are given it; None: nobody asks for it.
    """

    kinds: tuple[LabelKind, ...]
    size: tuple[int, int]
    picture: tuple[int, int] | None = None
    augment: AugmentConfig = attrs.field(factory=AugmentConfig)
    face_crop: FaceCropConfig | None = None
    order: Order = "natural"
    frames: int | None = None
    subject: ReferenceSubject | None = None
    motion: FlowFilesConfig | None = None

    def limit(self, count: int) -> int:
        """Return how many of some frames are wanted."""
        return count if self.frames is None else min(count, self.frames)
