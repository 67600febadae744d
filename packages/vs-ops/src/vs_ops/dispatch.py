"""Choosing an implementation: a pure function of what is called and of what was measured, that can explain itself.

Every operator owns an `Operator` record with its implementations in order of preference. An implementation answers a
described call with the reason why it refuses it, or with None. Of those without a reason the first wins, unless rules
that a benchmark has measured on that type of device say that another is quicker. Adding an implementation means adding
one record to the tuple of its operator.
"""

import functools
import math
import os
from collections.abc import Callable, Sequence
from typing import Any, Generic, ParamSpec, TypeVar

import attrs
import torch

from vs_ops.errors import ImplementationError
from vs_ops.rules import Rules, measured_seconds, rules_for

P = ParamSpec("P")
R = TypeVar("R")

ENVIRONMENT_VARIABLE = "VS_OPS_IMPL"
IMPLEMENTATION_NAMES = ("reference", "native", "torchscript", "inductor", "triton")

_ALWAYS = ("reference", "native")
"""What "auto" takes unasked; others only where they were measured to be quicker."""
_NEVER = ("inductor",)
"""What "auto" does not take at all: a compiler needs seconds for every new shape, and nobody expects to wait for it."""
_MIN_SPEED_UP, _MIN_SPEED_UP_SCRIPTED = 1.1, 1.25
"""How many times as long the preferred implementation must take before a measurement puts another in its place.

More for TorchScript, which is deprecated, and slow at its first calls.
"""


@attrs.frozen(kw_only=True)
class DescribedCall:
    """A call as far as a choice depends on it: where the operator's deciding tensor lives, and its dtype and shape.

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


@attrs.frozen(kw_only=True)
class Implementation(Generic[P, R]):
    """A way to compute an operator; `refuse` answers a call with the reason not to use it, or None.

    `compilable` says that `torch.compile` may call it, as an operator that it does not look into.
    """

    name: str
    function: Callable[P, R]
    refuse: Refusal = never_refuses
    compilable: bool = False


@attrs.frozen(kw_only=True, eq=False)
class Operator(Generic[P, R]):
    """An operator and its implementations in order of preference; the one named `reference` never refuses."""

    name: str
    implementations: tuple[Implementation[P, R], ...]
    example_shape: tuple[int, ...]
    """Shape of the deciding tensor (see `DescribedCall`) of a common call, for which `vs_ops.info` shows the choice."""
    example_dtypes: tuple[torch.dtype, ...] = (torch.float32, torch.float16, torch.bfloat16)
    """Its common dtypes."""
    reference: Callable[P, R] = attrs.field(init=False)
    index_while_compiling: Callable[[str, torch.dtype, tuple[int, ...], str], int] = attrs.field(init=False, repr=False)
    """Tells which implementation the compiler takes: see `_while_compiling`."""

    def __attrs_post_init__(self) -> None:
        functions = {each.name: each.function for each in self.implementations}
        object.__setattr__(self, "reference", functions["reference"])
        object.__setattr__(self, "index_while_compiling", _while_compiling(self))


@attrs.frozen(kw_only=True)
class Candidate(Generic[P, R]):
    """An implementation in view of a call: `reason` is why it refuses, None when it accepts.

    `seconds` is what it took for the nearest call that was measured, None when it was not.
    """

    implementation: Implementation[P, R]
    reason: str | None
    seconds: float | None = None


def explain(
    operator: Operator[P, R], call: DescribedCall, *, rules: Rules | None = None
) -> tuple[Candidate[P, R], ...]:
    """Ask every implementation about a call, in order of preference.

    `rules` are those that come with this package for the type of device, unless others are given.
    """
    rules = rules_for(call.device_type) if rules is None else rules
    measured = measured_seconds(rules, operator.name, call.dtype, math.prod(call.shape))
    return tuple(
        Candidate(implementation=each, reason=_reason(each, call), seconds=measured.get(each.name))
        for each in operator.implementations
    )


def choose(
    operator: Operator[P, R], call: DescribedCall, *, impl: str = "auto", rules: Rules | None = None
) -> Implementation[P, R]:
    """Return the implementation for a call: the named one, or with "auto" what preference and `rules` decide for.

    Among those that do not refuse, "auto" prefers the first in order that needs neither a measurement (TorchScript,
    Triton) nor a compiler (Inductor, which it never takes), and leaves it for one that `rules` know to be quicker by a
    tenth or more, TorchScript by a quarter. Under `torch.compile` it takes the reference, through which the compiler
    can fuse.

    Raises:
        ImplementationError: `impl` names none of this operator's implementations, or the named one refuses the call.
    """
    candidates = explain(operator, call, rules=rules)
    if impl == "auto":
        allowed = [each for each in candidates if not call.compiling or each.implementation.name == "reference"]
        return _preferred(allowed).implementation
    for candidate in candidates:
        if candidate.implementation.name == impl:
            if candidate.reason is not None:
                raise ImplementationError(operator.name, impl, candidate.reason)
            return candidate.implementation
    known = ", ".join(("auto", *(each.name for each in operator.implementations)))
    raise ImplementationError(operator.name, impl, f"this operator has only {known}")


def _preferred(candidates: Sequence[Candidate[P, R]]) -> Candidate[P, R]:
    accepting = [each for each in candidates if each.reason is None]
    first = next(each for each in accepting if each.implementation.name in _ALWAYS)
    measured = [each for each in accepting if each.seconds is not None and each.implementation.name not in _NEVER]
    if first.seconds is None or not measured:
        return first
    return min((first, *measured), key=lambda each: (each.seconds or 0.0) * _handicap(each, first))


def _handicap(candidate: Candidate[P, R], first: Candidate[P, R]) -> float:
    if candidate.implementation is first.implementation:
        return 1.0
    return _MIN_SPEED_UP_SCRIPTED if candidate.implementation.name == "torchscript" else _MIN_SPEED_UP


def resolve(
    operator: Operator[P, R],
    call: DescribedCall,
    *,
    impl: str = "auto",
    override: str | None = None,
    rules: Rules | None = None,
) -> Implementation[P, R]:
    """Do as `choose` does, except that `override` replaces "auto" wherever what it names accepts the call.

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


