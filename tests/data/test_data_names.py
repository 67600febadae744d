"""Names: natural order, accents in two encodings, what systems leave behind, and strays that switch nothing off."""

import os
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from vs_data import (
    ClipRequest,
    DataError,
    Finding,
    FolderConfig,
    NoFlowConfig,
    SegMapsConfig,
    check_folder,
    open_folder,
)
from vs_data.names import is_left_behind, same, sort_key
from vs_data.order import check_order

NAMES = st.lists(st.text("ab1_é０", max_size=6), unique=True, max_size=8)


def renamed(root: Path, sequence: str, names: list[str]) -> None:
    for kind in ("images", "seg_maps"):
        paths = sorted((root / kind / sequence).iterdir())
        moved = [path.rename(path.with_name(f"moved{index:04d}")) for index, path in enumerate(paths)]
        for path, name in zip(moved, names, strict=True):
            path.rename(path.with_name(f"{name}.png"))


def config(root: Path, **fields: object) -> FolderConfig:
    values: dict[str, object] = {"root": str(root), "height": 32, "width": 48, "flow": NoFlowConfig()}
    return FolderConfig(**{**values, **fields})  # type: ignore[arg-type]


def warnings(stems: list[str]) -> list[Finding]:
    return list(check_order("place", stems))


@given(numbers=st.lists(st.integers(0, 10**6), unique=True, max_size=8), prefix=st.text("ab_-", max_size=3))
def test_natural_order_is_that_of_the_numbers(numbers, prefix):
    names = sorted((f"{prefix}{number}x" for number in numbers), key=sort_key("natural"))
    assert names == [f"{prefix}{number}x" for number in sorted(numbers)]


@given(names=NAMES)
def test_both_orders_take_all_names_and_do_not_depend_on_how_they_come(names):
    backwards = names[::-1]
    for order in ("name", "natural"):
        assert sorted(names, key=sort_key(order)) == sorted(backwards, key=sort_key(order))
    assert sorted(names, key=sort_key("name")) == sorted(names)


def test_frames_and_sequences_come_in_the_order_asked_for(folder):
    root = folder({"s1": 2, "s10": 2, "s2": 12})
    renamed(root, "s2", [str(frame) for frame in range(12)])
    plain, natural = (open_folder(config(root, order=order), "train") for order in ("name", "natural"))
    assert [info.name for info in plain.sequences] == ["s1", "s10", "s2"]
    assert plain.files[2].frames[:3] == ("0", "1", "10")
    assert [info.name for info in natural.sequences] == ["s1", "s2", "s10"]
    assert natural.files[1].frames == tuple(str(frame) for frame in range(12))
    assert natural.files[1].files["seg_maps"].names[2] == "2.png"
    with pytest.raises(ValueError, match="order: expected one of 'name', 'natural', got 'random'"):
        config(root, order="random")


def test_natural_order_is_suggested_and_ends_the_warning(folder):
    root = folder({"a": 12})
    renamed(root, "a", [f"f{frame}" for frame in range(12)])
    found = check_folder(config(root), declared=False).findings
    assert [finding.what for finding in found if finding.kind == "numbers out of order"] == [
        "sorted by name, frame f2 follows f11"
    ]
    assert '"natural"' in found[0].fix
    assert check_folder(config(root, order="natural"), declared=False).findings == ()


def test_a_stray_name_is_told_and_switches_nothing_off():
    stray, order = warnings(["1", "10", "2", "3", "4", "cover"])
    assert stray.what == "1 of 6 frames are not called # like the others: cover"
    assert order.what == "sorted by name, frame 2 follows 10"
    stray, gap = warnings(["f001", "f002", "f003", "f007", "f008", "f008_copy2", "thumb"])
    assert "2 of 7 frames are not called f# like the others: f008_copy2, thumb" in stray.what
    assert "missing between f003 and f007" in gap.what
    assert warnings(["a", "b", "c"]) == []
    assert warnings([]) == []


