"""ONNX files, run by ONNX Runtime."""

import importlib.util
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal

from numpy.typing import NDArray

from vs_data.errors import DataError
from vs_data.extract.networks import Network, Value, digest_of, in_short

_MISSING = "an ONNX file needs ONNX Runtime, which is not installed; install it by pip install 'vs-data[extract]'"

_DTYPES: Mapping[str, str] = {
    "tensor(float)": "float32",
    "tensor(float16)": "float16",
    "tensor(double)": "float64",
    "tensor(bool)": "bool",
    **{f"tensor({sign}int{bits})": f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)},
}


def open_onnx(path: Path, device: Literal["cpu", "cuda"] = "cpu", threads: int = 0) -> Network:
    """Open an ONNX file. Nothing but operators of ONNX is ever run.

    Args:
        path: The file.
        device: What computes.
        threads: That compute on a CPU; 0: one for each core.

    Raises:
        DataError: ONNX Runtime is missing, cannot compute there, or cannot read the file.
    """
    if importlib.util.find_spec("onnxruntime") is None:
        raise DataError(_MISSING)
    import onnxruntime  # here, because it is optional

    provider = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}[device]
    if provider not in onnxruntime.get_available_providers():
        fix = "install onnxruntime-gpu in the place of onnxruntime, or choose --device cpu"
        raise DataError(f"--device {device}: this ONNX Runtime cannot compute there", fix=fix)
    digest = digest_of(path)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # what goes wrong is raised, too
    options.intra_op_num_threads = threads
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=[provider])
    except Exception as error:  # its own errors have no class in common but this one
        what = f"ONNX Runtime cannot read it: {in_short(error)}"
        raise DataError(what, file=str(path), fix="expected an ONNX file; export it again") from None
    outputs = tuple(map(_value, session.get_outputs()))
    return Network(
        path=path,
        digest=digest,
        inputs=tuple(map(_value, session.get_inputs())),
        outputs=outputs,
        compute=partial(_compute, session, [value.name for value in outputs]),
    )


def _compute(session: Any, names: Sequence[str], feeds: Mapping[str, NDArray[Any]]) -> dict[str, Any]:
    return dict(zip(names, session.run(names, dict(feeds)), strict=True))


def _value(value: Any) -> Value:
    shape = tuple(extent if type(extent) is int and extent > 0 else None for extent in value.shape)
    return Value(name=value.name, dtype=_DTYPES.get(value.type, value.type), shape=shape)
