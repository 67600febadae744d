"""What processes share between them: Adam's averages, and the EMA of the generator.

Each steps some parameters, has Adam's averages of these alone, and tells the rest what they are now. This is the first
stage of ZeRO (Rajbhandari et al., SC 2020). PyTorch's ZeroRedundancyOptimizer is not used: it sends its state as
pickles. Of the EMA each has some tensors, and no memory for the others: these are on the device "meta".
"""

import copy
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar

import attrs
import torch
import vs_optim as optim
from torch import Tensor, nn
from vs_config import ConfigError, Problem
from vs_runtime.ranks import Ranks, collected, fair_owners, spread

Network = TypeVar("Network", bound=nn.Module)


@attrs.frozen(kw_only=True, eq=False)
class Shards:
    """The parameters of a network among processes.

    Attributes:
        ranks: the processes.
        parameters: of the network, in its order.
        owners: which process each belongs to: it steps it, or has it.
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


def share_average(ranks: Ranks, average: nn.Module) -> Shards:
    """Leave this process its share of averaged weights alone, and return who has which. The same in all processes."""
    owners = share_parameters(ranks, average.parameters()).owners
    for (name, parameter), owner in zip(list(average.named_parameters()), owners, strict=True):
        if owner != ranks.rank:
            _put(average, name, torch.empty_like(parameter, device="meta"))
    return Shards(ranks=ranks, parameters=tuple(average.parameters()), owners=owners)


def _put(module: nn.Module, name: str, value: Tensor) -> None:
    """Put a tensor in the place of a parameter that is not trained."""
    layer, _, leaf = name.rpartition(".")
    setattr(module.get_submodule(layer), leaf, nn.Parameter(value, requires_grad=False))


def whole_weights(average: nn.Module, shards: Shards | None) -> dict[str, Tensor]:
    """Return averaged weights by name; of several processes the first one has all of them.

    All have to ask. The others get their own part, and no memory for the rest.
    """
    weights: dict[str, Tensor] = average.state_dict()
    if shards is None:
        return weights
    device = shards.of(shards.ranks.rank)[0].device
    for (name, parameter), owner in zip(average.named_parameters(), shards.owners, strict=True):
        if owner == 0:
            continue
        told = torch.empty_like(parameter, device=device) if parameter.is_meta else parameter.detach()
        spread(shards.ranks, [told], owner)
        if shards.ranks.first:
            weights[name] = told.to("cpu")
    return weights


def whole_average(average: Network, shards: Shards | None) -> Network | None:
    """Return the network with averaged weights: of processes that share them a copy, which the first one alone gets.

    All have to ask.
    """
    if shards is None:
        return average
    weights = whole_weights(average, shards)
    if not shards.ranks.first:
        return None
    whole, device = copy.deepcopy(average), shards.of(0)[0].device
    for name, parameter in list(whole.named_parameters()):
        if parameter.is_meta:
            _put(whole, name, torch.empty_like(parameter, device=device))
    whole.load_state_dict(weights)
    return whole


def load_weights(average: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Give averaged weights these values: all of them, or those that this process has."""
    elsewhere = {name for name, own in average.state_dict().items() if own.is_meta}
    own = {name: value for name, value in weights.items() if name not in elsewhere}
    average.load_state_dict(own, strict=not elsewhere)
