"""Teachers of flow: DIS on known motion, confidence where it is right and where it is not, files of every kind."""

import zipfile

import cv2
import numpy as np
import pytest
from vs_data import DataError, DisFlowConfig, FlowFilesConfig, PhotometricConfig
from vs_data.flow import dis_flow, photometric_confidence
from vs_data.flows import read_flow


@pytest.mark.parametrize("preset", ["fast", "medium"])
@pytest.mark.parametrize("motion", [(3, 0), (-2, 1), (5, -4)])
def test_dis_finds_a_translation(texture, preset, motion):
    x, y = motion
    large = texture((160, 240))
    before, now = large[16:144, 16:208], large[16 - y : 144 - y, 16 - x : 208 - x]  # moved by (x, y)
    (flow,) = dis_flow([(before, now)], DisFlowConfig(preset=preset))
    error = np.abs(flow[12:-12, 12:-12] - (-x, -y))
    assert np.median(error) < 0.1
    assert error.mean() < 0.3


def test_dis_gives_the_same_whatever_the_number_of_threads(texture):
    frames = [texture((96, 128), seed) for seed in (0, 1)]
    threads = cv2.getNumThreads()
    try:
        results = []
        for count in (1, 3):
            cv2.setNumThreads(count)
            results.append(dis_flow([tuple(frames)], DisFlowConfig())[0])
            assert cv2.getNumThreads() == count
    finally:
        cv2.setNumThreads(threads)
    assert np.array_equal(*results)


def test_confidence_is_one_where_the_flow_is_right_and_zero_where_it_is_not(texture):
    before = texture((64, 96))
    now = np.roll(before, 4, axis=1)
    flow = np.zeros((64, 96, 2), np.float32)
    flow[..., 0] = -4
    trust = photometric_confidence(before, now, flow, PhotometricConfig())
    assert (trust[:, 4:] == 1).all()
    assert (trust[:, :4] == 0).all()  # comes from outside of the picture
    wrong = photometric_confidence(before, now, -flow, PhotometricConfig())
    assert wrong[:, 8:-8].mean() < 0.35


def test_flow_from_outside_is_not_trusted_even_where_the_colours_agree():
    grey = np.full((16, 24, 3), 90, np.uint8)
    flow = np.zeros((16, 24, 2), np.float32)
    flow[..., 1] = 3
    trust = photometric_confidence(grey, grey, flow, PhotometricConfig())
    assert (trust[:-3] == 1).all()
    assert (trust[-3:] == 0).all()


def test_confidence_fades_as_documented():
    before = np.zeros((16, 16, 3), np.uint8)
    flow = np.zeros((16, 16, 2), np.float32)
    config = PhotometricConfig(threshold=0.1, fade=0.2)
    for level, expected in ((0, 1.0), (25, 1.0), (51, 0.5), (80, 0.0)):
        trust = photometric_confidence(before, np.full_like(before, level), flow, config)
        error = level / 255
        assert np.allclose(trust, np.clip(1 - (error - 0.1) / 0.2, 0, 1), atol=1e-5)
        assert np.allclose(trust, expected, atol=0.08)


def good() -> dict[str, np.ndarray]:
    return {"flow": np.zeros((2, 4, 6), np.float32), "confidence": np.ones((4, 6), np.float16)}


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_a_flow_file_is_read(tmp_path, dtype):
    flow = np.arange(48).reshape(2, 4, 6).astype(dtype)
    np.savez_compressed(tmp_path / "a.npz", flow=flow)
    vectors, confidence = read_flow(tmp_path / "a.npz")
    assert vectors.dtype == np.float32
    assert confidence is None
    assert vectors[1, 2].tolist() == [flow[0, 1, 2], flow[1, 1, 2]]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"flow": np.zeros((4, 6, 2), np.float32)}, r"flow is float32 \(4, 6, 2\), expected"),
        ({"flow": np.zeros((2, 4, 6), np.int32)}, "flow is int32"),
        ({"flow": np.zeros((2, 4, 6), object)}, "flow is object"),
        ({"flow": np.full((2, 4, 6), np.nan, np.float32)}, r"not finite at x=0, y=0 \(24 pixels\)"),
        ({"flow": np.full((2, 4, 6), -1e9, np.float32)}, r"beyond any picture at x=0, y=0 \(24 pixels\)"),
        ({"confidence": np.ones((3, 6), np.float32)}, r"confidence is float32 \(3, 6\)"),
        ({"confidence": np.full((4, 6), 1.5, np.float32)}, r"not in \[0,1\] at x=0, y=0"),
        ({"confidence": np.full((4, 6), np.nan, np.float32)}, r"not in \[0,1\]"),
    ],
)
def test_bad_flow_files_are_errors(tmp_path, change, message):
    np.savez(tmp_path / "a.npz", **{**good(), **change})
    with pytest.raises(DataError, match=message) as caught:
        read_flow(tmp_path / "a.npz")
    assert caught.value.file == str(tmp_path / "a.npz")


