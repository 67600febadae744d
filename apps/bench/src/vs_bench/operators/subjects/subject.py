"""What is measured: an operator with arguments of a size that a network has, and the same without this package.

A `Plan` names them and builds them when it is their turn, so that no two subjects share the memory.
"""

from collections.abc import Callable, Sequence
from typing import Any, Literal

import attrs
import torch
from torch import Tensor
from vs_ops import DescribedCall, Operator
from vs_ops.dispatch import describe
from vs_training.tensors import tensors_in

MemoryFormat = Literal["channels_last", "contiguous"]
FORMATS = {"channels_last": torch.channels_last, "contiguous": torch.contiguous_format}


@attrs.frozen(kw_only=True)
class Make:
    """Makes the tensors of a subject, from a fixed seed, where and in what they are to be measured.

    Tensors of four axes (N, C, H, W) come in the memory format, all others are contiguous.
    """

    device: torch.device
    dtype: torch.dtype = torch.float32
    memory_format: MemoryFormat = "channels_last"
    _generator: torch.Generator = attrs.field(factory=lambda: torch.Generator().manual_seed(0), init=False)

    def __call__(self, *shape: int, gradient: bool = True, dtype: torch.dtype | None = None) -> Tensor:
        """Draw normal numbers of `dtype`, by default that which is measured."""
        numbers = torch.randn(shape, generator=self._generator).to(self.device, dtype or self.dtype)
        if numbers.dim() == 4:
            numbers = numbers.contiguous(memory_format=FORMATS[self.memory_format])
        return numbers.requires_grad_(gradient)

    def parameter(self, *shape: int, gradient: bool = True) -> Tensor:
        """Draw parameters as networks hold them: float32, and contiguous in any memory format."""
        return torch.randn(shape, generator=self._generator).to(self.device).requires_grad_(gradient)

    def direction(self, size: int) -> Tensor:
        """Draw a vector of length 1, float32, without gradient, as power iteration keeps them."""
        return torch.nn.functional.normalize(self.parameter(size, gradient=False), dim=0)

    def ids(self, classes: int, n: int, height: int, width: int) -> Tensor:
        """Draw class ids (N, H, W) as data sets have them: uint8, in [0, classes), in regions (of 16x16 pixels)."""
        regions = torch.randint(classes, (n, height // 16, width // 16), generator=self._generator, dtype=torch.uint8)
        return regions.repeat_interleave(16, 1).repeat_interleave(16, 2).to(self.device)


@attrs.frozen(kw_only=True, eq=False)
class Subject:
    """A call that can be measured.

    Attributes:
        call: calls our operator in the implementation of the name that it is given.
        eager: computes the same as one would in PyTorch without this package; see also `laid_out`.
        leaves: tensors of which gradients are wanted; with none of them only forward is measured.
        constants: all other tensors that are read.
        decides: the tensor that the choice between implementations looks at; the first one unless given.
        mutated: those of the tensors that are written in place.
        apex: returns NVIDIA apex's counterpart as a call, or raises `ImportError` where apex was built without it.
    """

    call: Callable[[str], object]
    eager: Callable[[], object]
    leaves: tuple[Tensor, ...] = ()
    constants: tuple[Tensor, ...] = ()
    decides: Tensor = attrs.field()
    mutated: tuple[Tensor, ...] = ()
    apex: Callable[[], Callable[[], object]] | None = None

    @decides.default
    def _first(self) -> Tensor:
        return (*self.leaves, *self.constants)[0]

    @property
    def described(self) -> DescribedCall:
        """The call as the dispatch sees it."""
        return describe(self.decides)

    @property
    def inputs(self) -> tuple[Tensor, ...]:
        """All tensors that are read."""
        return (*self.leaves, *self.constants)


@attrs.frozen(kw_only=True, eq=False)
class Plan:
    """An operator, where in which network the size comes from, and how to build the subject.

    Attributes:
        size: in words.
        build: makes the arguments and the calls.
        images: whether there are tensors to which a memory format applies.
        parameters: whether it computes with parameters of networks, which are float32 whatever else is computed in.
        rule: whether the choice between implementations shall learn from it.
        large: whether it takes gigabytes or seconds, too much to be tried in a test.
        gpu: whether it is a size that only GPUs train, and is left out elsewhere.
        note: what else is to be said beside the figures.
    """

    operator: Operator[..., Any]
    size: str
    build: Callable[[Make], Subject]
    images: bool = True
    parameters: bool = False
    rule: bool = True
    large: bool = False
    gpu: bool = False
    note: str = ""


def laid_out(result: Tensor, x: Tensor) -> Tensor:
    """Lay what eager PyTorch computed out in the memory format of `x`, if both are images.

    Our operators keep the format of their argument, and its instance norm and its sampler do not, so that whoever
    computes in channels-last order pays for the way back: on the spot, as here, or in the convolution that follows.
    """
    last = x.dim() == 4 and x.is_contiguous(memory_format=torch.channels_last)
    return result.contiguous(memory_format=torch.channels_last) if last else result


def work_of(call: Callable[[], object], leaves: Sequence[Tensor], repeats: int = 1) -> Callable[[], None]:
    """Return a function that runs `call` forward and, if there are `leaves`, backward to them, `repeats` times.

    The gradients of the results are ones, made beforehand.
    """
    if not leaves:
        return lambda: _repeat(call, repeats)
    cotangents = [torch.ones_like(one) for one in tensors_in(call()) if one.requires_grad]

    def run() -> None:
        for _ in range(repeats):
            results = [one for one in tensors_in(call()) if one.requires_grad]
            torch.autograd.grad(results, leaves, cotangents)

    return run


def _repeat(call: Callable[[], object], repeats: int) -> None:
    for _ in range(repeats):
        call()
