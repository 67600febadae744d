"""The command `vs-data`: look at data before training on it, or write some."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Literal, TypeAlias

import attrs
import cv2
from cyclopts import App, Parameter
from rich.console import Console
from rich.text import Text
from vs_config import ConfigError, Range, shown
from vs_config.commands import EXIT_INPUT, option_of, run_command
from vs_config.progress import show_progress

from vs_data.amounts import USUAL_FPS
from vs_data.check import MAX_THREADS, CheckReport, check_folder
from vs_data.dancers import DancersConfig
from vs_data.errors import VsDataError
from vs_data.extract.command import extract
from vs_data.faces import FacesConfig
from vs_data.findings import counted
from vs_data.flow import FlowFilesConfig, NoFlowConfig
from vs_data.flows import flow_in_word
from vs_data.folder import check_command
from vs_data.labels import (
    KINDS,
    EdgesConfig,
    LabelKind,
    SegMapsConfig,
    has_files,
    kind_in_table,
    kind_of,
    word_of,
)
from vs_data.layout import expanded, no_folder
from vs_data.names import Order
from vs_data.render import write_folder
from vs_data.report import print_report
from vs_data.shards import Frames, PackOptions, folders_in, index_whole, pack_folder, whole_layout
from vs_data.sheets import write_sheets
from vs_data.sources import SourceConfig, open_source, written_kinds
from vs_data.stored import FolderConfig, ShardsConfig, StoredConfig
from vs_data.street import StreetConfig
from vs_data.survey import stored_at

_FIX_MEMORY = "end what else needs memory, or open fewer files at once: --threads 1 of data:check"

_SEVERAL = Parameter(consume_multiple=True, negative="")
_MAX_FILES = 10**9
_LIMIT = option_of(Range(kind=int, low=0, high=_MAX_FILES))
_EVERY = option_of(Range(kind=int, low=1, high=_MAX_FILES))
_QUALITY = option_of(Range(kind=int, low=1, high=100))
_GROUP = option_of(Range(kind=int, low=1, high=1000))
_SHARD_MB = option_of(Range(kind=int, low=1, high=2**20))
_FLAG = Parameter(negative="")
_FPS = option_of(Range(kind=float, low=0.01, high=1e6))
_THREADS = option_of(Range(kind=int, low=1, high=MAX_THREADS))
_World: TypeAlias = Literal["street", "faces", "dancers"]

app = App(
    name="vs-data",
    help="Look at data folders before training on them, or write one.",
    version_flags=[],
)

app.command(extract)


@app.command
def check(
    root: str,
    *,
    labels: Annotated[tuple[str, ...] | None, _SEVERAL] = None,
    classes: Annotated[tuple[int, ...] | None, _SEVERAL] = None,
    ignore_id: Annotated[tuple[int, ...], _SEVERAL] = (255,),
    flow: str = "auto",
    flow_folder: str | None = None,
    min_frames: int = 2,
    order: Literal["name", "natural"] = "name",
    every: Annotated[int, _EVERY] = 1,
    threads: Annotated[int | None, _THREADS] = None,
    limit: Annotated[int, _LIMIT] = 0,
    strict: bool = False,
    decode: Annotated[bool, _FLAG] = False,
    fps: Annotated[float, _FPS] = USUAL_FPS,
    show: str | None = None,
) -> int:
    """List everything that is wrong with a data folder, and what is in it.

    The folder holds images/SEQUENCE/FRAME.png (or .jpg, .jpeg, .webp), labels beside them, and optionally
    flow/SEQUENCE/FRAME.npz. Labels are seg_maps/SEQUENCE/FRAME.png with 8-bit class ids, for example, or
    landmarks-dlib68/SEQUENCE/FRAME.json with 68 [x, y] pairs. Names must agree, and so must the sizes within a
    sequence. Exit status 0: it can be trained on; 2: it cannot.

    Parameters
    ----------
    root
        The data folder, a pack of one, a video or a folder of videos.
    labels
        Folders of labels: class id maps, unless the folder is called as another kind: landmarks-dlib68, image,
        instances. Where there is no such folder, a kind is read from its usual one: keypoints from poses-openpose.
        KIND:FOLDER says which kind it is: landmarks-dlib68:faces; and a table says all of it, as configurations do:
        '{kind = "image", folder = "depth", maximum = 80.0, minimum = 0.1}'. By default seg_maps, or another kind where
        there is only that, or edges, which are computed, of videos without any.
    classes
        Number of class ids, 35 if it is not said; allowed in the maps are 0 to CLASSES - 1 and the id of ignored
        pixels. One number for all folders of maps, or one for each. Of numbers that are given, classes that never occur
        are warned of.
    ignore_id
        Id of pixels without a class; a negative number means that there are none. One for all folders of maps, or one
        for each.
    flow
        Flow files: none, files, auto (if there are any), or a table of what they hold: '{direction = "forward"}'.
    flow_folder
        Folder of flow files, by default flow.
    min_frames
        Sequences with fewer frames are an error.
    order
        How frames sort: by name (1, 10, 2), or natural, by the numbers in their names (1, 2, 10).
    every
        Open only every n-th frame, counted through all sequences; names are always compared in full. Neighbours in time
        are only compared with 1.
    threads
        Files decoded at once; by default one per core, at most 8.
    limit
        Findings to show; 0: all of them.
    strict
        Exit with 2 for warnings too.
    decode
        Look at all pixels of pictures too, which takes longer: damage that only shows in them, repeated frames, cuts,
        and labels that come some frames early or late. Labels and flow are always read in full.
    fps
        Frames per second of sequences that are no videos, to say how long they are.
    show
        A folder to write contact sheets to, one for a sequence: labels over frames, and over the frames before and
        after. It must be empty or not exist yet.
    """
    _given(root)
    with _typed_by_the_user():
        kinds = _label_kinds(root, _usual_labels(root) if labels is None else labels, classes or _CLASSES, ignore_id)
    with _typed_by_the_user(folder="--flow-folder"):
        teacher = _teacher(root, flow, flow_folder)
    with _typed_by_the_user():
        config = stored_at(root)(root=root, labels=kinds, flow=teacher, min_frames=min_frames, order=order)
    if show is not None:
        _show_sheets(config, show)
    report = _checked(config, every=every, threads=threads, declared=classes is not None, decode=decode, fps=fps)
    print_report(report, Console(), limit=limit)
    return EXIT_INPUT if report.errors or (strict and report.findings) else 0


def _checked(
    config: StoredConfig, *, every: int, threads: int | None, declared: bool, decode: bool, fps: float
) -> CheckReport:
    with show_progress("checking", unit="frames") as progress, _memory_suffices():
        return check_folder(
            config,
            every=every,
            threads=threads,
            progress=lambda unit, done, total: progress.update(done, total, what=_CHECKING[unit], unit=unit),
            declared=declared,
            decode=decode,
            fps=fps,
        )


def _show_sheets(config: StoredConfig, place: str) -> None:
    with show_progress("drawing", unit="sheets") as progress, _memory_suffices():
        done = write_sheets(config, expanded(place), progress=progress.update)
    of = f"{done.sheets} of {done.sequences} sequences shown in {place}"
    without = f"; none of {', '.join(done.failed[:3])}: files are missing or bad" if done.failed else ""
    Console().print(Text(shown(of + without)), soft_wrap=True)


@app.command
def render(
    root: str,
    *,
    world: _World = "street",
    sequences: int = 4,
    frames: int = 30,
    height: int = 128,
    width: int | None = None,
    split: Literal["train", "val"] = "train",
) -> int:
    """Write clips of a procedural world as a data folder: images, labels and exact flow.

    Labels are seg_maps: classes of the street, regions of faces, parts of dancers' bodies. Of the street a plain
    rendering is written too, as pictures in render/; of faces landmarks-dlib68; of dancers keypoints and densepose.

    Parameters
    ----------
    root
        The folder to write; it must be empty or not exist yet.
    world
        The street, or people: talking heads or dancers, two sequences of each.
    sequences
        Number of sequences.
    frames
        Frames of each.
    height
        Pixels.
    width
        Pixels; by default twice the height for the street, the height for people.
    split
        Which streets or people: those that training sees, or the held-out ones.
    """
    place = _given(root)
    with _typed_by_the_user():
        source = open_source(_world(world, sequences, frames, (height, width)), split)
    with show_progress("writing", unit="frames") as progress, _memory_suffices():
        written = write_folder(source, place, sequences=sequences, progress=progress.update)
    look = check_command(FolderConfig(root=root, labels=written_kinds(source), flow=FlowFilesConfig()), "train")
    Console().print(Text(shown(f"{written} frames in {root}; look at them with: {look}")), soft_wrap=True)
    return 0


@app.command
def pack(
    root: str,
    *,
    out: str,
    frames: Frames = "copy",
    order: Order = "name",
    quality: Annotated[int, _QUALITY] = 95,
    group: Annotated[int, _GROUP] = 8,
    shard_mb: Annotated[int, _SHARD_MB] = 256,
    threads: Annotated[int, _THREADS] = 4,
) -> int:
    """Pack a data folder into a few large files: shards as WebDataset reads them, and an index for random access.

    Everything in the folder is packed: pictures, labels, flow. Train on it with data.kind=shards data.root=OUT.

    Parameters
    ----------
    root
        The data folder, a video, or a folder of videos.
    out
        The folder to write; it must be empty or not exist yet.
    frames
        How pictures are stored: copied as they are (the same bits), or encoded anew as png, webp, jpeg or a video in
        which decoding can begin every GROUP frames. Labels and flow are always copied.
    order
        How frames sort: by name (1, 10, 2), or natural, by the numbers in their names (1, 2, 10). Where a video has
        labels in files, these belong to its frames in that order.
    quality
        Of pictures that are encoded anew; 100 is without loss, but of jpeg.
    group
        Frames of a video from one at which decoding can begin to the next.
    shard_mb
        Size of a shard, MiB.
    threads
        Pictures that are encoded at once.
    """
    place = _given(root)
    options = PackOptions(
        frames=frames,
        quality=quality,
        group=group,
        shard_bytes=shard_mb * 2**20,
        threads=threads,
        read_back=True,
    )
    with show_progress("packing", unit="frames") as progress, _memory_suffices():
        index_whole(place, lambda done, total: progress.update(done, total, what=_CHECKING["videos"], unit="videos"))
        layout = whole_layout(place, order)
        packed = pack_folder(
            layout,
            expanded(out),
            options,
            lambda done, total: progress.update(done, total, what="packing", unit="frames"),
        )
    console = Console()
    console.print(
        Text(shown(f"{counted(packed.frames, 'frame')} in {counted(packed.shards, 'shard')} in {out}")), soft_wrap=True
    )
    for folder, size in packed.after.items():
        console.print(Text(shown(f"  {folder}: {packed.before[folder] / 1e6:.3g} MB -> {size / 1e6:.3g} MB")))
    if packed.speed is not None:
        frames_per_second, mb_per_second = packed.speed.frames_per_second, packed.speed.mb_per_second
        console.print(f"  read back at random: {frames_per_second:.0f} frames/s, {mb_per_second:.0f} MB/s")
    return 0


def _world(world: _World, sequences: int, frames: int, size: tuple[int, int | None]) -> SourceConfig:
    """Return a world of so many sequences in each split, with all kinds of labels that it has."""
    height, width = size
    width = (2 * height if world == "street" else height) if width is None else width
    people = (sequences + 1) // 2 if sequences > 0 else sequences
    match world:
        case "street":
            return StreetConfig(
                height=height,
                width=width,
                sequence_length=frames,
                train_sequences=sequences,
                val_sequences=sequences,
                labels="both",
            )
        case "faces":
            return FacesConfig(
                height=height,
                width=width,
                sequence_length=frames,
                train_identities=people,
                val_identities=people,
                labels="both",
            )
        case "dancers":
            return DancersConfig(
                height=height,
                width=width,
                sequence_length=frames,
                train_identities=people,
                val_identities=people,
                labels="all",
            )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; the exit status is 0 for fine, 2 for findings and for wrong input (one line on stderr)."""
    return run_command(app, VsDataError, stopped="interrupted", label="vs-data", arguments=arguments)


