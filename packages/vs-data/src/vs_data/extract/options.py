"""What somebody says of a network that labels frames: how frames become its input, and its output labels."""

from typing import Annotated, Literal, TypeAlias

import attrs
from cyclopts import Parameter
from vs_config import Range
from vs_config.commands import option_of

ExtractKind: TypeAlias = Literal["keypoints", "landmarks-dlib68", "seg_maps", "depth", "image", "flow"]
"""What labels are; depth is an `image` of one channel."""

Layout: TypeAlias = Literal["nchw", "nhwc"]

_MOST = 1e6
_PIXELS = option_of(Range(kind=int, low=16, high=8192))
_NUMBER = Range(kind=float, low=-_MOST, high=_MOST)
_POSITIVE = Range(kind=float, low=0, high=_MOST, open_low=True)
_LEVEL = option_of(Range(kind=int, low=0, high=255))
_SHARE = option_of(Range(kind=float, low=0, high=1))
_FEW = option_of(Range(kind=int, low=1, high=1024))
_REAL = option_of(_NUMBER)
_LIMITS = (Parameter(negative=""), option_of(_NUMBER, several=True))
_CHANNELS = (Parameter(consume_multiple=True, negative=""), option_of(_NUMBER, several=True))
_SCALES = (Parameter(consume_multiple=True, negative=""), option_of(_POSITIVE, several=True))


@attrs.frozen(kw_only=True)
class InputOptions:
    """The way in which frames become the input of a network.

    Attributes:
        layout: Whether channels come before (nchw) or after (nhwc) height and width; auto: the model's shape says it.
        colours: Order of the channels.
        height: Pixels, where the model takes any; by default those of the frame.
        width: Pixels, where the model takes any; by default those of the frame.
        multiple: Round height and width up to a multiple of this, where the model takes any.
        fit: How a frame comes to another size: stretched, or whole with bars around it; pad: and never enlarged.
        pad: Level of the bars, 0 to 255.
        input_range: Values of black and white where the model takes real numbers; bytes stay what they are.
        mean: Of each channel, in the order of the model; it is taken off values in the input range.
        std: Of each channel; values are divided by it.
        batch: Frames at once, where the model takes any number of them.
    """

    layout: Literal["auto", "nchw", "nhwc"] = "auto"
    colours: Literal["rgb", "bgr"] = "rgb"
    height: Annotated[int | None, _PIXELS] = None
    width: Annotated[int | None, _PIXELS] = None
    multiple: Annotated[int, _FEW] = 1
    fit: Literal["stretch", "letterbox", "pad"] = "stretch"
    pad: Annotated[int, _LEVEL] = 0
    input_range: Annotated[tuple[float, float], *_LIMITS] = (0.0, 1.0)
    mean: Annotated[tuple[float, ...], *_CHANNELS] = ()
    std: Annotated[tuple[float, ...], *_SCALES] = ()
    batch: Annotated[int, _FEW] = 4


@attrs.frozen(kw_only=True)
class OutputOptions:
    """The way in which the output of a network becomes labels.

    Attributes:
        output: Name of the output that is read; by default the only one whose shape fits the kind.
        output_layout: As the input's, for maps; auto: like the input.
        units: What coordinates and flow are: pixels of the model's input, or parts of its width and height. Of
            coordinates it must be said; flow is in pixels unless it is said.
        axes: Which of two coordinates is first, of points and of flow.
        points: How many points there are, where an output is one list of all their coordinates.
        activation: What confidence is made of: as it is, or by the logistic function, where it is logits.
        min_confidence: A frame has nobody in it where no point has as much confidence.
        threshold: Above it, an output of one channel is class 1, else class 0.
        value_range: Values of depth or images that become black and white of 16-bit PNG files; without it, real numbers
            are written as they are, to .npy files.
        first: Which frame a model of flow gets first: flow leads from the first to the second, and labels lead from a
            frame to the one before it, so that it is the present one; before: the model itself takes it otherwise.
    """

    output: str | None = None
    output_layout: Literal["auto", "nchw", "nhwc"] = "auto"
    units: Literal["pixels", "normalised"] | None = None
    axes: Literal["xy", "yx"] = "xy"
    points: Annotated[int | None, _FEW] = None
    activation: Literal["none", "sigmoid"] = "none"
    min_confidence: Annotated[float, _SHARE] = 0.05
    threshold: Annotated[float | None, _REAL] = None
    value_range: Annotated[tuple[float, float] | None, *_LIMITS] = None
    first: Literal["now", "before"] = "now"
