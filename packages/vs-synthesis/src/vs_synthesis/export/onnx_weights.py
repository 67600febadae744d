"""Programs in ONNX that share one file of weights."""

import hashlib
from pathlib import Path
from typing import Any

WEIGHTS = "weights.bin"
"""The file of weights, in the directory of the programs."""

_SMALL = 1024
"""Tensors of fewer bytes stay in the program."""

_ALIGNMENT = 4096
"""Where tensors begin in the file, so that a runtime can map them."""


def save_onnx(model: Any, path: Path, offsets: dict[str, int]) -> None:
    """Write a program; weights that the file beside it has already, from another program, are not written again.

    Args:
        model: an `onnx.ModelProto`, which is changed.
        path: where.
        offsets: digest of each tensor in the file -> where it begins; what is added is put in.
    """
    from onnx.external_data_helper import set_external_data  # here, because it is optional

    weights = path.with_name(WEIGHTS)
    with weights.open("ab") as file:
        for tensor in model.graph.initializer:
            if len(tensor.raw_data) < _SMALL:
                continue
            digest = hashlib.sha256(tensor.raw_data).hexdigest()
            if digest not in offsets:
                file.write(bytes(-file.tell() % _ALIGNMENT))
                offsets[digest] = file.tell()
                file.write(tensor.raw_data)
            set_external_data(tensor, WEIGHTS, offsets[digest], len(tensor.raw_data))
            tensor.ClearField("raw_data")
    path.write_bytes(model.SerializeToString())
