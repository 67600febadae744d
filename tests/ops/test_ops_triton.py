"""What Triton's kernels owe beside the numbers of the conformance suite. Without a GPU their interpreter runs them."""

import os
import subprocess
import sys
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import torch
import vs_ops
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only
from torch.utils.checkpoint import checkpoint
from triton_samples import as_tuple, leaves_of, loss_of, samples
from vs_ops import DescribedCall, _triton, choose, explain, info

pytest.importorskip("triton")

CL = torch.channels_last
SAMPLES = samples()
OPERATORS = {each.name: each for each in vs_ops.OPERATORS if "triton" in {one.name for one in each.implementations}}
pytestmark = pytest.mark.skipif(
    not torch.cuda.is_available() and not _triton.interpreting(), reason="needs a GPU or TRITON_INTERPRET=1"
)
DEVICE = "cpu" if _triton.interpreting() else "cuda"
every = pytest.mark.parametrize("name", SAMPLES)
differentiable = pytest.mark.parametrize("name", [name for name, each in SAMPLES.items() if each.differentiable])
twice = pytest.mark.parametrize("name", [name for name, each in SAMPLES.items() if each.differentiable and each.twice])


def noise(seed: int, *shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(DEVICE)


def sameness(name: str) -> dict[str, float]:
    """How near two runs are: a GPU adds up the gradients of what is warped in an order that changes."""
    some = 1e-5 if DEVICE == "cuda" and name.startswith("warp") else 0.0
    return {"rtol": some, "atol": some}


def refusal(name: str, call: DescribedCall) -> str | None:
    return next(each.reason for each in explain(OPERATORS[name], call) if each.implementation.name == "triton")


def in_a_new_process(program: str, **environment: str) -> subprocess.CompletedProcess[str]:
    inherited = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    command = [sys.executable, "-W", "error", "-c", program]
    return subprocess.run(command, env=inherited | environment, capture_output=True, text=True, check=False)


def test_every_operator_of_triton_has_a_sample() -> None:
    assert {name.partition(",")[0] for name in SAMPLES} == OPERATORS.keys()


def test_importing_the_package_and_explaining_its_choices_imports_no_triton() -> None:
    program = (
        "import sys, torch, vs_ops\nfrom vs_ops import info\ninfo.main()\nvs_ops.hinge_g(torch.ones(3))\n"
        "assert 'triton' not in sys.modules\nassert not hasattr(torch.ops.vs_ops, 'hinge')\n"
    )
    done = in_a_new_process(program, TRITON_INTERPRET="1")
    assert (done.returncode, done.stderr) == (0, "")


def test_where_triton_is_not_installed_its_implementations_refuse_and_nothing_else_changes() -> None:
    program = (
        "import sys\nsys.modules['triton'] = None\nimport torch, vs_ops\nx = torch.ones(2, 3)\n"
        "assert vs_ops.hinge_g(x) == -1\nvs_ops.hinge_g(x, impl='triton')\n"
    )
    done = in_a_new_process(program, TRITON_INTERPRET="1")
    assert "hinge_g: implementation 'triton' cannot be used: Triton is not installed" in done.stderr


def test_the_interpreter_cannot_be_asked_for_once_triton_is_imported() -> None:
    program = (
        "import triton, os, torch, vs_ops\nos.environ['TRITON_INTERPRET'] = '1'\n"
        "vs_ops.hinge_g(torch.ones(2, 3), impl='triton')\n"
    )
    assert "cannot be used: no Triton kernel runs on cpu but in its interpreter" in in_a_new_process(program).stderr


def test_it_says_what_it_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    for dtype in (torch.float16, torch.bfloat16, torch.float32, torch.float64):
        assert refusal("spade", DescribedCall(device_type="cuda", dtype=dtype, shape=(2, 3, 4, 5))) is None
    assert refusal("one_hot", DescribedCall(device_type="cuda", dtype=torch.uint8, shape=(2, 4, 5))) is None
    cuda = {"device_type": "cuda", "shape": (2, 3, 4, 5)}
    assert refusal("spade", DescribedCall(dtype=torch.int32, **cuda)) == "no kernel for torch.int32"
    assert refusal("one_hot", DescribedCall(dtype=torch.float32, **cuda)) == "no kernel for torch.float32"
    assert "at least one element" in str(refusal("warp", DescribedCall(device_type="cuda", shape=(2, 0, 4, 5))))
    assert "2^30" in str(refusal("warp", DescribedCall(device_type="cuda", shape=(2, 2**15, 2**15))))
    many = DescribedCall(device_type="cuda", shape=(2**16, 2))
    assert (refusal("mask_loss", many), refusal("hinge_g", many)) == ("more than 65535 samples", None)
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    assert "no Triton kernel runs on cpu" in str(refusal("warp", DescribedCall(shape=(1, 3, 4, 5))))


def test_nobody_gets_it_unmeasured() -> None:
    """It comes last in the order of preference, and is chosen where rules know it to be quicker, which is on a GPU."""
    for operator in OPERATORS.values():
        assert operator.implementations[-1].name == "triton"
        for call in info.common_calls(operator):
            assert choose(operator, call, rules=vs_ops.NO_RULES).name != "triton"
            assert call.device_type == "cuda" or choose(operator, call).name != "triton"


class Recorder(TorchDispatchMode):
    """What our custom operators are called with, below autograd."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[Any, tuple[Any, ...]]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func.namespace == "vs_ops":
            self.calls.append((func, args))
        return func(*args, **(kwargs or {}))


@every
@pytest.mark.parametrize("dtype", [torch.float32, pytest.param(torch.bfloat16, marks=pytest.mark.slow)], ids=str)
def test_the_registration_passes_the_checks_of_pytorch(name: str, dtype: torch.dtype) -> None:
    """Schema, shapes for the compiler, gradients, and the compiler's own path through all of them."""
    with Recorder() as recorder:
        result = SAMPLES[name].call("triton", leaves_of(SAMPLES[name], dtype, DEVICE))
        if SAMPLES[name].differentiable:
            loss_of(result).backward()
    backward = SAMPLES[name].differentiable and name != "singular_values"  # of which PyTorch makes the gradient
    assert len(recorder.calls) == (2 if backward else 1)
    for operator, arguments in recorder.calls:
        if operator.__name__.endswith("_backward.default"):
            arguments = tree_map_only(Tensor, Tensor.detach, arguments)
        torch.library.opcheck(operator, arguments)


def gradients(name: str, impl: str, leaves: tuple[Tensor, ...], **keywords: bool) -> tuple[Tensor, ...]:
    wanted = [each for each in leaves if each.requires_grad]
    return torch.autograd.grad(loss_of(SAMPLES[name].call(impl, leaves)), wanted, **keywords)


@differentiable
def test_gradients_that_may_be_differentiated_again_are_the_same(name: str) -> None:
    leaves = leaves_of(SAMPLES[name], torch.float64, DEVICE)
    once, again = gradients(name, "triton", leaves), gradients(name, "triton", leaves, create_graph=True)
    torch.testing.assert_close(once, again, rtol=1e-9, atol=1e-9)


@twice
def test_a_penalty_on_gradients_has_the_gradients_of_the_reference(name: str) -> None:
    leaves = tuple(each for each in leaves_of(SAMPLES[name], torch.float64, DEVICE))
    wanted = [each for each in leaves if each.requires_grad]
    results = []
    for impl in ("triton", "reference"):
        scaled = tuple(each * each if each.requires_grad else each for each in leaves)  # not leaves any more
        loss = loss_of(SAMPLES[name].call(impl, scaled))
        penalty = sum(each.square().sum() for each in torch.autograd.grad(loss, wanted, create_graph=True))
        results.append(torch.autograd.grad(penalty, wanted))
    torch.testing.assert_close(*results, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", ["hinge_d_real", "instance_norm", "spade", "spade, up-sampling"])
def test_second_derivatives_are_those_of_finite_differences(name: str) -> None:
    """In fast mode, which compares random projections: the interpreter is slow."""
    leaves = leaves_of(SAMPLES[name], torch.float64, DEVICE)
    wanted = [each for each in leaves if each.requires_grad]

    def function(*given: Tensor) -> Any:
        return SAMPLES[name].call("triton", (*given, *leaves[len(given) :]))

    assert torch.autograd.gradgradcheck(function, wanted, fast_mode=True)


@pytest.mark.parametrize("create_graph", [False, True])
def test_one_tensor_as_two_arguments_gets_the_sum_of_two_gradients(create_graph: bool) -> None:
    image, flow, mask = noise(1, 1, 2, 5, 6), noise(2, 1, 2, 5, 6), noise(3, 1, 1, 5, 6).sigmoid()
    found = []
    for impl in ("triton", "reference"):
        leaf = image.clone().requires_grad_()
        loss = loss_of(vs_ops.warp_and_blend(leaf, flow, mask, leaf, impl=impl))
        found += torch.autograd.grad(loss, leaf, create_graph=create_graph)
    torch.testing.assert_close(*found, rtol=1e-4, atol=1e-5)


@differentiable
def test_only_what_is_asked_for_is_computed_and_it_is_the_same(name: str) -> None:
    whole = leaves_of(SAMPLES[name], torch.float32, DEVICE)
    expected = gradients(name, "triton", whole)
    for wanted in product((False, True), repeat=len(expected)):
        if any(wanted):
            leaves = tuple(
                each.detach().requires_grad_(want) for each, want in zip(whole, (*wanted, *[False] * 9), strict=False)
            )
            kept = [each for each, want in zip(expected, wanted, strict=True) if want]
            torch.testing.assert_close(list(gradients(name, "triton", leaves)), kept, **sameness(name))


@differentiable
@pytest.mark.parametrize("use_reentrant", [False, True])
def test_activation_checkpointing_changes_no_gradient(name: str, use_reentrant: bool) -> None:
    leaves = leaves_of(SAMPLES[name], torch.float32, DEVICE)
    wanted = [each for each in leaves if each.requires_grad]

    def block(*tensors: Tensor) -> Tensor:
        return loss_of(SAMPLES[name].call("triton", tensors))

    block(*leaves).backward()
    expected = [each.grad for each in wanted]
    for each in wanted:
        each.grad = None
    checkpoint(block, *leaves, use_reentrant=use_reentrant).backward()
    torch.testing.assert_close([each.grad for each in wanted], expected, **sameness(name))


@pytest.mark.parametrize("backend", ["aot_eager", pytest.param("inductor", marks=pytest.mark.slow)])
@pytest.mark.filterwarnings("ignore:.torch.jit.script:DeprecationWarning")  # PyTorch warns of itself
def test_under_the_compiler_it_is_one_operator_of_its_own(backend: str) -> None:
    torch._dynamo.reset()

    def everything(impl: str, tensors: dict[str, tuple[Tensor, ...]]) -> Tensor:
        return torch.stack([loss_of(SAMPLES[name].call(impl, given)) for name, given in tensors.items()]).sum()

    compiled = torch.compile(everything, fullgraph=True, backend=backend)
    for size in ((5, 6), (7, 9)):
        leaves = {name: leaves_of(each, torch.float32, DEVICE) for name, each in samples(*size).items()}
        wanted = [each for group in leaves.values() for each in group if each.requires_grad]
        results = [compiled("triton", leaves), everything("reference", leaves)]
        torch.testing.assert_close(*results, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(*(torch.autograd.grad(each, wanted) for each in results), rtol=1e-3, atol=1e-4)


def test_the_compiler_is_refused_by_name_where_a_kernel_refuses() -> None:
    compiled = torch.compile(lambda x: vs_ops.hinge_g(x, impl="triton"), fullgraph=True, backend="eager")
    with pytest.raises(Exception, match="'triton' cannot be used: the kernels need at least one element"):
        compiled(torch.zeros(0, 3, device=DEVICE))


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, CL])
@pytest.mark.parametrize(("count", "upsample"), [(0, False), (3, False), (5, False), (3, True)])
def test_planes_in_pieces_and_any_number_of_maps_agree_with_the_reference(
    memory_format: torch.memory_format, count: int, upsample: bool
) -> None:
    """40 x 65 pixels of two planes are three pieces in NCHW and six in channels-last order."""
    shape = (1, 2, 40, 65)
    size = [40 << upsample, 65 << upsample]
    x, upstream = noise(1, *shape) + 30, noise(2, 1, 2, *size)
    maps = [noise(3 + index, 1, 4, *size) / 2 for index in range(count)]
    found = []
    for impl, dtype in (("triton", torch.float32), ("reference", torch.float64)):
        leaves = [each.to(dtype).contiguous(memory_format=memory_format).requires_grad_() for each in (x, *maps)]
        result = vs_ops.spade(leaves[0], leaves[1:], impl=impl, negative_slope=0.2, upsample=upsample)
        found.append([each.double() for each in (result, *torch.autograd.grad(result, leaves, upstream.to(dtype)))])
    torch.testing.assert_close(*found, rtol=1e-4, atol=2e-4)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), 1e30])
