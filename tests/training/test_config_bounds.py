"""No number of a configuration is without bounds, and what can be known of a whole run costs no time."""

import math
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import attrs
import pytest
import torch
from config_classes import classes_below
from hypothesis import given
from hypothesis import strategies as st
from vs_config import ConfigError, resolve_config
from vs_config.schema import Field, fields_of, members
from vs_nets import ClassMap, LabelSpec
from vs_runtime.ranks import Ranks
from vs_training import memory
from vs_training.config import TrainConfig
from vs_training.counts import count_networks
from vs_training.curriculum import CurriculumConfig, clip_length, images_between
from vs_training.memory import check_memory
from vs_training.presets import read_preset

TOO_MUCH = [10**31, -(10**31), 10**400, math.inf, -math.inf, math.nan, True]
NUMBERS = [
    (cls, field)
    for cls in sorted(set(classes_below(TrainConfig)), key=lambda cls: cls.__name__)
    for field in fields_of(cls).values()
    if {int, float} & set(members(field.type))
]


@pytest.mark.parametrize(("cls", "field"), NUMBERS, ids=[f"{cls.__name__}.{field.name}" for cls, field in NUMBERS])
def test_every_number_has_finite_bounds(cls: Any, field: Field) -> None:
    assert field.attribute.validator is not None
    for value in TOO_MUCH:
        with pytest.raises(ConfigError, match=rf"^{field.name}(\[0\])?: expected .*, got ") as caught:
            field.attribute.validator(None, field.attribute, value)  # type: ignore[arg-type]
        assert "\n" not in str(caught.value)


def test_all_numbers_are_looked_at() -> None:
    assert len(NUMBERS) > 80
    names = {field.name for _, field in NUMBERS}
    assert {"threads", "steps", "video_fps", "filters", "batch_size", "lr", "init_scale"} <= names


@given(
    single=st.integers(0, 30),
    initial=st.integers(1, 9),
    every=st.integers(1, 12),
    longest=st.integers(9, 70),
    start=st.integers(0, 90),
    steps=st.integers(0, 150),
)
def test_images_are_counted_without_a_loop(
    single: int, initial: int, every: int, longest: int, start: int, steps: int
) -> None:
    config = CurriculumConfig(single_frame_steps=single, initial_length=initial, double_every=every, max_length=longest)
    expected = sum(clip_length(config, step) for step in range(start, start + steps))
    assert images_between(config, start, start + steps) == expected


def test_the_longest_run_is_counted_at_once() -> None:
    assert images_between(CurriculumConfig(), 0, 10**18) > 10**18


LABELS = LabelSpec((ClassMap(name="seg_maps", classes=35),))


def test_networks_larger_than_the_memory_are_refused_before_they_are_built() -> None:
    config = resolve_config(TrainConfig, read_preset("street-tiny").document, [], "")
    check_memory(config, LABELS, torch.device("cpu"))
    wide = attrs.evolve(config, generator=attrs.evolve(config.generator, filters=16_384, max_filters=16_384))
    with pytest.raises(ConfigError, match=r"^the networks .* need at least .* GiB of memory, .*: lower filters"):
        check_memory(wide, LABELS, torch.device("cpu"))


@pytest.mark.parametrize("kind", ["cuda", "cpu"])
def test_several_processes_have_room_for_what_they_share(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    """By counting: gradients travel in a second copy, of Adam's averages and the EMA each has its half."""
    config = resolve_config(TrainConfig, read_preset("street-tiny").document, ["loader.batch_size=2"], "")
    shared = attrs.evolve(config, distributed=attrs.evolve(config.distributed, shard_optimizer=True))
    counts = count_networks(config, LABELS)
    trained = counts.generator + counts.discriminator
    weights = trained + counts.perceptual
    travelling = max(counts.generator, counts.discriminator)
    bytes_of = {
        config: 4 * (weights + 3 * trained + counts.ema + travelling),
        shared: 4 * (weights + trained + travelling + (2 * trained + counts.ema) / 2),
    }
    pair = Ranks(count=2, local_count=2)
    for each, needed in bytes_of.items():
        for total in (needed - 1, needed):
            room = total if kind == "cuda" else 2 * total  # processes of one machine share that of the CPU
            monkeypatch.setattr(memory, "memory_of", lambda _, room=room: SimpleNamespace(total=room))
            refusing = pytest.raises(ConfigError, match="need at least") if total < needed else nullcontext()
            with refusing:
                check_memory(each, LABELS, torch.device(kind), pair)


def test_a_batch_larger_than_the_memory_is_refused() -> None:
    config = resolve_config(TrainConfig, read_preset("street-tiny").document, [], "")
    large = attrs.evolve(
        config,
        data=attrs.evolve(config.data, height=4096, width=8192, sequence_length=3000),
        loader=attrs.evolve(config.loader, batch_size=4096),
        curriculum=attrs.evolve(config.curriculum, max_length=3000),
    )
    with pytest.raises(ConfigError, match=r"^a batch of frames alone needs .* GiB of memory.*: lower loader"):
        check_memory(large, LABELS, torch.device("cpu"))
    short = attrs.evolve(large, curriculum=config.curriculum)
    with pytest.raises(ConfigError, match=r"^a batch of frames alone"):
        check_memory(short, LABELS, torch.device("cpu"))
    check_memory(short, LABELS, torch.device("cpu"), Ranks(count=4096))  # each machine has a clip of it
