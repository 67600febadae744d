"""What `package` does: write what a run has trained as a model directory, which needs neither the run nor its data."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import attrs
import torch
from rich.console import Console
from vs_config import DocumentError, read_json, report_error
from vs_synthesis import ModelContents, Which, build_averaged, find_run, model_card, read_trained, write_model

from vs_eval.errors import OptionError
from vs_eval.few_shot.tables import METHODS as SUBJECT_METHODS
from vs_eval.opening import say_warning, warn
from vs_eval.output import MARKER, beside, check_output, checkpoint_name, results_of
from vs_eval.report import METHODS, MOTION
from vs_eval.terminal import say
from vs_eval.written import Shown, check_held_out, evaluated, history_of, pictures_in, rounding

_LARGEST_REPORT = 2**28
"""Of a report.json, bytes."""

_GENERATED = "/generated"
_TITLES = {**MOTION, **SUBJECT_METHODS, **METHODS}
_BESIDE = {method: _TITLES[method] for method in ("class_mean", "repeated", "zero", "real")}
_MEGABYTE = 10**6


@attrs.frozen(kw_only=True)
class PackageRequest:
    """A request of the command line; see the command for what each option means."""

    run: Path | None
    out: Path | None
    checkpoint: Which
    dtype: Literal["float32", "float16", "bfloat16"]
    training: bool
    evaluate: bool = False
    licence: str | None = None
    max_mb: float | None = None


def package_model(request: PackageRequest, console: Console) -> Path:
    """Do what the command line asks for, and return the model's directory.

    Raises:
        OptionError: nobody knows where to, the weights are larger than asked for, or there is nothing to evaluate them
            on (and whatever reading runs and models, and writing models, raises).
    """
    path = find_run(say_warning).path if request.run is None else request.run
    contents = read_trained(path, checkpoint=request.checkpoint, training=request.training)
    build_averaged(contents)  # weights of another configuration are refused before anything is written
    out = _default_place(contents) if request.out is None else request.out
    _check_size(contents, request)
    licence = {} if request.licence is None else {"licence": request.licence}
    contents = _with(contents, {**history_of(contents), **licence})
    report = None if contents.checkpoint is None else results_of(contents, "eval") / checkpoint_name(contents)
    if request.evaluate:
        report = _evaluate_written(contents, request, out, report, console)
    contents, notices = _with_scores(contents, report)
    warn((*contents.notices, *notices))
    _write(out, contents, request, pictures_in(report) if "metrics" in contents.provenance else ())
    for file in sorted(out.iterdir()):
        say(console, f"{file}  {file.stat().st_size:,} bytes")
    say(console, f"model: {out}")
    return out


def _with(contents: ModelContents, facts: Mapping[str, Any]) -> ModelContents:
    return attrs.evolve(contents, provenance={**contents.provenance, **facts})


def _write(out: Path, contents: ModelContents, request: PackageRequest, pictures: tuple[Shown, ...] = ()) -> None:
    dtype: torch.dtype = getattr(torch, request.dtype)
    titles = {one.file: one.title for one in pictures}
    card = model_card(contents, name=out.resolve().name, dtype=dtype, pictures=titles)
    write_model(out, contents, dtype=dtype, card=card, pictures={one.file: one.data for one in pictures})


def _check_size(contents: ModelContents, request: PackageRequest) -> None:
    if request.max_mb is None:
        return
    dtype: torch.dtype = getattr(torch, request.dtype)
    training = contents.training
    large = () if training is None else (*training.generator.values(), *training.discriminator.values())
    size = sum(tensor.numel() for tensor in contents.generator.values()) * dtype.itemsize
    size += sum(tensor.nbytes for tensor in large)
    if size > request.max_mb * _MEGABYTE:
        hint = "train a smaller network, or try --dtype float16 and --no-training"
        raise OptionError("--max-mb", f"weights of {contents.path} would take {size / _MEGABYTE:.1f} MB; {hint}")


def _evaluate_written(
    contents: ModelContents, request: PackageRequest, out: Path, of_run: Path | None, console: Console
) -> Path:
    """Write a model without scores, evaluate what was written, and return the report; the run, if nobody has yet."""
    check_held_out(contents)
    check_output(beside(out, "eval") / "scores")
    unmeasured = {name: fact for name, fact in contents.provenance.items() if name != "metrics"}
    _write(out, attrs.evolve(contents, provenance=unmeasured), request)
    try:
        if of_run is not None and not (of_run / MARKER).exists():
            evaluated(contents, console)
        report = evaluated(read_trained(out), console)
    except KeyboardInterrupt:
        raise SystemExit(report_error(f"stopped; {out} was written, without scores", status=130)) from None
    if of_run is not None:
        before, after = (scores_of(read_json(each / MARKER, max_bytes=_LARGEST_REPORT)) for each in (of_run, report))
        for line in rounding(before, after, request.dtype):
            say(console, line)
    return report


def _default_place(contents: ModelContents) -> Path:
    if contents.checkpoint is None:
        raise OptionError("--out", f"{contents.path} is a model already; name the directory of the other one")
    return beside(contents.path, "model")


def _with_scores(contents: ModelContents, report: Path | None) -> tuple[ModelContents, tuple[str, ...]]:
    """Add the scores of a report, if there is one; and say what is wrong with it."""
    if report is None or not (path := report / MARKER).exists():
        return contents, ()
    try:
        metrics = scores_of(read_json(path, max_bytes=_LARGEST_REPORT))
    except DocumentError as error:
        return contents, (f"{path} {error.problems[0].message}; the model goes without scores",)
    if not metrics:
        return contents, (f"{path} has no scores of generated frames; the model goes without",)
    return _with(contents, {"metrics": metrics}), ()


def scores_of(report: Any) -> list[dict[str, Any]]:
    """Return the scores of generated frames in a report.json, and what they were measured on, part by part."""
    match report:
        case {"sections": list() as sections}:
            parts = [part for part in sections if _is_of_subjects(part)]
        case _:
            parts = [report]
    found = [scores for part in parts if (scores := _scores(part))]
    about = {key: report[key] for key in ("command", "measured", "data", "device") if key in report} if found else {}
    return [{**about, **scores} for scores in found]


def _is_of_subjects(part: Any) -> bool:
    """Say whether a section is one of subjects in their own motion: only there the truth is known of all data."""
    match part:
        case {"name": str(name)}:
            return name.startswith("references-")
        case _:
            return False


def _scores(part: Any) -> dict[str, Any]:
    match part:
        case {"scores": Mapping() as scores, "clips": list() as clips}:
            pass
        case _:
            return {}
    made = {name.removesuffix(_GENERATED): found for name, score in scores.items() for found in _generated(name, score)}
    kept = {measure: {**found, **_beside(measure, scores)} for measure, found in made.items()}
    frames = sum(clip["frames"] for clip in clips if isinstance(clip, Mapping) and type(clip.get("frames")) is int)
    given = {"references": part["references"]} if type(part.get("references")) is int else {}
    return {"clips": len(clips), "frames": frames, **given, "scores": kept} if kept else {}


def _beside(measure: str, scores: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """Return what else has a score by a measure, in words: what a generator has to beat, and the real video."""
    others = {title: scores.get(f"{measure}/{method}") for method, title in _BESIDE.items()}
    found = {
        title: score["value"]
        for title, score in others.items()
        if isinstance(score, Mapping) and type(score.get("value")) in (int, float)
    }
    return {"beside": found} if found else {}


def _generated(name: str, score: Any) -> list[dict[str, Any]]:
    match score:
        case {"value": int() | float() as value, "unit": str(unit)} if name.endswith(_GENERATED):
            interval = score.get("interval")
            return [{"value": value, "unit": unit, **({} if interval is None else {"interval": interval})}]
        case _:
            return []