def test_flow_that_is_no_number_reads_and_writes_within_the_image(value: float) -> None:
    image = noise(1, 1, 2, 4, 5).requires_grad_()
    flow = torch.full((1, 2, 4, 5), value, device=DEVICE).requires_grad_()
    warped = vs_ops.warp(image, flow, impl="triton")
    corner = image[:, :, -1:, -1:] if value > 0 else image[:, :, :1, :1]
    assert torch.equal(warped, corner.expand_as(warped))
    of_image, of_flow = torch.autograd.grad(warped.sum(), (image, flow))
    assert not of_flow.any()
    assert of_image.sum() == image.numel()


def test_where_results_must_be_deterministic_the_image_gets_its_gradient_from_pytorch(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch, "are_deterministic_algorithms_enabled", lambda: True)
    image, flow = noise(1, 1, 2, 4, 5).requires_grad_(), noise(2, 1, 2, 4, 5).requires_grad_()
    for wanted, kernels in (((image, flow), 1), ((flow,), 2)):
        leaves = [each if any(each is one for one in wanted) else each.detach() for each in (image, flow)]
        with Recorder() as recorder:
            torch.autograd.grad(vs_ops.warp(*leaves, impl="triton").sum(), wanted)
        assert len(recorder.calls) == kernels


@pytest.mark.parametrize("loss", [vs_ops.hinge_d_real, vs_ops.hinge_d_fake, vs_ops.hinge_g])
def test_a_logit_that_is_no_number_is_not_hidden(loss: Any) -> None:
    logits = noise(1, 3, 4)
    logits[1, 2] = float("nan")
    assert loss(logits, impl="triton").isnan()


