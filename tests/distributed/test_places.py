"""Where the processes of a machine compute: each has its share of the cores, and the first one says so."""

import pytest
import vs_runtime as runtime
from faults import run_config
from vs_runtime.ranks import Ranks
from vs_train.setup import prepare

SOCKET = runtime.Topology(cores=tuple(runtime.Core(cpus=(core, core + 4)) for core in range(4)))


def test_the_processes_of_a_machine_share_its_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime, "read_topology", lambda: SOCKET)
    monkeypatch.setattr(runtime, "allowed_cpus", lambda: frozenset(range(8)))
    config = run_config(run={"affinity": {"policy": "unique"}})
    # The third and fourth of four processes are the first and second of their machine.
    made = [prepare(config, ranks=Ranks(rank=2 + k, count=4, local_rank=k, local_count=2)) for k in range(2)]
    assert [each.plan.process for each in made] == [(0, 1), (2, 3)]
    assert all("all 4 cores shared out among 2 process(es)" in each.notes for each in made)
