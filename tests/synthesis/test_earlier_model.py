"""A model directory that an earlier version of this program wrote makes the frames that it made then.

`data/earlier-model.tar.gz` holds a model of networks with one filter a layer, with a card and with training weights, as
the first version with model directories wrote it.
"""

import tarfile
from pathlib import Path

import pytest
import torch
from vs_synthesis import load_model, read_model, start, training_config

PIXELS = [
    [-0.037973, -0.082782, 0.003825],
    [-0.700743, 0.085166, -0.978929],
    [-0.72744, -0.151741, -0.768255],
    [-0.883149, -0.279664, -0.585024],
]


@pytest.fixture
def model(tmp_path: Path) -> Path:
    with tarfile.open(Path(__file__).parent / "data" / "earlier-model.tar.gz") as archive:
        archive.extractall(tmp_path, filter="data")
    return tmp_path / "model"


def stripes(shift: int) -> torch.Tensor:
    """Class ids in stripes of four pixels, which move."""
    return ((torch.arange(32)[None, :] + torch.zeros(32, 1) + shift) // 4 % 35).byte()


def test_it_makes_the_frames_that_it_made(model: Path) -> None:
    stream = start(load_model(model, device="cpu"))
    frames = [stream(stripes(shift)) for shift in range(4)]
    assert [frame[:, 5, 7].tolist() for frame in frames] == [pytest.approx(pixel, abs=1e-4) for pixel in PIXELS]


def test_it_says_what_it_said_and_can_be_gone_on_from(model: Path) -> None:
    contents = read_model(model, training=True)
    assert contents.provenance["steps"] == 4
    assert contents.training is not None
    assert training_config(contents).generator == contents.config.generator
