"""The command `extract`: label frames by a network or program that somebody brings."""

import shlex
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import attrs
from cyclopts import Parameter
from rich.console import Console
from rich.text import Text
from vs_config import ConfigError, Range, option_path, shown
from vs_config.amounts import show_bytes
from vs_config.commands import option_of
from vs_config.progress import show_progress

from vs_data.errors import DataError
from vs_data.extract.labelling import Labeller, label_by_network
from vs_data.extract.networks import Network
from vs_data.extract.opening import open_network
from vs_data.extract.options import ExtractKind, InputOptions, OutputOptions
from vs_data.extract.places import FrameForm, Place, find_place
from vs_data.extract.programs import label_by_program, words_of
from vs_data.extract.run import Extraction, Wanted, extract_labels
from vs_data.extract.written import in_words, kind_written
from vs_data.fields import folder_name
from vs_data.findings import counted
from vs_data.flow import NoFlowConfig, ThereAndBackConfig
from vs_data.folder import check_command
from vs_data.layout import IMAGES
from vs_data.names import Order

_THREADS = option_of(Range(kind=int, low=0, high=256))
_SECONDS = option_of(Range(kind=float, low=0.1, high=86400))
_PATH = Parameter(converter=lambda _, tokens: option_path(tokens[0].value))
_TOGETHER = Parameter(name="*")


@attrs.frozen(kw_only=True)
class _Folder:
    """The name of a folder of labels, which is checked as those of configurations are."""

    folder: str = folder_name("labels", "folder of the labels")


def extract(
    source: Annotated[Path | None, _PATH] = None,
    *,
    kind: ExtractKind | None = None,
    model: Annotated[Path | None, _PATH] = None,
    program: str | None = None,
    folder: str | None = None,
    out: Annotated[Path | None, _PATH] = None,
    frames: FrameForm = "png",
    order: Order = "name",
    device: Literal["cpu", "cuda"] = "cpu",
    threads: Annotated[int, _THREADS] = 0,
    timeout: Annotated[float, _SECONDS] = 60.0,
    inspect: Annotated[bool, Parameter(negative="")] = False,
    given: Annotated[InputOptions, _TOGETHER] = InputOptions(),  # noqa: B008 - frozen
    wanted: Annotated[OutputOptions, _TOGETHER] = OutputOptions(),  # noqa: B008 - frozen
) -> int:
    """Label every frame of a data folder or video by a network or program of yours, beside the frames.

    A network is an ONNX file or an exported program of PyTorch; shapes and types in it say how frames are given, and
    what its output is, as far as they can. A program gets the frames on its standard input and writes labels: see the
    README. Each sequence is written as a whole; called again, the command goes on with those that have no labels yet.

    Parameters
    ----------
    source
        The data folder, which holds images/, or a video.
    kind
        What labels are.
    model
        The network: an ONNX file, or what torch.export.save writes (.pt2).
    program
        In its place, a command with its arguments, in one word; {width} and {height} in it become those of frames.
    folder
        The labels' folder, by default called as the kind.
    out
        A data folder, which a video becomes a sequence of; without it, the video stays where it is, and the labels go
        beside it, as data of kind video are read.
    frames
        What the frames of a video become in there: pictures, or a copy of the video.
    order
        How frames sort: by name (1, 10, 2), or natural, by the numbers in their names (1, 2, 10).
    device
        What computes the network.
    threads
        That compute it on a CPU; 0: one for each core.
    timeout
        Seconds after which a program of which nothing is heard is ended.
    inspect
        Only list what goes into the model and comes out of it.
    """
    if (model is None) == (program is None):
        raise DataError("expected --model FILE (.onnx, .pt2) or --program COMMAND, one of both")
    if inspect:
        _inspect(_opened(model, device, threads))
        return 0
    if source is None or kind is None:
        raise DataError("expected SOURCE and --kind")
    place = find_place(source, out, frames, order)
    labeller, made_by = _labeller(model, program, kind, given, wanted, (device, threads, timeout))
    task = Wanted(kind=kind, folder=_folder(kind, folder), options=wanted, made_by=made_by)
    with show_progress("extracting", unit="labels") as progress:
        done = extract_labels(place, labeller, task, progress.update)
    _print_summary(place, task, done)
    return 0


