"""O1 beside O0 for one resolution and several batches, data loading included: a column of the talk's table."""

import contextlib
from collections.abc import Mapping, Sequence
from typing import Any

import attrs
import torch
import vs_optim as optim

from vs_bench.harness import Case, Ratio, Result, Series, ratio_of
from vs_bench.step.subject import Level
from vs_bench.talk.setting import Budget, Candidate, Setting, measure_fitting
from vs_bench.talk.stage import Stage, config_of, loaded_clips, set_up, sized, step_of


@attrs.frozen(kw_only=True)
class Column:
    """A column: steps in O0, and in O1 if it was measured, for batches of clips of `frames` frames."""

    frames: int
    result: Result | None
    left_out: tuple[str, ...] = ()

    def has(self, level: str, *batches: int) -> bool:
        """Return whether a level was measured with these batches."""
        names = {name_of(level, batch) for batch in batches}
        return self.result is not None and names <= {series.name for series in self.result.cases}

    def series(self, level: str, batch: int) -> Series:
        """Return the seconds for an image; a `KeyError` if they were not measured."""
        name = name_of(level, batch)
        if self.result is None:
            raise KeyError(name)
        return per_item(self.result.case(name), batch * self.frames)

    def speedup(self, batch: int, fast_batch: int | None = None) -> Ratio:
        """Return how many times as many images O1 makes, with `fast_batch` if it is another, as O0 with `batch`."""
        return ratio_of(self.series("O0", batch), self.series("O1", fast_batch or batch))

    def rate(self, level: str, batch: int) -> tuple[float, float, float]:
        """Return images a second: the median, and the quartiles, the lower first."""
        series = self.series(level, batch)
        low, high = series.quartiles
        return 1 / series.median, 1 / high, 1 / low


def per_item(series: Series, count: int) -> Series:
    """Return the seconds of one of the `count` things that were made in each round."""
    return attrs.evolve(series, seconds=tuple(one / count for one in series.seconds))


def name_of(level: str, batch: int) -> str:
    """Return what the case of a level and a batch is called."""
    return f"{level}, batch {batch}"


def levels_of(device: torch.device, *, emulated: bool) -> tuple[tuple[Level, ...], str | None]:
    """Return the levels that are measured, and why O1 is not among them."""
    slow = optim.slowness(optim.resolve_precision(optim.PrecisionConfig(level="O1"), device), device)
    if slow is None or emulated:
        return ("O0", "O1"), None
    return ("O0",), "O1: not measured, since this processor has no instructions for bfloat16 and would emulate it"


def measure_column(
    setting: Setting,
    budget: Budget,
    document: Mapping[str, Any],
    size: tuple[int, int],
    batches: Sequence[int],
    levels: Sequence[Level],
) -> Column:
    """Measure a column; batches are handed over from small to large."""
    frames = setting.scale.frames
    with contextlib.ExitStack() as open_loaders:
        stages: list[Stage] = []

        def candidate(batch: int) -> Candidate:
            def cases() -> list[Case]:
                if not stages:
                    stages.append(set_up(config_of(document, *sized(*size)), setting.device))
                clips = loaded_clips(stages[0], batch=batch, frames=frames, workers=setting.scale.workers)
                open_loaders.enter_context(contextlib.closing(clips))
                return [
                    Case(name=name_of(level, batch), run=step_of(stages[0], clips.__next__, level=level))
                    for level in levels
                ]

            return Candidate(what=f"batch {batch} at {size[0]}x{size[1]}", make=cases, cost=batch)

        found = measure_fitting(setting, budget, [candidate(batch) for batch in batches])
    return Column(frames=frames, result=found.result, left_out=found.left_out)
