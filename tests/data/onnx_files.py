"""Small networks as ONNX files, whose outputs are known in closed form."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

Shape = Sequence[int | str | None]

FRAMES_IN: dict[str, Shape] = dict.fromkeys(("first", "second"), ("n", 3, "h", "w"))
FLOW_OUT: dict[str, Shape] = {"flow": ("n", 2, "h", "w")}

FLOAT, BYTES, LONG = TensorProto.FLOAT, TensorProto.UINT8, TensorProto.INT64


def save(
    path: Path,
    nodes: Sequence[onnx.NodeProto],
    inputs: dict[str, Shape],
    outputs: dict[str, Shape],
    constants: dict[str, np.ndarray] | None = None,
    *,
    taken: int = FLOAT,
    given: int = FLOAT,
) -> Path:
    graph = helper.make_graph(
        list(nodes),
        "network",
        [helper.make_tensor_value_info(name, taken, shape) for name, shape in inputs.items()],
        [helper.make_tensor_value_info(name, given, shape) for name, shape in outputs.items()],
        [numpy_helper.from_array(value, name) for name, value in (constants or {}).items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model)
    onnx.save(model, str(path))
    return path


def mixing(path: Path, weights: Sequence[Sequence[float]], bias: Sequence[float] = (), shape: Shape = ()) -> Path:
    """Outputs `out` (N,k,h,w) that are weighted sums of the channels of an input (N,3,h,w)."""
    kernel = np.array(weights, np.float32)[..., None, None]
    constants = {"weights": kernel, "bias": np.array(bias or [0.0] * len(weights), np.float32)}
    node = helper.make_node("Conv", ["x", "weights", "bias"], ["out"])
    there = shape or ("n", kernel.shape[1], "h", "w")
    return save(path, [node], {"x": there}, {"out": (there[0], len(weights), *there[2:])}, constants)


def mixing_last(path: Path, weights: Sequence[Sequence[float]], shape: Shape = ("n", "h", "w", 3)) -> Path:
    """The same for bytes (N,h,w,3), with outputs (N,h,w,k)."""
    nodes = [
        helper.make_node("Cast", ["x"], ["real"], to=FLOAT),
        helper.make_node("MatMul", ["real", "weights"], ["out"]),
    ]
    constants = {"weights": np.array(weights, np.float32).T}
    return save(path, nodes, {"x": shape}, {"out": (*shape[:3], len(weights))}, constants, taken=BYTES)


def profiles(path: Path, size: tuple[int, int], bins: int, names: tuple[str, str] = ("simcc_x", "simcc_y")) -> Path:
    """Outputs (N,3,width bins) and (N,3,height bins): the brightest of each column and row of a channel, drawn out."""
    nodes, constants = [], {}
    for name, axis, length in ((names[0], 2, size[1]), (names[1], 3, size[0])):
        at = np.arange(length * bins) / bins
        constants[f"to_{name}"] = np.maximum(0, 1 - np.abs(at[None] - np.arange(length)[:, None])).astype(np.float32)
        nodes += [
            helper.make_node("ReduceMax", ["x"], [f"best_{name}"], axes=[axis], keepdims=0),
            helper.make_node("MatMul", [f"best_{name}", f"to_{name}"], [name]),
        ]
    outputs: dict[str, Shape] = {names[0]: ("n", 3, size[1] * bins), names[1]: ("n", 3, size[0] * bins)}
    return save(path, nodes, {"x": ("n", 3, *size)}, outputs, constants)


def constant(path: Path, value: np.ndarray, inputs: dict[str, Shape], *, given: int = FLOAT) -> Path:
    """An output `out` that is the same for every frame (N,...), whatever is in it."""
    first = next(iter(inputs))
    nodes = [
        helper.make_node("Shape", [first], ["shape"], start=0, end=1),
        helper.make_node("Concat", ["shape", "rest"], ["wanted"], axis=0),
        helper.make_node("Expand", ["value", "wanted"], ["out"]),
    ]
    constants = {"value": value[None], "rest": np.array(value.shape, np.int64)}
    return save(path, nodes, inputs, {"out": (inputs[first][0], *value.shape)}, constants, given=given)


def searching(path: Path, reach: int = 3) -> Path:
    """For each pixel of the first frame, the step of at most `reach` pixels to what is most like it in the second."""
    steps = [(x, y) for y in range(-reach, reach + 1) for x in range(-reach, reach + 1)]
    constants = {
        "pads": np.array([0, 0, reach, reach] * 2, np.int64),
        "axes": np.array([2, 3], np.int64),
        "steps": np.array(steps, np.float32),
    }
    nodes = [helper.make_node("Pad", ["second", "pads"], ["wide"], mode="edge")]
    for number, (x, y) in enumerate(steps):
        ends = [2**31 if step == reach else step - reach for step in (y, x)]  # counted from the end of what is padded
        constants |= {
            f"from{number}": np.array([y + reach, x + reach], np.int64),
            f"to{number}": np.array(ends, np.int64),
        }
        nodes += [
            helper.make_node("Slice", ["wide", f"from{number}", f"to{number}", "axes"], [f"there{number}"]),
            helper.make_node("Sub", ["first", f"there{number}"], [f"signed{number}"]),
            helper.make_node("Abs", [f"signed{number}"], [f"apart{number}"]),
            helper.make_node("ReduceMean", [f"apart{number}"], [f"grey{number}"], axes=[1]),
            helper.make_node("AveragePool", [f"grey{number}"], [f"cost{number}"], kernel_shape=[5, 5], pads=[2] * 4),
        ]
    nodes += [
        helper.make_node("Concat", [f"cost{number}" for number in range(len(steps))], ["costs"], axis=1),
        helper.make_node("ArgMin", ["costs"], ["best"], axis=1, keepdims=0),
        helper.make_node("Gather", ["steps", "best"], ["last"], axis=0),
        helper.make_node("Transpose", ["last"], ["flow"], perm=[0, 3, 1, 2]),
    ]
    return save(path, nodes, FRAMES_IN, FLOW_OUT, constants)
