"""Opening networks that people bring, by what their files are called."""

from pathlib import Path
from typing import Literal

from vs_data.extract.exported import open_exported
from vs_data.extract.networks import Network
from vs_data.extract.onnx_file import open_onnx


def open_network(path: Path, device: Literal["cpu", "cuda"] = "cpu", threads: int = 0) -> Network:
    """Open an exported program (`.pt2`) or an ONNX file. Nothing but the operators in them is ever run.

    Args:
        path: The file.
        device: What computes.
        threads: That compute on a CPU; 0: as many as there are cores, or as PyTorch has for an exported program.

    Raises:
        DataError: It cannot be read, or nothing here can run it.
    """
    return (open_exported if path.suffix.lower() == ".pt2" else open_onnx)(path, device, threads)
