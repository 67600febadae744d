"""Which device a program computes on."""

from __future__ import annotations

from typing import Literal

import torch

from vs_runtime.errors import VsRuntimeError

__all__ = ["DeviceError", "choose_device"]


class DeviceError(VsRuntimeError):
    """A device was asked for that is not here; `device` is its name."""

    def __init__(self, device: str, problem: str) -> None:
        super().__init__(f"device: {device!r} {problem}; use 'auto' or 'cpu'")
        self.device = device


def choose_device(name: Literal["auto", "cpu", "cuda"]) -> torch.device:
    """The device of that name; `auto` is a GPU where PyTorch can use one, and the CPU where it cannot.

    Among several GPUs it is PyTorch's current one; CUDA_VISIBLE_DEVICES chooses another.

    Raises:
        DeviceError: "cuda" was asked for and there is no GPU, or it is no device of these.
    """
    if name not in ("auto", "cpu", "cuda"):
        raise DeviceError(name, "is not a device that is known here")
    available = torch.cuda.is_available()
    if name == "cuda" and not available:
        raise DeviceError(name, "was asked for, and PyTorch finds no GPU here")
    return torch.device("cuda" if available and name != "cpu" else "cpu")
