"""Labels by ONNX files whose outputs are known in closed form, in all ways in which frames go in and labels out."""

import attrs
import numpy as np
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper
from onnx_files import LONG, constant, mixing, mixing_last, profiles, save
from vs_data.errors import DataError
from vs_data.extract import InputOptions, OutputOptions, Task, label_by_network, open_network
from vs_data.extract.fits import map_back, place, plan_fit, points_back

GREY = [[0.25, 0.5, 0.25]]
FRAME = {"x": ("n", 3, "h", "w")}


def frame(size: tuple[int, int], seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (*size, 3)).astype(np.uint8)


def labels(path, kind, frames, given=None, wanted=None) -> list[np.ndarray]:
    given, wanted = given or InputOptions(), wanted or OutputOptions()
    label = label_by_network(open_network(path), given, wanted, kind)
    size = frames[0].shape[:2]
    return list(label(iter(frames), Task(kind=kind, sequence="a", size=size, count=len(frames))))


@given(
    source=st.tuples(st.integers(16, 90), st.integers(16, 90)),
    size=st.tuples(st.integers(16, 90), st.integers(16, 90)),
    fit=st.sampled_from(["stretch", "letterbox"]),
    place_in=st.tuples(st.floats(0, 1), st.floats(0, 1)),
)
def test_points_come_back_to_where_they_were(source, size, fit, place_in):
    there = plan_fit(source, size, fit)
    top, left, height, width = there.box
    assert 0 <= top <= top + height <= size[0]
    assert 0 <= left <= left + width <= size[1]
    point = np.array([place_in]) * (source[1] - 1, source[0] - 1)
    scale = np.array([width / source[1], height / source[0]])
    np.testing.assert_allclose(points_back(there, (point + 0.5) * scale - 0.5 + (left, top)), point, atol=1e-9)


@settings(max_examples=30)
@given(
    source=st.tuples(st.integers(24, 60), st.integers(24, 60)),
    size=st.tuples(st.integers(24, 60), st.integers(24, 60)),
    fit=st.sampled_from(["stretch", "letterbox"]),
    stride=st.sampled_from([1, 2]),
)
def test_a_ramp_over_the_input_is_a_ramp_over_the_frame(source, size, fit, stride):
    there = plan_fit(source, size, fit)
    rows, columns = size[0] // stride, size[1] // stride
    # The value at a pixel's centre is its place in the input.
    x = (np.arange(columns) + 0.5) * size[1] / columns - 0.5
    ramp = np.repeat(x[None].astype(np.float32), rows, axis=0)
    wanted = (np.arange(source[1]) + 0.5) * there.scale[0] + there.box[1] - 0.5
    found = map_back(there, ramp)
    within = (wanted > x[0]) & (wanted < x[-1])  # beyond the centres of the outermost pixels nobody knows more
    np.testing.assert_allclose(found[:, within], np.broadcast_to(wanted, source)[:, within], atol=0.04 * stride)


@pytest.mark.parametrize("fit", ["stretch", "letterbox"])
@pytest.mark.parametrize("source", [(40, 64), (41, 64), (90, 50)])
def test_a_frame_is_seen_where_its_fit_says(source, fit):
    picture = np.full((*source, 3), 200, np.uint8)
    there = plan_fit(source, (48, 48), fit)
    placed = place(there, picture, 7)
    top, left, height, width = there.box
    assert (placed[top : top + height, left : left + width] == 200).all()
    assert (placed == 7).sum() == 3 * (48 * 48 - height * width)


def test_depth_is_luminance_at_the_size_of_the_frame(tmp_path):
    frames = [frame((33, 47), seed) for seed in range(5)]  # a batch of 4, and one more
    found = labels(mixing(tmp_path / "grey.onnx", GREY), "depth", frames)
    assert [depth.shape for depth in found] == [(33, 47, 1)] * 5
    for picture, depth in zip(frames, found, strict=True):
        np.testing.assert_allclose(depth[..., 0], picture @ np.array(GREY[0]) / 255, atol=1e-5)


@pytest.mark.parametrize("batch", [1, 2, 3])
def test_a_fixed_batch_is_filled_up(tmp_path, batch):
    frames = [frame((32, 32), seed) for seed in range(4)]
    network = mixing(tmp_path / "grey.onnx", GREY, shape=(batch, 3, 32, 32))
    found = labels(network, "depth", frames)
    assert len(found) == 4
    np.testing.assert_allclose(found[3][..., 0], frames[3] @ np.array(GREY[0]) / 255, atol=1e-5)


