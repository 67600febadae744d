"""The perceptual network: its files, its sizes, and what is not computed."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
import vs_nets as nets
import vs_ops
from safetensors.torch import save_file
from vs_nets.perceptual import CONV_INDICES, WIDTHS, FrozenConv2d


def published_file(path: Path, divisor: int = 16) -> Path:
    widths = [w // divisor for w in WIDTHS]
    tensors = {}
    for index, c_in, c_out in zip(CONV_INDICES, [3, *widths[:-1]], widths, strict=True):
        tensors[f"features.{index}.weight"] = torch.randn(c_out, c_in, 3, 3) * 0.1
        tensors[f"features.{index}.bias"] = torch.randn(c_out)
    tensors["features.30.weight"] = torch.zeros(1)  # after relu_5_1: passed over
    tensors["classifier.0.weight"] = torch.zeros(1)
    save_file(tensors, path)
    return path


def test_published_shape_up_to_relu_5_1() -> None:
    network = nets.Vgg19()
    assert sum(p.numel() for p in network.parameters()) == 12_944_960  # torchvision's, features 0 to 28
    assert not any(p.requires_grad for p in network.parameters())
    with torch.inference_mode():
        taps = nets.Vgg19([w // 16 for w in WIDTHS])(torch.zeros(1, 3, 32, 64))
    assert [tuple(t.shape) for t in taps] == [
        (1, 4, 32, 64),
        (1, 8, 16, 32),
        (1, 16, 8, 16),
        (1, 32, 4, 8),
        (1, 32, 2, 4),
    ]


def test_file_with_torchvision_names(tmp_path: Path) -> None:
    path = published_file(tmp_path / "vgg19.safetensors")
    perceptual = nets.build_perceptual(nets.FilePerceptual(path=str(path), scales=2))
    assert perceptual is not None
    image = torch.rand(1, 3, 32, 64) * 2 - 1
    features = perceptual.features(image)
    assert perceptual(image, features).item() == 0
    assert perceptual(-image, features).item() > 0


def test_random_features_follow_their_seed() -> None:
    image = torch.rand(1, 3, 32, 64) * 2 - 1

    def features(seed: int) -> torch.Tensor:
        perceptual = nets.build_perceptual(nets.RandomPerceptual(seed=seed, width_divisor=16))
        assert perceptual is not None
        return perceptual.features(image)[0][-1]

    assert torch.equal(features(1), features(1))
    assert not torch.equal(features(1), features(2))
    assert nets.build_perceptual(nets.NoPerceptual()) is None


def test_large_weights_are_not_kept_transformed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Kernels of 512 channels would be a good part of all memory of a step."""
    original, transformed = vs_ops.winograd_conv2d, []
    monkeypatch.setattr(vs_ops, "winograd_conv2d", lambda *a: transformed.append(a[0].shape[1]) or original(*a))
    for width in (256, 512):
        x, conv = torch.randn(1, width, 16, 16), FrozenConv2d(width, width).requires_grad_(False)
        torch.testing.assert_close(conv(x), F.conv2d(x, conv.weight, conv.bias, padding=1), rtol=0, atol=1e-4)
    assert transformed == [256]


def write_pickle(path: Path) -> None:
    torch.save({"features.0.weight": torch.zeros(1)}, path)


def write_other(path: Path) -> None:
    save_file({"a": torch.zeros(1)}, path)


def write_misfit(path: Path) -> None:
    save_file(
        {f"features.{i}.{part}": torch.zeros(2, 2, 3, 3) for i in CONV_INDICES for part in ("weight", "bias")}, path
    )


def write_changed(change: Callable[[torch.Tensor], torch.Tensor]) -> Callable[[Path], None]:
    """A file whose layers are all changed in the same way."""
    state = nets.Vgg19([2] * len(WIDTHS)).convs.state_dict()
    return lambda path: save_file({f"features.{name}": change(value) for name, value in state.items()}, path)


def write_promise(path: Path) -> None:
    header = b'{"features.0.weight":{"dtype":"F32","shape":[1000000000000],"data_offsets":[0,4000000000000]}}'
    path.write_bytes(len(header).to_bytes(8, "little") + header + bytes(40))


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (None, "no such file"),
        (os.mkfifo, "no such file"),
        (write_promise, "not a safetensors file"),
        (write_changed(lambda value: value.sum()), "do not fit together"),
        (write_changed(lambda value: value[:0]), "do not fit together"),
        (write_changed(lambda value: value.int()), "do not fit together"),
        (write_pickle, "not a safetensors file"),
        (write_other, "not a VGG-19"),
        (write_misfit, "do not fit together"),
    ],
)
def test_wrong_files_are_refused_by_name(tmp_path: Path, write: object, message: str) -> None:
    path = tmp_path / "vgg19.bin"
    if callable(write):
        write(path)
    with pytest.raises(nets.WeightsError, match=message) as caught:
        nets.load_vgg19(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
