"""Published configurations, YAML or JSON, as ours."""

import builtins
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import torch
import vs_nets as nets
import yaml
from convert_vgg19 import ConversionError
from imaginaire_config import generator_config, network_configs, output_size, read_config, train_config
from published_configs import CITYSCAPES, DANCING, FACE_FORENSICS, YOUTUBE_DANCING
from vs_config import DocumentError, load_config
from vs_data import LandmarksConfig, SegMapsConfig
from vs_synthesis import model_config, settings_of
from vs_training.config import TrainConfig
from vs_training.presets import list_presets

POSED = {"dancing": DANCING, "YouTube dancing": YOUTUBE_DANCING}


def preset(name: str) -> TrainConfig:
    (found,) = [preset for preset in list_presets() if preset.name == name]
    return load_config(TrainConfig, found.document)


@pytest.mark.parametrize(
    ("config", "name"), [(CITYSCAPES, "cityscapes"), (FACE_FORENSICS, "face-forensics")], ids=["Cityscapes", "faces"]
)
def test_published_configurations_are_the_presets_that_were_written_by_hand(config: dict[str, Any], name: str) -> None:
    ours, expected = train_config(config), preset(name)
    assert model_config(ours).generator == expected.generator
    assert ours.discriminator == expected.discriminator
    assert (ours.data.height, ours.data.width) == (expected.data.height, expected.data.width)
    assert model_config(ours).labels == model_config(expected).labels
    assert model_config(ours).augment == model_config(expected).augment
    assert model_config(ours).face_crop == model_config(expected).face_crop
    assert ours.references == expected.references
    assert (ours.optim.generator, ours.optim.discriminator) == (expected.optim.generator, expected.optim.discriminator)
    assert ours.optim.ema == expected.optim.ema
    assert ours.objective.perceptual == expected.objective.perceptual
    assert ours.loader.batch_size == expected.loader.batch_size
    assert ours.curriculum.max_length == expected.curriculum.max_length
    assert "root" not in settings_of(ours)["data"]


def parameters(config: dict[str, Any]) -> tuple[int, int]:
    channels, generator, discriminator = network_configs(config)
    with torch.device("meta"):
        made = (
            nets.build_generator(generator, label_channels=channels),
            nets.build_discriminator(discriminator, label_channels=nets.condition_channels(generator, channels)),
        )
    first, second = (sum(p.numel() for p in network.parameters()) for network in made)
    return first, second


def test_full_size_networks_have_the_published_numbers_of_parameters() -> None:
    assert parameters(CITYSCAPES) == (346_972_262 - 130_368, 5_597_826)  # less those that are never used
    assert parameters(FACE_FORENSICS) == (91_145_502, 5_593_922)


@pytest.mark.parametrize("config", POSED.values(), ids=POSED)
def test_of_configurations_with_poses_all_but_the_labels_is_converted(config: dict[str, Any]) -> None:
    channels, generator, _ = network_configs(config)
    assert channels == 6
    assert all(side % generator.stride == 0 for side in output_size(config["data"]))
    with pytest.raises(ConversionError) as caught:
        train_config(config)
    assert str(caught.value) == (
        "the configuration cannot be converted: labels of kind 'pose_maps-densepose', which this project does not have"
    )
    known = {
        "input_types": FACE_FORENSICS["data"]["input_types"],
        "input_labels": FACE_FORENSICS["data"]["input_labels"],
    }
    assert train_config({**config, "data": {**config["data"], **known}}).generator == generator


