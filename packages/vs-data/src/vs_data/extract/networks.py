"""ONNX files: what goes in and comes out of them, and running them by ONNX Runtime."""

import hashlib
import importlib.util
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import attrs
import numpy as np
from numpy.typing import NDArray
from vs_config import shown
from vs_config.files import open_regular

from vs_data.errors import DataError

_MISSING = "an ONNX file needs ONNX Runtime, which is not installed; install it by pip install 'vs-data[extract]'"
_EXPORTED = "a program of torch.export is not loaded, since PyTorch's reader runs Python that stands in such a file"
_CONVERT = "write your own as ONNX: torch.onnx.export(torch.export.load('a.pt2'), f='a.onnx', external_data=False)"
_NUMBERED = re.compile(r"^\[ONNXRuntimeError\] : \d+ : \w+ : ")  # what all messages begin with
_PART = 2**20  # bytes that are read at once
_LONGEST = 200  # characters of what ONNX Runtime says

_DTYPES: Mapping[str, str] = {
    "tensor(float)": "float32",
    "tensor(float16)": "float16",
    "tensor(double)": "float64",
    "tensor(bool)": "bool",
    **{f"tensor({sign}int{bits})": f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)},
}


@attrs.frozen(kw_only=True)
class Value:
    """An input or output of a network.

    Attributes:
        name: In the file.
        dtype: As NumPy calls it, or what ONNX calls it where NumPy has none.
        shape: Its extents; None: any.
    """

    name: str
    dtype: str
    shape: tuple[int | None, ...]

    def __str__(self) -> str:
        extents = ", ".join("?" if extent is None else str(extent) for extent in self.shape)
        return f"{shown(self.name, 60)} {self.dtype} ({extents})"


@attrs.frozen(kw_only=True, eq=False)
class Network:
    """An ONNX file that can be run.

    Attributes:
        path: The file.
        digest: SHA-256 of it.
        inputs: In its order.
        outputs: In its order.
        session: Of ONNX Runtime.
    """

    path: Path
    digest: str
    inputs: tuple[Value, ...]
    outputs: tuple[Value, ...]
    session: Any

    def __str__(self) -> str:
        return f"inputs: {_listed(self.inputs)}; outputs: {_listed(self.outputs)}"


def _listed(values: Sequence[Value]) -> str:
    return ", ".join(map(str, values)) or "none"


def refusal(network: Network, what: str, fix: str) -> DataError:
    """Return the error that says why a network cannot be used as it is, with all that goes in and comes out."""
    return DataError(f"{what} ({network})", file=str(network.path), fix=fix)


def open_network(path: Path, device: Literal["cpu", "cuda"] = "cpu", threads: int = 0) -> Network:
    """Open an ONNX file. Nothing but operators of ONNX is ever run.

    Args:
        path: The file.
        device: What computes.
        threads: That compute on a CPU; 0: one for each core.

    Raises:
        DataError: ONNX Runtime is missing, cannot compute there, or cannot read the file.
    """
    if path.suffix.lower() == ".pt2":
        raise DataError(_EXPORTED, file=str(path), fix=_CONVERT)
    if importlib.util.find_spec("onnxruntime") is None:
        raise DataError(_MISSING)
    import onnxruntime  # here, because it is optional

    provider = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}[device]
    if provider not in onnxruntime.get_available_providers():
        fix = "install onnxruntime-gpu in the place of onnxruntime, or choose --device cpu"
        raise DataError(f"--device {device}: this ONNX Runtime cannot compute there", fix=fix)
    digest = _digest_of(path)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # what goes wrong is raised, too
    options.intra_op_num_threads = threads
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=[provider])
    except Exception as error:  # its own errors have no class in common but this one
        what = f"ONNX Runtime cannot read it: {_in_short(error)}"
        raise DataError(what, file=str(path), fix="expected an ONNX file; export it again") from None
    return Network(
        path=path,
        digest=digest,
        inputs=tuple(map(_value, session.get_inputs())),
        outputs=tuple(map(_value, session.get_outputs())),
        session=session,
    )


def run_network(network: Network, feeds: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Return the outputs of a network by their names.

    Raises:
        DataError: It does not run with this input.
    """
    names = [value.name for value in network.outputs]
    try:
        outputs = network.session.run(names, dict(feeds))
    except Exception as error:  # as above
        given = ", ".join(f"{name} {tuple(array.shape)}" for name, array in feeds.items())
        what = f"does not run with {given}: {_in_short(error)}"
        raise refusal(network, what, "see --layout, --height, --width, --multiple and --batch") from None
    return {name: np.asarray(output) for name, output in zip(names, outputs, strict=True)}


def _digest_of(path: Path) -> str:
    try:
        digest = hashlib.sha256()
        with open_regular(path) as file:
            while part := file.read(_PART):
                digest.update(part)
        return digest.hexdigest()
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror}", file=str(path), fix="expected an ONNX file") from None


def _value(value: Any) -> Value:
    shape = tuple(extent if type(extent) is int and extent > 0 else None for extent in value.shape)
    return Value(name=value.name, dtype=_DTYPES.get(value.type, value.type), shape=shape)


def _in_short(error: Exception) -> str:
    return shown(_NUMBERED.sub("", str(error).partition("\n")[0]), _LONGEST)
