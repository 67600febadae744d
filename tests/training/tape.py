"""A recorder for the CPU that keeps the rules of CUDA graphs: what reads the device or depends on values is an error.

It writes down every operation with the tensors that it was called with. A replay calls them again, in their order, on
the very same tensors, and puts results where they were: numbers of the host stay what they were when it was recorded.
"""

from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import pytest
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from vs_ops.reference import one_hot
from vs_runtime.graphs import Recorded

T = TypeVar("T")


def compute_as_a_gpu(patch: pytest.MonkeyPatch) -> None:
    """Let operators leave out what they do on a CPU alone, where reading a number waits for nobody and is quicker."""

    def require(operator: str, known: Tensor, *_: object) -> None:
        torch._assert_async(known.all(), operator)

    patch.setenv("VS_OPS_IMPL", "reference")
    patch.setattr(one_hot, "_are_classes", lambda *_: False)
    patch.setattr(one_hot, "_require", require)


READS = {
    Tensor.cpu,
    Tensor.item,
    Tensor.numpy,
    Tensor.tolist,
    Tensor.pin_memory,
    Tensor.__array__,
    Tensor.__bool__,
    Tensor.__float__,
    Tensor.__int__,
    Tensor.__index__,
}
"""What PyTorch does on the CPU without an operation, and on a GPU by waiting for it."""

DEPENDING = (
    torch.Tag.data_dependent_output,
    torch.Tag.dynamic_output_shape,
)


class RuleError(RuntimeError):
    """What a CUDA graph cannot hold."""


class TapeRecorder:
    """Records on the CPU."""

    def __init__(self) -> None:
        self.recorded = 0
        self.replayed = 0

    def aside(self, work: Callable[[], T]) -> T:
        return work()

    def record(self, work: Callable[[], T]) -> Recorded[T]:
        tape = _Tape()
        try:
            with _Rules(), tape:
                result = work()
        finally:
            tape.undo()
        self.recorded += 1

        def replay() -> None:
            tape.replay()
            self.replayed += 1

        return Recorded(result=result, replay=replay)


class _Rules(TorchFunctionMode):
    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in READS:
            raise RuleError(f"a CUDA graph cannot hold Tensor.{func.__name__}, which waits for the device")
        return func(*args, **(kwargs or {}))


class _Tape(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.steps: list[tuple[Any, Any, Any, Any]] = []
        self.own: dict[int, Tensor] = {}
        self.before: dict[int, tuple[Tensor, torch.UntypedStorage]] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        _check(func, args)
        for written in _written(func, args, kwargs):
            place = written.untyped_storage().data_ptr()
            if place not in self.own and place not in self.before:
                self.before[place] = written, written.untyped_storage().clone()
        result = func(*args, **kwargs)
        inputs = {_place(x) for x in _tensors((args, kwargs))}
        self.own |= {_place(x): x for x in _tensors(result) if _place(x) not in inputs}
        self.steps.append((func, args, kwargs, result))
        return result

    def undo(self) -> None:
        """Make everything what it was before: a graph that is recorded does nothing."""
        for written, contents in self.before.values():
            written.untyped_storage().copy_(contents)

    def replay(self) -> None:
        with torch.no_grad(), torch._C._AutoDispatchBelowAutograd():
            for func, args, kwargs, result in self.steps:
                inputs = {_place(x) for x in _tensors((args, kwargs))}
                for old, new in zip(_tensors(result), _tensors(func(*args, **kwargs)), strict=True):
                    if _place(old) not in inputs:
                        old.copy_(new)


def _check(func: Any, args: Any) -> None:
    name = func.__name__
    if any(tag in func.tags for tag in DEPENDING) and not name.startswith("index."):
        raise RuleError(f"a CUDA graph cannot hold {name}, whose result or its shape depends on values")
    if torch.Tag.nondeterministic_seeded in func.tags:
        raise RuleError(f"{name} draws random numbers")
    if name.startswith(("index.", "index_put", "_index_put")) and any(
        x is not None and x.dtype in (torch.bool, torch.uint8) for x in args[1]
    ):
        raise RuleError(f"a CUDA graph cannot hold {name} with a mask, whose size depends on values")
    if name.startswith("lift_fresh"):
        raise RuleError("a CUDA graph cannot hold torch.tensor(...), which sends numbers of the host")


def _written(func: Any, args: Any, kwargs: Any) -> Iterator[Tensor]:
    for index, argument in enumerate(func._schema.arguments):
        if argument.alias_info is not None and argument.alias_info.is_write:
            yield from _tensors(args[index] if index < len(args) else kwargs.get(argument.name))


def _place(x: Tensor) -> int:
    return x.untyped_storage().data_ptr()


def _tensors(nested: Any) -> list[Tensor]:
    return [x for x in tree_leaves(nested) if isinstance(x, Tensor) and x.untyped_storage().nbytes()]
