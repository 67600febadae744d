"""Configurations of imaginaire, and ours for them."""

import contextlib
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import vs_nets as nets
from convert_vgg19 import ConversionError
from vs_config import ConfigError, read_json, read_text, show, shown
from vs_data import AugmentConfig, FaceCropConfig, FolderConfig, LabelKind, LandmarksConfig, LoaderConfig, SegMapsConfig
from vs_optim import AdamConfig, EmaConfig
from vs_synthesis import model_config
from vs_training.config import LabelConfig, OptimConfig, ReferencesConfig, RunConfig, TrainConfig
from vs_training.curriculum import CurriculumConfig

_VGG19 = "weights/vgg19.safetensors"
"""Where presets look for the perceptual network; a model says nothing of files."""

_ROOT = "data"
"""Stands for the folder of sequences; a model says nothing of that either."""

_PROBLEM = "the configuration cannot be converted"
_IGNORED = 255
_STRETCHED = "resize_h_w"
_SIZES = (
    ("val", "center_crop_h_w"),
    ("val", _STRETCHED),
    ("train", "random_crop_h_w"),
    ("train", _STRETCHED),
)
_LOSSES = {
    "gan": "gan",
    "feature_matching": "feature_matching",
    "perceptual": "perceptual_weight",
    "flow": "flow",
    "temporal_gan": "temporal_gan",
}


def read_config(path: Path) -> Mapping[str, Any]:
    """Return a published configuration, YAML or JSON.

    Raises:
        DocumentError, ConversionError: the file is none.
    """
    config = _read_yaml(path) if path.suffix in (".yaml", ".yml") else read_json(path)
    if not isinstance(config, dict):
        raise ConversionError(f"{path}: holds {show(config)}, expected a table with gen, dis and data")
    for section in ("gen", "dis", "data"):
        if not isinstance(config.get(section), dict):
            raise ConversionError(f"{path}: no table {section!r} in it; expected imaginaire's configuration")
    return config


def _read_yaml(path: Path) -> Any:
    try:
        import yaml
    except ModuleNotFoundError:
        raise ConversionError(f"{path}: is YAML, which PyYAML reads: pip install PyYAML, or write it as JSON") from None
    text = read_text(path)
    try:
        return yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = "" if mark is None else f" at line {mark.line + 1}, column {mark.column + 1}"
        raise ConversionError(f"{path}: cannot be read as YAML: {shown(error.problem, 200)}{where}") from None
    except RecursionError:
        raise ConversionError(f"{path}: cannot be read as YAML: it nests too deep") from None
    except (yaml.YAMLError, ValueError) as error:  # ValueError: dates and numbers that there are not
        reason = str(error).partition("\n")[0]
        raise ConversionError(f"{path}: cannot be read as YAML: {shown(reason, 200)}") from None


def train_config(config: Mapping[str, Any], *, fps: int = 10) -> TrainConfig:
    """Return the training that a published configuration describes, as far as it says how.

    It counts in epochs, ours in steps: how long is trained and when the learning rate falls stay open.

    Args:
        config: all its sections.
        fps: frames per second of the videos, of which it says nothing.

    Raises:
        ConversionError: something is missing, of another type, or not to be had in this project; labels of a kind that
            this project does not have are what is refused last.
    """
    with _one_line():
        return _train_config(config, fps)


def _train_config(config: Mapping[str, Any], fps: int) -> TrainConfig:
    data, trainer = config["data"], config.get("trainer", {})
    channels, generator, discriminator = _networks(config)
    height, width = output_size(data)
    augment, face_crop = _augment(data), _face_crop(data)
    parts: dict[str, Any] = {
        "references": _references(generator, data),
        "loader": LoaderConfig(batch_size=data.get("train", {}).get("batch_size", 1)),
        "objective": _objective(trainer),
        "optim": OptimConfig(
            generator=_adam(config.get("gen_opt", {})),
            discriminator=_adam(config.get("dis_opt", {})),
            ema=_ema(trainer.get("model_average_config", {})),
        ),
        "curriculum": _curriculum(data.get("train", {})),
        "run": RunConfig(video_fps=fps),
    }
    kinds = label_kinds(data)
    found = TrainConfig(
        data=FolderConfig(root=_ROOT, height=height, width=width, labels=kinds, augment=augment, face_crop=face_crop),
        labels=LabelConfig(dont_care=bool(data.get("use_dont_care", False))),
        generator=generator,
        discriminator=discriminator,
        **parts,
    )
    ours = model_config(found).label_spec.channels
    _refuse(ours != channels, f"labels of {channels} channels, which are {ours} here")
    return found