_CLASSES = (SegMapsConfig().num_classes,)


def _given(root: str) -> Path:
    """Return the folder that somebody named."""
    if not root:
        raise VsDataError("ROOT: expected the path of a folder, got ''")
    return expanded(root)


def _usual_labels(root: str) -> tuple[str, ...]:
    """Return the labels of data of which nobody has said anything; of videos alone those that are computed."""
    usual = {kind().folder: word_of(kind()) for kind in KINDS if has_files(kind())}
    there = _there(root, list(usual))
    alone = SegMapsConfig().folder if stored_at(root) is FolderConfig else EdgesConfig().folder
    return (usual[there[0]] if there else alone,)


def _there(root: str, folders: Sequence[str]) -> list[str]:
    """Return those of some folders of labels or flow that are in a data folder or a pack, or beside videos."""
    if stored_at(root) is ShardsConfig:
        packed = folders_in(root)
        return [folder for folder in folders if folder in packed]
    place = expanded(root)
    beside = place.parent if place.is_file() else place
    return [folder for folder in folders if no_folder(beside / folder) is None]


def _teacher(root: str, flow: str, folder: str | None) -> FlowFilesConfig | NoFlowConfig:
    """Choose flow files where they are asked for, by name or table too, or where there are any."""
    said = flow_in_word(flow)
    if said is None and flow not in _FLOWS:
        raise ValueError(f"--flow: expected {', '.join(_FLOWS)} or a table {{...}}, got {flow!r}")
    files = said or FlowFilesConfig()
    files = files if folder is None else attrs.evolve(files, folder=folder)
    there = folder is not None or bool(_there(root, [files.folder]))
    return files if said or flow == "files" or (flow == "auto" and there) else NoFlowConfig()


