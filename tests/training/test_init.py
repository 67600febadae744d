"""Networks that begin with a trained model: what is taken, carried over or left, and what it then computes."""

from typing import Any

import attrs
import pytest
import torch
import vs_nets as nets
import vs_optim as optim
from hypothesis import given
from hypothesis import strategies as st
from vs_config import load_config
from vs_data import ClassIds, FloatMaps, open_source
from vs_nets.spectral import spectral_layers
from vs_training.config import LabelConfig, TrainConfig, label_spec
from vs_training.errors import VsTrainingError
from vs_training.first_layers import (
    LabelChannels,
    discriminator_inputs,
    generator_inputs,
    label_channels,
    meanings,
)
from vs_training.init import InitReport, Origin, describe_init, init_state
from vs_training.networks import build_state
from vs_training.state import TrainState

CPU = torch.device("cpu")
SMALL = {"filters": 4, "max_filters": 8}
STREET: dict[str, Any] = {
    "data": {"kind": "street", "height": 32, "width": 64, "sequence_length": 6},
    "generator": {
        **SMALL,
        "levels": 3,
        "image_downsamples": 2,
        "embedder": {**SMALL, "downsamples": 2},
        "flow": {**SMALL, "downsamples": 2, "residual_blocks": 1},
        "combination": {"kind": "linear"},
    },
    "discriminator": {
        "image": {"filters": 4, "layers": 2, "scales": 2, "spectral_norm": True},
        "temporal": {"patch": {"filters": 4, "layers": 2, "scales": 1}},
    },
    "precision": {"level": "O0"},
    "curriculum": {"max_length": 4},
}
FACES: dict[str, Any] = {
    "data": {"kind": "faces", "height": 32, "width": 32, "sequence_length": 6},
    "references": {"min": 1, "max": 2},
    "generator": {
        "kind": "few-shot",
        "downsamples": 3,
        "filters": 4,
        "max_filters": 16,
        "embedder": {"filters": 4, "max_filters": 16, "downsamples": 3},
        "weights": {"levels": 2, "attention": {"downsamples": 1}},
        "flow": {"filters": 4, "max_filters": 8, "downsamples": 2, "residual_blocks": 1},
        "separate_flow": True,
        "frames": 3,
        "combination": {"levels": 2, "embedder": {"arch": "unet", "filters": 4, "max_filters": 8, "downsamples": 2}},
    },
    "discriminator": {"image": {"filters": 4, "layers": 2, "scales": 1, "spectral_norm": True}},
    "precision": {"level": "O0"},
    "curriculum": {"max_length": 4},
}
KINDS = {"vid2vid": STREET, "few-shot": FACES}


