"""Gradients of the published networks: how many bytes there are for each update, and how long links take for them."""

import functools
from typing import Any

import attrs
from vs_config import resolve_config
from vs_data import folder_kinds, label_infos
from vs_training.config import TrainConfig, spec_of_kinds
from vs_training.counts import count_networks
from vs_training.exchange import Cluster, ring_bytes, ring_seconds
from vs_training.presets import read_preset

PUBLISHED = ("cityscapes", "face-forensics")
"""The presets with the published shapes."""

RANKS = (8, 16, 64, 1024)
FLOAT32 = 4
"""Bytes of a number of a gradient, at every level of precision."""


@attrs.frozen(kw_only=True)
class Gradients:
    """The gradients of an update: bytes of both networks, each of which has an all-reduce of its own."""

    preset: str
    generator: int
    discriminator: int

    @property
    def total(self) -> int:
        """Of both."""
        return self.generator + self.discriminator


@functools.cache
def gradients_of(preset: str) -> Gradients:
    """Count the gradients of a preset, in float32 at every level of precision. No data and no memory are needed."""
    config = resolve_config(TrainConfig, read_preset(preset).document, (), preset)
    counts = count_networks(config, spec_of_kinds(config.labels, label_infos(folder_kinds(config.data))))
    return Gradients(preset=preset, generator=FLOAT32 * counts.generator, discriminator=FLOAT32 * counts.discriminator)


def networks_record(cluster: Cluster) -> dict[str, Any]:
    """Return what documents say of the published networks, and the links that it is computed for."""
    links = {
        name: {"name": link.name, "gb_per_second": link.bytes_per_second / 1e9, "latency_us": 1e6 * link.latency}
        for name, link in (("inside", cluster.inside), ("between", cluster.between))
    }
    networks = [network_record(gradients_of(preset), cluster) for preset in PUBLISHED]
    return {"per_node": cluster.per_node, "links": links, "networks": networks}


def network_record(gradients: Gradients, cluster: Cluster) -> dict[str, Any]:
    """Return what documents say of a network: megabytes, and by number of ranks what is sent and how long it takes."""
    return {
        "name": gradients.preset,
        "generator_mb": gradients.generator / 1e6,
        "discriminator_mb": gradients.discriminator / 1e6,
        "gradient_mb": gradients.total / 1e6,
        "ranks": {str(ranks): _sent(gradients, ranks, cluster) for ranks in RANKS},
    }


def _sent(gradients: Gradients, ranks: int, cluster: Cluster) -> dict[str, Any]:
    link = cluster.link(ranks)
    seconds = sum(ring_seconds(size, ranks, link) for size in (gradients.generator, gradients.discriminator))
    return {"link": link.name, "sent_mb": ring_bytes(gradients.total, ranks) / 1e6, "milliseconds": 1e3 * seconds}
