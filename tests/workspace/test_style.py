"""The rules of style that a linter does not know."""

import ast
import re
import statistics
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCES = sorted(
    path for pattern in ("packages/*/src/**/*.py", "apps/*/src/**/*.py", "tools/**/*.py") for path in ROOT.glob(pattern)
)
UNSAFE_MODULES = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
by_source = pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))


def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(), str(path))


def functions_of(tree: ast.Module) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    return [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]


def is_kernel(function: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    return any("triton" in ast.unparse(decorator) for decorator in function.decorator_list)


def lines_of(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    assert function.end_lineno is not None
    return function.end_lineno - function.lineno + 1


def calls_of(tree: ast.Module, name: str) -> list[ast.Call]:
    return [node for node in ast.walk(tree) if isinstance(node, ast.Call) and ast.unparse(node.func) == name]


def keyword(call: ast.Call, name: str) -> str | None:
    return next((ast.unparse(one.value) for one in call.keywords if one.arg == name), None)


def test_there_is_something_to_look_at():
    assert len(SOURCES) > 20


@by_source
def test_a_file_has_fewer_than_500_lines(path):
    assert len(path.read_text().splitlines()) < 500


@by_source
def test_no_function_has_more_than_80_lines(path):
    assert {
        one.name: lines_of(one) for one in functions_of(tree_of(path)) if lines_of(one) > 80 and not is_kernel(one)
    } == {}


def test_the_median_function_is_short():
    lengths = [lines_of(one) for path in SOURCES for one in functions_of(tree_of(path))]
    assert statistics.median(lengths) <= 12


@by_source
def test_nothing_is_unpickled(path):
    tree = tree_of(path)
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert {name.partition(".")[0] for name in names} & UNSAFE_MODULES == set()
    assert calls_of(tree, "torch.save") == []
    loads = calls_of(tree, "torch.load")
    if "tools" not in path.relative_to(ROOT).parts[:1]:
        assert loads == [], "torch.load has its place in tools, where published weights are converted"
    assert {keyword(call, "weights_only") for call in loads} <= {"True"}
    assert {keyword(call, "allow_pickle") for call in calls_of(tree, "np.load")} <= {"False"}


@by_source
def test_nothing_is_left_to_be_done(path):
    words = re.compile(r"\b(TO" + r"DO|FIX" + r"ME|XX" + r"X|HA" + r"CK)\b")
    assert [line for line in path.read_text().splitlines() if words.search(line)] == []
