import os
from pathlib import Path

import pytest
from vs_eval.output import check_output, report_directory
from vs_runtime import PlaceError, temporary_path


def names(path: Path) -> list[str]:
    return sorted(entry.name for entry in path.iterdir())


def test_it_appears_when_all_is_done(tmp_path):
    out = tmp_path / "run" / "eval" / "step-00000003"
    with report_directory(out) as draft:
        (draft / "report.json").write_text("{}")
        assert not out.exists()
    assert names(out) == ["report.json"]
    assert names(out.parent) == ["step-00000003"]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, SystemExit])
def test_a_failure_leaves_nothing_not_even_parents(tmp_path, error):
    def fail():
        with report_directory(tmp_path / "a" / "b" / "out") as draft:
            (draft / "clip.mp4").write_bytes(b"x")
            raise error("stop")

    with pytest.raises(error):
        fail()
    assert names(tmp_path) == []


def test_an_old_report_is_replaced_as_a_whole_and_kept_on_failure(tmp_path):
    out = tmp_path / "out"
    for text in ("one", "two"):
        with report_directory(out) as draft:
            (draft / "report.json").write_text(text)
            (draft / text).write_text("")
    assert names(out) == ["report.json", "two"]

    def fail():
        with report_directory(out):
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        fail()
    assert names(out) == ["report.json", "two"]
    assert names(tmp_path) == ["out"]


def test_directories_with_other_things_in_them_are_refused(tmp_path):
    (tmp_path / "precious.txt").write_text("x")
    with pytest.raises(PlaceError, match="holds other files"):
        check_output(tmp_path)
    with pytest.raises(PlaceError, match="is a file"):
        check_output(tmp_path / "precious.txt")
    check_output(tmp_path / "new")
    (tmp_path / "empty").mkdir()
    with report_directory(tmp_path / "empty") as draft:
        (draft / "report.json").write_text("{}")
    assert names(tmp_path / "empty") == ["report.json"]


def test_a_parent_that_is_a_file_is_one_clear_error(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(PlaceError, match="cannot be written") as caught, report_directory(tmp_path / "file" / "out"):
        pass
    assert "\n" not in str(caught.value)
    assert names(tmp_path) == ["file"]


def test_drafts_of_killed_processes_are_removed_and_those_of_living_ones_kept(tmp_path):
    killed = os.fork()
    if killed == 0:
        temporary_path(tmp_path / "out").mkdir()
        os._exit(0)
    os.waitpid(killed, 0)
    living = temporary_path(tmp_path / "out")
    living.mkdir()
    assert len(names(tmp_path)) == 2
    with report_directory(tmp_path / "out") as draft:
        (draft / "report.json").write_text("{}")
    assert names(tmp_path) == [living.name, "out"]


@pytest.mark.parametrize("mask", [0o022, 0o077])
def test_modes_are_those_that_the_umask_gives(tmp_path, mask):
    before = os.umask(mask)
    try:
        with report_directory(tmp_path / "out") as draft:
            (draft / "report.json").write_text("{}")
    finally:
        os.umask(before)
    assert (tmp_path / "out").stat().st_mode & 0o777 == 0o777 & ~mask
