"""What can be said of a call beside its time: the kernels that it launches, the bytes that it must move, the bandwidth.

*Kernels.* On CUDA, the kernels that the profiler saw on the device; copies and fills by the driver are none. On the CPU
there is no such thing, and ATen operators that do work are counted instead: those of the profiler's tree below which
no other does work, without those that only make views, allocate, or ask (`IDLE`). `x * 0.5` is one, `x.mean()` two (sum
and division), a convolution one. A loop that Inductor has compiled is one, under its own name; for that,
`name_compiled_loops` has to be called before it is compiled.

*Bytes.* The fewest that any implementation has to move: every tensor that goes in is read once, every result written
once, and backward reads the gradient of every result and writes the gradient of every leaf. What a backward pass reads
of the inputs a second time is not in it, so that no implementation of a nonlinear operator gets all of the bandwidth.

*Bandwidth.* That of copying a tensor larger than any cache: bytes read and written by seconds. Calls whose tensors stay
in a cache may well get more than all of it.
"""

import math
import os
import re
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

import attrs
import torch
from torch import Tensor
from torch._C._autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

COPY_BYTES = 128 * 2**20
IDLE = frozenset(
    f"aten::{name}"
    for name in (
        *("alias", "as_strided", "as_strided_", "broadcast_tensors", "broadcast_to", "chunk", "conj", "contiguous"),
        *("detach", "detach_", "diagonal", "expand", "expand_as", "flatten", "lift_fresh", "meshgrid", "movedim", "mT"),
        *("narrow", "numpy_T", "permute", "real", "reshape", "reshape_as", "resolve_conj", "resolve_neg", "select"),
        *("slice", "split", "split_with_sizes", "squeeze", "swapaxes", "t", "tensor_split", "transpose", "unbind"),
        *("unflatten", "unfold", "unsqueeze", "view", "view_as", "_unsafe_view", "_reshape_alias"),
        *("empty", "empty_like", "empty_strided", "new_empty", "new_empty_strided", "resize_", "resize_as_", "set_"),
        *("item", "_local_scalar_dense", "is_nonzero", "is_same_size", "is_pinned", "result_type", "can_cast", "size"),
        *("requires_grad_", "to", "type_as", "positive", "_assert_async", "_nnpack_available"),
    )
)
"""ATen operators that make views, allocate, or ask; by themselves they touch no element."""
_WORKING_NAMESPACES = ("aten::", "mkldnn::", "onednn::", "quantized::", "vs_ops::")
_COMPILED_LOOP = re.compile(r"(graph_\d+_)?cpp_fused_\w+")
_NO_KERNELS = ("Memcpy", "Memset")


class Event(Protocol):
    """The part of the profiler's events that is used: a name, and the events within."""

    @property
    def name(self) -> str:
        """Name of the operator."""

    @property
    def cpu_children(self) -> Sequence["Event"]:
        """Events that began and ended within this one."""


@attrs.frozen(kw_only=True)
class Profile:
    """Kernels of one call, and the fractions of its time that operators took by themselves, largest first."""

    kernels: int
    hottest: tuple[tuple[str, float], ...]


def does_work(name: str) -> bool:
    """Return whether an operator of this name touches elements, unless another one within does it."""
    return (name.startswith(_WORKING_NAMESPACES) and name not in IDLE) or bool(_COMPILED_LOOP.fullmatch(name))


def working_leaves(events: Iterable[Event]) -> list[str]:
    """Return names of the operators that do work and have none within that does, of these trees. Pure."""
    found = []
    for event in events:
        within = working_leaves(event.cpu_children)
        found += within or ([event.name] if does_work(event.name) else [])
    return found


def are_kernels(names: Iterable[str]) -> list[str]:
    """Return the names, of what ran on a CUDA device, that are kernels. Pure."""
    return [name for name in names if not name.startswith(_NO_KERNELS)]


