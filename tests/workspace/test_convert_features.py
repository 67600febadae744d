"""Converting published feature networks: what arrives gives the numbers that other programs compute with it.

Published weights are not at hand: others of the same names and shapes, which follow from the names, take their
place. Numbers that are compared with were computed from them by torch-fidelity 0.4.0 (Inception), by cd-fvd 0.1.1
(I3D, with the published epsilon of 0.001; VideoMAE v2), and, while the test runs, by torchmetrics (LPIPS).
"""

import zlib

import convert_features
import numpy as np
import pytest
import torch
from convert_features import (
    ConversionError,
    convert,
    fill,
    i3d_plan,
    inception_plan,
    lpips_plan,
    published_heads,
    videomae_plan,
    with_attention_biases,
)
from safetensors.torch import load_file
from torch import nn
from torchmetrics.functional.image import lpips as torchmetrics_lpips
from vs_config.commands import run_command
from vs_metrics.features import (
    AlexLpipsConfig,
    I3dConfig,
    Inception,
    InceptionConfig,
    VggLpipsConfig,
    VideoMae,
    VideoMaeConfig,
    build_lpips,
    load_features,
)
from vs_metrics.features.weights import build


def weights_of(name, shape):
    """Weights that follow from a name, such that activations neither vanish nor grow."""
    wave = np.random.default_rng(zlib.crc32(name.encode())).random(shape) * 2 - 1
    if len(shape) > 1:
        values = wave * np.sqrt(6 / np.prod(shape[1:]))
    elif name.endswith("running_var"):
        values = 1 + 0.5 * wave
    elif name.endswith("weight"):
        values = 1 + 0.3 * wave
    else:
        values = 0.1 * wave
    return torch.from_numpy(values).float()


def published(plan):
    """A state dict with the names and shapes of what a plan converts."""
    shapes = [tuple(tensor.shape) for tensor in build(plan.config).state_dict().values()]
    logits = "logits.conv3d.weight"
    longer = {logits: (*shapes[plan.names.index(logits)], 1, 1, 1)} if logits in plan.names else {}
    return {name: weights_of(name, longer.get(name, shape)) for name, shape in zip(plan.names, shapes, strict=True)}


def frames(*shape):
    """Random levels of pictures, as frames in [-1, 1]."""
    levels = (np.random.default_rng(7).random(shape) * 256).astype(np.uint8)
    return torch.from_numpy(levels).float() / 127.5 - 1


