"""The benchmark of the operators: every subject computes what its eager counterpart computes, and is its operator's."""

import pytest
import torch
import vs_ops
from vs_bench import results
from vs_bench.errors import VsBenchError
from vs_bench.operators import command as ops
from vs_bench.operators.subjects import PLANS, Make, Plan, work_of
from vs_bench.operators.subjects.networks import spectral_shapes
from vs_ops.dispatch import describe
from vs_training.tensors import tensors_in

SMALL = [plan for plan in PLANS if not plan.large]
by_plan = pytest.mark.parametrize("plan", SMALL, ids=lambda plan: f"{plan.operator.name}, {plan.size}")


@pytest.fixture(autouse=True)
def _measure_no_interpreter(monkeypatch: pytest.MonkeyPatch) -> None:
    """Which computes whatever Triton's kernels do, a thousand times slower."""
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)


def make(dtype: torch.dtype = torch.float32, memory_format: str = "channels_last") -> Make:
    return Make(device=torch.device("cpu"), dtype=dtype, memory_format=memory_format)


def settings(**given):
    defaults = {"device": torch.device("cpu"), "dtype": torch.float32, "rounds": 2, "seconds": 1e-4, "threads": 1}
    return ops.Settings(**{**defaults, **given})


def computed(call, leaves):
    results = list(tensors_in(call()))
    wanted = [one for one in results if one.requires_grad]
    generator = torch.Generator().manual_seed(1)
    weights = [torch.rand(one.shape, generator=generator).to(one.dtype) for one in wanted]
    return [one.detach().clone() for one in results], torch.autograd.grad(wanted, leaves, weights) if leaves else ()


def test_plans_of_an_operator_differ_in_size():
    named = [(plan.operator.name, plan.size) for plan in PLANS]
    assert len(set(named)) == len(named)


@by_plan
def test_eager_computes_what_the_reference_computes(plan: Plan):
    ours, eager = plan.build(make()), plan.build(make())
    results, gradients = computed(lambda: ours.call("reference"), ours.leaves)
    expected, expected_gradients = computed(eager.eager, eager.leaves)
    assert results or ours.mutated
    for value, other in zip(
        (*results, *gradients, *ours.mutated),
        (*expected, *expected_gradients, *eager.mutated),
        strict=True,
    ):
        assert value.isfinite().all()
        # As a whole, since gradients jump at a few elements: where a flow meets a pixel, or a leaky ReLU its kink.
        assert (value.double() - other.double()).norm() <= 0.01 * other.double().norm()
    assert all(one.abs().sum() > 0 for one in gradients)


@by_plan
def test_its_call_is_that_of_the_operator(plan: Plan, monkeypatch: pytest.MonkeyPatch):
    subject = plan.build(make())
    asked = []
    monkeypatch.setattr(vs_ops, plan.operator.name, lambda *args, impl, **options: asked.append(impl))
    subject.call("reference")
    assert asked == ["reference"]
    assert (subject.described.shape, subject.described.dtype) == (tuple(subject.decides.shape), subject.decides.dtype)


@by_plan
def test_images_come_in_the_memory_format_and_in_the_dtype(plan: Plan):
    if plan.parameters:
        assert {one.dtype for one in plan.build(make(torch.bfloat16)).inputs} == {torch.float32}
        return
    subject = plan.build(make(torch.bfloat16))
    images = [one for one in subject.inputs if one.dim() == 4 and one.is_floating_point() and one.shape[1] > 1]
    assert all(one.is_contiguous(memory_format=torch.channels_last) for one in images)
    contiguous = [one for one in plan.build(make(memory_format="contiguous")).inputs if one.dim() == 4]
    assert all(one.is_contiguous() for one in contiguous)
    assert not subject.decides.is_floating_point() or subject.decides.dtype is torch.bfloat16


def test_work_is_forward_and_backward_as_often_as_asked():
    x = torch.ones(3, requires_grad=True)
    calls, gradients = [], []

    def call():
        calls.append(1)
        y = x * 2
        y.register_hook(gradients.append)
        return [[y], (x.detach(),)]

    run = work_of(call, [x], repeats=3)
    calls.clear()
    run()
    assert (len(calls), len(gradients)) == (3, 3)
    work_of(call, [], repeats=2)()
    assert (len(calls), len(gradients)) == (5, 3)


