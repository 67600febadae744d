"""Watching networks compute: what goes into and comes out of every layer, forward and backward, call by call.

A layer is a module without children, or one that normalises (found out by experiment, see `norms`). Hooks keep
statistics over all elements and, for comparisons, an even sample of them: two runs, one after the other, then need no
more memory than one, however large the networks are, and no tensor of the reference need be kept.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import attrs
import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree
from torch.utils.hooks import RemovableHandle

from vs_eval.numerics.norms import Normalisation, find_normalisation
from vs_eval.numerics.ranges import Magnitudes, finite_count, magnitudes_of

SAMPLE = 4096
"""Elements of each tensor that are kept for the comparison of two runs, evenly spread."""

LayerKey = tuple[str, str]
"""Network and module, by name."""


@attrs.define(eq=False)
class Watched:
    """One tensor.

    Attributes:
        magnitudes: of all of its elements; of gradients, as they are, that is, scaled.
        sample: some of its elements, in at least float32.
        dtype: its dtype.
        update: of gradients, whose update they are for.
    """

    magnitudes: Magnitudes
    sample: Tensor
    dtype: torch.dtype
    update: str = ""


@attrs.define(eq=False)
class Call:
    """One call of a layer: its first argument and its first result, and their gradients, if there are any.

    Attributes:
        others: samples of all further tensors that it takes.
        input_gradient: what this call alone gives its input.
        moments: of layers that normalise, (2, P): variance and mean square of each plane of the input.
    """

    output: Watched
    input: Watched | None = None
    others: tuple[Tensor, ...] = ()
    input_gradient: Watched | None = None
    output_gradient: Watched | None = None
    moments: Tensor | None = None


@attrs.define(eq=False)
class Trace:
    """A trace of what was seen in one run of some networks.

    Attributes:
        calls: layer -> its calls in order; layers in the order of their first calls.
        norms: the layers that normalise.
        weights: layer -> gradients of its own parameters, concatenated, one for each backward pass.
        kinds: layer -> the name of its class.
        fed_by: layer -> the layer whose result it takes as it is.
        called: all modules that were called, layers or not.
        silent: layers with parameters that were never called and got no gradient.
    """

    calls: dict[LayerKey, list[Call]] = attrs.field(factory=dict)
    norms: dict[LayerKey, Normalisation] = attrs.field(factory=dict)
    weights: dict[LayerKey, list[Watched]] = attrs.field(factory=dict)
    kinds: dict[LayerKey, str] = attrs.field(factory=dict)
    fed_by: dict[LayerKey, LayerKey] = attrs.field(factory=dict)
    called: set[LayerKey] = attrs.field(factory=set)
    silent: tuple[LayerKey, ...] = ()


def sample_of(x: Tensor) -> Tensor:
    """Return some elements of a tensor, evenly spread, in at least float32, on the CPU."""
    flat = x.detach().flatten()
    step = max(1, -(-flat.numel() // SAMPLE))
    return flat[::step].to(torch.promote_types(x.dtype, torch.float32)).cpu().clone()


@attrs.define(eq=False)
class Watcher:
    """The hooks of one run, and what they have in common.

    Attributes:
        trace: what has been seen.
        networks: whose layers are watched, by name.
        seeks: whether layers that normalise are still to be found out; else those in the trace are.
        measures: whether magnitudes are wanted; else only what is finite is counted.
        update: whose update a backward pass is for; set it before each.
    """

    trace: Trace
    networks: Mapping[str, nn.Module]
    seeks: bool
    measures: bool
    update: str = ""
    _tried: set[LayerKey] = attrs.field(factory=set)
    _aliases: list[Tensor | None] = attrs.field(factory=list)
    _last: tuple[LayerKey, Tensor] | None = None
    _paused: bool = False

    def attach(self, key: LayerKey, module: nn.Module) -> list[RemovableHandle]:
        """Hang the hooks of one module."""

        def before(_: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...] | None:
            return None if self._paused else self._enter(key, args)

        def after(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any) -> None:
            if not self._paused:
                self._leave(key, module, (args, kwargs), result)

        return [module.register_forward_pre_hook(before), module.register_forward_hook(after, with_kwargs=True)]

    def note_weights(self) -> None:
        """Note the gradients that lie at the parameters of all networks, and take them away."""
        for network, root in self.networks.items():
            for name, module in root.named_modules():
                own = [p for p in module.parameters(recurse=False) if p.grad is not None]
                if own:
                    gradient = torch.cat([p.grad.flatten() for p in own if p.grad is not None])
                    self.trace.kinds.setdefault((network, name), type(module).__name__)
                    self.trace.weights.setdefault((network, name), []).append(self._watched(gradient, self.update))
                for parameter in own:
                    parameter.grad = None

    def _enter(self, key: LayerKey, args: tuple[Any, ...]) -> tuple[Any, ...] | None:
        """Give the call an alias of its first argument, whose gradient is that of this call alone."""
        if not args or not _is_float(args[0]):
            self._aliases.append(None)
            return None
        if self._last is not None and self._last[1] is args[0]:
            self.trace.fed_by[key] = self._last[0]
        alias = args[0].view_as(args[0])
        self._aliases.append(alias)
        return (alias, *args[1:])

    def _leave(self, key: LayerKey, module: nn.Module, given: tuple[tuple[Any, ...], dict[str, Any]], out: Any) -> None:
        self.trace.called.add(key)
        alias = self._aliases.pop()
        output = next((leaf for leaf in pytree.tree_leaves(out) if _is_float(leaf)), None)
        if output is None:
            return
        if self.seeks and alias is not None and key not in self._tried:
            self._tried.add(key)
            self._seek(key, module, *given)
        norm = self.trace.norms.get(key)
        if norm is None and any(True for _ in module.children()):
            return
        others = tuple(sample_of(x) for x in pytree.tree_leaves((given[0][1:], given[1])) if _is_float(x))
        self._note(key, module, Call(output=self._watched(output), others=others), alias, output)

    def _note(self, key: LayerKey, module: nn.Module, call: Call, alias: Tensor | None, output: Tensor) -> None:
        if alias is not None:
            call.input = self._watched(alias)
            if (norm := self.trace.norms.get(key)) is not None:
                call.moments = norm.moments(alias)
            self._on_gradient(alias, call, "input_gradient")
        self._on_gradient(output, call, "output_gradient")
        self.trace.kinds.setdefault(key, type(module).__name__)
        self.trace.calls.setdefault(key, []).append(call)
        self._last = (key, output)

    def _on_gradient(self, x: Tensor, call: Call, name: str) -> None:
        if x.requires_grad:
            x.register_hook(lambda gradient: setattr(call, name, self._watched(gradient, self.update)))

    def _watched(self, x: Tensor, update: str = "") -> Watched:
        magnitudes = magnitudes_of(x) if self.measures else finite_count(x)
        return Watched(magnitudes=magnitudes, sample=sample_of(x), dtype=x.dtype, update=update)

    def _seek(self, key: LayerKey, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Find out whether a module normalises, unless something in it does."""
        inside = any(network == key[0] and is_below(name, key[1]) for network, name in self.trace.norms)
        if inside or args[0].dim() < 2:
            return
        self._paused = True
        try:
            norm = find_normalisation(module, args, kwargs)
        finally:
            self._paused = False
        if norm is not None:
            self.trace.norms[key] = norm


@contextmanager
def watching(
    networks: Mapping[str, nn.Module], norms: Mapping[LayerKey, Normalisation] | None, *, measures: bool = True
) -> Iterator[Watcher]:
    """Watch all layers of some networks until the block ends.

    Args:
        networks: by name.
        norms: which layers normalise; None: find that out at the first call of each.
        measures: whether magnitudes are wanted; else only what is finite is counted.
    """
    watcher = Watcher(trace=Trace(norms=dict(norms or {})), networks=networks, seeks=norms is None, measures=measures)
    modules = [((network, name), module) for network, root in networks.items() for name, module in root.named_modules()]
    handles = [handle for key, module in modules for handle in watcher.attach(key, module)]
    try:
        yield watcher
    finally:
        for handle in handles:
            handle.remove()
    seen = watcher.trace.calls.keys() | watcher.trace.weights.keys()
    own = (key for key, module in modules if any(True for _ in module.parameters(recurse=False)))
    watcher.trace.silent = tuple(key for key in own if key not in seen)


def _is_float(x: Any) -> bool:
    return isinstance(x, Tensor) and x.is_floating_point()


def is_below(name: str, parent: str) -> bool:
    """Say whether a module is inside another one, by their names."""
    return not parent or name.startswith(f"{parent}.")
