"""Choosing an implementation: a pure function of what is called and of what was measured, that can explain itself.

Every operator owns an `Operator` record with its implementations in order of preference. An implementation answers a
described call with the reason why it refuses it, or with None. Of those without a reason the first wins, unless rules
that a benchmark has measured on that type of device say that another is quicker. Adding an implementation means adding
one record to the tuple of its operator.
"""

from __future__ import annotations

import functools
import math
import os
from collections.abc import Callable, Sequence
from typing import Any

import torch
from attrs import field, frozen

from vs_ops.errors import ImplementationError
from vs_ops.rules import Rules, measured_seconds, rules_for

__all__ = [
    "ENVIRONMENT_VARIABLE",
    "IMPLEMENTATION_NAMES",
    "DescribedCall",
    "Implementation",
    "Operator",
    "Verdict",
    "choose",
    "describe",
    "explain",
    "never_refuses",
    "resolve",
    "select",
]

ENVIRONMENT_VARIABLE = "VS_OPS_IMPL"
IMPLEMENTATION_NAMES = ("reference", "native", "torchscript", "inductor", "triton")

_ALWAYS = ("reference", "native")
"""What "auto" takes unasked; others only where they were measured to be quicker."""
_NEVER = ("inductor",)
"""What "auto" does not take at all: a compiler needs seconds for every new shape, and nobody expects to wait for it."""
_QUICKER, _QUICKER_SCRIPTED = 1.1, 1.25
"""How many times as long the preferred implementation must take before a measurement puts another in its place.

More for TorchScript, which is deprecated, and slow at its first calls.
"""


@frozen(kw_only=True)
class DescribedCall:
    """All that a choice depends on: where the operator's deciding tensor lives, and its dtype and shape.

    The deciding tensor is the operator's first, except of `hyper_conv2d` and `label_conv2d` the weight and of `attend`
    the keys.
    """

    device_type: str = "cpu"
    dtype: torch.dtype = torch.float32
    shape: tuple[int, ...] = ()
    compiling: bool = False


Refusal = Callable[[DescribedCall], str | None]


def never_refuses(call: DescribedCall) -> str | None:  # noqa: ARG001
    """Accept every call."""
    return None


@frozen(kw_only=True)
class Implementation:
    """One way to compute an operator; `refuse` answers a call with the reason not to use it, or None.

    `compilable` says that `torch.compile` may call it, as an operator that it does not look into.
    """

    name: str
    function: Callable[..., Any]
    refuse: Refusal = never_refuses
    compilable: bool = False


@frozen(kw_only=True, eq=False)
class Operator:
    """An operator and its implementations in order of preference; the one named `reference` never refuses."""

    name: str
    implementations: tuple[Implementation, ...]
    reference: Callable[..., Any] = field(init=False)
    index_while_compiling: Callable[..., int] = field(init=False, repr=False)
    """Which implementation the compiler takes: see `_while_compiling`."""

    def __attrs_post_init__(self) -> None:
        functions = {each.name: each.function for each in self.implementations}
        object.__setattr__(self, "reference", functions["reference"])
        object.__setattr__(self, "index_while_compiling", _while_compiling(self))


@frozen(kw_only=True)
class Verdict:
    """What one implementation says to a call: `reason` is why it refuses, None when it accepts.

    `seconds` is what it took for the nearest call that was measured, None when it was not.
    """

    implementation: Implementation
    reason: str | None
    seconds: float | None = None


def explain(operator: Operator, call: DescribedCall, *, rules: Rules | None = None) -> tuple[Verdict, ...]:
    """Every implementation's verdict on a call, in order of preference.

    `rules` are those that come with this package for the type of device, unless others are given.
    """
    rules = rules_for(call.device_type) if rules is None else rules
    measured = measured_seconds(rules, operator.name, call.dtype, math.prod(call.shape))
    return tuple(
        Verdict(implementation=each, reason=_reason(each, call), seconds=measured.get(each.name))
        for each in operator.implementations
    )


def choose(
    operator: Operator, call: DescribedCall, *, impl: str = "auto", rules: Rules | None = None
) -> Implementation:
    """The implementation for a call: the named one, or with "auto" the one that preference and `rules` decide for.

    Among those that do not refuse, "auto" prefers the first in order that needs neither a measurement (TorchScript,
    Triton) nor a compiler (Inductor, which it never takes), and leaves it for one that `rules` know to be quicker by a
    tenth or more, TorchScript by a quarter. Under `torch.compile` it takes the reference, through which the compiler
    can fuse.

    Raises:
        ImplementationError: `impl` names none of this operator's implementations, or the named one refuses the call.
    """
    verdicts = explain(operator, call, rules=rules)
    if impl == "auto":
        allowed = [each for each in verdicts if not call.compiling or each.implementation.name == "reference"]
        return _preferred(allowed).implementation
    for verdict in verdicts:
        if verdict.implementation.name == impl:
            if verdict.reason is not None:
                raise ImplementationError(operator.name, impl, verdict.reason)
            return verdict.implementation
    known = ", ".join(("auto", *(each.name for each in operator.implementations)))
    raise ImplementationError(operator.name, impl, f"this operator has only {known}")


