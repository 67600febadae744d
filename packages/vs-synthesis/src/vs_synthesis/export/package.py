"""An export as a directory: programs, a manifest that tells all about them, and an example that runs them."""

import importlib.metadata
import json
import tempfile
from collections.abc import Callable, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any, assert_never, get_args

import attrs
import torch
import vs_nets as nets
from torch import nn
from vs_config import to_document
from vs_runtime import check_place, marked_directory

from vs_synthesis.directory import derived_facts
from vs_synthesis.export.drift import TOLERANCE, Drift, measure_drift
from vs_synthesis.export.errors import ExportError
from vs_synthesis.export.formats import (
    ONNX_OPSET,
    Format,
    RunProgram,
    check_format,
    open_program,
    suffix_of,
    trace,
    write_program,
)
from vs_synthesis.export.parting import Probed, find_parting
from vs_synthesis.export.plan import MAX_SIDE, Made, Phase, Plan, make_plan
from vs_synthesis.export.steps import MOTION
from vs_synthesis.fit import Size
from vs_synthesis.model import Model

MARKER = "manifest.json"
"""The file that makes a directory an export."""

EXPORT_FORMAT = 1
"""Version of what is written, under the key `export_format`."""

_MOTION = {
    "inputs": list(MOTION),
    "flow": "(1, 2, H, W) pixels, x then y, y down: where in the frame before a pixel of this frame was",
    "confidence": "(1, 1, H, W) from 0 to 1: 0 where that is not known; the first frame takes neither",
}
"""What is said of the motion that a model is given."""

_WHAT = "package of programs"
_EXAMPLES = "examples"


@attrs.frozen(kw_only=True)
class ExportRequest:
    """An export as it is asked for.

    Attributes:
        form: the format.
        sizes: of the frames, programs for each; empty: programs for any size, if the model can take any.
        references: how many example frames the subject of a few-shot model has.
        frames: how many frames it is tried on, in closed loop.
    """

    form: Format
    sizes: tuple[Size, ...] = ()
    references: int = 1
    frames: int = 300


Watch = Callable[[str, int], None]
"""Is told what is begun, and how many things there are to do in all."""


@attrs.frozen(kw_only=True, eq=False)
class Export:
    """An export that was written.

    Attributes:
        path: its directory.
        plans: its programs, for each size.
        drifts: how far it strays from the model, for each size.
    """

    path: Path
    plans: tuple[Plan, ...]
    drifts: tuple[Drift, ...]


def check_export(out: Path, request: ExportRequest) -> None:
    """See, before a model is read, that an export can be written.

    Raises:
        ExportError: the format cannot be written here, or the directory is named as if it were a program.
        PlaceError: something else is there.
    """
    check_format(request.form)
    if out.suffix in map(suffix_of, get_args(Format)) and not out.is_dir():
        what = "an export is a directory: the first frame, those after it and a subject are programs of their own"
        raise ExportError(f"--out {out}: {what}; name {out.stem}-{request.form} for example")
    check_place(out, marker=MARKER, what=_WHAT)


def export_model(model: Model, out: Path, request: ExportRequest, watch: Watch = lambda *_: None) -> Export:
    """Write a model as programs that run without us, after they have run beside it in closed loop.

    Args:
        model: on the CPU, in float32.
        out: the directory, which is written whole or not at all; an export that was there is replaced.
        request: in which format, for which sizes.
        watch: is told how far it has come.

    Raises:
        ExportError: the request is not one for this model, the format cannot be written here, or the programs do not
            do what the model does: then the message names the layer.
        PlaceError: the directory cannot be written, or has something else in it.
    """
    check_export(out, request)
    plans = tuple(make_plan(model, references=request.references, size=size) for size in request.sizes or (None,))
    total = sum(len(plan.phases) + request.frames for plan in plans)
    with marked_directory(out, marker=MARKER, what=_WHAT) as draft:
        written = _write_programs(plans, draft, request.form, lambda what: watch(what, total))
        drifts = []
        for plan, programs in zip(plans, written, strict=True):
            size = plan.size or plan.trained
            drift = measure_drift(
                model, plan, programs, size=size, frames=request.frames, watch=lambda: watch("in closed loop", total)
            )
            if drift.bad is not None:
                raise ExportError(_complaint(plan, drift, drift.bad, request.form, draft))
            drifts.append(drift)
        manifest = _manifest(model, plans, drifts, request)
        (draft / MARKER).write_text(json.dumps(manifest, indent=1, allow_nan=False) + "\n", "utf-8")
        _write_example(draft, request.form)
    return Export(path=out, plans=plans, drifts=tuple(drifts))


def _write_programs(
    plans: Sequence[Plan], draft: Path, form: Format, watch: Callable[[str], None]
) -> list[dict[str, RunProgram]]:
    """Write all programs; return what runs them, by phase, for each plan."""
    shared: dict[str, int] = {}
    written = []
    for plan in plans:
        programs = {}
        for phase in plan.phases:
            watch(f"{form}: {phase.name}")
            programs[phase.name] = _write_step(plan, phase, phase.step, draft / _file(plan, phase, form), form, shared)
        written.append(programs)
    return written


