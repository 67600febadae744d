"""Measure one training step (a 4-frame clip, updates of D and G for every frame, EMA) in O0 and O1.

Usage: hatch run bench:step [--baseline face] [--impl reference] [--preset NAME] [--rounds N] [--frames N]
                            [--device cuda] [--threads N] [PATH=VALUE ...]

Without a preset it is the step of one of the published code's baselines:

- `street`: 128x256, generator filters 8 (at most 128), levels 7, image down-samplings 4, embedder of 5 levels, flow of
  5 levels and 6 blocks, D filters 8 (at most 128), full-width VGG-19 with random weights;
- `face`: few-shot, 128x128, one reference, the generator's published shape, D filters 64 (at most 512) with spectral
  norm, full-width VGG-19 with random weights at 3 scales.

`--impl NAME` measures each level a second time with VS_OPS_IMPL=NAME, so that what the choice between the operators'
implementations is worth in a whole step comes from one interleaved run. Writes docs/benchmarks/step-DEVICE.json (the
face baseline's is step-face-DEVICE.json, a preset's step-PRESET-DEVICE.json, with -impl-NAME before the device); with
overrides or another number of frames it writes nothing.
"""

import contextlib
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal

import attrs
import cyclopts
import torch
import vs_optim as optim
from harness import Case, Result, as_record, command_of, measure, print_result, ratio_of, save_records
from rich.console import Console
from vs_config.commands import run_command
from vs_data import ClipRequest, VsDataError, collate, move, open_source
from vs_ops.dispatch import ENVIRONMENT_VARIABLE, IMPLEMENTATION_NAMES
from vs_train.config import TrainConfig, label_spec
from vs_train.config_io import resolve_config
from vs_train.errors import VsTrainError
from vs_train.presets import read_preset
from vs_train.setup import build_recipe, build_state
from vs_train.step import train_clip

Baseline = Literal["street", "face"]
STREET: dict[str, Any] = {
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
FACE: dict[str, Any] = {
    "data": {"kind": "faces", "height": 128, "width": 128},
    "references": {"fewest": 1, "most": 1},
    "loader": {"batch_size": 1},
    "generator": {"kind": "few-shot"},
    "discriminator": {"image": {"filters": 64, "max_filters": 512, "layers": 3, "scales": 2, "spectral_norm": True}},
    "objective": {"perceptual": {"kind": "random", "width_divisor": 1, "scales": 3}},
}
BASELINES: Mapping[Baseline, dict[str, Any]] = {"street": STREET, "face": FACE}
PRECISIONS = {
    "O0": optim.PrecisionConfig(level="O0"),
    "O1": optim.PrecisionConfig(level="O1"),
}

app = cyclopts.App(name="bench:step", help=__doc__)


def stepper(config: TrainConfig, frames: int, device: torch.device) -> Callable[[], None]:
    """Return one training step on a clip of `frames` frames as a call without arguments, TF32 as in training."""
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
        optim.apply_math_mode(precision)  # of the process, in which the steps of other levels run in turn
        state, _ = train_clip(state, clip, recipe)

    return run


@contextlib.contextmanager
def implementation(name: str | None) -> Iterator[None]:
    """Within it, operators are computed by `name`; with None they choose, whatever the shell says.

    An implementation that refuses a call leaves it to the choice, as ever with VS_OPS_IMPL.
    """
    before = os.environ.pop(ENVIRONMENT_VARIABLE, None)
    if name is not None:
        os.environ[ENVIRONMENT_VARIABLE] = name
    try:
        yield
    finally:
        os.environ.pop(ENVIRONMENT_VARIABLE, None)
        if before is not None:
            os.environ[ENVIRONMENT_VARIABLE] = before


def using(name: str | None, run: Callable[[], None]) -> Callable[[], None]:
    """Return `run` with its operators computed by the implementation `name`, or chosen if it is None."""

    def run_so() -> None:
        with implementation(name):
            run()

    return run_so


def case_name(level: str, impl: str | None) -> str:
    """What the case of a level and an implementation is called."""
    return level if impl is None else f"{level} {impl}"


def cases_of(config: TrainConfig, frames: int, device: torch.device, impls: Sequence[str | None]) -> list[Case]:
    """Return a case for each level and each of the implementations, None being the operators' own choice."""
    cases = []
    for level, precision in PRECISIONS.items():
        note = optim.describe(optim.resolve_precision(precision, device))
        for impl in impls:
            step = stepper(attrs.evolve(config, precision=precision), frames, device)
            cases.append(Case(name=case_name(level, impl), run=using(impl, step), note=note))
    return cases


def gains_of(result: Result, impl: str) -> dict[str, dict[str, float]]:
    """How many times as fast a step is with the operators' own choice as with `impl` everywhere, by level. Pure."""
    gains = {}
    for level in PRECISIONS:
        ratio = ratio_of(result.case(case_name(level, impl)), result.case(level))
        gains[level] = {"value": ratio.value, "low": ratio.low, "high": ratio.high}
    return gains


def result_name(baseline: Baseline, preset: str | None, impl: str | None, device: str) -> str:
    """Return the name of the result file without its ending. Pure."""
    subject = preset or ("" if baseline == "street" else baseline)
    parts = ["step", subject, "" if impl is None else f"impl-{impl}", device]
    return "-".join(part for part in parts if part)


@app.default
def main(
    *overrides: str,
    rounds: int = 9,
    frames: int = 4,
    device: str = "cpu",
    threads: int = 2,
    baseline: Baseline = "street",
    preset: str | None = None,
    impl: str | None = None,
) -> None:
    """Compare O0 and O1, and if asked the operators' own choice and one implementation, interleaved in one process."""
    if impl is not None and impl not in IMPLEMENTATION_NAMES:
        raise SystemExit(f"no operator has an implementation {impl!r}; there are {', '.join(IMPLEMENTATION_NAMES)}")
    title = preset or f"the {baseline} baseline"
    document = BASELINES[baseline] if preset is None else read_preset(preset).document
    config = resolve_config(TrainConfig, document, overrides, title)
    place = torch.device(device)
    impls = (None,) if impl is None else (None, impl)
    cases = cases_of(config, frames, place, impls)
    result = measure(cases, rounds=rounds, warmup=1, threads=threads, device=place, progress=True)
    size = f"{config.data.height}x{config.data.width}"
    print_result(result, baseline="O0", title=f"one training step, {frames} frames at {size}, {title}")
    records = as_record(result, baseline="O0")
    if impl is not None:
        records["gains"] = gains = gains_of(result, impl)
        for level, gain in gains.items():
            interval = f"95 %: {gain['low']:.2f}-{gain['high']:.2f}"
            Console().print(f"{level}: {gain['value']:.2f} times as fast as with VS_OPS_IMPL={impl} ({interval})")
    if not overrides and frames == 4:
        name = result_name(baseline, preset, impl, place.type)
        Console().print(f"written to {save_records(records, name, command=command_of('bench:step'))}")


if __name__ == "__main__":
    sys.exit(run_command(app, VsTrainError, VsDataError, optim.VsOptimError))
