"""Measure one training step (a 4-frame clip, updates of D and G for every frame, EMA) in O0 and O1.

Usage: hatch run bench:step [--baseline face] [--preset NAME] [--rounds N] [--frames N] [--device cuda] [--threads N]
                            [--levels O0] [--impl reference | --compare memory.channels_last=false | --against main |
                            --profile] [--store] [PATH=VALUE ...]

Without a preset it is the step of one of the published code's baselines:

- `street`: 128x256, generator filters 8 (at most 128), levels 7, image down-samplings 4, embedder of 5 levels, flow of
  5 levels and 6 blocks, D filters 8 (at most 128), full-width VGG-19 with random weights;
- `face`: few-shot, 128x128, one reference, the generator's published shape, D filters 64 (at most 512) with spectral
  norm, full-width VGG-19 with random weights at 3 scales.

`--impl NAME` measures each level a second time with VS_OPS_IMPL=NAME, and `--compare PATH=VALUE` with that in the
configuration, so that what the choice between the operators' implementations, or a setting, is worth in a whole step
comes from one interleaved run. `--against REV` measures this tree's step beside another revision's, each in a process
of its own, in turns: seconds, peak memory, page faults. With a preset, and without `--frames`, it measures a step of
each stage of the curriculum, and the average step of the whole run, to which each stage counts by its number of steps
(with `references.max` references, where a run draws their number). Beside seconds it says how much of the convolution
peak the step gets (see peak.py), and which part of it each phase takes (see phases.py).

`--profile` prints, instead, what a step is made of: operators with calls, self times and FLOPs, convolutions and matrix
products by their shapes, copies, allocations and page faults (see profile.py).

Writes runs/bench/step-DEVICE.json (the face baseline's is step-face-DEVICE.json, a preset's step-PRESET-DEVICE.json,
with -impl-NAME, -compare-PATH, -against or -profile before the device); with `--store` docs/benchmarks/ instead, where
documents cite it.
"""

from collections.abc import Sequence
from typing import Any, Literal, get_args

import attrs
import cyclopts
from vs_config.progress import show_progress
from vs_runtime import choose_device
from vs_training.config import TrainConfig

from vs_bench.errors import VsBenchError
from vs_bench.harness import measure, using_threads
from vs_bench.options import Count, Threads
from vs_bench.peak import flop_of, peak_of
from vs_bench.results import begin, command_of, folder_of, save_records
from vs_bench.step.against import Comparison, compare_revisions
from vs_bench.step.cases import AS_IT_IS, Variant, case_name, cases_of, peak_of_level, variant_of
from vs_bench.step.phases import phases_of
from vs_bench.step.profile import as_record as profile_record
from vs_bench.step.profile import print_profile, profile_of
from vs_bench.step.report import (
    fractions_of_peak,
    gains_of,
    print_gain,
    print_line,
    print_peaks,
    print_phases,
    result_name,
)
from vs_bench.step.stepper import stepper
from vs_bench.step.subject import (
    FRAMES,
    PRECISIONS,
    Baseline,
    How,
    Level,
    Subject,
    config_of,
    one_stage,
    stages_of,
    subject_of,
)
from vs_bench.tables import as_record, print_result

app = cyclopts.App(name="bench:step", help=__doc__, suppress_keyboard_interrupt=False)


@app.default
def main(
    *overrides: str,
    rounds: Count = 9,
    frames: Count | None = None,
    device: Literal["cpu", "cuda"] = "cpu",
    threads: Threads = 2,
    levels: tuple[Level, ...] = get_args(Level),
    baseline: Baseline = "street",
    preset: str | None = None,
    impl: str | None = None,
    compare: tuple[str, ...] = (),
    against: str | None = None,
    profile: bool = False,
    store: bool = False,
) -> None:
    """Compare O0 and O1, and if asked the step as it is with one variant of it, interleaved in one process."""
    if store and (overrides or frames not in (None, FRAMES)):
        raise VsBenchError(f"--store is for the step that documents speak of: no overrides, and {FRAMES} frames")
    other = variant_of(impl, compare)
    if sum((other is not None, against is not None, profile)) > 1:
        raise VsBenchError("--impl or --compare, --against and --profile: measure one after the other")
    subject = subject_of(baseline, preset)
    how = How(levels=tuple(dict.fromkeys(levels)), rounds=rounds, threads=threads, device=choose_device(device))
    begun = begin()
    config = config_of(subject, overrides)
    if against is not None:
        stages = (one_stage(config, frames or FRAMES),) if frames or preset is None else stages_of(config)
        comparison = Comparison(subject=subject, overrides=overrides, stages=stages, how=how)
        record, compared = compare_revisions(against, comparison, begun), "against"
    elif profile:
        record, compared = profile_levels(config, subject.title, frames or FRAMES, how), "profile"
    else:
        record = compare_variants(subject, overrides, other, frames or FRAMES, how)
        compared = "" if other is None else other.file_part
    name = result_name(subject, compared, how.device.type)
    path = save_records(record, name, command=command_of("bench:step"), folder=folder_of(store=store), begun=begun)
    print_line(f"written to {path}")


def profile_levels(config: TrainConfig, title: str, frames: int, how: How) -> dict[str, Any]:
    """Profile, print, and return the record of the step at each level."""
    records = {}
    for level in how.levels:
        step = stepper(attrs.evolve(config, precision=PRECISIONS[level]), frames, how.device)
        peak = peak_of_level(level, how.device)
        measured = measure([peak], rounds=how.rounds, warmup=1, threads=how.threads, device=how.device)
        with using_threads(how.threads):
            found = profile_of(step, how.device)
        reached = peak_of(measured.case(peak.name), how.device)
        print_profile(found, reached, f"{level} of {title}")
        records[level] = profile_record(found, reached)
    return {"frames": frames, "levels": records}


def compare_variants(
    subject: Subject, overrides: Sequence[str], other: Variant | None, frames: int, how: How
) -> dict[str, Any]:
    """Measure, print, and return the record of the step at each level, and of a variant of it if there is one."""
    configs = {
        variant: config_of(subject, (*overrides, *variant.overrides))
        for variant in (AS_IT_IS, other)
        if variant is not None
    }
    cases = cases_of(configs, how.levels, frames, how.device)
    peaks = [peak_of_level(level, how.device) for level in how.levels]
    flop = {case.name: flop_of(case.run) for case in cases}
    with show_progress("measuring", unit="rounds") as progress:
        measured = measure(
            [*cases, *peaks], rounds=how.rounds, warmup=1, threads=how.threads, device=how.device, progress=progress
        )
    result = attrs.evolve(measured, cases=measured.cases[: len(cases)])
    first, size = how.levels[0], f"{configs[AS_IT_IS].data.height}x{configs[AS_IT_IS].data.width}"
    print_result(result, baseline=first, title=f"one training step, {frames} frames at {size}, {subject.title}")
    named = {case_name(level, variant): level for level in how.levels for variant in configs}
    peak_shares = fractions_of_peak(measured, flop, named, how.device)
    print_peaks(peak_shares)
    with using_threads(how.threads):
        runs = {case.name: case.run for case in cases}
        phases = {level: phases_of(runs[level], how.device) for level in how.levels}
    print_phases(phases)
    record = {**as_record(result, baseline=first), "peaks": peak_shares, "phases": phases}
    if other is None:
        return record
    gains = gains_of(result, how.levels, other)
    for level, gain in gains.items():
        print_gain(level, gain, f"with {other.label}")
    return {**record, "gains": gains}
