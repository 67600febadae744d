"""Spectral norm in the talk's own wording, before and after its normalisation is scripted, and ours."""

import math

import torch
import vs_ops
from torch import Tensor
from torch.nn.functional import normalize

from vs_bench.operators.subjects.networks import Network, spectral_shapes
from vs_bench.operators.subjects.parameters import EPS, eager_all
from vs_bench.operators.subjects.subject import Make
from vs_bench.talk.calls import Calls, lines_of_scripting, measure_calls, outcome_of_calls, scripted
from vs_bench.talk.gelu import counted
from vs_bench.talk.outcome import Line, Outcome, line_of_ratio
from vs_bench.talk.setting import Row, Setting

BEFORE, AFTER = "v, u = normalize(mv(...))", "the same, scripted"
LAYERS, OURS = "iteration and division, layer by layer", "vs_ops.spectral_normalize_all"


def fuse_norm(x: Tensor, eps: float, out: Tensor) -> Tensor:
    """Normalise as the talk writes it; on its slide the function forgets to return what it made."""
    return normalize(x, dim=0, eps=eps, out=out)


def measure(setting: Setting) -> Outcome:
    """Measure the power iteration of all layers of a generator; then with the division, layer by layer and at once."""
    network: Network = setting.scale.spectral
    make = Make(device=setting.device)
    shapes = spectral_shapes(network)
    weights = [make.parameter(*shape, gradient=False) for shape in shapes]
    us = [make.direction(shape[0]) for shape in shapes]
    vs = [make.direction(math.prod(shape[1:])) for shape in shapes]
    layers = [(weight.flatten(1), u.clone(), v.clone()) for weight, u, v in zip(weights, us, vs, strict=True)]
    fused = scripted(fuse_norm)

    def before() -> None:
        for matrix, u, v in layers:
            normalize(torch.mv(matrix.t(), u), dim=0, eps=EPS, out=v)
            normalize(torch.mv(matrix, v), dim=0, eps=EPS, out=u)

    def after() -> None:
        for matrix, u, v in layers:
            fused(torch.mv(matrix.t(), u), EPS, v)
            fused(torch.mv(matrix, v), EPS, u)

    calls = {
        BEFORE: before,
        AFTER: after,
        LAYERS: lambda: eager_all(weights, us, torch.float32),
        OURS: lambda: vs_ops.spectral_normalize_all(weights, us, vs),
    }
    count = f"{sum(map(Tensor.numel, weights)) / 1e6:.1f} million weights"
    sentence = f"All {len(layers)} layers of the generator of {network}, {count}, forward, {counted(setting)}."
    return outcome_of_calls(sentence, measure_calls(setting, "spectral norm", calls), BEFORE, lines_of)


def lines_of(calls: Calls) -> tuple[Line, ...]:
    """Return the lines of the row. Pure."""
    return (
        *lines_of_scripting(calls, BEFORE, AFTER, LAYERS, OURS),
        line_of_ratio("ours: speed-up over layer by layer", calls.ratio(LAYERS, OURS)),
    )


ROW = Row(
    name="spectral",
    title="PyTorch JIT: spectral norm",
    says="`normalize(torch.mv(...))` of the power iteration, scripted; the talk shows the change and no figure.",
    figure="no figure",
    measure=measure,
    share=0.4,
)
