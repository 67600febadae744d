"""Feature networks: published sizes, shapes at every stage, files, and what they do not depend on."""

import os

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torchmetrics.image.fid import FrechetInceptionDistance
from torchmetrics.image.kid import KernelInceptionDistance
from vs_metrics import (
    FeatureFileError,
    ShapeError,
    add_statistics,
    frechet_distance,
    gaussian_statistics,
    kernel_distance,
)
from vs_metrics.features import (
    AlexLpipsConfig,
    I3dConfig,
    InceptionConfig,
    VggLpipsConfig,
    VideoMaeConfig,
    build_i3d,
    build_inception,
    build_lpips,
    build_videomae,
    load_features,
    load_i3d,
    load_inception,
    load_lpips,
    load_videomae,
    save_features,
)
from vs_metrics.features.layers import pad_same, resize_from_corner
from vs_metrics.features.videomae import positions
from vs_metrics.features.weights import build

TINY_I3D = I3dConfig(classes=5, divisor=16, size=32, frames=9)
TINY_MAE = VideoMaeConfig(width=16, depth=2, heads=4, inner=24, patch=8, size=16, frames=4)
TINY = (
    AlexLpipsConfig(divisor=32),
    VggLpipsConfig(divisor=32),
    InceptionConfig(divisor=32, size=75),
    TINY_I3D,
    TINY_MAE,
)
LOADERS = {"Lpips": load_lpips, "Inception": load_inception, "I3d": load_i3d, "VideoMae": load_videomae}


def count(network):
    return sum(parameter.numel() for parameter in network.parameters())


def clip(frames, size=20):
    return torch.rand(1, frames, 3, size, size, generator=torch.Generator().manual_seed(0)) * 2 - 1


def test_networks_have_as_many_parameters_as_published():
    with torch.device("meta"):
        inception, i3d = build_inception(InceptionConfig()), build_i3d(I3dConfig())
        # Keras says 21,802,784 without the classifier: it has no scale in its 17,216 normalised channels, and counts
        # their stored means and variances.
        assert count(inception) == 21_802_784 - 17_216
        # 12.29 million and the classifier of 400 actions (1,024 weights and a bias each).
        assert count(i3d) == 12_287_264 + 400 * 1025
        assert count(build_lpips(AlexLpipsConfig())) == 2_469_696 + 64 + 192 + 384 + 256 + 256
        assert count(build_lpips(VggLpipsConfig())) == 14_714_688 + 64 + 128 + 256 + 512 + 512
        # ViT-B: 12 blocks of 12 w^2 + 13 w, patches of 2x16x16 RGB pixels, a last normalisation.
        width = 768
        expected = 12 * (12 * width**2 + 13 * width) + (3 * 2 * 16 * 16 + 1) * width + 2 * width
        assert count(build_videomae(VideoMaeConfig())) == expected == 86_236_416
        giant = VideoMaeConfig(width=1408, depth=40, heads=16, inner=6144, patch=14)
        assert count(build_videomae(giant)) == pytest.approx(1.01e9, rel=0.01)


def shapes_through(modules, x):
    shapes = []
    for module in modules:
        x = module(x)
        shapes.append(tuple(x.shape[1:]))
    return shapes


def test_inception_has_the_published_shapes_at_every_stage():
    with torch.device("meta"):
        network = build_inception(InceptionConfig())
        found = shapes_through([*network.stem, *network.blocks], torch.zeros(1, 3, 299, 299))
    stem = [(32, 149), (32, 147), (64, 147), (64, 73), (80, 73), (192, 71), (192, 35)]
    blocks = [(256, 35), (288, 35), (288, 35), *[(768, 17)] * 5, (1280, 8), (2048, 8), (2048, 8)]
    assert found == [(channels, side, side) for channels, side in (*stem, *blocks)]
    assert network.num_features == 2048


def test_i3d_has_the_published_shapes_at_every_stage():
    with torch.device("meta"):
        network = build_i3d(I3dConfig())
        found = shapes_through([*network.stem, *network.blocks], torch.zeros(1, 3, 16, 224, 224))
    stem = [(64, 8, 112), (64, 8, 56), (64, 8, 56), (192, 8, 56), (192, 8, 28)]
    third, fourth = [(256, 8, 28), (480, 8, 28)], [(512, 4, 14)] * 3 + [(528, 4, 14), (832, 4, 14)]
    fifth = [(832, 2, 7), (832, 2, 7), (1024, 2, 7)]
    expected = [*stem, *third, (480, 4, 14), *fourth, *fifth]
    assert found == [(channels, time, side, side) for channels, time, side in expected]


