"""The plan of a run in several processes, beside what they take."""

import functools
import os
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from unittest import mock

import attrs
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
from vs_train.planning.probe import Probe, observe
from vs_train.setup import prepare
from vs_training.config import TrainConfig, label_spec
from vs_training.counts import added_bytes, count_networks
from vs_training.forecast import Observation, fit_memory

CPU = torch.device("cpu")


def wide(batch: int, **distributed: Any) -> TrainConfig:
    """Networks of which memory is made, rather than of PyTorch's own."""
    generator = {"filters": 128, "max_filters": 512}
    return run_config(
        data={"height": 16, "width": 32},
        generator=generator,
        loader={"batch_size": batch},
        memory={"micro_batches": 2 if distributed.get("reduce") == "ordered" else 1},
        distributed=distributed,
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
    "distributed", [{}, {"shard_optimizer": True}, {"reduce": "ordered"}], ids=["fast", "shared", "ordered"]
)
def test_the_memory_of_two_processes_is_within_15_percent_of_what_is_planned(distributed: dict[str, Any]) -> None:
    """So is what they take more, or less, than one by itself, within a third."""
    config = wide(2, **distributed)
    added = added_bytes(config, count_networks(config, label_spec(config.labels, open_source(config.data, "train"))), 2)
    small, large, larger = (own_share(wide(2 * batch, **distributed), 2, CPU) for batch in (1, 2, 3))
    seen = [observe(Probe(config=own)) for own in (small, large)]
    if seen[0].peak is None:
        pytest.skip("this system does not say how much memory a process has had")
    model = fit_memory(*(attrs.evolve(each, peak=round(each.peak + added)) for each in seen))
    assert model is not None
    together = observe_together(Probe(config=larger), 2)
    taken = max(each.peak for each in together if each.peak is not None)
    planned = model.bytes_of(3, together[0].length)
    print(f"planned {planned / 2**20:.0f} MiB, taken {taken / 2**20:.0f} MiB, added {added / 2**20:.0f} MiB")
    assert taken == pytest.approx(planned, rel=0.15)
    assert taken - (planned - added) == pytest.approx(added, rel=0.34)
