"""What exists twice in a GAN: once for the generator, once for the discriminator."""

from collections.abc import Callable
from typing import Generic, Literal, TypeVar

import attrs

T = TypeVar("T")
S = TypeVar("S")

Network = Literal["generator", "discriminator"]


@attrs.frozen(kw_only=True)
class Pair(Generic[T]):
    """Two of a kind: that of the generator and that of the discriminator.

    Networks, optimizers, loss scales, findings, losses: whoever needs one of the two by a name that is data asks `of`.
    """

    generator: T
    discriminator: T

    def of(self, network: Network) -> T:
        """Return that of one network."""
        return self.generator if network == "generator" else self.discriminator

    def items(self) -> tuple[tuple[Network, T], tuple[Network, T]]:
        """Return both with their names, the generator's first."""
        return ("generator", self.generator), ("discriminator", self.discriminator)

    def map(self, function: Callable[[T], S]) -> "Pair[S]":
        """Return what a function makes of each."""
        return Pair(generator=function(self.generator), discriminator=function(self.discriminator))


def both(function: Callable[[Network], T]) -> Pair[T]:
    """Return what a function gives for each network."""
    return Pair(generator=function("generator"), discriminator=function("discriminator"))
