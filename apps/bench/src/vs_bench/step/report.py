"""What is said of measured steps: shares of the peak, gains, the name of the file."""

from collections.abc import Mapping, Sequence

import torch

from vs_bench.harness import Result, ratio_of
from vs_bench.peak import peak_of
from vs_bench.step.cases import Variant, case_name, peak_name
from vs_bench.step.subject import Level, Subject
from vs_bench.tables import wide_console


def fractions_of_peak(
    result: Result, flop: Mapping[str, int], levels: Mapping[str, Level], device: torch.device
) -> dict[str, dict[str, float]]:
    """Return each case's FLOPs, its level's peak, and the fraction of it that its median step reaches. Pure."""
    fractions = {}
    for name, count in flop.items():
        peak = peak_of(result.case(peak_name(levels[name])), device)
        fraction = count / result.case(name).median / peak
        fractions[name] = {"flop": count, "peak_flop_per_second": peak, "share_of_peak": fraction}
    return fractions


def gain_of(result: Result, *, slow: str, fast: str) -> dict[str, float]:
    """Return how many times as fast one case is as another, with the interval. Pure."""
    ratio = ratio_of(result.case(slow), result.case(fast))
    return {"value": ratio.value, "low": ratio.low, "high": ratio.high}


def gains_of(result: Result, levels: Sequence[Level], variant: Variant) -> dict[str, dict[str, float]]:
    """Return how many times as fast a step is as it is than as `variant`, by level. Pure."""
    return {level: gain_of(result, slow=case_name(level, variant), fast=level) for level in levels}


def result_name(subject: Subject, compared: str, device: str) -> str:
    """Return the name of the result file without its ending; `compared`: what the step is compared with. Pure."""
    return "-".join(part for part in ("step", subject.name, compared, device) if part)


def print_line(text: str) -> None:
    """Print a line as it is, brackets and numbers included."""
    wide_console().print(text, highlight=False, markup=False)


def print_peaks(peaks: Mapping[str, Mapping[str, float]]) -> None:
    """Print the work of each case, and its share of the peak."""
    for name, one in peaks.items():
        work, peak = one["flop"] / 1e9, one["peak_flop_per_second"] / 1e9
        reached = f"{one['share_of_peak']:.0%} of the convolution peak"
        print_line(f"{name}: {work:.1f} GFLOP, {reached} ({peak:.0f} GFLOP/s in its dtype)")


def print_gain(name: str, gain: Mapping[str, float], other: str) -> None:
    """Print how many times as fast something is as something else."""
    print_line(f"{name}: {gain['value']:.2f} times as fast as {other} (95 %: {gain['low']:.2f}-{gain['high']:.2f})")
