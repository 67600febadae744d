"""Reading pictures: exact pixels, notes on what is converted, one clear error for each way in which a file is bad."""

import cv2
import numpy as np
import pytest
import simplejpeg
from picture_files import (
    GREY,
    GREY_ALPHA,
    PALETTE,
    RGB,
    RGB_ALPHA,
    chunk,
    encoded,
    exif,
    jpeg_with,
    packed,
    png,
    png_with,
    riff,
    webp_with,
)
from vs_data import DataError
from vs_data.pictures import TURNED, inspect_ids, inspect_rgb, read_ids, read_rgb, write_png


@pytest.fixture
def rgb(texture):
    return texture((20, 32))


@pytest.fixture
def file(tmp_path):
    """Write some bytes into a file that is called a PNG."""

    def write(data: bytes, name: str = "a.png"):
        (tmp_path / name).write_bytes(data)
        return tmp_path / name

    return write


def test_a_png_comes_back_as_it_was_written(tmp_path, rgb):
    write_png(tmp_path / "a.png", rgb)
    picture = inspect_rgb(tmp_path / "a.png")
    assert np.array_equal(picture.pixels, rgb)
    assert picture.notes == ()


def test_ids_come_back_as_they_were_written(tmp_path):
    ids = np.arange(256, dtype=np.uint8).reshape(16, 16)
    write_png(tmp_path / "a.png", ids)
    found = inspect_ids(tmp_path / "a.png")
    assert np.array_equal(found.ids, ids)
    assert found.notes == ()


@pytest.mark.parametrize("extension", [".jpg", ".webp"])
def test_lossy_pictures_keep_the_order_of_colours(file, extension):
    red = np.zeros((16, 16, 3), np.uint8)
    red[..., 0] = 200
    path = file(encoded(extension, red), f"a{extension}")
    assert np.abs(read_rgb(path).astype(int).mean(axis=(0, 1)) - (200, 0, 0)).max() < 12


@pytest.mark.parametrize("flags", [[], [cv2.IMWRITE_JPEG_PROGRESSIVE, 1], [cv2.IMWRITE_JPEG_RST_INTERVAL, 2]])
def test_a_jpeg_is_read_as_opencv_reads_it(file, rgb, flags):
    data = encoded(".jpg", rgb, *flags)
    expected = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB)
    assert np.array_equal(read_rgb(file(data)), expected)


STRAYS = ("holds bytes that are part of nothing, which are passed over",)


@pytest.mark.parametrize(
    ("change", "notes"),
    [
        (lambda jpeg: jpeg + bytes(512), ()),
        (lambda jpeg: jpeg + b"\xff" * 512, ()),
        (lambda jpeg: jpeg + jpeg, ()),  # a second picture, as of a depth map
        (lambda jpeg: jpeg[:2] + b"\xff\xfe\0\x06\xff\xd9\xff\xda" + jpeg[2:], ()),  # a comment
        (lambda jpeg: jpeg[:2] + b"\xff\xee\0\x0eAdobe\0\x64\0\0\0\0\x07" + jpeg[2:], ()),
        (lambda jpeg: jpeg[:-2] + bytes(2048) + jpeg[-2:], STRAYS),
        (lambda jpeg: jpeg[:-2] + b"\xff" * 2048 + jpeg[-2:], ()),
        (lambda jpeg: jpeg[:20] + bytes(3) + jpeg[20:], STRAYS),
        (lambda jpeg: jpeg.replace(b"\xff\xda", b"\x12\x34\xff\xda", 1), STRAYS),
        (lambda jpeg: jpeg.replace(b"JFIF\0\1", b"JFIF\0\2", 1), STRAYS),
    ],
)
@pytest.mark.parametrize("flags", [[], [cv2.IMWRITE_JPEG_PROGRESSIVE, 1], [cv2.IMWRITE_JPEG_RST_INTERVAL, 2]])
def test_a_jpeg_may_hold_what_belongs_to_no_picture(file, rgb, flags, change, notes):
    data = encoded(".jpg", rgb, *flags)
    picture = inspect_rgb(file(change(data)))
    assert np.array_equal(picture.pixels, simplejpeg.decode_jpeg(data))
    assert picture.notes == notes


@pytest.mark.parametrize("share", [0.5, 0.7, 0.9])
def test_zeros_in_the_place_of_pixels_are_damage(file, rgb, share):
    data = encoded(".jpg", rgb)
    start = data.index(b"\xff\xda") + 14
    kept = start + int(share * (len(data) - start))
    for zeros in (len(data) - kept, 5000):
        with pytest.raises(DataError, match="not a readable JPEG"):
            read_rgb(file(data[:kept] + bytes(zeros) + data[-2:]))


