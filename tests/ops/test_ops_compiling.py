"""One program per kind of arguments, none before it is called, and a reason where none can be made."""

import gc
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
import vs_ops
from torch import Tensor
from vs_ops import DescribedCall, _compiling
from vs_ops._compiling import compiled, fused, refuse_inductor

CPU = DescribedCall(shape=(2, 3))


def doubled(x: Tensor, factor: float, more: list[Tensor]) -> Tensor:
    return sum((factor * each for each in more), factor * x)


@pytest.fixture(autouse=True)
def _forget_programs() -> Iterator[None]:
    caches = (_compiling._program, _compiling._lowered, _compiling._has_triton, _compiling._without_cpp_compiler)
    for cache in caches:
        cache.cache_clear()
    yield
    for cache in caches:
        cache.cache_clear()


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[Callable[..., Any]]:
    """What `torch.compile` was asked to compile; it returns that as it is."""
    functions: list[Callable[..., Any]] = []

    def compile_nothing(function: Callable[..., Any], *, fullgraph: bool, dynamic: bool, options: object) -> Any:
        assert (fullgraph, dynamic) == (True, False)
        functions.append(function)
        return function

    monkeypatch.setattr(torch, "compile", compile_nothing)
    return functions


def test_every_kind_of_arguments_is_compiled_once_and_by_itself(made: list[Callable[..., Any]]) -> None:
    function = compiled(doubled)
    assert not made
    x = torch.ones(2, 3, 4, 5)
    kinds: list[Callable[[], Tensor]] = [
        lambda: function(x, 2.0, []),
        lambda: function(x, 3.0, []),
        lambda: function(x, 3, []),
        lambda: function(x, True, []),
        lambda: function(x, 1, []),
        lambda: function(x, 2.0, [x]),
        lambda: function(x, 2.0, [x, x]),
        lambda: function(x[:1], 2.0, []),
        lambda: function(x.contiguous(memory_format=torch.channels_last), 2.0, []),
        lambda: function(x.bfloat16(), 2.0, []),
        lambda: function(x.clone().requires_grad_(), 2.0, []),
    ]
    for _ in range(2):
        for kind in kinds:
            kind()
    assert len(made) == len(kinds)
    assert len({id(each.__code__) for each in (*made, doubled)}) == len(kinds) + 1  # whose limit of eight is its own
    with torch.no_grad():
        kinds[0]()
    assert len(made) == len(kinds) + 1


def test_what_has_a_backward_of_its_own_is_lowered_once_for_every_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    lowered: list[tuple[Tensor, ...]] = []

    def lower_nothing(function: Callable[..., Any], tensors: tuple[Tensor, ...]) -> Any:
        lowered.append(tensors)
        return function

    monkeypatch.setattr(_compiling, "_lower", lower_nothing)
    function = fused(scaled)
    x, y = torch.ones(2, 3, 4, 5, requires_grad=True), torch.ones(2, 3, 4, 5)
    kinds: list[Callable[[], tuple[Tensor, ...]]] = [
        lambda: function(x, None, factor=2.0),
        lambda: function(x, None, factor=3.0),
        lambda: function(x, y, factor=2.0),
        lambda: function(x[:1], None, factor=2.0),
        lambda: function(x.contiguous(memory_format=torch.channels_last), None, factor=2.0),
        lambda: function(x.bfloat16(), None, factor=2.0),
    ]
    for _ in range(2):
        results = [kind()[0] for kind in kinds]
    assert len(lowered) == len(kinds)
    assert not any(each.requires_grad for tensors in lowered for each in tensors)
    assert [each.mean() for each in results] == [2, 3, 3, 2, 2, 2]
    assert torch.equal(function(y, None, factor=2.0)[0], results[0])  # a gradient more or less is no other kind
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(threads + 1)
        kinds[0]()
    finally:
        torch.set_num_threads(threads)
    assert len(lowered) == len(kinds) + 1


def scaled(x: Tensor, y: Tensor | None, *, factor: float) -> tuple[Tensor, ...]:
    return (factor * x if y is None else factor * x + y,)


def test_autocast_does_not_reach_what_is_compiled(made: list[Callable[..., Any]]) -> None:
    function = compiled(torch_product)
    a = torch.randn(3, 3)
    with torch.autocast("cpu", torch.bfloat16):
        assert function(a).dtype is torch.float32


def torch_product(a: Tensor) -> Tensor:
    return a @ a


def test_it_refuses_where_nobody_would_compile(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_compiling.shutil, "which", lambda name: None if name == "absent++" else f"/usr/bin/{name}")
    monkeypatch.setenv("CXX", "absent++")
    assert refuse_inductor(CPU) == "Inductor needs a C++ compiler, and there is no absent++ (or set CXX)"
    with pytest.raises(vs_ops.ImplementationError, match=r"spade: .* needs a C\+\+ compiler"):
        vs_ops.spade(torch.zeros(1, 2, 3, 4), [], impl="inductor")
    _compiling._without_cpp_compiler.cache_clear()
    monkeypatch.setenv("CXX", "present++")
    assert refuse_inductor(CPU) is None
    cuda = DescribedCall(device_type="cuda", shape=(2, 3))
    monkeypatch.setattr(_compiling.importlib.util, "find_spec", lambda name: None)
    assert refuse_inductor(cuda) == "Inductor needs Triton, which is not installed"
    assert refuse_inductor(DescribedCall(device_type="mps", shape=(2, 3))) == "nobody has tried Inductor on mps"
    assert "no element" in str(refuse_inductor(DescribedCall(shape=(0, 3))))


@pytest.mark.slow
def test_more_kinds_than_pytorch_keeps_are_compiled_and_forgotten_with_their_code(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    codes, really = [], torch.compile

    def compile_and_remember(function: Callable[..., Any], **how: Any) -> Any:
        codes.append(weakref.ref(function.__code__))
        return really(function, **how)

    monkeypatch.setattr(torch, "compile", compile_and_remember)
    function = compiled(doubled)
    for size in range(2, 14):
        x = torch.randn(size, requires_grad=True)
        function(x, 2.0, []).sum().backward()
        torch.testing.assert_close(x.grad, torch.full((size,), 2.0))
    assert sum(code() is not None for code in codes) == 12
    _compiling._program.cache_clear()
    gc.collect()
    assert sum(code() is not None for code in codes) <= 1  # whatever a process compiled first, PyTorch keeps
