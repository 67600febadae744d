"""Choosing is pure, explains itself, and can be overridden from outside."""

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
import torch
import vs_ops
from vs_ops import DescribedCall, Implementation, ImplementationError, Operator, choose, explain, info
from vs_ops.dispatch import IMPLEMENTATION_NAMES, resolve, select


def only_small(call: DescribedCall) -> str | None:
    return "more than ten elements" if torch.Size(call.shape).numel() > 10 else None


def made_of(*names: str) -> Operator:
    refusals: dict[str, Callable[[DescribedCall], str | None]] = {"native": only_small}
    implementations = tuple(
        Implementation(name=name, function=lambda *_, name=name: name, refuse=refusals.get(name, lambda _: None))
        for name in names
    )
    return Operator(name="sample", implementations=implementations, example_shape=(2, 5))


SAMPLE = made_of("native", "reference", "torchscript")
SMALL, LARGE = DescribedCall(shape=(2, 5)), DescribedCall(shape=(2, 6))


def test_the_first_without_a_reason_wins() -> None:
    assert choose(SAMPLE, SMALL).name == "native"
    assert choose(SAMPLE, LARGE).name == "reference"
    assert [(each.implementation.name, each.reason) for each in explain(SAMPLE, LARGE)] == [
        ("native", "more than ten elements"),
        ("reference", None),
        ("torchscript", None),
    ]


def test_asking_by_name_gets_it_or_says_why_not() -> None:
    assert choose(SAMPLE, LARGE, impl="torchscript").name == "torchscript"
    with pytest.raises(ImplementationError, match="sample: implementation 'native' cannot be used: more than ten") as e:
        choose(SAMPLE, LARGE, impl="native")
    assert (e.value.operator, e.value.impl, e.value.reason) == ("sample", "native", "more than ten elements")
    with pytest.raises(ImplementationError, match="only auto, native, reference, torchscript"):
        choose(SAMPLE, SMALL, impl="triton")
    with pytest.raises(ValueError, match="'fast'"):
        vs_ops.warp(torch.zeros(1, 3, 4, 4), torch.zeros(1, 2, 4, 4), impl="fast")


def test_an_override_replaces_auto_where_it_can_and_nothing_else() -> None:
    assert resolve(SAMPLE, SMALL, override="reference").name == "reference"
    assert resolve(SAMPLE, LARGE, override="native").name == "reference"
    assert resolve(SAMPLE, SMALL, override="triton").name == "native"
    assert resolve(SAMPLE, SMALL, impl="torchscript", override="reference").name == "torchscript"
    assert resolve(SAMPLE, SMALL, override="").name == "native"
    with pytest.raises(ImplementationError, match="VS_OPS_IMPL must be unset or one of auto, reference"):
        resolve(SAMPLE, SMALL, override="fast")


def test_the_environment_is_read_at_every_call(monkeypatch: pytest.MonkeyPatch) -> None:
    x = torch.zeros(2, 5)
    assert select(SAMPLE, x, "auto")() == "native"
    monkeypatch.setenv("VS_OPS_IMPL", "torchscript")
    assert select(SAMPLE, x, "auto")() == "torchscript"
    monkeypatch.setenv("VS_OPS_IMPL", "nonsense")
    with pytest.raises(ImplementationError, match="nonsense"):
        vs_ops.hinge_g(x)
    monkeypatch.delenv("VS_OPS_IMPL")
    assert select(SAMPLE, x, "auto")() == "native"


def test_under_the_compiler_auto_is_the_reference(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.compiler, "is_compiling", lambda: True)
    assert select(SAMPLE, torch.zeros(2, 5), "auto")() == "reference"
    with pytest.raises(ImplementationError, match="compile"):
        select(SAMPLE, torch.zeros(2, 5), "native")
    for operator in vs_ops.OPERATORS:
        for call in info.common_calls(operator):
            compiling = DescribedCall(device_type=call.device_type, dtype=call.dtype, shape=call.shape, compiling=True)
            assert choose(operator, compiling).name == "reference"


def test_every_operator_is_public_and_has_a_reference_that_never_refuses() -> None:
    for operator in vs_ops.OPERATORS:
        assert callable(getattr(vs_ops, operator.name))
        names = [each.name for each in operator.implementations]
        assert len(set(names)) == len(names)
        assert set(names) <= set(IMPLEMENTATION_NAMES)
        for device_type in ("cpu", "cuda", "mps"):
            for shape in ((0, 3, 4, 4), (1, 3, 1, 1), (2, 3, 4, 5)):
                call = DescribedCall(device_type=device_type, dtype=torch.float16, shape=shape)
                assert choose(operator, call, impl="reference").name == "reference"