# Orientation


VIEWED = {  # how a picture that was stored is seen, by Exif's own table
    1: lambda stored: stored,
    2: np.fliplr,
    3: lambda stored: np.rot90(stored, 2),
    4: np.flipud,
    5: lambda stored: np.rot90(np.fliplr(stored)),
    6: lambda stored: np.rot90(stored, -1),
    7: lambda stored: np.rot90(np.fliplr(stored), -1),
    8: np.rot90,
}


@pytest.mark.parametrize("orientation", VIEWED)
def test_frames_are_turned_upright_whatever_their_format(file, rgb, orientation):
    lossless = (cv2.IMWRITE_WEBP_QUALITY, 101)
    webp = encoded(".webp", rgb, *lossless)
    files = [
        png_with(encoded(".png", rgb), exif(orientation)),
        png_with(encoded(".png", rgb), exif(orientation, ">")),
        webp_with(webp, exif(orientation), rgb.shape[:2]),
        webp_with(webp, b"Exif\0\0" + exif(orientation), rgb.shape[:2]),
    ]
    for data in files:
        picture = inspect_rgb(file(data))
        assert np.array_equal(picture.pixels, VIEWED[orientation](rgb))
        assert picture.notes == (() if orientation == 1 else (TURNED,))
    jpeg = jpeg_with(encoded(".jpg", rgb), exif(orientation, ">"))
    shown = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR_RGB)  # OpenCV turns JPEG in all its versions
    assert np.array_equal(read_rgb(file(jpeg)), shown)


@pytest.mark.parametrize(
    "data",
    [b"", b"II*\0", exif(0), exif(9), exif(6)[:20], b"XX" + exif(6)[2:], exif(6).replace(b"\x12\1\3\0", b"\x12\1\7\0")],
)
def test_exif_data_that_make_no_sense_turn_nothing(file, rgb, data):
    picture = inspect_rgb(file(png_with(encoded(".png", rgb), data)))
    assert np.array_equal(picture.pixels, rgb)
    assert picture.notes == ()


def test_a_map_is_never_turned(file):
    ids = np.arange(6, dtype=np.uint8).reshape(2, 3)
    found = inspect_ids(file(png_with(encoded(".png", ids), exif(6))))
    assert np.array_equal(found.ids, ids)
    assert found.notes == ("asks for an EXIF orientation, which is not applied to ids",)


# Frames that are not 8-bit RGB


def test_greys_are_used_three_times(file, rgb):
    grey = rgb[..., 0]
    for data in (encoded(".png", grey), png(packed(grey, 8), 32, 8, GREY)):
        picture = inspect_rgb(file(data))
        assert np.array_equal(picture.pixels, np.stack([grey] * 3, axis=-1))
        assert picture.notes == ("is grey, its channel is used three times",)
    jpeg = inspect_rgb(file(encoded(".jpg", grey)))
    assert np.abs(jpeg.pixels.astype(int) - grey[..., None]).mean() < 3
    assert jpeg.notes == ("is grey, its channel is used three times",)


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_greys_of_few_bits_are_spread_in_frames(file, bits):
    values = np.arange(2**bits)[None]
    picture = inspect_rgb(file(png(packed(values, bits), 2**bits, bits, GREY)))
    assert np.array_equal(picture.pixels[0, :, 1], np.linspace(0, 255, 2**bits).astype(np.uint8))


def test_transparency_is_dropped_and_colours_stay(file, rgb):
    alpha = np.random.default_rng(0).integers(0, 2, (20, 32, 1), np.uint8) * 255
    rows = [row.tobytes() for row in np.concatenate([rgb, alpha], axis=2)]
    picture = inspect_rgb(file(png(rows, 32, 8, RGB_ALPHA)))
    assert np.array_equal(picture.pixels, rgb)
    assert picture.notes == ("has transparency, which is dropped",)
    rows = [row.tobytes() for row in np.concatenate([rgb[..., :1], alpha], axis=2)]
    picture = inspect_rgb(file(png(rows, 32, 8, GREY_ALPHA)))
    assert np.array_equal(picture.pixels, np.repeat(rgb[..., :1], 3, axis=2))
    assert picture.notes == ("is grey, its channel is used three times", "has transparency, which is dropped")


