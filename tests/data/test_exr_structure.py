"""OpenEXR files that are cut off are one line of ours, and no line of the library that decodes them."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from label_examples import EXAMPLES, write_examples
from vs_data import DataError
from vs_data.exr import read_exr

OpenEXR = pytest.importorskip("OpenEXR", reason="the package OpenEXR is not installed")

COMPRESSIONS = ("NO", "RLE", "ZIPS", "ZIP", "PIZ", "PXR24", "B44", "DWAA", "DWAB")
LAYOUTS = ("scanlineimage", "tiledimage")
SIZE = (70, 90)


@pytest.fixture
def whole(tmp_path, request) -> Path:
    compression, layout = request.param
    header = {
        "compression": getattr(OpenEXR, f"{compression}_COMPRESSION"),
        "type": getattr(OpenEXR, layout),
    }
    if layout == "tiledimage":
        header["tiles"] = OpenEXR.TileDescription()
    planes = {name: np.random.default_rng(0).random(SIZE).astype(np.float32) for name in "RGB"}
    path = tmp_path / "a.exr"
    OpenEXR.File(header, planes).write(str(path))
    return path


ALL = [(compression, layout) for compression in COMPRESSIONS for layout in LAYOUTS]


@pytest.mark.parametrize("whole", ALL, indirect=True, ids=[" ".join(each) for each in ALL])
def test_a_file_that_is_whole_is_read_and_one_that_is_cut_anywhere_is_one_line(whole, capfd):
    assert read_exr(whole, ()).shape == (*SIZE, 3)
    data = whole.read_bytes()
    for kept in (4, 20, 100, len(data) // 50, len(data) // 3, len(data) // 2, len(data) - 1):
        whole.write_bytes(data[:kept])
        with pytest.raises(DataError, match=f"not a readable OpenEXR file: cut off after {kept} bytes; copy or") as cut:
            read_exr(whole, ())
        assert cut.value.file == str(whole)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("whole", [("ZIP", "scanlineimage")], indirect=True)
def test_a_file_whose_writer_was_interrupted_is_one_line(whole, capfd):
    """Writers leave zeros for the offsets of chunks and fill them in at the end; a chunk has 16 lines here."""
    data = whole.read_bytes()
    chunks = -(-SIZE[0] // 16)
    first = next(at for at in range(len(data)) if int.from_bytes(data[at : at + 8], "little") == at + 8 * chunks)
    whole.write_bytes(data[:first] + bytes(8 * chunks) + data[first + 8 * chunks :])
    with pytest.raises(DataError, match="does not say where its pixels are, as when writing it was interrupted"):
        read_exr(whole, ())
    assert capfd.readouterr() == ("", "")


SUMMED = [("ZIPS", "scanlineimage"), ("ZIP", "scanlineimage"), ("PXR24", "scanlineimage")]


@pytest.mark.parametrize("whole", SUMMED, indirect=True, ids=[compression for compression, _ in SUMMED])
def test_damage_inside_of_pixels_that_have_a_checksum_is_named(whole):
    """A flat picture, since chunks that compression would make larger are stored as they are, without a checksum."""
    header = OpenEXR.File(str(whole), header_only=True).header()
    planes = {name: np.repeat(np.arange(SIZE[0], dtype=np.float32)[:, None], SIZE[1], 1) for name in "RGB"}
    OpenEXR.File({"compression": header["compression"], "type": header["type"]}, planes).write(str(whole))
    assert read_exr(whole, ())[5, 0].tolist() == [5, 5, 5]
    data = bytearray(whole.read_bytes())
    data[-10] ^= 1
    whole.write_bytes(data)
    with pytest.raises(DataError, match="not a readable OpenEXR file: it is damaged or cut off; copy or") as damaged:
        read_exr(whole, ())
    assert damaged.value.file == str(whole)


LABELS = '{kind = "image", folder = "exr", channels = 1, minimum = 0.0, maximum = 70.0}'
COMMANDS = {
    "check": ["vs_data", "check", "data", "--labels", LABELS],
    "train": [
        *("vs_train", "vid2vid", "--preset", "street-tiny", "--out", "run", "data.kind=folder", "data.root=data"),
        *(
            f"data.labels=[{LABELS}]",
            'data.flow.kind="none"',
            "objective.flow=0",
            "data.height=64",
            "data.width=64",
            "precision.level=O0",
        ),
    ],
}


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_says_one_line_of_a_label_that_is_cut_off(tmp_path, command):
    example = EXAMPLES["exr"]
    write_examples(tmp_path / "data", example)
    path = tmp_path / "data" / example.kind.folder / "a" / f"001{example.extension}"
    path.write_bytes(path.read_bytes()[:-100])
    done = subprocess.run(
        [sys.executable, "-m", *COMMANDS[command]], cwd=tmp_path, capture_output=True, text=True, timeout=240
    )
    assert done.returncode == 2, done.stderr
    lines = done.stderr.splitlines() if command == "train" else done.stdout.splitlines()
    said = [line for line in lines if "cut off after" in line]
    assert len(said) == 1
    assert "exr/a/001.exr: not a readable OpenEXR file: cut off after" in said[0]
    assert "EXR_ERR" not in done.stdout + done.stderr
    assert "Exception raised" not in done.stdout + done.stderr
    assert not (tmp_path / "run").exists()
    if command == "train":
        assert len(lines) == 1
    else:
        assert done.stderr == ""
