"""What was measured decides, where it is known and clear; and the rules of the package say where they come from."""

import json
from collections.abc import Mapping
from importlib.resources import files

import attrs
import pytest
import torch
import vs_ops
from hypothesis import given
from hypothesis import strategies as st
from vs_ops import NO_RULES, DescribedCall, Implementation, Operator, Rule, Rules, choose, explain
from vs_ops.dispatch import IMPLEMENTATION_NAMES
from vs_ops.rules import measured_seconds, parse_rules, rules_for

NAMES = ("native", "reference", "torchscript", "triton", "inductor")
SAMPLE = Operator(
    name="sample",
    implementations=tuple(Implementation(name=name, function=lambda: None) for name in NAMES),
    example_shape=(2, 5),
)
CALL = DescribedCall(shape=(2, 5))
seconds = st.floats(1e-6, 1.0)


def rules(*measured: tuple[int, Mapping[str, float]], dtype: torch.dtype = torch.float32) -> Rules:
    made = [Rule(operator="sample", dtype=dtype, elements=elements, seconds=each) for elements, each in measured]
    return Rules(source="somewhere", rules=tuple(made))


def chosen(measured: Mapping[str, float], call: DescribedCall = CALL) -> str:
    return choose(SAMPLE, call, rules=rules((10, measured))).name


def test_without_a_measurement_the_order_of_preference_decides() -> None:
    assert choose(SAMPLE, CALL, rules=NO_RULES).name == "native"
    assert chosen({}) == "native"
    assert chosen({"triton": 1e-9}) == "native"  # against what?
    assert chosen({"native": 2.0, "reference": 1.0}, DescribedCall(shape=(2, 5), dtype=torch.float16)) == "native"


def test_what_is_clearly_quicker_takes_the_place_of_what_is_preferred() -> None:
    assert chosen({"native": 2.0, "reference": 1.0}) == "reference"
    assert chosen({"native": 2.0, "reference": 1.5, "triton": 1.0}) == "triton"
    assert chosen({"native": 2.0, "torchscript": 1.0}) == "torchscript"
    assert chosen({"native": 1.2, "reference": 1.0}) == "reference"
    assert chosen({"native": 1.2, "triton": 1.0}) == "triton"
    assert chosen({"native": 1.2, "torchscript": 1.0}) == "native"  # it has to be worth it
    assert chosen({"native": 1.3, "torchscript": 1.0, "triton": 1.1}) == "triton"
    assert chosen({"native": 1.05, "reference": 1.0}) == "native"  # as much as a measurement is off by


@given(measured=st.dictionaries(st.sampled_from(NAMES), seconds))
def test_nobody_waits_for_a_compiler_unasked(measured: dict[str, float]) -> None:
    assert chosen(measured) != "inductor"
    assert choose(SAMPLE, CALL, impl="inductor", rules=rules((10, measured))).name == "inductor"


@given(measured=st.fixed_dictionaries(dict.fromkeys(NAMES, seconds)))
def test_the_choice_is_within_a_tenth_of_the_best_and_within_a_quarter_of_torchscript(
    measured: dict[str, float],
) -> None:
    best = min(taken for name, taken in measured.items() if name not in ("inductor", "torchscript"))
    assert measured[chosen(measured)] <= min(1.1 * best, 1.25 * measured["torchscript"]) * (1 + 1e-9)


def test_what_refuses_is_not_chosen_however_quick_it_was() -> None:
    refusing = Implementation(name="triton", function=lambda: None, refuse=lambda _: "not today")
    operator = attrs.evolve(SAMPLE, implementations=(*SAMPLE.implementations[:2], refusing))
    measured = rules((10, {"native": 2.0, "reference": 1.9, "triton": 0.1}))
    assert choose(operator, CALL, rules=measured).name == "native"
    assert [each.seconds for each in explain(operator, CALL, rules=measured)] == [2.0, 1.9, 0.1]


def test_the_measured_call_that_is_nearest_in_size_speaks() -> None:
    measured = rules((10, {"native": 1.0, "reference": 3.0}), (1000, {"native": 3.0, "reference": 1.0}))
    for elements, name in ((1, "native"), (99, "native"), (101, "reference"), (10**6, "reference")):
        assert choose(SAMPLE, DescribedCall(shape=(elements,)), rules=measured).name == name
    assert measured_seconds(measured, "sample", torch.float32, 0) == {}


def test_calls_of_one_size_are_added_up() -> None:
    measured = rules((10, {"native": 1.0, "reference": 3.0}), (10, {"native": 4.0, "reference": 1.0, "triton": 0.1}))
    assert measured_seconds(measured, "sample", torch.float32, 12) == {"native": 5.0, "reference": 4.0}


def test_a_file_is_read_as_it_was_written() -> None:
    content = {
        "device_type": "cpu",
        "device": "Abacus",
        "torch": "2.13.0",
        "command": "hatch run bench:ops --write-rules",
        "measured_at": "2026-01-01",
        "rules": [{"operator": "spade", "dtype": "bfloat16", "elements": 8, "seconds": {"native": 1e-3}}],
    }
    parsed = parse_rules(json.dumps(content))
    assert parsed.source == "Abacus, PyTorch 2.13.0, 2026-01-01: hatch run bench:ops --write-rules"
    assert parsed.rules == (Rule(operator="spade", dtype=torch.bfloat16, elements=8, seconds={"native": 1e-3}),)
    for key in ("rules", "device", "torch"):
        with pytest.raises(ValueError, match=f"no rules of the benchmark: KeyError '{key}'"):
            parse_rules(json.dumps({name: value for name, value in content.items() if name != key}))


def test_the_rules_of_this_package_name_operators_and_implementations_that_there_are() -> None:
    operators = {operator.name: {each.name for each in operator.implementations} for operator in vs_ops.OPERATORS}
    devices = [path.name.removesuffix(".json") for path in files("vs_ops.rules").iterdir() if ".json" in path.name]
    for loaded in map(rules_for, devices):
        assert loaded.source
        for rule in loaded.rules:
            assert set(rule.seconds) <= operators[rule.operator] <= set(IMPLEMENTATION_NAMES)
            assert "inductor" not in rule.seconds


def test_a_device_without_a_file_has_no_rules() -> None:
    assert rules_for("abacus") == NO_RULES
