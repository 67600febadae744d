"""The pure parts of the program that proves the wheels."""

import zipfile
from pathlib import Path

import prove_wheels
import pytest
from prove_wheels import Member, Outcome, ProofError, closure, readme_example


def member(name, *needs):
    return Member(folder=Path(name), name=name, module=name.replace("-", "_"), needs=frozenset(needs))


def test_the_one_python_block_is_the_example():
    text = "# A\n```sh\nls\n```\ntext\n```python\nimport a\n\nprint(a)\n```\nmore\n"
    assert readme_example(text) == "import a\n\nprint(a)\n"


@pytest.mark.parametrize(("text", "number"), [("nothing", 0), ("```python\na\n```\n```python\nb\n```\n", 2)])
def test_no_example_and_several_are_refused(text, number):
    with pytest.raises(ValueError, match=f"this one has {number}"):
        readme_example(text)


def test_what_is_needed_includes_what_that_needs():
    members = [member("a", "b", "torch"), member("b", "c"), member("c", "attrs"), member("d", "a")]
    assert closure(members[0], members) == {"a", "b", "c"}
    assert closure(members[2], members) == {"c"}


def test_needing_each_other_ends():
    members = [member("a", "b"), member("b", "a")]
    assert closure(members[0], members) == {"a", "b"}


def test_the_report_says_what_held_and_what_did_not():
    fine = prove_wheels.report_line(Outcome(name="vs-ops", held=("wheel", "import"), failure=None, seconds=3.14))
    assert fine.split() == ["vs-ops", "wheel", "ok", "import", "ok", "3.1", "s"]
    failure = ProofError("import", "ImportError")
    bad = prove_wheels.report_line(Outcome(name="vs-ops", held=("wheel",), failure=failure, seconds=3.0))
    assert bad.split() == ["vs-ops", "wheel", "ok", "import", "FAILED", "3.0", "s"]


METADATA = """Metadata-Version: 2.4
Name: a
Version: 1
Summary: s
License-Expression: MIT
Requires-Python: >=3.11

readme
"""


def wheel(folder, described=METADATA, typed=True, licensed=True, source="import torch\n"):
    path = folder / "a-1-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a-1.dist-info/METADATA", described)
        if licensed:
            archive.writestr("a-1.dist-info/licenses/LICENSE", "")
        archive.writestr("a/__init__.py", source)
        if typed:
            archive.writestr("a/py.typed", "")
    return path


def test_a_complete_wheel_passes(tmp_path):
    prove_wheels.check_wheel(member("a", "torch"), wheel(tmp_path))
    prove_wheels.check_wheel(member("a"), wheel(tmp_path, source="torch = None\n"))


@pytest.mark.parametrize(
    ("arguments", "needs", "lack"),
    [
        ({"typed": False}, ("torch",), "py.typed"),
        ({"licensed": False}, ("torch",), "LICENSE"),
        ({"described": METADATA.replace("readme\n", "")}, ("torch",), "README"),
        ({"described": METADATA.replace("Requires-Python: >=3.11\n", "")}, ("torch",), "Requires-Python"),
        ({}, (), "torch"),
    ],
)
def test_an_incomplete_wheel_is_refused_with_what_it_lacks(tmp_path, arguments, needs, lack):
    with pytest.raises(ProofError) as caught:
        prove_wheels.check_wheel(member("a", *needs), wheel(tmp_path, **arguments))
    assert caught.value.step == "wheel"
    assert lack in caught.value.detail


def test_a_command_that_fails_is_reported_with_what_it_printed(tmp_path):
    with pytest.raises(ProofError) as caught:
        prove_wheels.run("example", ["sh", "-c", "echo reason; exit 3"], cwd=tmp_path)
    assert (caught.value.step, caught.value.detail) == ("example", "reason\n")


def test_a_command_does_not_see_this_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", "/here")
    monkeypatch.setenv("HATCH_ENV_ACTIVE", "default")
    assert "/here" not in prove_wheels.run("import", ["env"], cwd=tmp_path)
    assert "HATCH_ENV_ACTIVE" not in prove_wheels.run("import", ["env"], cwd=tmp_path)
