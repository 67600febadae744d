"""Activation checkpointing that changes no value, also for blocks that write their buffers while they run.

A checkpointed block keeps only its inputs; what lies between is computed a second time during backward. PyTorch's own
`torch.utils.checkpoint` calls the block twice, which for spectral normalisation means one power iteration too many and,
if the block was called again in between, recomputation with buffers of another call. Here the second run sees copies of
the buffers as they were when the first began, and writes to those copies.
"""

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.utils import checkpoint as torch_checkpoint
from torch.utils._pytree import tree_flatten, tree_unflatten

from vs_runtime.errors import ActivationError


def checkpointed(block: nn.Module, *args: Any) -> Any:
    """Return `block(*args)`, with its activations recomputed during backward instead of kept.

    Outputs, gradients and buffers are those of `block(*args)`, bit for bit on a deterministic device: recomputation
    sees the buffers, the training flags, the random state and the autocast state of this call. The block may be called
    again before backward, run backward several times, and hold checkpointed blocks itself. Where nothing needs a
    gradient the block is called directly.

    Args:
        block: any module whose result depends on its arguments, parameters, buffers and flags only. It may write to its
            buffers in place or replace them, and must not write to its arguments.
        *args: tensors, None, plain values, and lists, tuples or dicts of those.

    Raises:
        ActivationError: during backward, if a parameter of the block was written to, or its `requires_grad` changed,
            since the forward.
    """
    leaves, spec = tree_flatten(args)
    if not _needs_gradient(block, leaves):
        return block(*args)
    buffers = {name: buffer.detach().clone() for name, buffer in block.named_buffers()}
    parameters = _parameter_versions(block)
    modes = [(module, module.training) for module in block.modules()]
    first = True

    def run(*flat: Any) -> Any:
        nonlocal first
        arguments = tree_unflatten(list(flat), spec)
        if first:
            first = False
            return block(*arguments)
        _check_parameters(block, parameters)
        copies = {name: buffer.clone() for name, buffer in buffers.items()}  # backward may come more than once
        with _training_modes(modes):
            return functional_call(block, copies, arguments)

    return torch_checkpoint.checkpoint(run, *leaves, use_reentrant=False)


def _needs_gradient(block: nn.Module, leaves: list[Any]) -> bool:
    if not torch.is_grad_enabled():
        return False
    tensors = (leaf for leaf in leaves if isinstance(leaf, Tensor))
    return any(t.requires_grad for t in tensors) or any(p.requires_grad for p in block.parameters())


def _parameter_versions(block: nn.Module) -> dict[str, tuple[int, bool]]:
    return {name: (p._version, p.requires_grad) for name, p in block.named_parameters()}


def _check_parameters(block: nn.Module, before: dict[str, tuple[int, bool]]) -> None:
    for name, (version, requires_grad) in _parameter_versions(block).items():
        if before[name][0] != version:
            raise ActivationError(name, "was written to")
        if before[name][1] != requires_grad:
            raise ActivationError(name, "changed its requires_grad")


@contextlib.contextmanager
def _training_modes(modes: list[tuple[nn.Module, bool]]) -> Iterator[None]:
    """Give every module the training flag that it had, and take it back afterwards."""
    now = [(module, module.training) for module, _ in modes]
    for module, training in modes:
        module.training = training
    try:
        yield
    finally:
        for module, training in now:
            module.training = training
