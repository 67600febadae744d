"""Measure every operator of vs-ops in every implementation that accepts the call, forward and backward.

Usage: hatch run bench:ops [--only NAME] [--rounds N] [--device cuda] [--dtype bfloat16]

Writes docs/benchmarks/ops-DEVICE-DTYPE.json, unless only some operators are measured.
"""

from collections.abc import Callable, Sequence
from typing import Literal

import attrs
import cyclopts
import torch
import vs_ops
from harness import Case, Result, as_record, command_of, measure, print_result, save_records
from rich.console import Console
from torch import Tensor
from vs_ops import DescribedCall, Operator

Make = Callable[..., Tensor]
HEIGHT, WIDTH, CHANNELS, CLASSES = 128, 256, 32, 35


@attrs.frozen(kw_only=True)
class Subject:
    """An operator with typical arguments: `leaves` are the tensors of which gradients are wanted.

    `first` is the tensor that the choice between implementations looks at.
    """

    operator: Operator
    call: Callable[[str], object]
    leaves: tuple[Tensor, ...]
    first: Tensor


def subjects(device: torch.device, dtype: torch.dtype) -> list[Subject]:
    """Return every operator with arguments as in training at 128x256, made on `device` from a fixed seed."""
    generator = torch.Generator().manual_seed(0)

    def make(*shape: int, gradient: bool = True) -> Tensor:
        return torch.randn(*shape, generator=generator).to(device, dtype).requires_grad_(gradient)

    return [
        *_losses(make),
        *_normalisations(make),
        *_pictures(make),
        *_labels(make, device, dtype),
        *_references(make),
        *_weights(make),
    ]


def _losses(make: Make) -> list[Subject]:
    logits = make(4, 1, 35, 67)
    a, b, mask = make(1, 3, HEIGHT, WIDTH), make(1, 3, HEIGHT, WIDTH, gradient=False), make(1, 1, HEIGHT, WIDTH)
    sizes = [(32, 65, 129), (64, 33, 65), (128, 34, 66), (1, 35, 67)]
    fake = [[make(1, *size) for size in sizes] for _ in range(2)]
    real = [[make(1, *size, gradient=False) for size in sizes] for _ in range(2)]
    layers = tuple(layer for scale in fake for layer in scale)
    return [
        _subject("hinge_d_real", lambda impl: vs_ops.hinge_d_real(logits, impl=impl), logits),
        _subject("hinge_d_fake", lambda impl: vs_ops.hinge_d_fake(logits, impl=impl), logits),
        _subject("hinge_g", lambda impl: vs_ops.hinge_g(logits, impl=impl), logits),
        _subject("masked_l1", lambda impl: vs_ops.masked_l1(a, b, mask, impl=impl), a, mask),
        _subject("mask_loss", lambda impl: vs_ops.mask_loss(mask, a, b, impl=impl), mask, a),
        _subject("feature_matching", lambda impl: vs_ops.feature_matching(fake, real, impl=impl), *layers),
    ]


def _normalisations(make: Make) -> list[Subject]:
    x = make(1, CHANNELS, HEIGHT, WIDTH)
    scale, shift = make(CHANNELS), make(CHANNELS)
    maps = [make(1, 2 * CHANNELS, HEIGHT, WIDTH) for _ in range(2)]
    weight = make(512, 256, 3, 3)
    matrix = weight.detach().flatten(1)
    u = torch.nn.functional.normalize(make(512, gradient=False).float(), dim=0)
    v = torch.nn.functional.normalize(make(256 * 9, gradient=False).float(), dim=0)
    return [
        _subject("instance_norm", lambda impl: vs_ops.instance_norm(x, scale, shift, impl=impl), x, scale, shift),
        _subject("spade", lambda impl: vs_ops.spade(x, maps, negative_slope=0.2, impl=impl), x, *maps),
        _subject("bias_leaky_relu", lambda impl: vs_ops.bias_leaky_relu(x, shift, impl=impl), x, shift),
        _subject("gelu", lambda impl: vs_ops.gelu(x, impl=impl), x),
        _subject("power_iteration", lambda impl: vs_ops.power_iteration(matrix, u, v, impl=impl), constant=[matrix]),
        _subject("spectral_normalize", lambda impl: vs_ops.spectral_normalize(weight, u, v, impl=impl), weight),
    ]