def select(operator: Operator[P, R], tensor: torch.Tensor, impl: str) -> Callable[P, R]:
    """Return the function to call for `tensor`, which decides (see `DescribedCall`); choices are remembered.

    Under `torch.compile` "auto" is the reference, which Inductor fuses. Otherwise the environment variable
    `VS_OPS_IMPL` is the override of `resolve`.
    """
    if torch.compiler.is_compiling():
        if impl in ("auto", "reference"):
            return operator.reference
        index = operator.index_while_compiling(tensor.device.type, tensor.dtype, _sketch(tensor), impl)
        return operator.implementations[index].function
    index = _remembered(operator, tensor.device.type, tensor.dtype, tensor.shape, impl, wanted_everywhere())
    return operator.implementations[index].function


def wanted_everywhere() -> str | None:
    """Return the implementation that the environment asks for wherever a caller leaves the choice, if it does."""
    return os.environ.get(ENVIRONMENT_VARIABLE)


def _while_compiling(operator: Operator[..., Any]) -> Callable[[str, torch.dtype, tuple[int, ...], str], int]:
    """Return `choose` for the compiler, which calls it while it traces, and takes the index it answers for a constant.

    What it calls with must be constants too, which an operator is not in every PyTorch: hence a function of its own.
    """

    def index(device_type: str, dtype: torch.dtype, shape: tuple[int, ...], impl: str) -> int:
        call = DescribedCall(device_type=device_type, dtype=dtype, shape=shape, compiling=True)
        return operator.implementations.index(choose(operator, call, impl=impl))

    # This is all that the decorator `torch.compiler.assume_constant_result` does, which would import the compiler now.
    index._dynamo_marked_constant = True  # type: ignore[attr-defined]
    return index


def _sketch(tensor: torch.Tensor) -> tuple[int, ...]:
    """Return the shape as far as the compiler has settled it: extents of two and more may change, and count as two."""
    return tuple(0 if extent == 0 else 1 if extent == 1 else 2 for extent in tensor.shape)


def describe(tensor: torch.Tensor, *, compiling: bool = False) -> DescribedCall:
    """Return the described call of an operator whose deciding tensor is `tensor`."""
    return DescribedCall(
        device_type=tensor.device.type, dtype=tensor.dtype, shape=tuple(tensor.shape), compiling=compiling
    )


@functools.lru_cache(maxsize=4096)
def _remembered(
    operator: Operator[..., Any],
    device_type: str,
    dtype: torch.dtype,
    shape: torch.Size,
    impl: str,
    override: str | None,
) -> int:
    """Return the index of the implementation, not its function, of which the cache would forget the type."""
    call = DescribedCall(device_type=device_type, dtype=dtype, shape=tuple(shape))
    return operator.implementations.index(resolve(operator, call, impl=impl, override=override))


def _reason(implementation: Implementation[..., Any], call: DescribedCall) -> str | None:
    if call.compiling and implementation.name != "reference" and not implementation.compilable:
        return "under torch.compile the reference is what the compiler can fuse"
    return implementation.refuse(call)
