"""Running the same step in two precisions: what a step is to the audit, and the contexts that it is run in."""

import copy
import functools
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import attrs
import torch
import vs_optim as optim
from torch import Tensor, nn
from vs_training.tensors import map_tensors, tensors_in

from vs_eval.numerics.norms import Normalisation
from vs_eval.numerics.ranges import Format
from vs_eval.numerics.trace import LayerKey, Trace, Watcher, watching

Networks = Mapping[str, nn.Module]

Backward = Callable[[str, Tensor], None]
"""(network that is to be updated, its loss): scales the loss and runs backward."""


@attrs.frozen(kw_only=True, eq=False)
class Execution:
    """An execution: how a step is to compute.

    Attributes:
        dtype: of its inputs.
        forward: the context of everything before a backward pass.
        backward: to be called with each loss, outside that context.
    """

    dtype: torch.dtype
    forward: Callable[[], AbstractContextManager[Any]]
    backward: Backward


Step = Callable[[Networks, Execution], None]
"""One step, forward and backward, of given networks in a given execution. It must do the same each time."""


@attrs.frozen(kw_only=True)
class Changes:
    """Changes to copies of the networks before they run.

    Attributes:
        eps: layer that normalises -> its new eps.
        islands: layers that compute in float32, whatever autocast says.
    """

    eps: Mapping[LayerKey, float] = attrs.field(factory=dict)
    islands: frozenset[LayerKey] = frozenset()


@attrs.frozen(kw_only=True, eq=False)
class Workload:
    """A workload: what is audited.

    Attributes:
        networks: in float32, in the mode that they are to run in; copies of them are run.
        step: one step of theirs.
        device: where they are.
    """

    networks: Networks
    step: Step
    device: torch.device = attrs.field(default=torch.device("cpu"))


def run_reference(
    workload: Workload, dtype: torch.dtype, changes: Changes, norms: Mapping[LayerKey, Normalisation] | None
) -> Trace:
    """Run the step in float64 or float32, without loss scaling.

    Args:
        workload: what to run.
        dtype: in which dtype.
        changes: what is changed first; the eps of `norms` is the one before the change.
        norms: which layers normalise; None: find that out.
    """
    plain = optim.Precision(level="O0", dtype=None, scaling=False)
    with optim.wide_islands() if dtype is torch.float64 else nullcontext():
        return _run(workload, dtype, plain, changes, norms, {})


def run_low(
    workload: Workload,
    form: Format,
    changes: Changes,
    norms: Mapping[LayerKey, Normalisation],
    scales: Mapping[str, float],
) -> Trace:
    """Run the step under autocast to a format, as in training.

    Args:
        workload: what to run.
        form: autocast's format.
        changes: what is changed first.
        norms: which layers normalise, with their eps before the change.
        scales: network -> loss scale of its update.
    """
    mixed = optim.Precision(level="O1", dtype=form.dtype, scaling=True)
    return _run(workload, torch.float32, mixed, changes, norms, scales)


def _run(
    workload: Workload,
    dtype: torch.dtype,
    precision: optim.Precision,
    changes: Changes,
    norms: Mapping[LayerKey, Normalisation] | None,
    scales: Mapping[str, float],
) -> Trace:
    networks = {name: copy.deepcopy(network).to(dtype) for name, network in workload.networks.items()}
    apply_changes(networks, changes, norms or {})
    with watching(networks, None if norms is None else _changed(norms, changes), measures=not scales) as watcher:
        forward = functools.partial(optim.autocast, precision, workload.device)
        backward = functools.partial(_backward, watcher, scales)
        workload.step(networks, Execution(dtype=dtype, forward=forward, backward=backward))
    return watcher.trace


def _changed(norms: Mapping[LayerKey, Normalisation], changes: Changes) -> dict[LayerKey, Normalisation]:
    return {key: attrs.evolve(norm, eps=changes.eps.get(key, norm.eps)) for key, norm in norms.items()}


def _backward(watcher: Watcher, scales: Mapping[str, float], update: str, loss: Tensor) -> None:
    watcher.update = update
    optim.scale_loss(loss, scales.get(update, 1.0)).backward()
    watcher.note_weights()


def apply_changes(networks: Networks, changes: Changes, norms: Mapping[LayerKey, Normalisation]) -> None:
    """Change some networks in place."""
    for (network, name), eps in changes.eps.items():
        _set_eps(networks[network].get_submodule(name), norms[network, name].eps, eps)
    for network, name in changes.islands:
        module = networks[network].get_submodule(name)
        module.forward = functools.partial(_island, module.forward)


def _set_eps(module: nn.Module, before: float | None, eps: float) -> None:
    """Give a module that normalises another eps: at its attribute, or by squeezing its input.

    (a x - a m) / sqrt(a^2 v + e) is (x - m) / sqrt(v + e / a^2): with a = sqrt(before / eps) a module whose eps is out
    of reach normalises with the new one. The squeezed input is float32, so that squeezing loses nothing.
    """
    if isinstance(getattr(module, "eps", None), float):
        module.eps = eps  # type: ignore[assignment]
    elif before is not None:
        module.forward = functools.partial(_squeezed, module.forward, (before / eps) ** 0.5)


def _squeezed(forward: Callable[..., Any], factor: float, x: Tensor, *args: Any, **kwargs: Any) -> Any:
    result = forward(x.to(torch.promote_types(x.dtype, torch.float32)) * factor, *args, **kwargs)
    return result.to(x.dtype) if isinstance(result, Tensor) else result


def _island(forward: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    device = next((tensor.device.type for tensor in tensors_in((args, kwargs))), "cpu")
    args, kwargs = map_tensors(_widened, (args, kwargs))
    with torch.autocast(device, enabled=False):
        return forward(*args, **kwargs)


def _widened(x: Tensor) -> Tensor:
    return x.float() if x.is_floating_point() and x.dtype is not torch.float64 else x
