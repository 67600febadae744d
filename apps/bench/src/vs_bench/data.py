"""Measure how quickly clips are read from folders of pictures, from videos and from shards, and whether a step waits.

Usage: hatch run bench:data [--size 128x256] [--size 512x1024] [--flow none|dis] [--rounds N] [--clips N] [--store]

A street is written in all three ways: PNG files; H.264 in which decoding can begin every eighth frame, with class ids
as lossless video; and the PNG files packed into a shard. Each round reads clips of 4 frames at random, in this process,
with the crop and mirroring of training, as one worker of the loader does. Nothing decoded is kept.

The loader is no bottleneck if reading a clip takes less than a training step: of the street baseline at 128x256, one
clip a step, by docs/benchmarks/step-cpu.json. `of a step` is that ratio; the loader's workers divide it further.

Writes runs/bench/data-cpu.json, or with `--store` docs/benchmarks/data-cpu.json, where documents cite it.
"""

import functools
import itertools
import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal

import attrs
import cyclopts
from rich.table import Table
from vs_config.commands import FOLLOWED
from vs_config.progress import Progress, show_progress
from vs_data import (
    AugmentConfig,
    ClipSource,
    DisFlowConfig,
    FlowConfig,
    FolderConfig,
    NoFlowConfig,
    ShardsConfig,
    StreetConfig,
    open_source,
    plan_batch,
    write_folder,
)
from vs_data.pictures import read_ids, read_rgb
from vs_data.shards import PackOptions, encoded_video, pack_folder, whole_layout

from vs_bench.errors import VsBenchError
from vs_bench.harness import Case, Result, measure
from vs_bench.options import Count
from vs_bench.results import RESULTS, begin, command_of, folder_of, save_records
from vs_bench.step.subject import FRAMES
from vs_bench.tables import as_record, plain_table, wide_console

SIZES = ("128x256", "512x1024")
STEP = "step-cpu"
"""The stored measurement of a step of the street baseline."""

STEP_SIZE = "128x256"
"""The size of its clips."""

_SEQUENCES, _LENGTH = 2, 24
_GROUP = 8  # frames of a video from one at which decoding can begin to the next
_QUALITY = 65  # of 100, which is a constant rate factor of 18

Flow = Literal["none", "dis"]
Stored = FolderConfig | ShardsConfig
Sizes = Annotated[tuple[str, ...], FOLLOWED]

app = cyclopts.App(name="bench:data", help=__doc__, suppress_keyboard_interrupt=False)


def parse_size(text: str) -> tuple[int, int]:
    """Read `HEIGHTxWIDTH`.

    Raises:
        VsBenchError: it is something else.
    """
    height, cross, width = text.partition("x")
    if not (cross and height.isdigit() and width.isdigit() and min(int(height), int(width)) >= 16):
        raise VsBenchError(f"--size: expected HEIGHTxWIDTH, at least 16 each, got {text!r}")
    return int(height), int(width)


def write_all(root: Path, size: tuple[int, int]) -> dict[str, Stored]:
    """Write a street in all ways below a folder, and return how each of them is read."""
    street = StreetConfig(height=size[0], width=size[1], sequence_length=_LENGTH, train_sequences=_SEQUENCES)
    write_folder(open_source(street, "train"), root / "folder", sequences=_SEQUENCES)
    for kind in ("images", "seg_maps"):
        (root / "video" / kind).mkdir(parents=True)
        for place in sorted((root / "folder" / kind).iterdir()):
            data = _video_of(place, lossless=kind == "seg_maps")
            (root / "video" / kind / f"{place.name}.mkv").write_bytes(data)
    pack_folder(whole_layout(root / "folder"), root / "shards", PackOptions())
    folder = FolderConfig(
        root=str(root / "folder"),
        height=size[0],
        width=size[1],
        augment=AugmentConfig(scale=0.1, flip=0.5),
        cache_mb=0,
    )
    return {
        "folder": folder,
        "video": attrs.evolve(folder, root=str(root / "video")),
        "shards": ShardsConfig(
            root=str(root / "shards"), height=size[0], width=size[1], augment=folder.augment, cache_mb=0
        ),
    }


