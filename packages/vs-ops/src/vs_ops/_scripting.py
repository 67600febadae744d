"""TorchScript, at the first call: importing the package compiles nothing."""

import functools
import warnings
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import torch

P = ParamSpec("P")
R = TypeVar("R")


def scripted(function: Callable[P, R]) -> Callable[P, R]:
    """Compile `function` by `torch.jit.script` when it is first called; the results keep its name and docstring.

    Activation checkpointing ends its second forward by an exception from where a tensor is saved, which TorchScript
    turns into a meaningless one. So what is saved in here is hidden from it, and kept.
    """

    @functools.cache
    def compiled() -> Callable[P, R]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # PyTorch prefers its compiler; so does our "auto"
            script: Callable[P, R] = torch.jit.script(function)
        return script

    @functools.wraps(function)
    def call(*arguments: P.args, **keywords: P.kwargs) -> R:
        with torch.autograd.graph.saved_tensors_hooks(_itself, _itself):
            return compiled()(*arguments, **keywords)

    return call


def _itself(tensor: torch.Tensor) -> torch.Tensor:
    return tensor
