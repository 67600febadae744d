"""Classes by colours, palettes, wide ids and maps of ids; borders of instances; labels that are computed."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from label_examples import SIZE, ids_at, write_examples
from picture_files import PALETTE, chunk, packed, png
from vs_config import ConfigError, load_config
from vs_data import (
    BlurConfig,
    ClipRequest,
    DataError,
    EdgesConfig,
    FolderConfig,
    GreyConfig,
    InstancesConfig,
    LabelKind,
    LabelRequest,
    NoFlowConfig,
    SegMapsConfig,
    StreetConfig,
    check_folder,
    open_folder,
    open_labels,
    open_source,
    write_folder,
)
from vs_data.labels import handler_of
from vs_data.labels.colours import ADE20K, CITYSCAPES, CITYSCAPES_TRAIN, MAPS, ids_of_colours, nearest_colour
from vs_data.labels.instances import instance_edges
from vs_data.street.source import CLASS_NAMES
from vs_metrics.colours import CITYSCAPES_PALETTE

RGB = np.array(CITYSCAPES, np.uint8)


@pytest.fixture
def folder(tmp_path):
    """Write one frame, and a file of bytes or pixels (RGB) as its label."""

    def write(data: bytes | np.ndarray, name: str = "seg_maps") -> Path:
        write_examples(tmp_path, frames=1)
        path = tmp_path / name / "a" / "000.png"
        path.parent.mkdir(parents=True)
        match data:
            case bytes():
                path.write_bytes(data)
            case _:
                assert cv2.imwrite(str(path), data[..., ::-1] if data.ndim == 3 else data)
        return tmp_path

    return write


def config_of(root: Path, kind: LabelKind) -> FolderConfig:
    return FolderConfig(
        root=str(root), labels=(kind,), flow=NoFlowConfig(), height=SIZE[0], width=SIZE[1], min_frames=1
    )


def read(root: Path, kind: LabelKind) -> np.ndarray:
    clip = open_folder(config_of(root, kind), "val").read(ClipRequest(sequence=0, start=0, length=1))
    return clip.labels[kind.folder][0].numpy()


def test_tables_of_colours_are_those_that_are_published():
    assert CITYSCAPES == CITYSCAPES_PALETTE
    assert len(ADE20K) == 151
    assert len(set(ADE20K)) == 150  # road and skyscraper share one
    known = {1: (120, 120, 120), 3: (6, 230, 230), 7: (140, 140, 140), 13: (150, 5, 61), 49: (140, 140, 140)}
    assert {place: ADE20K[place] for place in known} == known
    assert (ADE20K[0], ADE20K[150]) == ((0, 0, 0), (92, 0, 255))


def test_train_ids_are_the_nineteen_classes_of_the_benchmark_in_its_order():
    names = "road sidewalk building wall fence pole|traffic light|traffic sign|vegetation terrain sky person rider car"
    wanted = [word for part in names.split("|") for word in ([part] if part.startswith("traffic") else part.split())]
    wanted += ["truck", "bus", "train", "motorcycle", "bicycle"]
    assert [CLASS_NAMES[label] for label in CITYSCAPES_TRAIN] == wanted
    assert dict(MAPS["ade20k-150"]) == {label: label - 1 for label in range(1, 151)}


@given(pixels=arrays(np.uint8, (3, 4, 3), elements=st.integers(0, 3)), colours=st.permutations(range(27)))
def test_each_colour_is_looked_up_as_a_dictionary_would(pixels, colours):
    table = tuple((code // 9, code // 3 % 3, code % 3) for code in colours[:9])
    expected = [[table.index(tuple(each)) if tuple(each) in table else -1 for each in row] for row in pixels.tolist()]
    assert ids_of_colours(pixels, table).tolist() == expected


def test_of_equal_colours_the_first_counts():
    assert ids_of_colours(np.zeros((1, 1, 3), np.uint8), CITYSCAPES).item() == 0
    assert ids_of_colours(np.array([[[0, 0, 142]]], np.uint8), CITYSCAPES).item() == 26
    assert nearest_colour((129, 64, 127), CITYSCAPES) == 7


def test_colours_palettes_and_ids_of_one_map_are_the_same_classes(folder, tmp_path):
    labels = ids_at(0) + 7
    index = np.arange(256)[::-1].astype(np.uint8)  # a palette in which class k has another index than k
    palette = np.zeros((256, 3), np.uint8)
    palette[index[:35]] = RGB
    by_palette = png(packed(index[labels], 8), SIZE[1], 8, PALETTE, chunk(b"PLTE", palette.tobytes()))
    coded = SegMapsConfig(colours="cityscapes")
    expected = np.where(labels == 18, 17, labels)  # poles and groups of poles have one colour
    assert np.array_equal(read(folder(RGB[labels]), coded), expected)
    (tmp_path / "seg_maps" / "a" / "000.png").write_bytes(by_palette)
    assert np.array_equal(read(tmp_path, coded), expected)
    plain = png(packed(labels, 8), SIZE[1], 8, PALETTE, chunk(b"PLTE", palette.tobytes()))
    (tmp_path / "seg_maps" / "a" / "000.png").write_bytes(plain)
    assert np.array_equal(read(tmp_path, SegMapsConfig()), labels)


def test_a_map_says_what_ids_become_and_all_others_are_ignored(folder):
    ids = ids_at(0).astype(np.uint16) * 5000
    kind = SegMapsConfig(map=((5000, 0), (10000, 1), (15000, 1)), num_classes=2)
    root = folder(ids)
    expected = np.select([ids == 5000, (ids == 10000) | (ids == 15000)], [0, 1], 255)
    assert np.array_equal(read(root, kind), expected)
    assert "ids that the map does not name, which become 255" in str(check_folder(config_of(root, kind)).findings)
    strict = SegMapsConfig(map=kind.map, num_classes=2, ignore_id=None)
    with pytest.raises(DataError, match=r"000\.png: id 0 at x=0, y=0 is not in the map \(\d+ such pixels\); add it"):
        read(root, strict)


def test_train_ids_are_made_of_label_ids(folder):
    labels = ids_at(0) + 7
    kind = SegMapsConfig(map="cityscapes-train", num_classes=19)
    expected = np.full(labels.shape, 255)
    for train, label in enumerate(CITYSCAPES_TRAIN):
        expected[labels == label] = train
    assert np.array_equal(read(folder(labels), kind), expected)


def test_tables_in_toml_are_pairs_and_old_configurations_mean_what_they_meant():
    document = {"map": {"7": 0, "8": 1}, "num_classes": 2, "colours": [[1, 2, 3]] * 9}
    assert load_config(SegMapsConfig, document).map == ((7, 0), (8, 1))
    assert load_config(SegMapsConfig, document).colours == ((1, 2, 3),) * 9
    old = load_config(SegMapsConfig, {"folder": "ids", "num_classes": 3, "ignore_id": "none"})
    assert (old.map, old.colours) == ((), None)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"map": {"7": 2}, "num_classes": 2}, r"map\.7: expected a class, 0 to 1 \(num_classes\), or the ignore_id"),
        ({"map": {"7": -1}}, "map.7: expected a whole number from 0 to 255 by a whole number from 0 to 65535"),
        ({"map": {"road": 1}}, "map: expected a table of .* or 'cityscapes-train' or 'ade20k-150'"),
        ({"map": "cityscapes"}, "map: expected a table of"),
        ({"colours": "ade20k"}, "num_classes: expected at least 151, the number of colours"),
        ({"colours": [[1, 2]]}, r"colours: expected one of 'cityscapes', 'ade20k' or a list of"),
        ({"colours": [[1, 2, 256]]}, "colours: expected one of"),
    ],
)
def test_tables_that_make_no_sense_are_refused(fields, message):
    with pytest.raises(ConfigError, match=message):
        load_config(SegMapsConfig, fields)


WRONG = {
    "unknown colour": (
        np.where(np.arange(64)[:, None] == 5, np.uint8(127), RGB[ids_at(0) + 7]),
        SegMapsConfig(colours="cityscapes"),
        "colour (127, 127, 127) at x=5, y=0 stands for no class (48 pixels of unknown colours); "
        "nearest: (150, 120, 90), id 16",
    ),
    "greys": (ids_at(0), SegMapsConfig(colours="cityscapes"), "is a picture of 8 bits, 1 channel, not of RGB"),
    "colours": (
        RGB[ids_at(0) + 7],
        SegMapsConfig(),
        "is a picture of colours (8 bits, 3 channels), not a map of class",
    ),
    "packed greys": (ids_at(0), InstancesConfig(folder="seg_maps", stored="rgb"), "is a picture of 8 bits, 1 channel"),
    "unpacked": (
        RGB[ids_at(0) + 7],
        InstancesConfig(folder="seg_maps"),
        "is a picture of colours (8 bits, 3 channels)",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_map_is_one_line_with_the_place(folder, case):
    pixels, kind, message = WRONG[case]
    root = folder(pixels)
    (problem,) = check_folder(config_of(root, kind)).errors
    assert problem.file.endswith("seg_maps/a/000.png")
    assert message in problem.what
    assert problem.fix
    with pytest.raises(DataError, match=r"seg_maps/a/000\.png: "):
        read(root, kind)


def test_colours_that_were_compressed_with_loss_are_refused(folder):
    root = folder(cv2.imencode(".jpg", RGB[ids_at(0) + 7])[1].tobytes())
    with pytest.raises(DataError, match="is compressed with loss, which changes colours; write it as PNG"):
        read(root, SegMapsConfig(colours="cityscapes"))


def slow_edges(ids: np.ndarray) -> np.ndarray:
    found = np.zeros(ids.shape, np.float32)
    for y, x in np.ndindex(*ids.shape):
        around = [(y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)]
        inside = [place for place in around if 0 <= place[0] < ids.shape[0] and 0 <= place[1] < ids.shape[1]]
        found[y, x] = any(ids[place] != ids[y, x] for place in inside)
    return found


@given(ids=arrays(np.int32, st.tuples(st.integers(1, 5), st.integers(1, 6)), elements=st.integers(0, 3)))
def test_a_border_is_where_one_of_four_neighbours_has_another_id(ids):
    assert np.array_equal(instance_edges(ids[None])[0, 0], slow_edges(ids))


def test_ids_of_16_bits_and_ids_in_colours_have_the_borders_of_the_ids(folder, tmp_path):
    ids = ids_at(0).astype(np.int64) * 7001
    expected = slow_edges(ids)
    wide = folder((ids % 65536).astype(np.uint16), "instances")
    assert np.array_equal(read(wide, InstancesConfig())[0], expected)
    colours = np.stack([ids % 256, ids // 256 % 256, ids // 65536], axis=-1).astype(np.uint8)
    cv2.imwrite(str(tmp_path / "instances" / "a" / "000.png"), colours[..., ::-1])
    assert np.array_equal(read(tmp_path, InstancesConfig(stored="rgb"))[0], expected)


def test_the_street_is_written_with_its_instances(tmp_path):
    source = open_source(StreetConfig(height=32, width=64, sequence_length=2, val_sequences=1), "val")
    write_folder(source, tmp_path / "street", sequences=1)
    clip = source.read(ClipRequest(sequence=0, start=0, length=2))
    config = FolderConfig(
        root=str(tmp_path / "street"), labels=(InstancesConfig(),), flow=NoFlowConfig(), height=32, width=64
    )
    found = open_folder(config, "val").read(ClipRequest(sequence=0, start=0, length=2)).labels["instances"]
    assert clip.instances is not None
    assert np.array_equal(found.numpy(), instance_edges(clip.instances.numpy()))
    assert found.any()


def test_computed_labels_are_what_opencv_says(texture):
    picture = texture(SIZE)
    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    edges = handler_of(EdgesConfig(low=10.0, high=40.0, radius=0.0)).computed([picture])
    assert np.array_equal(edges[0, 0].numpy(), cv2.Canny(grey, 10, 40, L2gradient=True) / 255)
    greys = handler_of(GreyConfig()).computed([picture])
    assert np.allclose(greys[0, 0].numpy(), grey / 127.5 - 1, atol=1e-6)
    flat = np.full_like(picture, 77)
    assert np.allclose(handler_of(BlurConfig()).computed([flat]), 77 / 127.5 - 1)
    step = np.where(np.arange(64)[:, None] < 32, np.uint8(0), np.full_like(picture, 200))
    blurred = handler_of(BlurConfig(radius=3.0)).computed([step])[0, 1, 20]
    rises = 0.5 + 0.5 * torch.erf((torch.arange(64) - 31.5) / (3 * 2**0.5))  # the integral of the Gaussian
    assert torch.allclose((blurred + 1) * 127.5, 200 * rises, atol=2)
    with pytest.raises(ConfigError, match="low: expected at most high, 40"):
        EdgesConfig(low=50.0, high=40.0)


def test_frames_in_a_pipe_drive_several_computed_kinds_and_picture_labels_have_a_byte_for_each_channel(tmp_path):
    write_examples(tmp_path, frames=2)
    frames = open_folder(config_of(tmp_path, GreyConfig()), "val").read(ClipRequest(sequence=0, start=0, length=2))
    raw = ((frames.frames + 1) * 127.5).round().byte().permute(0, 2, 3, 1).numpy().tobytes()
    kinds = (GreyConfig(), BlurConfig(), EdgesConfig())
    pipe = tmp_path / "pipe"
    pipe.write_bytes(raw)
    with pipe.open("rb") as stdin:
        (sequence,) = open_labels("-", LabelRequest(kinds=kinds, size=SIZE), stdin=stdin)
        found = list(sequence.read())
    assert len(found) == 2
    assert torch.equal(torch.stack([frame.labels["grey"] for frame in found]), frames.labels["grey"])
    assert list(found[0].labels) == ["grey", "blur", "edges"]
    pipe.write_bytes(raw[:-1])
    with pipe.open("rb") as stdin, pytest.raises(DataError, match=r"frame 1: ends after 9215 of 9216 bytes \(3 x 48"):
        list(open_labels("-", LabelRequest(kinds=kinds, size=SIZE), stdin=stdin)[0].read())
