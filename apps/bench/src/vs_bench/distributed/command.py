"""Measure what several processes cost a training step here, and compute what many would cost elsewhere.

Usage: hatch run bench:distributed [--subject street] [--rounds N] [--frames N] [--threads N] [--networks] [--sharding]
                                   [--store] [PATH=VALUE ...]

Measured is a step of two clips in one process with all threads, and in two that share the clips and the threads:
together; together, with sums in order; each by itself, so that what is waited for beside computing is seen; and how
long it takes to compare all that they have learnt. So are all-reduces while nobody computes, of one number each and of
long rows, and from both the link between two processes. All take turns, see harness.py.

Computed is a step over 8 to 1,024 ranks, from the backward passes that were measured here on one process and from
stated links (see simulation.py); all that it takes for granted is printed. Gradients of the published networks are
counted, and how long links take for them.

Writes runs/bench/distributed-SUBJECT-cpu.json and a picture beside it, and distributed-networks.json, which
`--networks` writes alone, as nothing has to be measured for it; with `--store` docs/benchmarks/ instead.

`--sharding` compares instead, in two processes, a step of Adam on all parameters in each with steps on a share of them,
by our shards and by PyTorch's ZeroRedundancyOptimizer: time, what Adam keeps in each process, and the gathering of a
checkpoint. It writes distributed-sharding-SUBJECT-cpu.json.
"""

from collections.abc import Sequence
from typing import Annotated, Any

import attrs
import cyclopts
import torch
from cyclopts import Parameter
from rich.table import Table
from vs_config.progress import show_progress
from vs_training.config import TrainConfig
from vs_training.exchange import Cluster, ring_bytes

from vs_bench.busy import Subject, config_of
from vs_bench.distributed.measured import DECISIONS, step_of, step_record
from vs_bench.distributed.networks import networks_record
from vs_bench.distributed.picture import draw
from vs_bench.distributed.processes import ONE, Compared, facts_of, measure_processes, sentences
from vs_bench.distributed.sharding import EACH, measure_sharding
from vs_bench.distributed.sharding import sentences as say_kept
from vs_bench.distributed.simulation import Step, assumptions, simulate
from vs_bench.errors import VsBenchError
from vs_bench.harness import using_threads
from vs_bench.options import Count, Threads
from vs_bench.results import begin, command_of, folder_of, save_records
from vs_bench.step.phases import phases_of
from vs_bench.step.stepper import stepper
from vs_bench.step.subject import FRAMES
from vs_bench.tables import as_record, print_result, wide_console

RANKS = (1, 8, 16, 32, 64, 128, 256, 512, 1024)
SPEEDUPS = (1.0, 100.0, 1000.0)
"""How many times as fast as this machine the computed ones are: the last is a large GPU beside two cores."""

SCRIPT = "bench:distributed"
PROCESSES = 2
CLUSTER = Cluster()
CPU = torch.device("cpu")

app = cyclopts.App(name=SCRIPT, help=__doc__, suppress_keyboard_interrupt=False)


@app.default
def main(
    *overrides: str,
    subject: Subject = "street-tiny",
    rounds: Count = 5,
    frames: Count = FRAMES,
    threads: Threads = 2,
    networks: Annotated[bool, Parameter(negative="")] = False,
    sharding: Annotated[bool, Parameter(negative="")] = False,
    store: bool = False,
) -> None:
    """Compare one process with two, and compute a step over many ranks from one that is measured."""
    if store and (overrides or frames != FRAMES):
        raise VsBenchError(f"--store is for the step that documents speak of: no overrides, and {FRAMES} frames")
    folder, console = folder_of(store=store), wide_console()
    if sharding:
        begun, compared = begin(), _compared(config_of(subject, overrides), frames, threads)
        record = sharing(compared, f"Adam of the generator of {subject}", rounds=rounds)
        command = command_of(SCRIPT, ["--sharding"])
        path = save_records(record, f"distributed-sharding-{subject}-cpu", command=command, folder=folder, begun=begun)
        console.print(f"written to {path}", highlight=False, markup=False)
        return
    published = networks_record(CLUSTER)
    console.print(networks_table(published["networks"]))
    path = save_records(published, "distributed-networks", command=command_of(SCRIPT, ["--networks"]), folder=folder)
    console.print(f"written to {path}", highlight=False, markup=False)
    if networks:
        return
    begun, title = begin(), f"a training step of {subject}, {frames} frame{'s' * (frames > 1)}"
    record = measured(config_of(subject, overrides), title, frames=frames, rounds=rounds, threads=threads)
    name = f"distributed-{subject}-cpu"
    path = save_records(record, name, command=command_of(SCRIPT), folder=folder, begun=begun)
    picture = draw(record["curves"], published["networks"], title, path.with_suffix(".png"))
    console.print(f"written to {path} and {picture.name}", highlight=False, markup=False)


