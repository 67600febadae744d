"""Counting of kernels and bytes, making of rules and tables: what the benchmark of operators says beside times."""

import io
import json

import attrs
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from vs_bench import harness
from vs_bench.operators import measure as op_measure
from vs_bench.operators import report as op_report
from vs_bench.operators import rules as op_rules
from vs_bench.operators.subjects.pointwise import eager_gelu
from vs_ops.rules import measured_seconds, parse_rules

CPU = torch.device("cpu")
RULE = {"operator": "spade", "dtype": "float32", "elements": 8, "seconds": {"native": 1.0, "reference": 2.0}}
ORIGIN = op_rules.Origin(
    device_type="cpu", device="Some CPU", torch="2.13.0", command="hatch run x", measured_at="now", revision="abc"
)
STAMP = {"measured_at": "now", "revision": "abc"}


@attrs.frozen
class Event:
    name: str
    cpu_children: tuple["Event", ...] = ()


def test_only_operators_that_work_and_have_no_others_within_are_counted():
    mean = Event("aten::mean", (Event("aten::sum", (Event("aten::fill_"),)), Event("aten::div_")))
    backward = Event(
        "autograd::engine::evaluate_function: MulBackward0", (Event("MulBackward0", (Event("aten::mul"),)),)
    )
    views = Event("aten::reshape", (Event("aten::view"),))
    clone = Event("aten::contiguous", (Event("aten::clone", (Event("aten::empty_like"), Event("aten::copy_"))),))
    compiled = Event("## Call CompiledFxGraph abc ##", (Event("graph_0_cpp_fused_add_mul_0"),))
    names = op_measure.working_leaves([mean, backward, views, clone, compiled, Event("aten::detach")])
    assert names == ["aten::fill_", "aten::div_", "aten::mul", "aten::copy_", "graph_0_cpp_fused_add_mul_0"]


def test_an_operator_whose_children_only_make_views_counts_itself():
    softmax = Event("aten::_softmax", (Event("aten::empty_like", (Event("aten::empty"),)),))
    assert op_measure.working_leaves([softmax]) == ["aten::_softmax"]
    assert op_measure.working_leaves([Event("vs_ops::spade_forward")]) == ["vs_ops::spade_forward"]


def test_copies_by_the_driver_are_no_kernels():
    names = ["Memcpy DtoD (Device -> Device)", "void elementwise_kernel<4>", "Memset (Device)"]
    assert op_measure.are_kernels(names) == ["void elementwise_kernel<4>"]


def test_the_talks_gelu_is_five_kernels_and_what_takes_the_time_is_named():
    x = torch.randn(2**16)
    found = op_measure.profile_call(lambda: eager_gelu(x), CPU)
    assert found.kernels == 5
    assert {"aten::mul", "aten::erf"} <= {name for name, _ in found.hottest}
    assert sum(fraction for _, fraction in found.hottest) <= 1 + 1e-9


@given(st.lists(st.tuples(st.sampled_from("abcde"), st.floats(0.001, 10.0)), min_size=1), st.integers(1, 6))
def test_what_takes_the_time_is_in_fractions_of_everything_and_the_largest_first(times, limit):
    hottest = op_measure.hottest_of(times, limit=limit)
    assert len(hottest) == min(limit, len({name for name, _ in times}))
    assert [fraction for _, fraction in hottest] == sorted((fraction for _, fraction in hottest), reverse=True)
    assert sum(fraction for _, fraction in op_measure.hottest_of(times, limit=5)) == pytest.approx(1.0)


def test_nothing_that_took_time_has_no_fractions():
    assert op_measure.hottest_of([("a", 0.0)], limit=3) == ()


@pytest.mark.parametrize(
    ("tensor", "size"),
    [
        (torch.zeros(2, 3), 24),
        (torch.zeros(2, 3, dtype=torch.bfloat16), 12),
        (torch.zeros(2, 1).expand(2, 5), 8),
        (torch.zeros(0, 3), 0),
        (torch.zeros(0).expand(4, 0), 0),
        (torch.zeros(()), 4),
        (torch.zeros(4, 4)[:, :2], 32),
    ],
)
def test_the_bytes_of_a_tensor_are_those_of_its_elements(tensor, size):
    assert op_measure.bytes_of(tensor) == size


