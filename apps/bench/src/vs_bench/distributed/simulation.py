"""A training step over many ranks, computed from one that was measured and from stated links. Pure.

Each rank computes what was measured. Gradients of a network become ready bucket by bucket, evenly over its backward
pass; they are added up by ring all-reduces, one after the other, beside what is left of that pass. What has not arrived
when the pass ends is waited for: that is *exposed*.
"""

import math
from collections.abc import Sequence

import attrs


@attrs.frozen(kw_only=True)
class Link:
    """A connection: bytes a second in one direction, and the seconds that each message takes beside its bytes."""

    name: str
    bytes_per_second: float
    latency: float


NVLINK = Link(name="NVLink", bytes_per_second=300e9, latency=5e-6)
"""NVLink 3, as between the GPUs of a DGX A100: 600 GB/s in both directions together."""

NETWORK = Link(name="100 Gb/s", bytes_per_second=100e9 / 8, latency=10e-6)
"""InfiniBand or Ethernet at 100 Gb/s, one such link a node."""


@attrs.frozen(kw_only=True)
class Cluster:
    """A cluster: nodes of so many ranks, with one kind of link inside and another between them."""

    per_node: int = 8
    inside: Link = NVLINK
    between: Link = NETWORK

    def link(self, ranks: int) -> Link:
        """Return the slowest link of a ring of so many ranks, by which all of its steps go."""
        return self.inside if ranks <= self.per_node else self.between


@attrs.frozen(kw_only=True)
class Backward:
    """The backward pass of a network: its seconds, and the bytes of the gradients that become ready in it."""

    network: str
    seconds: float
    gradient_bytes: float


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


def ring_bytes(size: float, ranks: int) -> float:
    """Return what each rank sends, and receives, in a ring all-reduce of so many bytes."""
    return 2 * (ranks - 1) / ranks * size


def ring_seconds(size: float, ranks: int, link: Link) -> float:
    """Return how long a ring all-reduce takes: 2 (R - 1) messages one after the other, each of the R-th part."""
    return ring_bytes(size, ranks) / link.bytes_per_second + 2 * (ranks - 1) * link.latency


def exposed_seconds(backward: Backward, ranks: int, link: Link, *, bucket_bytes: float, overlap: bool = True) -> float:
    """Return how long a backward pass is over before its gradients are added up.

    Args:
        backward: the pass.
        ranks: how many there are.
        link: the slowest of the ring.
        bucket_bytes: at most so many are sent at once.
        overlap: whether a bucket is sent as soon as it is ready, and not when the pass is over.
    """
    count = max(1, math.ceil(backward.gradient_bytes / bucket_bytes))
    each = ring_seconds(backward.gradient_bytes / count, ranks, link) if ranks > 1 else 0.0
    ended = 0.0 if overlap else backward.seconds
    for number in range(1, count + 1):
        ended = max(ended, backward.seconds * number / count) + each
    return ended - backward.seconds


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
