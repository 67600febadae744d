"""The pieces of the audit: magnitudes against formats, what normalises, hooks, changes, the picture's rows."""

import math

import pytest
import torch
import torch.nn.functional as F
import vs_nets.layers as ours
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from vs_eval.numerics.execution import Changes, Execution, Workload, run_low, run_reference
from vs_eval.numerics.norms import Planes, find_normalisation
from vs_eval.numerics.picture import Row, condensed
from vs_eval.numerics.ranges import BFLOAT16, FLOAT16, Magnitudes, combined, magnitudes_of
from vs_eval.numerics.trace import watching

numbers = st.lists(st.floats(-(2.0**100), 2.0**100, allow_subnormal=False), min_size=1, max_size=40)


@given(values=numbers)
def test_magnitudes_say_what_a_tensor_holds(values: list[float]) -> None:
    x = torch.tensor(values, dtype=torch.float64)
    found = magnitudes_of(x)
    assert (found.count, found.zeros, found.broken) == (x.numel(), int((x == 0).sum()), 0)
    assert found.largest == x.abs().max()
    assert found.norm == pytest.approx(x.norm().item(), rel=1e-12)


@given(values=numbers, power=st.integers(-60, 60))
def test_magnitudes_scale_by_powers_of_two(values: list[float], power: int) -> None:
    x = torch.tensor([value for value in values if value == 0 or abs(value) > 2.0**-60] or [0.0], dtype=torch.float64)
    scaled, direct = magnitudes_of(x).scaled(2.0**power), magnitudes_of(x * 2.0**power)
    assert torch.equal(scaled.counts, direct.counts)
    assert scaled.largest == direct.largest
    assert scaled.rms == pytest.approx(direct.rms)


@given(parts=st.lists(numbers, min_size=1, max_size=3))
def test_magnitudes_of_parts_add_up(parts: list[list[float]]) -> None:
    tensors = [torch.tensor(part, dtype=torch.float64) for part in parts]
    whole, added = magnitudes_of(torch.cat(tensors)), combined(magnitudes_of(tensor) for tensor in tensors)
    assert torch.equal(whole.counts, added.counts)
    assert (whole.zeros, whole.largest, whole.smallest) == (added.zeros, added.largest, added.smallest)
    assert whole.norm == pytest.approx(added.norm, rel=1e-12)


@pytest.mark.parametrize("form", [FLOAT16, BFLOAT16], ids=lambda form: form.name)
@given(mantissa=st.floats(1.0, 1.99), exponent=st.integers(-140, 126))
def test_shares_agree_with_what_the_format_does(form, mantissa: float, exponent: int) -> None:
    x = torch.tensor([mantissa * 2.0**exponent], dtype=torch.float64)
    found, cast = magnitudes_of(x), x.to(form.dtype).double()
    assert found.fraction_lost(form) in (0, 1)
    if abs(exponent - form.subnormal) > 1:  # just below the smallest number it depends on the rounding
        assert (found.fraction_lost(form) == 1) == (cast.item() == 0)
    if exponent != form.highest:
        assert (found.fraction_above(form) == 1) == (not math.isfinite(cast.item()))
    exact = (
        x
        if found.fraction_subnormal(form) == 0 and found.fraction_lost(form) == found.fraction_above(form) == 0
        else None
    )
    if exact is not None and exponent != form.highest:
        assert cast.item() == pytest.approx(exact.item(), rel=2.0 ** -(form.bits + 1))


def test_the_limits_of_the_formats_are_pytorchs() -> None:
    for form in (FLOAT16, BFLOAT16):
        info = torch.finfo(form.dtype)
        assert (2.0**form.normal, 2.0**form.subnormal) == (info.tiny, info.smallest_normal * info.eps)
        assert (math.frexp(info.max)[1] - 1, 2.0**-form.bits) == (form.highest, info.eps)


def test_what_is_not_finite_is_counted_and_left_out() -> None:
    found = magnitudes_of(torch.tensor([1.0, math.inf, math.nan, 0.0]))
    assert (found.count, found.broken, found.zeros, found.largest, found.norm) == (4, 2, 1, 1.0, 1.0)


