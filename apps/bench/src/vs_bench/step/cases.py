"""The cases of a step: levels of precision, other implementations, other settings; the peak to hold them against."""

import contextlib
import functools
import os
from collections.abc import Callable, Iterator, Mapping, Sequence

import attrs
import torch
import vs_optim as optim
from vs_config.errors import refuse_choice
from vs_ops.dispatch import ENVIRONMENT_VARIABLE, IMPLEMENTATION_NAMES
from vs_training.config import TrainConfig

from vs_bench.errors import VsBenchError
from vs_bench.harness import Case
from vs_bench.peak import peak_case
from vs_bench.step.stepper import stepper
from vs_bench.step.subject import PRECISIONS, Level


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

    @property
    def file_part(self) -> str:
        """Its part of the name of a result file."""
        paths = "-".join(one.partition("=")[0] for one in self.overrides)
        return f"impl-{self.impl}" if self.impl is not None else f"compare-{paths}"


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


def case_name(level: Level, variant: Variant) -> str:
    """Return what the case of a level and a variant is called."""
    return f"{level} {variant.label}" if variant.label else level


def peak_name(level: Level) -> str:
    """Return what the case of a level's convolution peak is called."""
    return f"peak of {level}"


def cases_of(
    configs: Mapping[Variant, TrainConfig], levels: Sequence[Level], frames: int, device: torch.device
) -> list[Case]:
    """Return a case for each level and each variant, whose configurations are given."""
    cases = []
    for level in levels:
        precision = PRECISIONS[level]
        note = optim.describe(optim.resolve_precision(precision, device))
        for variant, config in configs.items():
            step = stepper(attrs.evolve(config, precision=precision), frames, device)
            cases.append(Case(name=case_name(level, variant), run=using(variant.impl, step), note=note))
    return cases


def peak_of_level(level: Level, device: torch.device) -> Case:
    """Return the case of the convolution peak of a level."""
    precision = optim.resolve_precision(PRECISIONS[level], device)
    prepare = functools.partial(optim.apply_math_mode, precision)
    return peak_case(peak_name(level), precision.dtype or torch.float32, device, prepare)