def test_sixteen_bits_become_the_nearest_eight(file):
    values = np.array([0, 128, 129, 257, 32767, 65406, 65407, 65535], np.uint16)
    picture = inspect_rgb(file(png(packed(np.repeat(values, 3)[None], 16), 8, 16, RGB)))
    assert picture.pixels[0, :, 2].tolist() == [round(int(value) / 257) for value in values]
    assert picture.notes == ("has 16 bits per channel, they are scaled to 8",)


def test_colours_of_a_palette_are_looked_up(file):
    palette = chunk(b"PLTE", bytes(range(48)))
    picture = inspect_rgb(file(png(packed(np.array([[5, 0, 15]]), 4), 3, 4, PALETTE, palette)))
    assert picture.pixels[0].tolist() == [[15, 16, 17], [0, 1, 2], [45, 46, 47]]
    assert picture.notes == ("has a palette, its colours are used",)


def test_cmyk_is_converted(file):
    inks = np.zeros((16, 16, 4), np.uint8)
    inks[:] = (255, 128, 0, 200)  # inverted: no cyan, some magenta, all of the yellow, a little black
    picture = inspect_rgb(file(simplejpeg.encode_jpeg(inks, colorspace="CMYK", quality=98, colorsubsampling="444")))
    assert np.abs(picture.pixels[8, 8].astype(int) - (200, 100, 0)).max() < 4
    assert picture.notes == ("is CMYK, it is converted to RGB",)


# Maps are judged by what is in the file


@pytest.mark.parametrize(
    ("bits", "colours"), [*((bits, GREY) for bits in (1, 2, 4, 8, 16)), *((bits, PALETTE) for bits in (1, 2, 4, 8))]
)
def test_values_of_a_map_are_never_scaled(file, bits, colours):
    count = min(2**bits, 256)
    ids = np.random.default_rng(bits).integers(0, count, (5, 11))
    extra = [chunk(b"PLTE", bytes(count) + bytes(range(count)) * 2), chunk(b"tRNS", b"\0\1")][:colours]
    found = inspect_ids(file(png(packed(ids, bits), 11, bits, colours, *extra)))
    assert found.ids.dtype == np.uint8
    assert np.array_equal(found.ids, ids)
    assert any("palette" in note for note in found.notes) == (colours == PALETTE)
    assert any(f"has {bits} bits" in note for note in found.notes) == (bits != 8)


def test_a_map_of_sixteen_bits_may_hold_nothing_above_eight(file):
    path = file(png(packed(np.array([[0, 26001]]), 16), 2, 16, GREY))
    with pytest.raises(DataError, match=r"holds values up to 26001, class ids are 0 to 255; .*instances"):
        read_ids(path)


def test_equal_channels_are_read_as_ids_and_colours_are_not(file):
    ids = np.arange(12, dtype=np.uint8).reshape(3, 4)
    found = inspect_ids(file(encoded(".png", np.stack([ids] * 3, axis=-1))))
    assert np.array_equal(found.ids, ids)
    assert found.notes == ("has three channels, all equal, one of which is read as ids",)
    with pytest.raises(
        DataError, match=r"a picture of colours \(8 bits, 3 channels\).*convert each colour to its class"
    ):
        read_ids(file(encoded(".png", np.stack([ids, ids, ids + 1], axis=-1))))


def test_transparency_of_a_map_is_ignored(file):
    rows = [bytes([3, 0, 4, 255]), bytes([5, 7, 6, 0])]
    found = inspect_ids(file(png(rows, 2, 8, GREY_ALPHA)))
    assert found.ids.tolist() == [[3, 4], [5, 6]]
    assert found.notes == ("has transparency, which is ignored",)


@pytest.mark.parametrize(
    ("extension", "flags", "message"),
    [
        (".jpg", [], "is a JPEG: class ids do not survive lossy compression"),
        (".webp", [cv2.IMWRITE_WEBP_QUALITY, 80], "is a WebP: class ids do not survive lossy compression"),
        (".webp", [cv2.IMWRITE_WEBP_QUALITY, 101], "is a WebP: class ids are read from PNG alone"),
    ],
)
def test_a_map_of_another_format_is_refused_whatever_its_name(file, extension, flags, message):
    with pytest.raises(DataError, match=message):
        read_ids(file(encoded(extension, np.zeros((16, 16), np.uint8), *flags), "a.png"))


# Damage


@pytest.mark.parametrize("extension", [".png", ".jpg", ".webp"])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.99])
def test_a_truncated_picture_is_an_error(file, rgb, extension, share):
    data = encoded(extension, rgb)
    path = file(data[: int(share * len(data))], f"a{extension}")
    with pytest.raises(DataError, match="cut off") as caught:
        read_rgb(path)
    assert caught.value.file == str(path)


