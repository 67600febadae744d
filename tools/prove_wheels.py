"""Prove that every package works alone: built as a wheel, installed into an empty environment, imported, used.

For each package and app: `hatch build` makes its wheel; a new virtual environment gets that wheel and what it declares,
and nothing else; every module is imported there; the example of its README runs there, in an empty directory.

One thing is shared, because it is large: PyTorch's own files (and those of the CUDA libraries that it brings) are
linked from the environment that runs this program into each new one. What PyTorch itself depends on is installed anew
like everything else. A package that forgets to declare torch is noticed by its metadata instead. Our own packages are
found by the paths of the wheels just built, never by name on an index.

Usage: python tools/prove_wheels.py [PACKAGE ...] [--dist DIR] [--jobs N]
"""

import email
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
import tomllib
import zipfile
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib import metadata
from pathlib import Path
from typing import Annotated

import attrs
from cyclopts import Parameter, validators
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from vs_config.commands import run_command

ROOT = Path(__file__).resolve().parents[1]
SECONDS_FOR_AN_EXAMPLE = 60

Jobs = Annotated[int, Parameter(validator=validators.Number(gte=1, lte=64))]

# Runs in the new environment: imports every module of a package, then says which of the others can be found.
IMPORT_EVERYTHING = """
import importlib, importlib.util, pkgutil, sys, warnings
warnings.filterwarnings("ignore", "Failed to initialize NumPy")  # PyTorch's, where nobody declared NumPy
package = importlib.import_module(sys.argv[1])
for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
    try:
        importlib.import_module(module.name)
    except ModuleNotFoundError as missing:
        if missing.name != "triton":  # which only those have installed who use its kernels
            raise
print("importable:", *(name for name in sys.argv[2:] if importlib.util.find_spec(name)))
"""


class ProofError(Exception):
    """A package that does not work alone: `step` says where it failed, `detail` what was printed there."""

    def __init__(self, step: str, detail: str) -> None:
        super().__init__(step, detail)
        self.step = step
        self.detail = detail


@attrs.frozen(kw_only=True)
class Member:
    """A package or app of the workspace: its folder, its name, its module and what it declares to need."""

    folder: Path
    name: str
    module: str
    needs: frozenset[str]


@attrs.frozen(kw_only=True)
class Outcome:
    """The outcome of one proof: the steps that held, the one that did not, and the seconds it took."""

    name: str
    held: tuple[str, ...]
    failure: ProofError | None
    seconds: float


def find_members(root: Path = ROOT) -> tuple[Member, ...]:
    """Return the members of the workspace at `root`, sorted by name."""
    folders = [path.parent for pattern in ("packages/*", "apps/*") for path in root.glob(f"{pattern}/pyproject.toml")]
    return tuple(sorted(map(_member, folders), key=lambda member: member.name))


def _member(folder: Path) -> Member:
    project = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
    names = {canonicalize_name(Requirement(line).name) for line in project["dependencies"]}
    return Member(folder=folder, name=project["name"], module=project["name"].replace("-", "_"), needs=frozenset(names))


def closure(member: Member, members: Iterable[Member]) -> set[str]:
    """Return the names of the members that `member` declares to need, directly or through others, and its own."""
    known = {one.name: one for one in members}
    found, waiting = set[str](), [member.name]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting.extend(known[name].needs & known.keys())
    return found


