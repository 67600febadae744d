"""Check on a machine with a GPU all that no CPU can decide, most valuable first, within a time limit.

    python tools/gpu_check.py --out DIR [--minutes 9] [--wheels DIR] [--only PART ...] [--dry-run]
    python tools/gpu_check.py --out DIR --device cpu --tiny

The machine needs this checkout, a Python with PyTorch, and neither Hatch nor the network: what else is imported (attrs,
cattrs, cyclopts, rich, tomlkit, safetensors, ...) may lie as wheels in `--wheels`, which are unpacked into DIR. A part
that lacks something says so in its result, and the others go on. `--device cpu --tiny` makes every part at a size that
says nothing of speed, so that this program can be tried without a GPU.

Each part is a process of its own that is ended when the time is up. DIR/PART.json holds how it ended, what it printed
last and what it measured, and is written when the part ends; DIR/summary.json which goals are met. The exit status is 0
if every part ran to its end and no goal was missed, else 1.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
TAIL = 4000
"""Characters of what a part printed last that its result keeps."""

SMALL_NETWORKS = (
    "data.height=32",
    "data.width=64",
    "generator.levels=3",
    "generator.image_downsamples=2",
    "generator.filters=4",
    "generator.max_filters=8",
    "generator.embedder.filters=4",
    "generator.embedder.downsamples=3",
    "generator.flow.filters=4",
    "generator.flow.downsamples=2",
    "generator.flow.residual_blocks=1",
    "generator.combination.kind=spade",
    "generator.combination.embedder.arch=unet",
    "generator.combination.embedder.filters=4",
    "generator.combination.embedder.downsamples=3",
    "discriminator.image.filters=4",
    "discriminator.image.layers=2",
    "objective.perceptual.width_divisor=16",
)
FULL_NETWORKS = (
    "generator.filters=32",
    "generator.max_filters=1024",
    "generator.embedder.filters=32",
    "generator.embedder.max_filters=1024",
    "generator.flow.filters=32",
    "generator.flow.max_filters=1024",
    "generator.combination.kind=spade",
    "generator.combination.embedder.arch=unet",
    "generator.combination.embedder.filters=32",
    "generator.combination.embedder.max_filters=1024",
    "discriminator.image.filters=64",
    "discriminator.image.max_filters=512",
)


@dataclass(frozen=True, kw_only=True)
class Part:
    """A command, and for how many minutes it may run at most."""

    name: str
    command: tuple[str, ...]
    minutes: float


@dataclass(frozen=True, kw_only=True)
class Goal:
    """A figure that a part is to reach: `of` finds it in what the part measured."""

    part: str
    name: str
    least: float
    of: Callable[[Mapping[str, Any]], float]


def parts_of(device: str, *, tiny: bool) -> list[Part]:
    """Return the parts, most valuable first."""
    tests = ("tests/optim",) if tiny else ("tests",)
    parts = [
        Part(
            name="tests",
            command=("pytest", "-q", "-m", "gpu", "--continue-on-collection-errors", "-p", "no:cacheprovider", *tests),
            minutes=2,
        )
    ]
    steps = 2 if tiny else 24
    parts += [
        Part(
            name=f"train-{preset}-{dtype}",
            command=(
                str(ROOT / "tools" / "gpu_training.py"),
                *("--preset", preset, "--device", device, "--dtype", dtype, "--steps", str(steps)),
            ),
            minutes=0.5,
        )
        for preset in ("street-tiny", "faces-tiny")
        for dtype in ("float16", "bfloat16")
    ]
    parts += [
        Part(name="step-256x128", command=_step(device, tiny, 128, 256, batch=1, graphs=True), minutes=1),
        Part(name="step-1024x512-batch-8", command=_step(device, tiny, 512, 1024, batch=8), minutes=1),
        Part(name="step-1024x512-batch-16", command=_step(device, tiny, 512, 1024, batch=16), minutes=1),
        Part(name="stream-1024x512", command=_stream(device, tiny), minutes=1),
        Part(name="step-512x256", command=_step(device, tiny, 256, 512, batch=8, graphs=True), minutes=1),
        Part(name="tables", command=_tables(device, tiny), minutes=4),
    ]
    return parts


def _size(tiny: bool, height: int, width: int, networks: Sequence[str]) -> tuple[str, ...]:
    return SMALL_NETWORKS if tiny else (f"data.height={height}", f"data.width={width}", *networks)


def _step(device: str, tiny: bool, height: int, width: int, *, batch: int, graphs: bool = False) -> tuple[str, ...]:
    """Return the command of bench:step; with `graphs`, of the baseline's networks with graphs and without."""
    networks = () if graphs and height == 128 else FULL_NETWORKS
    compared = ("--compare", "performance.graphs=off") if graphs else ()
    rounds = ("--rounds", "1" if tiny else "3")
    return (
        *("-m", "vs_bench", "step", "--device", device, *rounds, "--frames", "2" if tiny else "4", *compared),
        *(_size(tiny, height, width, networks)),
        f"loader.batch_size={1 if tiny else batch}",
    )


