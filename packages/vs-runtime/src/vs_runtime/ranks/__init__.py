"""Several processes that train one pair of networks: who they are, what they ask one another, how they add up."""

from vs_runtime.ranks.collective import (
    Reduce,
    collected,
    gathered,
    gradient_sums,
    joined,
    most,
    parted,
    ready,
    spread,
    told,
)
from vs_runtime.ranks.members import ONE, GradientSums, LocalSums, Ranks, fair_owners, ranks_of, require_one

__all__ = [
    "ONE",
    "GradientSums",
    "LocalSums",
    "Ranks",
    "Reduce",
    "collected",
    "fair_owners",
    "gathered",
    "gradient_sums",
    "joined",
    "most",
    "parted",
    "ranks_of",
    "ready",
    "require_one",
    "spread",
    "told",
]
