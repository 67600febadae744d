"""Which device a program computes on, and how its convolutions are chosen there."""

from typing import Literal

import torch

from vs_runtime.errors import RanksError, VsRuntimeError


class DeviceError(VsRuntimeError):
    """A device was asked for that is not here; `device` is its name."""

    def __init__(self, device: str, problem: str) -> None:
        super().__init__(f"device: {device!r} {problem}; use 'auto' or 'cpu'")
        self.device = device


def choose_device(name: Literal["auto", "cpu", "cuda"]) -> torch.device:
    """Return the device of that name; `auto` is a GPU where PyTorch can use one, and the CPU where it cannot.

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


def check_gpus(device: torch.device, processes: int) -> None:
    """See that so many processes of this machine have a GPU each, if they compute on GPUs.

    Raises:
        RanksError: there are fewer.
    """
    found = torch.cuda.device_count() if device.type == "cuda" else processes
    if processes > 1 and found < processes:
        what = f"{processes} processes of this machine need a GPU each, and PyTorch finds {found}"
        raise RanksError(f"device: {what}; start fewer, or use device=cpu")


def search_convolutions(device: torch.device, *, wanted: bool) -> None:
    """Let cuDNN try its algorithms for each new shape of a convolution once and keep the fastest; CUDA only.

    It pays where shapes come again, as in training, and costs a few seconds and some memory when they are new. Which
    algorithm wins depends on the moment, so that results of two processes may differ in their last bits.

    Call it once, when a process starts: it is a side effect on the whole process. Elsewhere it switches the search off.
    """
    torch.backends.cudnn.benchmark = wanted and device.type == "cuda"
