"""The models that come with the workspace: small, in half precision, with all that is to be known of them."""

import json
import re
import tomllib

import pytest
import torch
from shipped_models import NAMES, ROOT, shipped
from vs_data import label_infos
from vs_synthesis import load_model, read_model, read_origin
from vs_synthesis.export import TOLERANCE, ExportRequest, export_model
from vs_training.config import LabelConfig
from vs_training.first_layers import label_channels

MOST_BYTES = 8 * 10**6


@pytest.fixture(scope="module", params=NAMES)
def model(request):
    return load_model(shipped(request.param), device="cpu")


def test_it_is_small_and_holds_the_average_in_half_precision_alone(model):
    files = {file.name: file.stat().st_size for file in model.path.iterdir()}
    assert sum(files.values()) <= MOST_BYTES
    assert files.keys() > {"README.md", "model.json", "generator.safetensors"}
    assert 2 <= sum(name.endswith(".webp") for name in files) == len(files) - 3 <= 3
    stored = read_model(model.path).generator
    assert {tensor.dtype for tensor in stored.values()} == {torch.float16}
    assert {tensor.dtype for tensor in model.generator.state_dict().values()} == {torch.float32}


def test_it_says_how_it_was_made_and_how_good_it_is(model):
    said = model.contents.provenance
    preset = f"{model.path.name}-laptop"
    assert said["preset"] == preset
    assert f" --preset {preset}" in said["command"]
    assert said["took"]
    assert re.fullmatch("[0-9a-f]{40}", said["revision"])
    assert said["licence"] == tomllib.loads((ROOT / "apps/eval/pyproject.toml").read_text())["project"]["license"]
    for metrics in said["metrics"]:
        assert f" models/{model.path.name} " in f"{metrics['command']} "
        low, high = metrics["scores"]["psnr"]["interval"]
        assert low <= metrics["scores"]["psnr"]["value"] <= high


def test_its_card_shows_pictures_that_are_there_and_no_path_of_a_machine(model):
    card, facts = ((model.path / name).read_text() for name in ("README.md", "model.json"))
    pictures = re.findall(r"^!\[.+\]\((.+)\)$", card, re.MULTILINE)
    assert {file.name for file in model.path.glob("*.webp")} == set(pictures)
    assert not re.search(r"(?<![\w.])/(root|home|tmp|work|mnt|Users)/", card + json.dumps(json.loads(facts)))


def test_training_can_begin_from_it(model):
    origin = read_origin(model.path)
    assert origin.raw is origin.discriminator is None
    assert origin.generator == model.config.generator
    assert origin.labels == label_channels(LabelConfig(), label_infos(model.config.labels))
    assert all(tensor.isfinite().all() for tensor in origin.averaged.values())


@pytest.mark.slow
@pytest.mark.parametrize("form", ["pt2", "onnx"])
def test_it_is_exported(model, form, tmp_path):
    size = (model.config.height, model.config.width)
    (drift,) = export_model(model, tmp_path / "out", ExportRequest(form=form, sizes=(size,), frames=8)).drifts
    assert max(drift.exported.largest[: drift.closed]) <= TOLERANCE