@given(usual=st.integers(10, 10**9), noise=st.lists(st.integers(-4, 4), min_size=4, max_size=9), lost=st.integers(0, 9))
def test_times_in_names_are_no_gaps_though_they_are_uneven(usual, noise, lost):
    times = [10**12 + index * usual + usual * share // 40 for index, share in enumerate(noise)]
    assert warnings([str(time) for time in times]) == []
    index = lost % (len(times) - 1)
    later = [*times[: index + 1], *(time + 2 * usual for time in times[index + 1 :])]
    (gap,) = warnings([str(time) for time in later])
    assert f"missing between {later[index]} and {later[index + 1]}" in gap.what


def test_smaller_steps_than_usual_are_no_gaps():
    assert warnings(["00", "02", "04", "05", "07", "09"]) == []


@pytest.mark.parametrize("order", ["name", "natural"])
def test_accents_in_two_encodings_are_one_name_and_files_are_opened_by_their_own(folder, order):
    root = folder({"é": 3})
    accents = [f"é{frame}" for frame in range(3)]
    renamed(root, "é", accents)
    for kind, form in (("images", "NFC"), ("seg_maps", "NFD")):
        for path in (root / kind / "é").iterdir():
            path.rename(path.with_name(unicodedata.normalize(form, path.name)))
        (root / kind / "é").rename(root / kind / unicodedata.normalize(form, "é"))
    settings = config(root, order=order)
    assert check_folder(settings, declared=False).findings == ()
    source = open_folder(settings, "train")
    assert source.sequences[0].name == "é"
    assert source.files[0].frames == tuple(accents)
    assert unicodedata.is_normalized("NFD", str(source.files[0].files["seg_maps"].names[1]))
    assert source.read(ClipRequest(sequence=0, start=0, length=3)).labels["seg_maps"].shape == (3, 32, 48)


def test_the_folder_of_a_kind_may_be_encoded_otherwise(folder):
    root = folder({"a": 2})
    (root / "seg_maps").rename(root / unicodedata.normalize("NFD", "étiquettes"))
    labels = (SegMapsConfig(folder="étiquettes"),)
    assert check_folder(config(root, labels=labels), declared=False).findings == ()
    assert open_folder(config(root, labels=labels), "val").read(ClipRequest(sequence=0, start=0, length=1)).labels[
        "étiquettes"
    ].shape == (1, 32, 48)


def test_two_names_that_are_the_same_but_for_their_encoding_are_an_error(folder):
    root = folder({"a": 2, "é": 2})
    content = (root / "images" / "a" / "0001.png").read_bytes()
    for form in ("NFC", "NFD"):
        (root / "images" / "a" / unicodedata.normalize(form, "é.png")).write_bytes(content)
    (root / "images" / unicodedata.normalize("NFD", "é")).mkdir()
    what = [finding.what for finding in check_folder(root).errors]
    assert any(same(text).startswith("the same frame as é") for text in what)
    assert any(same(text).startswith("the same sequence as é") for text in what)
    with pytest.raises(DataError):
        open_folder(config(root), "train")


@pytest.mark.parametrize(
    "name", ["@eaDir", "__MACOSX", "Thumbs.db", "thumbs.db", "desktop.ini", "Desktop.ini", ".DS_Store", "._0000.png"]
)
def test_what_systems_leave_behind_is_passed_over_at_every_level(folder, name):
    root = folder({"a": 2})
    for place in (root, root / "images", root / "images" / "a", root / "seg_maps", root / "seg_maps" / "a"):
        if name.startswith(("@", "__")):
            (place / name / "0000.png").mkdir(parents=True)
        else:
            (place / name).write_text("x")
    assert check_folder(root).findings == ()
    assert is_left_behind(name)
    assert not is_left_behind("0000.png")


def test_links_that_lead_nowhere_or_to_themselves_are_errors_and_no_crash(folder):
    root = folder({"a": 2})
    (root / "images" / "gone").symlink_to(root / "nowhere")
    (root / "images" / "loop").symlink_to(root / "images" / "loop")
    (root / "images" / "a" / "0002.png").symlink_to(root / "images" / "a" / "0002.png")
    (root / "images" / "around").symlink_to(root / "images")
    found = {Path(finding.file).name: finding.what for finding in check_folder(root).errors}
    assert found["gone"] == found["loop"] == "a link that leads nowhere"
    assert "0002.png" in found


def test_pipes_and_files_where_folders_should_be_are_said(folder, tmp_path):
    root = folder({"a": 2})
    (root / "seg_maps").rename(root / "maps")
    os.mkfifo(root / "seg_maps")
    assert [finding.what for finding in check_folder(root).errors] == ["is not a folder"]
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(DataError, match="is not a folder"):
        check_folder(tmp_path / "pipe")
