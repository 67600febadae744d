"""Optimizers that processes share: each steps some parameters, has Adam's averages of these alone, and tells the rest.

This is the first stage of ZeRO (Rajbhandari et al., SC 2020). PyTorch's ZeroRedundancyOptimizer is not used: it sends
its state as pickles.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import attrs
import torch
import vs_optim as optim
from torch import Tensor
from vs_config import ConfigError, Problem
from vs_runtime.ranks import Ranks, collected, spread


@attrs.frozen(kw_only=True, eq=False)
class Shards:
    """The parameters of a network among processes.

    Attributes:
        ranks: the processes.
        parameters: of the network, in its order.
        owners: which process steps each.
    """

    ranks: Ranks
    parameters: tuple[Tensor, ...]
    owners: tuple[int, ...]

    def of(self, rank: int) -> list[Tensor]:
        """Return what a process steps."""
        return [p for p, owner in zip(self.parameters, self.owners, strict=True) if owner == rank]

    def of_others(self) -> list[Tensor]:
        """Return what other processes step."""
        return [p for p, owner in zip(self.parameters, self.owners, strict=True) if owner != self.ranks.rank]


def share_parameters(ranks: Ranks, parameters: Iterable[Tensor]) -> Shards:
    """Return which process steps which parameter: about equally many numbers each. The same in all processes.

    Raises:
        ConfigError: there are more processes than parameters.
    """
    those = tuple(parameters)
    if len(those) < ranks.count:
        hint = f"a network has {len(those)} parameters for {ranks.count} processes"
        raise ConfigError([Problem("distributed.shard_optimizer", hint, expected="false", got=True)])
    return Shards(ranks=ranks, parameters=those, owners=fair_owners([p.numel() for p in those], ranks.count))


def fair_owners(sizes: Sequence[int], count: int) -> tuple[int, ...]:
    """Return who owns what, the largest first to whoever has the least. Pure."""
    loads, owners = [0] * count, [0] * len(sizes)
    for index in sorted(range(len(sizes)), key=lambda i: -sizes[i]):
        owner = loads.index(min(loads))
        owners[index] = owner
        loads[owner] += max(1, sizes[index])
    return tuple(owners)


def tell_after_steps(optimizer: torch.optim.Optimizer, shards: Shards) -> None:
    """Have all processes told of the parameters that one has stepped, after each step."""

    def tell(*_: Any) -> None:
        for owner in range(shards.ranks.count):
            spread(shards.ranks, [p.detach() for p in shards.of(owner)], owner)

    optimizer.register_step_post_hook(tell)


def whole_adam_state(optimizer: torch.optim.Optimizer, shards: Shards | None) -> dict[str, Any]:
    """Return Adam's state of all parameters, as `vs_optim.adam_state` does; of several processes the first one has it.

    All have to ask. The others get their own part, and None for the rest.
    """
    own = optim.adam_state(optimizer)
    if shards is None:
        return own
    rank, entries = shards.ranks.rank, iter(own["params"])
    mine = [next(entries) if owner == rank else None for owner in shards.owners]
    steps = collected(shards.ranks, [None if entry is None else entry["step"] for entry in mine])
    return {"params": [_entry(shards, index, mine[index], steps) for index in range(len(mine))]}


def _entry(shards: Shards, index: int, own: dict[str, Any] | None, steps: Sequence[Sequence[int | None]]) -> Any:
    """Return what is known of a parameter, which its owner tells the first process."""
    owner, parameter = shards.owners[index], shards.parameters[index]
    step = steps[owner][index]
    if step is None or owner == 0:
        return own
    names = ("exp_avg", "exp_avg_sq")
    told = own or {name: torch.empty_like(parameter, dtype=torch.float32) for name in names}
    spread(shards.ranks, [told[name] for name in names], owner)
    if not shards.ranks.first:
        return own
    return {"step": step, **{name: told[name].to("cpu") for name in names}}


def own_adam_state(state: Any, shards: Shards | None) -> Any:
    """Return the part of a whole state that this process's optimizer takes."""
    match state:
        case {"params": list(entries)} if shards is not None and len(entries) == len(shards.owners):
            owned = zip(entries, shards.owners, strict=True)
            return {"params": [entry for entry, owner in owned if owner == shards.ranks.rank]}
        case _:
            return state
