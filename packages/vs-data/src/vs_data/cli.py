"""The command `vs-data`: look at data before training on it, or write some."""

import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from io import TextIOWrapper
from pathlib import Path
from types import FrameType
from typing import Annotated, Literal

import cv2
from cyclopts import App, CycloptsError, Parameter, validators
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text
from vs_config import shown

from vs_data.check import MAX_THREADS, check_folder
from vs_data.clips import REGIONS, ClipSource
from vs_data.errors import VsDataError
from vs_data.faces import FacesConfig, open_faces
from vs_data.flow import FlowFilesConfig, NoFlowConfig
from vs_data.folder import FolderConfig, check_command
from vs_data.labels import KINDS, LabelKind, LandmarksConfig, SegMapsConfig, kind_of
from vs_data.layout import expanded, no_folder
from vs_data.render import write_folder
from vs_data.report import print_report
from vs_data.street import StreetConfig, open_street

FINE, WRONG = 0, 2

_FIX_MEMORY = "end what else needs memory, or open fewer files at once: --threads 1 of data:check"

_SEVERAL = Parameter(consume_multiple=True, negative="")
_AT_LEAST_0 = Parameter(validator=validators.Number(gte=0))
_AT_LEAST_1 = Parameter(validator=validators.Number(gte=1))
_THREADS = Parameter(validator=validators.Number(gte=1, lte=MAX_THREADS))

app = App(
    name="vs-data",
    help="Look at data folders before training on them, or write one.",
    version_flags=[],
    result_action="return_value",
    suppress_keyboard_interrupt=False,
)


@app.command
def check(
    root: str,
    *,
    labels: Annotated[tuple[str, ...] | None, _SEVERAL] = None,
    classes: Annotated[tuple[int, ...] | None, _SEVERAL] = None,
    ignore_id: Annotated[tuple[int, ...], _SEVERAL] = (255,),
    flow: Literal["auto", "none", "files"] = "auto",
    flow_folder: str | None = None,
    min_frames: Annotated[int, _AT_LEAST_1] = 2,
    order: Literal["name", "natural"] = "name",
    every: Annotated[int, _AT_LEAST_1] = 1,
    threads: Annotated[int | None, _THREADS] = None,
    limit: Annotated[int, _AT_LEAST_0] = 0,
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
        Number of class ids, 35 if it is not said; allowed in the maps are 0 to CLASSES - 1 and the id of ignored
        pixels. One number for all folders of maps, or one for each. Of numbers that are given, classes that never occur
        are warned of.
    ignore_id
        Id of pixels without a class; a negative number means that there are none. One for all folders of maps, or one
        for each.
    flow
        Whether to check flow files; auto: if there is a folder of them.
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
    """
    place = _given(root)
    with _typed_by_the_user():
        kinds = _label_kinds(_usual_labels(place) if labels is None else labels, classes or _CLASSES, ignore_id)
        teacher = _teacher(place, flow, flow_folder)
        config = FolderConfig(root=root, labels=kinds, flow=teacher, min_frames=min_frames, order=order)
    with _progress("checking") as progress:
        report = check_folder(config, every=every, threads=threads, progress=progress, declared=classes is not None)
    print_report(report, Console(), limit=limit)
    return WRONG if report.errors or (strict and report.findings) else FINE


@app.command
def render(
    root: str,
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
    place = _given(root)
    with _typed_by_the_user():
        source = _world(world, split, sequences, frames, (height, width))
    with _progress("writing") as progress, _ended_cleanly():
        written = write_folder(source, place, sequences=sequences, progress=progress)
    look = check_command(FolderConfig(root=root, labels=_WRITTEN[world], flow=FlowFilesConfig()), "train")
    Console().print(Text(shown(f"{written} frames in {root}; look at them with: {look}")), soft_wrap=True)
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
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # what a terminal's encoding lacks is escaped
    try:
        status: int = app(arguments, exit_on_error=False, print_error=False) or FINE  # asked for help, it returns None
    except CycloptsError as error:
        return _end(" ".join(str(error).split()))  # its texts have paragraphs
    except (VsDataError, OSError) as error:
        return _end(error)
    except MemoryError as error:
        return _end(f"the memory of this computer is too small: {error}; {_FIX_MEMORY}")
    except cv2.error as error:
        if error.code != cv2.Error.StsNoMem:
            raise
        return _end(f"the memory of this computer is too small: {error}; {_FIX_MEMORY}")
    except KeyboardInterrupt:
        return _end("interrupted", 128 + signal.SIGINT)
    return status


def _end(text: object, status: int = WRONG) -> int:
    """Say on stderr why the command ends, and return its exit status."""
    print(f"vs-data: {shown(text)}", file=sys.stderr)
    return status


_CLASSES = (SegMapsConfig().num_classes,)


def _given(root: str) -> Path:
    """Return the folder that somebody named."""
    if not root:
        raise VsDataError("ROOT is empty, allowed: the path of a folder")
    return expanded(root)


def _usual_labels(root: Path) -> tuple[str, ...]:
    """Return the labels of a folder of which nobody has said anything."""
    usual, *others = (kind().folder for kind in KINDS)
    there = [folder for folder in (usual, *others) if no_folder(root / folder) is None]
    return (usual,) if usual in there or not there else (there[0],)


def _teacher(root: Path, flow: str, folder: str | None) -> FlowFilesConfig | NoFlowConfig:
    """Choose flow files where they are asked for, by name too, or where there are any."""
    files = FlowFilesConfig() if folder is None else FlowFilesConfig(folder=folder)
    there = folder is not None or no_folder(root / files.folder) is None
    return files if flow == "files" or (flow == "auto" and there) else NoFlowConfig()


@contextmanager
def _ended_cleanly() -> Iterator[None]:
    """Let SIGTERM end the block as an exception does, so that what is half done is undone."""

    def end(_signal: int, _frame: FrameType | None) -> None:
        raise SystemExit(128 + signal.SIGTERM)

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _label_kinds(words: tuple[str, ...], classes: tuple[int, ...], ignore_id: tuple[int, ...]) -> tuple[LabelKind, ...]:
    """Return the kinds that the words of --labels say; those of class ids take the numbers in turn."""
    named = [kind_of(word) for word in words]
    maps = [folder for kind, folder in named if kind is SegMapsConfig]
    numbers = zip(_for_each(maps, "classes", classes), _for_each(maps, "ignore-id", ignore_id), strict=True)
    return tuple(
        _seg_maps(folder, *next(numbers)) if kind is SegMapsConfig else kind(folder=folder) for kind, folder in named
    )


def _seg_maps(folder: str, classes: int, ignored: int) -> SegMapsConfig:
    return SegMapsConfig(folder=folder, num_classes=classes, ignore_id=None if ignored < 0 else ignored)


def _for_each(labels: Sequence[str], option: str, values: tuple[int, ...]) -> tuple[int, ...]:
    """Return one value per folder of labels; a single one stands for all."""
    if len(values) not in (1, len(labels)):
        raise ValueError(
            f"--{option} has {len(values)} values, allowed: one, or one for each of {len(labels)} --labels"
        )
    return values * len(labels) if len(values) == 1 else values


@contextmanager
def _typed_by_the_user() -> Iterator[None]:
    """Raise a refusal of an option's value as the user's mistake, which is told in one line, not as a bug."""
    try:
        yield
    except ValueError as error:
        raise VsDataError(str(error)) from error


@contextmanager
def _progress(what: str) -> Iterator[Callable[[int, int], None]]:
    """Show a bar on a terminal; stay silent in a pipe or a log."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
