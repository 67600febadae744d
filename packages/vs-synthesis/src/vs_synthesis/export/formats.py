"""The formats that a program can be written in, and running what was written: pt2, ONNX, AOTInductor."""

import contextlib
import importlib.util
import logging
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, assert_never

import torch
import vs_ops
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram
from vs_config import shown

from vs_synthesis.export.errors import ExportError
from vs_synthesis.export.onnx_weights import save_onnx
from vs_synthesis.export.plan import MAX_SIDE, Plan
from vs_synthesis.export.values import Side, Value

Format = Literal["pt2", "onnx", "aoti"]

ONNX_OPSET = 18
"""Version of ONNX's operators; fetching pixels through a flow needs 16 at least."""

_SHOWN = 300
"""Characters of a compiler's message."""

RunProgram = Callable[..., Sequence[Tensor]]
"""A program that was written: inputs in order as arguments -> outputs in order."""


def check_format(form: Format) -> None:
    """See that a format can be written here.

    Raises:
        ExportError: something that it needs is not installed.
    """
    match form:
        case "pt2":
            return
        case "onnx":
            missing = [name for name in ("onnx", "onnxscript", "onnxruntime") if not importlib.util.find_spec(name)]
            if missing:
                raise ExportError(f"--format onnx needs {', '.join(missing)}: pip install 'vs-synthesis[onnx]'")
        case "aoti":
            lack = _lack_of_inductor()
            if lack is not None:
                raise ExportError(f"--format aoti: {lack}; choose pt2 or onnx where nothing can be compiled")
        case _ as never:
            assert_never(never)


def _lack_of_inductor() -> str | None:
    """Return why Inductor cannot compile for the CPU, as operators know that may be computed by it."""
    call = vs_ops.DescribedCall(shape=vs_ops.INSTANCE_NORM.example_shape)
    answers = {each.implementation.name: each.reason for each in vs_ops.explain(vs_ops.INSTANCE_NORM, call)}
    return answers["inductor"]


def suffix_of(form: Format) -> str:
    """Return what names of files of a format end with."""
    return ".onnx" if form == "onnx" else ".pt2"


def trace(step: nn.Module, inputs: Sequence[Value], plan: Plan) -> ExportedProgram:
    """Trace a step for the sizes of a plan."""
    examples = tuple(torch.zeros(value.extents(plan.traced), dtype=value.dtype) for value in inputs)
    dynamic = None if plan.size else {"tensors": tuple(_dynamic(value, plan) for value in inputs)}
    with torch.no_grad(), _quiet():
        return torch.export.export(step, examples, dynamic_shapes=dynamic, strict=False)


def _dynamic(value: Value, plan: Plan) -> dict[int, Any]:
    """Return the sides of a tensor that go with the frame, as multiples of its number of tiles."""
    sides = {axis: side for axis, side in enumerate(value.shape) if isinstance(side, Side)}
    return {axis: _multiple(plan.stride // side.divisor, _tiles(side.axis, plan)) for axis, side in sides.items()}


def _tiles(axis: Literal["H", "W"], plan: Plan) -> Any:
    least = plan.least[axis == "W"] // plan.stride
    return Dim("rows" if axis == "H" else "columns", min=least, max=MAX_SIDE // plan.stride)


def _multiple(factor: int, tiles: Any) -> Any:
    return tiles if factor == 1 else factor * tiles


def write_program(
    program: ExportedProgram,
    form: Format,
    path: Path,
    *,
    inputs: Sequence[str],
    outputs: Sequence[str],
    shared: dict[str, int],
) -> None:
    """Write a traced program to a file.

    Args:
        program: what `trace` returned, which must not be used any more.
        form: the format.
        path: the file; programs in ONNX have another one beside it, for the weights of all of them.
        inputs: names of the inputs, in order.
        outputs: names of the outputs, in order.
        shared: of the programs of one directory the same dictionary, empty at first: where weights are in that file.
    """
    with _quiet():
        match form:
            case "pt2":
                program.example_inputs = None  # they would be in the file
                torch.export.save(program, path)
            case "onnx":
                made: Any = torch.onnx.export(
                    program,
                    (),
                    opset_version=ONNX_OPSET,
                    verbose=False,
                    input_names=list(inputs),
                    output_names=list(outputs),
                )
                save_onnx(made.model_proto, path, shared)
            case "aoti":
                _compile(program, path)
            case _ as never:
                assert_never(never)


def _compile(program: ExportedProgram, path: Path) -> None:
    from torch._inductor.exc import CppCompileError  # here, because Inductor is slow to import

    try:
        torch._inductor.aoti_compile_and_package(program, package_path=str(path))
    except CppCompileError as error:
        raise ExportError(f"--format aoti: the C++ compiler fails: {shown(error, _SHOWN)}") from None


def open_program(path: Path, form: Format) -> RunProgram:
    """Return what runs a program that was written."""
    with _quiet():
        match form:
            case "pt2":
                return torch.export.load(path).module()
            case "onnx":
                return _open_onnx(path)
            case "aoti":
                return torch._inductor.aoti_load_package(str(path))
            case _ as never:
                assert_never(never)


def _open_onnx(path: Path) -> RunProgram:
    import onnxruntime  # here, because it is optional

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # what it cannot fold into constants is no news
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    names = [value.name for value in session.get_inputs()]

    def run(*tensors: Tensor) -> Sequence[Tensor]:
        given = {name: x.contiguous().numpy() for name, x in zip(names, tensors, strict=True)}
        return [torch.from_numpy(x) for x in session.run(None, given)]

    return run


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep PyTorch's exporters from telling of their own deprecations, and of libraries that nobody asked for."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "torch.export", "torch._inductor")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
