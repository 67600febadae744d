"""The store of few words that processes share: torchrun's agent keeps it, or else the first process.

What it keeps outlives all of them when they are started again. How often that was is not asked: with several machines
each agent counts for itself.
"""

import hashlib
import os
import socket
import time
import uuid
from datetime import timedelta

import psutil  # type: ignore[import-untyped]
from torch.distributed import PrefixStore, Store, TCPStore  # type: ignore[attr-defined]  # exported, says the documentation

from vs_runtime.errors import RanksError
from vs_runtime.ranks.members import LAUNCH, MEETING, Ranks

LOOK = 0.2
"""Seconds between two looks at whether something has come."""

BRIEF = 30.0
"""Seconds that a process which begins or ends alone waits for others, which may still be starting."""


def connected(ranks: Ranks, timeout: float) -> Store:
    """Return the store, to which nobody else writes what is in it.

    Raises:
        RanksError: whoever keeps it does not come within so many seconds.
    """
    address, port = (os.environ[name] for name in MEETING)
    keeps = ranks.first and not _agent_keeps()
    patience = timedelta(seconds=timeout)
    try:
        if not keeps:
            _await_listener(address, int(port), timeout)
        # Nobody waits for the others here: it would not be known for whom.
        store = TCPStore(address, int(port), None, keeps, patience, wait_for_workers=False, multi_tenant=True)
    except (RuntimeError, ValueError, OSError) as error:
        why = "".join(str(error).strip().splitlines()[:1])
        what = "cannot keep the place where the processes meet" if keeps else late({0}, timeout)
        raise RanksError(f"MASTER_ADDR and MASTER_PORT, {address}:{port}: {what} ({why})") from error
    return PrefixStore(f"vs/{os.environ.get(LAUNCH, '')}", store)


def launch_name(ranks: Ranks) -> str | None:
    """Return a name that this launch of torchrun's has alone, whatever it starts again; None without torchrun.

    Raises:
        RanksError: the agent does not answer.
    """
    if not os.environ.get(LAUNCH):
        return None
    if _agent_keeps():
        name: bytes = connected(ranks, BRIEF).compare_set("launch", "", uuid.uuid4().hex)
        return name.decode()
    agent = os.getppid()
    # Numbers of processes come again.
    return f"{socket.gethostname()}-{agent}-{psutil.Process(agent).create_time():.2f}"


def said_before(ranks: Ranks, text: str) -> bool:
    """Return whether the processes of this launch have asked the same of the same text, before they started again."""
    if not (os.environ.get(LAUNCH) and _agent_keeps()):
        return False
    own = uuid.uuid4().hex
    try:
        first: bytes = connected(ranks, BRIEF).compare_set(f"said/{hashlib.sha256(text.encode()).hexdigest()}", "", own)
    except (RuntimeError, RanksError):
        return False
    return first.decode() != own


def named(ranks: set[int] | frozenset[int]) -> str:
    """Return processes in words."""
    return f"rank{'s' if len(ranks) > 1 else ''} {', '.join(map(str, sorted(ranks)))}"


def late(ranks: set[int], timeout: float) -> str:
    """Say that processes have not come in time."""
    return f"{named(ranks)} did not start within {timeout:g} seconds"


def _agent_keeps() -> bool:
    return os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True" and all(os.environ.get(name) for name in MEETING)


def _await_listener(address: str, port: int, timeout: float) -> None:
    """Wait until somebody listens there: PyTorch's store would write of each attempt at length."""
    end = time.monotonic() + timeout
    while True:
        try:
            socket.create_connection((address, port), max(end - time.monotonic(), LOOK)).close()
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(LOOK)
        else:
            return
