"""From a checkpoint with the published names, by the command line, to a model that makes frames."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs
import av
import cv2
import import_imaginaire as importer
import numpy as np
import pytest
import torch
import vs_nets as nets
import yaml
from convert_vgg19 import ConversionError
from imaginaire_weights import generator_weight_name, generator_weights
from published import VID2VID, build, checkpoint_of, published_name, used
from reference import Case, load_case
from test_import_few_shot import CONFIG as FEW_SHOT
from vs_config import DocumentError
from vs_config.commands import run_command
from vs_eval.app import main as synthesize
from vs_runtime import PlaceError
from vs_synthesis import Model, ModelError, encode_subject, load_model, read_model, start, training_config

SMALL = {"num_filters": 4, "max_num_filters": 8, "num_downsamples": 3}
LABELS: dict[str, Any] = {
    "gen": {
        "type": "imaginaire.generators.vid2vid",
        "num_layers": 4,
        "num_downsamples_img": 2,
        "num_filters": 4,
        "max_num_filters": 8,
        "activation_norm_params": {"kernel_size": 1},
        "weight_norm_type": "spectral",
        "use_segmap_as_input": True,
        "flow": {
            **SMALL,
            "num_res_blocks": 1,
            "multi_spade_combine": {"num_layers": 2, "embed": {**SMALL, "arch": "unet"}},
        },
        "embed": SMALL,
    },
    "dis": {"image": {"num_filters": 4, "max_num_filters": 8, "num_layers": 2, "num_discriminators": 1}},
    "data": {
        "num_frames_G": 3,
        "num_frames_D": 3,
        "input_types": [{"images": {"num_channels": 3}}, {"seg_maps": {"num_channels": 1}}],
        "one_hot_num_classes": {"seg_maps": 5},
        "input_labels": ["seg_maps"],
        "val": {"augmentations": {"center_crop_h_w": "32, 64"}},
    },
}
CONSTANT = {**LABELS, "gen": {**LABELS["gen"], "use_segmap_as_input": False, "style_dims": 7}}
CONFIGS = {"labels": LABELS, "constant": CONSTANT, "few-shot": FEW_SHOT}


def imported(folder: Path, checkpoint: Mapping[str, Any], config: Mapping[str, Any], *more: str) -> Path:
    """A model directory, by the command line and from YAML."""
    torch.save(checkpoint, folder / "published.pt")
    (folder / "config.yaml").write_text(yaml.safe_dump(dict(config)))
    out = folder / "model"
    arguments = [str(folder / "published.pt"), str(folder / "config.yaml"), "--out", str(out), *more]
    errors = ConversionError, DocumentError, ModelError, PlaceError
    assert run_command(importer.main, *errors, arguments=arguments) == 0
    return out


def labels_of(model: Model, count: int) -> list[torch.Tensor]:
    drawn = torch.Generator().manual_seed(0)
    height, width = model.config.height, model.config.width
    if model.config.kind == "few-shot":
        return [torch.rand(1, height, width, generator=drawn) for _ in range(count)]
    return [torch.randint(5, (height, width), generator=drawn).to(torch.uint8) for _ in range(count)]


def subject_of(model: Model) -> nets.Subject | None:
    if model.config.kind != "few-shot":
        return None
    frames = torch.linspace(-1, 1, 3 * model.config.height * model.config.width)
    (label,) = labels_of(model, 1)
    return encode_subject(model, frames.reshape(1, 3, model.config.height, model.config.width), label[None])


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_a_checkpoint_becomes_a_model_that_makes_the_frames_of_its_average(
    tmp_path: Path, config: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    torch.manual_seed(0)
    (generator, discriminator), (average, _) = build(config), build(config)
    path = imported(tmp_path, checkpoint_of(generator, discriminator, average=average), config, "--fps", "17")
    size = f"{32}x{32 if config is FEW_SHOT else 64}"
    kind = "few-shot" if config is FEW_SHOT else "vid2vid"
    assert capsys.readouterr().out == f"{path}: a {kind} model, {size}\n"
    model = load_model(path, device="cpu")
    assert model.config.fps == 17.0
    stream = start(model, subject_of(model))
    frames = [stream(label) for label in labels_of(model, 4)]
    bare = nets.build_ema(model.config.generator, label_channels=model.labels.channels)
    kept = {name: x for name, x in nets.effective_weights(average).items() if name in bare.state_dict()}
    bare.load_state_dict(kept)
    expected = start(attrs.evolve(model, generator=bare), subject_of(attrs.evolve(model, generator=bare)))
    for frame, label in zip(frames, labels_of(model, 4), strict=True):
        torch.testing.assert_close(frame, expected(label), atol=1e-5, rtol=0)
    assert not torch.equal(frames[2], frames[3])


def decoded(path: Path) -> torch.Tensor:
    with av.open(str(path)) as container:
        return torch.from_numpy(np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]))


def synthesised(out: Path, *arguments: object) -> torch.Tensor:
    """The frames (T, H, W, 3) of a video that was made by the command line."""
    with pytest.raises(SystemExit) as stop:
        synthesize(["synthesize", *map(str, arguments), "--device", "cpu", "--out", str(out)])
    assert not stop.value.code
    return decoded(out)


def bytes_of(frames: list[torch.Tensor]) -> torch.Tensor:
    return torch.stack(frames).add(1).mul(127.5).round().clamp(0, 255).byte().permute(0, 2, 3, 1)


@pytest.mark.parametrize("config", [LABELS, CONSTANT], ids=["labels", "constant"])
def test_all_the_way_to_a_video(tmp_path: Path, config: dict[str, Any]) -> None:
    path = imported(tmp_path, checkpoint_of(*build(config)), config)
    model = load_model(path, device="cpu")
    (tmp_path / "maps").mkdir()
    for number, label in enumerate(labels_of(model, 4)):
        cv2.imwrite(str(tmp_path / "maps" / f"{number}.png"), label.numpy())
    stream = start(model)
    expected = bytes_of([stream(label) for label in labels_of(model, 4)])
    assert torch.equal(synthesised(tmp_path / "street.mkv", path, "--labels", tmp_path / "maps"), expected)


def test_all_the_way_to_a_video_of_somebody(tmp_path: Path) -> None:
    path = imported(tmp_path, checkpoint_of(*build(FEW_SHOT)), FEW_SHOT)
    made = synthesised(tmp_path / "face.mkv", path, "--labels=faces:3", "--references=faces:5", "--frames=3")
    assert made.shape == (3, 32, 32, 3)
    assert not torch.equal(made[0], made[2])


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_what_training_goes_on_from_and_where_it_comes_from_is_kept(tmp_path: Path, config: dict[str, Any]) -> None:
    (generator, discriminator), (average, _) = build(config), build(config)
    path = imported(tmp_path, checkpoint_of(generator, discriminator, average=average), config)
    contents = read_model(path, training=True)
    assert contents.training is not None
    for written, expected in (
        (contents.training.generator, used(generator)),
        (contents.training.discriminator, discriminator.state_dict()),
    ):
        assert written.keys() == expected.keys()
        assert all(torch.equal(written[name], x) for name, x in expected.items())
    provenance = contents.provenance
    assert (provenance["steps"], provenance["epochs"], provenance["updates"]) == (600, 3, 1234)
    assert provenance["imported"]["file"] == "published.pt"
    assert str(tmp_path) not in (path / "model.json").read_text()
    trained = training_config(contents, data=tmp_path)
    assert trained.generator == contents.config.generator
    assert trained.data.kind == "folder"


def test_without_an_average_the_generator_itself_is_taken_and_without_discriminators_it_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    generator, discriminator = build(LABELS)
    checkpoint = checkpoint_of(generator, discriminator)
    del checkpoint["net_D"]
    path = imported(tmp_path, checkpoint, LABELS)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "note: no averaged generator in it: the model's is the one that was trained, as it is"
    assert lines[1].startswith("note: no discriminators in it")
    contents = read_model(path, training=True)
    assert contents.training is None
    effective = nets.effective_weights(generator)
    assert all(torch.equal(x, effective[name]) for name, x in contents.generator.items())


def test_a_matrix_over_its_largest_singular_value_is_what_is_used(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An average that kept its spectral norm, and weights of other discriminators beside ours."""
    generator, discriminator = build(LABELS)
    with torch.no_grad():  # vectors that have converged, so that another program's singular value is the same
        for name, module in generator.named_modules():
            if f"{name}.u" in generator.state_dict():
                u, _, v = torch.linalg.svd(module.weight.flatten(1).double(), full_matrices=False)
                module.u.copy_(u[:, 0])
                module.v.copy_(v[0])
    checkpoint = checkpoint_of(generator, discriminator)
    named = checkpoint["net_G"]
    checkpoint["net_G"] = {name.replace("module.", "module.averaged_model.", 1): x for name, x in named.items()}
    checkpoint["net_D"]["module.net_D_face.weight"] = torch.zeros(1)
    contents = read_model(imported(tmp_path, checkpoint, LABELS))
    assert "note: 1 weights of other discriminators are left out" in capsys.readouterr().out
    name = "embed_label.first.weight"
    raw = generator.state_dict()[name]
    expected = raw / torch.linalg.svdvals(raw.flatten(1).double())[0]
    torch.testing.assert_close(contents.generator[name].double(), expected.double(), rtol=1e-4, atol=1e-6)


