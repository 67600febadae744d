"""How much a layer is at risk: four ways to lose digits, each in bits, and the worst of them.

Every risk is attributed: a layer is blamed for what it does itself, not for what others have done to its input. So a
layer that passes on what was too large already, or noise that came with its input, has a score of nothing.

- *cancellation*: a normalisation subtracts the mean. What the format rounds off an input x is about as large as the
  last digit of x, and after the normalisation it is larger by 1 / sqrt(variance + eps). In units of the last digit of a
  result of magnitude 1, the result's noise is sqrt(mean square of x / (variance + eps)), here as root mean square over
  all planes, of the worst call. An ordinary normalisation has about 1, which is 0 bits; one of nearly constant planes
  has up to |mean| / sqrt(eps). The same number says how much gradients grow relative to the input that they belong to.
  Of an input that came in float32, only the error that it was measured to have counts.
- *range*: the layer's largest output, in bits above 1/8 of the format's largest number, or its root mean square in bits
  below 8 times the smallest number; but no more than the bits by which it enlarges, or shrinks, its own input. A
  layer that makes finite inputs infinite loses all digits of the format at least.
- *gradient range*: one loss scale must fit all layers of an update. Where the root mean square of the output gradient
  of a typical layer (the median) is 2^8 above the smallest normal number, what does the layer's largest gradient exceed
  the format's largest number by? But no more than the bits by which the layer amplifies gradients.
- *noise*: by how many bits the measured relative error grows from the layer's input to its output; for
  normalisations cancellation is counted instead, since planes without variance have no relative error to speak of.
  Errors of results that lie where the format has fewer digits are no larger than that explains, and do not count.
"""

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence

import attrs

from vs_eval.numerics.facts import LayerFacts
from vs_eval.numerics.ranges import Format

ALARM = 3.0
"""Bits from which a layer is called at risk: its noise is eight times that of an ordinary layer."""

NEAR = 3
"""Bits below the format's largest number from which on a result counts as too large, and bits above its smallest number
from which on it counts as too small: the next clip may have larger or smaller ones."""

FOOT = 8
"""Bits between the root mean square of ordinary gradients and the smallest normal number: smaller ones lie there."""

CAUSES: Mapping[str, str] = {
    "cancellation": "planes with little variance: rounding errors of the input become noise",
    "range": "results leave the format's range",
    "gradient range": "no loss scale fits its gradients and those of ordinary layers",
    "noise": "the error grows inside the layer",
}
"""The risks, in words."""


@attrs.frozen(kw_only=True)
class Score:
    """Risks of a layer in bits, 0 where there is none.

    Attributes:
        cancellation, range, gradient_range, noise: see above.
    """

    cancellation: float = 0.0
    range: float = 0.0
    gradient_range: float = 0.0
    noise: float = 0.0

    @property
    def parts(self) -> Mapping[str, float]:
        """Each risk by the name that `CAUSES` has for it."""
        return {
            "cancellation": self.cancellation,
            "range": self.range,
            "gradient range": self.gradient_range,
            "noise": self.noise,
        }

    @property
    def total(self) -> float:
        """The worst of the risks."""
        return max(self.parts.values())

    @property
    def cause(self) -> str:
        """The name of the worst risk."""
        return max(self.parts, key=lambda name: self.parts[name])


def score_layers(layers: Sequence[LayerFacts], form: Format, typical: Mapping[str, float]) -> tuple[Score, ...]:
    """Return the score of each layer.

    Args:
        layers: their facts.
        form: the format that they were measured in.
        typical: network -> `typical_gradient` of its layers.
    """
    return tuple(
        Score(
            cancellation=_cancellation(layer, form),
            range=_range(layer, form),
            gradient_range=_gradient_range(layer, form, typical.get(layer.key[0], 0.0)),
            noise=0.0 if layer.norm is not None else _bits(layer.noise_growth),
        )
        for layer in layers
    )


def typical_gradient(layers: Iterable[LayerFacts]) -> Mapping[str, float]:
    """Return network -> median over its layers of the root mean square of output gradients, where there are any."""
    found: dict[str, list[float]] = {}
    for layer in layers:
        if layer.output_gradient is not None and layer.output_gradient.exact.rms > 0:
            found.setdefault(layer.key[0], []).append(layer.output_gradient.exact.rms)
    return {network: statistics.median(values) for network, values in found.items()}


def _cancellation(layer: LayerFacts, form: Format) -> float:
    if layer.norm is None:
        return 0.0
    kept = 1.0
    if layer.input is not None and layer.input.wide:  # then what it was rounded to is not the format's last digit
        kept = min(1.0, (layer.input.error or 0.0) * 2.0 ** (form.bits + 1))
    return _bits(layer.norm.noise_gain * kept)


def _range(layer: LayerFacts, form: Format) -> float:
    broken = float(form.bits) if layer.breaks else 0.0
    output = layer.output
    if output is None or layer.growth is None or output.wide or output.exact.largest == 0:
        return broken
    grown = math.log2(layer.growth)
    above = math.log2(output.exact.largest) - (math.log2(form.largest) - NEAR)
    risk = max(broken, min(above, grown), 0.0)
    if layer.norm is not None:  # its small results are differences of planes that hardly vary: cancellation says it
        return risk
    below = (form.subnormal + NEAR) - math.log2(output.exact.rms)
    return max(risk, min(below, -grown, form.bits))


def _gradient_range(layer: LayerFacts, form: Format, typical: float) -> float:
    gradient = layer.input_gradient
    if gradient is None or layer.amplification is None or typical == 0 or gradient.exact.largest == 0:
        return 0.0
    room = math.log2(form.largest) - form.normal - FOOT
    above = math.log2(gradient.exact.largest / typical) - room
    return max(0.0, min(above, math.log2(layer.amplification)))


def _bits(ratio: float | None) -> float:
    return max(0.0, math.log2(ratio)) if ratio else 0.0
