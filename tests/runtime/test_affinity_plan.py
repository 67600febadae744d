"""Affinity plans: on described machines, always inside what is allowed, apart where there is room."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from vs_config import ConfigError
from vs_runtime import AffinityConfig, AffinityError, AffinityPlan, Core, Gpu, Topology, plan_affinity


def machine(nodes: int, cores: int, smt: int, gpus_per_node: int) -> Topology:
    """CPUs numbered as Linux does: one of every core first, then the siblings."""
    total = nodes * cores
    listed = tuple(
        Core(cpus=tuple(core + total * s for s in range(smt)), node=core // cores, package=core // cores)
        for core in range(total)
    )
    gpus = tuple(
        Gpu(index=index, cpus=tuple(cpu for core in listed if core.node == index // gpus_per_node for cpu in core.cpus))
        for index in range(nodes * gpus_per_node)
    )
    return Topology(cores=listed, gpus=gpus)


def everything(topology: Topology) -> set[int]:
    return {cpu for core in topology.cores for cpu in core.cpus}


def used(plan: AffinityPlan) -> set[int]:
    return set(plan.process).union(*map(set, plan.workers)) if plan.workers else set(plan.process)


def core_of(topology: Topology, cpu: int) -> object:
    return next((core for core in topology.cores if cpu in core.cpus), cpu)


DGX = machine(nodes=2, cores=4, smt=2, gpus_per_node=2)  # cores 0-3 and 4-7, siblings 8-11 and 12-15


@st.composite
def situations(draw: st.DrawFn) -> tuple[Topology, frozenset[int], dict[str, object]]:
    topology = machine(
        draw(st.integers(1, 3)), draw(st.integers(1, 5)), draw(st.integers(1, 2)), draw(st.integers(1, 3))
    )
    known = sorted(everything(topology))
    allowed = frozenset(draw(st.lists(st.sampled_from([*known, 90, 91]), min_size=1, unique=True)))
    arguments = {
        "processes_on_node": draw(st.integers(1, 6)),
        "workers": draw(st.integers(0, 6)),
        "policy": draw(st.sampled_from(["none", "node", "unique"])),
    }
    return topology, allowed, arguments


def plans_of_all(situation: tuple[Topology, frozenset[int], dict[str, object]], gpus: bool) -> list[AffinityPlan]:
    topology, allowed, arguments = situation
    count = arguments["processes_on_node"]
    assert isinstance(count, int)
    return [
        plan_affinity(topology, allowed, process_index=k, gpu_index=k if gpus else None, **arguments)  # type: ignore[arg-type]
        for k in range(count)
    ]


@settings(max_examples=200)
@given(situations(), st.booleans())
def test_plans_are_inside_what_is_allowed_whole_and_the_same_every_time(
    situation: tuple[Topology, frozenset[int], dict[str, object]], gpus: bool
) -> None:
    topology, allowed, arguments = situation
    plans = plans_of_all(situation, gpus)
    for plan in plans:
        assert used(plan) <= allowed
        assert plan.process
        assert plan.process == tuple(sorted(set(plan.process)))
        assert len(plan.workers) == arguments["workers"]
        assert all(plan.workers)
        assert plan.threads == len({core_of(topology, cpu) for cpu in plan.process})
        assert plan.reasons
    assert plans == plans_of_all(situation, gpus)


@settings(max_examples=200)
@given(situations(), st.booleans())
def test_processes_do_not_share_cores_when_there_are_enough(
    situation: tuple[Topology, frozenset[int], dict[str, object]], gpus: bool
) -> None:
    topology, allowed, arguments = situation
    situation = (topology, allowed, {**arguments, "policy": "unique"})
    plans = plans_of_all(situation, gpus)
    if len({core_of(topology, cpu) for cpu in allowed}) < len(plans):
        assert any("processes share cores" in reason for reason in plans[0].reasons)
        return
    cores = [{core_of(topology, cpu) for cpu in used(plan)} for plan in plans]
    assert sum(map(len, cores)) == len(set().union(*cores))


@settings(max_examples=100)
@given(situations(), st.booleans())
def test_the_main_process_has_one_cpu_per_core(
    situation: tuple[Topology, frozenset[int], dict[str, object]], gpus: bool
) -> None:
    topology, allowed, arguments = situation
    for plan in plans_of_all((topology, allowed, {**arguments, "policy": "unique"}), gpus):
        assert len({core_of(topology, cpu) for cpu in plan.process}) == len(plan.process)


def test_each_process_gets_cores_close_to_its_gpu() -> None:
    plans = [
        plan_affinity(DGX, range(16), process_index=k, processes_on_node=4, workers=1, gpu_index=k) for k in range(4)
    ]
    assert [plan.process for plan in plans] == [(0,), (2,), (4,), (6,)]
    assert [plan.workers for plan in plans] == [((1, 9),), ((3, 11),), ((5, 13),), ((7, 15),)]
    assert "4 of 8 cores, those close to its GPU, shared out among 2 process(es)" in plans[0].reasons


def test_two_processes_with_the_gpus_of_one_node_leave_the_other_node_alone() -> None:
    plans = [plan_affinity(DGX, range(16), process_index=k, processes_on_node=2, gpu_index=2 + k) for k in range(2)]
    assert [plan.process for plan in plans] == [(4, 5), (6, 7)]


def test_when_the_near_cores_do_not_suffice_the_far_ones_are_used() -> None:
    plans = [
        plan_affinity(DGX, [0, 4, 5, 6], process_index=k, processes_on_node=4, workers=0, gpu_index=k) for k in range(4)
    ]
    assert sorted(cpu for plan in plans for cpu in plan.process) == [0, 4, 5, 6]
    assert "too few cores close to the GPUs: all 4 shared out among 4 process(es)" in plans[0].reasons


def test_on_the_cpu_the_process_computes_on_all_cores_and_workers_use_the_siblings() -> None:
    plan = plan_affinity(DGX, range(16), workers=3)
    assert plan.process == tuple(range(8))
    assert plan.threads == 8
    assert plan.workers == ((8,), (9,), (10,))
    plain = plan_affinity(machine(1, 2, 1, 1), range(2), workers=3)
    assert plain.process == (0, 1)
    assert plain.workers == ((1,), (0,), (1,))


def test_policy_node_shares_the_near_cores_and_none_shares_all() -> None:
    for k in range(2):
        near = plan_affinity(DGX, range(16), process_index=k, processes_on_node=2, gpu_index=k, policy="node")
        assert near.process == (0, 1, 2, 3)
        anywhere = plan_affinity(DGX, range(16), process_index=k, processes_on_node=2, workers=1, policy="none")
        assert (anywhere.process, anywhere.workers) == (tuple(range(16)), (tuple(range(16)),))


def test_a_gpu_that_is_not_there_or_has_no_cpus_is_no_obstacle() -> None:
    bare = Topology(cores=DGX.cores, gpus=(Gpu(index=0),))
    for gpu in (0, 7):
        assert plan_affinity(bare, range(16), gpu_index=gpu).process == tuple(range(8))


@pytest.mark.parametrize(
    ("arguments", "argument"),
    [
        ({"allowed": []}, "allowed"),
        ({"process_index": 2, "processes_on_node": 2}, "process_index"),
        ({"process_index": -1}, "process_index"),
        ({"workers": -1}, "workers"),
        ({"policy": "all"}, "policy"),
    ],
)
def test_what_cannot_be_planned_is_refused_by_name(arguments: dict[str, object], argument: str) -> None:
    allowed = arguments.pop("allowed", range(4))
    with pytest.raises(AffinityError) as caught:
        plan_affinity(DGX, allowed, **arguments)  # type: ignore[arg-type]
    assert caught.value.argument == argument


def test_the_config_names_its_field() -> None:
    assert AffinityConfig().policy == "unique"
    with pytest.raises(ConfigError, match="policy: expected one of 'none', 'node', 'unique', got 'socket'"):
        AffinityConfig(policy="socket")  # type: ignore[arg-type]
