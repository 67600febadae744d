"""What two runs of the same step say of each layer: ranges in the format, errors, amplification, variances."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence

import attrs
import torch
from torch import Tensor

from vs_eval.numerics.norms import Normalisation
from vs_eval.numerics.ranges import Format, Magnitudes, combined
from vs_eval.numerics.trace import Call, LayerKey, Trace, Watched

SINGLE = (torch.float32, torch.float64)
"""What a layer in a low precision still returns where it is a float32 island."""


@attrs.frozen(kw_only=True, eq=False)
class Span:
    """One kind of tensor of a layer over all of its calls.

    Attributes:
        exact: magnitudes in the reference; of gradients times the loss scale.
        broken: fraction of elements that the low precision made infinite or no number.
        error: of the low precision, relative to the reference: norm of the difference over norm, on the sample, of
            what is finite; the worst of all calls. None where there is nothing to compare.
        wide: whether the low precision keeps it in float32, so that the format's limits do not concern it.
    """

    exact: Magnitudes
    broken: float
    error: float | None
    wide: bool


@attrs.frozen(kw_only=True, eq=False)
class NormFacts:
    """A normalisation and the variances that it meets, over all planes of all calls.

    Attributes:
        planes_over: what it takes mean and variance over, in words.
        eps: what it adds to the variance.
        planes: how many planes there were.
        below_eps: fraction of planes whose variance is below eps.
        variances: the smallest, the median, the largest variance.
        amplification: the median and the largest 1 / sqrt(variance + eps): how much it amplifies gradients.
        noise_gain: see `score.cancellation`; of the worst call.
        moments: (2, P): variance and mean square of each plane of the worst call.
    """

    planes_over: str
    eps: float
    planes: int
    below_eps: float
    variances: tuple[float, float, float]
    amplification: tuple[float, float]
    noise_gain: float
    moments: Tensor


@attrs.frozen(kw_only=True, eq=False)
class LayerFacts:
    """Facts on a layer over all of its calls; errors and amplification are those of the worst call.

    Attributes:
        key: network and module.
        kind: name of the module's class.
        calls: how often it was called.
        fed_by: the layer whose result it takes as it is, or None.
        output, input: forward.
        output_gradient, input_gradient: backward; None where there was no gradient.
        weight_gradient: of its own parameters; None where they have none.
        growth: largest output over largest input; None where there is no input.
        amplification: norm of the input's gradient over that of the output's, in the reference.
        noise_growth: error of the output over the largest error of what it takes, or where that is larger over half a
            unit in the last place, which is more for results that the format has fewer digits for.
        breaks: fraction of outputs that the low precision broke though it had broken no input.
        norm: where it normalises.
    """

    key: LayerKey
    kind: str
    calls: int
    fed_by: LayerKey | None
    output: Span | None
    input: Span | None
    output_gradient: Span | None
    input_gradient: Span | None
    weight_gradient: Span | None
    growth: float | None
    amplification: float | None
    noise_growth: float | None
    breaks: float
    norm: NormFacts | None

    @property
    def name(self) -> str:
        """Network and module in one word."""
        return ".".join(part for part in self.key if part)


def layer_facts(reference: Trace, low: Trace, form: Format, scales: Mapping[str, float]) -> tuple[LayerFacts, ...]:
    """Return the facts of all layers, in the order of their first calls; those that only have gradients come last.

    Args:
        reference: of a run without loss scaling.
        low: of the run in a format.
        form: that format.
        scales: network -> loss scale of its update in the low precision.
    """
    keys = list(dict.fromkeys([*reference.calls, *reference.weights]))
    return tuple(_layer(key, reference, low, form, scales) for key in keys)


def _layer(key: LayerKey, reference: Trace, low: Trace, form: Format, scales: Mapping[str, float]) -> LayerFacts:
    exact, rough = reference.calls.get(key, []), low.calls.get(key, [])
    pairs = list(zip(exact, rough, strict=True))
    norm = reference.norms.get(key)
    weights = list(zip(reference.weights.get(key, []), low.weights.get(key, []), strict=False))
    return LayerFacts(
        key=key,
        kind=reference.kinds[key],
        calls=len(exact),
        fed_by=reference.fed_by.get(key),
        output=_span([(a.output, b.output) for a, b in pairs], scales),
        input=_span([(a.input, b.input) for a, b in pairs], scales),
        output_gradient=_span([(a.output_gradient, b.output_gradient) for a, b in pairs], scales),
        input_gradient=_span([(a.input_gradient, b.input_gradient) for a, b in pairs], scales),
        weight_gradient=_span(weights, scales),
        growth=_worst(_ratio(a.output, a.input, lambda x: x.largest) for a in exact),
        amplification=_worst(_ratio(a.input_gradient, a.output_gradient, lambda x: x.norm) for a in exact),
        noise_growth=_worst(_noise_growth(a, b, form, scales) for a, b in pairs),
        breaks=max((_breaks(b) for b in rough), default=0.0),
        norm=None if norm is None else _norm_facts(norm, exact),
    )


def _span(pairs: Sequence[tuple[Watched | None, Watched | None]], scales: Mapping[str, float]) -> Span | None:
    both = [(a, b) for a, b in pairs if a is not None and b is not None]
    if not both:
        return None
    exact = combined(a.magnitudes.scaled(scales.get(a.update, 1.0)) for a, _ in both)
    rough = combined(b.magnitudes for _, b in both)
    return Span(
        exact=exact,
        broken=rough.fraction_broken,
        error=_worst(relative_error(a, b, scales) for a, b in both),
        wide=all(b.dtype in SINGLE for _, b in both),
    )


def relative_error(exact: Watched | None, rough: Watched | None, scales: Mapping[str, float]) -> float | None:
    """Divide the norm of the difference by that of the exact sample, of what is finite in both; None if nothing is."""
    if exact is None or rough is None:
        return None
    return _difference(exact.sample, rough.sample.double() / scales.get(exact.update, 1.0))


def _difference(exact: Tensor, rough: Tensor) -> float | None:
    a, b = exact.double(), rough.double()
    finite = a.isfinite() & b.isfinite()
    a, b = a[finite], b[finite]
    size = a.norm().item()
    return (a - b).norm().item() / size if size > 0 else None


def _noise_growth(exact: Call, rough: Call, form: Format, scales: Mapping[str, float]) -> float | None:
    after, before = relative_error(exact.output, rough.output, scales), relative_error(exact.input, rough.input, scales)
    if after is None or before is None:
        return None
    others = [_difference(a, b) or 0.0 for a, b in zip(exact.others, rough.others, strict=True)]
    rounding = max(2.0 ** -(form.bits + 1), form.smallest / 2 / max(exact.output.magnitudes.rms, form.smallest / 2))
    return after / max(before, *others, rounding)


def _breaks(rough: Call) -> float:
    if rough.input is not None and rough.input.magnitudes.broken:
        return 0.0
    return rough.output.magnitudes.fraction_broken


def _ratio(a: Watched | None, b: Watched | None, size: Callable[[Magnitudes], float]) -> float | None:
    if a is None or b is None or size(b.magnitudes) == 0 or size(a.magnitudes) == 0:
        return None
    return size(a.magnitudes) / size(b.magnitudes)


def _norm_facts(norm: Normalisation, calls: Sequence[Call]) -> NormFacts | None:
    found = [call.moments for call in calls if call.moments is not None]
    if norm.eps is None or not found:
        return None
    eps = norm.eps
    gains = [noise_gain(moments, eps) for moments in found]
    variances = torch.cat([moments[0] for moments in found])
    amplification = (variances + eps).rsqrt()
    return NormFacts(
        planes_over=norm.planes.name,
        eps=eps,
        planes=variances.numel(),
        below_eps=(variances < eps).double().mean().item(),
        variances=(variances.min().item(), variances.median().item(), variances.max().item()),
        amplification=(amplification.median().item(), amplification.max().item()),
        noise_gain=max(gains),
        moments=found[gains.index(max(gains))],
    )


def noise_gain(moments: Tensor, eps: float) -> float:
    """Return the root mean square over planes of sqrt(mean square / (variance + eps)), see `score.cancellation`."""
    return (moments[1] / (moments[0] + eps)).mean().sqrt().item()


def _worst(values: Iterable[float | None]) -> float | None:
    return max((value for value in values if value is not None and math.isfinite(value)), default=None)