def test_a_truncated_jpeg_with_the_end_of_its_thumbnail_is_an_error(file, rgb):
    data = jpeg_with(encoded(".jpg", rgb), exif(1) + encoded(".jpg", rgb[:8, :8]))
    with pytest.raises(DataError, match="cut off"):
        read_rgb(file(data[:-40]))


def test_what_a_decoder_of_jpeg_only_warns_of_is_an_error(file, texture):
    data = bytearray(encoded(".jpg", texture((64, 64))))
    with pytest.raises(DataError, match="not a readable JPEG: Corrupt JPEG data: premature end"):
        read_rgb(file(bytes(data[:1200]) + b"\xff\xd9"))
    data[900:960] = bytes(60)
    with pytest.raises(DataError, match="not a readable JPEG: Corrupt JPEG data"):
        read_rgb(file(bytes(data)))


def test_a_flipped_bit_in_a_png_is_an_error(file, rgb):
    data = bytearray(encoded(".png", rgb))
    data[len(data) // 2] ^= 4
    with pytest.raises(DataError, match="wrong checksum"):
        read_rgb(file(bytes(data)))


def test_a_png_that_ends_early_with_right_checksums_is_an_error(file, capfd):
    for data in (png([bytes(30)] * 5, 10, 8, RGB, height=10), png([bytes(30)] * 10, 10, 8, RGB, end=False)):
        with pytest.raises(DataError, match=r"not a readable picture|cut off"):
            read_rgb(file(data))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "empty"),
        (b"no picture at all", "not a readable picture; copy"),
        (b"\x89PNG\r\n\x1a\n", "cut off after 8 bytes"),
        (b"\x89PNG\r\n\x1a\n" + chunk(b"IEND", b""), "its header makes no sense"),
        (b"BM" + bytes(60), "not a readable picture: is a BMP file; convert it to PNG"),
        (b"\0\0\0\x1cftypheic", "is a HEIC, AVIF or video file"),
        (b"version https://git-lfs.github.com/spec/v1\n", "is a pointer of Git LFS.*git lfs pull"),
        (b"\xff\xd8\xff\xd9", "JPEG damaged: it does not say its size"),
        (b"RIFF\4\0\0\0WEBP", "WebP damaged: it does not say its size"),
        (png([], 0, 8, GREY), "its header says 0x0 pixels"),
        (png([b"\0"], 1, 8, GREY, chunk(b"acTL", bytes(8))), "is an animated PNG"),
    ],
)
def test_what_is_no_picture_is_an_error(file, data, message):
    with pytest.raises(DataError, match=message) as caught:
        read_rgb(file(data))
    assert "\n" not in str(caught.value)


def test_an_animated_webp_is_an_error(file, rgb):
    data = webp_with(encoded(".webp", rgb), b"", rgb.shape[:2], flags=0x02)
    with pytest.raises(DataError, match="is an animated WebP; write each of its frames"):
        read_rgb(file(data))


def promising(side: int) -> dict[str, bytes]:
    """Small files whose headers promise `side` x `side` pixels."""
    jpeg = bytearray(encoded(".jpg", np.zeros((16, 16, 3), np.uint8)))
    frame = jpeg.index(b"\xff\xc0") + 5
    jpeg[frame : frame + 4] = side.to_bytes(2, "big") * 2
    extended = bytes(4) + (side - 1).to_bytes(3, "little") * 2
    parts = b"WEBP" + riff(b"VP8X", extended) + encoded(".webp", np.zeros((16, 16, 3), np.uint8))[12:]
    return {
        "png": png([np.random.default_rng(0).bytes(3 * side * side // 1000)], side, 8, RGB, height=side),
        "jpg": bytes(jpeg),
        "webp": b"RIFF" + len(parts).to_bytes(4, "little") + parts,
    }


@pytest.mark.parametrize("extension", ["png", "jpg", "webp"])
def test_a_size_that_is_too_large_is_refused_before_pixels_take_memory(file, extension, monkeypatch):
    monkeypatch.setattr(cv2, "imdecode", None)
    monkeypatch.setattr(simplejpeg, "decode_jpeg", None)
    path = file(promising(10_000)[extension])
    with pytest.raises(DataError, match=r"is a picture of 10000x10000 pixels, at most 67108864 in all"):
        read_rgb(path)


def test_a_png_that_promises_more_than_its_bytes_can_hold_is_an_error(file):
    with pytest.raises(DataError, match="11 bytes cannot hold the 8000x8000 pixels it promises"):
        read_rgb(file(png([b"ab"], 8000, 8, GREY, height=8000)))
