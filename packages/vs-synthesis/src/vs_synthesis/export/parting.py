"""The layer at which an exported program and the step that it was traced from part, from the same inputs."""

from collections.abc import Callable, Sequence
from typing import Any

import attrs
import torch
from torch import Tensor, nn

from vs_synthesis.export.formats import RunProgram

PARTED = 1e-3
"""Relative difference of a layer's output that no rounding explains."""


class Probed(nn.Module):
    """A step that returns after its outputs what its layers made, in the order in which they were done."""

    def __init__(self, step: nn.Module) -> None:
        super().__init__()
        self.step = step
        self.layers: tuple[str, ...] = ()
        """Names of those layers in the last call."""

    def forward(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        """Call the step."""
        made: list[tuple[str, Tensor]] = []
        handles = [
            module.register_forward_hook(_note(made, name)) for name, module in self.step.named_modules() if name
        ]
        try:
            outputs = self.step(*tensors)
        finally:
            for handle in handles:
                handle.remove()
        self.layers = tuple(name for name, _ in made)
        return (*outputs, *(x.clone() for _, x in made))


def _note(made: list[tuple[str, Tensor]], name: str) -> Callable[..., None]:
    def note(_: nn.Module, __: Any, output: Any) -> None:
        if isinstance(output, Tensor):
            made.append((name, output))

    return note


@attrs.frozen
class Parting:
    """A layer, and how far its outputs in the two are apart, relative to their size."""

    layer: str
    difference: float


def find_parting(step: Probed, inputs: Sequence[Tensor], run: RunProgram) -> Parting | None:
    """Return the first layer whose output differs by more than rounding, or None.

    Args:
        step: the step.
        inputs: what both are given.
        run: runs what the step was exported as, with the outputs of its layers.
    """
    with torch.inference_mode():
        ours, theirs = step(*inputs), run(*inputs)
    count = len(step.layers)
    for layer, one, other in zip(step.layers, ours[-count:], theirs[-count:], strict=True):
        difference = float((one.double() - other.double()).abs().max() / one.abs().max().clamp_min(1e-30))
        if not difference <= PARTED:
            return Parting(layer, difference)
    return None
