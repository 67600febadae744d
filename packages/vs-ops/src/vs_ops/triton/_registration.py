"""Operators registered with PyTorch, and the short way past the registration.

A custom operator is what compilers, dispatch modes and function transforms have to see. Whoever calls it pays for that:
schema, dispatcher and trees of arguments take more of the host's time, forward and backward, than a kernel takes on the
device. So in eager mode, where nobody looks, the function behind the operator is called directly, as a function of
autograd if there are gradients; remembering and differentiating is the same code in both ways.
"""

import inspect
import itertools
from collections.abc import Callable, Sequence
from typing import Any, Generic, NamedTuple, TypeVar, TypeVarTuple

import torch
from torch import Tensor

Ts = TypeVarTuple("Ts")
R = TypeVar("R")

_Lengths = tuple[int | None, ...] | None
"""Of every argument or result the length, if it is a list; None for those that have no list among them."""


class _Derivative(NamedTuple):
    """A function's gradient, and what it has to remember for that; as in `torch.library.register_autograd`."""

    gradient: Callable[..., tuple[Any, ...]]
    remember: Callable[..., None]


class _Made:
    """A note of what the function has made, for him who only gets it flat."""

    lengths: _Lengths = None


class Registered(Generic[*Ts, R]):
    """A function and its custom operator, of which a call takes the cheaper that will do."""

    def __init__(self, name: str, function: Callable[[*Ts], R], mutates_args: Sequence[str]) -> None:
        self.function = function
        self.operator = torch.library.custom_op(name, function, mutates_args=mutates_args)
        self.mutated = [list(inspect.signature(function).parameters).index(name) for name in mutates_args]
        self.derivative: _Derivative | None = None

    def register_fake(self, function: Callable[[*Ts], R]) -> Callable[[*Ts], R]:
        """Tell what the results look like, for those who compute with no numbers."""
        self.operator.register_fake(function)
        return function

    def register_autograd(
        self, gradient: Callable[..., tuple[Any, ...]], *, setup_context: Callable[..., None]
    ) -> None:
        """Tell how to differentiate, as in `torch.library.register_autograd`; `gradient` returns a tuple."""
        self.operator.register_autograd(gradient, setup_context=setup_context)
        self.derivative = _Derivative(gradient=gradient, remember=setup_context)

    def __call__(self, *arguments: *Ts) -> R:
        """Call the operator where somebody looks, otherwise the function."""
        return self._operator(arguments) if _watched() else self._function(arguments)

    def _operator(self, arguments: tuple[*Ts]) -> R:
        results: R = self.operator(*arguments)
        return results

    def _function(self, arguments: tuple[*Ts]) -> R:
        given: Sequence[Any] = arguments
        for position in self.mutated:
            torch.autograd.graph.increment_version(given[position])
        derivative = self.derivative
        if derivative is None or not torch.is_grad_enabled() or not torch._C._any_requires_grad(*given):
            return self.function(*arguments)
        lengths, made = _lengths(given), _Made()
        flat = _node(self.function, derivative, made, lengths, *_flat(given, lengths))
        results: R = _nested(flat, made.lengths)
        return results


def registered(name: str, *, mutates_args: Sequence[str] = ()) -> Callable[[Callable[[*Ts], R]], Registered[*Ts, R]]:
    """Register a function of positional arguments as the custom operator `name`.

    What it returns is called as the function is, and takes `register_fake` and `register_autograd` as PyTorch's own
    custom operators do. Arguments that are mutated are lists of tensors.
    """
    return lambda function: Registered(name, function, mutates_args)


class _Node(torch.autograd.Function):
    """The function as autograd sees it. It looks into no lists: those come and go flat, with their lengths."""

    @staticmethod
    def forward(
        ctx: Any, function: Callable[..., Any], derivative: _Derivative, made: _Made, lengths: _Lengths, *flat: Any
    ) -> Any:
        arguments = _nested(flat, lengths)
        result = function(*arguments)
        ctx.gradient, ctx.made = derivative.gradient, None
        ctx.needs_input_grad = _nested(ctx.needs_input_grad[4:], lengths)
        derivative.remember(ctx, arguments, result)
        if not isinstance(result, tuple):
            return result
        ctx.made = made.lengths = _lengths(result)
        return _flat(result, made.lengths)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Any, ...]:
        found = ctx.gradient(ctx, *_nested(grads, ctx.made))
        return None, None, None, None, *_flat(found, _lengths(found))


_node: Callable[..., Any] = _Node.apply


def _lengths(arguments: Sequence[Any]) -> _Lengths:
    lengths = tuple(len(each) if isinstance(each, (list, tuple)) else None for each in arguments)
    return lengths if any(length is not None for length in lengths) else None


def _flat(arguments: Sequence[Any], lengths: _Lengths) -> Sequence[Any]:
    """Return the arguments, and the elements of those that are sequences, in one row."""
    if lengths is None:
        return arguments
    pairs = zip(arguments, lengths, strict=True)
    return tuple(one for each, length in pairs for one in ((each,) if length is None else each))


def _nested(flat: Any, lengths: _Lengths) -> Any:
    """Undo what `_flat` did: an argument where the length is None, otherwise a list of so many."""
    if lengths is None:
        return flat
    remaining = iter(flat)
    return tuple(next(remaining) if length is None else list(itertools.islice(remaining, length)) for length in lengths)


def _watched() -> bool:
    """Return whether something can only see operators: a compiler, a dispatch mode, a function transform."""
    return (
        torch.compiler.is_compiling()
        or torch._C._len_torch_dispatch_stack() > 0
        or torch._C._are_functorch_transforms_active()
    )
