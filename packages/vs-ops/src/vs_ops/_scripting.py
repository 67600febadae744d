"""TorchScript, at the first call: importing the package compiles nothing."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from typing import Any

import torch

__all__ = ["scripted"]


def scripted(function: Callable[..., Any]) -> Callable[..., Any]:
    """`function` compiled by `torch.jit.script` when it is first called; the results keep its name and docstring.

    Activation checkpointing ends its second forward by an exception from where a tensor is saved, which TorchScript
    turns into a meaningless one. So what is saved in here is hidden from it, and kept.
    """

    @functools.cache
    def compiled() -> Callable[..., Any]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # PyTorch prefers its compiler; so does our "auto"
            return torch.jit.script(function)  # type: ignore[no-any-return]

    @functools.wraps(function)
    def call(*arguments: Any) -> Any:
        with torch.autograd.graph.saved_tensors_hooks(_itself, _itself):
            return compiled()(*arguments)

    return call


def _itself(tensor: torch.Tensor) -> torch.Tensor:
    return tensor