def _label_kinds(
    root: str, words: tuple[str, ...], classes: tuple[int, ...], ignore_id: tuple[int, ...]
) -> tuple[LabelKind, ...]:
    """Return the kinds that the words of --labels say; those of class ids take the numbers in turn."""
    given = [(kind_in_table(word), *_kind_named(root, word)) for word in words]
    maps = [folder for whole, kind, folder in given if whole is None and kind is SegMapsConfig]
    numbers = zip(_for_each(maps, "classes", classes), _for_each(maps, "ignore-id", ignore_id), strict=True)
    return tuple(
        whole or (_seg_maps(folder, *next(numbers)) if kind is SegMapsConfig else kind(folder=folder))
        for whole, kind, folder in given
    )


def _kind_named(root: str, word: str) -> tuple[type[LabelKind], str]:
    """Return what a word names; where there is no folder called as the kind, the kind's usual one, if that is there."""
    kind, folder = kind_of(word)
    usual = kind().folder
    return kind, usual if folder == kind.kind and _there(root, [folder, usual]) == [usual] else folder


def _seg_maps(folder: str, classes: int, ignored: int) -> SegMapsConfig:
    return SegMapsConfig(folder=folder, num_classes=classes, ignore_id=None if ignored < 0 else ignored)


def _for_each(labels: Sequence[str], option: str, values: tuple[int, ...]) -> tuple[int, ...]:
    """Return one value per folder of labels; a single one stands for all."""
    if len(values) not in (1, len(labels)):
        raise ValueError(
            f"--{option}: expected one number, or one for each of {len(labels)} --labels, got {len(values)} of them"
        )
    return values * len(labels) if len(values) == 1 else values


