"""Flow by a network that somebody brings, in the process that reads clips; each answer depends on its frames alone."""

import os
import statistics
import time
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path

import attrs
import numpy as np
from numpy.typing import NDArray
from vs_config import shown
from vs_config.amounts import show_bytes

from vs_data.errors import DataError
from vs_data.extract.inputs import InputPlan, fit_to, plan_input
from vs_data.extract.labelling import labels_of
from vs_data.extract.networks import Network
from vs_data.extract.opening import open_network
from vs_data.extract.options import InputOptions, OutputOptions
from vs_data.flow import NetworkFlowConfig, Pair, PhotometricConfig, ThereAndBackConfig, photometric_confidence
from vs_data.flows.directions import consistency
from vs_data.flows.formats import MAX_FLOW
from vs_data.geometry import inside
from vs_data.layout import expanded
from vs_data.seen import Size, size_of

_F32 = NDArray[np.float32]

_TRIES = 3


@attrs.frozen(kw_only=True, eq=False)
class _Opened:
    """A network and the form in which it takes frames."""

    network: Network
    plan: InputPlan


def network_flow(pairs: Sequence[Pair], config: NetworkFlowConfig) -> Iterator[tuple[_F32, _F32]]:
    """Yield flow (H,W,2) from the second frame of each pair to the first, and the confidence in it, (H,W).

    Pairs go in one after the other, so that what comes out does not depend on how many there are.

    Raises:
        DataError: the network cannot be read, takes something else than two frames, or gives something else than flow.
    """
    opened = _opened(config, str(expanded(config.path)), _stamp(config), os.getpid())
    for before, now in pairs:
        flow = _flow(opened, before, now, config)
        match config.confidence:
            case PhotometricConfig() as how:
                trust = photometric_confidence(before, now, flow, how)
            case ThereAndBackConfig(relative=relative, absolute=absolute):
                trust = consistency(flow, _flow(opened, now, before, config), relative, absolute) * inside(flow)
        yield flow, trust


def describe_network(config: NetworkFlowConfig, size: Size) -> str:
    """Say in words what flow by a network costs, having tried it on noise of a size (H,W).

    Raises:
        DataError: as `network_flow` does.
    """
    before = _resident()
    opened = _open(config)
    noise = np.random.default_rng(0)
    first, second = (noise.integers(0, 256, (*size, 3)).astype(np.uint8) for _ in range(2))
    _flow(opened, first, second, config)
    taken = []
    for _ in range(_TRIES):
        began = time.perf_counter()
        _flow(opened, first, second, config)
        taken.append(time.perf_counter() - began)
    after = _resident()
    memory = "" if before is None or after is None else f", {show_bytes(max(after - before, 0))}"
    cost = f"{1000 * statistics.median(taken):.3g} ms a pair at {size[1]}x{size[0]}{memory} in each process that reads"
    return shown(f"flow network {Path(config.path).name}: {cost}")


@lru_cache(maxsize=2)
def _opened(config: NetworkFlowConfig, _path: str, _stamp: tuple[int, int], _process: int) -> _Opened:
    """Return the network, opened once in each process; not that of a process before a fork, whose threads are gone."""
    return _open(config)


def _stamp(config: NetworkFlowConfig) -> tuple[int, int]:
    try:
        status = expanded(config.path).stat()
    except OSError as error:
        fix = "see data.flow.path"
        raise DataError(f"cannot be read: {error.strerror}", file=config.path, fix=fix) from None
    return status.st_mtime_ns, status.st_size


def _open(config: NetworkFlowConfig) -> _Opened:
    network = open_network(expanded(config.path), "cpu", threads=1)
    return _Opened(network=network, plan=plan_input(network, _given(config), 2))


def _given(config: NetworkFlowConfig) -> InputOptions:
    return InputOptions(
        layout=config.layout,
        colours=config.colours,
        multiple=config.multiple,
        fit="pad",
        input_range=(config.low, config.high),
        batch=1,
    )


def _flow(opened: _Opened, before: NDArray[np.uint8], now: NDArray[np.uint8], config: NetworkFlowConfig) -> _F32:
    wanted = OutputOptions(output=next(iter(config.output), None), units=config.units, first=config.first)
    item = (now, before) if config.first == "now" else (before, now)
    fit = fit_to(opened.plan, size_of(now))
    (flow,) = labels_of(opened.network, opened.plan, fit, [item], wanted, "flow")
    if not (np.abs(flow) <= MAX_FLOW).all():  # also where it is not a number
        what = f"gives flow of {np.abs(flow).max():g} pixels"
        raise DataError(what, file=config.path, fix="see low, high, units and output of data.flow")
    return np.ascontiguousarray(flow.transpose(1, 2, 0), np.float32)


def _resident() -> int | None:
    """Return the memory of this process, or None where the system does not tell it."""
    try:
        return int(Path("/proc/self/statm").read_text("ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError):
        return None
