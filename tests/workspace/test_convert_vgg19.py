"""Converting torchvision's VGG-19: the layers arrive unchanged, and other files are refused by name."""

import hashlib
import math
import os
from pathlib import Path

import convert_vgg19
import pytest
import torch
from convert_vgg19 import ConversionError, convert, published_checksum, select_layers
from safetensors.torch import load_file
from vs_config.commands import run_command
from vs_nets.perceptual import CONV_INDICES, WIDTHS, load_vgg19


@pytest.fixture(scope="module")
def published():
    """A state dict with torchvision's names and shapes, and with some of the layers that are not needed."""
    state, channels = {}, 3
    for index, width in zip(CONV_INDICES, WIDTHS, strict=True):
        state[f"features.{index}.weight"] = torch.full((1,), 0.01 * index).expand(width, channels, 3, 3)
        state[f"features.{index}.bias"] = torch.full((width,), float(index))
        channels = width
    return {**state, "features.30.weight": torch.zeros(1), "classifier.0.weight": torch.zeros(1)}


@pytest.fixture(scope="module")
def file(published, tmp_path_factory):
    path = tmp_path_factory.mktemp("vgg") / "vgg19.pth"
    torch.save(published, path)
    return path


def test_the_layers_arrive_unchanged_and_the_perceptual_network_reads_them(published, file, tmp_path):
    target = tmp_path / "new" / "vgg19.safetensors"
    convert(file, target)
    found = load_file(target)
    assert found.keys() == {name for name in published if name.startswith("features.")} - {"features.30.weight"}
    assert all(torch.equal(found[name], published[name]) for name in found)
    network = load_vgg19(target)
    assert torch.equal(network.convs["28"].weight, published["features.28.weight"])
    assert [path.name for path in target.parent.iterdir()] == ["vgg19.safetensors"]


@pytest.mark.parametrize(
    ("name", "digits"),
    [("vgg19-dcbb9e9d.pth", "dcbb9e9d"), ("vgg19.pth", None), ("vgg19-bn.pth", None), ("a-0123.pth", None)],
)
def test_a_published_name_carries_its_checksum(name, digits):
    assert published_checksum(name) == digits


def test_a_damaged_download_is_noticed(file, tmp_path):
    damaged = tmp_path / "vgg19-dcbb9e9d.pth"
    damaged.write_bytes(b"half of it")
    with pytest.raises(ConversionError, match="not with dcbb9e9d: download it again"):
        convert(damaged, tmp_path / "out")
    assert list(tmp_path.iterdir()) == [damaged]


def test_the_right_checksum_is_accepted(tmp_path):
    torch.save({}, tmp_path / "a.pth")
    digest = hashlib.sha256((tmp_path / "a.pth").read_bytes()).hexdigest()
    assert convert_vgg19.read_published((tmp_path / "a.pth").rename(tmp_path / f"vgg19-{digest[:8]}.pth")) == {}


def test_what_is_no_file_of_weights_is_refused(tmp_path):
    (tmp_path / "a.pth").write_text("hello")
    with pytest.raises(ConversionError, match="not a file of weights"):
        convert(tmp_path / "a.pth", tmp_path / "out")
    with pytest.raises(ConversionError, match="no such file"):
        convert(tmp_path / "b.pth", tmp_path / "out")


def test_a_file_that_would_run_code_is_refused(tmp_path):
    torch.save({"a": pytest.raises}, tmp_path / "a.pth")
    with pytest.raises(ConversionError, match="not a file of weights"):
        convert(tmp_path / "a.pth", tmp_path / "out")


def test_another_network_is_refused_with_the_layer_that_differs(published, tmp_path):
    with pytest.raises(ConversionError, match=r"features\.0\.weight is missing"):
        select_layers({}, tmp_path)
    other = {**published, "features.2.bias": torch.zeros(3)}
    with pytest.raises(ConversionError, match=r"features\.2\.bias is of shape \(3,\), expected \(64,\)"):
        select_layers(other, tmp_path)


def test_the_program_ends_with_one_line_and_status_2(tmp_path, capsys):
    arguments = [str(tmp_path / "b.pth"), str(tmp_path / "out")]
    assert run_command(convert_vgg19.main, ConversionError, arguments=arguments) == 2
    assert capsys.readouterr().err == f"error: {tmp_path / 'b.pth'}: there is no such file\n"


@pytest.mark.parametrize("target", [".", "/", "..", "folder", "pipe"])
def test_what_is_no_file_is_not_replaced(file, target, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    os.mkfifo("pipe")
    with pytest.raises(ConversionError, match="is there and no file"):
        convert(file, Path(target))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder", "pipe"]
    assert (tmp_path / "pipe").is_fifo()


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda bias: bias * math.nan, "not finite"),
        (lambda bias: bias.to_sparse(), "no dense tensor"),
        (lambda bias: bias.to(torch.int64), "no dense tensor"),
        (lambda bias: bias.to(torch.complex64), "no dense tensor"),
    ],
)
def test_what_are_no_weights_is_refused(published, spoil, message, tmp_path):
    name = f"features.{CONV_INDICES[-1]}.bias"
    with pytest.raises(ConversionError, match=f"{name} .*{message}"):
        select_layers({**published, name: spoil(published[name])}, tmp_path / "x.pth")