@pytest.mark.parametrize(
    "dtype", [torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64, torch.uint16, torch.uint32], ids=str
)
def test_one_hot_takes_all_integers_and_names_the_wrong_one(dtype: torch.dtype) -> None:
    ids = torch.tensor([0, 1, 2, 100, 4, 3], dtype=torch.int64, device=DEVICE).view(1, 2, 3)
    for dont_care, out in product((False, True), (torch.float32, torch.float16)):
        found = [
            vs_ops.one_hot(ids.to(dtype), 5, dont_care=dont_care, ignore_id=100, dtype=out, impl=impl)
            for impl in ("triton", "reference")
        ]
        assert torch.equal(*found)
    if DEVICE == "cpu":
        with pytest.raises(vs_ops.ClassIdError, match=r"class id 4 at .* = \(0, 1, 1\)"):
            vs_ops.one_hot(ids.to(dtype), 4, ignore_id=100, impl="triton")


def test_a_pixel_that_is_no_number_is_not_hidden() -> None:
    mask, frame = noise(1, 2, 1, 3, 4).sigmoid(), noise(2, 2, 3, 3, 4)
    warped = frame.clone()
    warped[1, 2, 1, 3] = float("nan")
    assert vs_ops.mask_loss(mask, warped, frame, impl="triton").isnan()


