"""Labels of the frames of a sequence, one after the other, by a network that takes some of them at once."""

from collections.abc import Callable, Generator, Iterator
from itertools import islice, pairwise
from typing import Any, TypeAlias

import attrs
import numpy as np
from numpy.typing import NDArray

from vs_data.errors import DataError
from vs_data.extract.fits import Fit
from vs_data.extract.inputs import InputPlan, feeds_of, fit_to, plan_input
from vs_data.extract.networks import Network, refusal, run_network
from vs_data.extract.options import ExtractKind, InputOptions, OutputOptions
from vs_data.extract.outputs import Label, choose_reading, joined_coordinates
from vs_data.flow import ThereAndBackConfig
from vs_data.flows.directions import consistency
from vs_data.geometry import inside
from vs_data.seen import Size

Frames: TypeAlias = Iterator[NDArray[np.uint8]]
"""Frames (H,W,3) RGB of one size, in order."""


@attrs.frozen(kw_only=True)
class Task:
    """The frames that are to be labelled.

    Attributes:
        kind: Of label.
        sequence: Name of their sequence.
        size: (H, W) of each.
        count: How many labels there will be: one for each frame; of flow, none for the first.
    """

    kind: ExtractKind
    sequence: str
    size: Size
    count: int


Labels: TypeAlias = Generator[Label, None, None]
"""Labels in the order of their frames; closed, it ends whatever makes them."""

Labeller: TypeAlias = Callable[[Frames, Task], Labels]
"""Something that labels the frames of a sequence as it gets them."""

Item: TypeAlias = tuple[NDArray[np.uint8], ...]
"""What a label is made of: a frame, or two in the order in which the network takes them."""


def label_by_network(network: Network, given: InputOptions, wanted: OutputOptions, kind: ExtractKind) -> Labeller:
    """Return what labels frames by a network; one of flow is asked twice, there and back, for the confidence in it.

    Raises:
        DataError: The network takes something else than frames.
    """
    plan = plan_input(network, given, 2 if kind == "flow" else 1)

    def label(frames: Frames, task: Task) -> Labels:
        fit = fit_to(plan, task.size)
        for items in _batches(_items(frames, kind, wanted), plan.batch or given.batch):
            labels = labels_of(network, plan, fit, items, wanted, kind)
            if kind == "flow":
                turned: list[Item] = [item[::-1] for item in items]
                yield from map(_with_trust, labels, labels_of(network, plan, fit, turned, wanted, kind))
            else:
                yield from labels

    return label


def _items(frames: Frames, kind: ExtractKind, wanted: OutputOptions) -> Iterator[Item]:
    """Yield what each label is made of: a frame, or two, in the order in which the network takes them."""
    if kind != "flow":
        yield from ((frame,) for frame in frames)
        return
    for before, now in pairwise(frames):
        yield (now, before) if wanted.first == "now" else (before, now)


def _batches(items: Iterator[Item], size: int) -> Iterator[list[Item]]:
    while batch := list(islice(items, size)):
        yield batch


def labels_of(
    network: Network, plan: InputPlan, fit: Fit, items: list[Item], wanted: OutputOptions, kind: ExtractKind
) -> Iterator[Label]:
    """Yield the label of each item, which the network gets all at once.

    Raises:
        DataError: The network does not run with them, or gives something else than labels.
    """
    outputs = run_network(network, feeds_of(plan, fit, items))
    joined = joined_coordinates(outputs, kind, wanted, fit.size)
    if joined is not None:
        outputs, wanted = joined, attrs.evolve(wanted, units="pixels", axes="xy", points=None)
    reading = choose_reading(network, outputs, kind, wanted, plan.layout)
    found = outputs[reading.output]
    if len(found) != (plan.batch or len(items)):
        what = f"{reading.output} is {tuple(found.shape)} for {plan.batch or len(items)} frames"
        raise refusal(network, what, "expected one label for each; try --batch 1")
    for output in found[: len(items)]:
        if _has_nan(output):
            raise DataError(
                f"{reading.output} holds nan", file=str(network.path), fix="see --input-range, --mean, --std"
            )
        yield reading.read(output, fit)


def _with_trust(there: Label, back: Label) -> Label:
    """Return flow with the confidence in it, (3,H,W): 1 where it leads there and back, and into the picture."""
    how = ThereAndBackConfig()
    flow, other = (np.ascontiguousarray(each.transpose(1, 2, 0)) for each in (there, back))
    with np.errstate(over="ignore", invalid="ignore"):  # flow beyond any picture, which cannot be written anyway
        trust = consistency(flow, other, how.relative, how.absolute) * inside(flow)
    return np.concatenate([there, trust[None]])


def _has_nan(output: NDArray[Any]) -> bool:
    return output.dtype.kind == "f" and bool(np.isnan(output).any())
