"""The command `vs-data`: look at data before training on it, or write some."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import App, CycloptsError, Parameter
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text

from vs_data.check import check_folder
from vs_data.clips import REGIONS, ClipSource
from vs_data.errors import VsDataError
from vs_data.faces import FacesConfig, open_faces
from vs_data.flow import FlowFilesConfig, NoFlowConfig
from vs_data.folder import FolderConfig, check_command
from vs_data.labels import LabelKind, LandmarksConfig, SegMapsConfig, kind_of
from vs_data.render import write_folder
from vs_data.report import print_report
from vs_data.street import StreetConfig, open_street

FINE, WRONG = 0, 2

_SEVERAL = Parameter(consume_multiple=True, negative="")

app = App(
    name="vs-data",
    help="Look at data folders before training on them, or write one.",
    version_flags=[],
    result_action="return_value",
    suppress_keyboard_interrupt=False,
)


@app.command
def check(
    root: Path,
    *,
    labels: Annotated[tuple[str, ...] | None, _SEVERAL] = None,
    classes: Annotated[tuple[int, ...], _SEVERAL] = (35,),
    ignore_id: Annotated[tuple[int, ...], _SEVERAL] = (255,),
    flow: Literal["auto", "none", "files"] = "auto",
    flow_folder: str = "flow",
    min_frames: int = 2,
    every: int = 1,
    threads: int | None = None,
    limit: int = 0,
    strict: bool = False,
) -> int:
    """List everything that is wrong with a data folder, and what is in it.

    The folder holds images/SEQUENCE/FRAME.png (or .jpg, .jpeg, .webp), labels beside them, and optionally
    flow/SEQUENCE/FRAME.npz. Labels are seg_maps/SEQUENCE/FRAME.png with 8-bit class ids, or
    landmarks-dlib68/SEQUENCE/FRAME.json with 68 [x, y] pairs. Names must agree, and so must the sizes within a
    sequence. Exit status 0: it can be trained on; 2: it cannot.

    Parameters
    ----------
    root
        The data folder.
    labels
        Folders of labels: class id maps, or landmarks where the folder is called landmarks-dlib68. KIND:FOLDER says
        which kind it is: landmarks-dlib68:faces. By default seg_maps, or landmarks-dlib68 where there is only that.
    classes
        Number of class ids; allowed in the maps are 0 to CLASSES - 1 and the id of ignored pixels. One number for all
        folders of maps, or one for each.
    ignore_id
        Id of pixels without a class; a negative number means that there are none. One for all folders of maps, or one
        for each.
    flow
        Whether to check flow files; auto: if there is a folder of them.
    flow_folder
        Folder of flow files.
    min_frames
        Sequences with fewer frames are an error.
    every
        Open only every n-th frame, counted through all sequences; names are always compared in full.
    threads
        Files decoded at once; by default one per core, at most 8.
    limit
        Findings to show; 0: all of them.
    strict
        Exit with 2 for warnings too.
    """
    with _typed_by_the_user():
        kinds = _label_kinds(_usual_labels(root.expanduser()) if labels is None else labels, classes, ignore_id)
        files = flow == "files" or (flow == "auto" and (root.expanduser() / flow_folder).is_dir())
        teacher = FlowFilesConfig(folder=flow_folder) if files else NoFlowConfig()
        config = FolderConfig(root=str(root), labels=kinds, flow=teacher, min_frames=min_frames)
    with _progress("checking") as progress:
        report = check_folder(config, every=every, threads=threads, progress=progress)
    print_report(report, Console(), limit=limit)
    return WRONG if report.errors or (strict and report.findings) else FINE


@app.command
def render(
    root: Path,
    *,
    world: Literal["street", "faces"] = "street",
    sequences: int = 4,
    frames: int = 30,
    height: int = 128,
    width: int | None = None,
    split: Literal["train", "val"] = "train",
) -> int:
    """Write clips of a procedural world as a data folder: images, labels and exact flow.

    Labels are seg_maps: classes of the street, or regions of faces; of faces landmarks-dlib68 are written too.

    Parameters
    ----------
    root
        The folder to write; it must be empty or not exist yet.
    world
        The street, or talking heads: two sequences of each person.
    sequences
        Number of sequences.
    frames
        Frames of each.
    height
        Pixels.
    width
        Pixels; by default twice the height for the street, and the height for faces.
    split
        Which streets or people: those that training sees, or the held-out ones.
    """
    with _typed_by_the_user():
        source = _world(world, split, sequences, frames, (height, width))
    with _progress("writing") as progress:
        written = write_folder(source, root, sequences=sequences, progress=progress)
    look = check_command(FolderConfig(root=str(root), labels=_WRITTEN[world], flow=FlowFilesConfig()), "train")
    Console().print(Text(f"{written} frames in {root}; look at them with: {look}"), soft_wrap=True)
    return FINE


_WRITTEN: dict[str, tuple[LabelKind, ...]] = {
    "street": (SegMapsConfig(),),
    "faces": (LandmarksConfig(), SegMapsConfig(num_classes=len(REGIONS), ignore_id=None)),
}
"""What folders of the worlds hold."""


def _world(
    world: Literal["street", "faces"],
    split: Literal["train", "val"],
    sequences: int,
    frames: int,
    size: tuple[int, int | None],
) -> ClipSource:
    height, width = size
    if world == "street":
        width = 2 * height if width is None else width
        street = StreetConfig(
            height=height, width=width, sequence_length=frames, train_sequences=sequences, val_sequences=sequences
        )
        return open_street(street, split)
    people = (sequences + 1) // 2 if sequences > 0 else sequences
    faces = FacesConfig(
        height=height,
        width=height if width is None else width,
        sequence_length=frames,
        train_identities=people,
        val_identities=people,
        motions=2,
        labels="both",
    )
    return open_faces(faces, split)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; the exit status is 0 for fine, 2 for findings and for wrong input (one line on stderr)."""
    try:
        result = app(arguments, exit_on_error=False, print_error=False)
    except (CycloptsError, VsDataError) as error:
        print(f"vs-data: {' '.join(str(error).split())}", file=sys.stderr)
        return WRONG
    except KeyboardInterrupt:
        print("vs-data: interrupted", file=sys.stderr)
        return 130
    return result if isinstance(result, int) else FINE