def sharing(compared: Compared, title: str, *, rounds: int) -> dict[str, Any]:
    """Measure, print, and return the record of an optimizer that processes share, in each way to do so."""
    with show_progress("measuring", unit="rounds") as progress:
        result, kept = measure_sharding(compared, rounds=rounds, progress=progress)
    print_result(result, baseline=EACH, title=f"{title}, {compared.processes} processes")
    wide_console().print("\n".join(say_kept(kept)), highlight=False)
    return {**as_record(result, baseline=EACH), "kept_bytes": kept}


def _compared(config: TrainConfig, frames: int, threads: int) -> Compared:
    return Compared(config=config, frames=frames, processes=PROCESSES, threads=threads)


def measured(config: TrainConfig, title: str, *, frames: int, rounds: int, threads: int) -> dict[str, Any]:
    """Measure, print, and return the record of a step in several processes, and of what is computed from it."""
    with show_progress("measuring", unit="rounds") as progress:
        result = measure_processes(_compared(config, frames, threads), rounds=rounds, progress=progress)
    with using_threads(threads):
        run = stepper(config, frames, CPU)
        run()
        step = step_of(phases_of(run, CPU, rounds), config, frames)
    facts = {**facts_of(result), **bytes_of(step, PROCESSES)}
    record = computed(step, CLUSTER, bucket_bytes=config.distributed.bucket_mb * 2**20, decisions=DECISIONS * frames)
    print_result(result, baseline=ONE, title=f"{title}, a clip for each of {PROCESSES} processes")
    console = wide_console()
    console.print("\n".join(sentences(facts)), highlight=False)
    console.print(table_of(record["curves"], title))
    console.print("\n".join(f"taken for granted: {line}" for line in record["assumptions"]), highlight=False)
    return {"frames": frames, **as_record(result, baseline=ONE), "processes": facts, **record}


def bytes_of(step: Step, processes: int) -> dict[str, float]:
    """Return the bytes of a step's gradients, and how many of them each process sends if a ring adds them up. Pure."""
    size = sum(each.gradient_bytes for each in step.backwards)
    return {"gradient_bytes": size, "sent_bytes": ring_bytes(size, processes)}


def computed(step: Step, cluster: Cluster, *, bucket_bytes: float, decisions: int) -> dict[str, Any]:
    """Return what is computed of a step. Pure."""

    def curve(times: float, *, overlap: bool) -> list[dict[str, Any]]:
        return [
            attrs.asdict(
                simulate(
                    step.faster(times), ranks, cluster, bucket_bytes=bucket_bytes, decisions=decisions, overlap=overlap
                )
            )
            for ranks in RANKS
        ]

    return {
        "step": step_record(step),
        "assumptions": assumptions(cluster, bucket_bytes=bucket_bytes, decisions=decisions, speedups=SPEEDUPS),
        "curves": [
            {"speedup": times, "overlapped": curve(times, overlap=True), "after": curve(times, overlap=False)}
            for times in SPEEDUPS
        ],
    }


def table_of(curves: Sequence[dict[str, Any]], title: str) -> Table:
    """Return the efficiency by number of ranks, a column for each machine."""
    table = Table(title=f"{title}: efficiency, computed", title_justify="left")
    table.add_column("ranks", justify="right")
    for curve in curves:
        table.add_column(f"{curve['speedup']:g} times as fast", justify="right")
    for number, ranks in enumerate(RANKS):
        cells = (f"{100 * curve['overlapped'][number]['efficiency']:.1f} %" for curve in curves)
        table.add_row(f"{ranks:,}", *cells)
    return table


def networks_table(networks: Sequence[dict[str, Any]]) -> Table:
    """Return what is sent for an update of each published network, and how long it takes."""
    table = Table(title="gradients of one update, computed", title_justify="left")
    for heading in ("network", "ranks", "link", "gradients", "each rank sends", "takes"):
        table.add_column(heading, justify="left" if heading in ("network", "link") else "right")
    for network in networks:
        for ranks, sent in network["ranks"].items():
            cells = (sent["link"], f"{network['gradient_mb']:,.0f} MB", f"{sent['sent_mb']:,.0f} MB")
            table.add_row(network["name"], f"{int(ranks):,}", *cells, f"{sent['milliseconds']:,.1f} ms")
    return table