def test_bytes_with_channels_last_stay_bytes(tmp_path):
    picture = frame((32, 40))
    (found,) = labels(mixing_last(tmp_path / "last.onnx", [[1, 0, 0], [0, 0, 1]]), "image", [picture])
    np.testing.assert_array_equal(found, picture[..., [0, 2]])


def test_channels_are_exchanged_and_normalised(tmp_path):
    picture = frame((32, 40))
    options = InputOptions(colours="bgr", input_range=(-1.0, 1.0), mean=(0.1, 0.2, 0.3), std=(0.5, 2.0, 4.0))
    (found,) = labels(mixing(tmp_path / "all.onnx", np.eye(3).tolist()), "image", [picture], options)
    wanted = ((picture[..., ::-1] / 127.5 - 1) - [0.1, 0.2, 0.3]) / [0.5, 2.0, 4.0]
    np.testing.assert_allclose(found, wanted, atol=1e-5)


def test_greys_are_made_of_colours(tmp_path):
    picture = np.repeat(frame((32, 40))[..., :1], 3, axis=2)
    (found,) = labels(mixing(tmp_path / "one.onnx", [[1.0]], shape=("n", 1, 32, 40)), "depth", [picture])
    np.testing.assert_allclose(found[..., 0], picture[..., 0] / 255, atol=1e-5)


def halves(size: tuple[int, int], at: int) -> np.ndarray:
    """Red left of a column, blue from it on."""
    picture = np.zeros((*size, 3), np.uint8)
    picture[:, :at, 0], picture[:, at:, 2] = 255, 255
    return picture


@pytest.mark.parametrize("fit", ["stretch", "letterbox"])
@pytest.mark.parametrize(("size", "at"), [((48, 64), 30), ((51, 77), 33)])
def test_classes_are_those_of_the_largest_logit(tmp_path, fit, size, at):
    network = mixing(tmp_path / "seg.onnx", [[0.2, 0.2, 0.2], [1, 0, 0], [0, 0, 1]], shape=(1, 3, 64, 64))
    (ids,) = labels(network, "seg_maps", [halves(size, at)], InputOptions(fit=fit))
    wanted = np.where(np.arange(size[1]) < at, 1, 2)
    differs = ids != wanted
    assert not differs[:, np.abs(np.arange(size[1]) + 0.5 - at) > 1].any()  # a pixel beside the edge may be either


def test_ids_are_taken_as_they_are(tmp_path):
    ids = np.arange(16 * 20).reshape(16, 20).astype(np.int64) % 7
    network = constant(tmp_path / "ids.onnx", ids, {"x": ("n", 3, 32, 40)}, given=LONG)
    (found,) = labels(network, "seg_maps", [frame((32, 40))])
    np.testing.assert_array_equal(found, np.repeat(np.repeat(ids, 2, axis=0), 2, axis=1))


def test_one_channel_becomes_two_classes_by_a_threshold(tmp_path):
    picture = frame((32, 40))
    network = mixing(tmp_path / "grey.onnx", GREY)
    (found,) = labels(network, "seg_maps", [picture], wanted=OutputOptions(threshold=0.501))
    np.testing.assert_array_equal(found, picture @ np.array(GREY[0]) / 255 > 0.501)
    with pytest.raises(DataError, match=r"no output has the shape of seg_maps: out .*--threshold"):
        labels(network, "seg_maps", [picture])


def dot(size: tuple[int, int], x: float, y: float, channel: int, sigma: float = 3.0) -> np.ndarray:
    """A bright dot, of which nothing is dark, so that the largest value of a channel is not at its end."""
    columns, rows = np.meshgrid(np.arange(size[1]), np.arange(size[0]))
    picture = np.zeros((*size, 3))
    picture[..., channel] = 250 * np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * sigma**2))
    return picture.round().astype(np.uint8)


