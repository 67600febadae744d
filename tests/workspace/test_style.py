"""The rules of style that a linter does not know."""

import ast
import functools
import re
import statistics
from pathlib import Path

import attrs
import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCES = sorted(
    path for pattern in ("packages/*/src/**/*.py", "apps/*/src/**/*.py", "tools/**/*.py") for path in ROOT.glob(pattern)
)
TESTS = sorted(ROOT.glob("tests/**/*.py"))

# Folders that keep the rules on headers, docstrings of classes and lengths of tests.
TIDY = ("packages", "apps", "tests", "tools")
TIDY_FILES = [path for path in (*SOURCES, *TESTS) if path.relative_to(ROOT).as_posix().startswith(TIDY)]

UNFINISHED = re.compile(r"\b(TO" + r"DO|FIX" + r"ME|XX" + r"X|HA" + r"CK)\b")
UNSAFE_MODULES = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}

Function = ast.FunctionDef | ast.AsyncFunctionDef
QUESTIONS = ("What", "How", "Where", "Whether", "Which", "When", "Who")


@attrs.frozen(kw_only=True)
class Facts:
    """The facts about a file that the rules ask for: it is parsed once for all of them."""

    lines: int
    functions: tuple[tuple[str, int, bool], ...]  # name, lines, whether it is a kernel
    unsafe: tuple[str, ...]
    header: tuple[str, ...]
    questions: tuple[str, ...]  # classes whose docstrings begin with one of `QUESTIONS`
    unfinished: tuple[str, ...]


@functools.cache
def facts_of(path: Path) -> Facts:
    text = path.read_text()
    tree = ast.parse(text, str(path))
    nodes = list(ast.walk(tree))
    functions = [node for node in nodes if isinstance(node, Function)]
    classes = [node for node in nodes if isinstance(node, ast.ClassDef)]
    return Facts(
        lines=len(text.splitlines()),
        functions=tuple((one.name, lines_of(one), is_kernel(one)) for one in functions),
        unsafe=tuple(unsafe_in(tree, tool=path.relative_to(ROOT).parts[0] == "tools")),
        header=tuple(wrong_in_header(tree, face=path.name == "__init__.py")),
        questions=tuple(one.name for one in classes if (ast.get_docstring(one) or "-").split()[0] in QUESTIONS),
        unfinished=tuple(line for line in text.splitlines() if UNFINISHED.search(line)),
    )


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def is_kernel(function: Function) -> bool:
    return any("triton" in ast.unparse(decorator) for decorator in function.decorator_list)


def lines_of(function: Function) -> int:
    assert function.end_lineno is not None
    return function.end_lineno - function.lineno + 1


def keyword(call: ast.Call, name: str) -> str | None:
    return next((ast.unparse(one.value) for one in call.keywords if one.arg == name), None)


def unsafe_in(tree: ast.Module, *, tool: bool) -> list[str]:
    """Everything in a source that reads or writes pickles, in words."""
    nodes = list(ast.walk(tree))
    names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)}
    found = [f"imports {name}" for name in names if name.partition(".")[0] in UNSAFE_MODULES]
    for call in (node for node in nodes if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
        match ast.unparse(call.func) if call.func.attr in ("save", "load") else "":
            case "torch.save":
                found.append("torch.save")
            case "torch.load":
                found += ["torch.load outside tools"] * (not tool)
                found += ["torch.load without weights_only=True"] * (keyword(call, "weights_only") != "True")
            case "np.load":
                found += ["np.load of pickles"] * (keyword(call, "allow_pickle") == "True")
    return found


def annotations_of(node: ast.AST) -> list[ast.expr]:
    """Those of a function's signature, or of a variable."""
    if isinstance(node, Function):
        some = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs, node.args.vararg, node.args.kwarg]
        return [one for one in [*(each.annotation for each in some if each), node.returns] if one]
    return [node.annotation] if isinstance(node, ast.AnnAssign) else []


def annotations_on_import(body: list[ast.stmt]) -> list[ast.expr]:
    """Those that are evaluated while a module is imported: all but those in bodies of functions."""
    found = []
    for node in body:
        found += annotations_of(node)
        if not isinstance(node, Function):
            found += annotations_on_import([one for one in ast.iter_child_nodes(node) if isinstance(one, ast.stmt)])
    return found


def names_in(tree: ast.AST) -> set[str]:
    return {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}


def targets_of(node: ast.stmt) -> set[str]:
    """Names that an assignment gives values to."""
    targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
    return {name for target in targets for name in names_in(target)}


