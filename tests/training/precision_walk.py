"""Watching a computation operator by operator: which dtypes each of PyTorch's operators saw, and on whose behalf.

Below autograd every operation is an ATen operator on plain tensors, casts included. A dispatch mode sees all of them,
forward and backward. On whose behalf one runs is read from Python's call stack: the functions of our packages,
innermost first. C++ runs the backward pass, so that every node of the graph is given, when it is made, what the stack
was then.
"""

import functools
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from types import CodeType, FrameType
from typing import Any

import attrs
import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

OURS = ("vs_ops", "vs_nets", "vs_optim", "vs_runtime", "vs_training")
KIND_OF_IMPLEMENTATION = re.compile(r"^vs_ops\.(reference|native|inductor|torchscript|triton)\.")
"""All implementations of an operator go by its name: `vs_ops.reference.warp` is part of `vs_ops.warp`."""


@attrs.frozen
class Origin:
    """On whose behalf: functions of our packages, innermost first, and the layer ("generator.up.0.conv_0")."""

    functions: tuple[str, ...] = ()
    layer: str = ""


@attrs.frozen
class Event:
    """One operator ("aten::mul"), with the dtype and the number of dimensions of every floating tensor."""

    operator: str
    origin: Origin
    backward: bool
    read: tuple[tuple[torch.dtype, int], ...]
    returned: tuple[tuple[torch.dtype, int], ...]


Walk = Counter[Event]
"""How often each event happened."""


@contextmanager
def watched(networks: Mapping[str, nn.Module]) -> Iterator[Walk]:
    """Within, everything that PyTorch computes on this thread is counted; layers are named after `networks`."""
    names = {m: f"{k}.{name}".rstrip(".") for k, net in networks.items() for name, m in net.named_modules()}
    watcher = _Watcher(names, sys._getframe(2))
    with ExitStack() as stack:
        for handle in (
            register_module_forward_pre_hook(watcher.enter),
            register_module_forward_hook(watcher.leave, always_call=True),
        ):
            stack.callback(handle.remove)
        stack.enter_context(_Tagging(watcher))
        stack.enter_context(_Counting(watcher))
        yield watcher.walk


class _Watcher:
    """What both modes share: the layers that are running, and the node of the graph that is."""

    def __init__(self, names: Mapping[nn.Module, str], caller: FrameType) -> None:
        self.names = names
        self.caller = caller
        self.layers: list[str] = []
        self.node: Origin | None = None
        self.walk: Walk = Counter()

    def enter(self, module: nn.Module, _: Any) -> None:
        self.layers.append(self.names.get(module, self.layers[-1] if self.layers else ""))

    def leave(self, _: nn.Module, __: Any, result: Any) -> None:
        """Nodes that no function of PyTorch has returned, such as those of our autograd functions, are this layer's."""
        for tensor in _tensors(result):
            if tensor.grad_fn is not None:
                self.tag(tensor.grad_fn, self.here()[0])
        self.layers.pop()

    def here(self) -> tuple[Origin, bool]:
        """The origin of what runs now, and whether it is part of a backward pass."""
        functions, backward = _functions(sys._getframe(1), self.caller)
        if not backward:
            return Origin(functions, self.layers[-1] if self.layers else ""), False
        if self.node is None:
            return Origin(functions), True
        return Origin((*functions, *self.node.functions), self.node.layer), True

    def tag(self, node: Any, origin: Origin) -> None:
        """While `node` runs in a backward pass, `origin` is where it came from."""
        if "origin" in node.metadata or node.name() == "torch::autograd::AccumulateGrad":
            return
        node.metadata["origin"] = origin
        node.register_prehook(lambda _: setattr(self, "node", origin))
        node.register_hook(lambda *_: setattr(self, "node", None))


def _functions(frame: FrameType | None, caller: FrameType) -> tuple[tuple[str, ...], bool]:
    """Dotted names of our functions on the stack, innermost first, and whether they are part of a backward pass."""
    functions: list[str] = []
    while frame is not None and frame is not caller:
        if frame.f_code.co_name == "_engine_run_backward":
            return tuple(functions), True
        name = _name(frame.f_code, str(frame.f_globals.get("__name__", "")))
        if name:
            functions.append(name)
        frame = frame.f_back
    return tuple(functions), False


@functools.cache
def _name(code: CodeType, module: str) -> str:
    """The dotted name of a function of our packages, without the kind of an implementation; nothing for other code."""
    ours = module.partition(".")[0] in OURS
    module = KIND_OF_IMPLEMENTATION.sub("vs_ops.", module)
    return f"{module}.{code.co_qualname.partition('.<locals>')[0]}" if ours else ""


class _Tagging(TorchFunctionMode):
    """Tells every node of the graph whom it belongs to: those between the results of a call and its arguments."""

    def __init__(self, watcher: _Watcher) -> None:
        super().__init__()
        self.watcher = watcher

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        known = {x.grad_fn for x in _tensors((args, kwargs)) if x.grad_fn is not None}
        result = func(*args, **kwargs)
        nodes = [x.grad_fn for x in _tensors(result) if x.grad_fn is not None]
        if nodes:
            origin, _ = self.watcher.here()
        while nodes:
            node = nodes.pop()
            if node in known or "origin" in node.metadata:
                continue
            self.watcher.tag(node, origin)
            known.add(node)
            nodes.extend(other for other, _ in node.next_functions if other is not None)
        return result


class _Counting(TorchDispatchMode):
    """Counts every operator."""

    def __init__(self, watcher: _Watcher) -> None:
        super().__init__()
        self.watcher = watcher

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None) -> Any:
        kwargs = kwargs or {}
        read = _dtypes((args, kwargs))
        result = func(*args, **kwargs)
        origin, backward = self.watcher.here()
        self.watcher.walk[Event(func._schema.name, origin, backward, read, _dtypes(result))] += 1
        return result


def _tensors(tree: Any) -> Iterator[Tensor]:
    """The tensors of nested arguments or results."""
    if isinstance(tree, Tensor):
        yield tree
    elif isinstance(tree, list | tuple):
        for each in tree:
            yield from _tensors(each)
    elif isinstance(tree, dict):
        yield from _tensors(tuple(tree.values()))
    elif attrs.has(type(tree)):
        yield from _tensors(tuple(getattr(tree, each.name) for each in attrs.fields(type(tree))))


def _dtypes(tree: Any) -> tuple[tuple[torch.dtype, int], ...]:
    return tuple((x.dtype, x.dim()) for x in _tensors(tree) if x.is_floating_point())