def profile_call(run: Callable[[], object], device: torch.device, *, limit: int = 6) -> Profile:
    """Profile one call of `run`, which should have run before: compiling counts too."""
    on_cuda = device.type == "cuda"
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if on_cuda else [])]
    with profile(activities=activities, acc_events=True) as watched:
        run()
        if on_cuda:
            torch.cuda.synchronize(device)
    events: list[Any] = list(watched.events() or [])
    cuda = [event for event in events if event.device_type == DeviceType.CUDA]
    if on_cuda:
        kernels = len(are_kernels(event.name for event in cuda))
        times = [(event.name, float(event.self_device_time_total)) for event in cuda]
    else:
        kernels = len(working_leaves(event for event in events if event.cpu_parent is None))
        times = [(event.name, float(event.self_cpu_time_total)) for event in events]
    return Profile(kernels=kernels, hottest=hottest_of(times, limit=limit))


def hottest_of(times: Iterable[tuple[str, float]], *, limit: int) -> tuple[tuple[str, float], ...]:
    """Add up times by name and give the `limit` largest as fractions of all. Pure."""
    total: dict[str, float] = {}
    for name, seconds in times:
        total[name] = total.get(name, 0.0) + seconds
    everything = sum(total.values())
    ranked = sorted(total.items(), key=lambda item: (-item[1], item[0]))[:limit]
    return tuple((name, seconds / everything) for name, seconds in ranked if seconds > 0)


def name_compiled_loops() -> None:
    """Let loops that Inductor compiles from now on for the CPU appear in profiles by name."""
    import torch._inductor.config as inductor

    inductor.cpp.enable_kernel_profile = True


def quiet_profiler() -> None:
    """Keep the profiler from writing to the terminal when it starts and stops; call it before the first profile."""
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")


def bytes_of(tensor: Tensor) -> int:
    """Return bytes of the elements of a tensor, those that it repeats by a stride of zero once. Pure."""
    steps = zip(tensor.shape, tensor.stride(), strict=True)
    return tensor.element_size() * math.prod(size if stride or not size else 1 for size, stride in steps)


def min_bytes(
    *,
    inputs: Sequence[Tensor],
    outputs: Sequence[Tensor],
    leaves: Sequence[Tensor] = (),
    mutated: Sequence[Tensor] = (),
) -> int:
    """Return the least number of bytes that a call moves, forward and, if there are `leaves`, backward. Pure.

    `inputs` are read; `outputs` are written, and if gradients are wanted those of them that have any are read as
    gradients; one gradient for each of the `leaves` is written. `mutated` tensors are written in place.
    """
    forward = [*_once(inputs), *_once(outputs), *_once(mutated)]
    differentiable = [one for one in outputs if one.requires_grad]
    backward = [*_once(differentiable), *_once(leaves)] if leaves else []
    return sum(bytes_of(tensor) for tensor in (*forward, *backward))


def _once(tensors: Sequence[Tensor]) -> list[Tensor]:
    return list({id(tensor): tensor for tensor in tensors}.values())


def copier(device: torch.device, size: int = COPY_BYTES) -> Callable[[], object]:
    """Return a call that copies `size` bytes on `device`, and so moves twice as many."""
    source = torch.zeros(size, dtype=torch.uint8, device=device)
    target = torch.zeros_like(source)
    return lambda: target.copy_(source)


def repeats_for(run: Callable[[], object], device: torch.device, *, seconds: float, limit: int = 1000) -> int:
    """Return how many calls of `run` take about `seconds`, at least one; it is called three times to find out."""
    run()
    wait = torch.cuda.synchronize if device.type == "cuda" else _nothing
    wait()
    start = time.perf_counter()
    run()
    run()
    wait()
    return repeats_of((time.perf_counter() - start) / 2, seconds=seconds, limit=limit)


def repeats_of(once: float, *, seconds: float, limit: int = 1000) -> int:
    """Return how many calls of `once` seconds take about `seconds`: at least one, at most `limit`. Pure."""
    return max(1, min(limit, round(seconds / max(once, 1e-9))))


def _nothing() -> None:
    pass