def network_configs(
    config: Mapping[str, Any],
) -> tuple[int, nets.AnyGeneratorConfig, nets.DiscriminatorConfig]:
    """Return the channels of the labels, and our configurations of generator and discriminator.

    Raises:
        ConversionError: something is missing, of another type, or not to be had in this project.
    """
    with _one_line():
        return _networks(config)


def _networks(config: Mapping[str, Any]) -> tuple[int, nets.AnyGeneratorConfig, nets.DiscriminatorConfig]:
    gen, dis, data = config["gen"], config["dis"], config["data"]
    generator = few_shot_config(gen, data) if is_few_shot(gen) else generator_config(gen, data)
    return label_spec(data).channels, generator, discriminator_config(dis, data)


@contextlib.contextmanager
def _one_line() -> Iterator[None]:
    """Say of whatever a configuration is wrong in that it cannot be converted."""
    try:
        yield
    except ConversionError:
        raise
    except KeyError as error:
        raise ConversionError(f"{_PROBLEM}: {error} is missing in it") from error
    except (TypeError, AttributeError) as error:
        raise ConversionError(f"{_PROBLEM}: a value of another type: {error}") from error
    except ConfigError as error:
        raise ConversionError(f"{_PROBLEM}: {error.problems[0]}") from error
    except ValueError as error:
        raise ConversionError(f"{_PROBLEM}: {error}") from error


def _refuse(found: bool, what: str) -> None:
    if found:
        raise ConversionError(f"{_PROBLEM}: {what}, which this project does not have")


def label_spec(data: Mapping[str, Any]) -> nets.LabelSpec:
    """Return the kinds of label of a published `data` section, in the order in which its networks concatenate them."""
    kinds: dict[str, Any] = {name: d for entry in data["input_types"] for name, d in entry.items()}
    classes = data.get("one_hot_num_classes", {})
    dont_care = bool(data.get("use_dont_care", False))

    def kind(name: str) -> nets.ClassMap | nets.FloatMap:
        if name in classes:
            return nets.ClassMap(name=name, classes=classes[name], dont_care=dont_care)
        return nets.FloatMap(name=name, channels=kinds[name]["num_channels"])

    return nets.LabelSpec(tuple(kind(name) for name in data["input_labels"]))


def label_kinds(data: Mapping[str, Any]) -> tuple[LabelKind, ...]:
    """Return how files become the labels of a published `data` section; folders are named like kinds there.

    Raises:
        ConversionError: this project does not have labels of that kind.
    """
    return tuple(_label_kind(name, data.get("one_hot_num_classes", {})) for name in data["input_labels"])


def _label_kind(name: str, classes: Mapping[str, int]) -> LabelKind:
    if name in classes:
        count = classes[name]
        return SegMapsConfig(folder=name, num_classes=count, ignore_id=_IGNORED if count <= _IGNORED else None)
    _refuse(name != LandmarksConfig.kind, f"labels of kind {show(name)}")
    return LandmarksConfig()


def output_size(data: Mapping[str, Any]) -> tuple[int, int]:
    """Return (H, W) of the frames of a published `data` section.

    Raises:
        ConversionError: it does not say.
    """
    where, value = _sized(data)
    found = re.fullmatch(r"\s*(\d{1,5})\s*,\s*(\d{1,5})\s*", str(value))
    if not found:
        raise ConversionError(f"{_PROBLEM}: {where}: expected height and width, such as '512, 1024', got {show(value)}")
    return int(found[1]), int(found[2])


def _sized(data: Mapping[str, Any]) -> tuple[str, Any]:
    """Return where the size of frames stands, and what does; what validation does to them counts first."""
    if "output_h_w" in data:
        return "data.output_h_w", data["output_h_w"]
    for split, key in _SIZES:
        augmentations = _augmentations(data, split)
        if key in augmentations:
            return f"data.{split}.augmentations.{key}", augmentations[key]
    raise ConversionError(f"{_PROBLEM}: no size in it: expected data.output_h_w, or a crop in data.val.augmentations")


def _augmentations(data: Mapping[str, Any], split: str) -> Mapping[str, Any]:
    found: Mapping[str, Any] = data.get(split, {}).get("augmentations", {})
    return found