def _preferred(verdicts: Sequence[Verdict]) -> Verdict:
    accepting = [each for each in verdicts if each.reason is None]
    first = next(each for each in accepting if each.implementation.name in _ALWAYS)
    measured = [each for each in accepting if each.seconds is not None and each.implementation.name not in _NEVER]
    if first.seconds is None or not measured:
        return first
    return min((first, *measured), key=lambda each: (each.seconds or 0.0) * _handicap(each, first))


def _handicap(verdict: Verdict, first: Verdict) -> float:
    if verdict.implementation is first.implementation:
        return 1.0
    return _QUICKER_SCRIPTED if verdict.implementation.name == "torchscript" else _QUICKER


def resolve(
    operator: Operator,
    call: DescribedCall,
    *,
    impl: str = "auto",
    override: str | None = None,
    rules: Rules | None = None,
) -> Implementation:
    """`choose`, except that `override` replaces "auto" wherever the implementation that it names accepts the call.

    Raises:
        ImplementationError: as `choose`, or `override` is the name of no implementation of any operator.
    """
    if impl == "auto" and override:
        allowed = ("auto", *IMPLEMENTATION_NAMES)
        if override not in allowed:
            reason = f"{ENVIRONMENT_VARIABLE} must be unset or one of {', '.join(allowed)}"
            raise ImplementationError(operator.name, override, reason)
        if any(each.implementation.name == override and each.reason is None for each in explain(operator, call)):
            impl = override
    return choose(operator, call, impl=impl, rules=rules)


def select(operator: Operator, tensor: torch.Tensor, impl: str) -> Callable[..., Any]:
    """The function to call for `tensor`, which decides (see `DescribedCall`); choices are remembered.

    Under `torch.compile` "auto" is the reference, which Inductor fuses. Otherwise the environment variable
    `VS_OPS_IMPL` is the override of `resolve`.
    """
    if torch.compiler.is_compiling():
        if impl in ("auto", "reference"):
            return operator.reference
        index = operator.index_while_compiling(tensor.device.type, tensor.dtype, _sketch(tensor), impl)
        return operator.implementations[index].function
    override = os.environ.get(ENVIRONMENT_VARIABLE)
    return _remembered(operator, tensor.device.type, tensor.dtype, tensor.shape, impl, override)


def _while_compiling(operator: Operator) -> Callable[..., int]:
    """`choose` for the compiler, which calls it while it traces, and takes its answer, an index, for a constant.

    What it calls with must be constants too, which an operator is not in every PyTorch: hence a function of its own.
    """

    def index(device_type: str, dtype: torch.dtype, shape: tuple[int, ...], impl: str) -> int:
        call = DescribedCall(device_type=device_type, dtype=dtype, shape=shape, compiling=True)
        return operator.implementations.index(choose(operator, call, impl=impl))

    # This is all that the decorator `torch.compiler.assume_constant_result` does, which would import the compiler now.
    index._dynamo_marked_constant = True  # type: ignore[attr-defined]
    return index


def _sketch(tensor: torch.Tensor) -> tuple[int, ...]:
    """The shape as far as the compiler has settled it: extents of two and more may change, and count as two."""
    return tuple(0 if extent == 0 else 1 if extent == 1 else 2 for extent in tensor.shape)


def describe(tensor: torch.Tensor, *, compiling: bool = False) -> DescribedCall:
    """The described call of an operator whose deciding tensor is `tensor`."""
    return DescribedCall(
        device_type=tensor.device.type, dtype=tensor.dtype, shape=tuple(tensor.shape), compiling=compiling
    )


@functools.lru_cache(maxsize=4096)
def _remembered(
    operator: Operator, device_type: str, dtype: torch.dtype, shape: torch.Size, impl: str, override: str | None
) -> Callable[..., Any]:
    call = DescribedCall(device_type=device_type, dtype=dtype, shape=tuple(shape))
    return resolve(operator, call, impl=impl, override=override).function


def _reason(implementation: Implementation, call: DescribedCall) -> str | None:
    if call.compiling and implementation.name != "reference" and not implementation.compilable:
        return "under torch.compile the reference is what the compiler can fuse"
    return implementation.refuse(call)
