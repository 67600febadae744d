"""A model as it was written, looked at: its scores, what rounding has cost, and pictures of what it makes."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from vs_data import VsDataError
from vs_data.pictures import read_rgb
from vs_metrics import small_webp
from vs_runtime.run_directory import open_run, read_run_config
from vs_synthesis import ModelContents
from vs_training.config import TrainConfig

from vs_eval.errors import OptionError, VsEvalError
from vs_eval.few_shot.command import FewShotRequest, evaluate_few_shot
from vs_eval.files import ClipFiles, Picture
from vs_eval.opening import COMMANDS, Request, asked_for
from vs_eval.output import MARKER
from vs_eval.pages.clips import is_name
from vs_eval.pages.found import read_found
from vs_eval.pages.runs import look_at_run
from vs_eval.pages.settings import nearest_preset
from vs_eval.vid2vid import evaluate_vid2vid

_CLIPS = 2
_WIDTH = 1000
_LAST = "generated"
_PATHS = frozenset(("data.root", "data.val_root", "init.from", "objective.perceptual.path"))


@attrs.frozen(kw_only=True, eq=False)
class Shown:
    """A picture of what a model makes: its file's name, what it is, and the file."""

    file: str
    title: str
    data: bytes


def history_of(contents: ModelContents) -> dict[str, str]:
    """Return what only the run knows of a training: the command that repeats it, and the time that it took."""
    if contents.checkpoint is None:
        return {}
    found = {
        "command": _command_of(read_run_config(open_run(contents.path), TrainConfig), contents.provenance),
        "took": look_at_run(contents.path).took,
    }
    return {name: value for name, value in found.items() if value}


def _command_of(config: TrainConfig, provenance: Mapping[str, Any]) -> str | None:
    """Return what trains a preset as it was trained; None: it was none, or a path of the machine is part of it."""
    origin = nearest_preset(config) if provenance.get("preset") is not None else None
    if origin is None or any(one.path in _PATHS for one in origin.differences):
        return None
    return origin.command_for(config)


def check_held_out(contents: ModelContents) -> None:
    """See that held-out clips come with a model.

    Raises:
        OptionError: they do not.
    """
    match contents.settings:
        case {"data": {"kind": "street" | "faces" | "dancers"}}:
            return
        case _:
            command = f"{COMMANDS[contents.config.kind]} MODEL --data DIR"
            raise OptionError(
                "--evaluate", f"{contents.path} was trained on data that are no part of it; use {command}"
            )


def evaluated(contents: ModelContents, console: Console) -> Path:
    """Evaluate a run or a model as its own command does, and return the report."""
    checkpoint = asked_for(contents)
    request = Request(run=contents.path, out=None, checkpoint=checkpoint, device="auto", clips=None, frames=None)
    if contents.config.kind == "few-shot":
        return evaluate_few_shot(FewShotRequest(common=request), console)
    return evaluate_vid2vid(request, console)


def rounding(before: Sequence[Mapping[str, Any]], after: Sequence[Mapping[str, Any]], dtype: str) -> Iterator[str]:
    """Say what PSNR the averaged weights had, and have as they were written, for each part of the scores.

    Args:
        before: scores of the run.
        after: scores of the model.
        dtype: of the model's weights.
    """
    same = ("clips", "frames", "references")
    for one, other in zip(before, after, strict=False):
        match one["scores"], other["scores"]:
            case {"psnr": {"value": was}}, {"psnr": {"value": now}} if all(one.get(k) == other.get(k) for k in same):
                of = f", {one['references']} references" if "references" in one else ""
                yield f"PSNR{of}: {was:.4f} dB of the run, {now:.4f} dB of the model in {dtype} ({now - was:+.4f})"
            case _:
                yield "the run was evaluated on other clips: what rounding has cost is not known"


def pictures_in(report: Path | None) -> tuple[Shown, ...]:
    """Return pictures of a report, smaller: of its first clips what is real and generated, and several subjects.

    There are none where it is damaged.
    """
    if report is None:
        return ()
    try:
        found = read_found(report / MARKER)
        strips = [_strip(report, files) for files in found.parts[0].files[:_CLIPS] if is_name(files.strip)]
        pictures = [_picture(report, one) for part in found.parts for one in part.pictures if is_name(one.file)]
        return (*strips, *pictures)
    except (VsEvalError, VsDataError, OSError):
        return ()


def _strip(report: Path, files: ClipFiles) -> Shown:
    """Return a strip up to what is generated: what the generator estimates on the way is for the report alone."""
    pixels, titles = read_rgb(report / files.strip), [panel.title for panel in files.panels]
    if _LAST in titles:
        pixels = pixels[:, : pixels.shape[1] * (1 + titles.index(_LAST)) // len(titles)]
    return _small(files.strip, f"Frames of {files.name}, which it has not seen", pixels)


def _picture(report: Path, picture: Picture) -> Shown:
    return _small(picture.file, picture.title, read_rgb(report / picture.file))


def _small(file: str, title: str, pixels: NDArray[np.uint8]) -> Shown:
    return Shown(file=f"{Path(file).stem}.webp", title=title, data=small_webp(pixels, width=_WIDTH))
