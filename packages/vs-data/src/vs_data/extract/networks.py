"""Networks that people bring: what goes in and comes out of them, and running them."""

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs
import numpy as np
from numpy.typing import NDArray
from vs_config import shown
from vs_config.files import open_regular

from vs_data.errors import DataError

_NUMBERED = re.compile(r"^\[ONNXRuntimeError\] : \d+ : \w+ : ")  # what all its messages begin with
_PART = 2**20  # bytes that are read at once
_LONGEST = 200  # characters of what is said of a network that does not run


@attrs.frozen(kw_only=True)
class Value:
    """An input or output of a network.

    Attributes:
        name: In the file.
        dtype: As NumPy calls it, or what the file calls it where NumPy has none.
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
    """A network that can be run.

    Attributes:
        path: The file.
        digest: SHA-256 of it.
        inputs: In its order.
        outputs: In its order.
        compute: From arrays by the names of inputs to arrays by the names of outputs; may raise anything.
    """

    path: Path
    digest: str
    inputs: tuple[Value, ...]
    outputs: tuple[Value, ...]
    compute: Callable[[Mapping[str, NDArray[Any]]], Mapping[str, NDArray[Any]]]

    def __str__(self) -> str:
        return f"inputs: {_listed(self.inputs)}; outputs: {_listed(self.outputs)}"


def _listed(values: Sequence[Value]) -> str:
    return ", ".join(map(str, values)) or "none"


def refusal(network: Network, what: str, fix: str) -> DataError:
    """Return the error that says why a network cannot be used as it is, with all that goes in and comes out."""
    return DataError(f"{what} ({network})", file=str(network.path), fix=fix)


def run_network(network: Network, feeds: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Return the outputs of a network by their names.

    Raises:
        DataError: It does not run with this input.
    """
    try:
        outputs = network.compute(feeds)
    except Exception as error:  # what runs them has no class of errors in common but this one
        given = ", ".join(f"{name} {tuple(array.shape)}" for name, array in feeds.items())
        what = f"does not run with {given}: {in_short(error)}"
        raise refusal(network, what, "see --layout, --height, --width, --multiple and --batch") from None
    return {value.name: np.asarray(outputs[value.name]) for value in network.outputs}


def digest_of(path: Path) -> str:
    """Return the SHA-256 of a file.

    Raises:
        DataError: It cannot be read.
    """
    try:
        digest = hashlib.sha256()
        with open_regular(path) as file:
            while part := file.read(_PART):
                digest.update(part)
        return digest.hexdigest()
    except OSError as error:
        raise DataError(
            f"cannot be read: {error.strerror}",
            file=str(path),
            fix="expected an ONNX file (.onnx) or an exported program (.pt2)",
        ) from None


def in_short(error: Exception) -> str:
    """Return the first line of what an error says, without numbers of ONNX Runtime, and no longer than is read."""
    said = str(error).partition("\n")[0] or type(error).__name__  # one for want of memory says nothing
    return shown(_NUMBERED.sub("", said), _LONGEST)