def _usual_labels(root: Path) -> tuple[str, ...]:
    """The labels of a folder of which nobody has said anything."""
    maps, landmarks = SegMapsConfig().folder, LandmarksConfig().folder
    return (landmarks,) if (root / landmarks).is_dir() and not (root / maps).exists() else (maps,)


def _label_kinds(words: tuple[str, ...], classes: tuple[int, ...], ignore_id: tuple[int, ...]) -> tuple[LabelKind, ...]:
    """The kinds that the words of --labels say; those of class ids take the numbers in turn."""
    named = [kind_of(word) for word in words]
    maps = [folder for kind, folder in named if kind is SegMapsConfig]
    numbers = zip(_for_each(maps, "classes", classes), _for_each(maps, "ignore-id", ignore_id), strict=True)
    return tuple(
        LandmarksConfig(folder=folder) if kind is LandmarksConfig else _seg_maps(folder, *next(numbers))
        for kind, folder in named
    )


def _seg_maps(folder: str, classes: int, ignored: int) -> SegMapsConfig:
    return SegMapsConfig(folder=folder, num_classes=classes, ignore_id=None if ignored < 0 else ignored)


def _for_each(labels: Sequence[str], option: str, values: tuple[int, ...]) -> tuple[int, ...]:
    """One value per folder of labels; a single one stands for all."""
    if len(values) not in (1, len(labels)):
        raise ValueError(
            f"--{option} has {len(values)} values, allowed: one, or one for each of {len(labels)} --labels"
        )
    return values * len(labels) if len(values) == 1 else values


@contextmanager
def _typed_by_the_user() -> Iterator[None]:
    """A configuration that refuses an option's value is the user's mistake, not a bug: one line."""
    try:
        yield
    except ValueError as error:
        raise VsDataError(str(error)) from error


@contextmanager
def _progress(what: str) -> Iterator[Callable[[int, int], None]]:
    """A bar on a terminal; silence in a pipe or a log."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
