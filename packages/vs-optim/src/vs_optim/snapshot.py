"""Tensors and optimizers as they are now, to be put back if a step turns out not to count."""

from collections.abc import Iterable, Mapping
from typing import Any, assert_never

import attrs
import torch
from torch import Tensor


@attrs.frozen(kw_only=True, eq=False)
class KeptTensors:
    """Tensors, and copies of what they held."""

    tensors: tuple[Tensor, ...]
    copies: tuple[Tensor, ...]


@attrs.frozen(kw_only=True, eq=False)
class KeptOptimizer:
    """An optimizer, its parameters and their state as they were: everything that its `step` changes.

    Attributes:
        optimizer: whose step may have to be undone.
        tensors: its parameters and the tensors of its state.
        numbers: per parameter what its state held besides tensors; no entry: it had not been stepped yet.
        groups: per group what it held besides its parameters; apex counts its steps there.
    """

    optimizer: torch.optim.Optimizer
    tensors: KeptTensors
    numbers: Mapping[Tensor, Mapping[str, Any]]
    groups: tuple[Mapping[str, Any], ...]


@torch.no_grad()
def keep_tensors(tensors: Iterable[Tensor]) -> KeptTensors:
    """Copy tensors, on their devices and without waiting for them; takes as much memory as they do."""
    kept = tuple(tensors)
    copies = tuple(torch.empty_like(tensor) for tensor in kept)
    if kept:
        torch._foreach_copy_(list(copies), list(kept))
    return KeptTensors(tensors=kept, copies=copies)


def keep_optimizer(optimizer: torch.optim.Optimizer) -> KeptOptimizer:
    """Copy an optimizer's parameters and state: for Adam, three times the memory of the parameters. Does not wait."""
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    states = {p: optimizer.state[p] for p in parameters if optimizer.state.get(p)}
    tensors = {p: {k: v for k, v in state.items() if isinstance(v, Tensor)} for p, state in states.items()}
    return KeptOptimizer(
        optimizer=optimizer,
        tensors=keep_tensors([*parameters, *(v for found in tensors.values() for v in found.values())]),
        numbers={p: {k: v for k, v in state.items() if k not in tensors[p]} for p, state in states.items()},
        groups=tuple({k: v for k, v in group.items() if k != "params"} for group in optimizer.param_groups),
    )


@torch.no_grad()
def put_back(kept: KeptTensors | KeptOptimizer) -> None:
    """Make everything what it was, in place and bit for bit."""
    match kept:
        case KeptTensors():
            if kept.tensors:
                torch._foreach_copy_(list(kept.tensors), list(kept.copies))
        case KeptOptimizer():
            put_back(kept.tensors)
            _put_back_state(kept)
        case _:
            assert_never(kept)


def _put_back_state(kept: KeptOptimizer) -> None:
    for group, before in zip(kept.optimizer.param_groups, kept.groups, strict=True):
        for key in group.keys() - before.keys() - {"params"}:  # apex has no count before its first step
            del group[key]
        group.update(before)
        for p in group["params"]:
            if p in kept.numbers:
                kept.optimizer.state[p].update(kept.numbers[p])
            else:
                kept.optimizer.state.pop(p, None)
