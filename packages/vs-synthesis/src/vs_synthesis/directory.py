"""Model directories: what a training leaves to the world.

    model.json                the generator's shape, how files become its input, where it comes from, checksums
    generator.safetensors     the averaged generator
    training.safetensors      the generator before averaging and the discriminators, to go on from; may be left out
    README.md                 a card for people, and the pictures in it

Nothing is ever unpickled, and no file is used whose checksum does not hold.
"""

import hashlib
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs
import safetensors
import safetensors.torch
import torch
from torch import Tensor
from vs_config import ConfigError, DocumentError, load_config, read_json, shown, to_document
from vs_config.files import read_regular
from vs_metrics import palette_for
from vs_nets import ClassMap
from vs_runtime import marked_directory

from vs_synthesis.config import ModelConfig
from vs_synthesis.contents import ModelContents, TrainingWeights, narrowed
from vs_synthesis.errors import ModelError

MARKER = "model.json"
"""The file that makes a directory a model."""

MODEL_FORMAT = 1
"""Version of what is written, under the key `model_format`."""

_GENERATOR, _TRAINING, CARD = "generator.safetensors", "training.safetensors", "README.md"
_NETWORKS = ("generator", "discriminator")
_SEAL = "sha256"
_MAX_BYTES = 2**22
"""Of a model.json; ours have some thousand."""

_DTYPES = ("float32", "float16", "bfloat16")
_UNREADABLE = (safetensors.SafetensorError, ValueError, KeyError, TypeError)


def is_model(path: Path) -> bool:
    """Say whether a directory is a model, or means to be one."""
    return (path / MARKER).exists()


def write_model(
    path: Path,
    contents: ModelContents,
    *,
    dtype: torch.dtype = torch.float32,
    card: str = "",
    pictures: Mapping[str, bytes] | None = None,
) -> None:
    """Write a model directory, whole or not at all; one that was there is replaced.

    Args:
        path: where.
        contents: what; `path`, `checkpoint` and `notices` of it are not written.
        dtype: of the averaged weights; those that training goes on from stay float32.
        card: the text of README.md; empty: there is none.
        pictures: files that it shows, by their names.

    Raises:
        ModelError: a weight is too large for the format.
        PlaceError: the directory cannot be written, or has something else in it.
    """
    files = {_GENERATOR: narrowed(contents.generator, dtype, contents.path)}
    if contents.training is not None:
        files[_TRAINING] = _joined(contents.training)
    encoded = {name: safetensors.torch.save(_own(tensors)) for name, tensors in files.items()}
    document = {
        "model_format": MODEL_FORMAT,
        **to_document(contents.config),
        "dtype": str(dtype).removeprefix("torch."),
        "derived": derived_facts(contents.config),
        "provenance": dict(contents.provenance),
        "settings": None if contents.settings is None else dict(contents.settings),
        "files": {name: {_SEAL: _digest(data), "bytes": len(data)} for name, data in encoded.items()},
    }
    text = json.dumps(_sealed(document), indent=1, allow_nan=False) + "\n"
    with marked_directory(path, marker=MARKER, what="model") as draft:
        for name, data in {**encoded, **(pictures or {})}.items():
            (draft / name).write_bytes(data)
        if card:
            (draft / CARD).write_text(card, "utf-8")
        (draft / MARKER).write_text(text, "utf-8")


def read_model(path: Path, *, training: bool = False) -> ModelContents:
    """Read a model directory.

    Args:
        path: where.
        training: also read what training goes on from, if it is there.

    Raises:
        ModelError: it is none, is of another version, or damaged.
    """
    document = _read_document(path)
    return ModelContents(
        path=path,
        config=_config(path, document),
        generator=_read_weights(path, _GENERATOR, document),
        training=_split(path, document) if training and _TRAINING in document["files"] else None,
        provenance=document["provenance"],
        settings=document["settings"],
    )


def derived_facts(config: ModelConfig) -> dict[str, Any]:
    """Return what follows from a configuration, for those who read model.json without this program."""
    spec = config.label_spec
    classes = {kind.name: kind.classes for kind in spec.kinds if isinstance(kind, ClassMap)}
    return {
        "kind": config.kind,
        "stride": config.generator.stride,
        "past_frames": config.past,
        "label_channels": spec.channels,
        "palettes": {name: [_hexadecimal(colour) for colour in palette_for(n)] for name, n in classes.items()},
    }