@pytest.mark.parametrize("fit", ["stretch", "letterbox"])
@pytest.mark.parametrize("size", [(64, 64), (60, 100), (101, 71)])
def test_heat_maps_find_a_dot_between_pixels(tmp_path, fit, size):
    x, y = 0.37 * size[1] + 0.3, 0.61 * size[0] + 0.2
    network = mixing(tmp_path / "dots.onnx", [[1, 0, 0], [0, 1, 0]], shape=(1, 3, 64, 64))
    options = InputOptions(fit=fit)
    (found,) = labels(network, "keypoints", [dot(size, x, y, 0)], options)
    np.testing.assert_allclose(found[0, :2], (x, y), atol=0.3)  # a fifth of a pixel of 64, and rounding to bytes
    assert found[0, 2] == pytest.approx(250 / 255, abs=0.1)
    assert found[1, 2] == 0
    (nobody,) = labels(network, "keypoints", [np.zeros((*size, 3), np.uint8)], options)
    assert nobody.shape == (0, 3)


def test_a_gaussian_is_found_exactly(tmp_path):
    columns, rows = np.meshgrid(np.arange(24), np.arange(16))
    heat = np.exp(-((columns - 10.3) ** 2 + (rows - 6.8) ** 2) / 8).astype(np.float32)
    network = constant(tmp_path / "heat.onnx", np.stack([heat, heat]), {"x": (1, 3, 64, 96)})
    (found,) = labels(network, "keypoints", [frame((128, 192))])
    # Each pixel of the map is 8 of the frame.
    np.testing.assert_allclose(found[0, :2], (10.8 * 8 - 0.5, 7.3 * 8 - 0.5), atol=1e-3)


@pytest.mark.parametrize("shape", [(2, 2), (1, 2, 2), (4,)])
def test_coordinates_are_those_of_the_input(tmp_path, shape):
    points = np.array([[8.0, 4.0], [20.0, 30.0]])
    network = constant(tmp_path / "at.onnx", points.astype(np.float32).reshape(shape), {"x": (1, 3, 32, 64)})
    options = OutputOptions(units="pixels", points=2)
    (found,) = labels(network, "keypoints", [frame((64, 64))], wanted=options)
    np.testing.assert_allclose(found, [[8, 8.5, 1], [20, 60.5, 1]])
    (found,) = labels(network, "keypoints", [frame((64, 64))], wanted=attrs.evolve(options, axes="yx"))
    np.testing.assert_allclose(found, [[4, 16.5, 1], [30, 40.5, 1]])


def test_coordinates_may_be_parts_of_the_input_with_bars(tmp_path):
    rows = np.array([[0.5, 0.5, 2.0], [0.25, 0.5, -3.0]], np.float32)
    network = constant(tmp_path / "at.onnx", rows, {"x": (1, 3, 64, 64)})
    wanted = OutputOptions(units="normalised", activation="sigmoid")
    (found,) = labels(network, "keypoints", [frame((32, 64))], InputOptions(fit="letterbox"), wanted)
    np.testing.assert_allclose(found[:, :2], [[31.5, 15.5], [15.5, 15.5]])
    np.testing.assert_allclose(found[:, 2], 1 / (1 + np.exp([-2.0, 3.0])), rtol=1e-6)
    with pytest.raises(DataError, match=r"nobody says what they are \(inputs: x float32 \(1, 3, 64, 64\).*--units"):
        labels(network, "keypoints", [frame((32, 64))])


@pytest.mark.parametrize("kind", ["keypoints", "landmarks-dlib68"])
@pytest.mark.parametrize("size", [(64, 96), (64, 64)])
@pytest.mark.parametrize("bins", [1, 2])
def test_x_and_y_apart_are_the_largest_of_each(tmp_path, kind, size, bins):
    network = profiles(tmp_path / "p.onnx", size, bins)
    picture = dot(size, 20, 41, 0) + dot(size, 55, 9, 1)
    (found,) = labels(network, kind, [picture])
    np.testing.assert_allclose(found, [[20, 41, 250 / 255], [55, 9, 250 / 255], [0, 0, 0]], atol=1e-6)
    (found,) = labels(network, kind, [dot((2 * size[0], 2 * size[1]), 20, 41, 0, sigma=6.0)])
    np.testing.assert_allclose(found[0, :2], (20, 41), atol=1)  # half a pixel of the input
    (nobody,) = labels(network, kind, [np.zeros((*size, 3), np.uint8)])
    assert nobody.shape == (0, 3)


