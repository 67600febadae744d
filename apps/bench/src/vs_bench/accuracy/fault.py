"""The planted fault of the accuracy experiment: a generator whose weights are kept in too few bits.

After every step of the generator's optimizer all its weights are rounded to so many bits of mantissa, as if there were
no float32 copy of them: what a step changes by less than half a unit in the last place is lost. That is the mistake
which mixed precision is built to avoid; bfloat16 has 7 bits of mantissa, float16 has 10. An experiment that cannot tell
such a run from a sound one cannot tell that O1 is as good as O0 either.

Nothing in the programs under test knows of it: the fault is a hook on optimizers for as long as a context lasts.
"""

import contextlib
from collections.abc import Iterator, Sequence

import attrs
import torch
from torch import Tensor
from torch.optim.optimizer import register_optimizer_step_post_hook

MAX_BITS = 22
"""One bit less than float32 has."""


@attrs.define
class Planted:
    """A count of how often the fault has struck so far.

    Attributes:
        steps: optimizer steps after which weights were rounded.
    """

    steps: int = 0


def round_mantissa(x: Tensor, bits: int) -> Tensor:
    """Round to the nearest number with `bits` bits of mantissa behind the leading one, ties to even.

    float32 of any shape; with 7 bits the result is that of a cast to bfloat16 and back, for numbers that are normal.
    The range of exponents stays that of float32.

    Raises:
        ValueError: bits outside 0 to 22, or another dtype.
    """
    if not 0 <= bits <= MAX_BITS or x.dtype is not torch.float32:
        message = f"bits from 0 to {MAX_BITS} and float32 are wanted; got {bits} and {x.dtype}"
        raise ValueError(message)
    # With frexp, the mantissa is in [0.5, 1): its first binary digit behind the point is the leading one.
    mantissa, exponent = torch.frexp(x)
    units = 2.0 ** (bits + 1)
    return torch.ldexp(torch.round(mantissa * units) / units, exponent)


def describe_fault(bits: int) -> str:
    """Return what is done to the weights, in words."""
    left = {0: "powers of two", 1: "1 bit of mantissa"}.get(bits, f"{bits} bits of mantissa")
    return f"weights of the generator rounded to {left}"


@contextlib.contextmanager
def rounded_weights(shapes: Sequence[torch.Size], bits: int) -> Iterator[Planted]:
    """Round after each of its steps the parameters of every optimizer whose parameters have just these shapes.

    Args:
        shapes: of the parameters of the network to be spoilt, in order: that is how its optimizer is known.
        bits: see `round_mantissa`.
    """
    planted = Planted()

    def spoil(optimizer: torch.optim.Optimizer, *_: object) -> None:
        parameters = [p for group in optimizer.param_groups for p in group["params"]]
        if [p.shape for p in parameters] != list(shapes):
            return
        with torch.no_grad():
            for p in parameters:
                p.copy_(round_mantissa(p, bits))
        planted.steps += 1

    handle = register_optimizer_step_post_hook(spoil)
    try:
        yield planted
    finally:
        handle.remove()