def _augment(data: Mapping[str, Any]) -> AugmentConfig:
    train, val = _augmentations(data, "train"), _augmentations(data, "val")
    stretched = _sized(data)[0].endswith(_STRETCHED)
    _refuse(not stretched and _STRETCHED in val, "pictures in data.val.augmentations that are stretched, then cropped")
    whole_pictures = not stretched and _face_crop(data) is None
    return AugmentConfig(
        smallest_side=val.get("resize_smallest_side", train.get("resize_smallest_side")) if whole_pictures else None,
        keep_aspect=not stretched,
        scale=float(train.get("random_scale_limit", 0.0)),
        flip=0.5 if train.get("horizontal_flip", False) else 0.0,
    )


def _face_crop(data: Mapping[str, Any]) -> FaceCropConfig | None:
    """Return how faces are cut out, of which the published configuration says no more than that they are."""
    return FaceCropConfig() if "crop_face_from_data" in str(data.get("full_data_ops", "")) else None


def _references(generator: nets.AnyGeneratorConfig, data: Mapping[str, Any]) -> ReferencesConfig | None:
    match generator:
        case nets.FewShotGeneratorConfig():
            count = data.get("initial_few_shot_K", 1)
            return ReferencesConfig(min=count, max=count)
        case _:
            return None


def _objective(trainer: Mapping[str, Any]) -> nets.ObjectiveConfig:
    given, network = trainer.get("loss_weight", {}), trainer.get("perceptual_loss", {})
    known: dict[str, Any] = {_LOSSES[name]: float(weight) for name, weight in given.items() if name in _LOSSES}
    if network.get("mode") == "vgg19":
        known["perceptual"] = nets.FilePerceptual(path=_VGG19, scales=network.get("num_scales", 1))
    return nets.ObjectiveConfig(**known)


def _adam(section: Mapping[str, Any]) -> AdamConfig:
    """Return the numbers of an optimizer; YAML takes those like 1e-4, without a point, for text."""
    usual = AdamConfig()
    first, second = usual.betas
    return AdamConfig(
        lr=float(section.get("lr", usual.lr)),
        betas=(float(section.get("adam_beta1", first)), float(section.get("adam_beta2", second))),
        eps=float(section.get("eps", usual.eps)),
    )


def _ema(section: Mapping[str, Any]) -> EmaConfig:
    usual = EmaConfig()
    return EmaConfig(
        beta=float(section.get("beta", usual.beta)), start_step=section.get("start_iteration", usual.start_step)
    )


def _curriculum(train: Mapping[str, Any]) -> CurriculumConfig:
    usual = CurriculumConfig()
    first = train.get("initial_sequence_length", usual.initial_length)
    return CurriculumConfig(
        initial_length=first, max_length=train.get("max_sequence_length", max(first, usual.max_length))
    )


def _embedder_config(section: Mapping[str, Any]) -> nets.EmbedderConfig:
    return nets.EmbedderConfig(
        arch=section.get("arch", "encoderdecoder"),
        filters=section.get("num_filters", 32),
        max_filters=section.get("max_num_filters", 1024),
        downsamples=section.get("num_downsamples", 5),
        kernel=section.get("kernel_size", 3),
    )


def generator_config(gen: Mapping[str, Any], data: Mapping[str, Any]) -> nets.GeneratorConfig:
    """Return our configuration for a published `gen` section.

    Raises:
        ConversionError: it starts from a constant, and `data` does not say of which size the frames are.
    """
    flow = gen["flow"]
    combine = flow.get("multi_spade_combine")
    combination: nets.SpadeCombination | nets.LinearCombination = nets.LinearCombination()
    if combine:
        combination = nets.SpadeCombination(
            levels=combine.get("num_layers", 3),
            embedder=_embedder_config(combine["embed"]),
            raw_output=bool(flow.get("generate_raw_output", False)),
        )
    return nets.GeneratorConfig(
        levels=gen.get("num_layers", 7),
        image_downsamples=gen.get("num_downsamples_img", 4),
        filters=gen.get("num_filters", 32),
        max_filters=gen.get("max_num_filters", 1024),
        kernel=gen.get("kernel_size", 3),
        spade_kernel=gen["activation_norm_params"].get("kernel_size", 3),
        frames=data["num_frames_G"],
        spectral_norm=gen.get("weight_norm_type", "spectral") == "spectral",
        embedder=_embedder_config(gen["embed"]),
        flow=nets.FlowConfig(
            filters=flow.get("num_filters", 32),
            max_filters=flow.get("max_num_filters", 1024),
            downsamples=flow.get("num_downsamples", 5),
            residual_blocks=flow.get("num_res_blocks", 6),
            multiplier=float(flow.get("flow_output_multiplier", 20)),
        ),
        combination=combination,
        start=_start(gen, data),
    )