def test_generators_that_start_from_a_latent_vector_start_from_a_constant() -> None:
    _, generator, _ = network_configs(DANCING)
    assert isinstance(generator, nets.GeneratorConfig)
    assert generator.start == nets.ConstantStart(height=1024 // 2**7, width=512 // 2**7)
    data = {**DANCING["data"], "val": {}, "train": {}}
    with pytest.raises(ConversionError, match="no size in it"):
        generator_config(DANCING["gen"], data)


def changed(path: str, value: object, config: dict[str, Any] = CITYSCAPES) -> dict[str, Any]:
    config = deepcopy(config)
    *sections, key = path.split(".")
    section = config
    for name in sections:
        section = section[name]
    section[key] = value
    return config


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("data.val.augmentations.center_crop_h_w", "512", "data.val.augmentations.center_crop_h_w: expected height"),
        ("data.val.augmentations.center_crop_h_w", "500, 1000", "a multiple of 128"),
        ("data.val.augmentations.resize_h_w", "600, 1200", "stretched, then cropped"),
        ("data.one_hot_num_classes.seg_maps", "many", "classes: expected"),
        ("data.input_labels", ["edge_maps"], "'edge_maps' is missing in it"),
        ("gen_opt.lr", "fast", "could not convert string to float"),
        ("gen_opt", [], "a value of another type"),
        ("trainer.loss_weight.gan", -1, "gan: expected"),
        ("data.train.augmentations", None, "a value of another type"),
    ],
)
def test_what_cannot_be_converted_is_one_line(path: str, value: object, message: str) -> None:
    with pytest.raises(ConversionError, match=message) as caught:
        train_config(changed(path, value))
    assert "\n" not in str(caught.value)


def test_kinds_of_labels_say_what_is_in_files() -> None:
    many = train_config(changed("data.one_hot_num_classes.seg_maps", 256))
    assert model_config(many).labels == (SegMapsConfig(num_classes=256, ignore_id=None),)
    assert model_config(train_config(FACE_FORENSICS)).labels == (LandmarksConfig(),)
    channels = changed("data.input_types", [{"landmarks-dlib68": {"num_channels": 2}}], FACE_FORENSICS)
    with pytest.raises(ConversionError, match="labels of 2 channels, which are 1 here"):
        train_config(channels)


def test_stretched_pictures_stay_stretched() -> None:
    config = changed("data.val.augmentations", {"resize_h_w": "256, 512"})
    ours = model_config(train_config(config, fps=17))
    assert (ours.height, ours.width, ours.fps) == (256, 512, 17.0)
    assert not ours.augment.keep_aspect


@pytest.mark.parametrize("suffix", ["yaml", "yml"])
def test_yaml_is_read_as_it_is_published(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"config.{suffix}"
    path.write_text("# a comment\n" + yaml.safe_dump(CITYSCAPES))
    assert train_config(read_config(path)) == train_config(CITYSCAPES)


def test_numbers_that_yaml_takes_for_text_are_numbers(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(changed("gen_opt", {"adam_beta1": 0.5})) + "dis_opt: {lr: 4e-4}\n")
    assert train_config(read_config(path)).optim.discriminator.lr == 4e-4


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [1, 2", "cannot be read as YAML: expected ',' or ']'.* at line"),
        ("a: !!python/object/apply:os.system [ls]", "could not determine a constructor for the tag .* at line 1"),
        ("a: !include other.yaml", "could not determine a constructor"),
        ("a: 2020-99-99", "cannot be read as YAML: month must be"),
        ("[" * 5000, "nests too deep"),
        ("a: \x01", "cannot be read as YAML"),
        ("- 1", r"holds \[1\], expected a table with gen, dis and data"),
        ("gen: {}", "no table 'dis' in it"),
        ("", "holds none, expected a table"),
        ("a: &a [*a]", "no table 'gen' in it"),
        ("#" * 2**19, "is 524288 bytes long, at most 262144"),
    ],
)
def test_what_is_no_published_yaml_is_one_line(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(text)
    with pytest.raises((ConversionError, DocumentError), match=message) as caught:
        read_config(path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


def test_without_a_reader_of_yaml_it_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = builtins.__import__

    def without(name: str, *others: Any, **more: Any) -> Any:
        if name == "yaml":
            raise ModuleNotFoundError("No module named 'yaml'", name="yaml")
        return found(name, *others, **more)

    path = tmp_path / "config.yaml"
    path.write_text("gen: {}")
    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ConversionError, match="pip install PyYAML, or write it as JSON"):
        read_config(path)
