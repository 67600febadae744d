"""No module imports itself by way of others: read from the sources, imports inside functions included."""

import ast
import graphlib
import itertools
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from prove_wheels import Member, find_members

Graph = Mapping[str, set[str]]


def modules_of(member: Member) -> dict[str, Path]:
    """Every module of a member and its file; a package's `__init__` has the name of the package."""
    root = member.folder / "src"
    names = {path: path.relative_to(root).with_suffix("").parts for path in root.rglob("*.py")}
    return {".".join(parts[:-1] if parts[-1] == "__init__" else parts): path for path, parts in names.items()}


def bound_names(module: str, tree: ast.Module) -> set[str]:
    """The names that a module binds at its top level, without modules of its own that it imports from itself."""
    found = set()
    for node in tree.body:
        match node:
            case ast.ImportFrom(module=name) if name == module:
                continue
            case ast.Import(names=names) | ast.ImportFrom(names=names):
                found |= {alias.asname or alias.name for alias in names}
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
                found.add(name)
            case ast.Assign() | ast.AnnAssign():
                names = [each for each in ast.walk(node) if isinstance(each, ast.Name)]
                found |= {each.id for each in names if isinstance(each.ctx, ast.Store)}
    return found


def imported(tree: ast.Module, faces: Mapping[str, set[str]]) -> Iterator[str]:
    """Every module that a source imports; `faces` are the known modules and the names that they bind.

    `from a import b` means a itself where that binds b, else the module a.b. That Python runs the `__init__` of all
    packages on the way to a module is not counted: it is not what the source asks for.
    """
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                yield from (alias.name for alias in names)
            case ast.ImportFrom(module=str(module), level=0, names=names):
                for alias in names:
                    is_module = f"{module}.{alias.name}" in faces and alias.name not in faces.get(module, ())
                    yield f"{module}.{alias.name}" if is_module else module
            case ast.Call(args=[ast.Constant(value=str(name)), *_]) if ast.unparse(node.func).endswith("import_module"):
                yield name


def graph_of(sources: Mapping[str, str]) -> Graph:
    """Every module and which of the others it imports."""
    trees = {name: ast.parse(text) for name, text in sources.items()}
    faces = {name: bound_names(name, tree) for name, tree in trees.items()}
    return {name: set(imported(tree, faces)) & faces.keys() for name, tree in trees.items()}


def circle(graph: Graph) -> list[str]:
    """A way from some module back to it, or nothing."""
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        return error.args[1][::-1]
    return []


@pytest.mark.parametrize("member", find_members(), ids=lambda member: member.name)
def test_no_module_imports_itself_by_way_of_others(member):
    found = circle(graph_of({name: path.read_text() for name, path in modules_of(member).items()}))
    assert not found, " -> ".join(found)


PACKAGE = {
    "p": "from p import tools\nfrom p.contract import function\nALL = tools.ALL, function\n",
    "p.contract": "def function():\n    from p.fast import fast\n    return fast\n",
    "p.fast": "import torch\nfrom p import low\nfrom p.low import VALUE\n",
    "p.low": "import importlib\nVALUE: int = 1\n",
    "p.tool": "from p import function, tools\n",
    "p.tools": "ALL = ()\n",
}


def test_the_graph_has_what_sources_ask_for():
    assert graph_of(PACKAGE) == {
        "p": {"p.contract", "p.tools"},
        "p.contract": {"p.fast"},
        "p.fast": {"p.low"},
        "p.low": set(),
        "p.tool": {"p", "p.tools"},
        "p.tools": set(),
    }
    assert circle(graph_of(PACKAGE)) == []


@pytest.mark.parametrize(
    ("name", "line", "found"),
    [
        ("p.low", "import p.low\n", ["p.low", "p.low"]),
        ("p.low", "def f():\n    import p.fast\n", ["p.fast", "p.low", "p.fast"]),
        ("p.low", "importlib.import_module('p.fast')\n", ["p.fast", "p.low", "p.fast"]),
        ("p.low", "class A:\n    from p import contract\n", ["p.contract", "p.fast", "p.low", "p.contract"]),
        ("p.contract", "from p import function\n", ["p", "p.contract", "p"]),
    ],
)
def test_a_circle_is_found_and_named(name, line, found):
    graph = graph_of({**PACKAGE, name: PACKAGE[name] + line})
    named = circle(graph)
    assert named[0] == named[-1]
    assert set(named) == set(found)
    assert all(other in graph[one] for one, other in itertools.pairwise(named))


IMPLEMENTATIONS = ("reference", "native", "inductor", "torchscript", "triton")


def test_implementations_are_named_like_the_contract_of_their_operator_and_do_not_import_it():
    """So that whoever reads a contract knows where to go on, and whoever reads an implementation is done."""
    (member,) = (member for member in find_members() if member.module == "vs_ops")
    graph = graph_of({name: path.read_text() for name, path in modules_of(member).items()})
    contracts = graph["vs_ops"] - {"vs_ops.dispatch", "vs_ops.errors", "vs_ops.rules"}
    several = contracts - {"vs_ops.product_conv2d", "vs_ops.winograd_conv2d"}  # ways to compute something else
    assert {f"vs_ops.reference.{name.removeprefix('vs_ops.')}" for name in several} <= graph.keys()
    for name in graph:
        kind, _, operator = name.removeprefix("vs_ops.").partition(".")
        if kind in IMPLEMENTATIONS and operator:
            assert operator.startswith("_") or f"vs_ops.{operator}" in contracts, name
            assert not graph[name] & contracts, name
        if kind == "reference":
            others = {one for one in graph[name] if one.split(".")[1] in IMPLEMENTATIONS[1:]}
            assert not others, f"{name} imports {others}"
