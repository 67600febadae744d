"""What a run ran on: versions, revision, machine. Nothing of it is secret, and nothing of it can fail."""

import importlib.metadata
import os
import platform
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

_PACKAGES = (
    "torch",
    "numpy",
    "safetensors",
    "attrs",
    "cattrs",
    "av",
    "opencv-python-headless",
    "torchmetrics",
    "vs-config",
    "vs-ops",
    "vs-nets",
    "vs-optim",
    "vs-runtime",
    "vs-data",
    "vs-metrics",
    "vs-training",
    "vs-synthesis",
    "vs-train",
    "vs-eval",
)


def describe_environment(repository: Path | None = None) -> dict[str, Any]:
    """Return plain values, fit for JSON: `python`, `platform`, `packages`, `git`, `cpu`, `memory_bytes`, `gpus`, ...

    `cpu_capability` is the set of vector instructions that PyTorch uses, on which the speed of bfloat16 hangs: virtual
    machines of one name differ in it. What cannot be found out is None. No environment variable, user name, host name
    or path is in it.

    Args:
        repository: directory whose git revision to report; default: the checkout that this package's own source
            is part of, and none if it was installed from a wheel (into a virtual environment inside some checkout).
    """
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": {name: version for name in _PACKAGES if (version := _version(name)) is not None},
        "git": _git(repository) if repository else _own_git(),
        "cpu": _try(_cpu_model),
        "cpu_capability": _try(torch.backends.cpu.get_cpu_capability),
        "cpus_usable": _try(lambda: len(os.sched_getaffinity(0))) or os.cpu_count(),
        "cpus": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "memory_bytes": _try(lambda: os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")),
        "cuda": torch.version.cuda,
        "cudnn": _try(torch.backends.cudnn.version),
        "gpus": _try(_gpus) or [],
    }


def _try(find: Callable[[], Any]) -> Any:
    """Return the result, or None: a description of the machine must not stop a run."""
    try:
        return find()
    except Exception:
        return None


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _own_git() -> dict[str, Any] | None:
    source = Path(__file__)
    tracked = _run_git(source.parent, "ls-files", "--error-unmatch", source.name)
    return None if tracked is None else _git(source.parent)


def _git(directory: Path) -> dict[str, Any] | None:
    """Return the revision, and whether tracked files differ from it; None outside a checkout or without git."""
    revision = _run_git(directory, "rev-parse", "HEAD")
    if revision is None:
        return None
    changes = _run_git(directory, "status", "--porcelain", "--untracked-files=no")
    return {"revision": revision, "dirty": None if changes is None else bool(changes)}


def _run_git(directory: Path, *arguments: str) -> str | None:
    command = ["git", "-C", str(directory), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)  # noqa: S603
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def _cpu_model() -> str | None:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or None


def _gpus() -> list[dict[str, Any]]:
    if not torch.cuda.is_available():
        return []
    properties = [torch.cuda.get_device_properties(index) for index in range(torch.cuda.device_count())]
    return [{"name": p.name, "memory_bytes": p.total_memory, "capability": f"{p.major}.{p.minor}"} for p in properties]
