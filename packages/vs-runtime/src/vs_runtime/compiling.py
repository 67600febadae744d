"""PyTorch's compiler in front of modules that are called again and again."""

from collections.abc import Iterable

import torch
from torch import nn

_GRAPHS = 1024
"""So many graphs may be made of one function. Past that PyTorch would go on eagerly in silence, and round otherwise."""


def compile_modules(modules: Iterable[nn.Module]) -> int:
    """Let each module be compiled when it is first called with a new kind of arguments; return how many there are.

    It is done in place: names of parameters and buffers stay. Shapes are constants of a graph, so that what a call
    computes depends on that call alone, never on those before it: a run that goes on computes what the unbroken one
    would have. The limits on the number of graphs are of the whole process.
    """
    torch._dynamo.config.recompile_limit = _GRAPHS
    torch._dynamo.config.accumulated_recompile_limit = _GRAPHS
    torch._dynamo.config.fail_on_recompile_limit_hit = True
    count = 0
    for module in modules:
        module.compile(dynamic=False)
        count += 1
    return count