def _folder(kind: ExtractKind, said: str | None) -> str:
    """Return the name of the folder of labels: as it is said, or as the kind."""
    try:
        name = _Folder(folder=kind if said is None else said).folder
    except ConfigError as error:
        raise DataError(f"--{error}") from None
    if name == IMAGES:
        raise DataError(f"--folder: {IMAGES} is where the frames are", fix="choose another one")
    return name


def _opened(model: Path | None, device: Literal["cpu", "cuda"], threads: int) -> Network:
    if model is None:
        raise DataError("--inspect looks into a model", fix="name it by --model")
    return open_network(model, device, threads)


def _inspect(network: Network) -> None:
    console = Console()
    for title, values in (("input", network.inputs), ("output", network.outputs)):
        for value in values:
            console.print(Text(f"{title:<7} {value}"), soft_wrap=True)


def _labeller(
    model: Path | None,
    program: str | None,
    kind: ExtractKind,
    given: InputOptions,
    wanted: OutputOptions,
    how: tuple[Literal["cpu", "cuda"], int, float],
) -> tuple[Labeller, dict[str, Any]]:
    """Return what labels, and what there is to know of it: labels that were made otherwise are not gone on with."""
    device, threads, timeout = how
    options = {"kind": kind, **_said(wanted)}
    if program is not None:
        words = words_of(program)
        return label_by_program(words, timeout), {"program": list(words), **options}
    network = _opened(model, device, threads)
    trust = {"confidence": ThereAndBackConfig.kind} if kind == "flow" else {}
    made_by = {"model": network.digest, **_said(given), **options, **trust}
    return label_by_network(network, given, wanted, kind), made_by


def _said(options: InputOptions | OutputOptions) -> dict[str, Any]:
    """Return options as JSON gives them back."""
    return {
        name: list(value) if type(value) is tuple else value
        for name, value in attrs.asdict(options).items()
        if name != "batch"  # changes nothing
    }


def _print_summary(place: Place, wanted: Wanted, done: Extraction) -> None:
    made = f"{counted(done.labels, 'label')} of {counted(done.sequences, 'sequence')}"
    rate = f", {done.labels / max(done.seconds, 1e-9):.3g} a second" if done.labels else ""
    before = f"; {counted(done.there, 'sequence')} had labels already" if done.there else ""
    lines = (
        f"{place.root / wanted.folder}: {made} in {done.seconds:.3g} s{rate}{before}; {_peak()}",
        in_words(done.tally, wanted.kind),
        _next_step(place, wanted, done),
    )
    for line in lines:
        Console().print(Text(shown(line)), soft_wrap=True)


def _peak() -> str:
    """Say how much memory this process and the greatest of its programs have held at most."""
    try:
        import resource  # here, because Windows has none
    except ImportError:
        return "nobody knows the memory"
    unit = 1 if sys.platform == "darwin" else 1024
    own, programs = (
        unit * resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )
    # A program begins as a copy of this process: what is less says nothing of it.
    return f"{show_bytes(own)} of memory at most" + (f", a program {show_bytes(programs)}" if programs > own else "")


def _next_step(place: Place, wanted: Wanted, done: Extraction) -> str:
    """Say how to check the labels, or what has to be said for that in a configuration."""
    look = "look at them with: "
    if wanted.kind == "flow":
        words = ["hatch", "run", "data:check", str(place.settings.root), "--flow-folder", wanted.folder]
        return look + shlex.join(words)
    written = kind_written(done.tally, wanted.kind, wanted.folder)
    if written is not None:
        return look + check_command(attrs.evolve(place.settings, labels=(written,), flow=NoFlowConfig()), "train")
    if wanted.kind == "keypoints" and done.tally.parts == 0:
        return "nobody was found in any frame: see --min-confidence, --activation, --input-range, --mean and --std"
    if wanted.kind == "keypoints":
        points = counted(done.tally.parts, "point")
        return f"no built-in skeleton has {points}: say yours in the configuration of the kind, as `own`"
    return "class ids are below 255: say what the others are in the configuration of the kind, as `map`"