def test_a_plan_is_measured_in_every_implementation_that_accepts():
    plan = next(plan for plan in SMALL if plan.operator is vs_ops.HINGE_G)
    record = ops.measure_plan(plan, "channels_last", settings(skip=("inductor",)))
    described = describe(torch.zeros(record["shape"]))
    accepted = [one.implementation.name for one in vs_ops.explain(plan.operator, described) if one.reason is None]
    assert {"reference", "torchscript"} <= set(accepted)
    assert [case["name"] for case in record["cases"]] == ["eager", *(one for one in accepted if one != "inductor")]
    elements = record["elements"]
    assert record["bytes"] == 4 * (elements + 1) * 2
    assert record["memory_format"] == "channels_last"
    assert record["copy_bytes_per_second"] > 0
    for case in record["cases"]:
        assert case["kernels"] >= 2
        assert case["median_seconds"] > 0
        assert case["share_of_copy"] == pytest.approx(
            record["bytes"] / case["median_seconds"] / record["copy_bytes_per_second"]
        )


def test_what_is_not_there_is_answered_with_what_there_is():
    with pytest.raises(VsBenchError, match=r"--only: expected one of .*'spade'.*, got 'spode'"):
        ops.planned(["spode"], "", torch.float32)
    with pytest.raises(VsBenchError, match="nothing of the size 'huge'"):
        ops.planned([], "huge", torch.float32)


def test_parameters_are_measured_in_float32_only():
    assert {plan.operator.name for plan in ops.planned([], "", torch.float32)} == {one.name for one in vs_ops.OPERATORS}
    low = ops.planned([], "", torch.bfloat16)
    assert low
    assert not any(plan.parameters for plan in low)


def test_memory_formats_are_compared_where_there_are_images():
    image = next(plan for plan in PLANS if plan.images)
    vector = next(plan for plan in PLANS if not plan.images)
    assert ops.formats_of(image, "both") == ["channels_last", "contiguous"]
    assert ops.formats_of(vector, "both") == ["channels_last"]
    assert ops.formats_of(image, "contiguous") == ["contiguous"]


def test_rules_are_made_of_one_memory_format():
    records = {"spade": [{"memory_format": "channels_last"}, {"memory_format": "contiguous"}, {"memory_format": None}]}
    kept = ops.in_format(records, "channels_last")
    assert kept == {"spade": [{"memory_format": "channels_last"}, {"memory_format": None}]}
    with pytest.raises(VsBenchError, match="channels_last"):
        ops.main(write_rules=True, memory_format="contiguous")


@pytest.mark.parametrize("options", [{"size": "street"}, {"skip": ("inductor", "native")}])
def test_rules_are_not_made_of_a_part(options):
    with pytest.raises(VsBenchError, match="all sizes and implementations"):
        ops.main(write_rules=True, **options)
    ops.check_rules("both", "", ("inductor",))


def test_the_layers_with_spectral_norm_are_found_without_making_them():
    shapes = spectral_shapes("few-shot default")
    assert (len(shapes), sum(torch.Size(shape).numel() for shape in shapes)) == (135, 84157120)


def test_the_origin_says_where_rules_come_from():
    begun = results.begin()
    origin = ops.origin_of(torch.device("cpu"), "hatch run bench:ops --write-rules", begun)
    assert origin.device_type == "cpu"
    assert origin.torch == torch.__version__.partition("+")[0]
    assert origin.device
    assert (origin.measured_at, origin.revision) == (begun.measured_at, begun.revision)


def test_sizes_that_only_gpus_train_are_left_out_elsewhere():
    here, there = (ops.planned([], "", torch.float16, place) for place in ("cpu", "cuda"))
    assert all(plan.large for plan in there if plan.gpu)
    assert here == [plan for plan in there if not plan.gpu] != there
    with pytest.raises(VsBenchError, match=r"nothing of the size 'cityscapes' to be measured in .* on cpu"):
        ops.planned([], "cityscapes", torch.float16, "cpu")


@pytest.mark.parametrize("options", [{"only": ("spade",)}, {"size": "street"}, {"skip": ("native",)}])
def test_a_part_of_the_operators_does_not_take_the_place_of_what_documents_cite(options):
    with pytest.raises(VsBenchError, match="all operators, sizes and ways"):
        ops.main(store=True, **options)