def _pictures(make: Make) -> list[Subject]:
    image, hallucinated = make(1, 3, HEIGHT, WIDTH), make(1, 3, HEIGHT, WIDTH)
    flow, mask = make(1, 2, HEIGHT, WIDTH), make(1, 1, HEIGHT, WIDTH)
    return [
        _subject("warp", lambda impl: vs_ops.warp(image, flow, impl=impl), image, flow),
        _subject(
            "warp_and_blend",
            lambda impl: vs_ops.warp_and_blend(image, flow, mask, hallucinated, impl=impl),
            *(image, flow, mask, hallucinated),
        ),
    ]


def _labels(make: Make, device: torch.device, dtype: torch.dtype) -> list[Subject]:
    """Regions of 16x16 pixels of one class."""
    generator = torch.Generator().manual_seed(0)
    regions = torch.randint(CLASSES, (1, HEIGHT // 16, WIDTH // 16), generator=generator)
    ids = regions.repeat_interleave(16, 1).repeat_interleave(16, 2).to(device)
    weight, bias = make(CHANNELS, CLASSES, 3, 3), make(CHANNELS)
    return [
        _subject("one_hot", lambda impl: vs_ops.one_hot(ids, CLASSES, dtype=dtype, impl=impl), constant=[ids]),
        _subject(
            "label_conv2d",
            lambda impl: vs_ops.label_conv2d(ids, weight, bias, padding=1, impl=impl),
            *(weight, bias),
        ),
    ]


def _references(make: Make) -> list[Subject]:
    """SPADE with generated weights, which is a convolution of one pixel; references at a quarter of the size."""
    x, weight, bias = make(2, CHANNELS, HEIGHT, WIDTH), make(2, 2 * CHANNELS, CHANNELS, 1, 1), make(2, 2 * CHANNELS)
    half, kernel, shift = (
        make(1, CHANNELS, HEIGHT // 2, WIDTH // 2),
        make(CHANNELS // 2, CHANNELS, 3, 3),
        make(CHANNELS // 2),
    )
    h, w = HEIGHT // 4, WIDTH // 4
    image, label = make(1, 2 * CHANNELS, h, w), make(1, 2 * CHANNELS, h, w)
    query, keys, values = make(1, 4 * CHANNELS, h, w), make(1, 2, 4 * CHANNELS, h, w), make(1, 2, 8 * CHANNELS, h, w)
    return [
        _subject("hyper_conv2d", lambda impl: vs_ops.hyper_conv2d(x, weight, bias, impl=impl), weight, x, bias),
        _subject(
            "upsample_conv2d", lambda impl: vs_ops.upsample_conv2d(half, kernel, shift, impl=impl), half, kernel, shift
        ),
        _subject("reference_matrix", lambda impl: vs_ops.reference_matrix(image, label, impl=impl), image, label),
        _subject("attend", lambda impl: vs_ops.attend(query, keys, values, impl=impl), keys, query, values),
    ]


def _weights(make: Make) -> list[Subject]:
    """Fifty weights, scaled and averaged in place; those of them that are no biases, normalised and measured."""
    sizes = [(64, 64, 3, 3)] * 20 + [(512, 256, 3, 3)] * 2 + [(64,)] * 28
    averages = [make(*size, gradient=False).float() for size in sizes]
    values, scales = [make(*size, gradient=False) for size in sizes], make(len(sizes), gradient=False).unbind()
    weights = [make(*size) for size in sizes if len(size) > 1]
    us = [make(len(one), gradient=False).float() for one in weights]
    vs = [make(one[0].numel(), gradient=False).float() for one in weights]

    def average(impl: str) -> list[Tensor]:
        vs_ops.ema(averages, values, share=0.001, scales=scales, impl=impl)
        return averages

    return [
        _subject("ema", average, constant=averages),
        _subject(
            "spectral_normalize_all", lambda impl: vs_ops.spectral_normalize_all(weights, us, vs, impl=impl), *weights
        ),
        _subject("singular_values", lambda impl: vs_ops.singular_values(weights, us, vs, impl=impl), *weights),
    ]


def _subject(name: str, call: Callable[[str], object], *leaves: Tensor, constant: Sequence[Tensor] = ()) -> Subject:
    operator = next(one for one in vs_ops.OPERATORS if one.name == name)
    return Subject(operator=operator, call=call, leaves=leaves, first=(*leaves, *constant)[0])


def cases_of(subject: Subject, repeats: int) -> list[Case]:
    """Return a case for each implementation that accepts the call: `repeats` times forward and, if asked, backward."""
    first = subject.first
    described = DescribedCall(device_type=first.device.type, dtype=first.dtype, shape=tuple(first.shape))
    verdicts = vs_ops.explain(subject.operator, described)
    chosen = vs_ops.choose(subject.operator, described).name
    return [
        Case(name=name, run=_work(subject, name, repeats), note="auto" if name == chosen else "")
        for name in (verdict.implementation.name for verdict in verdicts if verdict.reason is None)
    ]


def _work(subject: Subject, impl: str, repeats: int) -> Callable[[], None]:
    cotangents = [torch.ones_like(one) for one in _outputs(subject.call(impl))]

    def run() -> None:
        for _ in range(repeats):
            results = _outputs(subject.call(impl))
            if subject.leaves:
                torch.autograd.grad(results, subject.leaves, cotangents)

    return run


def _outputs(result: object) -> Sequence[Tensor]:
    """All tensors of a result, of which lists may be part; where some have gradients, only those."""
    parts = [result] if isinstance(result, Tensor) else list(result)  # type: ignore[call-overload]
    tensors = [one for part in parts for one in (part if isinstance(part, list) else [part]) if isinstance(one, Tensor)]
    return [one for one in tensors if one.requires_grad] or tensors


def _measure_one(subject: Subject, device: torch.device, rounds: int, repeats: int) -> Result:
    result = measure(cases_of(subject, repeats), rounds=rounds, device=device)
    way = "forward and backward" if subject.leaves else "forward"
    print_result(result, baseline="reference", title=f"{subject.operator.name}: {repeats} times {way}")
    return result


def main(
    *,
    only: tuple[str, ...] = (),
    rounds: int = 15,
    repeats: int = 10,
    device: str = "cpu",
    dtype: Literal["float32", "bfloat16", "float16"] = "float32",
) -> None:
    """Measure the operators by implementation.

    Args:
        only: Names of the operators to measure; all by default.
        rounds: Measured rounds; each runs every implementation once.
        repeats: Calls in one measurement.
        device: Where to compute.
        dtype: Of the arguments.
    """
    where = torch.device(device)
    everything = {subject.operator.name: subject for subject in subjects(where, getattr(torch, dtype))}
    unknown = set(only) - everything.keys()
    if unknown:
        raise SystemExit(f"no such operator: {', '.join(sorted(unknown))}; there are {', '.join(everything)}")
    records = {
        name: as_record(_measure_one(subject, where, rounds, repeats), baseline="reference")
        for name, subject in everything.items()
        if not only or name in only
    }
    if not only:
        content: dict[str, object] = {"dtype": dtype, "repeats": repeats, "operators": records}
        path = save_records(content, f"ops-{where.type}-{dtype}", command=command_of("bench:ops"))
        Console().print(f"written to {path}")


if __name__ == "__main__":
    cyclopts.run(main)
