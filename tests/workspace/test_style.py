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


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def is_tool(path: Path) -> bool:
    return path.relative_to(ROOT).parts[0] == "tools"


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


def unsafe_in(text: str, *, tool: bool) -> list[str]:
    """Everything in a source that reads or writes pickles, in words."""
    tree = ast.parse(text)
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    found = [f"imports {name}" for name in names if name.partition(".")[0] in UNSAFE_MODULES]
    found += ["torch.save" for _ in calls_of(tree, "torch.save")]
    loads = calls_of(tree, "torch.load")
    found += ["torch.load outside tools" for _ in loads if not tool]
    found += ["torch.load without weights_only=True" for one in loads if keyword(one, "weights_only") != "True"]
    found += ["np.load of pickles" for one in calls_of(tree, "np.load") if keyword(one, "allow_pickle") == "True"]
    return found


def test_there_is_something_to_look_at():
    assert len(SOURCES) > 20


def test_a_file_has_fewer_than_500_lines():
    lengths = {name_of(path): len(path.read_text().splitlines()) for path in SOURCES}
    assert {name: length for name, length in lengths.items() if length >= 500} == {}


def test_no_function_has_more_than_80_lines():
    lengths = {
        f"{name_of(path)}: {one.name}": lines_of(one)
        for path in SOURCES
        for one in functions_of(tree_of(path))
        if not is_kernel(one)
    }
    assert {name: length for name, length in lengths.items() if length > 80} == {}


def test_the_median_function_is_short():
    lengths = [lines_of(one) for path in SOURCES for one in functions_of(tree_of(path))]
    assert statistics.median(lengths) <= 12


def test_nothing_is_unpickled():
    assert {
        name_of(path): found for path in SOURCES if (found := unsafe_in(path.read_text(), tool=is_tool(path)))
    } == {}


@pytest.mark.parametrize(
    "text",
    [
        "import pickle",
        "from joblib import load",
        "def f():\n import shelve.a",
        "torch.save(a, b)",
        "torch.load(a)",
        "torch.load(a, weights_only=False)",
        "np.load(a, allow_pickle=True)",
    ],
)
def test_what_unpickles_is_found(text):
    assert unsafe_in(text, tool=True)


def test_published_weights_are_read_by_tools_only():
    assert unsafe_in("torch.load(a, weights_only=True)", tool=True) == []
    assert unsafe_in("torch.load(a, weights_only=True)", tool=False) == ["torch.load outside tools"]


def test_nothing_is_left_to_be_done():
    words = re.compile(r"\b(TO" + r"DO|FIX" + r"ME|XX" + r"X|HA" + r"CK)\b")
    found = {name_of(path): [line for line in path.read_text().splitlines() if words.search(line)] for path in SOURCES}
    assert {name: lines for name, lines in found.items() if lines} == {}
