"""How many images a second `data:check` looks at, by what files say of themselves and by all their pixels.

A sequence of JPEGs of 2 megapixels, a procedural street that is enlarged, is written once and checked in both ways by
two threads, after a round that leaves the files in memory. `--store` writes `docs/benchmarks/checking-cpu.json`, which
documents cite.
"""

import sys
import tempfile
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Annotated

import cv2
from cyclopts import Parameter
from vs_bench.results import begin, folder_of, save_records
from vs_config.commands import run_command
from vs_data import (
    ClipRequest,
    EdgesConfig,
    FolderConfig,
    NoFlowConfig,
    StreetConfig,
    VsDataError,
    check_folder,
    open_street,
)

SIZE = (1024, 2048)
THREADS = 2
_QUALITY = 95


def measure(
    *,
    images: Annotated[int, Parameter(help="JPEGs that are written.")] = 300,
    rounds: Annotated[int, Parameter(help="Checks of each way, of which the median counts.")] = 5,
    store: Annotated[bool, Parameter(help="Keep the result for the documents.", negative="")] = False,
) -> int:
    """Print images and bytes per second of both ways."""
    begun = begin()
    with tempfile.TemporaryDirectory() as folder:
        size = _write(Path(folder), images)
        config = FolderConfig(root=folder, labels=(EdgesConfig(),), flow=NoFlowConfig())
        rates = {name: _rate(config, images, rounds, decode=name == "decode") for name in ("headers", "decode")}
    for name, rate in rates.items():
        print(f"{name:8} {rate:8.0f} images/s, {rate * size / images / 1e6:8.0f} MB/s")
    if store:
        record = {"images": images, "bytes": size, "size": SIZE, "threads": THREADS, "images_per_second": rates}
        command = f"python tools/measure_checking.py --images {images} --rounds {rounds}"
        save_records(record, "checking-cpu", command=command, folder=folder_of(store=True), begun=begun)
    return 0


def _write(root: Path, images: int) -> int:
    """Write a sequence of enlarged frames, and return their bytes."""
    place = root / "images" / "street"
    place.mkdir(parents=True)
    source = open_street(StreetConfig(height=128, width=256, sequence_length=max(images, 2)), "train")
    for frame in range(images):
        clip = source.read(ClipRequest(sequence=0, start=frame, length=1))
        picture = ((clip.frames[0] + 1) * 127.5).round().byte().permute(1, 2, 0).numpy()
        large = cv2.resize(picture, SIZE[::-1], interpolation=cv2.INTER_CUBIC)
        cv2.imwrite(str(place / f"{frame:06d}.jpg"), large, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    return sum(path.stat().st_size for path in place.iterdir())


def _rate(config: FolderConfig, images: int, rounds: int, *, decode: bool) -> float:
    passed = []
    for _ in range(rounds + 1):
        started = perf_counter()
        check_folder(config, decode=decode, threads=THREADS)
        passed.append(perf_counter() - started)
    return images / median(passed[1:])


if __name__ == "__main__":
    sys.exit(run_command(measure, VsDataError))
