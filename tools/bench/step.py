"""Measure one training step (a 4-frame clip, updates of D and G for every frame, EMA) in O0 and O1.

Usage: hatch run bench:step [--rounds N] [--frames N] [--device cuda] [--threads N] [--preset NAME] [PATH=VALUE ...]

Without a preset it is the step of the published code's baseline: generator filters 8 (at most 128), levels 7, image
down-samplings 4, embedder of 5 levels, flow of 5 levels and 6 blocks, D filters 8 (at most 128), full-width VGG-19 with
random weights, 128x256. Writes docs/benchmarks/step-DEVICE.json (a preset's is step-PRESET-DEVICE.json); with overrides
or another number of frames it writes nothing.
"""

from collections.abc import Callable
from typing import Any

import attrs
import cyclopts
import torch
import vs_optim as optim
from harness import Case, command_of, measure, print_result, save_result
from vs_data import ClipRequest, collate, move, open_source
from vs_train.config import TrainConfig, label_spec
from vs_train.config_io import resolve_config
from vs_train.presets import read_preset
from vs_train.setup import build_recipe, build_state
from vs_train.step import train_clip

BASELINE: dict[str, Any] = {
    "data": {"kind": "street", "height": 128, "width": 256},
    "generator": {
        "filters": 8,
        "max_filters": 128,
        "embedder": {"filters": 8, "max_filters": 128},
        "flow": {"filters": 8, "max_filters": 128},
        "combination": {"kind": "spade", "embedder": {"arch": "unet", "filters": 8, "max_filters": 128}},
    },
    "discriminator": {"image": {"filters": 8, "max_filters": 128}},
    "objective": {"perceptual": {"kind": "random", "width_divisor": 1, "scales": 1}},
}
PRECISIONS = {
    "O0": optim.PrecisionConfig(level="O0"),
    "O1": optim.PrecisionConfig(level="O1"),
}

app = cyclopts.App(name="bench:step", help=__doc__)


def stepper(config: TrainConfig, frames: int, device: torch.device) -> Callable[[], None]:
    """Return one training step on a clip of `frames` frames as a call without arguments."""
    torch.manual_seed(config.seed)
    source = open_source(config.data, "train")
    spec = label_spec(config.labels, source)
    precision = optim.resolve_precision(config.precision, device)
    state, _ = build_state(config, spec, precision, device)
    recipe = build_recipe(config, spec, precision, device)
    count = 0 if config.references is None else config.references.most
    references = tuple(frames + k for k in range(count))  # frames behind the clip, so that none shows itself
    requests = [
        ClipRequest(sequence=i, start=0, length=frames, references=references) for i in range(config.loader.batch_size)
    ]
    clip = move(collate([source.read(request) for request in requests]), device)

    def run() -> None:
        nonlocal state
        state, _ = train_clip(state, clip, recipe)

    return run


@app.default
def main(
    *overrides: str,
    rounds: int = 9,
    frames: int = 4,
    device: str = "cpu",
    threads: int = 2,
    preset: str | None = None,
) -> None:
    """Compare O0 and O1, interleaved in one process."""
    document = BASELINE if preset is None else read_preset(preset).document
    config = resolve_config(TrainConfig, document, overrides, preset or "baseline")
    place = torch.device(device)
    cases = [
        Case(
            name=name,
            run=stepper(attrs.evolve(config, precision=precision), frames, place),
            note=optim.describe(optim.resolve_precision(precision, place)),
        )
        for name, precision in PRECISIONS.items()
    ]
    result = measure(cases, rounds=rounds, warmup=1, threads=threads, device=place, progress=True)
    size = f"{config.data.height}x{config.data.width}"
    print_result(result, baseline="O0", title=f"one training step, {frames} frames at {size}, {preset or 'baseline'}")
    if not overrides and frames == 4:
        name = f"step-{preset}-{place.type}" if preset else f"step-{place.type}"
        save_result(result, name, baseline="O0", command=command_of("bench:step"))


if __name__ == "__main__":
    app()