def test_which_of_x_and_y_comes_first_is_told_by_the_shape_or_by_who_knows(tmp_path):
    picture, turned = dot((64, 96), 20, 41, 0), OutputOptions(axes="yx")
    for wanted in (OutputOptions(), turned):
        (found,) = labels(profiles(tmp_path / "p.onnx", (64, 96), 2), "keypoints", [picture], wanted=wanted)
        np.testing.assert_allclose(found[0, :2], (20, 41))
    (found,) = labels(profiles(tmp_path / "p.onnx", (64, 64), 2), "keypoints", [picture[:, :64]], wanted=turned)
    np.testing.assert_allclose(found[0, :2], (41, 20))


@pytest.mark.parametrize("inputs", [{"a": (1, 3, 32, 32), "b": (1, 3, 32, 32)}, {"a": (1, 6, 32, 32)}])
def test_flow_is_scaled_to_the_frame(tmp_path, inputs):
    flow = np.stack([np.full((8, 8), 2.0), np.full((8, 8), -1.0)]).astype(np.float32)
    network = constant(tmp_path / "flow.onnx", flow, inputs)
    found = labels(network, "flow", [frame((64, 48), seed) for seed in range(3)])
    assert [each.shape for each in found] == [(3, 64, 48)] * 2
    np.testing.assert_allclose(found[1][0], 3.0)  # 48 columns of the frame are 32 of the input
    np.testing.assert_allclose(found[1][1], -2.0)
    assert not found[1][2].any()  # it is the same there and back
    (found,) = labels(network, "flow", [frame((64, 48))] * 2, wanted=OutputOptions(units="normalised"))
    np.testing.assert_allclose(found[:2, 0, 0], (2 * 48, -64))


@pytest.mark.parametrize("first", ["now", "before"])
def test_a_network_of_flow_gets_two_frames_in_the_order_it_wants(tmp_path, first):
    # The "flow" is the level of red in the first frame, and in the second.
    nodes = [
        helper.make_node("Concat", ["a", "b"], ["both"], axis=1),
        helper.make_node("Gather", ["both", "reds"], ["out"], axis=1),
    ]
    shapes = {"a": (1, 3, 32, 32), "b": (1, 3, 32, 32)}
    network = save(tmp_path / "order.onnx", nodes, shapes, {"out": (1, 2, 32, 32)}, {"reds": np.array([0, 3])})
    frames = [np.full((32, 32, 3), level, np.uint8) for level in (51, 102, 255)]
    found = labels(network, "flow", frames, wanted=OutputOptions(first=first))
    pairs = [flow[:2, 0, 0].tolist() for flow in found]
    wanted = [[0.2, 0.4], [0.4, 1.0]] if first == "before" else [[0.4, 0.2], [1.0, 0.4]]
    np.testing.assert_allclose(pairs, wanted, rtol=1e-5)


def test_what_any_size_is_rounded_up_to(tmp_path):
    found = labels(mixing(tmp_path / "grey.onnx", GREY), "depth", [frame((33, 47))], InputOptions(multiple=32))
    assert found[0].shape == (33, 47, 1)
    found = labels(mixing(tmp_path / "grey.onnx", GREY), "depth", [frame((33, 47))], InputOptions(height=16, width=16))
    assert found[0].shape == (33, 47, 1)


def refused(path, kind="depth", given=None, wanted=None) -> str:
    with pytest.raises(DataError) as error:
        labels(path, kind, [frame((32, 32))] * 2, given, wanted)
    assert len(str(error.value).splitlines()) == 1
    return str(error.value)


GREY_SHAPES = "(inputs: x float32 (?, 3, ?, ?); outputs: out float32 (?, 1, ?, ?))"


@pytest.mark.parametrize(
    ("kind", "given", "wanted", "what"),
    [
        ("flow", {}, {}, f"does not say where 2 or 6 channels are {GREY_SHAPES}"),
        ("flow", {"layout": "nchw"}, {}, f"takes pictures of 3 channels {GREY_SHAPES}"),
        ("seg_maps", {}, {}, f"no output has the shape of seg_maps: out (2, 1, 32, 32) {GREY_SHAPES}"),
        ("depth", {}, {"output": "in"}, f"--output: it has no output 'in' {GREY_SHAPES}"),
        ("depth", {"mean": (1.0, 2.0)}, {}, f"--mean: got 2 numbers {GREY_SHAPES}; give one, or one for each of 3"),
        ("depth", {"layout": "nhwc", "height": 16}, {}, "--height 16: it takes 3 alone"),
    ],
)
def test_what_does_not_fit_is_refused_with_all_that_goes_in_and_out(tmp_path, kind, given, wanted, what):
    found = refused(mixing(tmp_path / "g.onnx", GREY), kind, InputOptions(**given), OutputOptions(**wanted))
    assert what in found