def _start(gen: Mapping[str, Any], data: Mapping[str, Any]) -> nets.LabelStart | nets.ConstantStart:
    """Return what first frames start from: the label map, or a linear layer of a latent vector that is always zero."""
    if gen.get("use_segmap_as_input", False):
        return nets.LabelStart()
    height, width = output_size(data)
    levels = gen.get("num_layers", 7)
    return nets.ConstantStart(height=height >> levels, width=width >> levels)


def is_few_shot(gen: Mapping[str, Any]) -> bool:
    """Return whether a published `gen` section describes few-shot vid2vid."""
    return str(gen.get("type", "")).endswith("fs_vid2vid")


def few_shot_config(gen: Mapping[str, Any], data: Mapping[str, Any]) -> nets.FewShotGeneratorConfig:
    """Return our configuration for a published `gen` section of few-shot vid2vid.

    Raises:
        ConversionError: it asks for something that this project does not have.
    """
    hyper, flow = gen["hyper"], gen["flow"]
    combine = flow["multi_spade_combine"]
    embed = combine["embed"]
    _refuse(not flow.get("warp_ref", True), "gen.flow.warp_ref is false")
    _refuse(bool(flow.get("sep_up_mask", False)), "gen.flow.sep_up_mask is true")
    _refuse(hyper.get("method_to_use_ref_labels") != "mul", "gen.hyper.method_to_use_ref_labels is not 'mul'")
    _refuse(hyper.get("hyper_block_order", "NAC") != "NAC", "gen.hyper.hyper_block_order is not 'NAC'")
    attends = "attention" in hyper and data.get("initial_few_shot_K", 1) > 1
    downsamples, frames = gen.get("num_downsamples", 5), data["num_frames_G"]
    levels = hyper.get("num_hyper_layers", 4)
    return nets.FewShotGeneratorConfig(
        downsamples=downsamples,
        filters=gen.get("num_filters", 32),
        max_filters=gen.get("max_num_filters", 1024),
        kernel=gen.get("kernel_size", 3),
        spade_kernel=gen["activation_norm_params"].get("kernel_size", 1),
        frames=frames,
        spectral_norm=gen.get("weight_norm_type", "spectral") == "spectral",
        embedder=_embedder_config(gen["embed"]),
        weights=nets.WeightGeneratorConfig(
            levels=downsamples if levels == -1 else levels,
            spade=hyper["is_hyper_spade"],
            embedder=hyper["is_hyper_spade"] and hyper["is_hyper_embed"],
            convolutions=hyper["is_hyper_conv"],
            hidden_layers=hyper.get("num_fc_layers", 2),
            attention=nets.AttentionConfig(downsamples=hyper["attention"].get("num_downsamples", 2))
            if attends
            else None,
        ),
        flow=nets.FlowConfig(
            filters=flow.get("num_filters", 32),
            max_filters=flow.get("max_num_filters", 1024),
            downsamples=flow.get("num_downsamples", 3),
            residual_blocks=flow.get("num_blocks", 6),  # the key that the published code reads
            multiplier=float(flow.get("flow_output_multiplier", 20)),
        ),
        separate_flow=bool(flow.get("sep_prev_flow", False)) or frames != 2,
        combination=nets.SpadeCombination(
            levels=combine.get("num_layers", 3),
            embedder=_embedder_config(embed),
            raw_output=bool(flow.get("generate_raw_output", False)),
        ),
        separate_embedder=bool(embed.get("sep_warp_embed", True)),
    )


def discriminator_config(dis: Mapping[str, Any], data: Mapping[str, Any]) -> nets.DiscriminatorConfig:
    """Return our configuration for a published `dis` section."""

    def patch(section: Mapping[str, Any]) -> nets.PatchConfig:
        return nets.PatchConfig(
            filters=section.get("num_filters", 64),
            max_filters=section.get("max_num_filters", 512),
            layers=section.get("num_layers", 3),
            scales=section.get("num_discriminators", 3),
            spectral_norm=section.get("weight_norm_type", "spectral") == "spectral",
        )

    temporal = dis.get("temporal")
    return nets.DiscriminatorConfig(
        image=patch(dis["image"]),
        temporal=nets.TemporalConfig(
            time_scales=temporal["num_scales"], frames=data["num_frames_D"], patch=patch(temporal)
        )
        if temporal and temporal.get("num_scales", 0)
        else None,
    )
