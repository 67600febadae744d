"""A training step over many ranks, computed from one that was measured and from stated links. Pure.

Each rank computes what was measured, and waits for gradients as `vs_training.exchange` says.
"""

from collections.abc import Sequence

import attrs
from vs_training.exchange import Backward, Cluster, exposed_seconds, ring_bytes, ring_seconds


@attrs.frozen(kw_only=True)
class Step:
    """A step as one process takes it.

    Attributes:
        other: seconds beside the backward passes.
        backwards: those passes, each of which is waited for by a step of its optimizer.
    """

    other: float
    backwards: tuple[Backward, ...]

    @property
    def seconds(self) -> float:
        """All of it."""
        return self.other + sum(each.seconds for each in self.backwards)

    def faster(self, times: float) -> "Step":
        """Return the step of a machine that computes so many times as fast."""
        backwards = tuple(attrs.evolve(each, seconds=each.seconds / times) for each in self.backwards)
        return Step(other=self.other / times, backwards=backwards)


@attrs.frozen(kw_only=True)
class Simulated:
    """A step over so many ranks: its seconds, those of them in which gradients are waited for, and those of decisions.

    Attributes:
        efficiency: what one rank's step takes of it, each rank having as many clips as that one.
        sent_bytes: what each rank sends.
    """

    ranks: int
    seconds: float
    exposed: float
    decisions: float
    efficiency: float
    sent_bytes: float


def simulate(
    step: Step,
    ranks: int,
    cluster: Cluster,
    *,
    bucket_bytes: float,
    decisions: int = 0,
    overlap: bool = True,
) -> Simulated:
    """Return a step over so many ranks.

    Args:
        step: as one process takes it.
        ranks: how many there are.
        cluster: where.
        bucket_bytes: at most so many bytes of gradients are sent at once.
        decisions: all-reduces of a few bytes beside those of gradients, all of which are waited for.
        overlap: see `exposed_seconds`.
    """
    link = cluster.link(ranks)
    exposed = sum(
        exposed_seconds(each, ranks, link, bucket_bytes=bucket_bytes, overlap=overlap) for each in step.backwards
    )
    decided = decisions * ring_seconds(0, ranks, link)
    seconds = step.seconds + exposed + decided
    return Simulated(
        ranks=ranks,
        seconds=seconds,
        exposed=exposed,
        decisions=decided,
        efficiency=step.seconds / seconds,
        sent_bytes=sum(ring_bytes(each.gradient_bytes, ranks) for each in step.backwards),
    )


def assumptions(cluster: Cluster, *, bucket_bytes: float, decisions: int, speedups: Sequence[float]) -> tuple[str, ...]:
    """Say what a simulation takes for granted."""
    inside, between = cluster.inside, cluster.between
    return (
        "every rank computes as long as was measured here on one process, on as many clips, or on a machine that is "
        f"{', '.join(f'{times:g}' for times in speedups)} times as fast; none is ever late",
        f"{cluster.per_node} ranks a node, linked by {inside.name} of {inside.bytes_per_second / 1e9:g} GB/s each way "
        f"and {1e6 * inside.latency:g} µs a message",
        f"one link of {between.name} a node between nodes, {between.bytes_per_second / 1e9:g} GB/s each way and "
        f"{1e6 * between.latency:g} µs a message; no other traffic, and nominal bandwidths are reached",
        "ring all-reduce: each rank sends 2 (R - 1) / R times the gradients, in 2 (R - 1) messages one after the "
        "other, at the speed of the slowest link (libraries take trees for small messages, which are quicker)",
        f"float32 gradients in buckets of at most {bucket_bytes / 2**20:g} MiB become ready evenly over the backward "
        "pass of their network, and are sent one after the other beside it",
        f"{decisions} decisions a step, of a few bytes each, are waited for",
    )
