"""What is written in `model.json` of a model: the generator's shape, and how files become what it is shown."""

from collections.abc import Iterator
from typing import ClassVar, assert_never

import attrs
import vs_nets as nets
from vs_config import REQUIRED, Check, Problem, check_fields, choice, real, table, tables, truth, whole
from vs_data import (
    AugmentConfig,
    DancersConfig,
    FaceCropConfig,
    FacesConfig,
    FlowFilesConfig,
    LabelKind,
    SourceConfig,
    StoredConfig,
    StreetConfig,
    folder_kinds,
    label_infos,
)
from vs_data.names import ORDERS, Order
from vs_training.config import LabelConfig, TrainConfig, spec_of_kinds

MAX_KINDS = 64
"""Kinds of labels that a model may take."""


def _check_motion(config: "ModelConfig") -> Iterator[Problem]:
    given = config.generator.flow.kind == nets.GivenFlow.kind
    if given != (config.motion is not None):
        expected = "a table, which generator.flow.kind = 'given' needs" if given else "'none', since flow is estimated"
        yield Problem("motion", expected=expected, got=config.motion)


def _check_sides(config: "ModelConfig") -> Iterator[Problem]:
    for name, size in (("height", config.height), ("width", config.width)):
        if size % config.generator.stride:
            expected = f"a multiple of the generator's stride, {config.generator.stride}"
            yield Problem(name, expected=expected, got=size)


@attrs.frozen(kw_only=True)
class ModelConfig:
    """Shape of a model's generator, and how labels and pictures on disk become what it is shown."""

    generator: nets.GeneratorConfig | nets.FewShotGeneratorConfig = table(
        nets.GeneratorConfig, "kind and shape of the generator"
    )
    labels: tuple[LabelKind, ...] = tables(
        REQUIRED, "kinds of labels, in the order in which they are shown", low=1, high=MAX_KINDS
    )
    dont_care: bool = truth(False, "whether pixels without a class have a channel of their own")
    height: int = whole(128, "height of the frames that it was trained on", low=16, high=8192, unit="pixels")
    width: int = whole(256, "width of the frames that it was trained on", low=16, high=8192, unit="pixels")
    augment: AugmentConfig = table(AugmentConfig, "how pictures of another size become that size; nothing is random")
    face_crop: FaceCropConfig | None = table(None, "how the face is cut out of them; none: whole pictures are used")
    motion: FlowFilesConfig | None = table(
        None, "files of the motion that it is given beside labels; none: it estimates flow"
    )
    order: Order = choice("natural", "how label files sort: name (1, 10, 2) or natural (1, 2, 10)", ORDERS)
    fps: float = real(10.0, "rate of its videos", low=0.1, high=1000, unit="frames per second")

    CHECKS: ClassVar[tuple[Check, ...]] = (
        Check(("height", "width", "generator"), _check_sides),
        Check(("generator", "motion"), _check_motion),
    )

    def __attrs_post_init__(self) -> None:
        check_fields(self)

    @property
    def kind(self) -> str:
        """`vid2vid` or `few-shot`."""
        return self.generator.kind

    @property
    def past(self) -> int:
        """How many past frames the generator looks at."""
        return self.generator.frames - 1

    @property
    def takes_motion(self) -> bool:
        """Whether the flow of its frames is given beside their labels, and estimated by no network."""
        return self.motion is not None

    @property
    def label_spec(self) -> nets.LabelSpec:
        """How the labels enter the generator."""
        return spec_of_kinds(LabelConfig(dont_care=self.dont_care), label_infos(self.labels))


def model_config(config: TrainConfig) -> ModelConfig:
    """Return what a model says of itself that was trained by a configuration.

    Procedural worlds say of their labels what the folders do that `vs_data.write_folder` makes of them.
    """
    augment, face_crop, order = _files(config.data)
    return ModelConfig(
        generator=config.generator,
        labels=folder_kinds(config.data),
        dont_care=config.labels.dont_care,
        height=config.data.height,
        width=config.data.width,
        augment=augment,
        face_crop=face_crop,
        motion=_motion_files(config),
        order=order,
        fps=float(config.run.video_fps),
    )


def _motion_files(config: TrainConfig) -> FlowFilesConfig | None:
    """Return where motion is read from once the model is used: as in training, or as `vs_data.write_folder` writes it.

    A teacher that looked at the real frames is of no use then, since there are none.
    """
    match config.generator, config.data:
        case nets.GeneratorConfig(flow=nets.GivenFlow()), StoredConfig(flow=FlowFilesConfig() as files):
            return files
        case nets.GeneratorConfig(flow=nets.GivenFlow()), _:
            return FlowFilesConfig()
        case _:
            return None


def _files(data: SourceConfig) -> tuple[AugmentConfig, FaceCropConfig | None, Order]:
    """Return what is done with pictures, nothing of it random, and how files sort; worlds have none."""
    match data:
        case StoredConfig():
            return attrs.evolve(data.augment, scale=0.0, flip=0.0), data.face_crop, data.order
        case StreetConfig() | FacesConfig() | DancersConfig():
            return AugmentConfig(), None, "natural"
        case _:
            assert_never(data)
