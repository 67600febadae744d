"""What a synthesis begins with: model, labels, references, a place for frames; checked before anything is written."""

import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import attrs
import vs_nets as nets
from torch import Tensor
from vs_config import option_path
from vs_data import AugmentConfig, LabelRequest, LabelSequence, ReferenceSubject, open_labels, open_references
from vs_data.geometry import apply_to_image, plan_geometry
from vs_data.pictures import read_rgb
from vs_data.views import to_tensor
from vs_metrics import SinkOptions, check_sink
from vs_runtime.errors import RunDirectoryError
from vs_synthesis import (
    Computing,
    Fit,
    Model,
    ModelContents,
    Which,
    build_model,
    encode_references,
    find_run,
    label_request,
    plan_fit,
    read_trained,
)
from vs_synthesis.fit import Way

from vs_eval.errors import OptionError
from vs_eval.opening import say_warning
from vs_eval.output import checkpoint_name, results_of
from vs_eval.synthesize.shipped import shipped_model
from vs_eval.videos import file_name

PIPE = "-"
"""Standard input as labels, standard output for frames."""

Format = Literal["mp4", "webm", "mkv", "png"]

_LARGEST = 8192


@attrs.frozen(kw_only=True)
class SynthesisRequest:
    """A request of the command line; see the command for what each option means."""

    model: Path | None = None
    labels: str | None = None
    references: str | None = None
    out: str | None = None
    format: Format | None = None
    beside: bool = False
    fps: float | None = None
    crf: int | None = None
    fit: Way | None = None
    size: str | None = None
    picture: str | None = None
    first_frame: Path | None = None
    frames: int | None = None
    checkpoint: Which = None
    device: Literal["auto", "cpu", "cuda"] = "auto"
    precision: Computing = "float32"


@attrs.frozen(kw_only=True, eq=False)
class Job:
    """A sequence to synthesise.

    Attributes:
        sequence: its labels.
        fit: how labels of their size are shown to the model.
        first_frame: (3, H, W) picture to go on from, or None.
        out: the file or folder for its frames; None: standard output.
        options: of a video.
    """

    sequence: LabelSequence
    fit: Fit
    first_frame: Tensor | None
    out: Path | None
    options: SinkOptions


@attrs.frozen(kw_only=True, eq=False)
class OpenedSynthesis:
    """A synthesis that can begin.

    Attributes:
        model: makes the frames.
        subject: of a few-shot model.
        jobs: the sequences.
        notices: what goes otherwise than one might expect, in words.
    """

    model: Model
    subject: nets.Subject | None
    jobs: tuple[Job, ...]
    notices: tuple[str, ...]


def open_synthesis(request: SynthesisRequest) -> OpenedSynthesis:
    """Find and check everything that a synthesis needs; nothing is written.

    Raises:
        OptionError: an option cannot be (and whatever opening models, labels and references raises).
    """
    path, fallen_back = (request.model, ()) if request.model is not None else _newest_or_shipped(request)
    contents = read_trained(path, checkpoint=request.checkpoint)
    how = attrs.evolve(
        label_request(contents.config, size=parse_size("--size", request.size), frames=request.frames),
        picture=parse_size("--picture", request.picture),
    )
    shown = _open_references(request, contents, how)
    how = attrs.evolve(how, subject=shown)
    sequences = open_labels(request.labels or _default_labels(contents), how, stdin=sys.stdin.buffer)
    places = _places(request, contents, sequences)
    wanted = None if shown is None else (shown.references.frames.shape[-2], shown.references.frames.shape[-1])
    fits = [plan_fit(sequence.size, contents.config, request.fit, wanted=wanted) for sequence in sequences]
    model = build_model(contents, device=request.device, precision=request.precision)
    jobs = tuple(
        _job(request, contents, sequence, fit, out) for sequence, fit, out in zip(sequences, fits, places, strict=True)
    )
    described = dict.fromkeys(fit.describe() for fit in fits)
    return OpenedSynthesis(
        model=model,
        subject=None if shown is None else encode_references(model, shown),
        jobs=jobs,
        notices=tuple(line for line in (*fallen_back, *contents.notices, *described) if line),
    )


def _newest_or_shipped(request: SynthesisRequest) -> tuple[Path, tuple[str, ...]]:
    """Return the run that saved a checkpoint last, or else a model that comes with the workspace, and says so.

    Raises:
        RunDirectoryError: there is neither, or a checkpoint is asked for, which models have none of.
    """
    try:
        return find_run(say_warning).path, ()
    except RunDirectoryError:
        asked = request.references is not None or (request.labels or "").startswith("faces:")
        model = shipped_model(of_people=asked)
        if model is None or request.checkpoint is not None:
            raise
        return model, (f"no run of yours has a checkpoint yet: {model}, which comes with vs, makes the frames",)


