"""Measure the switches of TorchScript's executor that the talk sets: in processes of their own, since they are global.

The talk, on PyTorch 1.5, turns the profiling executor off (`torch._C._jit_set_profiling_executor(False)` and
`_jit_set_profiling_mode(False)`), so that scripted functions are fused from the first call on. Whether that still pays
is measured: `hatch run bench:ops --executors` runs this file once for each setting and round, in turns.

Usage of this file by itself: python -m vs_bench.operators.executors legacy|profiling DEVICE THREADS ELEMENTS
"""

import json
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from typing import Any

import torch
import vs_ops
from rich.table import Table

from vs_bench.harness import order_of_round
from vs_bench.operators.measure import profile_call, quiet_profiler, repeats_for
from vs_bench.operators.report import executors_record
from vs_bench.operators.subjects.pointwise import eager_gelu
from vs_bench.tables import wide_console

ELEMENTS = 2**20
SETTINGS = ("profiling", "legacy")


def set_executor(name: str) -> None:
    """Choose the executor for the rest of the process; call it before anything is scripted."""
    legacy = name == "legacy"
    torch._C._jit_set_profiling_executor(not legacy)
    torch._C._jit_set_profiling_mode(not legacy)


def measure_here(device: torch.device, elements: int, *, rounds: int = 15) -> dict[str, Any]:
    """Measure seconds of a call (median) and its kernels, for eager and for TorchScript, in turns in this process."""
    x = torch.randn(elements, generator=torch.Generator().manual_seed(0)).to(device)
    calls: dict[str, Callable[[], object]] = {
        "eager": lambda: eager_gelu(x),
        "torchscript": lambda: vs_ops.gelu(x, impl="torchscript"),
    }
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(5):  # the profiling executor watches some calls before it compiles
        calls["torchscript"]()
    repeats = {name: repeats_for(call, device, seconds=0.02) for name, call in calls.items()}
    for number in range(rounds):
        for name in order_of_round(list(calls), number):
            seconds[name].append(_time(calls[name], repeats[name], device))
    return {
        name: {"seconds": statistics.median(seconds[name]), "kernels": profile_call(call, device).kernels}
        for name, call in calls.items()
    }


def _time(call: Callable[[], object], repeats: int, device: torch.device) -> float:
    start = time.perf_counter()
    for _ in range(repeats):
        call()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return (time.perf_counter() - start) / repeats


def compare(device: torch.device, *, threads: int, processes: int = 5, elements: int = ELEMENTS) -> dict[str, Any]:
    """Run each setting in `processes` processes, in turns, and compare."""
    seconds: dict[str, list[float]] = {"eager": [], **{name: [] for name in SETTINGS}}
    kernels: dict[str, int] = {}
    for number in range(processes):
        for name in order_of_round(SETTINGS, number):
            found = _in_a_process(name, device, threads, elements)
            seconds[name].append(found["torchscript"]["seconds"])
            kernels |= {"eager": found["eager"]["kernels"], name: found["torchscript"]["kernels"]}
            if name == SETTINGS[0]:
                seconds["eager"].append(found["eager"]["seconds"])
    return {"elements": elements, **executors_record(seconds, kernels=kernels)}


def _in_a_process(name: str, device: torch.device, threads: int, elements: int) -> dict[str, Any]:
    command = [
        sys.executable,
        "-m",
        "vs_bench.operators.executors",
        name,
        str(device),
        str(threads),
        str(elements),
    ]
    result = subprocess.run(command, check=True, capture_output=True, text=True)
    measured: dict[str, Any] = json.loads(result.stdout.splitlines()[-1])
    return measured


def print_comparison(record: dict[str, Any]) -> None:
    """Print the medians and the ratio."""
    ratio = record["speedup"]
    caption = (
        f"legacy is {ratio['value']:.2f} times as fast as profiling (95 %: {ratio['low']:.2f}-{ratio['high']:.2f}), "
        f"over {record['processes']} processes each"
    )
    title = f"gelu of {record['elements']} elements by TorchScript's executor"
    table = Table(title=title, caption=caption, title_justify="left", caption_justify="left")
    for heading in ("executor", "median us", "kernels"):
        table.add_column(heading, justify="left" if heading == "executor" else "right")
    for name, seconds in record["median_seconds"].items():
        table.add_row(name, f"{1e6 * seconds:.1f}", str(record["kernels"][name]))
    wide_console().print(table)


def main(name: str, device: str, threads: str, elements: str) -> None:
    """Measure one setting and print the figures as one line of JSON."""
    warnings.simplefilter("ignore", DeprecationWarning)
    quiet_profiler()
    set_executor(name)
    torch.set_num_threads(int(threads))
    print(json.dumps(measure_here(torch.device(device), int(elements))))


if __name__ == "__main__":
    main(*sys.argv[1:])
