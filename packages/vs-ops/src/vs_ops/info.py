"""`python -m vs_ops.info`: which implementation every operator uses here for common calls, and why not another."""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Iterator, Sequence

import torch

from vs_ops import OPERATORS, DescribedCall, ImplementationError, Operator, VsOpsError, __version__, explain
from vs_ops.dispatch import ENVIRONMENT_VARIABLE, Verdict, resolve
from vs_ops.rules import rules_for

__all__ = ["available", "main", "table"]

_FLOATS = (
    ("cpu", torch.float32),
    ("cpu", torch.bfloat16),
    ("cuda", torch.float32),
    ("cuda", torch.float16),
    ("cuda", torch.bfloat16),
)
_DEVICES = ("cpu", "cuda")
NOT_MEASURED = "nobody has measured; the order of preference decides"
_KINDS = {
    "one_hot": (("cpu", torch.uint8), ("cuda", torch.uint8)),
    "ema": (("cpu", torch.float32), ("cuda", torch.float32)),
}
_FEATURES = (1, 32, 128, 256)
_SHAPES = {
    "gelu": _FEATURES,
    "bias_leaky_relu": _FEATURES,
    "instance_norm": _FEATURES,
    "spade": _FEATURES,
    "feature_matching": _FEATURES,
    "reference_matrix": _FEATURES,
    "upsample_conv2d": (1, 32, 64, 128),
    "hinge_d_real": (1, 1, 16, 32),
    "hinge_d_fake": (1, 1, 16, 32),
    "hinge_g": (1, 1, 16, 32),
    "power_iteration": (256, 2304),
    "spectral_normalize": (256, 256, 3, 3),
    "singular_values": (256, 256, 3, 3),
    "spectral_normalize_all": (256, 256, 3, 3),
    "warp": (1, 3, 128, 256),
    "warp_and_blend": (1, 3, 128, 256),
    "masked_l1": (1, 2, 128, 256),
    "mask_loss": (1, 1, 128, 256),
    "one_hot": (1, 128, 256),
    "ema": (256, 256, 3, 3),
    "hyper_conv2d": (2, 64, 32, 1, 1),
    "label_conv2d": (32, 35, 3, 3),
    "attend": (1, 2, 128, 64, 64),
}


def common_calls(operator: Operator) -> Iterator[DescribedCall]:
    """The calls that the table shows for an operator."""
    shape = _SHAPES.get(operator.name, _FEATURES)
    kinds = _KINDS.get(operator.name, _FLOATS)
    for device_type, dtype in kinds:
        yield DescribedCall(device_type=device_type, dtype=dtype, shape=shape)


def available() -> tuple[str, ...]:
    """Lines about this machine: versions, devices, compilers, the environment variable."""
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    cuda = ", ".join(torch.cuda.get_device_name(index) for index in range(count)) or "no device"
    triton = "installed" if importlib.util.find_spec("triton") else "not installed"
    return (
        f"vs_ops {__version__}, torch {torch.__version__}, Python {sys.version.split()[0]}",
        f"cpu: {torch.get_num_threads()} threads; cuda: {cuda}; triton: {triton}",
        f"{ENVIRONMENT_VARIABLE}: {os.environ.get(ENVIRONMENT_VARIABLE) or 'not set'}",
        *(f"rules for {device_type}: {rules_for(device_type).source or NOT_MEASURED}" for device_type in _DEVICES),
    )


def table(operators: Sequence[Operator] = OPERATORS, *, override: str | None = None) -> tuple[str, ...]:
    """One line per operator and common call: what "auto" chooses, and why not the others.

    Of an implementation that accepts the call it says how many times as long it took as the chosen one where both were
    measured, else "by name only".

    Raises:
        ImplementationError: `override` names no implementation.
    """
    rows = [("operator", "call", "auto", "others")]
    for operator in operators:
        for call in common_calls(operator):
            dtype = str(call.dtype).removeprefix("torch.")
            chosen = resolve(operator, call, override=override).name
            verdicts = explain(operator, call)
            others = [_said_of(verdict, verdicts, chosen) for verdict in verdicts]
            others = [other for other in others if other]
            rows.append((operator.name, f"{call.device_type} {dtype} {call.shape}", chosen, "; ".join(others) or "-"))
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    return tuple(
        "  ".join((*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[3])) for row in rows
    )


def _said_of(verdict: Verdict, verdicts: Sequence[Verdict], chosen: str) -> str:
    """Why this implementation is not the chosen one; empty of the chosen one."""
    name = verdict.implementation.name
    if name == chosen:
        return ""
    taken = next(each.seconds for each in verdicts if each.implementation.name == chosen)
    if verdict.reason is None and verdict.seconds and taken:
        return f"{name}: {verdict.seconds / taken:.1f} times the time"
    return f"{name}: {verdict.reason or 'by name only'}"


def main() -> int:
    """Print everything; 2 when `VS_OPS_IMPL` names nothing."""
    try:
        lines = (*available(), "", *table(override=os.environ.get(ENVIRONMENT_VARIABLE)))
    except ImplementationError as error:
        print(_as_line(error), file=sys.stderr)
        return 2
    print("\n".join(lines))
    return 0


def _as_line(error: VsOpsError) -> str:
    return f"error: {error}"


if __name__ == "__main__":
    raise SystemExit(main())
