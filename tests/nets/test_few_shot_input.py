"""References, labels and configurations that a few-shot generator refuses."""

import attrs
import pytest
import torch
import vs_nets as nets
from torch import Tensor
from toy_few_shot import PLAIN, TOY, C, H, W, build, by_weights, references
from vs_config import ConfigError


def zeros(*shape: int) -> Tensor:
    return torch.zeros(shape)


@pytest.mark.parametrize(
    ("frames", "labels", "message"),
    [
        ((2, 0, 3, H, W), (2, 0, C, H, W), "no reference: at least one"),
        ((2, 1, 1, H, W), (2, 1, C, H, W), r"frames have shape \(2, 1, 1, 16, 32\): expected \(N, K, 3, H, W\)"),
        ((2, 3, H, W), (2, C, H, W), r"expected \(N, K, 3, H, W\)"),
        ((2, 1, 3, H, W), (2, 1, 5, H, W), r"labels have shape \(2, 1, 5, 16, 32\): expected \(2, 1, 2, 16, 32\)"),
        ((2, 2, 3, H, W), (2, 1, C, H, W), r"labels have shape .*: expected \(2, 2, 2, 16, 32\)"),
        ((2, 1, 3, H, W), (2, 1, C, H, 24), "labels have shape"),
        ((2, 1, 3, 20, W), (2, 1, C, 20, W), "size 20x32: height and width must be divisible by 8"),
    ],
)
def test_wrong_references_are_refused(frames: tuple[int, ...], labels: tuple[int, ...], message: str) -> None:
    with pytest.raises(nets.ShapeError, match=message) as caught:
        build().encode_references(nets.References(frames=zeros(*frames), labels=zeros(*labels)))
    assert "\n" not in str(caught.value)


@by_weights
@pytest.mark.parametrize("k", [1, 2])
@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((2, C, 24, W), r"references have shape .*label, \(2, 2, 24, 32\)"),
        ((3, C, H, W), r"references have shape .*label, \(3, 2, 16, 32\)"),
        ((2, C, 12, W), "divisible by 8"),
        ((2, 1, H, W), r"expected \(N, 2, H, W\)"),
        ((C, H, W), r"expected \(N, 2, H, W\)"),
    ],
)
def test_wrong_labels_are_refused(
    weights: nets.WeightGeneratorConfig, k: int, shape: tuple[int, ...], message: str
) -> None:
    generator = build(weights).eval()
    with torch.no_grad():
        subject = generator.encode_references(references(k))
        with pytest.raises(nets.ShapeError, match=message) as caught:
            generator(zeros(*shape), nets.History(), subject)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"combination": nets.SpadeCombination(levels=5)},
            "combination.levels: expected at most downsamples . 1, 4, got 5",
        ),
        ({"frames": 3}, "separate_flow: expected true with frames = 3, got false"),
        ({"frames": 1}, "frames"),
        (
            {"weights": nets.WeightGeneratorConfig(levels=2, attention=nets.AttentionConfig(downsamples=4))},
            "weights.attention.downsamples: expected at most downsamples, 3, got 4",
        ),
        ({"weights": nets.WeightGeneratorConfig(levels=4)}, "weights.levels: expected at most downsamples, 3, got 4"),
        ({"max_filters": 8}, "level 1 has 8 and level 2 8; raise max_filters or lower weights.levels"),
        (
            {"embedder": nets.EmbedderConfig(arch="unet", filters=4)},
            "embedder.arch: expected 'encoderdecoder' or 'encoder' .*, got 'unet'",
        ),
        (
            {"embedder": nets.EmbedderConfig(filters=4, downsamples=1)},
            "embedder.downsamples: expected at least weights.levels, 2, got 1",
        ),
        (
            {"embedder": nets.EmbedderConfig(filters=8)},
            "embedder: expected .* that give 4 channels at level 0, as the generator has, got 8",
        ),
    ],
)
def test_impossible_shapes_are_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        attrs.evolve(TOY, **changes)
    assert len(str(caught.value).splitlines()) == len(caught.value.problems)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"label_eps": 0.0}, "label_eps"),
        ({"label_eps": float("inf")}, "label_eps"),
        ({"levels": 0}, "levels"),
        ({"hidden_layers": 0}, "hidden_layers"),
        ({"spade": False, "embedder": False}, "nothing is generated"),
    ],
)
def test_impossible_weight_generators_are_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        attrs.evolve(PLAIN, **changes)


def test_attention_needs_a_convolution_before_it() -> None:
    with pytest.raises(ValueError, match="downsamples"):
        nets.AttentionConfig(downsamples=0)
