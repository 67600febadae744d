"""Precision levels: what they resolve to, what they compute in, and what they refuse."""

import pytest
import torch
from torch import nn
from vs_config import ConfigError
from vs_optim import (
    Precision,
    PrecisionConfig,
    PrecisionError,
    apply_math_mode,
    autocast,
    describe,
    resolve_precision,
    settle_level,
    slowness,
)


@pytest.mark.parametrize(
    ("config", "device", "dtype", "scaling"),
    [
        (PrecisionConfig(level="O0"), "cpu", None, False),
        (PrecisionConfig(level="O0"), "cuda", None, False),
        (PrecisionConfig(level="O1"), "cpu", torch.bfloat16, False),
        (PrecisionConfig(level="O1"), "cuda:0", torch.float16, True),
        (PrecisionConfig(level="O1", dtype="float16"), "cpu", torch.float16, True),
        (PrecisionConfig(level="O1", dtype="bfloat16"), "cpu", torch.bfloat16, False),
    ],
)
def test_resolves_to_dtype_and_scaling(
    config: PrecisionConfig, device: str, dtype: torch.dtype | None, scaling: bool
) -> None:
    precision = resolve_precision(config, device)
    assert (precision.dtype, precision.scaling, precision.level) == (dtype, scaling, config.level)


@pytest.mark.parametrize(
    ("kernels", "device", "dtype", "level"),
    [
        (True, "cpu", "auto", "O1"),
        (False, "cpu", "auto", "O0"),
        (False, "cpu", "bfloat16", "O1"),
        (False, "cuda", "auto", "O1"),
        (True, "mps", "auto", "O0"),
    ],
)
def test_auto_is_the_level_that_the_device_is_quicker_in_and_says_why(
    monkeypatch: pytest.MonkeyPatch, kernels: bool, device: str, dtype: str, level: str
) -> None:
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: kernels, raising=False)
    config, why = settle_level(PrecisionConfig(dtype=dtype), device)
    assert config == PrecisionConfig(level=level, dtype=dtype)
    assert str(why).startswith(f"precision.level=auto: {level}, since ")
    assert resolve_precision(PrecisionConfig(dtype=dtype), device).level == level


@pytest.mark.parametrize("config", [PrecisionConfig(level="O0"), PrecisionConfig(level="O1")])
def test_a_level_that_is_asked_for_stays(monkeypatch: pytest.MonkeyPatch, config: PrecisionConfig) -> None:
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: config.level == "O0", raising=False)
    assert settle_level(config, "cpu") == (config, None)


def test_bfloat16_on_a_gpu_without_it_is_refused_with_advice(monkeypatch: pytest.MonkeyPatch) -> None:
    # Of a GPU from before Ampere PyTorch says yes, unless it is told not to count emulation.
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: including_emulation)
    with pytest.raises(PrecisionError, match="choose dtype 'float16'"):
        resolve_precision(PrecisionConfig(dtype="bfloat16"), "cuda")
    assert resolve_precision(PrecisionConfig(), "cuda").dtype is torch.float16


def test_mixed_precision_elsewhere_is_refused_with_advice() -> None:
    with pytest.raises(PrecisionError, match="'cuda' and 'cpu' only; choose level O0") as caught:
        resolve_precision(PrecisionConfig(level="O1"), "mps")
    assert caught.value.device == "mps"
    assert resolve_precision(PrecisionConfig(level="O0"), "mps").dtype is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"level": "O2"}, "level: expected one of 'auto', 'O0', 'O1', got 'O2'"),
        ({"dtype": "half"}, "dtype: expected one of 'auto', 'float16', 'bfloat16', got 'half'"),
        (
            {"level": "O0", "dtype": "float16"},
            "dtype: expected 'auto' at level 'O0', which computes in float32, got 'float16'",
        ),
        ({"tf32": 1}, "tf32: expected true or false, got 1"),
    ],
)
def test_config_says_field_value_and_what_is_allowed(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        PrecisionConfig(**arguments)  # type: ignore[arg-type]
    assert message in str(caught.value)


@pytest.mark.parametrize("name", ["float16", "bfloat16"])
def test_matrices_and_convolutions_compute_in_the_dtype_and_parameters_stay(name: str) -> None:
    precision = resolve_precision(PrecisionConfig(dtype=name), "cpu")  # type: ignore[arg-type]
    conv = nn.Conv2d(2, 3, 3)
    with autocast(precision, "cpu"):
        out = conv(torch.randn(1, 2, 8, 8))
        assert out.dtype is getattr(torch, name)
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype is getattr(torch, name)
    out.float().sum().backward()
    assert conv.weight.dtype is torch.float32
    assert conv.weight.grad is not None
    assert conv.weight.grad.dtype is torch.float32


def test_plain_float32_switches_an_outer_autocast_off() -> None:
    plain = resolve_precision(PrecisionConfig(level="O0"), "cpu")
    with torch.autocast("cpu", dtype=torch.bfloat16), autocast(plain, "cpu"):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype is torch.float32


def test_a_weight_that_changes_inside_the_context_is_seen() -> None:
    """Autocast's own cache would go on with the weight as it was, and with a cast that has no gradient."""
    precision = resolve_precision(PrecisionConfig(), "cpu")
    linear = nn.Linear(1, 1, bias=False)
    x = torch.ones(1, 1)
    with autocast(precision, "cpu"):
        with torch.no_grad():
            linear(x)
            linear.weight.fill_(4.0)
        out = linear(x)
    assert out.item() == 4.0
    assert out.requires_grad


@pytest.mark.parametrize("tf32", [True, False])
def test_tf32_is_on_exactly_when_asked_for(tf32: bool) -> None:
    before = (torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32)
    try:
        apply_math_mode(resolve_precision(PrecisionConfig(tf32=tf32), "cpu"))
        assert (torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32) == (tf32, tf32)
    finally:
        torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before


def test_describes_itself_in_one_line() -> None:
    half = Precision(level="O1", dtype=torch.float16, scaling=True)
    assert describe(half) == "O1: autocast in float16, loss scaling on, TF32 off"
    assert describe(Precision(level="O0", dtype=None, scaling=False)) == "O0: float32, loss scaling off, TF32 off"


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_a_processor_without_16_bit_arithmetic_is_told_of(monkeypatch: pytest.MonkeyPatch, dtype: torch.dtype) -> None:
    half, full = Precision(level="O1", dtype=dtype, scaling=False), Precision(level="O0", dtype=None, scaling=False)
    for kernels in (True, False):
        for name in ("_is_mkldnn_bf16_supported", "_is_mkldnn_fp16_supported"):
            monkeypatch.setattr(torch.ops.mkldnn, name, lambda kernels=kernels: kernels, raising=False)
        said = slowness(half, "cpu")
        assert said is None if kernels else "precision.level=O0" in str(said)
        assert slowness(full, "cpu") is None
        assert slowness(half, "cuda") is None


def test_where_pytorch_does_not_tell_nothing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown() -> bool:
        raise RuntimeError("built without oneDNN")

    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", unknown, raising=False)
    assert slowness(Precision(level="O1", dtype=torch.bfloat16, scaling=False), "cpu") is None


@pytest.mark.gpu
def test_float16_on_cuda() -> None:
    precision = resolve_precision(PrecisionConfig(), "cuda")
    with autocast(precision, "cuda"):
        assert (torch.ones(2, 2, device="cuda") @ torch.ones(2, 2, device="cuda")).dtype is torch.float16
