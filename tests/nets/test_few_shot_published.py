"""The published few-shot configuration, by its numbers of parameters."""

import attrs
import pytest
import torch
import vs_nets as nets
from vs_nets.references import few_shot_condition

LABELS = 1  # an edge map of the face
# Spectral norm adds buffers and no parameters, and its power iterations have no meaning without values.
CONFIG = nets.FewShotGeneratorConfig(spectral_norm=False)


def count(module: torch.nn.Module | None) -> int:
    assert module is not None
    return sum(p.numel() for p in module.parameters())


def shape_only(config: nets.FewShotGeneratorConfig) -> nets.FewShotGenerator:
    with torch.device("meta"):
        return nets.build_generator(config, label_channels=LABELS)


@pytest.fixture(scope="module")
def generator() -> nets.FewShotGenerator:
    return shape_only(CONFIG)


def test_the_generator_has_the_published_number_of_parameters(generator: nets.FewShotGenerator) -> None:
    assert count(generator) == 91_145_502
    assert count(generator.weights) + count(generator.embed_label) == 19_060_952  # published as one network
    assert count(generator.up) == 35_935_008
    assert count(generator.flow_reference) == 7_865_667
    assert count(generator.embed_reference) == 14_141_504
    assert count(generator.embed_previous) == 14_141_504
    assert count(generator.last) == 867
    assert generator.flow_previous is None


def test_what_the_published_layout_never_uses(generator: nets.FewShotGenerator) -> None:
    weights = generator.weights
    assert count(weights.encode_image.up[0]) + count(weights.encode_label.up[0]) == 4_288


def test_attention_adds_the_published_number_of_parameters(generator: nets.FewShotGenerator) -> None:
    weights = attrs.evolve(CONFIG.weights, attention=nets.AttentionConfig())
    attending = shape_only(attrs.evolve(CONFIG, weights=weights))
    assert count(attending) - count(generator) == 21_888


def test_the_discriminator_has_the_published_number_of_parameters() -> None:
    config = nets.DiscriminatorConfig(
        image=nets.PatchConfig(filters=32, layers=4, spectral_norm=True, scales=2), temporal=None
    )
    discriminator = nets.build_discriminator(config, label_channels=nets.condition_channels(CONFIG, LABELS))
    assert [count(scale) for scale in discriminator.image.scales] == [2_796_961] * 2
    assert count(discriminator) == 5_593_922


def test_frames_of_the_published_size_fit() -> None:
    assert CONFIG.stride == 32
    assert 512 % CONFIG.stride == 0
    assert nets.FewShotGeneratorConfig().spectral_norm
    assert nets.FewShotGeneratorConfig().weights.label_eps == 0.1


def test_discriminators_see_label_reference_label_and_reference() -> None:
    label, chosen = torch.full((2, 2, 4, 4), 0.5), torch.tensor([1, 0])
    references = nets.References(
        frames=torch.arange(2 * 2 * 3 * 16).view(2, 2, 3, 4, 4).float(),
        labels=-torch.arange(2 * 2 * 2 * 16).view(2, 2, 2, 4, 4).float(),
    )
    seen = few_shot_condition(label, references, chosen)
    assert seen.shape == (2, nets.condition_channels(CONFIG, 2), 4, 4)
    for i, k in enumerate((1, 0)):
        assert torch.equal(seen[i], torch.cat([label[i], references.labels[i, k], references.frames[i, k]]))