@pytest.mark.parametrize("config", TINY, ids=lambda config: type(config).__name__)
def test_a_file_gives_the_same_network_again(config, tmp_path):
    torch.manual_seed(1)
    network = build(config)
    path = save_features(tmp_path / "new" / "a.safetensors", network, source="a test")
    found = load_features(path)
    assert found.config == config
    assert LOADERS[type(network).__name__](path).config == config
    state = found.state_dict()
    assert all(torch.equal(state[name], tensor) for name, tensor in network.state_dict().items())
    assert not any(parameter.requires_grad for parameter in found.parameters())
    assert [file.name for file in path.parent.iterdir()] == ["a.safetensors"]
    others = [load for name, load in LOADERS.items() if name != type(network).__name__]
    for load in others:
        with pytest.raises(FeatureFileError, match=f"{path}: .*, not a"):
            load(path)


def test_half_precision_in_a_file_becomes_float32(tmp_path):
    path = save_features(tmp_path / "a.safetensors", build_videomae(TINY_MAE).half())
    assert {parameter.dtype for parameter in load_videomae(path).parameters()} == {torch.float32}


HEAD = {"network": "i3d", "classes": "5", "divisor": "16", "size": "32", "frames": "9"}


@pytest.mark.parametrize(
    ("head", "change", "message"),
    [
        ({}, {}, "its head says nothing of a network; known: lpips-alex"),
        ({"network": "vgg"}, {}, "its head says 'vgg' of a network"),
        (HEAD | {"frames": "eight"}, {}, "sizes in its head that no network has"),
        (HEAD | {"frames": "8"}, {}, "sizes in its head that no network has .*frames"),
        (
            HEAD | {"divisor": "1"},
            {},
            r"stem\.0\.conv\.weight is of shape \(4, 3, 7, 7, 7\), expected \(64, 3, 7, 7, 7\)",
        ),
        (HEAD, {"logits.bias": None}, r"logits\.bias is missing, expected \(5,\)"),
        (HEAD, {"logits.bias": torch.full((5,), torch.inf)}, r"logits\.bias has values"),
        (HEAD, {"logits.bias": torch.zeros(5, dtype=torch.int32)}, r"logits\.bias has values"),
    ],
)
def test_a_file_that_does_not_fit_is_refused_in_one_line(head, change, message, tmp_path):
    state = {name: tensor for name, tensor in (build_i3d(TINY_I3D).state_dict() | change).items() if tensor is not None}
    save_file(state, tmp_path / "a.safetensors", head)
    with pytest.raises(FeatureFileError, match=message) as caught:
        load_features(tmp_path / "a.safetensors")
    assert "\n" not in str(caught.value)
    assert "tools/convert_features.py" in str(caught.value)


def test_what_is_no_file_of_a_network_is_refused(tmp_path):
    (tmp_path / "text").write_text("hello")
    os.mkfifo(tmp_path / "pipe")
    for name, message in [("text", "not a safetensors file"), ("pipe", "no such file"), ("none", "no such file")]:
        with pytest.raises(FeatureFileError, match=message):
            load_features(tmp_path / name)


def test_pictures_are_resized_from_the_corner():
    ramp = torch.arange(4.0).expand(1, 1, 4, 4)
    assert resize_from_corner(ramp, 8)[0, 0, 0].tolist() == [0, 0.5, 1, 1.5, 2, 2.5, 3, 3]
    assert resize_from_corner(ramp.mT, 2)[0, 0, :, 0].tolist() == [0, 2]
    x = torch.rand(1, 2, 5, 7)
    assert resize_from_corner(x, 6).shape == (1, 2, 6, 6)
    # torch reads between pixel centres: at the same places where the corners of both pictures are the centres' too
    padded = F.pad(x, (0, 1, 0, 1), mode="replicate")
    steps = torch.arange(10.0) / 10
    grid = torch.stack(torch.meshgrid(steps * 7 / 7 * 2 - 1, steps * 5 / 5 * 2 - 1, indexing="xy"), dim=-1)[None]
    sampled = F.grid_sample(padded, grid, mode="bilinear", align_corners=True)
    assert torch.allclose(resize_from_corner(x, 10), sampled, atol=1e-6)


