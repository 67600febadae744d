"""Measure one training step (a 4-frame clip, updates of D and G for every frame, EMA) in O0 and O1.

Usage: hatch run bench:step [--baseline face] [--preset NAME] [--rounds N] [--frames N] [--device cuda] [--threads N]
                            [--impl reference | --compare memory.channels_last=false] [--store] [PATH=VALUE ...]

Without a preset it is the step of one of the published code's baselines:

- `street`: 128x256, generator filters 8 (at most 128), levels 7, image down-samplings 4, embedder of 5 levels, flow of
  5 levels and 6 blocks, D filters 8 (at most 128), full-width VGG-19 with random weights;
- `face`: few-shot, 128x128, one reference, the generator's published shape, D filters 64 (at most 512) with spectral
  norm, full-width VGG-19 with random weights at 3 scales.

`--impl NAME` measures each level a second time with VS_OPS_IMPL=NAME, and `--compare PATH=VALUE` with that in the
configuration, so that what the choice between the operators' implementations, or a setting, is worth in a whole step
comes from one interleaved run. Beside seconds it says how much of the convolution peak the step gets (see peak.py).

Writes runs/bench/step-DEVICE.json (the face baseline's is step-face-DEVICE.json, a preset's step-PRESET-DEVICE.json,
with -impl-NAME or -compare-PATH before the device); with `--store` docs/benchmarks/ instead, where documents cite it.
"""

import contextlib
import functools
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal

import attrs
import cyclopts
import torch
import vs_optim as optim
from vs_config import resolve_config
from vs_config.errors import refuse_choice
from vs_config.progress import show_progress
from vs_data import ClipRequest, collate, move, open_source
from vs_ops.dispatch import ENVIRONMENT_VARIABLE, IMPLEMENTATION_NAMES
from vs_runtime import choose_device, search_convolutions
from vs_training.config import TrainConfig, label_spec
from vs_training.networks import build_recipe, build_state
from vs_training.presets import read_preset
from vs_training.step import train_clip

from vs_bench.errors import VsBenchError
from vs_bench.harness import Case, Result, measure, ratio_of
from vs_bench.options import Count, Threads
from vs_bench.peak import flop_of, peak_case, peak_of
from vs_bench.results import begin, command_of, folder_of, save_records
from vs_bench.tables import as_record, print_result, wide_console

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
    "references": {"min": 1, "max": 1},
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

FRAMES = 4
"""Of the clip of a step that documents speak of."""

app = cyclopts.App(name="bench:step", help=__doc__, suppress_keyboard_interrupt=False)


def stepper(config: TrainConfig, frames: int, device: torch.device) -> Callable[[], None]:
    """Return one training step on a clip of `frames` frames as a call without arguments, all as in training."""
    torch.manual_seed(config.seed)
    source = open_source(config.data, "train")
    spec = label_spec(config.labels, source)
    precision = optim.resolve_precision(config.precision, device)
    state, _ = build_state(config, spec, precision, device)
    recipe = build_recipe(config, spec, precision, device)
    count = 0 if config.references is None else config.references.max
    references = tuple(frames + k for k in range(count))  # frames behind the clip, so that none shows itself
    requests = [
        ClipRequest(sequence=i, start=0, length=frames, references=references) for i in range(config.loader.clips)
    ]
    clip = move(collate([source.read(request) for request in requests]), device)

    def run() -> None:
        nonlocal state
        # Both are of the process, in which the steps of other levels and other settings run in turn.
        optim.apply_math_mode(precision)
        search_convolutions(device, wanted=config.memory.search_convolutions)
        state, _ = train_clip(state, clip, recipe)

    return run


@contextlib.contextmanager
def implementation(name: str | None) -> Iterator[None]:
    """Let operators be computed by `name` within it; with None they choose, whatever the shell says.

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


@attrs.frozen(kw_only=True)
class Variant:
    """One way to make the step: by an implementation of the operators, or with something else in the configuration.

    `label` is what it is called beside the level, empty for the step as it is.
    """

    label: str = ""
    impl: str | None = None
    overrides: tuple[str, ...] = ()


AS_IT_IS = Variant()


def variant_of(impl: str | None, compare: Sequence[str]) -> Variant | None:
    """Return the variant that the step as it is is compared with, if any.

    Raises:
        VsBenchError: two were asked for, or an implementation that no operator has.
    """
    if impl is not None and compare:
        raise VsBenchError("--impl and --compare are two comparisons: measure one after the other")
    if impl is not None and impl not in IMPLEMENTATION_NAMES:
        raise VsBenchError(str(refuse_choice("--impl", IMPLEMENTATION_NAMES, impl)))
    if impl is not None:
        return Variant(label=impl, impl=impl)
    return Variant(label=" ".join(compare), overrides=tuple(compare)) if compare else None


def case_name(level: str, variant: Variant) -> str:
    """Return what the case of a level and a variant is called."""
    return f"{level} {variant.label}" if variant.label else level


def peak_name(level: str) -> str:
    """Return what the case of a level's convolution peak is called."""
    return f"peak of {level}"


