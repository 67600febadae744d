"""How a model is fitted to a subject: its own training, shorter, gentler, and on the subject's frames alone."""

from pathlib import Path
from typing import Literal

import attrs
import vs_nets as nets
from vs_data import FolderConfig, LoaderConfig, NoFlowConfig, SourceConfig
from vs_optim import ConstantSchedule, EmaConfig, PrecisionConfig
from vs_synthesis import ModelContents, training_config
from vs_training.config import InitConfig, LabelConfig, ReferencesConfig, RunConfig, TrainConfig
from vs_training.curriculum import CurriculumConfig

from vs_train.adapting.subject import MIN_FRAMES

MAX_CLIP = 2
"""Frames of the clips that are learned from: one made from references alone, and one that goes on from it."""

REFERENCES = 2
"""References, unless the model was trained with more."""

_BLIND = nets.DiscriminatorConfig(image=nets.PatchConfig(filters=1, layers=1, scales=1))
"""Discriminators to whose losses nobody listens."""

_BATCH = 2

_PIXEL = 1000.0
"""Weight of the difference of pixels, which leads: losses of features learn a few frames by heart, and where a head is
warped a little wrongly, what becomes sharper becomes less alike."""

_EMA = 0.98


@attrs.frozen(kw_only=True)
class Options:
    """The choices that somebody makes of how a model is fitted.

    Attributes:
        steps: training steps at most.
        lr: learning rate of both networks.
        seed: of the order of clips.
        photos: the frames do not follow one another.
    """

    steps: int = 300
    lr: float = 2e-4
    seed: int = 0
    photos: bool = False
    device: Literal["auto", "cpu", "cuda"] = "auto"


def folder_of(contents: ModelContents, root: Path) -> FolderConfig:
    """Return a folder as the model sees one; nobody teaches flow, which is not trained."""
    config = contents.config
    return FolderConfig(
        root=str(root),
        height=config.height,
        width=config.width,
        labels=config.labels,
        min_frames=MIN_FRAMES,
        flow=NoFlowConfig(),
        augment=config.augment,
        face_crop=config.face_crop,
    )


def adaptation_config(contents: ModelContents, data: SourceConfig, options: Options) -> TrainConfig:
    """Return the configuration that fits a model to a subject.

    The losses are those that it was trained with, and the difference of pixels. A model without discriminators is
    fitted by the perceptual loss and pixels alone; one whose perceptual network was a file, of which a model says
    nothing, by one of random features. Nothing is compiled or recorded, which so few steps would not pay for and the
    machine need not be able to do; freed memory is kept as it was in the training.

    Raises:
        ConfigError: the model says of its training what no configuration can be.
    """
    known, adversarial = _known(contents, data), has_discriminator(contents)
    longest = 1 if options.photos else MAX_CLIP
    adam = {name: attrs.evolve(getattr(known.optim, name), lr=options.lr) for name in ("generator", "discriminator")}
    return attrs.evolve(
        known,
        seed=options.seed,
        device=options.device,
        data=data,
        loader=LoaderConfig(batch_size=_BATCH, workers=0),
        labels=LabelConfig(dont_care=contents.config.dont_care),
        init=InitConfig(),
        generator=attrs.evolve(contents.config.generator, spectral_norm=False),
        discriminator=known.discriminator if adversarial else _BLIND,
        objective=_objective(known.objective, adversarial=adversarial),
        optim=attrs.evolve(known.optim, **adam, schedule=ConstantSchedule(), ema=EmaConfig(beta=_EMA, start_step=0)),
        precision=PrecisionConfig(level="O0"),
        memory=attrs.evolve(known.memory, micro_batches=1),
        performance=attrs.evolve(known.performance, graphs="off", compile=False),
        curriculum=CurriculumConfig(initial_length=longest, max_length=longest),
        run=RunConfig(steps=options.steps),
    )


def _known(contents: ModelContents, data: SourceConfig) -> TrainConfig:
    """Return the configuration that the model was trained with, or one that fits it if nobody knows."""
    match contents.settings, data:
        case {"data": {"kind": "folder" | "video" | "shards"}}, FolderConfig(root=root):
            return training_config(contents, data=Path(root))
        case None, _:
            return TrainConfig(
                data=data,
                generator=contents.config.generator,
                discriminator=_BLIND,
                references=ReferencesConfig(min=1, max=REFERENCES),
                curriculum=CurriculumConfig(initial_length=1, max_length=1),
            )
        case _:
            return training_config(contents)


def has_discriminator(contents: ModelContents) -> bool:
    """Say whether a model has discriminators of a shape that it tells."""
    return contents.training is not None and contents.settings is not None


def _objective(known: nets.ObjectiveConfig, *, adversarial: bool) -> nets.ObjectiveConfig:
    perceptual = known.perceptual
    match perceptual:
        case nets.NoPerceptual():
            perceptual = nets.RandomPerceptual(width_divisor=8)
    changed = attrs.evolve(known, perceptual=perceptual, pixel=_PIXEL)
    return changed if adversarial else attrs.evolve(changed, gan=0.0, feature_matching=0.0, temporal_gan=0.0)