@pytest.mark.parametrize(
    ("size", "kernel", "stride"), [(7, 3, 2), (8, 3, 2), (9, 7, 2), (5, 2, 2), (6, 1, 1), (4, 3, 1)]
)
def test_same_padding_gives_the_size_divided_by_the_stride_rounded_up(size, kernel, stride):
    x = pad_same(torch.ones(1, 1, size), (kernel,), (stride,))
    assert F.conv1d(x, torch.ones(1, 1, kernel), stride=stride).shape[-1] == -(-size // stride)
    added = x.shape[-1] - size
    assert x[0, 0].tolist() == [0.0] * (added // 2) + [1.0] * size + [0.0] * (added - added // 2)


def test_positions_are_sines_and_cosines_of_waves_in_geometric_progression():
    found = positions(7, 6)
    assert torch.allclose(found[:, 0], torch.arange(7.0).sin(), atol=1e-6)
    assert torch.allclose(found[:, 1], torch.arange(7.0).cos(), atol=1e-6)
    assert torch.allclose(found[:, 2], (torch.arange(7.0) / 10_000 ** (1 / 3)).sin(), atol=1e-6)


def test_attention_is_that_of_torch():
    torch.manual_seed(0)
    block = build_videomae(TINY_MAE).blocks[0]
    theirs = torch.nn.MultiheadAttention(16, 4, batch_first=True)
    theirs.in_proj_weight.data, theirs.in_proj_bias.data = block.qkv.weight.data, block.qkv.bias.data
    theirs.out_proj.load_state_dict(block.project.state_dict())
    x = torch.randn(2, 9, 16)
    assert torch.allclose(block._attend(x), theirs(x, x, x, need_weights=False)[0], atol=1e-6)


def test_features_are_of_saved_pictures_and_each_alone():
    torch.manual_seed(0)
    for network, x in (
        (build_inception(TINY[2]), clip(3)[0]),
        (build_i3d(TINY_I3D), clip(9)),
        (build_videomae(TINY_MAE), clip(4)),
    ):
        found = network(x)
        assert (found.shape, found.dtype) == ((x.shape[0], network.num_features), torch.float32)
        saved = (x * 127.5 + 127.5).round().to(torch.uint8)
        assert torch.equal(network(saved.float() / 127.5 - 1), found)
        more = torch.cat([x.flip(-1), x])
        assert torch.allclose(network(more)[len(x) :], found, atol=1e-5)
        with torch.autocast("cpu", torch.bfloat16):
            assert torch.equal(network(x), found)


@pytest.mark.parametrize("config", TINY[:2])
def test_lpips_is_a_distance(config):
    torch.manual_seed(0)
    network = build_lpips(config)
    a, b = clip(2, size=40)[0], clip(2, size=40)[0].flip(-1)
    assert network(a, a).tolist() == [0, 0]
    assert torch.equal(network(a, b), network(b, a))
    assert (network(a, b) > network(a, a.lerp(b, 0.2))).all()


def test_inputs_of_other_shapes_are_refused():
    inception, i3d, lpips = build_inception(TINY[2]), build_i3d(TINY_I3D), build_lpips(TINY[0])
    for call in (
        lambda: inception(torch.zeros(1, 1, 20, 20)),
        lambda: i3d(clip(8)),
        lambda: lpips(torch.zeros(1, 3, 30, 40), torch.zeros(1, 3, 30, 40)),
        lambda: lpips(torch.zeros(1, 3, 40, 40), torch.zeros(1, 3, 40, 41)),
    ):
        with pytest.raises(ShapeError):
            call()


@pytest.mark.filterwarnings("ignore:Metric `Kernel Inception Distance` will save:UserWarning")
def test_torchmetrics_accumulates_our_features_to_our_distances():
    torch.manual_seed(0)
    network = build_inception(InceptionConfig(divisor=64, size=75))
    real, made = torch.rand(2, 6, 3, 24, 24) * 2 - 1
    fid = FrechetInceptionDistance(feature=network)
    kid = KernelInceptionDistance(feature=network, subsets=1, subset_size=6)
    for theirs in (fid, kid):
        for a, b in zip(real.split(2), made.split(2), strict=True):  # clip by clip
            theirs.update(a, real=True)
            theirs.update(b, real=False)
    x, y = ([network(part) for part in frames.split(2)] for frames in (real, made))
    a, b = (add_statistics(gaussian_statistics(part) for part in parts) for parts in (x, y))
    assert float(fid.compute()) == pytest.approx(frechet_distance(a, b, least=2), rel=1e-3, abs=1e-7)
    ours = kernel_distance(torch.cat(x), torch.cat(y), least=2)
    assert float(kid.compute()[0]) == pytest.approx(ours.value, rel=1e-3, abs=1e-7)


@pytest.mark.parametrize("wrong", [{"divisor": 0}, {"divisor": 2.0}, {"size": 74}])
def test_sizes_have_limits(wrong):
    with pytest.raises((ValueError, TypeError)):
        InceptionConfig(**wrong)
    with pytest.raises(ValueError, match="no multiple"):
        VideoMaeConfig(width=770)
