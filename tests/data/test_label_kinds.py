"""Kinds of labels: what each is and does is in one file of its own, and all of them are named alike."""

from pathlib import Path

import pytest
import vs_data
from hypothesis import given
from hypothesis import strategies as st
from vs_data import FolderConfig, LandmarksConfig, SegMapsConfig, check_command
from vs_data.labels import KINDS, handler_of, kind_of, label_infos, word_of

SOURCES = Path(vs_data.__file__).parent
FACE_ONLY = {"folder.py", "cli.py"}  # the crop is found by a face, and the world of faces is written with both kinds


@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_says_all_that_is_asked_of_it(kind):
    handler = handler_of(kind())
    assert handler.extensions
    assert all(extension == extension.lower() and extension.startswith(".") for extension in handler.extensions)
    infos = label_infos([kind(folder="a"), kind(folder="b")])
    assert infos == {name: handler_of(kind(folder=name)).info for name in ("a", "b")}


def test_kinds_and_their_usual_folders_have_names_of_their_own():
    assert len({kind.kind for kind in KINDS}) == len({kind().folder for kind in KINDS}) == len(KINDS)


@given(kind=st.sampled_from(KINDS), folder=st.sampled_from(["a", "seg_maps", "landmarks-dlib68", "landmarks-dlib68:a"]))
def test_the_word_for_a_kind_and_its_folder_is_read_back(kind, folder):
    assert kind_of(word_of(kind(folder=folder))) == (kind, folder)


def test_a_bare_folder_holds_class_ids_unless_it_is_called_as_another_kind():
    assert kind_of("depth:a") == (SegMapsConfig, "depth:a")
    assert [kind_of(kind.kind)[0] for kind in KINDS] == list(KINDS)


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_else_asks_which_kind_it_is(kind):
    """Whoever adds a kind writes its file and names it in the union."""
    home = SOURCES / "labels"
    others = [path for path in SOURCES.rglob("*.py") if path.parent != home and path.name != "__init__.py"]
    assert {path.name for path in others if kind.__name__ in path.read_text()} <= FACE_ONLY


def test_the_command_that_checks_a_folder_names_every_kind(tmp_path):
    labels = (LandmarksConfig(folder="faces"), SegMapsConfig(folder="maps", num_classes=3, ignore_id=None))
    config = FolderConfig(root=str(tmp_path), labels=labels)
    words = "--labels landmarks-dlib68:faces maps --classes 3 --ignore-id -1 "
    assert words in check_command(config, "train")