def test_the_fewest_bytes_are_inputs_results_and_their_gradients():
    x, other = torch.zeros(10, requires_grad=True), torch.zeros(4)
    y, constant = x * 2, torch.zeros(3)
    count = op_measure.min_bytes
    assert count(inputs=[x, other], outputs=[y.detach()]) == 40 + 16 + 40
    assert count(inputs=[x, other], outputs=[y, constant], leaves=[x]) == (40 + 16) + (40 + 12) + 40 + 40
    assert count(inputs=[x, x], outputs=[]) == 40, "a tensor that is given twice is read once"
    assert count(inputs=[x, other], outputs=[], mutated=[other]) == 40 + 16 + 16


def test_copying_copies():
    copied = op_measure.copier(CPU, size=64)()
    assert isinstance(copied, torch.Tensor)
    assert copied.numel() == 64


@pytest.mark.parametrize(("once", "repeats"), [(1e-3, 20), (1.0, 1), (1e-9, 1000), (0.0, 1000), (0.015, 1)])
def test_short_calls_are_repeated(once, repeats):
    assert op_measure.repeats_of(once, seconds=0.02) == repeats


def series(name, *seconds):
    return harness.Series(name=name, seconds=seconds)


ABOUT = op_report.About(
    operator="spade",
    size="level 0",
    shape=(1, 2, 4),
    elements=8,
    dtype="float32",
    memory_format="channels_last",
    way="forward and backward",
    bytes=1000,
    rule=True,
    chosen="native",
    note="a note",
)


def record(about=ABOUT, **seconds):
    """A record of which the median of a call is what is given."""
    times = {"eager": 4.0, "reference": 8.0, "native": 2.0, "inductor": 1.0, "apex": 3.0, **seconds}
    repeats = dict.fromkeys(times, 2)
    cases = (series(name, *(2 * value,) * 3) for name, value in times.items() if value)
    result = harness.Result(
        unit=series("unit", 1.0, 1.0, 1.0),
        cases=(*cases, series("copy", 0.5, 0.5, 0.5)),
        threads=2,
        device="cpu",
    )
    profiles = {name: op_measure.Profile(kernels=3, hottest=(("aten::mul", 0.75),)) for name in times}
    measured = op_report.per_call(result, {**repeats, "copy": 1})
    return op_report.record_of(about, measured, profiles=profiles, repeats=repeats, copied=1000)


def test_a_record_holds_one_calls_figures_and_can_be_written():
    found = json.loads(json.dumps(record()))
    cases = {case["name"]: case for case in found["cases"]}
    assert cases.keys() == {"eager", "reference", "native", "inductor", "apex"}
    assert found["copy_bytes_per_second"] == 2000
    native = cases["native"]
    assert (native["median_seconds"], native["speedup"]["value"], native["repeats"]) == (2.0, 2.0, 2)
    assert (native["kernels"], native["bytes_per_second"], native["share_of_copy"]) == (3, 500, 0.25)
    assert (found["operator"], found["elements"], found["baseline"]) == ("spade", 8, "eager")
    assert "seconds" not in native


def text_of(table):
    console = Console(width=200, record=True, file=io.StringIO())
    console.print(table)
    return console.export_text()


def test_the_table_shows_time_speed_up_kernels_and_bandwidth():
    text = text_of(op_report.table_of(record()))
    native = next(line for line in text.splitlines() if line.startswith("│ native"))
    cells = [cell.strip() for cell in native.split("│")[1:-1]]
    assert cells[:2] == ["native", "2000000.0"]
    assert (cells[3], cells[5], cells[7]) == ("2.00", "3", "25%")
    assert "spade: level 0" in text
    assert "1x2x4 float32, channels_last, forward and backward" in text
    assert "a note" in text
    assert "aten::mul" in text_of(op_report.profile_table(record()))