def _write_step(
    plan: Plan,
    phase: Phase,
    step: nn.Module,
    path: Path,
    form: Format,
    shared: dict[str, int],
    more: Sequence[str] = (),
) -> RunProgram:
    """Write a step of a phase as a program, with `more` outputs after those of the phase; return what runs it."""
    outputs = [*(value.name for value in phase.outputs), *more]
    inputs = [value.name for value in phase.inputs]
    write_program(trace(step, phase.inputs, plan), form, path, inputs=inputs, outputs=outputs, shared=shared)
    return open_program(path, form)


def _file(plan: Plan, phase: Phase, form: Format) -> str:
    size = "" if plan.size is None else f"-{plan.size[0]}x{plan.size[1]}"
    return f"{phase.name}{size}{suffix_of(form)}"


def _complaint(plan: Plan, drift: Drift, bad: Made, form: Format, draft: Path) -> str:
    """Say which frame is too far off, and at which layer its step and the program part from the same past."""
    number = len(drift.exported.largest)
    probed = Probed(bad.phase.step)
    with torch.inference_mode():
        probed(*bad.inputs)
    layers = [f"layer_{i}" for i in range(len(probed.layers))]
    with tempfile.TemporaryDirectory(dir=draft) as directory:
        path = Path(directory) / f"probed{suffix_of(form)}"
        run = _write_step(plan, bad.phase, probed, path, form, {}, layers)
        parting = find_parting(probed, bad.inputs, run)
    if parting is None:
        where = "from the same past no layer parts: rounding grows from frame to frame"
    else:
        where = f"from the same past they part at {parting.layer} (relative difference {parting.difference:.2g})"
    off = f"{drift.exported.largest[-1]:.3g} of {TOLERANCE:.3g} that are allowed, where frames reach from -1 to 1"
    return f"frame {number} of the program {bad.phase.name!r} is not the model's: it is off by {off}; {where}"


def _manifest(model: Model, plans: Sequence[Plan], drifts: Sequence[Drift], request: ExportRequest) -> dict[str, Any]:
    config, first = model.config, plans[0]
    return {
        "export_format": EXPORT_FORMAT,
        "format": request.form,
        "kind": config.kind,
        "frame": {"colours": "RGB", "range": [-1, 1]},
        "fps": config.fps,
        "size": {
            "trained": list(first.trained),
            "stride": first.stride,
            "fixed": None if first.size is None else [list(plan.size or ()) for plan in plans],
            "least": list(first.least),
            "largest": MAX_SIDE if first.size is None else None,
        },
        "references": None if first.subject is None else request.references,
        "labels": [_label(i, kind, model) for i, kind in enumerate(model.labels.kinds)],
        "motion": _MOTION if model.config.takes_motion else None,
        "label_files": [to_document(kind) for kind in config.labels],
        "frames": [phase.name for phase in first.frames],
        "programs": [_program(plan, phase, request.form) for plan in plans for phase in plan.phases],
        "check": [drift.document() for drift in drifts],
        "versions": _versions(request.form),
        "provenance": dict(model.contents.provenance),
    }


def _label(index: int, kind: nets.LabelKind, model: Model) -> dict[str, Any]:
    named = {"input": f"label_{index}", "name": kind.name}
    match kind:
        case nets.ClassMap():
            ids = {"classes": kind.classes, "ignore_id": kind.ignore_id, "ignored_has_channel": kind.dont_care}
            return {**named, "ids": ids, "palette": derived_facts(model.config)["palettes"][kind.name]}
        case nets.FloatMap():
            return {**named, "maps": {"channels": kind.channels}}
        case _ as never:
            assert_never(never)


def _program(plan: Plan, phase: Phase, form: Format) -> dict[str, Any]:
    return {
        "phase": phase.name,
        "file": _file(plan, phase, form),
        "size": None if plan.size is None else list(plan.size),
        "inputs": [value.document() for value in phase.inputs],
        "outputs": [value.document() for value in phase.outputs],
    }


def _versions(form: Format) -> dict[str, Any]:
    packages = ("torch", "vs-synthesis", *(("onnx", "onnxruntime") if form == "onnx" else ()))
    versions: dict[str, Any] = {name: importlib.metadata.version(name) for name in packages}
    return {**versions, "onnx_opset": ONNX_OPSET} if form == "onnx" else versions


def _write_example(draft: Path, form: Format) -> None:
    name = "run_onnx.py" if form == "onnx" else "run_torch.py"
    text = (files("vs_synthesis.export") / _EXAMPLES / name).read_text("utf-8")
    (draft / _EXAMPLES).mkdir()
    (draft / _EXAMPLES / name).write_text(text, "utf-8")
