"""Kinds of labels: each is read, checked, augmented, drawn, pickled, driven and named alike, as its file says."""

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
import vs_data
from hypothesis import given
from hypothesis import strategies as st
from label_examples import EXAMPLES, FRAMES, SIZE, Example, write_examples
from video_files import write_video
from vs_config import ConfigError, load_config, parse_toml, render_config
from vs_data import (
    AugmentConfig,
    ClassIds,
    Clip,
    ClipRequest,
    FloatMaps,
    FolderConfig,
    KeypointsConfig,
    LabelRequest,
    LandmarksConfig,
    NoFlowConfig,
    SegMapsConfig,
    check_command,
    check_folder,
    open_folder,
    open_labels,
    open_references,
)
from vs_data.labels import KINDS, handler_of, has_files, kind_in_table, kind_of, label_infos, word_of
from vs_data.skeletons import LimbConfig, SkeletonConfig
from vs_metrics import label_picture
from vs_training.config import LabelConfig, spec_of_kinds
from vs_training.pictures import palette_of, shown_label

SOURCES = Path(vs_data.__file__).parent
NAMING = {"stored.py", "folder.py", "cli.py", "worlds.py", "source.py", "render.py", "written.py"}
"""Files that name kinds: the crop is found by a face, and worlds draw and are written with their own kinds."""


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


ROD = SkeletonConfig(points=("left end", "top"), limbs=(LimbConfig(ends=("top", "left end")),))


@pytest.mark.parametrize(
    "kind",
    [
        KeypointsConfig(own=ROD),
        SegMapsConfig(folder="é 'x'", map=((7, 0), (8, 1)), class_names=("\U0001f697", 'a "b" \\'), num_classes=2),
        SegMapsConfig(colours=((0, 0, 0), (255, 1, 2)), num_classes=2, ignore_id=None),
    ],
)
def test_a_kind_whose_fields_are_tables_and_lists_is_written_as_a_word_and_read_back(kind):
    assert kind_in_table(word_of(kind)) == kind


def test_a_bare_folder_holds_class_ids_unless_it_is_called_as_another_kind():
    assert kind_of("depth:a") == (SegMapsConfig, "depth:a")
    assert [kind_of(kind.kind)[0] for kind in KINDS] == list(KINDS)


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_else_asks_which_kind_it_is(kind):
    """Whoever adds a kind writes its file and names it in the union."""
    homes = SOURCES / "labels", SOURCES / "survey"  # which tells what files are
    others = [path for path in SOURCES.rglob("*.py") if path.parent not in homes and path.name != "__init__.py"]
    assert {path.name for path in others if kind.__name__ in path.read_text()} <= NAMING


def test_the_command_that_checks_a_folder_names_every_kind(tmp_path):
    labels = (LandmarksConfig(folder="faces"), SegMapsConfig(folder="maps", num_classes=3, ignore_id=None))
    config = FolderConfig(root=str(tmp_path), labels=labels)
    words = "--labels landmarks-dlib68:faces maps --classes 3 --ignore-id -1 "
    assert words in check_command(config, "train")


each_kind = pytest.mark.parametrize("example", EXAMPLES.values(), ids=EXAMPLES)


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    """One folder with the files of all kinds."""
    place = tmp_path_factory.mktemp("kinds")
    write_examples(place, *EXAMPLES.values(), sequences=("a", "b"))
    return place


def config_of(root: Path, example: Example, **more: object) -> FolderConfig:
    settings = {"height": 48, "width": 64, "labels": (example.kind,), "flow": NoFlowConfig(), **more}
    return FolderConfig(root=str(root), **settings)


def clip_of(config: FolderConfig, split: str = "val", **more: object) -> Clip:
    request = ClipRequest(**{"sequence": 0, "start": 0, "length": FRAMES, "seed": 5, **more})
    return open_folder(config, split).read(request)


def label_of(example: Example, clip: Clip) -> torch.Tensor:
    assert list(clip.labels) == [example.kind.folder]
    return clip.labels[example.kind.folder]