def _video_of(place: Path, *, lossless: bool) -> bytes:
    """Return a video of a folder of pictures, or of class ids, which are greys in three equal channels."""
    files = sorted(place.iterdir())
    if lossless:
        return encoded_video((read_ids(file)[..., None].repeat(3, axis=2) for file in files), 100, _GROUP)
    return encoded_video((read_rgb(file) for file in files), _QUALITY, _GROUP)


def clips_of(source: ClipSource, batches: Iterator[int], count: int) -> None:
    """Read a batch of so many random clips; each call another one."""
    requests = plan_batch(source.sequences, seed=0, batch=next(batches), batch_size=count, length=FRAMES)
    for request in requests:
        source.read(request)


def measure_size(
    configs: Mapping[str, Stored], flow: FlowConfig, *, rounds: int, clips: int, progress: Progress
) -> Result:
    """Measure so many clips at a time in every way."""
    cases = []
    for name, config in configs.items():
        source = open_source(attrs.evolve(config, flow=flow), "train")
        cases.append(Case(name=name, run=functools.partial(clips_of, source, itertools.count(), clips)))
    return measure(cases, rounds=rounds, warmup=1, threads=1, progress=progress)


def stored_step(folder: Path = RESULTS) -> float | None:
    """Return the median seconds of the quickest stored step of the street baseline; None: none is stored."""
    path = folder / f"{STEP}.json"
    if not path.is_file():
        return None
    return min(float(case["median_seconds"]) for case in json.loads(path.read_text())["cases"])


def rates_of(result: Result, clips: int, step: float | None) -> dict[str, dict[str, float | None]]:
    """Return clips per second of each way, and what a clip takes of a step; None: of no step that is known. Pure."""
    return {
        series.name: {
            "clips_per_second": clips / series.median,
            "of_a_step": None if step is None else series.median / clips / step,
        }
        for series in result.cases
    }


def table_of(rates: Mapping[str, Mapping[str, float | None]], title: str) -> Table:
    """Return the table of a size: a row for each way."""
    table = plain_table(title, ("from", "clips/s", "frames/s", "of a step"))
    for name, rate in rates.items():
        speed, share = rate["clips_per_second"] or 0.0, rate["of_a_step"]
        table.add_row(name, f"{speed:.1f}", f"{speed * FRAMES:.0f}", "" if share is None else f"{share:.1%}")
    return table


@app.default
def main(
    *,
    size: Sizes = SIZES,
    flow: tuple[Flow, ...] = ("none", "dis"),
    rounds: Count = 7,
    clips: Count = 4,
    store: bool = False,
) -> None:
    """Compare ways of storing clips by how quickly they are read."""
    if store and (not set(SIZES) <= set(size) or len(set(flow)) < 2):
        raise VsBenchError("--store is for all that documents speak of: both sizes, with and without flow")
    begun, console, step = begin(), wide_console(), stored_step()
    records: dict[str, object] = {}
    teachers: dict[Flow, FlowConfig] = {"none": NoFlowConfig(), "dis": DisFlowConfig()}
    for text in dict.fromkeys(size):
        with tempfile.TemporaryDirectory() as folder:
            configs = write_all(Path(folder), parse_size(text))
            stored = {name: _bytes_below(Path(config.root)) for name, config in configs.items()}
            for teacher in dict.fromkeys(flow):
                with show_progress(f"reading {text}, flow {teacher}", unit="rounds") as progress:
                    result = measure_size(configs, teachers[teacher], rounds=rounds, clips=clips, progress=progress)
                rates = rates_of(result, clips, step if text == STEP_SIZE else None)
                console.print(table_of(rates, f"clips of {FRAMES} frames, {text}, flow {teacher}, one process"))
                record = as_record(result, baseline="folder")
                records[f"{text}, flow {teacher}"] = {**record, "clips": clips, "rates": rates, "bytes": stored}
    path = save_records(
        {"step_seconds": step, "frames": FRAMES, "sizes": records},
        "data-cpu",
        command=command_of("bench:data"),
        folder=folder_of(store=store),
        begun=begun,
    )
    console.print(f"written to {path}", highlight=False, markup=False)


def _bytes_below(root: Path) -> int:
    """Return the bytes of pictures and labels in a folder; flow is in no video."""
    files: Sequence[Path] = [path for path in root.rglob("*") if path.is_file()]
    return sum(path.stat().st_size for path in files if "flow" not in path.parts)
