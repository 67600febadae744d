"""Affinity plans for machines that people have, described as Linux and `nvidia-smi topo -m` number them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from vs_runtime import AffinityPlan, Core, Gpu, Topology, cpu_list, plan_affinity
from vs_runtime.affinity.topology import parse_cpu_list


def machine(packages: int, nodes: int, cores_per_node: int, near: tuple[str, ...]) -> Topology:
    """Cores of two threads each, the second ones numbered behind all first ones; `near`: the CPUs close to each GPU."""
    total = nodes * cores_per_node
    return Topology(
        cores=tuple(
            Core(cpus=(core, core + total), node=core // cores_per_node, package=core * packages // total)
            for core in range(total)
        ),
        gpus=tuple(Gpu(index=index, cpus=parse_cpu_list(text)) for index, text in enumerate(near)),
    )


# Two Xeon E5-2698 v4 of 20 cores, four V100 at each.
DGX_1 = machine(2, 2, 20, ("0-19,40-59",) * 4 + ("20-39,60-79",) * 4)
# Two EPYC 7742 of 64 cores in four nodes each; only every other node has GPUs, and not in their order.
DGX_A100_NEAR = ("48-63,176-191", "16-31,144-159", "112-127,240-255", "80-95,208-223")
DGX_A100 = machine(2, 8, 16, tuple(text for text in DGX_A100_NEAR for _ in range(2)))
ONE_SOCKET = machine(1, 1, 8, ("0-15",))


def plans(topology: Topology, allowed: str, processes: int, workers: int = 0) -> list[AffinityPlan]:
    cpus = parse_cpu_list(allowed)
    return [
        plan_affinity(topology, cpus, process_index=k, processes_on_node=processes, workers=workers, gpu_index=k)
        for k in range(processes)
    ]


def cores_of(topology: Topology, plan: AffinityPlan) -> set[Core]:
    cpus = set(plan.process).union(*map(set, plan.workers))
    return {core for core in topology.cores if cpus & set(core.cpus)}


def test_on_a_dgx_1_four_processes_share_the_socket_of_their_gpus():
    made = plans(DGX_1, "0-79", 8)
    assert [plan.process for plan in made] == [tuple(range(5 * k, 5 * k + 5)) for k in range(8)]
    assert {plan.threads for plan in made} == {5}
    (first, *_) = plans(DGX_1, "0-79", 8, workers=4)
    assert (first.process, first.workers) == ((0,), ((1, 41), (2, 42), (3, 43), (4, 44)))


def test_on_a_dgx_a100_processes_go_to_the_nodes_with_their_gpus_and_leave_the_others_alone():
    made = plans(DGX_A100, "0-255", 8, workers=7)
    for k, plan in enumerate(made):
        used = cores_of(DGX_A100, plan)
        assert len(used) == 8
        assert {cpu for core in used for cpu in core.cpus} <= set(parse_cpu_list(DGX_A100_NEAR[k // 2]))
    assert {core.node for plan in made for core in cores_of(DGX_A100, plan)} == {1, 3, 5, 7}
    assert made[0].process == (48,)
    assert made[2].process == (16,)


def test_on_one_socket_the_process_has_all_cores_and_workers_have_cores_of_their_own():
    (plan,) = plans(ONE_SOCKET, "0-15", 1, workers=3)
    assert (plan.process, plan.workers) == ((0, 1, 2, 3, 4), ((5, 13), (6, 14), (7, 15)))


@pytest.mark.parametrize("policy", ["unique", "node"])
def test_in_a_container_with_cores_of_one_socket_the_gpus_of_the_other_get_those(policy):
    allowed = parse_cpu_list("0-9,40-49")
    made = [
        plan_affinity(DGX_1, allowed, process_index=k, processes_on_node=8, workers=2, gpu_index=k, policy=policy)
        for k in range(8)
    ]
    assert all({*plan.process, *(cpu for one in plan.workers for cpu in one)} <= set(allowed) for plan in made)
    if policy == "unique":
        used = [cores_of(DGX_1, plan) for plan in made]
        assert sum(map(len, used)) == len(set().union(*used)) == 10


def test_a_container_without_hyper_threads_gives_no_worker_a_cpu_that_it_lacks():
    made = plans(DGX_1, "0-39", 8, workers=4)
    assert [plan.workers[0] for plan in made] == [(5 * k + 1,) for k in range(8)]


def on_the_cpu(topology: Topology, allowed: str, processes: int) -> list[AffinityPlan]:
    cpus = parse_cpu_list(allowed)
    return [plan_affinity(topology, cpus, process_index=k, processes_on_node=processes) for k in range(processes)]


def test_two_processes_without_gpus_halve_a_socket():
    made = on_the_cpu(ONE_SOCKET, "0-15", 2)
    assert [plan.process for plan in made] == [(0, 1, 2, 3), (4, 5, 6, 7)]
    assert [plan.threads for plan in made] == [4, 4]


def test_where_there_are_more_processes_than_cores_one_note_says_so():
    for plan in on_the_cpu(ONE_SOCKET, "0-1", 3):
        assert plan.threads == 1
        (note,) = [reason for reason in plan.reasons if "more processes than cores" in reason]
        assert note == "more processes than cores (3 and 2): processes share cores"


@given(st.sets(st.integers(0, 300), min_size=1))
def test_numbers_of_cpus_are_written_as_the_kernel_writes_them(cpus):
    text = cpu_list(cpus)
    assert parse_cpu_list(text) == tuple(sorted(cpus))
    ends = [int(part.rpartition("-")[2]) for part in text.split(",")]
    assert not {end + 1 for end in ends} & cpus  # no run could be longer


def test_a_list_of_cpus_is_short():
    assert cpu_list((0, 1, 2, 3, 8, 11, 10)) == "0-3,8,10-11"
