"""Small networks as ONNX files, whose outputs are known in closed form."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

Shape = Sequence[int | str | None]

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
