"""Train a tiny preset for some steps in a 16-bit format, beside stored losses of the same steps in float32 on a CPU.

    python tools/gpu_training.py --preset street-tiny --device cuda --dtype float16 [--steps 24] [--store]

Weights, clips and their order are those of the CPU. The first step is one frame: losses that no update precedes must
agree, as only rounding differs; all others of a GAN drift apart, so that for those the mean over the last half is
compared. Prints one line of JSON; the exit status is 1 where they do not agree or anything is not finite. `--store`
writes the figures that others are compared with, `docs/benchmarks/first-steps-PRESET.json`; it is for `--device cpu
--dtype float32`.
"""

import argparse
import functools
import json
import math
import statistics
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import vs_data as data
import vs_optim as optim
import vs_runtime as runtime
from vs_bench.results import begin, save_records
from vs_config import load_config
from vs_training.config import TrainConfig, label_spec, reference_count
from vs_training.curriculum import clip_length
from vs_training.graphs import frame_updater, settle_graphs
from vs_training.networks import build_recipe, build_state
from vs_training.presets import read_preset
from vs_training.step import train_clip

STORED = Path(__file__).resolve().parents[1] / "docs" / "benchmarks"
BEFORE_UPDATES = ("discriminator.gan", "generator.perceptual")
"""Losses that a first frame has before any update; G's others are by the discriminator as it is after its update."""
FIRST = 0.02
"""By how much of itself a loss that no update precedes may differ."""
LATER = 0.35
"""By how much of itself the mean over the last half of the steps may."""

Losses = dict[str, list[float]]


def train(preset: str, device: torch.device, dtype: str, steps: int) -> Losses:
    """Train, and return each loss of each step."""
    document = dict(read_preset(preset).document)
    level = {"level": "O0"} if dtype == "float32" else {"level": "O1", "dtype": dtype}
    lengths = {**document.get("curriculum", {}), "single_frame_steps": 1, "flow_steps": 0}
    config = load_config(TrainConfig, {**document, "precision": level, "curriculum": lengths})
    runtime.seed_everything(config.seed)
    precision = optim.resolve_precision(config.precision, device)
    optim.apply_math_mode(precision)
    source = data.open_source(config.data, "train")
    labels = label_spec(config.labels, source)
    recipe = build_recipe(config, labels, precision, device)
    state, _ = build_state(config, labels, precision, device, capturable=settle_graphs(config, device))
    update = frame_updater(config, device, lambda line: print(line, flush=True))
    clips = data.load_clips(
        source,
        config.loader,
        seed=runtime.derive_seed(config.seed, "data"),
        length_of=functools.partial(clip_length, config.curriculum),
        references_of=functools.partial(reference_count, config.references, config.seed),
        stop=steps,
    )
    found: Losses = {}
    for clip in clips:
        state, report = train_clip(state, data.move(clip, device), recipe, update)
        for network, losses in report.losses.items():
            for name, value in losses.items():
                found.setdefault(f"{network}.{name}", []).append(value)
    return found


def differences(found: Mapping[str, Sequence[float]], stored: Mapping[str, Sequence[float]]) -> list[str]:
    """Return in words which losses are not what they are on a CPU in float32. Pure."""
    problems = []
    for name, expected in stored.items():
        values = found.get(name, ())
        if not values or not all(math.isfinite(value) for value in values):
            problems.append(f"{name}: missing or not finite")
            continue
        expected = expected[: len(values)]
        pairs = [("at first", values[0], expected[0], FIRST)] if name in BEFORE_UPDATES else []
        if len(values) >= 10:
            half = len(values) // 2
            pairs.append(("in the end", statistics.fmean(values[half:]), statistics.fmean(expected[half:]), LATER))
        for when, value, wanted, room in pairs:
            if abs(value - wanted) > room * abs(wanted) + 1e-3:
                problems.append(f"{name} {when}: {value:.4g}, on a CPU in float32 {wanted:.4g}")
    return problems


def main(arguments: Sequence[str] | None = None) -> int:
    """Train, compare, print, and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", required=True)
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--dtype", choices=("float32", "float16", "bfloat16"), default="float16")
    parser.add_argument("--steps", type=int, default=24)
    parser.add_argument("--store", action="store_true")
    given = parser.parse_args(arguments)
    begun = begin()
    losses = train(given.preset, runtime.choose_device(given.device), given.dtype, given.steps)
    path = STORED / f"first-steps-{given.preset}.json"
    if given.store:
        command = f"python tools/gpu_training.py --preset {given.preset} --device cpu --dtype float32 --store"
        save_records({"losses": losses}, path.stem, command=command, folder=STORED, begun=begun)
        return 0
    problems = differences(losses, json.loads(path.read_text())["losses"])
    result: dict[str, Any] = {"agrees": not problems, "problems": problems, "losses": losses}
    print(json.dumps(result))
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
