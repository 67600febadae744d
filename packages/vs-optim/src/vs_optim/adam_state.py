"""Adam's state for checkpoints, the same whichever implementation wrote it.

`Optimizer.state_dict` holds the implementation's flags and the learning rate as well, and loading it brings them back:
a run begun with the foreach loops would go on with them where the fused kernel was asked for, and a changed learning
rate would be undone. NVIDIA apex keeps its step count per group where PyTorch keeps it per parameter. So a checkpoint
holds what Adam means: per parameter the number of steps and the two averages.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from vs_optim.errors import StateError


def adam_state(optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """Return what Adam has learnt: `{"params": [...]}`, one entry per parameter in the optimizer's order.

    An entry is a dict of `step` (int), `exp_avg` and `exp_avg_sq` (the optimizer's own tensors, not copies), or None
    for a parameter that has not been stepped yet.
    """
    return {"params": [_read(optimizer, group, p) for group in optimizer.param_groups for p in group["params"]]}


def load_adam_state(optimizer: torch.optim.Optimizer, state: Mapping[str, Any]) -> None:
    """Go on from what `adam_state` gave, of any implementation; learning rate and flags stay as they are.

    The tensors are copied, to the device of their parameters.

    Raises:
        StateError: numbers or shapes of parameters differ, or, for apex, step counts within a group do. The optimizer
            is then as it was.
    """
    groups = [(group, p) for group in optimizer.param_groups for p in group["params"]]
    entries = _entries(state, len(groups))
    for index, ((_, p), entry) in enumerate(zip(groups, entries, strict=True)):
        _check(index, p, entry)
    per_parameter = isinstance(optimizer, torch.optim.Adam)
    steps = [] if per_parameter else _group_steps(optimizer, entries)
    optimizer.state.clear()
    for (group, p), entry in zip(groups, entries, strict=True):
        if entry is not None:
            optimizer.state[p] = _restored(group, p, entry, with_step=per_parameter)
    for group, step in zip(optimizer.param_groups, steps, strict=False):
        group["step"] = step


def _read(optimizer: torch.optim.Optimizer, group: Mapping[str, Any], p: Tensor) -> dict[str, Any] | None:
    entry = optimizer.state.get(p)
    if not entry:
        return None
    step = int(entry["step"] if "step" in entry else group["step"])
    return {"step": step, "exp_avg": entry["exp_avg"], "exp_avg_sq": entry["exp_avg_sq"]}


def _entries(state: Mapping[str, Any], count: int) -> list[Any]:
    match state.get("params"):
        case list(entries) if len(entries) == count:
            return entries
        case list(entries):
            got: int | str = len(entries)
        case _:
            got = "no"
    raise StateError("Adam", f"the state is of {got} parameters, and the optimizer has {count}")


def _check(index: int, p: Tensor, entry: Any) -> None:
    if entry is None:
        return
    what = f"Adam, parameter {index}"
    if not isinstance(entry, Mapping) or set(entry) != {"step", "exp_avg", "exp_avg_sq"}:
        raise StateError(what, "expected None or the keys step, exp_avg, exp_avg_sq")
    for name in ("exp_avg", "exp_avg_sq"):
        if entry[name].shape != p.shape:
            raise StateError(what, f"{name} has shape {tuple(entry[name].shape)}, the parameter {tuple(p.shape)}")


def _restored(group: Mapping[str, Any], p: Tensor, entry: Mapping[str, Any], *, with_step: bool) -> dict[str, Any]:
    averages = {
        name: torch.empty_like(p, dtype=torch.float32, memory_format=torch.preserve_format).copy_(entry[name])
        for name in ("exp_avg", "exp_avg_sq")
    }
    if not with_step:
        return averages
    on_device = bool(group.get("fused") or group.get("capturable"))  # where PyTorch's fused kernel wants the count
    step = torch.tensor(float(entry["step"]), dtype=torch.float32, device=p.device if on_device else None)
    return {"step": step, **averages}


def _group_steps(optimizer: torch.optim.Optimizer, entries: list[Any]) -> list[int]:
    """Return the step count of each group, which its parameters that have one must agree on; 0 where none has."""
    steps: list[int] = []
    rest = iter(entries)
    for number, group in enumerate(optimizer.param_groups):
        counts = {entry["step"] for entry in (next(rest) for _ in group["params"]) if entry is not None}
        if len(counts) > 1:
            raise StateError(f"Adam, group {number}", f"apex needs one step count per group, got {sorted(counts)}")
        steps.append(counts.pop() if counts else 0)
    return steps
