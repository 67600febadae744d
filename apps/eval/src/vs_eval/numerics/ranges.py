"""Low-precision formats, and how the magnitudes of tensors lie in them: counts by exponent, extremes, energy."""

import math
from collections.abc import Iterable

import attrs
import torch
from torch import Tensor

LOWEST, HIGHEST = -160, 160
"""Exponents that are told apart; what is beyond them counts as one of them. bfloat16 reaches from -133 to 127."""

BINS = HIGHEST - LOWEST + 1


@attrs.frozen(kw_only=True)
class Format:
    """A floating-point format. Exponents e stand for magnitudes in [2^e, 2^(e + 1)).

    Attributes:
        name: as PyTorch calls it.
        dtype: PyTorch's.
        normal: exponent of its smallest normal number.
        subnormal: exponent of its smallest number; half of that and less becomes zero.
        highest: exponent of its largest number.
        bits: binary digits after the leading one.
    """

    name: str
    dtype: torch.dtype
    normal: int
    subnormal: int
    highest: int
    bits: int

    @property
    def largest(self) -> float:
        """Its largest number."""
        return float(torch.finfo(self.dtype).max)

    @property
    def smallest(self) -> float:
        """Its smallest number above zero."""
        return 2.0**self.subnormal


FLOAT16 = Format(name="float16", dtype=torch.float16, normal=-14, subnormal=-24, highest=15, bits=10)
BFLOAT16 = Format(name="bfloat16", dtype=torch.bfloat16, normal=-126, subnormal=-133, highest=127, bits=7)
FORMATS = {each.name: each for each in (FLOAT16, BFLOAT16)}


@attrs.frozen(kw_only=True, eq=False)
class Magnitudes:
    """A distribution of the magnitudes of some numbers.

    Attributes:
        counts: (BINS,) int64: finite numbers other than zero by exponent, from `LOWEST` to `HIGHEST`.
        zeros: how many are zero.
        broken: how many are infinite or no number.
        largest: the largest finite magnitude; 0 where there is none.
        smallest: the smallest finite magnitude above zero; infinite where there is none.
        energy: sum of squares of the finite ones, in units of `largest` squared.
    """

    counts: Tensor = attrs.field(factory=lambda: torch.zeros(BINS, dtype=torch.int64))
    zeros: int = 0
    broken: int = 0
    largest: float = 0.0
    smallest: float = math.inf
    energy: float = 0.0

    @property
    def count(self) -> int:
        """How many numbers there are."""
        return int(self.counts.sum()) + self.zeros + self.broken

    @property
    def norm(self) -> float:
        """Root of the sum of squares."""
        return math.sqrt(self.energy) * self.largest

    @property
    def rms(self) -> float:
        """Root of the mean square."""
        return self.norm / math.sqrt(max(self.count - self.broken, 1))

    def scaled(self, factor: float) -> "Magnitudes":
        """Return the numbers times a factor above zero, best a power of 2, since counts move by whole exponents."""
        steps = round(math.log2(factor))
        counts = torch.zeros_like(self.counts)
        target = (torch.arange(BINS) + steps).clamp(0, BINS - 1)
        counts.index_add_(0, target, self.counts)
        return attrs.evolve(self, counts=counts, largest=self.largest * factor, smallest=self.smallest * factor)

    def fraction_above(self, form: Format) -> float:
        """Return the fraction that is too large for a format, exponents alone counting."""
        return self._fraction(int(self.counts[max(form.highest + 1 - LOWEST, 0) :].sum()))

    def fraction_lost(self, form: Format) -> float:
        """Return the fraction that is too small for a format: not zero, and zero after rounding."""
        return self._fraction(int(self.counts[: max(form.subnormal - 1 - LOWEST, 0)].sum()))

    def fraction_subnormal(self, form: Format) -> float:
        """Return the fraction that a format holds with fewer digits than it has."""
        return self._fraction(
            int(self.counts[max(form.subnormal - 1 - LOWEST, 0) : max(form.normal - LOWEST, 0)].sum())
        )

    @property
    def fraction_broken(self) -> float:
        """The fraction that is infinite or no number."""
        return self._fraction(self.broken)

    def _fraction(self, part: int) -> float:
        return part / max(self.count, 1)


def magnitudes_of(x: Tensor) -> Magnitudes:
    """Return the magnitudes of a tensor of any floating-point dtype, all of its elements counting."""
    if x.numel() == 0:
        return Magnitudes()
    wide = x.detach().abs().to(torch.promote_types(x.dtype, torch.float32)).flatten()
    finite = wide.isfinite()
    broken = int((~finite).sum())
    if broken:
        wide = wide[finite]
    positive = wide[wide > 0]
    if positive.numel() == 0:
        return Magnitudes(zeros=wide.numel(), broken=broken)
    largest, smallest = positive.max(), positive.min()
    exponents = torch.frexp(positive).exponent.long() - 1
    counts = torch.bincount(exponents.clamp(LOWEST, HIGHEST) - LOWEST, minlength=BINS)
    return Magnitudes(
        counts=counts.cpu(),
        zeros=wide.numel() - positive.numel(),
        broken=broken,
        largest=float(largest),
        smallest=float(smallest),
        energy=float((positive / largest).double().square().sum()),
    )


def finite_count(x: Tensor) -> Magnitudes:
    """Count the elements and those that are finite, and nothing else: finite ones count as zeros."""
    broken = x.numel() - int(x.detach().isfinite().sum())
    return Magnitudes(zeros=x.numel() - broken, broken=broken)


def combined(parts: Iterable[Magnitudes]) -> Magnitudes:
    """Add up the magnitudes of several tensors, as if they were one."""
    found = list(parts)
    largest = max((part.largest for part in found), default=0.0)
    return Magnitudes(
        counts=sum((part.counts for part in found), torch.zeros(BINS, dtype=torch.int64)),
        zeros=sum(part.zeros for part in found),
        broken=sum(part.broken for part in found),
        largest=largest,
        smallest=min((part.smallest for part in found), default=math.inf),
        energy=sum(part.energy * (part.largest / largest) ** 2 for part in found if part.largest),
    )
