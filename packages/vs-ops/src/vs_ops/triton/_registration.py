"""Operators registered with PyTorch, and the short way past the registration.

A custom operator is what compilers, dispatch modes and function transforms have to see. Whoever calls it pays for that:
schema, dispatcher and trees of arguments take more of the host's time, forward and backward, than a kernel takes on the
device. So in eager mode, where nobody looks, the function behind the operator is called directly, as a function of
autograd if there are gradients; remembering and differentiating is the same code in both ways.
"""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

__all__ = ["Registered", "registered"]


def registered(name: str, *, mutates_args: Sequence[str] = ()) -> Callable[[Callable[..., Any]], Registered]:
    """Register a function of positional arguments as the custom operator `name`.

    What it returns is called as the function is, and takes `register_fake` and `register_autograd` as PyTorch's own
    custom operators do. Arguments that are mutated are lists of tensors.
    """
    return lambda function: Registered(name, function, mutates_args)


class Registered:
    """A function and its custom operator, of which a call takes the cheaper that will do."""

    def __init__(self, name: str, function: Callable[..., Any], mutates_args: Sequence[str]) -> None:
        self.function = function
        self.operator = torch.library.custom_op(name, function, mutates_args=mutates_args)
        self.mutated = [list(inspect.signature(function).parameters).index(name) for name in mutates_args]
        self.remember: Callable[..., None] | None = None
        self.gradient: Callable[..., Any] | None = None

    def register_fake(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """What the results look like, for those who compute with no numbers."""
        return self.operator.register_fake(function)

    def register_autograd(self, gradient: Callable[..., Any], *, setup_context: Callable[..., None]) -> None:
        """How to differentiate, as in `torch.library.register_autograd`."""
        self.operator.register_autograd(gradient, setup_context=setup_context)
        self.gradient, self.remember = gradient, setup_context

    def __call__(self, *arguments: Any) -> Any:
        """The operator where somebody looks, otherwise the function."""
        if _watched():
            return self.operator(*arguments)
        for position in self.mutated:
            torch.autograd.graph.increment_version(arguments[position])
        if self.gradient is None or not torch.is_grad_enabled() or not torch._C._any_requires_grad(*arguments):
            return self.function(*arguments)
        lengths, made = _lengths(arguments), _Made()
        results = _Node.apply(self, made, lengths, *_flat(arguments, lengths))  # type: ignore[no-untyped-call]
        return _nested(results, made.lengths)


_Lengths = tuple[int | None, ...] | None
"""Of every argument or result the length, if it is a list; None for those that have no list among them."""


class _Made:
    """What the function has made, for him who only gets it flat."""

    lengths: _Lengths = None


class _Node(torch.autograd.Function):
    """The function as autograd sees it. It looks into no lists: those come and go flat, with their lengths."""

    @staticmethod
    def forward(ctx: Any, operator: Registered, made: _Made, lengths: _Lengths, *flat: Any) -> Any:
        arguments = _nested(flat, lengths)
        result = operator.function(*arguments)
        ctx.operator, ctx.made, ctx.needs_input_grad = operator, None, _nested(ctx.needs_input_grad[3:], lengths)
        operator.remember(ctx, arguments, result)  # type: ignore[misc]
        if not isinstance(result, tuple):
            return result
        ctx.made = made.lengths = _lengths(result)
        return _flat(result, made.lengths)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Any, ...]:
        found = ctx.operator.gradient(ctx, *_nested(grads, ctx.made))
        found = found if isinstance(found, tuple) else (found,)
        return None, None, None, *_flat(found, _lengths(found))


def _lengths(arguments: Sequence[Any]) -> _Lengths:
    lengths = tuple(len(each) if isinstance(each, (list, tuple)) else None for each in arguments)
    return lengths if any(length is not None for length in lengths) else None


def _flat(arguments: Sequence[Any], lengths: _Lengths) -> Sequence[Any]:
    """The arguments, and the elements of those that are sequences, in one row."""
    if lengths is None:
        return arguments
    pairs = zip(arguments, lengths, strict=True)
    return tuple(one for each, length in pairs for one in ((each,) if length is None else each))


def _nested(flat: Any, lengths: _Lengths) -> Any:
    """What `_flat` made flat: an argument where the length is None, otherwise a list of so many."""
    if lengths is None:
        return flat
    remaining = iter(flat)
    return tuple(next(remaining) if length is None else list(itertools.islice(remaining, length)) for length in lengths)


def _watched() -> bool:
    """Whether something is active that can only see operators: a compiler, a dispatch mode, a function transform."""
    return (
        torch.compiler.is_compiling()
        or torch._C._len_torch_dispatch_stack() > 0
        or torch._C._are_functorch_transforms_active()
    )