def _hexadecimal(colour: tuple[int, int, int]) -> str:
    return "#{:02x}{:02x}{:02x}".format(*colour)


def _read_document(path: Path) -> Mapping[str, Any]:
    """Read model.json, every value of which is of the kind that it should be."""
    if not path.is_dir():
        raise ModelError(path, "there is no such directory")
    try:
        document: Any = read_json(path / MARKER, max_bytes=_MAX_BYTES)
    except DocumentError as error:
        raise ModelError(path, f"not a model: {MARKER} {error.problems[0].message}") from None
    found = document.get("model_format") if type(document) is dict else None
    if type(found) is not int:
        raise ModelError(path, f"not a model: {MARKER} has no model_format")
    if found != MODEL_FORMAT:
        newer = "; a newer version of this program wrote it" if found > MODEL_FORMAT else ""
        raise ModelError(path, f"{MARKER} has model_format {str(found)[:30]}, this program reads {MODEL_FORMAT}{newer}")
    if document != _sealed(document):
        raise ModelError(path, f"{MARKER} is damaged or was edited: its checksum does not hold")
    match document:
        case {"files": dict(), "provenance": dict(), "settings": dict() | None, "dtype": str(name)} if name in _DTYPES:
            known: Mapping[str, Any] = document
            return known
        case _:
            raise ModelError(path, f"{MARKER} is damaged: files, provenance, settings or dtype are missing")


def _config(path: Path, document: Mapping[str, Any]) -> ModelConfig:
    known = {field.name for field in attrs.fields(ModelConfig)}
    try:
        return load_config(ModelConfig, {key: value for key, value in document.items() if key in known})
    except ConfigError as error:
        raise ModelError(path / MARKER, str(error.problems[0])) from None


def _read_weights(path: Path, name: str, document: Mapping[str, Any]) -> dict[str, Tensor]:
    """Return the tensors of a file after its checksum has been found to hold; of another size nothing is read."""
    match document["files"].get(name):
        case {"sha256": str(digest), "bytes": int(size)}:
            pass
        case _:
            raise ModelError(path, f"{MARKER} says nothing of {name}")
    file = path / name
    try:
        found = file.stat().st_size
        data = read_regular(file) if found == size else b""
    except OSError as error:
        raise ModelError(file, f"cannot be read: {error.strerror}") from None
    if found != size:
        raise ModelError(file, f"has {found} bytes instead of {size}; copy it again")
    if _digest(data) != digest:
        raise ModelError(file, "was altered: its checksum does not hold; copy it again")
    try:
        return dict(safetensors.torch.load(data))
    except _UNREADABLE as error:
        raise ModelError(file, f"cannot be read: {shown(error, 200)}") from None


def _joined(training: TrainingWeights) -> dict[str, Tensor]:
    networks = {name: getattr(training, name) for name in _NETWORKS}
    return {f"{name}.{key}": tensor for name, weights in networks.items() for key, tensor in weights.items()}


def _split(path: Path, document: Mapping[str, Any]) -> TrainingWeights:
    tensors = _read_weights(path, _TRAINING, document)
    networks = {
        name: {key.removeprefix(f"{name}."): t for key, t in tensors.items() if key.startswith(f"{name}.")}
        for name in _NETWORKS
    }
    return TrainingWeights(**networks)


def _own(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return contiguous tensors on the CPU none of which shares memory with another: a file cannot hold one twice."""
    plain = {name: tensor.detach().cpu() for name, tensor in tensors.items()}
    return {name: tensor.clone(memory_format=torch.contiguous_format) for name, tensor in plain.items()}


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _sealed(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return a document with a checksum over all that it says."""
    content = {key: value for key, value in _plain(document).items() if key != _SEAL}
    return {**content, _SEAL: _digest(json.dumps(content, sort_keys=True).encode())}


def _plain(value: Any) -> Any:
    """Return a value as JSON keeps it: numbers that are not finite are text."""
    match value:
        case Mapping():
            return {str(key): _plain(below) for key, below in value.items()}
        case list() | tuple():
            return [_plain(below) for below in value]
        case float() if not math.isfinite(value):
            return str(value)
        case None | bool() | int() | float() | str():
            return value
        case _:
            return str(value)
