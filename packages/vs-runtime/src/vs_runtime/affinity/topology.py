"""What the machine looks like: cores with their SMT siblings, NUMA nodes, GPUs; read from /sys and NVML.

The planner takes this description and nothing else, so every plan can be tested on any machine.
"""

import itertools
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import attrs


@attrs.frozen(kw_only=True)
class Core:
    """A physical core.

    Attributes:
        cpus: numbers of its logical CPUs (SMT siblings) in rising order; the first counts as the core proper.
        node: its NUMA node.
        package: its socket.
    """

    cpus: tuple[int, ...]
    node: int = 0
    package: int = 0


@attrs.frozen(kw_only=True)
class Gpu:
    """A GPU as NVML numbers it.

    Attributes:
        index: its number, in the order of the bus.
        cpus: logical CPUs that NVML calls close to it; empty where it names none.
        name: model.
        uuid: by which PyTorch's device of the same GPU is found, whatever CUDA_VISIBLE_DEVICES says.
    """

    index: int
    cpus: tuple[int, ...] = ()
    name: str = ""
    uuid: str = ""


@attrs.frozen(kw_only=True)
class Topology:
    """Cores in the order of their first CPU, GPUs in the order of their index, and what could not be found out."""

    cores: tuple[Core, ...]
    gpus: tuple[Gpu, ...] = ()
    notes: tuple[str, ...] = ()


def allowed_cpus() -> frozenset[int]:
    """Logical CPUs that this process may run on: its cpuset, or all where the platform has no such thing."""
    if hasattr(os, "sched_getaffinity"):
        return frozenset(os.sched_getaffinity(0))
    return frozenset(range(os.cpu_count() or 1))


def parse_cpu_list(text: str) -> tuple[int, ...]:
    """`0-3,8,10-11` as numbers in rising order; the kernel's own notation.

    Raises:
        ValueError: the text is not in that notation.
    """
    numbers: set[int] = set()
    for part in text.strip().split(","):
        if part:
            first, _, last = part.partition("-")
            numbers.update(range(int(first), int(last or first) + 1))
    return tuple(sorted(numbers))


def cpu_list(cpus: Iterable[int]) -> str:
    """Return numbers in the kernel's notation, the shortest that `parse_cpu_list` reads."""
    numbers = sorted(set(cpus))
    runs = [[cpu for _, cpu in run] for _, run in itertools.groupby(enumerate(numbers), lambda pair: pair[1] - pair[0])]
    return ",".join(f"{run[0]}-{run[-1]}" if len(run) > 1 else str(run[0]) for run in runs)


def read_topology(*, sys_root: Path = Path("/sys"), nvml: bool = True) -> Topology:
    """Describe this machine; what cannot be read is said in `notes`, and never an error.

    Args:
        sys_root: where the kernel's /sys is mounted.
        nvml: whether to ask NVIDIA's management library for GPUs.
    """
    cores, notes = _read_cores(sys_root)
    gpus, gpu_notes = read_gpus() if nvml else ((), ())
    return Topology(cores=cores, gpus=gpus, notes=notes + gpu_notes)


def _read_cores(sys_root: Path) -> tuple[tuple[Core, ...], tuple[str, ...]]:
    cpu_root = sys_root / "devices/system/cpu"
    try:
        online = parse_cpu_list((cpu_root / "online").read_text(encoding="ascii"))
        nodes = _read_nodes(sys_root)
        siblings = {cpu: _read_siblings(cpu_root / f"cpu{cpu}" / "topology", cpu, online) for cpu in online}
        packages = {cpu: _read_package(cpu_root / f"cpu{cpu}" / "topology") for cpu in online}
    except (OSError, ValueError) as error:
        cpus = sorted(allowed_cpus())
        note = f"{cpu_root} cannot be read ({error}); every CPU is taken for a core of its own"
        return tuple(Core(cpus=(cpu,)) for cpu in cpus), (note,)
    groups = sorted(set(siblings.values()))
    return tuple(Core(cpus=g, node=nodes.get(g[0], 0), package=packages[g[0]]) for g in groups), ()


def _read_nodes(sys_root: Path) -> dict[int, int]:
    """NUMA node of each CPU; empty on a kernel without NUMA."""
    nodes: dict[int, int] = {}
    for path in sorted((sys_root / "devices/system/node").glob("node[0-9]*")):
        for cpu in parse_cpu_list((path / "cpulist").read_text(encoding="ascii")):
            nodes[cpu] = int(path.name.removeprefix("node"))
    return nodes


def _read_siblings(path: Path, cpu: int, online: tuple[int, ...]) -> tuple[int, ...]:
    """CPUs of the same core, those that are offline left out; the CPU alone where the kernel does not say."""
    for name in ("core_cpus_list", "thread_siblings_list"):  # the second is the older name
        if (path / name).is_file():
            listed = parse_cpu_list((path / name).read_text(encoding="ascii"))
            return tuple(sorted({cpu, *(set(listed) & set(online))}))
    return (cpu,)


def _read_package(path: Path) -> int:
    file = path / "physical_package_id"
    return int(file.read_text(encoding="ascii")) if file.is_file() else 0


def read_gpus() -> tuple[tuple[Gpu, ...], tuple[str, ...]]:
    """Return GPUs as NVML knows them, and notes on what it does not; without a driver a note alone."""
    import pynvml

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        return (), (f"no GPUs: NVML says {error}",)
    try:
        found = [_read_gpu(pynvml, index) for index in range(pynvml.nvmlDeviceGetCount())]
    except pynvml.NVMLError as error:
        return (), (f"no GPUs: NVML says {error}",)
    finally:
        pynvml.nvmlShutdown()
    return tuple(gpu for gpu, _ in found), tuple(note for _, note in found if note)


def _read_gpu(pynvml: Any, index: int) -> tuple[Gpu, str]:
    handle = pynvml.nvmlDeviceGetHandleByIndex(index)
    name, uuid = pynvml.nvmlDeviceGetName(handle), pynvml.nvmlDeviceGetUUID(handle)
    words = ((os.cpu_count() or 1) + 63) // 64
    try:
        masks = pynvml.nvmlDeviceGetCpuAffinity(handle, words)
    except pynvml.NVMLError as error:
        return Gpu(index=index, name=name, uuid=uuid), f"GPU {index}: NVML names no CPUs close to it ({error})"
    cpus = tuple(64 * word + bit for word, mask in enumerate(masks) for bit in range(64) if mask >> bit & 1)
    return Gpu(index=index, cpus=cpus, name=name, uuid=uuid), ""
