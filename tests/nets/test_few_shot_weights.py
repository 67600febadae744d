"""Which weights of the few-shot generator are generated, and of what shape."""

from collections.abc import Mapping

import attrs
import pytest
import torch
import vs_nets as nets
from toy_few_shot import CONVOLUTIONS, PLAIN, TOY, H, W, build, references, synthesize
from vs_nets.layers import Conv2d, GeneratedConv, HyperConv2d
from vs_nets.weight_generator import WeightHead


def test_what_is_generated_has_no_parameters_of_its_own() -> None:
    generator = build(CONVOLUTIONS)
    generated = {name for name, m in generator.named_modules() if isinstance(m, HyperConv2d)}
    norms = {f"up.{level}.norm_{n}.projections.0" for level in (0, 1) for n in "01s"}
    convs = {f"up.{level}.conv_{n}" for level in (0, 1) for n in "01s"}
    assert generated == norms | convs | {"embed_label.up.0", "embed_label.up.1"}
    assert not [name for name in generator.state_dict() if any(name.startswith(f"{each}.") for each in generated)]
    assert isinstance(generator.up[2].conv_0, Conv2d)


def shapes_of(convs: Mapping[str, GeneratedConv | None]) -> dict[str, tuple[int, ...]]:
    for conv in convs.values():
        assert conv is None or conv.bias.shape == conv.weight.shape[:2]
    return {name: tuple(conv.weight.shape) for name, conv in convs.items() if conv is not None}


def test_rows_of_a_matrix_are_read_as_weights_then_bias_and_the_rest_is_left() -> None:
    head = WeightHead(4, 4, (2, 2, 1, 1), hidden_layers=1, spectral=False)
    with torch.no_grad():
        head.layers[0].weight.copy_(torch.eye(4))
        head.layers[1].weight.copy_(torch.tensor([[1.0] * 4, [10.0] * 4]))
    matrix = torch.diag(torch.tensor([1.0, 2.0, 3.0, 4.0]))  # rows give (1, 10), (2, 20), (3, 30), (4, 40)
    generated = head(torch.stack([matrix, -matrix]))  # a leaky ReLU stands between the layers
    torch.testing.assert_close(generated.weight[0].flatten(1), torch.tensor([[1.0, 10.0], [2.0, 20.0]]))
    torch.testing.assert_close(generated.bias, torch.tensor([[3.0, 30.0], [-0.6, -6.0]]))


def test_shapes_of_generated_weights() -> None:
    subject = build(CONVOLUTIONS).eval().encode_references(references(1))
    assert isinstance(subject, nets.SeparateSubject)
    generated = subject.generated
    assert generated.start.shape == (2, 32, H // 8, W // 8)
    assert [tuple(conv.weight.shape) for conv in generated.embedder] == [(2, 4, 8, 3, 3), (2, 8, 16, 3, 3)]
    assert shapes_of(generated.blocks[1]._asdict()) == {
        "norm_0": (2, 32, 8, 1, 1),
        "norm_1": (2, 16, 8, 1, 1),
        "norm_s": (2, 32, 8, 1, 1),
        "conv_0": (2, 8, 16, 3, 3),
        "conv_1": (2, 8, 8, 3, 3),
        "conv_s": (2, 8, 16, 1, 1),
    }


def test_an_encoder_alone_takes_generated_convolutions_too() -> None:
    generator = build(embedder=attrs.evolve(TOY.embedder, arch="encoder")).eval()
    assert len(generator.embed_label.up) == 0
    assert [isinstance(m, HyperConv2d) for m in generator.embed_label.down] == [True, True, False]
    subject = generator.encode_references(references(1))
    assert isinstance(subject, nets.SeparateSubject)
    assert [tuple(conv.weight.shape) for conv in subject.generated.embedder] == [(2, 8, 4, 3, 3), (2, 16, 8, 3, 3)]
    assert synthesize(generator, references(2)).frame.shape == (2, 3, H, W)


@pytest.mark.parametrize(
    "weights",
    [
        attrs.evolve(PLAIN, embedder=False),
        attrs.evolve(PLAIN, spade=False),
        attrs.evolve(CONVOLUTIONS, spade=False, embedder=False),
        attrs.evolve(PLAIN, levels=3),
    ],
    ids=["spade", "embedder", "convolutions", "every level"],
)
def test_parts_can_be_generated_alone(weights: nets.WeightGeneratorConfig) -> None:
    generator = build(weights).eval()
    first, other = (synthesize(generator, references(2, seed=seed)) for seed in (100, 200))
    assert (first.frame - other.frame).abs().max() > 1e-3


def test_generated_embedders_may_be_shallower_than_the_main_branch() -> None:
    generator = build(embedder=attrs.evolve(TOY.embedder, downsamples=2)).eval()
    assert synthesize(generator, references(2)).frame.shape == (2, 3, H, W)