def _stream(device: str, tiny: bool) -> tuple[str, ...]:
    networks = [setting for setting in FULL_NETWORKS if setting.startswith("generator.")]
    level = "float32" if tiny else "float16"
    return (
        *("-m", "vs_bench", "stream", "--device", device, "--baseline", "street", "--level", level, "--streams", "1"),
        *("--no-memory", "--rounds", "2" if tiny else "60"),
        *_size(tiny, 512, 1024, networks),
    )


def _tables(device: str, tiny: bool) -> tuple[str, ...]:
    rows = ("gelu",) if tiny else ()
    return ("-m", "vs_bench", "tables", *rows, "--device", device, "--minutes", "0.1" if tiny else "3.5")


GOALS = (
    Goal(part="step-256x128", name="graphs over none, O1", least=4.0, of=lambda found: found["gains"]["O1"]["value"]),
    Goal(part="step-1024x512-batch-8", name="O1 over O0, batch 8", least=2.0, of=lambda found: _speedup(found, "O1")),
    Goal(part="step-1024x512-batch-16", name="O1 over O0, batch 16", least=2.5, of=lambda found: _speedup(found, "O1")),
    Goal(part="stream-1024x512", name="frames a second", least=60.0, of=lambda found: _frame_rate(found)),
)


def _speedup(found: Mapping[str, Any], case: str) -> float:
    return float(_case(found["cases"], case)["speedup"]["value"])


def _frame_rate(found: Mapping[str, Any]) -> float:
    """Return the frames a second of the fastest stream."""
    cases = found["baselines"]["street"]["steady"]["cases"]
    return float(1 / min(case["median_seconds"] for case in cases if "roll-out" not in case["name"]))


def _case(cases: Sequence[Mapping[str, Any]], name: str) -> Mapping[str, Any]:
    return next(case for case in cases if case["name"] == name)


def run_part(part: Part, environment: Mapping[str, str], seconds: float) -> dict[str, Any]:
    """Run a part for so many seconds at most, and return its result."""
    command = part.command if part.command[0].endswith(".py") or part.command[0] == "-m" else ("-m", *part.command)
    begun = time.monotonic()
    try:
        done = subprocess.run(
            [sys.executable, *command],
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=seconds,
            check=False,
            text=True,
            errors="replace",
        )
        ended, printed = f"exit status {done.returncode}", done.stdout
    except subprocess.TimeoutExpired as error:
        ended = f"ended after {seconds:.0f} s"
        printed = (error.stdout or b"").decode(errors="replace") if isinstance(error.stdout, bytes | None) else ""
    return {
        "part": part.name,
        "command": ["python", *command],
        "ended": ended,
        "seconds": round(time.monotonic() - begun, 1),
        "printed": printed[-TAIL:],
        "measured": measured_in(printed),
    }


def measured_in(printed: str) -> dict[str, Any]:
    """Return what the files hold that a part says it has written, and what it prints as JSON in its last line."""
    found: dict[str, Any] = {}
    for path in re.findall(r"^written to (.+\.json)$", printed, re.MULTILINE):
        file = ROOT / path
        if file.is_file():
            found |= json.loads(file.read_text())
    lines = printed.strip().splitlines()
    if lines and lines[-1].startswith("{"):
        found |= json.loads(lines[-1])
    return found


