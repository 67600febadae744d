"""Encoding of labels."""

import pytest
import torch
import vs_nets as nets


def test_kinds_are_concatenated_in_the_order_of_the_specification() -> None:
    spec = nets.LabelSpec(
        (nets.FloatMap(name="edges", channels=1), nets.ClassMap(name="seg_maps", classes=3, dont_care=True))
    )
    ids = torch.tensor([[[0, 2], [255, 1]]])
    edges = torch.full((1, 1, 2, 2), 0.5)
    encoded = nets.encode_labels(spec, {"seg_maps": ids, "edges": edges})
    assert spec.channels == encoded.shape[1] == 5
    assert torch.equal(encoded[:, :1], edges)
    assert encoded[0, 1:, 0, 0].tolist() == [1, 0, 0, 0]
    assert encoded[0, 1:, 0, 1].tolist() == [0, 0, 1, 0]
    assert encoded[0, 1:, 1, 0].tolist() == [0, 0, 0, 1]


def test_ignored_pixels_are_zero_without_a_channel_of_their_own() -> None:
    spec = nets.LabelSpec((nets.ClassMap(name="seg_maps", classes=3),))
    encoded = nets.encode_labels(spec, {"seg_maps": torch.tensor([[[255]]])})
    assert encoded.abs().sum() == 0


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ({}, "'seg_maps' is missing"),
        ({"seg_maps": torch.zeros(1, 1, 2, 2, dtype=torch.uint8)}, "expected 3 dimensions"),
    ],
)
def test_wrong_labels_are_refused(labels: dict[str, torch.Tensor], message: str) -> None:
    spec = nets.LabelSpec((nets.ClassMap(name="seg_maps", classes=3),))
    with pytest.raises(nets.ShapeError, match=message):
        nets.encode_labels(spec, labels)


def test_wrong_float_maps_are_refused() -> None:
    spec = nets.LabelSpec((nets.FloatMap(name="edges", channels=2),))
    with pytest.raises(nets.ShapeError, match="1 channels: expected 2"):
        nets.encode_labels(spec, {"edges": torch.zeros(1, 1, 2, 2)})


def test_another_id_or_none_can_be_the_ignored_one() -> None:
    ids = torch.tensor([[[200, 255]]], dtype=torch.uint8)
    two_hundred = nets.LabelSpec((nets.ClassMap(name="m", classes=256, ignore_id=200),))
    none = nets.LabelSpec((nets.ClassMap(name="m", classes=256, ignore_id=None),))
    assert nets.encode_labels(two_hundred, {"m": ids}).sum(dim=1).tolist() == [[[0.0, 1.0]]]
    assert nets.encode_labels(none, {"m": ids}).argmax(dim=1).tolist() == [[[200, 255]]]
