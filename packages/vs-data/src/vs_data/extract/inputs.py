"""From frames to the input of a network, as its file's shapes and types ask for it."""

from collections.abc import Sequence
from typing import Any, Literal

import attrs
import cv2
import numpy as np
from numpy.typing import NDArray

from vs_data.extract.fits import Fit, place, plan_fit
from vs_data.extract.networks import Network, Value, refusal
from vs_data.extract.options import InputOptions, Layout
from vs_data.seen import Size

_REALS = ("float16", "float32", "float64")
_COUNTS = (1, 3)  # channels of a frame: greys or colours


@attrs.frozen(kw_only=True)
class InputPlan:
    """The form in which a network takes frames.

    Attributes:
        names: Of its inputs; two where it takes pairs of frames apart.
        layout: Of them.
        dtype: Of them, as NumPy calls it.
        channels: Of each frame.
        size: (H, W); None where the network takes any.
        batch: Frames at once; None: any number.
        options: The rest of it.
    """

    names: tuple[str, ...]
    layout: Layout
    dtype: str
    channels: int
    size: tuple[int | None, int | None]
    batch: int | None
    options: InputOptions


def plan_input(network: Network, options: InputOptions, frames: Literal[1, 2]) -> InputPlan:
    """Find out from a network's inputs in which form it takes frames.

    Args:
        network: The network.
        options: What the file does not say.
        frames: How many it gets: 2 for flow, as two inputs or as channels of one.

    Raises:
        DataError: It takes something else, or the shape does not say what the layout is.
    """
    first = network.inputs[0] if network.inputs else None
    if first is None or len(network.inputs) > frames or any(_other(first, value) for value in network.inputs):
        taken = "two pictures, or one of both" if frames == 2 else "one picture"
        raise refusal(network, f"takes other inputs than {taken}", "export it so that it takes frames alone")
    together = frames // len(network.inputs)
    layout = _layout(network, first, options.layout, together)
    if first.dtype not in (*_REALS, "uint8"):
        raise refusal(network, f"takes pictures of {first.dtype}", f"expected {', '.join(_REALS)} or uint8")
    channels, height, width = (first.shape[axis] for axis in ((1, 2, 3) if layout == "nchw" else (3, 1, 2)))
    if channels is not None and channels not in [count * together for count in _COUNTS]:
        raise refusal(network, f"takes pictures of {channels} channels", "choose another --layout, or another model")
    plan = InputPlan(
        names=tuple(value.name for value in network.inputs),
        layout=layout,
        dtype=first.dtype,
        channels=3 if channels is None else channels // together,
        size=(height, width),
        batch=first.shape[0],
        options=options,
    )
    _check_options(network, plan)
    return plan


def _other(first: Value, value: Value) -> bool:
    return len(value.shape) != 4 or value.dtype != first.dtype


def _layout(network: Network, value: Value, said: Literal["auto", "nchw", "nhwc"], together: int) -> Layout:
    """Return the layout that is said, or that the shape says: the axis that is as long as there are channels."""
    if said != "auto":
        return said
    counts = [count * together for count in _COUNTS]
    fits = [value.shape[axis] in counts for axis in (1, 3)]
    if fits[0] == fits[1]:
        channels = " or ".join(map(str, counts))
        what = f"the shape of its input does not say where {channels} channels are"
        raise refusal(network, what, "choose --layout nchw or nhwc, or another model")
    return "nchw" if fits[0] else "nhwc"


def _check_options(network: Network, plan: InputPlan) -> None:
    options = plan.options
    for name, said, fixed in zip(("height", "width"), (options.height, options.width), plan.size, strict=True):
        if said is not None and fixed is not None and said != fixed:
            raise refusal(network, f"--{name} {said}: it takes {fixed} alone", f"leave out --{name}")
    for name, values in (("mean", options.mean), ("std", options.std)):
        if len(values) not in (0, 1, plan.channels):
            fix = f"give one, or one for each of {plan.channels} channels"
            raise refusal(network, f"--{name}: got {len(values)} numbers", fix)
    if plan.dtype == "uint8" and (options.mean or options.std or options.input_range != InputOptions().input_range):
        fix = "leave out --input-range, --mean and --std"
        raise refusal(network, "takes bytes, which are not normalised", fix)


def fit_to(plan: InputPlan, source: Size) -> Fit:
    """Return where frames (H, W) lie in the input."""
    options = plan.options
    said = (options.height, options.width)
    size = tuple(
        fixed or -(-(wanted or length) // options.multiple) * options.multiple
        for fixed, wanted, length in zip(plan.size, said, source, strict=True)
    )
    return plan_fit(source, (size[0], size[1]), options.fit)


def feeds_of(plan: InputPlan, fit: Fit, items: Sequence[Sequence[NDArray[np.uint8]]]) -> dict[str, NDArray[Any]]:
    """Return what a network gets: items are frames (H,W,3), or pairs of them; the last fills up a fixed batch."""
    filled = [*items, *[items[-1]] * ((plan.batch or 0) - len(items))]
    inputs = [np.stack([_prepared(plan, fit, frame) for frame in frames]) for frames in zip(*filled, strict=True)]
    if len(plan.names) < len(inputs):
        inputs = [np.concatenate(inputs, axis=1 if plan.layout == "nchw" else 3)]
    return dict(zip(plan.names, inputs, strict=True))


def _prepared(plan: InputPlan, fit: Fit, frame: NDArray[np.uint8]) -> NDArray[Any]:
    """Return one frame as the network wants it, without the axis of the batch."""
    placed: NDArray[Any] = place(fit, frame, plan.options.pad)
    if plan.channels == 1:
        placed = np.asarray(cv2.cvtColor(placed, cv2.COLOR_RGB2GRAY))[..., None]
    elif plan.options.colours == "bgr":
        placed = placed[..., ::-1]
    values = placed if plan.dtype == "uint8" else _normalised(placed, plan.options).astype(plan.dtype)
    return np.ascontiguousarray(values if plan.layout == "nhwc" else values.transpose(2, 0, 1))


def _normalised(pixels: NDArray[np.uint8], options: InputOptions) -> NDArray[np.float32]:
    low, high = options.input_range
    values = pixels.astype(np.float32) * np.float32((high - low) / 255) + np.float32(low)
    if options.mean:
        values -= np.asarray(options.mean, np.float32)
    if options.std:
        values /= np.asarray(options.std, np.float32)
    return values