@pytest.mark.gpu
@every
def test_it_can_be_captured_in_a_cuda_graph(name: str) -> None:
    """Nothing waits for the device, and all shapes are known on the host: forward and backward can be replayed."""
    leaves = leaves_of(SAMPLES[name], torch.float32, "cuda")

    def step(impl: str = "triton") -> tuple[Tensor, ...]:
        result = SAMPLES[name].call(impl, leaves)
        grads = gradients(name, impl, leaves) if SAMPLES[name].differentiable else ()
        return *(each.detach() for each in as_tuple(result)), *grads

    # Off the default stream, on which nothing may run while another is captured: no node of it must be left either.
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for each in OPERATORS[name.partition(",")[0]].implementations:
            if each.name in ("reference", "native"):  # some are left to them in a capture, where cuBLAS cannot begin
                step(each.name)
        expected = step()  # compiles
        step()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        captured = step()
    graph.replay()
    torch.testing.assert_close(captured, expected)


@pytest.mark.parametrize(
    ("capability", "size", "dtypes", "formats"),
    [
        (80, (16, 32), "float16", "contiguous_format"),
        *(
            pytest.param(*arguments, marks=pytest.mark.slow)
            for arguments in (
                (75, (5, 7), "float16", "contiguous_format,channels_last"),
                (80, (1, 1), "bfloat16,float32,float64", "contiguous_format"),
                (90, (64, 128), "bfloat16,float16,float32,float64", "contiguous_format,channels_last"),
            )
        ),
    ],
)
def test_all_kernels_compile_for_a_gpu_that_is_not_there(
    tmp_path: Path, capability: int, size: tuple[int, int], dtypes: str, formats: str
) -> None:
    """The interpreter accepts more than the compiler does."""
    program = Path(__file__).parent / "compile_triton_kernels.py"
    command = [sys.executable, str(program), str(capability), *map(str, size), dtypes, formats]
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    environment["TRITON_CACHE_DIR"] = str(tmp_path)
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 20


@differentiable
def test_a_gradient_that_is_not_defined_makes_none(name: str) -> None:
    """PyTorch passes on "no gradient" as such, from a function that has none for what it was given."""

    class Without(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Tensor) -> Tensor:  # noqa: ARG004
            return x.clone()

        @staticmethod
        def backward(ctx: Any, grad: Tensor) -> None:  # noqa: ARG004
            return None

    leaves = leaves_of(SAMPLES[name], torch.float32, DEVICE)
    results = [Without.apply(each) for each in as_tuple(SAMPLES[name].call("triton", leaves))]
    wanted = [each for each in leaves if each.requires_grad]
    found = torch.autograd.grad(sum(each.sum() for each in results), wanted, allow_unused=True)
    assert all(each is None or not each.any() for each in found)
