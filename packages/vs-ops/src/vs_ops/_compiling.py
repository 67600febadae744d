"""Inductor, at the first call: importing the package compiles nothing.

Two ways lead to it. `compiled` is `torch.compile`, for functions that autograd shall see. `fused` is for functions that
have their backward written by hand: it traces them itself and leaves out Dynamo, whose guards look at every argument
again, and take as long as the program for a small image.

`torch.compile` keeps all variants of a function with the function's code object, searches them one after the other, and
after eight of them stops compiling: silently, or with `fullgraph=True` by an error. A network has more shapes than
eight. So every kind of arguments gets a code object of its own here, found by a dictionary, and the limit is left to
what Dynamo notices beside that (subclasses of tensors, deterministic mode, the number of threads), where reaching it is
an error. The least recently used programs are forgotten.
"""

import functools
import importlib.util
import os
import shutil
import sys
import types
import warnings
import weakref
from collections.abc import Callable, Hashable, Sequence
from typing import Any, ParamSpec, TypeVar

import torch
from torch import Tensor

from vs_ops._precision import without_autocast
from vs_ops.dispatch import DescribedCall

P = ParamSpec("P")
R = TypeVar("R")

PROGRAMS = 512
"""So many programs are kept of either way, over all functions: some ten operators in some fifty kinds."""

_OPTIONS: dict[str, str | int | bool | Callable[..., Any]] = {
    "realize_reads_threshold": 64,
    "realize_opcount_threshold": 1000,
}
"""Compute a value again rather than write it to memory and read it back: every function here is short of bandwidth."""


def compiled(function: Callable[P, R]) -> Callable[P, R]:
    """Make one graph of `function` per kind of arguments, by `torch.compile`, when that kind is first seen.

    Arguments are tensors, sequences of arguments, and hashable values, which the graph holds as constants. The kind is
    those values, and of every tensor the device, dtype, shape, strides and whether it requires a gradient. Autocast is
    off inside. The results can be differentiated once.
    """

    @functools.wraps(function)
    def call(*arguments: P.args, **keywords: P.kwargs) -> R:
        kind = _kind(arguments), _kind(tuple(keywords.items()))
        with without_autocast(_first_tensor(arguments)):
            result: R = _program(function, torch.is_grad_enabled(), kind)(*arguments, **keywords)
        return result

    return call


def fused(function: Callable[P, R]) -> Callable[P, R]:
    """Make one program of `function` per kind of arguments when that kind is first seen, without gradients.

    Positional arguments are tensors or None, keywords are hashable and held by the program as constants; results are a
    tuple. The kind is the constants, the number of threads, and of every tensor the device, dtype, shape and strides.
    """

    @functools.wraps(function)
    def call(*arguments: P.args, **constants: P.kwargs) -> R:
        tensors: Sequence[Any] = arguments
        kind = tuple(each if each is None else (each.device, each.dtype, each.shape, each.stride()) for each in tensors)
        run = _lowered(function, torch.get_num_threads(), tuple(constants.items()), kind)
        result: R = run(*(each.detach() if each.requires_grad else each for each in tensors if each is not None))
        return result

    return call


@functools.lru_cache(maxsize=PROGRAMS)
def _lowered(
    function: Callable[..., Any],
    threads: int,  # noqa: ARG001
    constants: tuple[tuple[str, Any], ...],
    kind: tuple[Hashable, ...],
) -> Callable[..., Any]:
    run: Callable[..., Any] | None = None

    def with_none(*tensors: Tensor) -> Any:
        present = iter(tensors)
        return function(*(None if each is None else next(present) for each in kind), **dict(constants))

    def program(*tensors: Tensor) -> Any:
        nonlocal run
        if run is None:
            run = _lower(with_none, tensors)
        return run(*tensors)

    return program


def _lower(function: Callable[..., Any], tensors: tuple[Tensor, ...]) -> Callable[..., Any]:
    """Return the program that Inductor makes of what `function` does with such tensors."""
    import torch._inductor  # takes seconds, like what follows
    from torch.fx.experimental.proxy_tensor import make_fx

    with warnings.catch_warnings(), torch.inference_mode(False), torch.no_grad(), without_autocast(tensors[0]):
        warnings.simplefilter("ignore")
        graph = make_fx(function, tracing_mode="fake")(*tensors)
        program: Callable[..., Any] = torch._inductor.compile(graph, list(tensors), options=_OPTIONS)
        return program


def _kind(value: Any) -> Hashable:
    match value:
        case Tensor():
            return value.device, value.dtype, value.shape, value.stride(), value.requires_grad
        case list() | tuple():
            return (type(value), *map(_kind, value))
        case _:
            return type(value), value  # 1, 1.0 and True are equal


def _first_tensor(arguments: Sequence[Any]) -> Tensor:
    match arguments[0]:
        case Tensor() as first:
            return first
        case nested:
            return _first_tensor(nested)


@functools.lru_cache(maxsize=PROGRAMS)
def _program(function: Callable[..., Any], with_gradient: bool, kind: Hashable) -> Callable[..., Any]:  # noqa: ARG001
    """Return `function` with a code object of its own, to be called with one kind of arguments."""
    own = types.FunctionType(
        function.__code__.replace(),
        function.__globals__,
        function.__name__,
        function.__defaults__,
        function.__closure__,
    )
    run = torch.compile(own, fullgraph=True, dynamic=False, options=_OPTIONS)
    compiles = True

    def program(*arguments: Any, **keywords: Any) -> Any:
        nonlocal compiles
        if not compiles:
            return run(*arguments, **keywords)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # PyTorch's compiler warns of PyTorch, and of gradients that it looks for
            results = run(*arguments, **keywords)
        compiles = False
        return results

    # Dynamo keeps what it compiled even when the function is gone.
    weakref.finalize(program, _forget, own.__code__).atexit = False
    return program


def _forget(code: types.CodeType) -> None:
    torch._dynamo.reset_code(code)  # type: ignore[attr-defined]


def refuse_inductor(call: DescribedCall) -> str | None:
    """Refuse where nobody compiles the C++ that Inductor writes for the CPU, or its Triton for CUDA."""
    if call.device_type not in ("cpu", "cuda"):
        return f"nobody has tried Inductor on {call.device_type}"
    if 0 in call.shape:
        return "no element, nothing to compile a program for"
    if call.device_type == "cuda":
        return None if _has_triton() else "Inductor needs Triton, which is not installed"
    return _without_cpp_compiler()


@functools.cache
def _has_triton() -> bool:
    return importlib.util.find_spec("triton") is not None


@functools.cache
def _without_cpp_compiler() -> str | None:
    """Look for what Inductor runs: what $CXX names, else what is called g++, or clang++ on macOS."""
    if sys.platform == "win32":
        usual = "cl"
    else:
        usual = "clang++" if sys.platform == "darwin" else "g++"
    name = os.environ.get("CXX", usual)
    return None if shutil.which(name) else f"Inductor needs a C++ compiler, and there is no {name} (or set CXX)"