def test_every_kind_has_an_example():
    assert {type(example.kind) for example in EXAMPLES.values()} == set(KINDS)


@each_kind
def test_a_kind_is_read_as_it_says_and_its_folder_is_found_to_be_right(root, example):
    info, label = handler_of(example.kind).info, label_of(example, clip_of(config_of(root, example)))
    match info:
        case ClassIds():
            assert (label.shape, label.dtype) == ((FRAMES, *SIZE), torch.uint8)
            assert ((label < info.classes) | (label == info.ignore_id)).all()
        case FloatMaps():
            assert (label.shape, label.dtype) == ((FRAMES, info.channels, *SIZE), torch.float32)
            low = -1 if info.pictures else 0
            assert label.min() >= low
            assert label.max() <= 1
    assert label.unique().numel() > 1
    report = check_folder(config_of(root, example))
    assert report.errors == ()
    assert report.opened == 2 * FRAMES * (2 if has_files(example.kind) else 1)


@each_kind
@pytest.mark.parametrize("size", [(48, 64), (32, 48), (64, 96)])
def test_a_mirrored_clip_has_mirrored_labels_with_the_signs_changed(root, example, size):
    if not handler_of(example.kind).mirrors:
        pytest.skip("cannot be mirrored, and flips are refused beside it")
    plain, mirrored = (
        clip_of(
            config_of(root, example, height=size[0], width=size[1], augment=AugmentConfig(scale=0.3, flip=flip)),
            "train",
        )
        for flip in (0.0, 1.0)
    )
    assert torch.equal(mirrored.frames, plain.frames.flip(-1))
    found, expected = label_of(example, mirrored).float(), label_of(example, plain).float().flip(-1)
    if expected.ndim == 4:
        expected = expected * torch.tensor(example.signs)[:, None, None]
    if example.exact:
        assert (found - expected).abs().max() < 1e-5
    else:
        if not handler_of(example.kind).info.pictures:  # where lines are: the colours of right and left are exchanged
            found, expected = (label.amax(dim=1).gt(0).float() for label in (found, expected))
        assert (found - expected).abs().mean() < 0.1 * expected.abs().mean()


@pytest.mark.parametrize("name", ["edges", "blur", "grey"])
def test_labels_are_computed_from_frames_as_they_are_in_the_clip(root, name):
    example = EXAMPLES[name]
    clip = clip_of(config_of(root, example, height=32, width=48, augment=AugmentConfig(scale=0.3, flip=0.5)), "train")
    pictures = [((frame + 1) * 127.5).round().byte().permute(1, 2, 0).numpy() for frame in clip.frames]
    assert torch.equal(label_of(example, clip), handler_of(example.kind).computed(pictures))


@each_kind
def test_labels_are_drawn(root, example):
    label = label_of(example, clip_of(config_of(root, example)))[0]
    spec = spec_of_kinds(LabelConfig(), label_infos([example.kind]))
    drawn = label_picture(shown_label(spec, {example.kind.folder: label}), palette_of(spec))
    assert (drawn.shape, drawn.dtype) == ((*SIZE, 3), np.uint8)
    assert len(np.unique(drawn)) > 1
    match handler_of(example.kind).info:
        case FloatMaps(pictures=True, channels=3):
            assert np.array_equal(drawn, ((label + 1) * 127.5).round().byte().permute(1, 2, 0).numpy())
        case FloatMaps(pictures=True, channels=1):
            assert np.array_equal(drawn[..., 1], ((label[0] + 1) * 127.5).round().byte().numpy())


@each_kind
def test_a_source_of_a_kind_survives_the_way_to_a_worker(root, example):
    source = open_folder(config_of(root, example), "val")
    request = ClipRequest(sequence=1, start=1, length=2, references=(0,))
    clip, other = source.read(request), pickle.loads(pickle.dumps(source)).read(request)
    assert torch.equal(label_of(example, clip), label_of(example, other))
    assert torch.equal(clip.references.labels[example.kind.folder], other.references.labels[example.kind.folder])


