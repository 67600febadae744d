"""The card of a model: what people should know of it, in Markdown, made from facts that the model holds."""

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, assert_never

import torch
from vs_config import shown
from vs_data import LabelKind, SegMapsConfig
from vs_data.labels import handler_of
from vs_metrics import LEVEL
from vs_nets import ClassMap, FloatMap
from vs_nets import LabelKind as NetworkKind

from vs_synthesis.config import ModelConfig
from vs_synthesis.contents import ModelContents
from vs_synthesis.directory import derived_facts

_DRAWN = {"street": "a procedural street", "faces": "procedural faces", "dancers": "procedural dancers"}
_KINDS = {"vid2vid": "a video", "few-shot": "a video of somebody whom a few pictures show"}
_SPECIAL = re.compile(r"[\\`*_{}\[\]()<>#+|~&$!@:.]")


def model_card(
    contents: ModelContents, *, name: str, dtype: torch.dtype, pictures: Mapping[str, str] | None = None
) -> str:
    """Return the text of a model's README.md.

    Args:
        contents: the model.
        name: of its directory, by which the commands in the text call it.
        dtype: of the averaged weights as they are written.
        pictures: files beside the text that show what it makes, each with what it is.
    """
    seen = _pictures(pictures or {})
    sections = {
        f"# {in_markdown(name)}": _what(contents),
        **({"## What it makes": seen} if seen else {}),
        "## Use it": _use(contents, name),
        "## Training": _training(contents),
        "## Labels": _labels(contents.config),
        "## Size": _size(contents, dtype),
        "## Scores": _scores(contents.provenance.get("metrics")),
        "## Limits": _limits(contents),
        "## Licence": [_licence(contents.provenance.get("licence"))],
    }
    return "\n".join(line for title, lines in sections.items() for line in (title, "", *lines, ""))


def in_markdown(text: object) -> str:
    """Return text from outside so that Markdown shows it as it is, in one line."""
    return _SPECIAL.sub(r"\\\g<0>", shown(text, 200))


def _what(contents: ModelContents) -> list[str]:
    return [
        f"A {contents.config.kind} model: labels come in, {_KINDS[contents.config.kind]} goes out. "
        "The weights are the average of the generator."
    ]


def _pictures(pictures: Mapping[str, str]) -> list[str]:
    shown_files = (f"![{in_markdown(title)}]({file})" for file, title in pictures.items())
    return ["\n\n".join(shown_files)] if pictures else []


def _training(contents: ModelContents) -> list[str]:
    said = contents.provenance
    known = _mapping(said.get("training"))
    rows = {
        "preset": said.get("preset"),
        "trained by": said.get("command"),
        "training steps": said.get("steps"),
        "begun from": said.get("begun_from"),
        "trained on": _DRAWN.get(str(said.get("data")), said.get("data")),
        "seeds": _seeds(contents.settings or {}),
        "precision of the training": said.get("level"),
        "begun": str(known["started"])[:10] if "started" in known else None,
        "time it took": said.get("took"),
        "machine": _machine(_mapping(known.get("environment"))),
        "run": said.get("run"),
        "imported from": _joined(said.get("imported"), "from", "file"),
        "adapted to": _joined(said.get("adapted"), "sequence"),
        "revision of the program": said.get("revision"),
    }
    found = [[key, in_markdown(value)] for key, value in rows.items() if value is not None]
    return _table(["", ""], found) if found else ["Nobody knows."]


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _seeds(settings: Mapping[str, Any]) -> str | None:
    found = {"weights and order": settings.get("seed"), "world": _mapping(settings.get("data")).get("seed")}
    return ", ".join(f"{seed} of the {what}" for what, seed in found.items() if type(seed) is int) or None


def _machine(environment: Mapping[str, Any]) -> str | None:
    """Return in general words what it was trained on, and with which PyTorch."""
    match environment:
        case {"gpus": [{"name": str(name)}, *others]}:
            machine = f"{1 + len(others)} x {name}"
        case {"cpus_usable": int(cores), "cpu": str(name)}:
            machine = f"{cores} {'core' if cores == 1 else 'cores'} of {name}"
        case _:
            return None
    torch_version = _mapping(environment.get("packages")).get("torch")
    return machine if torch_version is None else f"{machine}, PyTorch {torch_version}"


def _licence(licence: Any) -> str:
    if licence is None:
        return "Whoever trained these weights says what may be done with them: the model itself does not."
    return f"The weights and all else in this directory: {in_markdown(licence)}."


def _joined(known: Any, *names: str) -> str | None:
    """Return some values of a table, where it is one and has them all."""
    if not isinstance(known, Mapping) or not known.keys() >= set(names):
        return None
    return ", ".join(str(known[name]) for name in names)


def _is_drawn(contents: ModelContents) -> bool:
    return str(contents.provenance.get("data")) in _DRAWN


def _use(contents: ModelContents, name: str) -> list[str]:
    few, drawn = contents.config.kind == "few-shot", _is_drawn(contents)
    where = " --labels LABELS" + (" --references PICTURES" if few else "")
    command = f"hatch run eval:synthesize {shlex.quote(shown(name))}"
    note = "LABELS is a folder of label files or a video of labels" + (
        "; PICTURES are pictures of whom to show, with their labels." if few else "."
    )
    lines = [command, command + where] if drawn else [command + where]
    return [
        "In the directory that holds this one:",
        "",
        *(f"    {line}" for line in lines),
        "",
        note,
        "",
        "From Python:",
        "",
        "```python",
        *_example(contents.config, name),
        "```",
    ]


