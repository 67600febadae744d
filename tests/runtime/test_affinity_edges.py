"""Where affinity meets the system: /sys, NVML, and threads that are really pinned."""

import os
import pickle
import threading
from collections.abc import Iterator
from pathlib import Path

import pynvml
import pytest
import torch
from torch.utils.data import DataLoader, Dataset
from vs_runtime import (
    AffinityError,
    AffinityPlan,
    Core,
    Gpu,
    Topology,
    allowed_cpus,
    apply_affinity,
    gpu_index_of,
    plan_affinity,
    read_topology,
    worker_init,
)
from vs_runtime.affinity.topology import parse_cpu_list, read_gpus

LINUX = pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this platform has no thread affinity")


def write(path: Path, text: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{text}\n")


def make_sys(root: Path, siblings: dict[int, str], nodes: dict[int, str], file: str = "core_cpus_list") -> Path:
    cpus = root / "devices/system/cpu"
    write(cpus / "online", ",".join(map(str, siblings)))
    for cpu, listed in siblings.items():
        write(cpus / f"cpu{cpu}/topology/{file}", listed)
        write(cpus / f"cpu{cpu}/topology/physical_package_id", cpu % 2)
    for node, listed in nodes.items():
        write(root / f"devices/system/node/node{node}/cpulist", listed)
    return root


@pytest.mark.parametrize("file", ["core_cpus_list", "thread_siblings_list"])
def test_cores_siblings_nodes_and_sockets_are_read(tmp_path: Path, file: str) -> None:
    root = make_sys(tmp_path, {0: "0,2", 1: "1,3", 2: "0,2", 3: "1,3"}, {0: "0,2", 1: "1,3"}, file)
    topology = read_topology(sys_root=root, nvml=False)
    assert topology == Topology(cores=(Core(cpus=(0, 2), node=0, package=0), Core(cpus=(1, 3), node=1, package=1)))


def test_siblings_that_are_offline_and_kernels_without_numa(tmp_path: Path) -> None:
    root = make_sys(tmp_path, {0: "0-1", 2: "2-3"}, {})
    assert [core.cpus for core in read_topology(sys_root=root, nvml=False).cores] == [(0,), (2,)]


def test_without_sys_every_cpu_is_a_core_and_a_note_says_so(tmp_path: Path) -> None:
    topology = read_topology(sys_root=tmp_path, nvml=False)
    assert [core.cpus for core in topology.cores] == [(cpu,) for cpu in sorted(allowed_cpus())]
    assert "every CPU is taken for a core of its own" in topology.notes[0]
    assert topology.notes[0] in plan_affinity(topology, allowed_cpus()).reasons


def test_this_machine_can_be_described_and_planned_for() -> None:
    plan = plan_affinity(read_topology(), allowed_cpus(), workers=2)
    assert set(plan.process) <= allowed_cpus()


@pytest.mark.parametrize(
    ("text", "cpus"), [("0-3,8,10-11\n", (0, 1, 2, 3, 8, 10, 11)), ("5", (5,)), ("\n", ()), ("3,1", (1, 3))]
)
def test_the_kernels_notation(text: str, cpus: tuple[int, ...]) -> None:
    assert parse_cpu_list(text) == cpus


@pytest.fixture
def two_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    """NVML of a machine with two GPUs, of which the second names no CPUs."""

    def affinity(handle: int, words: int) -> list[int]:
        if handle == 1:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)
        return [0b1010, 0b1, *[0] * (words - 2)]

    answers = {
        "nvmlInit": lambda: None,
        "nvmlShutdown": lambda: None,
        "nvmlDeviceGetCount": lambda: 2,
        "nvmlDeviceGetHandleByIndex": lambda index: index,
        "nvmlDeviceGetName": lambda handle: f"GPU number {handle}",
        "nvmlDeviceGetUUID": lambda handle: f"GPU-{handle:04d}",
        "nvmlDeviceGetCpuAffinity": affinity,
    }
    for name, answer in answers.items():
        monkeypatch.setattr(pynvml, name, answer)
    monkeypatch.setattr(os, "cpu_count", lambda: 128)


def test_gpus_are_read_from_nvml(two_gpus: None) -> None:
    gpus, notes = read_gpus()
    assert gpus == (
        Gpu(index=0, cpus=(1, 3, 64), name="GPU number 0", uuid="GPU-0000"),
        Gpu(index=1, cpus=(), name="GPU number 1", uuid="GPU-0001"),
    )
    assert len(notes) == 1
    assert "GPU 1: NVML names no CPUs close to it" in notes[0]


def test_pytorchs_device_is_found_by_uuid(two_gpus: None, monkeypatch: pytest.MonkeyPatch) -> None:
    class Properties:
        uuid = "0001"  # PyTorch leaves NVML's prefix out

    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: Properties)
    topology = Topology(cores=(), gpus=read_gpus()[0])
    assert gpu_index_of(topology, "cuda:0") == 1
    assert gpu_index_of(topology, "cpu") is None
    assert gpu_index_of(Topology(cores=()), "cuda:0") is None


