"""The importer of published checkpoints, on a checkpoint made of the reference weights."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import import_imaginaire as importer
import pytest
import torch
import vs_nets as nets
from convert_vgg19 import ConversionError
from imaginaire_config import generator_config, label_spec
from imaginaire_weights import generator_weights
from reference import build_discriminator, build_generator, load_case
from vs_config import DocumentError
from vs_config.commands import run_command
from vs_synthesis import load_model, read_model

TOOL = Path(importer.__file__)


def run(*arguments: object) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, str(TOOL), *map(str, arguments)], capture_output=True, text=True, check=False
    )


def write_checkpoint(folder: Path) -> tuple[Path, Path]:
    case = load_case("f2_vid2vid_train_step_sgd")
    state = {
        key: {f"module.{name}": tensor for name, tensor in case.under(f"before.{network}.").items()}
        for key, network in (("net_G", "G"), ("net_D", "D"))
    }
    checkpoint, config = folder / "published.pt", folder / "config.json"
    torch.save(state, checkpoint)
    config.write_text(json.dumps(case.facts["config"]))
    return checkpoint, config


def test_a_published_checkpoint_is_converted(tmp_path: Path) -> None:
    checkpoint, config = write_checkpoint(tmp_path)
    done = run(checkpoint, config, "--out", tmp_path / "converted")
    assert done.returncode == 0, done.stderr
    case = load_case("f2_vid2vid_train_step_sgd")
    model = load_model(tmp_path / "converted", device="cpu")
    averaged = nets.effective_weights(build_generator(case, "before.G."))
    for name, tensor in model.generator.state_dict().items():
        assert torch.equal(tensor, averaged[name]), name
    training = read_model(tmp_path / "converted", training=True).training
    assert training is not None
    build_generator(case, "before.G.").load_state_dict(dict(training.generator))
    build_discriminator(case, "before.D.").load_state_dict(dict(training.discriminator))


def test_weights_of_another_shape_are_refused_and_nothing_is_written(tmp_path: Path) -> None:
    checkpoint, config = write_checkpoint(tmp_path)
    sections = json.loads(config.read_text())
    sections["gen"]["num_layers"] = 6
    config.write_text(json.dumps(sections))
    done = run(checkpoint, config, "--out", tmp_path / "converted")
    assert done.returncode == 2
    assert "does not fit its configuration" in done.stderr
    assert not (tmp_path / "converted").exists()


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    done = run(tmp_path / "none.pt", tmp_path / "none.json", "--out", tmp_path / "converted")
    assert done.returncode == 2
    assert done.stderr == f"error: {tmp_path / 'none.pt'}: no such file\n"


def missing(sections: dict[str, Any]) -> None:
    del sections["data"]["num_frames_G"]


def other_type(sections: dict[str, Any]) -> None:
    sections["gen"]["flow"] = 5


def too_large(sections: dict[str, Any]) -> None:
    sections["gen"]["num_filters"] = 10**9


def no_section(sections: dict[str, Any]) -> None:
    sections["dis"] = []


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (missing, "'num_frames_G' is missing"),
        (other_type, "another type"),
        (too_large, "filters: expected a whole number from 1 to 16384"),
        (no_section, "dis"),
    ],
)
def test_a_wrong_configuration_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], damage: Callable[[dict[str, Any]], None], message: str
) -> None:
    checkpoint, config = write_checkpoint(tmp_path)
    sections = json.loads(config.read_text())
    damage(sections)
    config.write_text(json.dumps(sections))
    refused(capsys, checkpoint, config, tmp_path / "converted", message)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"PK\x03\x04 cut off", "not a file of weights"),
        (b"", "not a file of weights"),
        ({"net_G": {}, "net_D": {}}, "no weights 'net_G'"),
        ({"net_G": {"a": 3}}, "no tensor"),
        ([1, 2], "holds a list"),
    ],
)
def test_a_wrong_checkpoint_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: Any, message: str
) -> None:
    checkpoint, config = write_checkpoint(tmp_path)
    checkpoint.write_bytes(content) if isinstance(content, bytes) else torch.save(content, checkpoint)
    refused(capsys, checkpoint, config, tmp_path / "converted", message)


def refused(capsys: pytest.CaptureFixture[str], checkpoint: Path, config: Path, out: Path, message: str) -> None:
    arguments = [str(checkpoint), str(config), "--out", str(out)]
    assert run_command(importer.main, ConversionError, DocumentError, arguments=arguments) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    assert message in line
    assert not out.exists()


def test_weights_of_a_linear_combination_fit() -> None:
    """The published layout holds second projections there, too, and uses none of them."""
    case = load_case("a1_vid2vid_seg")
    config = case.facts["config"]
    gen = {**config["gen"], "flow": {**config["gen"]["flow"], "multi_spade_combine": False}}
    ours = generator_config(gen, config["data"])
    assert ours.combination == nets.LinearCombination()
    published = {k: v for k, v in case.under("G.").items() if not k.startswith("img_prev_embedding.")}
    nets.build_generator(ours, label_channels=8).load_state_dict(generator_weights(published))


def test_other_label_layouts() -> None:
    data = {
        "input_types": [
            {"edge_maps": {"num_channels": 1, "is_mask": False}},
            {"seg_maps": {"num_channels": 1, "is_mask": True}},
            {"images": {"num_channels": 3}},
        ],
        "input_labels": ["edge_maps", "seg_maps"],
        "one_hot_num_classes": {"seg_maps": 8},
        "use_dont_care": True,
    }
    spec = label_spec(data)
    assert spec.kinds == (
        nets.FloatMap(name="edge_maps", channels=1),
        nets.ClassMap(name="seg_maps", classes=8, dont_care=True),
    )
    assert spec.channels == 10