@pytest.mark.parametrize("operator", [vs_ops.INSTANCE_NORM, vs_ops.SPADE], ids=["instance_norm", "spade"])
@pytest.mark.parametrize(
    ("call", "chosen"),
    [
        (DescribedCall(shape=(1, 4, 8, 8)), "native"),
        (DescribedCall(shape=(1, 4, 8, 8), dtype=torch.bfloat16), "native"),
        (DescribedCall(shape=(1, 4, 8, 8), device_type="cuda", dtype=torch.float16), "native"),
        (DescribedCall(shape=(1, 4, 8, 8), device_type="mps"), "reference"),
        (DescribedCall(shape=(1, 4, 8, 8), dtype=torch.float8_e4m3fn), "reference"),
        (DescribedCall(shape=(0, 4, 8, 8)), "reference"),
        (DescribedCall(shape=(1, 4, 1, 1)), "reference"),
    ],
)
def test_the_fused_kernels_are_chosen_where_they_are_right(
    operator: Operator, call: DescribedCall, chosen: str
) -> None:
    assert choose(operator, call, rules=vs_ops.NO_RULES).name == chosen


def test_importing_the_package_scripts_and_compiles_nothing() -> None:
    program = "import torch; torch.jit.script = None; torch.compile = None; import vs_ops"
    subprocess.run([sys.executable, "-W", "error", "-c", program], check=True)


def test_info_prints_the_table(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert info.main() == 0
    lines = capsys.readouterr().out.splitlines()
    assert f"torch {torch.__version__}" in lines[0]
    row = next(line for line in lines if line.startswith("instance_norm") and "cpu bfloat16" in line)
    said = row.split(")")[1].split(";")[0].split()
    assert said[:2] == ["native", "reference:"]
    assert said[3:] == ["times", "the", "time"] or said[2:] == ["by", "name", "only"]
    row = next(line for line in lines if line.startswith("instance_norm") and "cuda bfloat16" in line)
    assert "triton" in row
    assert "inductor: by name only" in row
    monkeypatch.setenv("VS_OPS_IMPL", "reference")
    assert info.main() == 0
    assert "VS_OPS_IMPL: reference" in capsys.readouterr().out
    monkeypatch.setenv("VS_OPS_IMPL", "nonsense")
    assert info.main() == 2
    assert "nonsense" in capsys.readouterr().err


def everything(x: torch.Tensor, maps: torch.Tensor, flow: torch.Tensor, ids: torch.Tensor) -> Any:
    u, v = vs_ops.power_iteration(x[0].flatten(1), x[0, :, 0, 0], x[0, 0].flatten())
    shaded = vs_ops.spade(vs_ops.instance_norm(x), [maps], negative_slope=0.2)
    halves = vs_ops.instance_norm(x[..., ::2, ::2])
    shaded = shaded + vs_ops.spade(halves, [maps], upsample=True)
    shaded = vs_ops.gelu(shaded)
    blended, warped = vs_ops.warp_and_blend(shaded, flow, flow[:, :1].sigmoid(), x)
    losses = vs_ops.hinge_d_real(warped) + vs_ops.hinge_d_fake(blended) + vs_ops.hinge_g(shaded)
    losses = losses + vs_ops.masked_l1(warped, x, flow[:, :1].abs()) + vs_ops.feature_matching([[blended]], [[x]])
    convolved = vs_ops.hyper_conv2d(x, maps[:, :, None, :1, :1].expand(-1, -1, 4, 3, 3), maps[:, :, 0, 0], padding=1)
    merged, weights = vs_ops.attend(x, maps.unflatten(1, (2, 4)), maps.unflatten(1, (2, 4)))
    losses = losses + convolved.mean() + vs_ops.reference_matrix(merged, maps).mean() + weights.square().mean()
    labelled = vs_ops.label_conv2d(ids, maps[0, :5, None, None, 0].expand(-1, 5, 3, -1)[..., :3], padding=1)
    losses = losses + labelled.square().mean()
    losses = losses + vs_ops.upsample_conv2d(x, maps[0, :4, None, :3, :3].expand(-1, 4, -1, -1)).square().mean()
    average = flow.clone()
    vs_ops.ema([average], [maps[:, :2]], weight=0.5, scales=[flow[0, 0, 0, 0]])
    losses = losses + vs_ops.mask_loss(average[:, :1].sigmoid(), warped, x)
    losses = losses + vs_ops.mask_loss(flow[:, :1].sigmoid(), warped, x)
    return losses + vs_ops.spectral_normalize(x[0], u, v).sum() + vs_ops.one_hot(ids, 5).sum()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.torch.jit.script:DeprecationWarning")  # PyTorch warns of itself
def test_all_operators_compile_into_one_graph() -> None:
    torch._dynamo.reset()
    compiled = torch.compile(everything, fullgraph=True)
    for size in ((8, 6), (10, 12)):
        generator = torch.Generator().manual_seed(0)
        x = torch.randn(2, 4, *size, generator=generator).requires_grad_()
        maps, flow = torch.randn(2, 8, *size, generator=generator), torch.randn(2, 2, *size, generator=generator)
        ids = torch.randint(0, 5, (2, *size), generator=generator)
        expected, value = everything(x, maps, flow, ids), compiled(x, maps, flow, ids)
        torch.testing.assert_close(value, expected, rtol=1e-4, atol=1e-4)
        grads = [torch.autograd.grad(each, x)[0] for each in (value, expected)]
        torch.testing.assert_close(*grads, rtol=1e-3, atol=1e-4)