def names_for_checkers(tree: ast.Module) -> set[str]:
    """Names that are imported under `if TYPE_CHECKING`, and are not there when the program runs."""
    blocks = [node for node in ast.walk(tree) if isinstance(node, ast.If) and "TYPE_CHECKING" in names_in(node.test)]
    imports = [node for block in blocks for node in block.body if isinstance(node, ast.Import | ast.ImportFrom)]
    return {(alias.asname or alias.name).partition(".")[0] for node in imports for alias in node.names}


def needs_future(tree: ast.Module) -> bool:
    """Whether an annotation names a class or alias that is made later, or what is there for type checkers alone."""
    hidden = names_for_checkers(tree)
    if any(names_in(one) & hidden for node in ast.walk(tree) for one in annotations_of(node)):
        return True
    made = {node.name: node.end_lineno or 0 for node in ast.walk(tree) if isinstance(node, ast.ClassDef)}
    made |= {name: node.end_lineno or 0 for node in tree.body for name in targets_of(node)}
    return any(made.get(name, 0) >= one.lineno for one in annotations_on_import(tree.body) for name in names_in(one))


def wrong_in_header(tree: ast.Module, *, face: bool) -> list[str]:
    """What a file does otherwise than all others, in words; a face is an `__init__.py`."""
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    found = ["a relative import" for node in imports if node.level]
    found += ["from attrs import" for node in imports if node.module in ("attr", "attrs")]
    listing = any("__all__" in targets_of(node) for node in tree.body)
    found += ["__all__ outside of a face"] * (listing and not face)
    if any(node.module == "__future__" for node in imports) and not needs_future(tree):
        found.append("from __future__ import annotations, which nothing needs")
    return found


def test_there_is_something_to_look_at():
    assert len(SOURCES) > 20
    assert all(any(name_of(path).startswith(room) for path in TIDY_FILES) for room in TIDY)


def test_headers_are_alike():
    assert {name_of(path): wrong for path in TIDY_FILES if (wrong := facts_of(path).header)} == {}


FUTURE = "from __future__ import annotations\n"


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("from .a import b", 1),
        ("def f():\n from . import b", 1),
        ("from attrs import field, frozen", 1),
        ("__all__ = ['f']", 1),
        ("__all__: list[str] = ['f']", 1),
        (FUTURE + "def f(a: int) -> str: ...", 1),
        (FUTURE + "class A:\n def f(self): ...\ndef g(a: A): ...", 1),
        (FUTURE + "def f():\n a: A = 1\nclass A: ...", 1),
        (FUTURE + "class A:\n def f(self) -> A: ...", 0),
        (FUTURE + "def f(a: A | None): ...\nclass A: ...", 0),
        (FUTURE + "def f(*a: list[A]): ...\nA = int", 0),
        (FUTURE + "class B:\n b: A\nA = int", 0),
        (FUTURE + "if TYPE_CHECKING:\n from a import A\ndef f():\n def g(a: A): ...", 0),
        ("import attrs\nfrom a.b import c\nclass A:\n a: int = attrs.field()", 0),
    ],
)
def test_what_is_wrong_in_a_header_is_found(text, wrong):
    assert len(wrong_in_header(ast.parse(text), face=False)) == wrong


def test_a_face_lists_its_names():
    assert wrong_in_header(ast.parse("__all__ = ['f']"), face=True) == []


def test_docstrings_of_classes_say_what_they_are():
    tidy = set(TIDY_FILES) - set(TESTS)
    assert {name_of(path): asking for path in tidy if (asking := facts_of(path).questions)} == {}


def test_a_file_has_fewer_than_500_lines():
    lengths = {name_of(path): facts_of(path).lines for path in {*SOURCES, *TIDY_FILES}}
    assert {name: length for name, length in lengths.items() if length >= 500} == {}


def test_no_function_has_more_than_80_lines():
    lengths = {
        f"{name_of(path)}: {name}": lines
        for path in {*SOURCES, *TIDY_FILES}
        for name, lines, kernel in facts_of(path).functions
        if not kernel
    }
    assert {name: length for name, length in lengths.items() if length > 80} == {}


def test_the_median_function_is_short():
    assert statistics.median(lines for path in SOURCES for _, lines, _ in facts_of(path).functions) <= 12


def test_nothing_is_unpickled():
    assert {name_of(path): found for path in SOURCES if (found := facts_of(path).unsafe)} == {}


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
    assert unsafe_in(ast.parse(text), tool=True)


def test_published_weights_are_read_by_tools_only():
    assert unsafe_in(ast.parse("torch.load(a, weights_only=True)"), tool=True) == []
    assert unsafe_in(ast.parse("torch.load(a, weights_only=True)"), tool=False) == ["torch.load outside tools"]


def test_nothing_is_left_to_be_done():
    assert {name_of(path): lines for path in SOURCES if (lines := facts_of(path).unfinished)} == {}
