"""The plan of a run in several processes, beside what they take."""

import functools
import os
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from unittest import mock

import pytest
import torch
from faults import run_config
from rank_processes import environment
from torch.distributed import TCPStore
from vs_data import open_source
from vs_runtime import in_fresh_process
from vs_runtime.ranks import joined
from vs_train.planning import probe
from vs_train.planning.company import own_share
from vs_train.planning.probe import Probe
from vs_train.setup import prepare
from vs_training.config import TrainConfig, label_spec
from vs_training.counts import added_bytes, count_networks
from vs_training.forecast import Observation

CPU = torch.device("cpu")


def wide(keep_memory: bool, **distributed: Any) -> TrainConfig:
    """Networks of which memory is made, rather than of PyTorch's own."""
    generator = {"filters": 128, "max_filters": 512}
    return run_config(
        data={"height": 16, "width": 32},
        generator=generator,
        loader={"batch_size": 2},
        memory={"micro_batches": 2 if distributed.get("reduce") == "ordered" else 1},
        distributed=distributed,
        performance={"keep_memory": keep_memory},
    )


def observe_rank(asked: Probe, variables: dict[str, str]) -> Observation:
    """What a probe takes that is one of several processes."""
    os.environ.update(variables)
    with joined() as ranks, mock.patch.object(probe, "prepare", functools.partial(prepare, ranks=ranks)):
        return probe.observe_here(asked)


def observe_together(asked: Probe, count: int) -> list[Observation]:
    store = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    with ThreadPoolExecutor(count) as pool:
        places = [environment(rank, count, store.port) for rank in range(count)]
        return list(pool.map(lambda place: in_fresh_process(functools.partial(observe_rank, asked), place), places))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("keep", "distributed"),
    [(True, {}), (False, {}), (False, {"shard_optimizer": True}), (False, {"reduce": "ordered"})],
    ids=["kept", "fast", "shared", "ordered"],
)
def test_the_memory_of_two_processes_is_within_15_percent_of_what_is_planned(
    keep: bool, distributed: dict[str, Any]
) -> None:
    """What they take more, or less, than one by itself is so within a third of the gradients, if no holes are kept."""
    config = wide(keep, **distributed)
    counts = count_networks(config, label_spec(config.labels, open_source(config.data, "train")))
    added = added_bytes(config, counts, 2)
    own = Probe(config=own_share(config, 2, CPU))
    peaks = [[each.peak for each in observe_together(own, count)] for count in (1, 2)]
    (alone, *_), (first, second) = peaks
    if alone is None or first is None or second is None:
        pytest.skip("this system does not say how much memory a process has had")
    taken = max(first, second)
    assert taken == pytest.approx(alone + added, rel=0.15)
    assert keep or taken - alone == pytest.approx(added, abs=4 * counts.generator / 3)