def test_the_first_pixel_that_is_not_finite_is_named(tmp_path):
    arrays = good()
    arrays["flow"][1, 2, 5] = np.inf
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(DataError, match=r"x=5, y=2 \(1 pixels\)"):
        read_flow(tmp_path / "a.npz")


@pytest.mark.parametrize("share", [0.0, 0.2, 0.5, 0.98])
def test_truncated_and_foreign_flow_files_are_errors(tmp_path, share):
    np.savez_compressed(tmp_path / "a.npz", **good())
    data = (tmp_path / "a.npz").read_bytes()
    (tmp_path / "a.npz").write_bytes(data[: int(share * len(data))])
    with pytest.raises(DataError, match=r"empty|not a readable"):
        read_flow(tmp_path / "a.npz")
    np.save(tmp_path / "b.npy", np.zeros(3))
    with pytest.raises(DataError, match=r"flow is float64 \(3,\), expected float16 or float32 \(2, H, W\) or"):
        read_flow(tmp_path / "b.npy")
    np.savez(tmp_path / "c.npz", motion=np.zeros(3))
    with pytest.raises(DataError, match="no array 'flow'"):
        read_flow(tmp_path / "c.npz")


def archive(path, header: bytes, body: bytes, packing: int = zipfile.ZIP_DEFLATED) -> None:
    """A file of one array, `flow`, that holds `body` whatever its header says."""
    start = b"\x93NUMPY\1\0" + len(header).to_bytes(2, "little") + header
    with zipfile.ZipFile(path, "w", packing) as file:
        file.writestr("flow.npy", start + body)


PROMISE = "{{'descr': '{}', 'fortran_order': False, 'shape': {}, }}\n"


@pytest.mark.parametrize(
    ("header", "message"),
    [
        (PROMISE.format("<f4", "(2, 1000000000, 1000000000)"), "flow is 1000000000x1000000000 pixels, at least one"),
        (PROMISE.format("<f4", "(2, 99999999999999999999, 1)"), "flow.npy promises more than any file holds"),
        (PROMISE.format("<f4", "(2, 0, 3)"), "flow is 3x0 pixels, at least one"),
        (PROMISE.format("<f4", "(2, 4, 7)"), "flow.npy promises 224 bytes of numbers and holds 192"),
        (PROMISE.format("<f4", "(2, 4, 5)"), "flow.npy promises 160 bytes of numbers and holds 192"),
        (PROMISE.format("<f8", "(2, 4, 6)"), r"flow is float64 \(2, 4, 6\)"),
        (PROMISE.format("|O", "(2, 4, 6)"), r"flow is object \(2, 4, 6\)"),
        (PROMISE.format("<f3", "(2, 4, 6)"), "flow.npy has no type of elements that NumPy knows"),
        (PROMISE.format("<f4", "(2, -4, 6)"), "flow.npy has no header of an array"),
        ("(" * 3000, "flow.npy has no header of an array"),
        (" " * 9000, "it holds something else than arrays"),
    ],
)
def test_flow_headers_that_lie_are_refused_before_numbers_are_read(tmp_path, header, message):
    archive(tmp_path / "a.npz", header.encode(), bytes(192))
    with pytest.raises(DataError, match=message) as caught:
        read_flow(tmp_path / "a.npz")
    assert caught.value.file == str(tmp_path / "a.npz")


def test_a_flow_file_that_unpacks_to_much_is_refused_by_its_size(tmp_path):
    archive(tmp_path / "a.npz", PROMISE.format("<f2", "(2, 2000, 2000)").encode(), bytes(16 * 10**6))
    with pytest.raises(DataError, match="flow is 2000x2000 pixels, its frame 6x4; compute the flow at the size"):
        read_flow(tmp_path / "a.npz", (4, 6))


def test_flow_in_the_order_and_byte_order_of_others_is_read(tmp_path):
    flow = np.arange(48).reshape(2, 4, 6)
    np.savez(tmp_path / "a.npz", flow=np.asfortranarray(flow.astype(">f4")))
    assert np.array_equal(read_flow(tmp_path / "a.npz")[0], flow.transpose(1, 2, 0))


def test_flow_packed_in_a_way_without_limits_is_refused(tmp_path):
    header = PROMISE.format("<f4", "(2, 4, 6)").encode()
    archive(tmp_path / "a.npz", header, bytes(192), zipfile.ZIP_BZIP2)
    with pytest.raises(DataError, match="packed in another way than NumPy packs"):
        read_flow(tmp_path / "a.npz")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: DisFlowConfig(preset="slow"), "preset: expected one of 'ultrafast', .*, got 'slow'"),
        (lambda: PhotometricConfig(fade=0), "fade: expected .*, got 0"),
        (lambda: FlowFilesConfig(folder="a/b"), "folder: expected .*, got 'a/b'"),
    ],
)
def test_impossible_values_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