def test_two_outputs_that_fit_are_told_apart_by_their_name(tmp_path):
    nodes = [helper.make_node("ReduceMean", ["x"], ["far"], axes=[1]), helper.make_node("Neg", ["far"], ["near"])]
    shape = ("n", 1, "h", "w")
    network = save(tmp_path / "two.onnx", nodes, FRAME, {"far": shape, "near": shape})
    assert "2 outputs have the shape of depth: far (2, 1, 32, 32), near (2, 1, 32, 32)" in refused(network)
    (found,) = labels(network, "depth", [frame((32, 32))], wanted=OutputOptions(output="near"))
    assert found.max() < 0


def test_inputs_that_are_no_frames_are_refused(tmp_path):
    nodes = [helper.make_node("Add", ["x", "y"], ["out"])]
    network = save(tmp_path / "two.onnx", nodes, {"x": (1, 3, 32, 32), "y": (1, 3, 32, 32)}, {"out": (1, 3, 32, 32)})
    assert "takes other inputs than one picture" in refused(network, "image")
    network = constant(tmp_path / "line.onnx", np.zeros((32, 32), np.float32), {"x": (1, 3 * 32 * 32)})
    assert "takes other inputs than one picture" in refused(network)
    assert "does not say where 1 or 3 channels are" in refused(
        mixing(tmp_path / "q.onnx", GREY, shape=("n", 3, "h", 3))
    )


def test_bytes_are_not_normalised(tmp_path):
    network = mixing_last(tmp_path / "last.onnx", GREY)
    assert "takes bytes, which are not normalised" in refused(network, given=InputOptions(mean=(0.5,)))


def test_an_output_that_is_not_one_for_each_frame_is_refused(tmp_path):
    nodes = [helper.make_node("ReduceMean", ["x"], ["out"], axes=[0, 1], keepdims=1)]
    network = save(tmp_path / "mean.onnx", nodes, FRAME, {"out": (1, 1, "h", "w")})
    assert "out is (1, 1, 32, 32) for 2 frames" in refused(network)


def test_nan_is_no_label(tmp_path):
    network = mixing(tmp_path / "nan.onnx", [[float("nan")] * 3] * 2)
    assert "out holds nan" in refused(network, "seg_maps")


def test_negative_ids_are_refused(tmp_path):
    ids = np.full((32, 32), -1, np.int64)
    network = constant(tmp_path / "ids.onnx", ids, FRAME, given=LONG)
    assert "ids from -1 to -1" in refused(network, "seg_maps")


@pytest.mark.parametrize("content", [None, b"", b"no network", b"\x08\x09"])
def test_what_is_no_network_is_one_line(tmp_path, content):
    path = tmp_path / "bad.onnx"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError, match=r"bad\.onnx: .*expected an ONNX file") as error:
        open_network(path)
    assert len(str(error.value).splitlines()) == 1


def test_a_network_that_does_not_take_the_size_says_what_it_got(tmp_path):
    nodes = [helper.make_node("Add", ["x", "y"], ["sum"]), helper.make_node("ReduceMean", ["sum"], ["out"], axes=[1])]
    constants = {"y": np.zeros((1, 3, 8, 8), np.float32)}
    network = save(tmp_path / "small.onnx", nodes, FRAME, {"out": ("n", 1, "h", "w")}, constants)
    assert "does not run with x (2, 3, 32, 32)" in refused(network)


def test_without_the_library_it_is_said_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(DataError, match=r"pip install 'vs-data\[extract\]'"):
        open_network(tmp_path / "any.onnx")


def test_a_device_that_is_not_there_is_refused(tmp_path):
    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("it is there")
    with pytest.raises(DataError, match="--device cuda: this ONNX Runtime cannot compute there"):
        open_network(mixing(tmp_path / "grey.onnx", GREY), "cuda")