@pytest.mark.parametrize("name", ["nvmlInit", "nvmlDeviceGetCount"])
def test_without_a_driver_there_are_no_gpus_and_a_note_says_why(
    two_gpus: None, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    def absent() -> None:
        raise pynvml.NVMLError(pynvml.NVML_ERROR_LIBRARY_NOT_FOUND)

    monkeypatch.setattr(pynvml, name, absent)
    gpus, notes = read_gpus()
    assert gpus == ()
    assert notes[0].startswith("no GPUs: NVML says")


def plan_on(cpus: tuple[int, ...], workers: tuple[tuple[int, ...], ...] = (), threads: int = 1) -> AffinityPlan:
    return AffinityPlan(process=cpus, workers=workers, threads=threads, reasons=("as told",))


@pytest.fixture
def restored() -> Iterator[frozenset[int]]:
    """The CPUs allowed now; every thread is back on them, and PyTorch's threads as many, at the end."""
    allowed, threads = allowed_cpus(), torch.get_num_threads()
    yield allowed
    apply_affinity(plan_on(tuple(allowed), threads=len(allowed)))
    torch.set_num_threads(threads)


@LINUX
def test_all_threads_of_the_process_are_pinned(restored: frozenset[int]) -> None:
    stop, here = threading.Event(), []
    thread = threading.Thread(target=lambda: (here.append(threading.get_native_id()), stop.wait()))
    thread.start()
    while not here:
        pass
    try:
        lines = apply_affinity(plan_on((min(restored),)))
        assert os.sched_getaffinity(0) == {min(restored)}
        assert os.sched_getaffinity(here[0]) == {min(restored)}
        assert lines == ("as told", "pinned to 1 CPU(s), 1 thread(s) of computation")
        assert torch.get_num_threads() == 1
    finally:
        stop.set()
        thread.join()


@LINUX
def test_the_number_of_threads_is_never_raised(restored: frozenset[int]) -> None:
    torch.set_num_threads(1)
    apply_affinity(plan_on(tuple(restored), threads=64))
    assert torch.get_num_threads() == 1


@LINUX
@pytest.mark.parametrize("threads", [1, 3])
def test_a_number_of_threads_that_is_asked_for_is_exact_and_said(restored: frozenset[int], threads: int) -> None:
    torch.set_num_threads(2)
    lines = apply_affinity(plan_on((min(restored),), threads=2), threads=threads)
    assert torch.get_num_threads() == threads
    assert lines == ("as told", f"pinned to 1 CPU(s), {threads} thread(s) of computation as asked for")


@LINUX
def test_a_number_of_threads_that_is_asked_for_holds_where_the_system_refuses_to_pin(restored: frozenset[int]) -> None:
    torch.set_num_threads(2)
    lines = apply_affinity(plan_on((1000,)), threads=1)
    assert torch.get_num_threads() == 1
    assert lines[-1].startswith("not pinned: the system refused CPUs [1000]")
    assert lines[-1].endswith(", 1 thread(s) of computation as asked for")


def test_no_threads_at_all_are_refused_before_anything_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_setaffinity", lambda *_: pytest.fail("pinned"), raising=False)
    with pytest.raises(AffinityError, match="threads: expected None or a whole number >= 1, got 0"):
        apply_affinity(plan_on((0,)), threads=0)


@LINUX
def test_a_refusal_of_the_system_is_said_and_is_no_error(restored: frozenset[int]) -> None:
    lines = apply_affinity(plan_on((1000,)))
    assert "not pinned: the system refused CPUs [1000]" in lines[-1]
    assert allowed_cpus() == restored


def test_a_platform_without_affinity_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sched_setaffinity", raising=False)
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    assert allowed_cpus() == frozenset(range(os.cpu_count() or 1))
    assert apply_affinity(plan_on((0,)))[-1] == "not pinned: this platform has no thread affinity"


class WhereAmI(Dataset[list[int]]):
    def __len__(self) -> int:
        return 2

    def __getitem__(self, index: int) -> list[int]:
        return sorted(os.sched_getaffinity(0))


@LINUX
def test_workers_of_a_loader_are_pinned(restored: frozenset[int]) -> None:
    places = (min(restored),), (max(restored),)
    init = worker_init(plan_on((min(restored),), workers=places))
    loader = DataLoader(WhereAmI(), batch_size=None, num_workers=2, worker_init_fn=init)
    assert [tuple(where) for where in loader] == list(places)
    assert allowed_cpus() == restored


def test_the_workers_function_can_be_sent_to_another_process(restored: frozenset[int]) -> None:
    pickle.loads(pickle.dumps(worker_init(plan_on((0,)))))(3)  # no plan for workers: nothing happens
    assert allowed_cpus() == restored