def _example(config: ModelConfig, name: str) -> Iterator[str]:
    yield from ("import torch", "import vs_synthesis", "", f"model = vs_synthesis.load_model({name!r})")
    blank = {kind.name: _blank(kind, config) for kind in config.label_spec.kinds}
    yield "labels = {" + ", ".join(f"{kind!r}: {made}" for kind, made in blank.items()) + "}"
    if config.kind == "few-shot":
        yield f"pictures = torch.zeros(1, 3, {config.height}, {config.width})  # of whom to show, in [-1, 1]"
        yield "theirs = {kind: label[None] for kind, label in labels.items()}"
        yield "stream = vs_synthesis.start(model, vs_synthesis.encode_subject(model, pictures, theirs))"
    else:
        yield "stream = vs_synthesis.start(model)"
    yield f"frame = stream(labels)  # (3, {config.height}, {config.width}) float32 in [-1, 1]; once for each frame"


def _blank(kind: NetworkKind, config: ModelConfig) -> str:
    match kind:
        case ClassMap():
            return f"torch.zeros({config.height}, {config.width}, dtype=torch.uint8)"
        case FloatMap():
            return f"torch.zeros({kind.channels}, {config.height}, {config.width})"
        case _:
            assert_never(kind)


def _labels(config: ModelConfig) -> Iterator[str]:
    palettes = derived_facts(config)["palettes"]
    for index, kind in enumerate(config.labels):
        if index:
            yield ""
        yield from _label(kind, palettes.get(kind.folder, ()))
    if config.face_crop is not None:
        yield from ("", "The face is cut out of pictures and labels before, by its landmarks.")


def _label(kind: LabelKind, colours: Sequence[str]) -> Iterator[str]:
    match kind:
        case SegMapsConfig():
            none = "" if kind.ignore_id is None else f", or {kind.ignore_id} for none"
            yield f"{in_markdown(kind.folder)}: one class id for each pixel, 0 to {kind.num_classes - 1}{none}."
            yield ""
            names = kind.class_names or ("",) * kind.num_classes
            classes = enumerate(zip(names, colours, strict=True))
            rows = [[str(index), in_markdown(name), colour] for index, (name, colour) in classes]
            yield from _table(["id", "class", "colour where it is shown"], rows)
        case _:
            yield f"{in_markdown(kind.folder)}: {handler_of(kind).says}."


def _size(contents: ModelContents, dtype: torch.dtype) -> list[str]:
    config = contents.config
    numbers = sum(tensor.numel() for tensor in contents.generator.values())
    rows = [
        ["frames", f"{config.height}x{config.width} pixels (height x width), {config.fps:g} a second"],
        ["other sizes", f"sides that {config.generator.stride} divides"],
        ["past frames that it looks at", str(config.past)],
        ["parameters of the generator", f"{numbers:,}"],
        ["their size", f"{numbers * dtype.itemsize:,} bytes in {str(dtype).removeprefix('torch.')}"],
        ["training weights", "in training.safetensors" if contents.training is not None else "left out"],
    ]
    return _table(["", ""], rows)


def _scores(metrics: Any) -> Iterator[str]:
    found = [_score_rows(part) for part in metrics] if isinstance(metrics, list | tuple) else []
    parts = [(said, rows) for said, rows in found if rows]
    if not parts:
        yield "None are known."
    for index, (said, rows) in enumerate(parts):
        if index:
            yield ""
        yield from (said, "", *_table(["of generated frames", "", "", "beside"], rows))
    if any("[" in value for _, rows in parts for _, value, *_ in rows):
        yield from ("", f"In brackets: {100 * LEVEL:.0f} % intervals by bootstrap over clips.")


def _score_rows(part: Any) -> tuple[str, list[list[str]]]:
    """Return what a part of the scores was measured on, in words, and its rows."""
    match part:
        case {"scores": Mapping() as scores, "clips": int(clips), "frames": int(frames), "command": str(command)}:
            rows = [
                [in_markdown(name), value, in_markdown(unit), _beside(score)]
                for name, score in scores.items()
                for value, unit in _value(score)
            ]
            shown_to = part.get("references")
            given = f", references of each: {shown_to}" if type(shown_to) is int else ""
            said = f"Held-out clips: {clips}, frames in all: {frames}{given}. Measured by: {in_markdown(command)}"
            return said, rows
        case _:
            return "", []


def _beside(score: Any) -> str:
    """Return what else was measured, as `real video 2.11`."""
    others = _mapping(_mapping(score).get("beside"))
    return ", ".join(f"{in_markdown(name)} {value:.4g}" for name, value in others.items() if isinstance(value, float))


def _value(score: Any) -> Iterator[tuple[str, str]]:
    match score:
        case {
            "value": int() | float() as value,
            "unit": str(unit),
            "interval": [int() | float() as a, int() | float() as b],
        }:
            yield f"{value:.4g} [{a:.4g}, {b:.4g}]", unit
        case {"value": int() | float() as value, "unit": str(unit)}:
            yield f"{value:.4g}", unit


def _limits(contents: ModelContents) -> list[str]:
    steps, said = contents.provenance.get("steps"), contents.provenance
    lines = [f"- It was trained on frames of {contents.config.height}x{contents.config.width} pixels alone."]
    match contents.settings:
        case {"run": {"steps": int(planned)}} if type(steps) is int and steps < planned:
            lines.append(f"- Its training was to take {planned} steps; these weights are those of step {steps}.")
    if _is_drawn(contents):
        lines.append(
            "- It was trained on drawn pictures of a made-up world: it has never seen a photograph, or a real person."
        )
    if not said.get("metrics"):
        lines.append("- Nobody has measured it, as far as this model knows.")
    return lines


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    lines = [heads, ["---"] * len(heads), *rows]
    return ["| " + " | ".join(line) + " |" for line in lines]
