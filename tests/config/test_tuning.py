"""What programs ask of malloc, OpenMP and the scheduler is held in processes of their own, where it has an effect."""

import os
import platform
import subprocess
import sys

import pytest
from vs_config.tuning import SPINS, keep_freed_memory, wait_briefly

GLIBC = platform.libc_ver()[0] == "glibc"
needs_glibc = pytest.mark.skipif(not GLIBC, reason="freed memory is kept by glibc only")

FAULTS = """
import resource, sys
from vs_config.tuning import keep_freed_memory

said = keep_freed_memory(wanted=sys.argv[1] == "keep")
faults = []
for _ in range(3):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    block = bytearray(24 * 2**20)
    del block
    faults.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
print(said)
print(*faults)
"""


def child(program: str, *arguments: str, **environment: str) -> list[str]:
    own = {name: value for name, value in os.environ.items() if not name.startswith(("MALLOC_", "GLIBC_", "GOMP_"))}
    command = [sys.executable, "-c", program, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env={**own, **environment})
    return done.stdout.splitlines()


@needs_glibc
def test_memory_that_was_freed_is_used_again_without_asking_the_system() -> None:
    said, faults = child(FAULTS, "keep")
    first, *later = map(int, faults.split())
    pages = 24 * 2**20 // os.sysconf("SC_PAGE_SIZE")
    assert said.startswith("freed memory is kept")
    assert first > pages / 2
    assert max(later) < pages / 100


@needs_glibc
@pytest.mark.parametrize(
    ("wish", "environment"),
    [
        ("give back", {}),
        ("keep", {"MALLOC_TRIM_THRESHOLD_": "131072"}),
        ("keep", {"GLIBC_TUNABLES": "glibc.malloc.trim_threshold=131072"}),
    ],
)
def test_malloc_is_left_alone_if_that_is_wished_or_something_is_said_of_it(wish: str, environment) -> None:
    said, faults = child(FAULTS, wish, MALLOC_MMAP_THRESHOLD_="131072", **environment)
    assert said.startswith("freed memory goes back")
    assert min(map(int, faults.split())) > 24 * 2**20 // os.sysconf("SC_PAGE_SIZE") / 2


def test_other_tunables_of_glibc_are_not_about_memory(monkeypatch) -> None:
    monkeypatch.setattr("vs_config.tuning._is_glibc", lambda library: False)
    assert "GLIBC_TUNABLES" not in keep_freed_memory(environment={"GLIBC_TUNABLES": "glibc.cpu.x86_ibt=on"})
    assert "not glibc's" in keep_freed_memory(environment={})


@pytest.mark.parametrize("said", [{"OMP_WAIT_POLICY": "ACTIVE"}, {"GOMP_SPINCOUNT": "7"}])
def test_what_is_said_of_waiting_stays(said: dict[str, str]) -> None:
    environment = dict(said)
    wait_briefly(environment)
    assert environment == said


def test_else_threads_are_told_to_wait_briefly() -> None:
    environment: dict[str, str] = {}
    wait_briefly(environment)
    assert environment == {"GOMP_SPINCOUNT": str(SPINS)}
