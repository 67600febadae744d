"""What a program that computes asks of the C library and of OpenMP. No result depends on it.

Called by programs at their edge, never by importing something. What a user has set in the environment stays.
"""

import ctypes
import os
import platform
from collections.abc import Mapping, MutableMapping

SPINS = 10_000
"""How often a waiting thread of GNU's OpenMP looks for work before it sleeps; its own default is 300,000."""

WAITING = ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")
"""What says in the environment how threads wait."""

_HEAP = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_TOP_PAD_", "MALLOC_MMAP_THRESHOLD_", "MALLOC_MMAP_MAX_")
_TUNABLES = "GLIBC_TUNABLES"

# Of glibc's malloc.h.
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD = -1, -2, -3
_NEVER = 2**31 - 1
_LARGEST = 32 * 2**20  # what glibc takes; larger pieces come from the system and go back to it, each by itself
_PAD = 64 * 2**20


def wait_briefly(environment: MutableMapping[str, str] = os.environ) -> None:
    """Let waiting threads of OpenMP sleep soon, unless something is said of it. Before PyTorch is imported.

    A thread of GNU's OpenMP that waits for the others of its team spins, which keeps a core from the very thread that
    it waits for as soon as there are more threads than cores. Processes that are begun later do as this one.
    """
    if not any(name in environment for name in WAITING):
        environment["GOMP_SPINCOUNT"] = str(SPINS)


def keep_freed_memory(*, wanted: bool = True, environment: Mapping[str, str] = os.environ) -> str:
    """Let malloc keep what is freed for what comes next instead of giving it back; return what holds now, in words.

    A training step asks for the same memory again and again, and fresh memory is several times as slow as used memory:
    the system clears each page when it is touched. The most that a process holds stays the same, but it holds it to its
    end. This is glibc's malloc; any other stays as it is.
    """
    goes_back = "freed memory goes back to the system"
    if not wanted:
        return f"{goes_back}, as asked for"
    if own := [name for name in _HEAP if name in environment] or _tunables(environment):
        return f"{goes_back} as {own[0]} says"
    library = ctypes.CDLL(None)
    if not _is_glibc(library):
        return f"{goes_back} when the allocator likes, which is not glibc's"
    settings = ((_TRIM_THRESHOLD, _NEVER), (_MMAP_THRESHOLD, _LARGEST), (_TOP_PAD, _PAD))
    if not all(library.mallopt(name, value) for name, value in settings):
        return f"{goes_back} when glibc likes, which refused"
    return f"freed memory is kept for what comes next (glibc {platform.libc_ver()[1]})"


def _tunables(environment: Mapping[str, str]) -> list[str]:
    return [_TUNABLES] if "glibc.malloc." in environment.get(_TUNABLES, "") else []


class _Symbol(ctypes.Structure):
    """`Dl_info` of dlfcn.h: the library that a function is from."""

    _fields_ = (
        ("path", ctypes.c_char_p),
        ("base", ctypes.c_void_p),
        ("name", ctypes.c_char_p),
        ("address", ctypes.c_void_p),
    )


def _is_glibc(library: ctypes.CDLL) -> bool:
    """Return whether malloc is glibc's own: others (jemalloc, tcmalloc) come from a library of their own."""
    if not hasattr(library, "gnu_get_libc_version"):
        return False
    return _base_of(library, "malloc") == _base_of(library, "gnu_get_libc_version")


def _base_of(library: ctypes.CDLL, name: str) -> int | None:
    found = _Symbol()
    library.dladdr(ctypes.cast(getattr(library, name), ctypes.c_void_p), ctypes.byref(found))
    base: int | None = found.base
    return base