def cases_of(configs: Mapping[Variant, TrainConfig], frames: int, device: torch.device) -> list[Case]:
    """Return a case for each level and each variant, whose configurations are given."""
    cases = []
    for level, precision in PRECISIONS.items():
        note = optim.describe(optim.resolve_precision(precision, device))
        for variant, config in configs.items():
            step = stepper(attrs.evolve(config, precision=precision), frames, device)
            cases.append(Case(name=case_name(level, variant), run=using(variant.impl, step), note=note))
    return cases


def peaks_of(device: torch.device) -> list[Case]:
    """Return the case of the convolution peak of each level."""
    cases = []
    for level, config in PRECISIONS.items():
        precision = optim.resolve_precision(config, device)
        prepare = functools.partial(optim.apply_math_mode, precision)
        cases.append(peak_case(peak_name(level), precision.dtype or torch.float32, device, prepare))
    return cases


def fractions_of_peak(
    result: Result, flop: Mapping[str, int], levels: Mapping[str, str], device: torch.device
) -> dict[str, dict[str, float]]:
    """Return each case's FLOPs, its level's peak, and the fraction of it that its median step reaches. Pure."""
    fractions = {}
    for name, count in flop.items():
        peak = peak_of(result.case(peak_name(levels[name])), device)
        fraction = count / result.case(name).median / peak
        fractions[name] = {"flop": count, "peak_flop_per_second": peak, "share_of_peak": fraction}
    return fractions


def gains_of(result: Result, variant: Variant) -> dict[str, dict[str, float]]:
    """Return how many times as fast a step is as it is than as `variant`, by level. Pure."""
    gains = {}
    for level in PRECISIONS:
        ratio = ratio_of(result.case(case_name(level, variant)), result.case(level))
        gains[level] = {"value": ratio.value, "low": ratio.low, "high": ratio.high}
    return gains


def result_name(baseline: Baseline, preset: str | None, variant: Variant | None, device: str) -> str:
    """Return the name of the result file without its ending. Pure."""
    subject = preset or ("" if baseline == "street" else baseline)
    compared = ""
    if variant is not None:
        paths = "-".join(one.partition("=")[0] for one in variant.overrides)
        compared = f"impl-{variant.impl}" if variant.impl is not None else f"compare-{paths}"
    return "-".join(part for part in ("step", subject, compared, device) if part)


def print_comparisons(record: Mapping[str, Any], other: Variant | None) -> None:
    """Print what is not in the table: the fractions of the peak, and how the step compares with the other variant."""
    console = wide_console()
    for name, one in record["peaks"].items():
        work, peak = one["flop"] / 1e9, one["peak_flop_per_second"] / 1e9
        reached = f"{one['share_of_peak']:.0%} of the convolution peak"
        console.print(
            f"{name}: {work:.1f} GFLOP, {reached} ({peak:.0f} GFLOP/s in its dtype)", highlight=False, markup=False
        )
    for level, gain in record.get("gains", {}).items():
        interval = f"95 %: {gain['low']:.2f}-{gain['high']:.2f}"
        compared = f"{level}: {gain['value']:.2f} times as fast as with {other.label if other else ''} ({interval})"
        console.print(compared, highlight=False, markup=False)


@app.default
def main(
    *overrides: str,
    rounds: Count = 9,
    frames: Count = FRAMES,
    device: Literal["cpu", "cuda"] = "cpu",
    threads: Threads = 2,
    baseline: Baseline = "street",
    preset: str | None = None,
    impl: str | None = None,
    compare: tuple[str, ...] = (),
    store: bool = False,
) -> None:
    """Compare O0 and O1, and if asked the step as it is with one variant of it, interleaved in one process."""
    if store and (overrides or frames != FRAMES):
        raise VsBenchError(f"--store is for the step that documents speak of: no overrides, and {FRAMES} frames")
    other = variant_of(impl, compare)
    title = preset or f"the {baseline} baseline"
    document = BASELINES[baseline] if preset is None else read_preset(preset).document
    configs = {
        variant: resolve_config(TrainConfig, document, (*overrides, *variant.overrides), title)
        for variant in (AS_IT_IS, other)
        if variant is not None
    }
    place = choose_device(device)
    begun = begin()
    cases, peaks = cases_of(configs, frames, place), peaks_of(place)
    flop = {case.name: flop_of(case.run) for case in cases}
    levels = {case_name(level, variant): level for level in PRECISIONS for variant in configs}
    with show_progress("measuring", unit="rounds") as progress:
        measured = measure([*cases, *peaks], rounds=rounds, warmup=1, threads=threads, device=place, progress=progress)
    result = attrs.evolve(measured, cases=measured.cases[: len(cases)])
    size = f"{configs[AS_IT_IS].data.height}x{configs[AS_IT_IS].data.width}"
    print_result(result, baseline="O0", title=f"one training step, {frames} frames at {size}, {title}")
    record = {**as_record(result, baseline="O0"), "peaks": fractions_of_peak(measured, flop, levels, place)}
    if other is not None:
        record["gains"] = gains_of(result, other)
    print_comparisons(record, other)
    name, command = result_name(baseline, preset, other, place.type), command_of("bench:step")
    path = save_records(record, name, command=command, folder=folder_of(store=store), begun=begun)
    wide_console().print(f"written to {path}", highlight=False, markup=False)