def test_a_claim_is_about_what_is_chosen_and_says_whether_another_could_hold_it():
    claim, weak = op_report.claims_of({"spade": [record(), record(native=3.5)], "warp": [record()]}, {"spade": 1.5})
    assert (claim["chosen"], claim["speedup"]["value"], claim["holds"]) == ("native", 2.0, True)
    assert (weak["holds"], weak["best"], weak["can_hold"]) == (False, "inductor", True)
    (slow,) = op_report.claims_of({"spade": [record(native=3.5, inductor=0)]}, {"spade": 1.5})
    assert (slow["best"], slow["can_hold"]) == ("native", False)
    assert op_report.claims_of({"spade": [record(attrs.evolve(ABOUT, way="forward"))]}, {"spade": 1.5}) == []
    assert text_of(op_report.claims_table([claim, weak])).count("does not hold") == 1


def test_executors_are_compared_by_processes():
    seconds = {"eager": [5.0] * 3, "profiling": [4.0, 4.0, 5.0], "legacy": [2.0, 2.0, 2.0]}
    found = op_report.executors_record(seconds, kernels={"legacy": 1})
    assert found["speedup"]["value"] == 2.0
    assert found["processes"] == 3
    assert found["median_seconds"]["eager"] == 5.0


def test_rules_hold_our_implementations_that_need_no_compiler():
    (rule,) = op_rules.rules_of({"spade": [record()]})
    assert rule == {**RULE, "seconds": {"reference": 8.0, "native": 2.0}}
    assert op_rules.rules_of({"spade": [record(attrs.evolve(ABOUT, rule=False))]}) == []


def test_new_rules_replace_those_of_the_same_operator_and_dtype():
    old = [RULE, {**RULE, "elements": 99}, {**RULE, "dtype": "bfloat16"}, {**RULE, "operator": "warp"}]
    before = op_rules.merge_rules(None, old, ORIGIN)
    new = {**RULE, "elements": 5, "seconds": {"reference": 3.0}}
    later = attrs.evolve(ORIGIN, command="another", measured_at="later", revision="def-dirty")
    merged = op_rules.merge_rules(before, [new], later)
    assert merged["rules"] == [
        {**RULE, "dtype": "bfloat16", **STAMP},
        {**new, "measured_at": "later", "revision": "def-dirty"},
        {**RULE, "operator": "warp", **STAMP},
    ]
    assert (merged["command"], merged["measured_at"], merged["device"]) == ("another", "later", "Some CPU")


@pytest.mark.parametrize("change", [{"device": "Another CPU"}, {"torch": "2.14.0"}])
def test_rules_of_another_machine_or_pytorch_are_not_kept(change):
    before = op_rules.merge_rules(None, [{**RULE, "operator": "warp"}], ORIGIN)
    assert op_rules.merge_rules(before, [RULE], attrs.evolve(ORIGIN, **change))["rules"] == [{**RULE, **STAMP}]


def test_the_file_of_rules_has_one_rule_a_line_and_is_merged_into(tmp_path):
    folder = tmp_path / "rules"
    op_rules.write_rules([RULE], ORIGIN, folder=folder)
    path = op_rules.write_rules([{**RULE, "operator": "warp"}], ORIGIN, folder=folder)
    assert path == folder / "cpu.json"
    content = json.loads(path.read_text())
    assert list(content) == ["device_type", "device", "torch", "command", "measured_at", "revision", "rules"]
    assert [rule["operator"] for rule in content["rules"]] == ["spade", "warp"]
    assert sum('"operator"' in line for line in path.read_text().splitlines()) == 2
    read = parse_rules(path.read_text())
    assert measured_seconds(read, "spade", torch.float32, 8) == RULE["seconds"]
    assert "hatch run x" in read.source
    assert json.loads(op_rules.rendered(op_rules.merge_rules(None, [], ORIGIN)))["rules"] == []
