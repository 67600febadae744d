"""How long processes wait for gradients, computed from stated links. Pure.

Gradients of a network are taken to become ready bucket by bucket, evenly over its backward pass; they are added up by
ring all-reduces, one after the other, beside what is left of that pass. What has not arrived when the pass ends is
waited for: that is *exposed*.
"""

import math

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

LOOPBACK = Link(name="gloo on one machine", bytes_per_second=0.6e9, latency=0.22e-3)
"""What two processes have of one another on two cores that compute as well.

The latency is that of all-reduces while nobody computes; the rate, about half of what they reach then, is what makes
steps of street-tiny as much longer as `bench:distributed` has measured
(docs/benchmarks/distributed-street-tiny-cpu.json).
"""


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
