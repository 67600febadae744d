"""What every package and app has to bring."""

import importlib
import re
import subprocess
import tomllib
from pathlib import Path

import pytest
from prove_wheels import Member, closure, find_members, readme_example

ROOT = Path(__file__).resolve().parents[2]
MEMBERS = find_members()
WORKSPACE = tomllib.loads((ROOT / "pyproject.toml").read_text())
by_member = pytest.mark.parametrize("member", MEMBERS, ids=lambda member: member.name)


def project_of(member: Member) -> dict:
    return tomllib.loads((member.folder / "pyproject.toml").read_text())["project"]


@by_member
def test_the_metadata_are_complete(member):
    project = project_of(member)
    assert project["requires-python"] == WORKSPACE["project"]["requires-python"] == ">=3.11"
    assert project["license"] == "Apache-2.0"
    assert 20 <= len(project["description"]) <= 120
    assert project["readme"] == "README.md"
    assert "Typing :: Typed" in project["classifiers"]
    assert (member.folder / "src" / member.module / "py.typed").is_file()


@by_member
def test_every_dependency_has_a_lower_bound_but_no_pin(member):
    foreign = [line for line in project_of(member)["dependencies"] if not line.startswith("vs-")]
    assert [line for line in foreign if not re.fullmatch(r"[\w.-]+(\[[\w,]+\])?>=\d[\d.]*(,<\d+)?", line)] == []


@by_member
def test_the_version_is_the_one_of_the_workspace(member):
    assert importlib.import_module(member.module).__version__ == WORKSPACE["project"]["version"]


def test_the_changelog_speaks_of_the_version():
    versions = re.findall(r"^## \[(.+?)\]", (ROOT / "CHANGELOG.md").read_text(), flags=re.MULTILINE)
    assert versions[0] == WORKSPACE["project"]["version"]


@by_member
def test_the_readme_has_exactly_one_example_and_it_uses_the_package(member):
    example = readme_example((member.folder / "README.md").read_text())
    compile(example, f"{member.name}/README.md", "exec")
    assert re.search(rf"^(from|import) {member.module}\b", example, flags=re.MULTILINE)


@by_member
def test_the_example_uses_only_what_the_package_declares_of_ours(member):
    modules = {one.module for one in MEMBERS if one.name in closure(member, MEMBERS)}
    example = readme_example((member.folder / "README.md").read_text())
    assert set(re.findall(r"^(?:from|import) (vs_\w+)", example, flags=re.MULTILINE)) <= modules


def documents() -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "*.md"], cwd=ROOT, capture_output=True, text=True, check=False)
    names = listed.stdout.split() if listed.returncode == 0 else []
    return [ROOT / name for name in names] or sorted(ROOT.glob("*.md"))


def test_nobody_is_told_to_install_our_packages_from_an_index():
    ours = {member.name for member in MEMBERS} | {member.module for member in MEMBERS}
    for document in documents():
        for line in re.findall(r"pip install (.*)", document.read_text()):
            bare = {re.split(r"[\[=<>~!@`]", word)[0] for word in line.split()}
            assert bare & ours == set(), f"{document.relative_to(ROOT)}: {line}"


def test_links_between_documents_lead_somewhere():
    for document in documents():
        text = re.sub(r"^```.*?^```", "", document.read_text(), flags=re.MULTILINE | re.DOTALL)
        for target in re.findall(r"\]\(([^)\s#]+)[^)]*\)", text):
            if "://" not in target:
                assert (document.parent / target).exists(), f"{document.relative_to(ROOT)} links to {target}"
