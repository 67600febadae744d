"""Power laws through a few measured points: y = a x^p, by least squares of logarithms. Pure."""

import math
from collections.abc import Sequence

import attrs
from scipy import stats


@attrs.frozen(kw_only=True)
class Exponent:
    """The power by which something grows, with its 95 % interval: of Student's t, by how well the points fit it."""

    value: float
    low: float
    high: float

    @property
    def faster_than_linear(self) -> bool:
        """Whether it is larger than 1, and that is no accident."""
        return self.low > 1

    def __str__(self) -> str:
        return f"{self.value:.2f} ({self.low:.2f} to {self.high:.2f})"


def fit_exponent(amounts: Sequence[float], values: Sequence[float]) -> Exponent:
    """Return the exponent of the power law that is nearest to points, of which there have to be three or more.

    Raises:
        ValueError: Fewer points, or a number that has no logarithm.
    """
    if len(amounts) < 3 or min(*amounts, *values) <= 0:
        raise ValueError(f"a power law needs three points of positive numbers, got {amounts} and {values}")
    fit = stats.linregress([math.log(x) for x in amounts], [math.log(y) for y in values])
    error = 0.0 if math.isnan(fit.stderr) else fit.stderr  # of points that are all alike
    spread = float(stats.t.ppf(0.975, len(amounts) - 2) * error)
    return Exponent(value=float(fit.slope), low=float(fit.slope) - spread, high=float(fit.slope) + spread)
