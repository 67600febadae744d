"""`python -m vs_ops.info`: which implementation every operator uses here for common calls, and why not another."""

import importlib.util
import os
import sys
from collections.abc import Iterator, Sequence
from typing import Any

import torch

from vs_ops import OPERATORS, Candidate, DescribedCall, ImplementationError, Operator, VsOpsError, __version__, explain
from vs_ops.dispatch import ENVIRONMENT_VARIABLE, resolve
from vs_ops.rules import rules_for

_DEVICES = ("cpu", "cuda")
NOT_MEASURED = "nobody has measured; the order of preference decides"


def common_calls(operator: Operator[..., Any]) -> Iterator[DescribedCall]:
    """Yield the calls that the table shows for an operator."""
    for device_type in _DEVICES:
        for dtype in operator.example_dtypes:
            if device_type == "cuda" or dtype is not torch.float16:  # which nobody computes in on a CPU
                yield DescribedCall(device_type=device_type, dtype=dtype, shape=operator.example_shape)


def available() -> tuple[str, ...]:
    """Return lines about this machine: versions, devices, compilers, the environment variable."""
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    cuda = ", ".join(torch.cuda.get_device_name(index) for index in range(count)) or "no device"
    triton = "installed" if importlib.util.find_spec("triton") else "not installed"
    return (
        f"vs_ops {__version__}, torch {torch.__version__}, Python {sys.version.split()[0]}",
        f"cpu: {torch.get_num_threads()} threads; cuda: {cuda}; triton: {triton}",
        f"{ENVIRONMENT_VARIABLE}: {os.environ.get(ENVIRONMENT_VARIABLE) or 'not set'}",
        *(f"rules for {device_type}: {rules_for(device_type).source or NOT_MEASURED}" for device_type in _DEVICES),
    )


def table(operators: Sequence[Operator[..., Any]] = OPERATORS, *, override: str | None = None) -> tuple[str, ...]:
    """Return one line per operator and common call: what "auto" chooses, and why not the others.

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
            candidates = explain(operator, call)
            others = [_why_not(candidate, candidates, chosen) for candidate in candidates]
            others = [other for other in others if other]
            rows.append((operator.name, f"{call.device_type} {dtype} {call.shape}", chosen, "; ".join(others) or "-"))
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    return tuple(
        "  ".join((*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[3])) for row in rows
    )


def _why_not(candidate: Candidate[..., Any], candidates: Sequence[Candidate[..., Any]], chosen: str) -> str:
    """Say why this candidate is not the chosen one; nothing of the chosen one."""
    name = candidate.implementation.name
    if name == chosen:
        return ""
    taken = next(each.seconds for each in candidates if each.implementation.name == chosen)
    if candidate.reason is None and candidate.seconds and taken:
        return f"{name}: {candidate.seconds / taken:.1f} times the time"
    return f"{name}: {candidate.reason or 'by name only'}"


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