def _open_references(request: SynthesisRequest, contents: ModelContents, how: LabelRequest) -> ReferenceSubject | None:
    if contents.config.kind != "few-shot":
        if request.references is not None:
            raise OptionError("--references", f"{contents.path} is a {contents.config.kind} model, which looks at none")
        return None
    if request.references is None and request.labels is not None:
        hint = "name photographs (a.jpg,b.jpg), a folder, frames of a video (clip.mp4:3,7) or a world (faces:7)"
        raise OptionError(
            "--references", f"{contents.path} is a few-shot model, which needs examples of whom to show; {hint}"
        )
    return open_references(request.references or _default_references(contents), how)


def _default_labels(contents: ModelContents) -> str:
    """Return the world that the model was trained on, of a seed that it has not seen.

    Raises:
        OptionError: it was trained on none.
    """
    world, seed = _world(contents)
    return f"{world}:{seed + 1}"


def _default_references(contents: ModelContents) -> str:
    world, seed = _world(contents)
    return f"{world}:{seed + 2}"


def _world(contents: ModelContents) -> tuple[str, int]:
    match contents.settings:
        case {"data": {"kind": "street" | "faces" | "dancers" as world, "seed": int(seed)}}:
            return world, seed % 10**17
        case _:
            kinds = ", ".join(kind.folder for kind in contents.config.labels)
            hint = "name a folder of label files, a video of labels, or - for raw bytes"
            raise OptionError("--labels", f"{contents.path} takes {kinds} of no built-in world; {hint}")


def parse_size(option: str, text: str | None) -> tuple[int, int] | None:
    """Read `HEIGHTxWIDTH`."""
    if text is None:
        return None
    match = re.fullmatch(r"([0-9]{1,5})x([0-9]{1,5})", text)
    if match is None or not all(1 <= int(side) <= _LARGEST for side in match.groups()):
        raise OptionError(
            option, f"expected HEIGHTxWIDTH in pixels, at most {_LARGEST}, got {text!r}; 128x256 for example"
        )
    return int(match[1]), int(match[2])


def _places(
    request: SynthesisRequest, contents: ModelContents, sequences: Sequence[LabelSequence]
) -> list[Path | None]:
    """Return where the frames of each sequence go; None: to standard output."""
    if request.out == PIPE:
        if len(sequences) > 1:
            names = f"{len(sequences)} sequences"
            raise OptionError("--out", f"{names} do not fit into one pipe; name one of them with --labels, or a folder")
        _refuse_settings_of_files(request)
        return [None]
    out = None if request.out is None else option_path(request.out)
    if out is not None and len(sequences) == 1:
        return [out if request.format is None else _with_format(out, request.format)]
    if out is not None and out.suffix and not out.is_dir():
        raise OptionError(
            "--out", f"there are {len(sequences)} sequences; name a folder, and --format for their format"
        )
    folder = _beside(contents) if out is None else out
    return [folder / _file(sequence, request.format or "mp4") for sequence in sequences]


def _refuse_settings_of_files(request: SynthesisRequest) -> None:
    for name, value in (("--format", request.format), ("--fps", request.fps), ("--crf", request.crf)):
        if value is not None:
            raise OptionError(name, "frames on standard output are raw RGB, which has no such setting")


def _with_format(out: Path, form: Format) -> Path:
    wanted = "" if form == "png" else f".{form}"
    if out.suffix != wanted:
        raise OptionError("--format", f"{form} and the name {out} disagree; leave one of the two out")
    return out


def _file(sequence: LabelSequence, form: Format) -> str:
    return file_name(sequence.name) + ("" if form == "png" else f".{form}")


def _beside(contents: ModelContents) -> Path:
    """Return where frames go by default: into the run, or beside the model, which stays as it is."""
    folder = results_of(contents, "synthesis")
    return folder if contents.checkpoint is None else folder / checkpoint_name(contents)


def _job(
    request: SynthesisRequest, contents: ModelContents, sequence: LabelSequence, fit: Fit, out: Path | None
) -> Job:
    fps = request.fps or sequence.fps or contents.config.fps
    options = SinkOptions(fps=fps, crf=request.crf)
    if out is not None:
        check_sink(out, options)
    picture = None if request.first_frame is None else _first_frame(request.first_frame, fit)
    return Job(sequence=sequence, fit=fit, first_frame=picture, out=out, options=options)


def _first_frame(path: Path, fit: Fit) -> Tensor:
    """Read a picture to go on from, resized and cropped to the labels' own size as training does it."""
    picture = read_rgb(path)
    height, width = picture.shape[:2]
    geometry = plan_geometry((height, width), fit.own, AugmentConfig(), None)
    return to_tensor([apply_to_image(geometry, picture)])[0]