_FLOWS = ("auto", "none", "files")

_CHECKING = {"videos": "opening", "bytes": "comparing shards", "frames": "checking"}
"""What a check counts -> what it is doing."""

_OPTIONS = {
    "flow.folder": "--flow-folder",
    "height": "--height",
    "ignore_id": "--ignore-id",
    "min_frames": "--min-frames",
    "num_classes": "--classes",
    "root": "ROOT",
    "sequence_length": "--frames",
    "train_identities": "--sequences",
    "train_sequences": "--sequences",
    "val_identities": "--sequences",
    "val_sequences": "--sequences",
    "width": "--width",
}
"""Field of a configuration -> the option that somebody typed."""


@contextmanager
def _typed_by_the_user(folder: str = "--labels") -> Iterator[None]:
    """Raise a refusal of an option's value as the user's mistake, which is told in one line, not as a bug.

    Args:
        folder: The option that says what the configurations call `folder`.
    """
    try:
        yield
    except ConfigError as error:
        options = {**_OPTIONS, "folder": folder}
        paths = (re.sub(r"^labels\[\d+\]\.", "", problem.path) for problem in error.problems)
        named = zip(error.problems, paths, strict=True)
        problems = [attrs.evolve(problem, path=options.get(path, path)) for problem, path in named]
        raise VsDataError("; ".join(dict.fromkeys(map(str, problems)))) from error
    except ValueError as error:
        raise VsDataError("; ".join(str(error).splitlines())) from error


@contextmanager
def _memory_suffices() -> Iterator[None]:
    """Take too little memory, which is no defect of the program, for what it is: one line."""
    try:
        yield
    except (MemoryError, cv2.error) as error:
        if getattr(error, "code", cv2.Error.StsNoMem) != cv2.Error.StsNoMem:
            raise
        raise VsDataError(f"the memory of this computer is too small: {error}; {_FIX_MEMORY}") from error
