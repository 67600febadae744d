"""O0 and O1: in which dtype the networks and the losses compute.

`O0` is plain float32, without TF32 unless it is asked for by name. `O1` is autocast: matrix multiplications and
convolutions in the compute dtype, parameters and optimizer state in float32. The levels carry the names of the talk
"Mixed Precision Training for Video Synthesis"; its mode, float16 with loss scaling, is what `auto` means on CUDA.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Any, ClassVar, Literal

import attrs
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from vs_config import Check, Problem, check_fields, choice, truth

from vs_optim.errors import PrecisionError

Level = Literal["O0", "O1"]


def _check_dtype(config: "PrecisionConfig") -> Iterator[Problem]:
    if config.level == "O0" and config.dtype != "auto":
        yield Problem("dtype", expected="'auto' at level 'O0', which computes in float32", got=config.dtype)


@attrs.frozen(kw_only=True)
class PrecisionConfig:
    """Precision as a user writes it; `resolve_precision` turns it into what holds on one device."""

    level: Literal["auto", "O0", "O1"] = choice(
        "auto",
        "O0: plain float32; O1: mixed precision by autocast; auto: O1 where the device has 16-bit arithmetic, else O0",
        ("auto", "O0", "O1"),
    )
    dtype: Literal["auto", "float16", "bfloat16"] = choice(
        "auto",
        "compute dtype of O1; auto: float16 with loss scaling on CUDA, bfloat16 on the CPU",
        ("auto", "float16", "bfloat16"),
    )
    tf32: bool = truth(False, "let float32 matrix products and convolutions use TF32 on CUDA (10 instead of 23 bits)")

    CHECKS: ClassVar[tuple[Check, ...]] = (Check(("level", "dtype"), _check_dtype),)

    def __attrs_post_init__(self) -> None:
        check_fields(self)


@attrs.frozen(kw_only=True)
class Precision:
    """Precision on one device: compute dtype of autocast (None: no autocast), loss scaling or not, TF32 or not."""

    level: Level
    dtype: torch.dtype | None
    scaling: bool
    tf32: bool = False


def settle_level(config: PrecisionConfig, device: torch.device | str) -> tuple[PrecisionConfig, str | None]:
    """Put O0 or O1 in place of the level `auto`, and say why; a level that was asked for stays.

    A run keeps what was settled where it began, so that it goes on in the same level on any machine. O1 is settled on
    CUDA, on a processor with instructions for the dtype, and where a dtype is asked for by name.
    """
    if config.level != "auto":
        return config, None
    kind = torch.device(device).type
    if config.dtype != "auto":
        return attrs.evolve(config, level="O1"), f"precision.level=auto: O1, since {config.dtype} is asked for"
    if kind == "cuda" or (kind == "cpu" and _has_kernels(torch.bfloat16)):
        return attrs.evolve(config, level="O1"), "precision.level=auto: O1, since the device has 16-bit arithmetic"
    why = "precision.level=auto: O0, since the device has no 16-bit arithmetic"
    return attrs.evolve(
        config, level="O0"
    ), why if kind != "cpu" else f"{why}; O1 would emulate it, several times slower"


def resolve_precision(config: PrecisionConfig, device: torch.device | str) -> Precision:
    """Decide level, dtype and scaling for `device`.

    Raises:
        PrecisionError: O1 on a device that is neither CUDA nor CPU, or bfloat16 on a GPU that only emulates it.
    """
    device = torch.device(device)
    config, _ = settle_level(config, device)
    if config.level == "O0":
        return Precision(level="O0", dtype=None, scaling=False, tf32=config.tf32)
    if device.type not in ("cuda", "cpu"):
        raise PrecisionError(str(device), "level O1 is known on 'cuda' and 'cpu' only; choose level O0")
    name = config.dtype if config.dtype != "auto" else ("float16" if device.type == "cuda" else "bfloat16")
    dtype = torch.float16 if name == "float16" else torch.bfloat16
    # Without emulation: by it every GPU has bfloat16, and an old one is slower in it than in float32.
    on_gpu = device.type == "cuda" and dtype is torch.bfloat16
    if on_gpu and not torch.cuda.is_bf16_supported(including_emulation=False):
        raise PrecisionError(str(device), "this GPU has no bfloat16; choose dtype 'float16'")
    return Precision(level="O1", dtype=dtype, scaling=dtype is torch.float16, tf32=config.tf32)


def autocast(precision: Precision, device: torch.device | str) -> AbstractContextManager[object]:
    """Return the context in which networks and losses run; O0 switches an outer autocast off.

    Autocast's cache of cast weights is off: it would hand a cast that was made before an optimizer step, or without
    gradients, to the computation after it, in silence. Weights under spectral norm are never cached anyway, so the
    cache has little to win here.
    """
    device_type = torch.device(device).type
    if precision.dtype is None:
        return torch.autocast(device_type, enabled=False)
    return torch.autocast(device_type, dtype=precision.dtype, cache_enabled=False)


def apply_math_mode(precision: Precision) -> None:
    """Set PyTorch's process-wide TF32 switches as `precision` says; harmless where there is no CUDA.

    Call it once, when a process starts: it is a side effect on the whole process.
    """
    torch.backends.cuda.matmul.allow_tf32 = precision.tf32
    torch.backends.cudnn.allow_tf32 = precision.tf32


def describe(precision: Precision) -> str:
    """Return one line for logs, such as `O1: autocast in float16, loss scaling on, TF32 off`."""
    computes = "float32" if precision.dtype is None else f"autocast in {str(precision.dtype).removeprefix('torch.')}"
    scaling = "on" if precision.scaling else "off"
    return f"{precision.level}: {computes}, loss scaling {scaling}, TF32 {'on' if precision.tf32 else 'off'}"


def slowness(precision: Precision, device: torch.device | str) -> str | None:
    """Say that a level is slower here than float32, for want of instructions; None where it is not, or nobody knows.

    A processor without 16-bit arithmetic (of x86, what has neither AVX-512 nor AVX-VNNI) computes the same numbers by
    PyTorch's slow path, which takes several times as long as float32.
    """
    if torch.device(device).type != "cpu" or precision.dtype is None or _has_kernels(precision.dtype):
        return None
    name = str(precision.dtype).removeprefix("torch.")
    return (
        f"this processor has no instructions for {name}: {precision.level} is slow here, precision.level=O0 is quicker"
    )


def _has_kernels(dtype: torch.dtype) -> bool:
    """Tell whether oneDNN computes convolutions in this 16-bit dtype; True where PyTorch does not tell."""
    name = "_is_mkldnn_bf16_supported" if dtype is torch.bfloat16 else "_is_mkldnn_fp16_supported"
    try:
        return bool(getattr(torch.ops.mkldnn, name)())
    except (AttributeError, RuntimeError):
        return True


class _WideIslands(TorchFunctionMode):
    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is Tensor.float and args[0].dtype is torch.float64:
            return args[0]
        return func(*args, **(kwargs or {}))


def wide_islands() -> AbstractContextManager[object]:
    """Return a context in which float32 islands of a computation in float64 are float64: `.float()` narrows nothing."""
    return _WideIslands()