@each_kind
def test_a_model_is_driven_by_what_training_reads(root, example):
    how = LabelRequest(kinds=(example.kind,), size=SIZE)
    expected = label_of(example, clip_of(config_of(root, example)))
    plain = root / ("images" if not has_files(example.kind) else example.kind.folder) / "a"
    for source in (root, plain):
        sequence = open_labels(str(source), how)[0]
        found = torch.stack([frame.labels[example.kind.folder] for frame in sequence.read()])
        assert (sequence.name, sequence.frames, sequence.size) == ("a", FRAMES, SIZE)
        assert torch.equal(found, expected)


@each_kind
def test_references_have_the_labels_that_training_gives_them(root, example):
    subject = open_references(str(root / "images" / "b"), LabelRequest(kinds=(example.kind,), size=SIZE), count=2)
    clip = clip_of(config_of(root, example), references=(0, 2), reference_sequence=1)
    expected = clip.references.labels[example.kind.folder]
    assert torch.equal(subject.references.labels[example.kind.folder], expected)


@pytest.mark.parametrize("name", ["edges", "blur", "grey"])
def test_a_video_drives_as_its_frames_do(root, name, tmp_path):
    """Several kinds too, and pictures of another size than the model's."""
    kinds = (EXAMPLES[name].kind, EXAMPLES["grey"].kind) if name != "grey" else (EXAMPLES["grey"].kind,)
    how = LabelRequest(kinds=kinds, size=(24, 40))
    frames = clip_of(config_of(root, EXAMPLES["grey"])).frames
    pixels = [((frame + 1) * 127.5).round().byte().permute(1, 2, 0).numpy() for frame in frames]
    video = write_video(tmp_path / "a.mkv", pixels, "ffv1", "bgr0")
    (of_video,), of_folder = open_labels(str(video), how), open_labels(str(root / "images"), how)[0]
    assert of_video.size == of_folder.size == (24, 40)
    for one, other in zip(of_video.read(), of_folder.read(), strict=True):
        assert list(one.labels) == [kind.folder for kind in kinds]
        assert all(torch.equal(one.labels[folder], other.labels[folder]) for folder in one.labels)


@each_kind
def test_a_kind_is_written_and_read_back_in_documents_and_on_command_lines(root, example):
    config = config_of(root, example)
    assert load_config(FolderConfig, parse_toml(render_config(config))) == config
    word = word_of(example.kind)
    found = kind_in_table(word)
    if found is None:
        assert kind_of(word) == (type(example.kind), example.kind.folder)
    else:
        assert found == example.kind
        assert word in check_command(config, "train").replace("'", "")


@each_kind
def test_a_damaged_file_is_one_line_with_its_name(root, example, tmp_path):
    if example.write is None:
        pytest.skip("has no files")
    write_examples(tmp_path, example)
    file = tmp_path / example.kind.folder / "a" / f"001{example.extension}"
    file.write_bytes(file.read_bytes()[: len(file.read_bytes()) // 2])
    (problem,) = check_folder(config_of(tmp_path, example)).errors
    assert problem.file == str(file)
    assert problem.fix
    with pytest.raises(vs_data.DataError) as refused:
        clip_of(config_of(tmp_path, example))
    assert str(refused.value).startswith(f"{file}: ")
    assert "\n" not in str(refused.value)


@each_kind
def test_a_missing_file_is_called_as_those_beside_it(root, example, tmp_path):
    if example.write is None:
        pytest.skip("has no files")
    write_examples(tmp_path, example)
    file = tmp_path / example.kind.folder / "a" / f"001{example.extension}"
    file.unlink()
    (problem,) = check_folder(config_of(tmp_path, example)).errors
    assert (problem.file, problem.what) == (str(file), "the file is missing")


def test_names_of_kinds_in_a_table_are_checked_like_all_others():
    with pytest.raises(ConfigError, match="maximun: unknown key; did you mean 'maximum'"):
        kind_in_table('{kind = "image", maximun = 3.0}')
    with pytest.raises(ConfigError, match=r'^\{kind = "image": is not TOML'):
        kind_in_table('{kind = "image"')