def fingerprint(features):
    flat = features.double().flatten()
    return [flat.norm().item(), *flat[:: len(flat) // 6][:6].tolist()]


def test_inception_gives_the_features_that_torch_fidelity_computes(tmp_path):
    plan = inception_plan(InceptionConfig(size=139))
    network = fill(plan, published(plan), tmp_path)
    expected = [96.93384, 1.65914, 0.0, 0.389032, 1.49286, 3.13946, 0.239377]
    assert fingerprint(network(frames(1, 3, 45, 60))) == pytest.approx(expected, rel=1e-4, abs=1e-5)


def test_i3d_gives_the_logits_that_cd_fvd_computes(tmp_path):
    plan = i3d_plan(I3dConfig(size=64, frames=17))
    network = fill(plan, published(plan), tmp_path)
    expected = [193.8429, -1.08573, 8.94413, 11.176, 5.08685, 4.27061, -4.60721]
    assert fingerprint(network(frames(1, 17, 3, 64, 64))) == pytest.approx(expected, rel=1e-4)


def test_videomae_gives_the_features_that_cd_fvd_computes(tmp_path):
    config = VideoMaeConfig(width=48, depth=2, heads=3, inner=144, patch=14)
    shapes = dict(zip(videomae_plan(config).names, build(config).state_dict().values(), strict=True))
    state = {name: weights_of(name, tuple(tensor.shape)) for name, tensor in shapes.items()}
    for block in ("blocks.0.attn.", "blocks.1.attn."):
        del state[f"{block}qkv.bias"]
        state |= {f"{block}{name}": weights_of(f"{block}{name}", (48,)) for name in ("q_bias", "v_bias")}
    network = fill(videomae_plan(config), with_attention_biases(state), tmp_path)
    expected = [7.015363, -1.19056, 1.00215, 0.0814685, 0.0827433, 0.193777, -0.37068]
    assert fingerprint(network(frames(1, 16, 3, 20, 30))) == pytest.approx(expected, rel=1e-4)


def classifier(config):
    """The layers of torchvision's AlexNet or VGG-16 up to the last convolution, with random weights."""
    network = build_lpips(config)
    layers = []
    for conv, layer in zip(network.convs, config.convolutions, strict=True):
        layers += [nn.MaxPool2d(layer.pool, 2)] * bool(layer.pool)
        layers += [
            nn.Conv2d(conv.in_channels, conv.out_channels, conv.kernel_size, conv.stride, conv.padding),
            nn.ReLU(),
        ]
    sequence = nn.Sequential(*layers)
    for name, parameter in sequence.named_parameters():
        parameter.data = weights_of(name, tuple(parameter.shape))
    return sequence


@pytest.mark.parametrize(("config", "name"), [(AlexLpipsConfig(), "alex"), (VggLpipsConfig(), "vgg")])
def test_lpips_with_published_heads_gives_the_distances_that_torchmetrics_computes(config, name, monkeypatch, tmp_path):
    layers = classifier(config)
    state = {f"features.{key}": tensor for key, tensor in layers.state_dict().items()}
    torch.save(state, tmp_path / "published.pth")
    convert(tmp_path / "published.pth", tmp_path / "lpips.safetensors")
    monkeypatch.setattr(torchmetrics_lpips, "_get_tv_model_features", lambda net, pretrained: layers)
    theirs = torchmetrics_lpips._LPIPS(pretrained=True, net=name)
    a, b = frames(2, 3, 40, 48), frames(2, 3, 40, 48).roll(3, dims=-1)
    found = load_features(tmp_path / "lpips.safetensors")(a, b)
    assert found.tolist() == pytest.approx(theirs(a, b).flatten().tolist(), rel=1e-4)
    assert torch.equal(found.argsort(), theirs(a, b).flatten().argsort())


def test_the_names_that_are_converted_are_as_many_as_the_network_has_tensors():
    for plan in (
        lpips_plan(AlexLpipsConfig()),
        lpips_plan(VggLpipsConfig()),
        inception_plan(InceptionConfig()),
        i3d_plan(I3dConfig()),
        videomae_plan(VideoMaeConfig()),
    ):
        with torch.device("meta"):
            assert len(plan.names) == len(set(plan.names)) == len(build(plan.config).state_dict())


@pytest.mark.parametrize("wrapper", [None, "module", "model"])
def test_the_kind_and_the_sizes_are_read_from_the_file(wrapper, tmp_path):
    config = VideoMaeConfig(width=384, depth=2, heads=6, inner=8, patch=14, tubelet=1)
    shapes = dict(zip(videomae_plan(config).names, build(config).state_dict().values(), strict=True))
    state = {name: weights_of(name, tuple(tensor.shape)) for name, tensor in shapes.items()}
    state |= {"head.weight": torch.zeros(5, 384)}
    torch.save({wrapper: state, "epoch": 3} if wrapper else state, tmp_path / "a.pth")
    network = convert(tmp_path / "a.pth", tmp_path / "new" / "a.safetensors")
    assert isinstance(network, VideoMae)
    assert network.config == config
    assert torch.equal(network.embed.weight, state["patch_embed.proj.weight"])
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["a.safetensors"]


def test_the_layers_of_inception_arrive_unchanged(tmp_path):
    state = published(inception_plan(InceptionConfig()))
    torch.save(state | {"fc.weight": torch.zeros(1008, 2048)}, tmp_path / "a.pth")
    network = convert(tmp_path / "a.pth", tmp_path / "a.safetensors")
    assert isinstance(network, Inception)
    found = load_file(tmp_path / "a.safetensors")
    assert sum(tensor.numel() for tensor in found.values()) == sum(tensor.numel() for tensor in state.values())
    assert torch.equal(
        found["blocks.10.branches.2.2.branches.1.conv.weight"], state["Mixed_7c.branch3x3dbl_3b.conv.weight"]
    )


def test_what_no_published_network_is_is_refused_in_one_line(tmp_path, capsys):
    torch.save({"weight": torch.zeros(1)}, tmp_path / "a.pth")
    (tmp_path / "b.pth").write_text("hello")
    for name, problem in [
        ("a.pth", "none of AlexNet, VGG-16, Inception-v3 for FID, I3D, VideoMAE by its tensors' names"),
        ("b.pth", "not a file of weights"),
        ("c.pth", "there is no such file"),
    ]:
        arguments = [str(tmp_path / name), str(tmp_path / "out")]
        assert run_command(convert_features.main, ConversionError, arguments=arguments) == 2
        line = capsys.readouterr().err
        assert line.startswith(f"error: {tmp_path / name}: {problem}")
        assert line.count("\n") == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"Mixed_3b.b0.bn.bias": None}, r"Mixed_3b\.b0\.bn\.bias is missing"),
        ({"Mixed_3b.b0.bn.bias": torch.zeros(3)}, r"Mixed_3b\.b0\.bn\.bias is of shape \(3,\), expected \(4,\)"),
        ({"Mixed_3b.b0.bn.bias": torch.full((4,), torch.nan)}, r"Mixed_3b\.b0\.bn\.bias .*not finite"),
        ({"logits.conv3d.bias": torch.zeros(400, dtype=torch.int64)}, r"logits\.conv3d\.bias is no dense tensor"),
    ],
)
def test_a_tensor_that_does_not_fit_is_named(change, message, tmp_path):
    plan = i3d_plan(I3dConfig(divisor=16))
    state = {name: tensor for name, tensor in (published(plan) | change).items() if tensor is not None}
    with pytest.raises(ConversionError, match=message):
        fill(plan, state, tmp_path)


@pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")
def test_a_torchscript_archive_is_not_run(tmp_path):
    torch.jit.script(nn.ReLU()).save(tmp_path / "i3d_torchscript.pt")
    with pytest.raises(ConversionError, match=r"not a file of weights: .*TorchScript"):
        convert(tmp_path / "i3d_torchscript.pt", tmp_path / "out")


@pytest.mark.parametrize(
    "shapes",
    [
        {"patch_embed.proj.weight": (384, 3)},
        {"patch_embed.proj.weight": (384, 3, 2, 16, 16)},
        {"patch_embed.proj.weight": (40, 3, 2, 16, 16), "blocks.0.mlp.fc1.weight": (4, 4)},
        {"patch_embed.proj.weight": (384, 3, 3, 16, 16), "blocks.0.mlp.fc1.weight": (4, 384)},
    ],
)
def test_sizes_of_no_videomae_are_refused(shapes, tmp_path):
    torch.save({name: torch.zeros(shape) for name, shape in shapes.items()}, tmp_path / "a.pth")
    with pytest.raises(ConversionError, match=r"VideoMAE|no such network"):
        convert(tmp_path / "a.pth", tmp_path / "out")


def test_heads_of_torchmetrics_are_there():
    assert published_heads("alex").is_file()
    assert published_heads("vgg").is_file()
