"""What exists of each network is reached by its name and never mixed up with the other's."""

from vs_optim import Pair, both


def test_each_network_has_its_own() -> None:
    pair = Pair(generator=1, discriminator=2)
    assert (pair.of("generator"), pair.of("discriminator")) == (1, 2)
    assert pair.items() == (("generator", 1), ("discriminator", 2))


def test_a_function_of_each() -> None:
    assert Pair(generator=1, discriminator=2).map(str) == Pair(generator="1", discriminator="2")


def test_a_pair_made_by_name() -> None:
    assert both(lambda network: network[:3]) == Pair(generator="gen", discriminator="dis")