class Doubled(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return F.layer_norm(x, x.shape[-1:], eps=1e-3) * 2


@pytest.mark.parametrize(
    ("module", "shape", "name", "eps"),
    [
        (ours.InstanceNorm2d(6, 0.1), (2, 6, 5, 4), "instance", 0.1),
        (nn.InstanceNorm2d(6, eps=1e-5), (2, 6, 5, 4), "instance", 1e-5),
        (nn.BatchNorm2d(6, eps=1e-4), (3, 6, 5, 4), "batch", 1e-4),
        (nn.GroupNorm(3, 6, eps=1e-6), (2, 6, 5, 4), "3 groups of channels", 1e-6),
        (nn.GroupNorm(1, 6, eps=1e-5), (2, 6, 5, 4), "1 groups of channels", 1e-5),
        (nn.LayerNorm(8, eps=1e-5), (2, 6, 8), "last axis", 1e-5),
        (Doubled(), (2, 6, 8), "last axis", 1e-3),
        (nn.Sequential(ours.InstanceNorm2d(6, 1e-5), nn.LeakyReLU(0.2)), (2, 6, 5, 4), "instance", 1e-5),
    ],
)
def test_normalisations_are_found_by_what_they_do(module, shape, name: str, eps: float) -> None:
    module = module.double()
    state = {key: value.clone() for key, value in module.state_dict().items()}
    found = find_normalisation(module, (torch.randn(shape, dtype=torch.float64),), {})
    assert found.planes.name == name
    assert found.eps == pytest.approx(eps, rel=1e-6)
    assert all(torch.equal(value, state[key]) for key, value in module.state_dict().items())


class Counting(nn.Module):
    """A module that keeps something between its calls which is no buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.calls, self.seen = 0, None

    def forward(self, x: Tensor) -> Tensor:
        self.calls, self.seen, self.norm = self.calls + 1, x, "layer"
        return F.layer_norm(x, x.shape[-1:])


def test_what_a_module_keeps_between_calls_is_not_touched_by_trying_it() -> None:
    module = nn.Sequential(Counting())
    assert find_normalisation(module.double(), (torch.randn(2, 6, 8).double(),), {}) is not None
    assert (module[0].calls, module[0].seen, hasattr(module[0], "norm")) == (0, None, False)


def test_spade_is_found_with_its_maps() -> None:
    torch.manual_seed(0)
    spade = ours.Spade(4, [3], 1).double()
    for parameter in spade.parameters():
        nn.init.normal_(parameter)
    x, maps = torch.randn(2, 4, 8, 8).double(), (torch.randn(2, 3, 8, 8).double(),)
    found = find_normalisation(spade, (x, maps, 0.2), {})
    assert found.planes.name == "instance"
    assert found.eps == pytest.approx(ours.NORM_EPS, rel=1e-6)


@pytest.mark.parametrize(
    "module",
    [
        nn.Conv2d(6, 6, 3, padding=1),
        nn.LeakyReLU(0.2),
        nn.Tanh(),
        nn.Sigmoid(),
        nn.Identity(),
        nn.Dropout(0.5),
        nn.Softmax(dim=1),
        nn.BatchNorm2d(6).eval(),
        nn.AvgPool2d(3, 1, 1),
    ],
    ids=lambda module: type(module).__name__,
)
def test_nothing_else_is_taken_for_one(module: nn.Module) -> None:
    assert find_normalisation(module.double(), (torch.randn(2, 6, 5, 4).double(),), {}) is None


@given(
    shape=st.tuples(*[st.integers(1, 4)] * 2, st.just(3), st.just(2)),
    over=st.sampled_from([(2, 3), (0, 2, 3), (1, 2, 3), (3,)]),
)
def test_cutting_into_planes_is_undone_by_joining_them(shape: tuple[int, ...], over: tuple[int, ...]) -> None:
    x = torch.arange(math.prod(shape)).view(shape)
    for planes in (Planes(groups=None, over=over), Planes(groups=1, over=(2, 3, 4))):
        cut = planes.cut(x)
        assert torch.equal(planes.join(cut, x.shape), x)
    assert torch.equal(Planes(groups=None, over=(2, 3)).cut(x), x.flatten(0, 1).flatten(1))


class Twice(nn.Module):
    """One layer that is called on two inputs, of which both feed the loss; and one that is never called."""

    def __init__(self) -> None:
        super().__init__()
        self.shared, self.idle = nn.Linear(3, 3), nn.Linear(3, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.shared(x) + self.shared(self.shared(x) * 2)


def test_calls_are_counted_and_gradients_are_those_of_each_call() -> None:
    torch.manual_seed(0)
    network, x = Twice(), torch.randn(5, 3, requires_grad=True)
    with watching({"net": network}, {}) as watcher:
        watcher.update = "net"
        out = network(x)
        out.sum().backward()
        watcher.note_weights()
    calls = watcher.trace.calls["net", "shared"]
    assert len(calls) == 3
    weight = network.shared.weight.detach()
    ones = torch.ones(5, 3)
    expected = [ones @ weight, 2 * (ones @ weight) @ weight, ones @ weight]  # by call: plain, inner, outer
    for call, gradient in zip(calls, expected, strict=True):
        assert torch.allclose(call.input_gradient.sample.view(5, 3), gradient, atol=1e-6)
    assert torch.allclose(sum(expected[:2]), x.grad, atol=1e-6)
    assert watcher.trace.silent == (("net", "idle"),)
    assert network.shared.weight.grad is None
    assert not network.shared._forward_hooks
    assert not network.shared._forward_pre_hooks


def test_a_squeezed_input_is_a_larger_eps() -> None:
    torch.manual_seed(0)
    norm = ours.InstanceNorm2d(4, 1e-5)
    other = ours.InstanceNorm2d(4, 1e-2)
    x = torch.randn(2, 4, 6, 6) * torch.tensor([1e-4, 1e-2, 1.0, 10.0]).view(1, 4, 1, 1)
    seen: dict[str, Tensor] = {}

    class Hidden(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = [norm]  # in a list, so that its eps is nobody's attribute and it is no child

        def forward(self, x: Tensor) -> Tensor:
            return self.inner[0](x)

    def step(networks, execution: Execution) -> None:
        given = x.clone().requires_grad_()
        with execution.forward():
            result = networks["net"](given)
            loss = (result * torch.linspace(-1, 1, 6, dtype=given.dtype)).sum()
        execution.backward("net", loss)
        seen.update(result=result.detach(), gradient=given.grad)

    work = Workload(networks={"net": Hidden()}, step=step)
    trace = run_reference(work, torch.float32, Changes(), None)
    assert trace.norms["net", ""].eps == pytest.approx(1e-5, rel=1e-2)
    run_reference(work, torch.float32, Changes(eps={("net", ""): 1e-2}), trace.norms)
    given = x.clone().requires_grad_()
    (other(given) * torch.linspace(-1, 1, 6)).sum().backward()
    assert torch.allclose(seen["result"], other(x), rtol=1e-2, atol=1e-3)
    assert torch.allclose(seen["gradient"], given.grad, rtol=2e-2, atol=2e-2)


def test_an_island_computes_in_float32_under_autocast() -> None:
    dtypes: dict[str, torch.dtype] = {}
    network = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))

    def step(networks, execution: Execution) -> None:
        with execution.forward():
            first = networks["net"][0](torch.ones(2, 4))
            second = networks["net"][1](first)
        dtypes.update(first=first.dtype, second=second.dtype)
        execution.backward("net", second.float().sum())

    work = Workload(networks={"net": network}, step=step)
    low = run_low(work, FLOAT16, Changes(islands=frozenset({("net", "1")})), {}, {"net": 8.0})
    assert dtypes == {"first": torch.float16, "second": torch.float32}
    assert low.calls["net", "0"][0].output.dtype is torch.float16
    assert torch.equal(low.weights["net", "1"][0].sample[-4:], torch.full((4,), 16.0))  # the bias: two rows times 8


def row(name: str, *, at_risk: bool = False) -> Row:
    one = Magnitudes(zeros=1)
    parts = tuple(name.split("."))
    return Row(network="g", parts=parts, layers=1, forward=one, backward=one, bits=1.0, at_risk=at_risk)


def test_neighbours_share_a_row_of_the_picture_and_layers_at_risk_have_their_own() -> None:
    rows = [row("a.x.0"), row("a.x.1"), row("a.x.2", at_risk=True), row("a.y.0"), row("a.y.1"), row("b")]
    assert condensed(rows, 6) == rows
    assert [one.name for one in condensed(rows, 5)] == ["g.a.x.* (2)", "g.a.x.2", "g.a.y.0", "g.a.y.1", "g.b"]
    shortest = condensed(rows, 1)
    assert [one.name for one in shortest] == ["g.a.x.* (2)", "g.a.x.2", "g.a.y.* (2)", "g.b"]
    assert sum(one.forward.count for one in shortest) == len(rows)
