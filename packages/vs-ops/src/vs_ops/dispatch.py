"""Choosing an implementation: a pure function of what is called, that can explain itself.

Every operator owns an `Operator` record with its implementations in order of preference. An implementation answers a
described call with the reason why it refuses it, or with None; the first without a reason wins. Adding an
implementation means adding one record to the tuple of its operator.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from typing import Any

import torch
from attrs import field, frozen

from vs_ops.errors import ImplementationError

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

    def __attrs_post_init__(self) -> None:
        functions = {each.name: each.function for each in self.implementations}
        object.__setattr__(self, "reference", functions["reference"])


@frozen(kw_only=True)
class Verdict:
    """What one implementation says to a call: `reason` is why it refuses, None when it accepts."""

    implementation: Implementation
    reason: str | None


def explain(operator: Operator, call: DescribedCall) -> tuple[Verdict, ...]:
    """Every implementation's verdict on a call, in order of preference."""
    return tuple(Verdict(implementation=each, reason=_reason(each, call)) for each in operator.implementations)


def choose(operator: Operator, call: DescribedCall, *, impl: str = "auto") -> Implementation:
    """The implementation for a call: the named one, or with "auto" the first that does not refuse.

    Raises:
        ImplementationError: `impl` names none of this operator's implementations, or the named one refuses the call.
    """
    verdicts = explain(operator, call)
    if impl == "auto":
        return next(verdict.implementation for verdict in verdicts if verdict.reason is None)
    for verdict in verdicts:
        if verdict.implementation.name == impl:
            if verdict.reason is not None:
                raise ImplementationError(operator.name, impl, verdict.reason)
            return verdict.implementation
    known = ", ".join(("auto", *(each.name for each in operator.implementations)))
    raise ImplementationError(operator.name, impl, f"this operator has only {known}")


def resolve(
    operator: Operator, call: DescribedCall, *, impl: str = "auto", override: str | None = None
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
    return choose(operator, call, impl=impl)


def select(operator: Operator, tensor: torch.Tensor, impl: str) -> Callable[..., Any]:
    """The function to call for `tensor`, which decides (see `DescribedCall`); choices are remembered.

    Under `torch.compile` "auto" is the reference, which Inductor fuses. Otherwise the environment variable
    `VS_OPS_IMPL` is the override of `resolve`.
    """
    if torch.compiler.is_compiling():
        if impl in ("auto", "reference"):
            return operator.reference
        index = _while_compiling(operator, tensor.device.type, tensor.dtype, _sketch(tensor), impl)
        return operator.implementations[index].function
    override = os.environ.get(ENVIRONMENT_VARIABLE)
    return _remembered(operator, tensor.device.type, tensor.dtype, tensor.shape, impl, override)


def _while_compiling(
    operator: Operator, device_type: str, dtype: torch.dtype, shape: tuple[int, ...], impl: str
) -> int:
    """`choose` for the compiler, which calls it while it traces, and takes its answer, an index, for a constant."""
    call = DescribedCall(device_type=device_type, dtype=dtype, shape=shape, compiling=True)
    return operator.implementations.index(choose(operator, call, impl=impl))


# This is all that the decorator `torch.compiler.assume_constant_result` does, which would import the compiler now.
_while_compiling._dynamo_marked_constant = True  # type: ignore[attr-defined]


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
