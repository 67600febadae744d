"""The street rendered plainly: the same scene in flat colours that move as the exact flow says."""

from pathlib import Path

import pytest
import torch
from vs_data import (
    Clip,
    ClipRequest,
    FloatMaps,
    FolderConfig,
    StreetConfig,
    open_source,
    open_street,
    write_folder,
)
from vs_data.sources import folder_kinds

SIZE = {"height": 64, "width": 128, "sequence_length": 8}


def read(labels: str, **more: object) -> Clip:
    source = open_street(StreetConfig(**SIZE, labels=labels), "val")
    return source.read(ClipRequest(sequence=1, start=2, length=3, **more))


def test_rendering_comes_beside_or_instead_of_classes_and_changes_nothing_else() -> None:
    classes, plain, both = (read(labels) for labels in ("seg_maps", "render", "both"))
    assert [list(clip.labels) for clip in (classes, plain, both)] == [["seg_maps"], ["render"], ["seg_maps", "render"]]
    assert torch.equal(both.labels["render"], plain.labels["render"])
    assert torch.equal(both.labels["seg_maps"], classes.labels["seg_maps"])
    for clip in (plain, both):
        assert torch.equal(clip.frames, classes.frames)
        assert torch.equal(clip.flow, classes.flow)
    kinds = open_street(StreetConfig(**SIZE, labels="render"), "val").label_kinds
    assert kinds == {"render": FloatMaps(channels=3, title="render", pictures=True)}


def test_rendering_is_a_picture_of_few_colours_of_which_each_shows_one_class() -> None:
    clip = read("both")
    plain = clip.labels["render"]
    assert plain.shape == clip.frames.shape
    assert plain.dtype == torch.float32
    assert -1 <= plain.min() < plain.max() <= 1
    for picture, ids, frame in zip(plain, clip.labels["seg_maps"], clip.frames, strict=True):
        colours, which = picture.flatten(1).unique(dim=1, return_inverse=True)
        assert colours.shape[1] < frame.flatten(1).unique(dim=1).shape[1] / 10
        surfaces = torch.stack([which, ids.flatten().long()]).unique(dim=1).shape[1]
        assert surfaces < 1.2 * colours.shape[1]  # a colour is seldom that of two classes by chance


def test_colours_move_with_the_exact_flow() -> None:
    clip = read("render")
    plain, (height, width) = clip.labels["render"], clip.frames.shape[-2:]
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    for t in (1, 2):
        x, y = (columns + clip.flow[t, 0]).round().long(), (rows + clip.flow[t, 1]).round().long()
        known = (clip.flow_confidence[t, 0] > 0) & (x >= 0) & (x < width) & (y >= 0) & (y < height)
        before = plain[t - 1][:, y[known], x[known]]
        same = (before == plain[t][:, known]).all(0).float().mean()
        still = (plain[t - 1][:, known] == plain[t][:, known]).all(0).float().mean()
        assert same > 0.97  # all but rounding at borders
        assert same > still


def test_references_are_rendered_too() -> None:
    clip, other = read("both", references=(4,)), read("both")
    assert clip.references is not None
    assert torch.equal(clip.references.labels["render"][0], other.labels["render"][2])
    assert torch.equal(clip.references.labels["seg_maps"][0], other.labels["seg_maps"][2])


def test_borders_of_instances_are_those_that_a_folder_of_it_has(tmp_path: Path) -> None:
    config = StreetConfig(height=32, width=64, sequence_length=3, labels="instances")
    source = open_source(config, "val")
    assert list(source.label_kinds) == ["seg_maps", "instances"]
    write_folder(source, tmp_path / "street", sequences=1)
    folder = FolderConfig(root=str(tmp_path / "street"), height=32, width=64, labels=folder_kinds(config))
    request = ClipRequest(sequence=0, start=0, length=3)
    made, read_back = (each.read(request).labels for each in (source, open_source(folder, "val")))
    assert made["instances"].shape == (3, 1, 32, 64)
    assert all(torch.equal(made[kind], read_back[kind]) for kind in ("seg_maps", "instances"))


def test_unknown_label_is_named() -> None:
    with pytest.raises(
        ValueError, match="labels: expected one of 'seg_maps', 'render', 'both', 'instances', got 'depth'"
    ):
        StreetConfig(labels="depth")
