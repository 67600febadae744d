"""An operator comes with everything that one has to have: a new file without it fails here, by name.

Operators are found by looking at every module of the package, not at the list of them, so that none can be forgotten.
`missing` is a pure function over collected facts; that it finds what is missing is proved with the example of
docs/adding-an-operator.md, put beside the package in files of its own.
"""

import ast
import importlib
import pkgutil
import re
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import attrs
import pytest
import torch
import vs_ops
from operator_recipes import RECIPES
from vs_bench.operators.subjects import PLANS
from vs_ops import Operator

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "adding-an-operator.md"
README = ROOT / "packages" / "vs-ops" / "README.md"
TESTS = ROOT / "tests" / "ops"
GENERAL = {"test_ops_conformance.py", "test_ops_dispatch.py"}
"""Tests that run over all operators and so say nothing of one alone."""


@attrs.frozen(kw_only=True)
class Facts:
    """What there is of one operator."""

    name: str
    module: str
    listed: bool
    public: bool
    reference: bool
    recipe: bool
    own_tests: tuple[str, ...]
    subjects: int
    compared_subjects: int
    row: bool


def missing(facts: Facts) -> list[str]:
    """Everything that the operator lacks, in words. Pure."""
    wanted = {
        "it is not in vs_ops.OPERATORS": facts.listed,
        f"vs_ops.{facts.name} is not a public function": facts.public,
        "it has no implementation called reference": facts.reference,
        "RECIPES of tests/ops/operator_recipes.py has no recipe for it": facts.recipe,
        "no test of tests/ops but the general ones calls it": bool(facts.own_tests),
        "apps/bench (vs_bench.operators.subjects) has no subject for it": facts.subjects > 0,
        "no subject of it is small enough for its eager counterpart to be tested": facts.compared_subjects > 0,
        "the table of packages/vs-ops/README.md has no row for it": facts.row,
    }
    return [f"{facts.name} ({facts.module}): {what}" for what, there in wanted.items() if not there]


def operators() -> Iterator[tuple[str, Operator]]:
    """Every operator that a module of the package defines, with the name of the first module that has it."""
    seen = set()
    for found in pkgutil.iter_modules(vs_ops.__path__, "vs_ops."):
        for one in vars(importlib.import_module(found.name)).values():
            if isinstance(one, Operator) and one not in seen:
                seen.add(one)
                yield found.name, one


