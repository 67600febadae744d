"""Plant faults of known size into true videos, and ask each metric what it sees of them.

Usage: hatch run bench:metrics [--clips N] [--frames N] [--world street] [--seed N] [--features FILE ...] [--store]

The worlds that are made up know their true frames, labels, regions and flow. Of each metric that an evaluation shows
this prints how it changes with a fault of each size; whether in its order (Spearman's rank correlation of size and
change, mean over clips); the smallest size that it sees; and what temporal metrics make of estimated flow instead of
exact.

A change, the mean over clips from the same clips without fault, counts as seen when it is larger than any that saving
them as videos (H.264, CRF 18) makes in a clip, which nobody calls a fault. Where it is one for the better, the metric
rewards the fault.

LPIPS, FID, KID and FVD are measured with --features FILE ..., networks that tools/convert_features.py makes of
published weights; those of sets refuse few frames, and are left out then.

Writes runs/bench/ruler-cpu.json and a picture of each world beside it; with `--store` docs/benchmarks/ instead.
"""

from pathlib import Path
from typing import Annotated

import attrs
import cyclopts
import torch
from cyclopts import Parameter
from vs_config import Range
from vs_config.commands import FOLLOWED, option_of, option_paths
from vs_config.progress import show_progress
from vs_data import SourceConfig, open_source
from vs_training.config import LabelConfig, label_spec
from vs_training.quality.features import FeatureNetworks, advice_on, open_networks
from vs_training.quality.reader import STEPS

from vs_bench.errors import VsBenchError
from vs_bench.harness import using_threads
from vs_bench.options import Threads
from vs_bench.results import begin, command_of, folder_of, save_records
from vs_bench.ruler.faults import FAULTS
from vs_bench.ruler.measuring import Estimator, judge_estimator, measure_world
from vs_bench.ruler.metrics import judges_of
from vs_bench.ruler.picture import draw
from vs_bench.ruler.report import fault_records, record_of, table_of_bias, table_of_responses, table_of_sight
from vs_bench.ruler.responses import Response
from vs_bench.ruler.scenes import World, config_of, read_scenes
from vs_bench.tables import wide_console

NAME = "ruler-cpu"

STORED: tuple[int, int, tuple[World, ...], int] = (6, 30, ("street", "faces"), 0)
"""Clips, frames of each, worlds and the seed that documents speak of."""

Frames = Annotated[int, option_of(Range(kind=int, low=4, high=1_000))]
Clips = Annotated[int, option_of(Range(kind=int, low=1, high=1_000))]
Paths = Annotated[tuple[Path, ...], Parameter(converter=option_paths), FOLLOWED]
Worlds = Annotated[tuple[World, ...], Parameter(negative="")]
Seed = Annotated[int, option_of(Range(kind=int, low=0, high=2**63 - 1))]

app = cyclopts.App(name="bench:metrics", help=__doc__, suppress_keyboard_interrupt=False)


@attrs.frozen(kw_only=True)
class Found:
    """The responses that were found in a world."""

    world: World
    responses: tuple[Response, ...]
    estimator: Estimator

    @property
    def title(self) -> str:
        """What it is called in tables and pictures."""
        return f"what metrics see in {self.world}"


@app.default
def main(
    *,
    clips: Clips = STORED[0],
    frames: Frames = STORED[1],
    world: Worlds = STORED[2],
    seed: Seed = STORED[3],
    features: Paths = (),
    threads: Threads = 2,
    store: bool = False,
) -> None:
    """Plant faults into true videos of each world, and print what each metric sees of them."""
    if store and (clips, frames, world, seed) != STORED:
        raise VsBenchError("--store is for what documents speak of: all worlds, clips, frames and the seed as they are")
    begun = begin()
    configs = {name: config_of(name, clips=clips, frames=frames, seed=seed) for name in world}
    smallest = min((config.height, config.width) for config in configs.values())
    networks = open_networks(features, torch.device("cpu"), smallest)
    with using_threads(threads):
        found = [look_at(name, config, clips, networks) for name, config in configs.items()]
    console = wide_console()
    for each in found:
        _print(each)
    record = {
        "clips": clips,
        "frames": frames,
        "faults": fault_records(FAULTS),
        "worlds": {each.world: record_of(each.responses, each.estimator) for each in found},
    }
    folder = folder_of(store=store)
    path = save_records(record, NAME, command=command_of("bench:metrics"), folder=folder, begun=begun)
    pictures = [draw(each.responses, each.title, path.with_name(f"ruler-{each.world}-cpu.png")).name for each in found]
    written = " and ".join([str(path), *pictures])
    console.print("\n".join([*advice_on(networks), f"written to {written}"]), highlight=False, markup=False)


def look_at(world: World, config: SourceConfig, clips: int, networks: FeatureNetworks, steps: int = STEPS) -> Found:
    """Plant all faults that a world can have into clips of it, and measure them.

    Args:
        world: which.
        config: of it.
        clips: how many of its held-out sequences.
        networks: feature networks, as far as they were given.
        steps: how long the reader of its labels learns.
    """
    training = open_source(config, "train")
    with show_progress(f"{world}: learning to read labels in real frames", unit="steps") as shown:
        labels = label_spec(LabelConfig(), training)
        judges = judges_of(labels, training, networks, steps=steps, tell=shown.update)
    scenes = list(read_scenes(config, clips))
    faults = [fault for fault in FAULTS if not fault.people or scenes[0].other is not None]
    with show_progress(f"{world}: planting and measuring faults", unit="versions") as shown:
        responses = measure_world(scenes, faults, judges, shown.update)
    return Found(world=world, responses=responses, estimator=judge_estimator(scenes))


def _print(found: Found) -> None:
    tables = (
        table_of_responses(found.responses, found.title),
        table_of_bias(found.responses, found.estimator, f"{found.title} by exact and by estimated flow"),
        table_of_sight(found.responses, found.title),
    )
    for table in tables:
        wide_console().print(table, "")