def test_the_constant_is_the_linear_layer_of_a_latent_vector_of_zeros(tmp_path: Path) -> None:
    generator, discriminator = build(CONSTANT)
    checkpoint = checkpoint_of(generator, discriminator)
    channels, rows, columns = generator.state_dict()["start.constant"].shape
    layer = torch.nn.Linear(7, channels * rows * columns)
    layer.weight.data = checkpoint["net_G"]["module.fc.layers.conv.weight"]
    layer.bias.data = torch.randn(channels * rows * columns)
    checkpoint["net_G"]["module.fc.layers.conv.bias"] = layer.bias.data
    features = layer(torch.zeros(1, 7)).reshape(1, channels, rows, columns)
    model = load_model(imported(tmp_path, checkpoint, CONSTANT), device="cpu")
    label = torch.zeros(1, 5, 32, 64)
    assert torch.equal(model.generator.start(label), features)
    assert (rows, columns) == (2, 4)


def test_a_constant_of_another_size_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    generator, discriminator = build(CONSTANT)
    torch.save(checkpoint_of(generator, discriminator), tmp_path / "published.pt")
    config = {**CONSTANT, "data": {**CONSTANT["data"], "val": {"augmentations": {"resize_h_w": "48, 64"}}}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    arguments = [str(tmp_path / "published.pt"), str(tmp_path / "config.json"), "--out", str(tmp_path / "model")]
    assert run_command(importer.main, ConversionError, arguments=arguments) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "start.constant has shape" in line
    assert not (tmp_path / "model").exists()


def test_something_else_is_not_replaced(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "precious.txt").write_text("x")
    with pytest.raises(AssertionError):
        imported(tmp_path, checkpoint_of(*build(LABELS)), LABELS)
    assert "holds other files than a model" in capsys.readouterr().err


def test_names_there_and_back() -> None:
    for config in (LABELS, CONSTANT):
        generator, discriminator = build(config)
        published = {
            name.removeprefix("module."): x for name, x in checkpoint_of(generator, discriminator)["net_G"].items()
        }
        begin = generator.config.start
        assert generator_weights(published, start=begin, layout=True).keys() == generator.state_dict().keys()


def test_the_names_written_down_here_are_the_published_ones() -> None:
    for name in load_case("a1_vid2vid_seg").under("G."):
        assert published_name(generator_weight_name(name), name.endswith("_orig"), VID2VID) == name


def from_reference(folder: Path, case: Case) -> Model:
    checkpoint = {"net_G": {f"module.{name}": x for name, x in case.under("G.").items()}}
    return load_model(imported(folder, checkpoint, case.facts["config"]), device="cpu")


def test_streamed_frames_are_those_of_the_reference(tmp_path: Path) -> None:
    case = load_case("a1_vid2vid_seg")
    stream = start(from_reference(tmp_path, case))
    for t in range(3):
        frame = stream(case["in.seg_index"][:, t])
        torch.testing.assert_close(frame, case[f"out.t{t}.fake_images"], atol=1e-4, rtol=0)


def test_streamed_frames_of_a_subject_are_those_of_the_reference(tmp_path: Path) -> None:
    case = load_case("d1_fs_k1")
    model = from_reference(tmp_path, case)
    stream = start(model, encode_subject(model, case["in.few_shot_images"], case["in.few_shot_label"]))
    for t in range(3):
        frame = stream(case["in.label"][:, t])
        torch.testing.assert_close(frame, case[f"out.t{t}.fake_images"], atol=1e-4, rtol=0)
