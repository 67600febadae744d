"""Reading pictures: exact pixels, and one clear error for each way in which a file can be bad."""

import cv2
import numpy as np
import pytest
from vs_data import DataError
from vs_data.pictures import read_ids, read_rgb, write_png


@pytest.fixture
def rgb(texture):
    return texture((20, 32))


def test_a_png_comes_back_as_it_was_written(tmp_path, rgb):
    write_png(tmp_path / "a.png", rgb)
    assert np.array_equal(read_rgb(tmp_path / "a.png"), rgb)


def test_ids_come_back_as_they_were_written(tmp_path):
    ids = np.arange(256, dtype=np.uint8).reshape(16, 16)
    write_png(tmp_path / "a.png", ids)
    assert np.array_equal(read_ids(tmp_path / "a.png"), ids)


@pytest.mark.parametrize("extension", [".jpg", ".webp"])
def test_lossy_pictures_keep_the_order_of_colours(tmp_path, extension):
    red = np.zeros((16, 16, 3), np.uint8)
    red[..., 2] = 200  # OpenCV writes BGR
    path = tmp_path / f"a{extension}"
    cv2.imwrite(str(path), red)
    assert np.abs(read_rgb(path).astype(int).mean(axis=(0, 1)) - (200, 0, 0)).max() < 12


@pytest.mark.parametrize("extension", [".png", ".jpg", ".webp"])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.99])
def test_a_truncated_picture_is_an_error(tmp_path, rgb, extension, share):
    data = cv2.imencode(extension, rgb)[1].tobytes()
    path = tmp_path / f"a{extension}"
    path.write_bytes(data[: int(share * len(data))])
    with pytest.raises(DataError, match="cut off") as caught:
        read_rgb(path)
    assert caught.value.file == str(path)


def test_a_flipped_bit_in_a_png_is_an_error(tmp_path, rgb):
    data = bytearray(cv2.imencode(".png", rgb)[1].tobytes())
    data[len(data) // 2] ^= 4
    (tmp_path / "a.png").write_bytes(data)
    with pytest.raises(DataError, match="wrong checksum"):
        read_rgb(tmp_path / "a.png")


@pytest.mark.parametrize(
    ("data", "message"),
    [(b"", "empty"), (b"no picture at all", "not a readable picture"), (b"\x89PNG\r\n\x1a\n", "cut off after 8 bytes")],
)
def test_what_is_no_picture_is_an_error(tmp_path, data, message):
    (tmp_path / "a.png").write_bytes(data)
    with pytest.raises(DataError, match=message):
        read_rgb(tmp_path / "a.png")


def test_a_missing_file_and_a_folder_are_errors(tmp_path):
    with pytest.raises(DataError, match="does not exist"):
        read_rgb(tmp_path / "a.png")
    with pytest.raises(DataError, match="cannot be read"):
        read_rgb(tmp_path)


@pytest.mark.parametrize(
    ("pixels", "words"),
    [
        (np.zeros((8, 8), np.uint8), "8 bits, 1 channel"),
        (np.zeros((8, 8, 4), np.uint8), "8 bits, 4 channels"),
        (np.zeros((8, 8, 3), np.uint16), "16 bits, 3 channels"),
    ],
)
def test_images_of_other_depths_are_errors(tmp_path, pixels, words):
    cv2.imwrite(str(tmp_path / "a.png"), pixels)
    with pytest.raises(DataError, match=f"8-bit RGB.*{words}"):
        read_rgb(tmp_path / "a.png")


@pytest.mark.parametrize(
    ("pixels", "words"),
    [(np.zeros((8, 8, 3), np.uint8), "8 bits, 3 channels"), (np.zeros((8, 8), np.uint16), "16 bits, 1 channel")],
)
def test_maps_of_other_depths_are_errors(tmp_path, pixels, words):
    cv2.imwrite(str(tmp_path / "a.png"), pixels)
    with pytest.raises(DataError, match=f"class ids.*{words}.*palette"):
        read_ids(tmp_path / "a.png")