def called_in(path: Path) -> set[str]:
    """Names of everything that a file calls."""
    functions = [node.func for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
    by_name = {one.id for one in functions if isinstance(one, ast.Name)}
    return by_name | {one.attr for one in functions if isinstance(one, ast.Attribute)}


def collect() -> list[Facts]:
    readme = README.read_text()
    calls = {path.name: called_in(path) for path in TESTS.glob("test_*.py") if path.name not in GENERAL}
    return [
        Facts(
            name=one.name,
            module=module,
            listed=one in vs_ops.OPERATORS,
            public=one.name in vs_ops.__all__ and callable(getattr(vs_ops, one.name, None)),
            reference="reference" in {each.name for each in one.implementations},
            recipe=one.name in RECIPES,
            own_tests=tuple(sorted(file for file, names in calls.items() if one.name in names)),
            subjects=sum(plan.operator is one for plan in PLANS),
            compared_subjects=sum(plan.operator is one and not plan.large for plan in PLANS),
            row=re.search(rf"^\|.*`{one.name}\(", readme, flags=re.MULTILINE) is not None,
        )
        for module, one in operators()
    ]


def test_every_operator_is_complete():
    facts = collect()
    assert {one.name for one in vs_ops.OPERATORS} <= {one.name for one in facts}
    lacking = [line for one in facts for line in missing(one)]
    assert not lacking, "\n".join(lacking)


def example() -> dict[str, str]:
    """The files that the page shows, by their places in the package."""
    found = re.findall(r"`vs_ops/(\S+\.py)`:\n\n( *```python\n.*?) *```", PAGE.read_text(), flags=re.DOTALL)
    return {place: textwrap.dedent(block).partition("\n")[2] for place, block in found}


@pytest.fixture
def charbonnier(tmp_path, monkeypatch):
    """The page's example as a module of the package, in a directory beside it."""
    before = set(sys.modules)
    for place, text in example().items():
        folder = (tmp_path / place).parent
        folder.mkdir(exist_ok=True)
        (tmp_path / place).write_text(text)
        package = importlib.import_module(".".join(("vs_ops", *Path(place).parts[:-1])))
        monkeypatch.setattr(package, "__path__", [*package.__path__, str(folder)])
    importlib.invalidate_caches()
    yield importlib.import_module("vs_ops.charbonnier")
    for name in set(sys.modules) - before:
        if name.endswith(".charbonnier"):
            package, _, module = name.rpartition(".")
            delattr(sys.modules[package], module)
            del sys.modules[name]


def test_the_page_shows_every_file_of_its_example():
    assert example().keys() == {"charbonnier.py", "reference/charbonnier.py", "torchscript/charbonnier.py"}


def test_a_file_that_brings_nothing_else_is_found_and_told_what_it_lacks(charbonnier):
    found = [one for one in collect() if one.name == "charbonnier"]
    assert [one.module for one in found] == ["vs_ops.charbonnier"]
    told = missing(found[0])
    assert len(told) == 7, "everything but the reference, which an operator cannot be made without"
    quoted = re.search(r"^```text\n(charbonnier.*?)^```", PAGE.read_text(), flags=re.MULTILINE | re.DOTALL)
    assert quoted is not None
    assert quoted[1].splitlines() == told, "the page shows what the check says"


COMPLETE = Facts(
    name="one",
    module="vs_ops.one",
    listed=True,
    public=True,
    reference=True,
    recipe=True,
    own_tests=("test_x.py",),
    subjects=2,
    compared_subjects=1,
    row=True,
)


@pytest.mark.parametrize(
    ("lack", "told"),
    [
        ({"listed": False}, ["OPERATORS"]),
        ({"public": False}, ["public"]),
        ({"reference": False}, ["reference"]),
        ({"recipe": False}, ["recipe"]),
        ({"own_tests": ()}, ["no test"]),
        ({"subjects": 0, "compared_subjects": 0}, ["no subject for it", "eager"]),
        ({"compared_subjects": 0}, ["eager"]),
        ({"row": False}, ["row"]),
        ({}, []),
    ],
)
def test_each_thing_is_missed_by_itself(lack, told):
    lines = missing(attrs.evolve(COMPLETE, **lack))
    assert len(lines) == len(told)
    assert all(word in line for word, line in zip(told, lines, strict=True))


def test_an_operator_without_a_reference_cannot_be_made():
    implementation = vs_ops.Implementation(name="native", function=torch.relu)
    with pytest.raises(KeyError, match="reference"):
        Operator(name="one", implementations=(implementation,), example_shape=(2, 3))


def test_the_pages_example_does_what_it_says(charbonnier):
    a, b = (torch.randn(2, 3, 5, 4, generator=torch.Generator().manual_seed(seed)) for seed in (0, 1))
    expected = ((a.double() - b.double()).square() + 1e-6).sqrt().mean()
    for one in charbonnier.CHARBONNIER.implementations:
        for dtype in (torch.float32, torch.bfloat16):
            x = a.to(dtype, copy=True).requires_grad_()
            loss = charbonnier.charbonnier(x, b.to(dtype), eps=1e-3, impl=one.name)
            assert loss.dtype is torch.float32
            torch.testing.assert_close(loss.double(), expected, rtol=1e-2, atol=1e-2)
            loss.backward()
            assert x.grad is not None
            assert x.grad.dtype is dtype
    assert charbonnier.charbonnier(a[:0], b[:0]) == 0
    with pytest.raises(vs_ops.ShapeError, match=r"a \(2, 3, 5, 4\), b \(2, 3, 5, 3\)"):
        charbonnier.charbonnier(a, b[..., :3])
