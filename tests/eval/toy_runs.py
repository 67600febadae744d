"""Tiny configurations of both kinds, and runs of them that were never trained."""

from pathlib import Path

import attrs
import torch
from vs_config import render_config
from vs_data import FacesConfig, StreetConfig, open_source
from vs_nets import (
    DiscriminatorConfig,
    EmbedderConfig,
    FewShotGeneratorConfig,
    FlowConfig,
    GeneratorConfig,
    GivenFlow,
    LinearCombination,
    NoPerceptual,
    ObjectiveConfig,
    PatchConfig,
    RandomPerceptual,
    SpadeCombination,
    TemporalConfig,
    WeightGeneratorConfig,
    build_discriminator,
    build_ema,
    build_generator,
    condition_channels,
    effective_weights,
)
from vs_runtime import save_checkpoint
from vs_runtime.run_directory import RunDirectory, create_run
from vs_training.config import ReferencesConfig, TrainConfig, label_spec
from vs_training.curriculum import CurriculumConfig
from vs_training.saved import EMA

FEW_SHOT = TrainConfig(
    data=FacesConfig(height=32, width=32, sequence_length=5, train_identities=2, val_identities=2, motions=1),
    references=ReferencesConfig(),
    generator=FewShotGeneratorConfig(
        downsamples=4,
        filters=4,
        max_filters=32,
        embedder=EmbedderConfig(arch="encoderdecoder", filters=4, max_filters=32, downsamples=4),
        weights=WeightGeneratorConfig(levels=3),
        flow=FlowConfig(filters=4, max_filters=8, downsamples=2, residual_blocks=1),
        combination=SpadeCombination(levels=2, embedder=EmbedderConfig(filters=4, max_filters=8, downsamples=2)),
    ),
    discriminator=DiscriminatorConfig(image=PatchConfig(filters=4, layers=2, scales=1)),
    objective=ObjectiveConfig(perceptual=NoPerceptual()),
    curriculum=CurriculumConfig(initial_length=2, max_length=4),
)
STREET = TrainConfig(
    data=StreetConfig(height=32, width=64, sequence_length=4, train_sequences=2, val_sequences=2),
    generator=GeneratorConfig(
        levels=3,
        image_downsamples=2,
        filters=4,
        max_filters=8,
        embedder=EmbedderConfig(filters=4, max_filters=8, downsamples=3),
        flow=FlowConfig(filters=4, max_filters=8, downsamples=3, residual_blocks=1),
        combination=LinearCombination(),
    ),
    discriminator=DiscriminatorConfig(
        image=PatchConfig(filters=4, layers=2, scales=1),
        temporal=TemporalConfig(patch=PatchConfig(filters=4, layers=2, scales=1)),
    ),
    objective=ObjectiveConfig(perceptual=RandomPerceptual(width_divisor=16, scales=1)),
    curriculum=CurriculumConfig(initial_length=2, max_length=4),
)
GIVEN = attrs.evolve(
    STREET,
    generator=attrs.evolve(
        STREET.generator,
        flow=GivenFlow(),
        combination=SpadeCombination(levels=2, embedder=EmbedderConfig(filters=4, max_filters=8, downsamples=3)),
    ),
)
"""STREET with the world's own motion in place of a flow network."""


def make_run(path: Path, config: TrainConfig, seed: int = 0, **more: object) -> RunDirectory:
    """A run whose checkpoint of step 3 holds fresh networks."""
    run = RunDirectory(path)
    create_run(run, config=render_config(config), environment={})
    channels = label_spec(config.labels, open_source(config.data, "val")).channels
    torch.manual_seed(seed)
    shown = condition_channels(config.generator, channels)
    generator = build_generator(config.generator, label_channels=channels)
    discriminator = build_discriminator(config.discriminator, label_channels=shown)
    average = build_ema(config.generator, label_channels=channels)
    average.load_state_dict(effective_weights(generator))
    networks = {"generator": generator, "discriminator": discriminator, EMA: average}
    state = {**{name: network.state_dict() for name, network in networks.items()}, "step": 3}
    save_checkpoint(run.checkpoints, step=3, state={**state, **more}, keep=9)
    return run