def changed(document: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    key, dot, below = path.partition(".")
    return {**document, key: changed(document.get(key, {}), below, value) if dot else value}


def fresh(document: dict[str, Any], seed: int) -> tuple[TrainConfig, TrainState, LabelChannels]:
    config = load_config(TrainConfig, document)
    source = open_source(config.data, "val")
    precision = optim.resolve_precision(config.precision, CPU)
    torch.manual_seed(seed)
    state, _ = build_state(config, label_spec(config.labels, source), precision, CPU)
    return config, state, label_channels(config.labels, source.label_kinds)


def origin_of(config: TrainConfig, state: TrainState, labels: LabelChannels, **changes: Any) -> Origin:
    origin = Origin(
        where="there",
        generator=config.generator,
        labels=labels,
        averaged=state.generator_ema.state_dict(),
        raw=state.generator.state_dict(),
        discriminator=state.discriminator.state_dict(),
        discriminator_config=config.discriminator,
    )
    return attrs.evolve(origin, **changes)


def begun(document: dict[str, Any], new: dict[str, Any], **changes: Any) -> tuple[TrainState, TrainState, InitReport]:
    """The state of an origin and one that was begun from it."""
    old_config, old, old_labels = fresh(document, 1)
    config, state, labels = fresh(new, 2)
    state, report = init_state(state, origin_of(old_config, old, old_labels, **changes), config, labels)
    return old, state, report


def assert_same(one: torch.nn.Module, other: torch.nn.Module) -> None:
    mine, others = one.state_dict(), other.state_dict()
    assert mine.keys() == others.keys()
    assert all(torch.equal(mine[name], others[name]) for name in mine)


@pytest.mark.parametrize("kind", KINDS)
def test_a_model_of_the_same_shape_is_taken_whole(kind: str) -> None:
    old, state, report = begun(KINDS[kind], changed(KINDS[kind], "init.strict", True))
    assert_same(old.generator, state.generator)
    assert_same(old.discriminator, state.discriminator)
    assert_same(old.generator_ema, state.generator_ema)
    assert all(fit is not None and fit.whole for fit in report.networks.values())
    count = sum(1 for _ in state.generator.parameters())
    assert describe_init(report)[0] == f"generator: taken {count} of {count} tensors from there (trained weights)"


@pytest.mark.parametrize("kind", KINDS)
def test_another_size_is_no_matter(kind: str) -> None:
    larger = changed(changed(KINDS[kind], "data.height", 64), "data.width", 64)
    old, state, _ = begun(KINDS[kind], changed(larger, "init.strict", True))
    assert_same(old.generator, state.generator)


@pytest.mark.parametrize("kind", KINDS)
def test_first_layers_are_those_whose_shape_depends_on_labels(kind: str) -> None:
    """The table of first layers against the networks themselves, built for one channel more."""
    config = load_config(TrainConfig, KINDS[kind])
    channels = 3
    shapes: list[dict[str, dict[str, torch.Size]]] = []
    for c in (channels, channels + 1):
        networks = {
            "generator": nets.build_generator(config.generator, label_channels=c),
            "discriminator": nets.build_discriminator(
                config.discriminator, label_channels=nets.condition_channels(config.generator, c)
            ),
        }
        shapes.append({name: {n: p.shape for n, p in net.named_parameters()} for name, net in networks.items()})
    label = tuple((i,) for i in range(channels))
    tables = {
        "generator": generator_inputs(config.generator, label),
        "discriminator": discriminator_inputs(config.discriminator, config.generator, label),
    }
    for name, table in tables.items():
        few, more = (each[name] for each in shapes)
        depends = {layer for layer in few if few[layer] != more[layer]}
        assert depends <= table.keys()
        assert {layer: few[layer][1] for layer in table} == {layer: len(inputs) for layer, inputs in table.items()}


def test_channels_of_classes_follow_their_names() -> None:
    old_config, old, _ = fresh(STREET, 1)
    config, state, _ = fresh(STREET, 2)
    kept = {name: tensor.clone() for name, tensor in state.generator.state_dict().items()}
    names = tuple(f"class {i}" for i in range(35))
    spec = nets.LabelSpec((nets.ClassMap(name="seg_maps", classes=35),))
    other = ("new", *reversed(names[1:]))
    before = LabelChannels(spec=spec, names={"seg_maps": names})
    after = LabelChannels(spec=spec, names={"seg_maps": tuple(name.upper() for name in other)})
    state, report = init_state(state, origin_of(old_config, old, before), config, after)
    new, was = state.generator.state_dict(), old.generator.state_dict()
    for layer in ("embed_label.first.weight", "start.conv.weight"):
        assert torch.equal(new[layer][:, 0], kept[layer][:, 0])
        assert all(torch.equal(new[layer][:, i], was[layer][:, 35 - i]) for i in range(1, 35))
    flow = "flow.encode_labels.0.conv.weight"
    for age in range(3):
        for i in range(1, 35):
            assert torch.equal(new[flow][:, 35 * age + i], was[flow][:, 35 * age + 35 - i])
    image = "image.scales.0.convs.0.weight"
    seen, had = state.discriminator.state_dict()[image], old.discriminator.state_dict()[image]
    assert torch.equal(seen[:, 35:], had[:, 35:])
    assert torch.equal(seen[:, 2], had[:, 33])
    fit = report.networks["generator"]
    assert fit is not None
    assert fit.resized["embed_label.first.weight"] == "34 of 35 input channels"
    assert set(fit.resized) == {"embed_label.first.weight", "start.conv.weight", flow}
    assert not fit.left


def test_frames_further_back_are_matched_by_age() -> None:
    old, state, _ = begun(STREET, changed(STREET, "generator.frames", 2))
    frames, labels = "flow.encode_frames.0.conv.weight", "flow.encode_labels.0.conv.weight"
    was, new = old.generator.state_dict(), state.generator.state_dict()
    assert torch.equal(new[frames], was[frames][:, 3:])
    assert torch.equal(new[labels], was[labels][:, 35:])
    more, grown, _ = begun(STREET, changed(STREET, "generator.frames", 4))
    assert torch.equal(grown.generator.state_dict()[frames][:, 3:], more.generator.state_dict()[frames])


def test_narrower_networks_take_what_fits_by_shape_and_the_rest_stays_fresh() -> None:
    narrow = changed(STREET, "generator.filters", 2)
    _, untouched, _ = fresh(narrow, 2)
    old, state, report = begun(STREET, narrow)
    fit = report.networks["generator"]
    assert fit is not None
    assert fit.taken
    assert fit.left
    was, new, before = (each.state_dict() for each in (old.generator, state.generator, untouched.generator))
    assert all(torch.equal(new[name], was[name]) for name in fit.taken)
    assert all(torch.equal(new[name], before[name]) for name in fit.left)
    assert {*fit.taken, *fit.resized, *fit.left} == {name for name, _ in state.generator.named_parameters()}
    assert fit.left["last.weight"] == "is (3, 4, 3, 3) there, (3, 2, 3, 3) here"


@pytest.mark.parametrize("raw", [True, False], ids=["trained", "averaged"])
def test_singular_vectors_belong_to_the_weights(raw: bool) -> None:
    """Largest singular values as LAPACK finds them."""
    fewer = changed(STREET, "labels.dont_care", True)
    _, state, report = begun(STREET, fewer, **({} if raw else {"raw": None}))
    assert report.weights == ("trained" if raw else "averaged")
    for name, fit in report.networks.items():
        assert fit is not None
        for layer, module in spectral_layers(state.networks.of(name)):  # type: ignore[arg-type]
            if f"{layer}.weight" not in fit.resized and (raw or name == "discriminator"):
                continue  # the vectors were kept, and are as good as they were
            matrix = module.weight.detach().flatten(1)
            sigma = torch.linalg.matrix_norm(matrix, 2)
            torch.testing.assert_close(torch.dot(module.u, matrix @ module.v), sigma, rtol=2e-3, atol=0.0)


def test_averaged_weights_are_what_is_computed_with_where_nothing_else_is_kept() -> None:
    old, state, _ = begun(STREET, STREET, raw=None)
    spectral = {f"{name}.weight" for name, _ in spectral_layers(state.generator)}
    used, averaged = nets.effective_weights(state.generator), dict(old.generator_ema.named_parameters())
    for name, weight in averaged.items():
        # Divided by their largest singular value, which is 1 but for what power iterations have left.
        sigma = torch.linalg.matrix_norm(weight.flatten(1), 2) if name in spectral else torch.tensor(1.0)
        torch.testing.assert_close(used[name], weight / sigma, rtol=2e-3, atol=1e-6)
        torch.testing.assert_close(sigma, torch.tensor(1.0), rtol=0.1, atol=0.0)


def test_a_layer_without_spectral_norm_takes_the_weight_as_it_is_used() -> None:
    old, state, _ = begun(STREET, changed(STREET, "generator.spectral_norm", False))
    averaged = dict(old.generator_ema.named_parameters())
    for name, parameter in state.generator.named_parameters():
        torch.testing.assert_close(parameter, averaged[name])


def test_only_the_parts_that_are_asked_for_are_changed() -> None:
    _, untouched, _ = fresh(STREET, 2)
    old, state, report = begun(STREET, changed(STREET, "init.parts", "discriminator"))
    assert_same(state.generator, untouched.generator)
    assert_same(state.discriminator, old.discriminator)
    assert list(report.networks) == ["discriminator"]


def test_a_model_without_discriminators_leaves_them_fresh_and_says_so() -> None:
    _, untouched, _ = fresh(STREET, 2)
    _, state, report = begun(STREET, STREET, discriminator=None)
    assert_same(state.discriminator, untouched.discriminator)
    assert describe_init(report)[1] == "discriminator: fresh weights, since there has none for it"


def damaged(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {**weights, "last.weight": torch.full_like(weights["last.weight"], torch.nan)}


@pytest.mark.parametrize(
    ("new", "message"),
    [
        (FACES, r"init\.from: there: is a vid2vid model, and this run trains few-shot"),
        (
            changed(changed(STREET, "init.strict", True), "generator.filters", 2),
            r"init\.strict: not everything is taken as it is; generator: taken .* left fresh: .*; leave init\.strict",
        ),
    ],
)
def test_what_cannot_be_begun_with_is_refused(new: dict[str, Any], message: str) -> None:
    with pytest.raises(VsTrainingError, match=message):
        begun(STREET, new)


def test_damaged_and_foreign_weights_are_refused() -> None:
    _, old, _ = fresh(STREET, 1)
    with pytest.raises(VsTrainingError, match=r"there: last\.weight has values that are not finite"):
        begun(STREET, STREET, raw=damaged(old.generator.state_dict()))
    with pytest.raises(VsTrainingError, match="nothing of it fits"):
        begun(STREET, STREET, raw={}, discriminator={})
    with pytest.raises(VsTrainingError, match=r"init\.strict: .*discriminator: fresh weights"):
        begun(STREET, changed(STREET, "init.strict", True), discriminator=None)


CLASSES = st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=8, unique=True).map(tuple)


@given(old=CLASSES, new=CLASSES, dont_care=st.booleans())
def test_classes_are_the_same_by_name(old: tuple[str, ...], new: tuple[str, ...], dont_care: bool) -> None:
    config = LabelConfig(dont_care=dont_care)
    kinds = [{"ids": ClassIds(classes=len(names), names=names), "edges": FloatMaps(channels=2)} for names in (old, new)]
    before, after = meanings(*(label_channels(config, each) for each in kinds))
    for i, one in enumerate(old):
        for j, other in enumerate(new):
            assert (before[i] == after[j]) == (one == other)
    assert before[len(old) :] == after[len(new) :]
    assert len(set(before)) == len(before)


def test_kinds_and_classes_without_names() -> None:
    def channels(**kinds: ClassIds | FloatMaps) -> LabelChannels:
        return label_channels(LabelConfig(), kinds)

    two, three = ClassIds(classes=2), ClassIds(classes=3)
    one, other = meanings(channels(maps=two), channels(ids=two))
    assert one == other
    one, other = meanings(channels(ids=two), channels(ids=three))
    assert not set(one) & set(other)
    one, other = meanings(channels(a=two, b=three), channels(b=three, a=two))
    assert one[:2] == other[3:]
    assert one[2:] == other[:3]
    one, other = meanings(channels(a=FloatMaps(channels=2)), channels(a=FloatMaps(channels=3)))
    assert not set(one) & set(other)
