"""Who may import whom, and that what is imported is declared: read from the source, not from a running program."""

import ast
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
from packaging.utils import canonicalize_name
from prove_wheels import Member, find_members

MEMBERS = find_members()
BELOW_TRAINING = {"vs_config", "vs_ops", "vs_nets", "vs_optim", "vs_runtime", "vs_data", "vs_metrics"}
BELOW_SYNTHESIS = BELOW_TRAINING | {"vs_training"}
PACKAGES = BELOW_SYNTHESIS | {"vs_synthesis"}

# The table of the house. A change here is a change of the architecture: see docs/architecture.md.
MAY_IMPORT = {
    "vs_config": set(),
    "vs_ops": set(),
    "vs_optim": {"vs_config"},
    "vs_runtime": {"vs_config"},
    "vs_data": {"vs_config"},
    "vs_nets": {"vs_config", "vs_ops"},
    "vs_metrics": {"vs_ops"},
    "vs_training": BELOW_TRAINING,
    "vs_synthesis": BELOW_SYNTHESIS,
    "vs_train": PACKAGES,
    "vs_eval": PACKAGES,
    "vs_bench": PACKAGES,
}

# Used when somebody has installed them, and never required.
OPTIONAL = {"OpenEXR", "aim", "apex", "amp_C", "fsspec", "mlflow", "onnx", "onnxruntime", "triton", "wandb"}

# Dependencies that are used without an import of their own: the module of PyTorch that needs them.
USED_THROUGH = {"tensorboard": "torch.utils.tensorboard"}


def sources(member: Member) -> list[Path]:
    return sorted((member.folder / "src").rglob("*.py"))


def imported_modules(text: str) -> set[str]:
    """Every module that a source imports, wherever it does so; `from a import b` may mean the module a.b."""
    found = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith(("import_module", "__import__")):
            found |= {arg.value for arg in node.args[:1] if isinstance(arg, ast.Constant)}
    return found


def imports_of(member: Member) -> set[str]:
    return set().union(*(imported_modules(path.read_text()) for path in sources(member)))


def top(module: str) -> str:
    return module.partition(".")[0]


by_member = pytest.mark.parametrize("member", MEMBERS, ids=lambda member: member.name)


def test_the_reader_of_imports_finds_all_kinds():
    text = (
        "import a.b\ndef f():\n from c import d\n import importlib\n importlib.import_module('e.f')\nfrom . import g\n"
    )
    assert imported_modules(text) == {"a.b", "c.d", "importlib", "e.f"}


def test_the_table_has_a_row_for_every_member():
    assert {member.module for member in MEMBERS} == MAY_IMPORT.keys()


@by_member
def test_a_room_imports_only_what_the_table_allows(member):
    ours = {top(module) for module in imports_of(member) if top(module) in MAY_IMPORT}
    assert ours - {member.module} <= MAY_IMPORT[member.module]


@by_member
def test_what_is_imported_is_declared_and_nothing_else(member):
    modules = imports_of(member)
    providers = {
        name: {canonicalize_name(one) for one in dists} for name, dists in metadata.packages_distributions().items()
    }
    foreign = {top(one) for one in modules} - set(sys.stdlib_module_names) - OPTIONAL - {member.module}
    undeclared = {name for name in foreign if not providers.get(name, {canonicalize_name(name)}) & member.needs}
    assert undeclared == set(), "imported, but not among the dependencies in pyproject.toml"
    used = set().union(*(providers.get(name, {canonicalize_name(name)}) for name in foreign))
    used |= {name for name, through in USED_THROUGH.items() if any(one.startswith(through) for one in modules)}
    assert member.needs - used == set(), "among the dependencies in pyproject.toml, but never imported"


IMPORT_QUIETLY = """
import logging, os, random, signal, sys, torch
import cv2  # sets LD_LIBRARY_PATH, which is not our doing
def state():
    return {
        "environment": dict(os.environ), "folder": os.getcwd(), "handlers": logging.root.handlers[:],
        "random": random.getstate(), "torch": torch.get_rng_state().tolist(), "grad": torch.is_grad_enabled(),
        "threads": torch.get_num_threads(), "default dtype": torch.get_default_dtype(),
        "SIGINT": signal.getsignal(signal.SIGINT), "SIGTERM": signal.getsignal(signal.SIGTERM),
        "tf32": torch.backends.cudnn.allow_tf32, "benchmark": torch.backends.cudnn.benchmark,
    }
before = state()
for name in sys.argv[1:]:
    __import__(name)
    changed = [key for key, value in state().items() if value != before[key]]
    assert not changed, f"importing {name} changes {changed}"
    assert not torch.cuda.is_initialized(), f"importing {name} starts CUDA"
"""


def test_importing_a_package_prints_nothing_changes_nothing_and_starts_no_gpu():
    command = [sys.executable, "-W", "error", "-c", IMPORT_QUIETLY, *MAY_IMPORT]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
