"""What the accuracy experiment trains: networks, levels of precision, seeds, and the run of each combination."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Literal

import attrs
from vs_config import resolve_config
from vs_optim import PrecisionConfig, resolve_precision
from vs_runtime.run_directory import RunDirectory
from vs_training.config import TrainConfig
from vs_training.presets import read_preset

from vs_bench.errors import VsBenchError

BASELINE = "O0"
"""The level that all others are compared with."""

PLANTED = "planted"
"""What the names of levels with a planted fault begin with, such as `planted-1-bit`."""

LevelName = Literal["O1", "float16", "bfloat16"]
"""What can be asked for beside O0; O1 is the dtype of the device."""

DEFAULT_LEVELS: Mapping[str, tuple[LevelName, ...]] = {"cpu": ("O1",), "cuda": ("O1", "bfloat16")}

RUN = ("run.sample_every=1000", "run.sample_frames=8", "run.checkpoint_every=50", "run.threads=1")

# The published combination, which the presets of a few minutes leave for the simpler one.
WARPED_BY_SPADE = (
    "generator.combination.kind=spade",
    "generator.combination.embedder.arch=unet",
    "generator.combination.embedder.filters=8",
    "generator.combination.embedder.max_filters=64",
    "generator.combination.embedder.downsamples=2",
    "objective.consistency=0",
)

# Presets of a few minutes, cut to a minute or two on one core. Everything that precision acts on stays: all losses,
# spectral norm, SPADE, warping, attention, clips of several frames. One thread each, so that a result depends neither
# on the number of cores nor on how many arms are trained at a time.
SHORT: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "vid2vid": (
        "street-tiny",
        (
            "data.height=32",
            "data.width=64",
            "data.sequence_length=16",
            "loader.batch_size=4",
            "generator.levels=4",
            "generator.image_downsamples=2",
            "generator.max_filters=64",
            "generator.embedder.downsamples=3",
            "generator.flow.downsamples=2",
            *WARPED_BY_SPADE,
            "generator.combination.levels=3",
            "discriminator.image.layers=2",
            "optim.schedule.decay_start=150",
            "optim.schedule.decay_end=240",
            "optim.ema.beta=0.98",
            "optim.ema.start_step=100",
            "curriculum.single_frame_steps=200",
            "run.steps=240",
            *RUN,
        ),
    ),
    "few-shot": (
        "faces-tiny",
        (
            "data.height=32",
            "data.width=32",
            "data.sequence_length=16",
            "generator.downsamples=3",
            "generator.filters=8",
            "generator.max_filters=64",
            "generator.embedder.filters=8",
            "generator.embedder.max_filters=64",
            "generator.embedder.downsamples=3",
            "generator.weights.attention.downsamples=1",
            "generator.flow.filters=8",
            "generator.flow.downsamples=2",
            *WARPED_BY_SPADE,
            "generator.combination.levels=2",
            "discriminator.image.layers=2",
            "optim.schedule.decay_start=120",
            "optim.schedule.decay_end=200",
            "optim.ema.beta=0.98",
            "optim.ema.start_step=100",
            "curriculum.flow_steps=0",
            "curriculum.single_frame_steps=180",
            "run.steps=200",
            *RUN,
        ),
    ),
}
"""Name of a default experiment -> the preset that it is made from, and what is changed in it."""


class AccuracyError(VsBenchError):
    """An experiment that cannot be made as asked for, or an arm that failed; one line."""


@attrs.frozen(kw_only=True)
class Experiment:
    """A network and its schedule, to be trained at several levels: `config` but for seed and precision."""

    name: str
    config: TrainConfig


@attrs.frozen(kw_only=True)
class Level:
    """The precision that an arm computes in.

    Attributes:
        name: as it is called in folders, files and tables.
        precision: of its configuration.
        fault_bits: bits of mantissa that the generator's weights are rounded to (see `fault.py`), or None.
    """

    name: str
    precision: PrecisionConfig
    fault_bits: int | None = None


@attrs.frozen(kw_only=True)
class Arm:
    """One training run of the experiment."""

    experiment: str
    level: Level
    seed: int
    config: TrainConfig

    @property
    def name(self) -> str:
        """The name of its folder, such as `vid2vid-O0-seed1`."""
        return f"{self.experiment}-{self.level.name}-seed{self.seed}"

    def run(self, out: Path) -> RunDirectory:
        """Return where it is trained."""
        return RunDirectory(out / self.name)


def default_experiments(names: Iterable[str], overrides: Sequence[str]) -> tuple[Experiment, ...]:
    """Return the short experiments called `names`, with the command line's overrides.

    Raises:
        ConfigError: an override is wrong, or not for this network.
    """
    found = []
    for name in dict.fromkeys(names):
        preset, changes = SHORT[name]
        config = resolve_config(TrainConfig, read_preset(preset).document, (*changes, *overrides), f"preset {preset}")
        found.append(Experiment(name=name, config=config))
    return tuple(found)


def preset_experiments(names: Iterable[str], overrides: Sequence[str]) -> tuple[Experiment, ...]:
    """Return presets at their own size and with their own schedule, with the command line's overrides.

    Raises:
        PresetError: there is no preset of that name.
        ConfigError: an override is wrong, or not for this network.
    """
    return tuple(
        Experiment(
            name=name, config=resolve_config(TrainConfig, read_preset(name).document, overrides, f"preset {name}")
        )
        for name in dict.fromkeys(names)
    )


def is_planted(level: str) -> bool:
    """Return whether a level of this name has a planted fault."""
    return level.startswith(PLANTED)


def plan_levels(wanted: Sequence[LevelName], device_type: str, fault_bits: Sequence[int]) -> tuple[Level, ...]:
    """Return O0, the levels that are wanted on this kind of device, and O0 with each planted fault, most bits first.

    None of them twice.

    Raises:
        PrecisionError: the device does not know a level.
    """
    baseline = Level(name=BASELINE, precision=PrecisionConfig(level="O0"))
    levels = {BASELINE: baseline}
    for name in wanted or DEFAULT_LEVELS[device_type]:
        precision = PrecisionConfig(level="O1", dtype="auto" if name == "O1" else name)
        dtype = str(resolve_precision(precision, device_type).dtype).removeprefix("torch.")
        levels.setdefault(f"O1-{dtype}", Level(name=f"O1-{dtype}", precision=precision))
    planted = [
        Level(name=f"{PLANTED}-{bits}-bit{'' if bits == 1 else 's'}", precision=baseline.precision, fault_bits=bits)
        for bits in sorted(set(fault_bits), reverse=True)
    ]
    return (*levels.values(), *planted)


def plan_arms(
    experiments: Sequence[Experiment],
    levels: Sequence[Level],
    seeds: Sequence[int],
    device_type: Literal["cpu", "cuda"],
    fault_seeds: int | None = None,
) -> tuple[Arm, ...]:
    """Return every experiment at every level with every seed; all of one seed before the next.

    Levels with a planted fault have only the first `fault_seeds` seeds, where that is given.

    Arms that share experiment and seed differ in nothing but precision and fault: they begin with the same weights and
    see the same clips in the same order.
    """
    return tuple(
        Arm(
            experiment=experiment.name,
            level=level,
            seed=seed,
            config=attrs.evolve(experiment.config, seed=seed, precision=level.precision, device=device_type),
        )
        for index, seed in enumerate(seeds)
        for experiment in experiments
        for level in levels
        if not is_planted(level.name) or fault_seeds is None or index < fault_seeds
    )
