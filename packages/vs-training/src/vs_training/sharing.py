"""How processes share a batch: its clips, and the parts that it is computed in.

A batch, its parts and whatever is learnt from it are a matter of the configuration alone. A run is therefore the same
run in any number of processes, and goes on in another number.
"""

import multiprocessing
from collections.abc import Iterator

import attrs
from vs_config import ConfigError, Problem
from vs_data import LoaderConfig
from vs_runtime.ranks import Ranks

from vs_training.config import TrainConfig

_HAS_FORK_SERVER = "forkserver" in multiprocessing.get_all_start_methods()


def check_sharing(config: TrainConfig, ranks: Ranks) -> None:
    """See that the processes can share each batch.

    Raises:
        ConfigError: they cannot, with what would do.
    """
    if ranks.count == 1:
        return
    problems = list(_unequal_shares(config, ranks.count))
    if problems:
        raise ConfigError(problems)


def _unequal_shares(config: TrainConfig, count: int) -> Iterator[Problem]:
    size, parts = config.loader.batch_size, config.memory.micro_batches
    if size == "auto":
        hint = f"{count} processes share it; `train:plan` says what one of them can hold"
        yield Problem("loader.batch_size", hint, expected="a number", got=size)
    elif size % count:
        yield Problem("loader.batch_size", expected=f"a multiple of {count}, the number of processes", got=size)
    elif parts % count == 0:
        pass
    elif config.distributed.reduce == "ordered":
        hint = "only the same parts give the same sums for any number of processes; or distributed.reduce=fast"
        expected = f"a multiple of {count}, the number of processes, that divides {size}"
        yield Problem("memory.micro_batches", hint, expected=expected, got=parts)
    elif count % parts:
        expected = f"a multiple or a divisor of {count}, the number of processes"
        yield Problem("memory.micro_batches", expected=expected, got=parts)


def own_parts(config: TrainConfig, ranks: Ranks) -> int:
    """Return in how many parts each process computes its share of a batch. Pure."""
    return max(1, config.memory.micro_batches // ranks.count)


def own_loader(config: TrainConfig, ranks: Ranks) -> LoaderConfig:
    """Return how each process reads its share of a batch. Pure.

    Of several processes none is forked, unless that is asked for: it has threads and connections to the others.
    """
    loader = attrs.evolve(config.loader, batch_size=config.loader.clips // ranks.count)
    if ranks.count == 1 or loader.start_method != "auto":
        return loader
    return attrs.evolve(loader, start_method="forkserver" if _HAS_FORK_SERVER else "spawn")