def readme_example(text: str) -> str:
    """Return the one python block of a README; `ValueError` when it has none or several."""
    blocks: list[str] = re.findall(r"^```python\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)
    if len(blocks) != 1:
        message = f"a README has exactly one python block, and this one has {len(blocks)}"
        raise ValueError(message)
    return blocks[0]


def run(step: str, command: Sequence[str | Path], *, cwd: Path, seconds: float = 900) -> str:
    """Run a command and return what it printed; raises `ProofError` when it fails or takes too long."""
    about_this_one = ("PYTHON", "VIRTUAL_ENV", "HATCH_ENV")
    environment = {key: value for key, value in os.environ.items() if not key.startswith(about_this_one)}
    try:
        done = subprocess.run(
            [str(word) for word in command],
            cwd=cwd,
            env=environment,
            text=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=seconds,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise ProofError(step, f"did not end within {seconds:.0f} s") from error
    if done.returncode:
        raise ProofError(step, done.stdout)
    return done.stdout


def build(member: Member, dist: Path) -> Path:
    """Build the wheel of `member` into `dist` with `hatch build` and return its path."""
    hatch = shutil.which("hatch")
    if hatch is None:
        raise ProofError("wheel", "there is no command `hatch` on the PATH; install it: pip install hatch")
    folder = dist / member.name
    run("wheel", [hatch, "build", "--target", "wheel", folder], cwd=member.folder)
    wheels = list(folder.glob("*.whl"))
    if len(wheels) != 1:
        raise ProofError("wheel", f"hatch build left {len(wheels)} wheels in {folder}")
    wheel = wheels[0].replace(dist / wheels[0].name)
    folder.rmdir()
    return wheel


_IMPORTS_TORCH = re.compile(rb"^\s*(import|from) torch\b", re.MULTILINE)


def check_wheel(member: Member, wheel: Path) -> None:
    """Raise `ProofError` for a wheel that lacks its type marker, its licence or any of its metadata."""
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        described = next(name for name in names if name.endswith(".dist-info/METADATA"))
        about = email.message_from_bytes(archive.read(described))
        uses_torch = any(_IMPORTS_TORCH.search(archive.read(name)) for name in names if name.endswith(".py"))
    missing = [key for key in ("Version", "Summary", "License-Expression", "Requires-Python") if not about[key]]
    if not str(about.get_payload()).strip():
        missing.append("its README")
    if f"{member.module}/py.typed" not in names:
        missing.append("py.typed")
    if not any(name.endswith(".dist-info/licenses/LICENSE") for name in names):
        missing.append("LICENSE")
    if uses_torch and "torch" not in member.needs:
        missing.append("the dependency on torch")
    if missing:
        raise ProofError("wheel", f"{wheel.name} lacks {', '.join(missing)}")


def shared_names() -> frozenset[str]:
    """Return the distributions whose files are linked, not installed: PyTorch and the CUDA libraries it depends on."""
    found, waiting = set[str](), ["torch"]
    while waiting:
        name = waiting.pop()
        if name in found or not _is_installed(name):
            continue
        found.add(name)
        needed = [Requirement(line) for line in metadata.requires(name) or ()]
        names = [
            canonicalize_name(one.name) for one in needed if one.marker is None or one.marker.evaluate({"extra": ""})
        ]
        waiting.extend(one for one in names if one.startswith(("nvidia-", "cuda-")) or one == "triton")
    return frozenset(found)


def _is_installed(name: str) -> bool:
    try:
        metadata.distribution(name)
    except metadata.PackageNotFoundError:
        return False
    return True


def link_shared(environment: Path) -> None:
    """Link PyTorch's own files into the new environment, so that pip finds it there, installed."""
    target = _site_packages(environment)
    for name in shared_names():
        distribution = metadata.distribution(name)
        for top in {Path(file).parts[0] for file in distribution.files or () if Path(file).parts[0] != ".."}:
            if not (target / top).exists() and top != "__pycache__":
                (target / top).symlink_to(Path(str(distribution.locate_file(top))))


def _site_packages(environment: Path) -> Path:
    paths = {"base": str(environment), "platbase": str(environment)}
    return Path(sysconfig.get_path("purelib", scheme="venv", vars=paths))


def _python(environment: Path) -> Path:
    return Path(sysconfig.get_path("scripts", scheme="venv", vars={"base": str(environment)})) / Path(
        "python"
    ).with_suffix(sysconfig.get_config_var("EXE") or "")


def install(wheel: Path, environment: Path, constraints: Path) -> Path:
    """Make an empty environment with `wheel` and what it declares in it; return its interpreter."""
    run("install", [sys.executable, "-m", "venv", "--without-pip", environment], cwd=wheel.parent)
    link_shared(environment)
    python = _python(environment)
    options: list[str | Path] = ["--quiet", "--no-compile", "--find-links", wheel.parent, "--constraint", constraints]
    run("install", [sys.executable, "-m", "pip", "--python", python, "install", *options, wheel], cwd=wheel.parent)
    return python


def check_import(member: Member, members: Sequence[Member], python: Path, cwd: Path) -> None:
    """Raise `ProofError` unless every module imports silently and only declared packages of ours are there."""
    modules = {one.module: one.name for one in members}
    printed = run("import", [python, "-I", "-c", IMPORT_EVERYTHING, member.module, *modules], cwd=cwd)
    expected = sorted(module for module, name in modules.items() if name in closure(member, members))
    said, _, importable = printed.rpartition("importable:")
    if said:
        raise ProofError("import", f"importing prints something:\n{said}")
    if sorted(importable.split()) != expected:
        raise ProofError("import", f"importable are {importable.split()}, but declared are {expected}")


def check_example(member: Member, python: Path, cwd: Path) -> None:
    """Raise `ProofError` unless the example of the README runs in the empty directory `cwd`."""
    try:
        example = readme_example((member.folder / "README.md").read_text())
    except ValueError as error:
        raise ProofError("example", str(error)) from error
    run("example", [python, "-I", "-c", example], cwd=cwd, seconds=SECONDS_FOR_AN_EXAMPLE)


def prove(member: Member, members: Sequence[Member], wheels: dict[str, Path | ProofError], scratch: Path) -> Outcome:
    """Take one package through all steps, as far as they hold."""
    start = time.perf_counter()
    held: list[str] = []
    failure = None
    try:
        wheel = wheels[member.name]
        if isinstance(wheel, ProofError):
            raise wheel
        check_wheel(member, wheel)
        held.append("wheel")
        empty = scratch / f"{member.name}-empty"
        empty.mkdir()
        python = install(wheel, scratch / f"{member.name}-venv", scratch / "constraints.txt")
        held.append("install")
        check_import(member, members, python, empty)
        held.append("import")
        check_example(member, python, empty)
        held.append("example")
    except ProofError as error:
        failure = error
    shutil.rmtree(scratch / f"{member.name}-venv", ignore_errors=True)
    return Outcome(name=member.name, held=tuple(held), failure=failure, seconds=time.perf_counter() - start)


def report_line(outcome: Outcome) -> str:
    """Return the line that tells how one package fared."""
    words = [f"{step} ok" for step in outcome.held]
    if outcome.failure is not None:
        words.append(f"{outcome.failure.step} FAILED")
    return f"{outcome.name:<12}{'  '.join(words):<44}{outcome.seconds:6.1f} s"


def _build_or_error(member: Member, dist: Path) -> Path | ProofError:
    try:
        return build(member, dist)
    except ProofError as error:
        return error


def _write_constraints(path: Path, wheels: dict[str, Path | ProofError]) -> None:
    ours = [f"{name} @ {wheel.resolve().as_uri()}" for name, wheel in wheels.items() if isinstance(wheel, Path)]
    shared = [f"{name}=={metadata.version(name)}" for name in sorted(shared_names())]
    path.write_text("\n".join([*ours, *shared]) + "\n")


def main(*packages: str, dist: Path | None = None, jobs: Jobs = 2) -> int:
    """Build every wheel and prove the named packages, or all of them; returns the exit status.

    Args:
        packages: Names such as vs-ops.
        dist: Folder in which to leave the wheels; by default they are thrown away.
        jobs: Number of packages that are proved at the same time.

    Raises:
        SystemExit: there is no such package.
    """
    members = find_members()
    unknown = set(packages) - {member.name for member in members}
    if unknown:
        known = ", ".join(one.name for one in members)
        raise SystemExit(f"no such package: {', '.join(sorted(unknown))}; there are {known}")
    chosen = [member for member in members if not packages or member.name in packages]
    start = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="prove-wheels-") as folder, ThreadPoolExecutor(jobs) as pool:
        scratch = Path(folder)
        wheelhouse = (dist or scratch / "dist").resolve()
        built = pool.map(lambda member: _build_or_error(member, wheelhouse), members)
        wheels = {member.name: wheel for member, wheel in zip(members, built, strict=True)}
        print(f"built {len(wheels)} wheels in {time.perf_counter() - start:.1f} s", flush=True)
        _write_constraints(scratch / "constraints.txt", wheels)
        failed = 0
        for outcome in pool.map(lambda member: prove(member, members, wheels, scratch), chosen):
            print(report_line(outcome), flush=True)
            if outcome.failure is not None:
                failed += 1
                print(outcome.failure.detail.rstrip()[-4000:], flush=True)
    print(f"{len(chosen) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(run_command(main))