def judge(results: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return for each goal what was reached, and whether it is met; None: it was not measured."""
    judged = []
    for goal in GOALS:
        try:
            reached: float | None = goal.of(results[goal.part]["measured"])
        except (KeyError, StopIteration, ValueError):
            reached = None
        met = None if reached is None else reached >= goal.least
        judged.append({"part": goal.part, "goal": goal.name, "least": goal.least, "reached": reached, "met": met})
    return judged


def write_whole(path: Path, content: object) -> None:
    """Write a file as a whole or not at all."""
    draft = path.with_name(f".{path.name}.partial")
    draft.write_text(json.dumps(content, indent=1) + "\n")
    draft.replace(path)


def environment_of(out: Path, wheels: Path | None) -> dict[str, str]:
    """Return an environment in which the packages of this checkout can be imported, and what lies in wheels."""
    found = [str(path) for path in sorted([*ROOT.glob("packages/*/src"), *ROOT.glob("apps/*/src")])]
    if wheels is not None:
        site = out / "site"
        for wheel in sorted(wheels.glob("*.whl")):
            with zipfile.ZipFile(wheel) as archive:
                archive.extractall(site)
        found.append(str(site))
    before = os.environ.get("PYTHONPATH")
    return {**os.environ, "PYTHONPATH": os.pathsep.join([*found, *([before] if before else [])]), "COLUMNS": "200"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the parts, and return the exit status."""
    given = _parser().parse_args(arguments)
    parts = parts_of(given.device, tiny=given.tiny)
    names = [part.name for part in parts]
    if unknown := set(given.only) - set(names):
        print(f"error: --only: no part is called {sorted(unknown)[0]!r}; there are {', '.join(names)}", file=sys.stderr)
        return 2
    chosen = [part for part in parts if not given.only or part.name in given.only]
    if given.dry_run:
        for part in chosen:
            print(f"{part.name} (at most {part.minutes:g} minutes): python {' '.join(part.command)}")
        return 0
    given.out.mkdir(parents=True, exist_ok=True)
    ends, environment = time.monotonic() + 60 * given.minutes, environment_of(given.out, given.wheels)
    results: dict[str, dict[str, Any]] = {}
    for part in chosen:
        left = ends - time.monotonic()
        if left < 5:
            print(f"{part.name}: no time left")
            continue
        results[part.name] = run_part(part, environment, min(left, 60 * part.minutes))
        write_whole(given.out / f"{part.name}.json", results[part.name])
        print(f"{part.name}: {results[part.name]['ended']}, {results[part.name]['seconds']} s", flush=True)
    return conclude(given.out, names, results)


def conclude(out: Path, names: Sequence[str], results: Mapping[str, Mapping[str, Any]]) -> int:
    """Write and print the summary, and return the exit status."""
    goals = judge(results)
    ended = {name: results[name]["ended"] if name in results else "not run" for name in names}
    write_whole(out / "summary.json", {"parts": ended, "goals": goals})
    for goal in goals:
        if goal["met"] is not None:
            verdict = "met" if goal["met"] else "missed"
            print(f"{goal['part']}: {goal['goal']}: {goal['reached']:.2f}, goal {goal['least']:g}: {verdict}")
        else:
            print(f"{goal['part']}: {goal['goal']}: not measured")
    good = all(result["ended"] == "exit status 0" for result in results.values())
    return 0 if good and not any(goal["met"] is False for goal in goals) else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=ROOT / "runs" / "gpu-check", help="where results go")
    parser.add_argument("--minutes", type=float, default=9, help="when to stop")
    parser.add_argument("--wheels", type=Path, help="a folder of wheels that this Python lacks")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--tiny", action="store_true", help="sizes that say nothing of speed")
    parser.add_argument("--only", nargs="+", default=[], metavar="PART", help="these parts alone")
    parser.add_argument("--dry-run", action="store_true", help="list the parts and their commands")
    return parser


if __name__ == "__main__":
    sys.exit(main())
