"""Checkpoints of a run: a directory that is either complete and proved by checksums, or not there at all.

    root/step-00000500/tensors.safetensors    every tensor, by its path in the state
                       state.json             everything else: the nested structure, numbers, strings
                       manifest.json          sha256 and size of the two files above
    root/best/                                the same, of whatever step it was kept at; nothing deletes it

A checkpoint is written under a temporary name in the same directory, flushed to the disk and renamed. Nothing is ever
pickled. One process at a time may write below a root.
"""

import errno
import hashlib
import json
import os
import re
import stat
from pathlib import Path
from typing import Any

import attrs
import safetensors
import safetensors.torch
import torch
from torch import Tensor
from vs_config import DocumentError, parse_json, read_json, shown
from vs_config.files import read_regular

from vs_runtime._nested import flatten, unflatten
from vs_runtime.errors import DamagedCheckpoint, NoCheckpoint, StateError
from vs_runtime.files import remove, sweep, whole_directory

_FORMAT = "vs-checkpoint-1"
_TENSORS, _STATE, _MANIFEST = "tensors.safetensors", "state.json", "manifest.json"
_REPLACED = ".replaced"
"""What is added to the name of a checkpoint until the one that replaces it stands; it can be read meanwhile."""

BEST = "best"
"""The name of the checkpoint that is kept apart from all others: whoever trains says which is the best."""

_NAME = re.compile(rf"step-([0-9]{{8,}})({re.escape(_REPLACED)})?")
_MANIFEST_BYTES = 2**20
"""Most bytes of a manifest that are read; ours have about 300."""

_UNREADABLE = (safetensors.SafetensorError, ValueError, KeyError, TypeError, AttributeError, RecursionError)
"""What reading a state raises that whoever can compute a checksum has put together."""


@attrs.frozen(kw_only=True)
class LoadedCheckpoint:
    """A checkpoint that was read.

    Attributes:
        step: the step that it was saved at.
        state: what was saved; every tensor is on the CPU and has its own memory.
        path: its directory.
        skipped: newer checkpoints that could not be used, newest first, each with the reason in words.
    """

    step: int
    state: Any
    path: Path
    skipped: tuple[tuple[Path, str], ...] = ()


def save_checkpoint(root: Path, *, step: int, state: Any, keep: int) -> Path:
    """Write `state` to `root/step-XXXXXXXX/` and then delete all but the `keep` newest.

    A process that is killed at any moment leaves the earlier checkpoints as they were, and either a complete new one or
    none; its temporary directory is removed by the next save. An existing checkpoint of the same step is replaced.
    Checkpoints of later steps (of a run that went on from an earlier one because they were damaged) are deleted if they
    are damaged and left alone if they are not.

    Args:
        root: directory of the checkpoints, made if need be.
        step: what the checkpoint is named after, at least 0.
        state: nested dicts, lists and tuples of tensors (any device, dtype and strides), numbers, strings, booleans
            and None. Tensors that share memory are saved each for itself.
        keep: how many to keep, the new one included, at least 1.

    Returns:
        The directory of the new checkpoint.

    Raises:
        StateError: the state holds something that cannot be saved; nothing was written.
        OSError: the disk is full or not writable, with the new checkpoint's path as `filename`; the earlier
            checkpoints are as they were.
    """
    if step < 0 or keep < 1:
        raise StateError("save_checkpoint", f"expected step >= 0 and keep >= 1, got step {step} and keep {keep}")
    path = checkpoint_path(root, step)
    _write(path, step, state)
    _prune(root, step, keep)
    return path


def keep_best(root: Path, *, step: int, state: Any) -> Path:
    """Write `state` to `root/best/` in the place of what is kept there; no other checkpoint is touched.

    A process that is killed at any moment leaves the one or the other.

    Raises:
        StateError, OSError: as `save_checkpoint`.
    """
    path = root / BEST
    _write(path, step, state)
    return path


def find_best(root: Path) -> Path | None:
    """Return the directory of the checkpoint that `keep_best` has written; None where there is none."""
    places = (root / BEST, root / f"{BEST}{_REPLACED}")
    return next((path for path in places if path.is_dir()), None)


def best_step(root: Path) -> int | None:
    """Return the step of the checkpoint that `keep_best` has written; None where none can be read."""
    path = find_best(root)
    try:
        return None if path is None else int(_read_manifest(path)["step"])
    except DamagedCheckpoint:
        return None


def _write(path: Path, step: int, state: Any) -> None:
    """Write a checkpoint, whole or not at all."""
    skeleton, tensors = flatten(state)
    _check_dtypes(tensors)
    path.parent.mkdir(parents=True, exist_ok=True)
    sweep(path.parent, held=True)
    try:
        with whole_directory(path, replaced=path.with_name(f"{path.name}{_REPLACED}"), flush=True) as draft:
            _write_files(draft, step, skeleton, tensors)
    except (OSError, safetensors.SafetensorError) as error:
        raise _not_written(path, error) from error


def load_checkpoint(path: Path) -> LoadedCheckpoint:
    """Read one checkpoint after its checksums have been found to hold.

    Raises:
        DamagedCheckpoint: a file is missing, altered or cut short, or the directory is none of ours.
    """
    manifest = _read_manifest(path)
    contents = {name: _read_verified(path, name, manifest) for name in (_TENSORS, _STATE)}
    try:
        tensors = safetensors.torch.load(contents[_TENSORS])
        skeleton = parse_json(contents[_STATE].decode("utf-8"), max_depth=None)
        return LoadedCheckpoint(step=manifest["step"], state=unflatten(skeleton, tensors), path=path)
    except _UNREADABLE as error:
        raise DamagedCheckpoint(path, f"checksums hold, and yet it cannot be read: {shown(error, 200)}") from error


def load_latest(root: Path) -> LoadedCheckpoint:
    """Read the newest checkpoint below `root` that is intact; `skipped` names the newer ones that are not.

    Raises:
        NoCheckpoint: there is none, or none that is intact.
    """
    if os.path.lexists(root) and not root.is_dir():
        raise NoCheckpoint(root, ((root, "is not a directory"),))
    skipped: list[tuple[Path, str]] = []
    for path in list_checkpoints(root):
        try:
            return attrs.evolve(load_checkpoint(path), skipped=tuple(skipped))
        except DamagedCheckpoint as error:
            skipped.append((path, error.reason))
    raise NoCheckpoint(root, tuple(skipped))


def checkpoint_path(root: Path, step: int) -> Path:
    """Return the directory of the checkpoint of a step, whether or not there is one."""
    return root / f"step-{step:08d}"


def list_checkpoints(root: Path) -> tuple[Path, ...]:
    """Return the directories below `root` that are named like checkpoints, newest first; nothing is read."""
    return tuple(path for _, path in _named_by_step(root))


def checkpoints_by_step(root: Path) -> dict[int, Path]:
    """Return what is named like the checkpoint of each step, newest first; nothing is read.

    One that is being replaced counts where the one that replaces it does not stand yet.
    """
    found: dict[int, Path] = {}
    for step, path in _named_by_step(root):
        found.setdefault(step, path)
    return found


def _named_by_step(root: Path) -> list[tuple[int, Path]]:
    """Return steps and directories, newest first, and of one step first what is not being replaced."""
    if not root.is_dir():
        return []
    named = [(match, path) for path in root.iterdir() if (match := _NAME.fullmatch(path.name)) and path.is_dir()]
    ordered = sorted(named, key=lambda pair: (-int(pair[0][1]), pair[0][2] is not None))
    return [(int(match[1]), path) for match, path in ordered]


def _check_dtypes(tensors: dict[str, Tensor]) -> None:
    """Refuse what the file format has no name for, before anything is written."""
    for name, dtype in {tensor.dtype: (name, tensor.dtype) for name, tensor in tensors.items()}.values():
        try:
            safetensors.torch.save({"x": torch.zeros(1, dtype=dtype)})
        except (KeyError, ValueError, RuntimeError, safetensors.SafetensorError) as error:
            raise StateError(f"state.{name}", f"a checkpoint cannot hold a tensor of {dtype}") from error


def _own_memory(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Contiguous CPU tensors none of which shares its memory with another; copies only what has to be copied."""
    seen: set[int] = set()
    own: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        plain = tensor.detach().to("cpu").contiguous().resolve_conj().resolve_neg()
        storage = plain.untyped_storage()
        if storage.data_ptr() in seen or storage.nbytes() != plain.nbytes:
            plain = plain.clone()
        seen.add(plain.untyped_storage().data_ptr())
        own[name] = plain
    return own


def _write_files(directory: Path, step: int, skeleton: Any, tensors: dict[str, Tensor]) -> None:
    safetensors.torch.save_file(_own_memory(tensors), directory / _TENSORS)
    (directory / _STATE).write_text(json.dumps(skeleton, allow_nan=False), encoding="ascii")
    (directory / _TENSORS).chmod(stat.S_IMODE((directory / _STATE).stat().st_mode))  # it is made for its owner alone
    files = {name: _fingerprint(directory / name) for name in (_TENSORS, _STATE)}
    manifest = {"format": _FORMAT, "step": step, "files": files}
    (directory / _MANIFEST).write_text(json.dumps(manifest, indent=1), encoding="ascii")


def _not_written(path: Path, error: Exception) -> OSError:
    """Return the error of a checkpoint that could not be written: an OSError of the system's number with the path.

    safetensors raises an error of its own for what the system says, and tells its number in the text alone.
    """
    match error:
        case OSError(errno=int(number)):
            return OSError(number, os.strerror(number), str(path))
    told = re.search(r"\(os error (\d+)\)", str(error))
    return OSError(int(told[1]) if told else errno.EIO, os.strerror(int(told[1])) if told else str(error), str(path))


def _fingerprint(path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        return {"sha256": hashlib.file_digest(file, "sha256").hexdigest(), "bytes": path.stat().st_size}


def _prune(root: Path, step: int, keep: int) -> None:
    present = _named_by_step(root)
    intact = [path for number, path in present if number <= step and not path.name.endswith(_REPLACED)]
    replaced = [path for number, path in present if number <= step and path.name.endswith(_REPLACED)]
    damaged = [path for number, path in present if number > step and _is_damaged(path)]
    for path in intact[keep:] + replaced + damaged:
        remove(path)


def _is_damaged(path: Path) -> bool:
    try:
        load_checkpoint(path)
    except DamagedCheckpoint:
        return True
    return False


def _read_manifest(path: Path) -> dict[str, Any]:
    if not os.path.lexists(path / _MANIFEST):
        raise DamagedCheckpoint(path, f"{_MANIFEST} is missing")
    try:
        manifest = read_json(path / _MANIFEST, max_bytes=_MANIFEST_BYTES)
    except DocumentError as error:
        raise DamagedCheckpoint(path, f"{_MANIFEST} {error.problems[0].message}") from error
    if type(manifest) is not dict or manifest.get("format") != _FORMAT:
        raise DamagedCheckpoint(path, f"{_MANIFEST} is not of the format {_FORMAT!r}")
    named = _NAME.fullmatch(path.name)
    step = manifest.get("step")
    if type(step) is not int or step < 0 or (named and step != int(named[1])):
        raise DamagedCheckpoint(path, f"{_MANIFEST} is of step {str(step)[:30]}")
    return manifest


def _read_verified(path: Path, name: str, manifest: dict[str, Any]) -> bytes:
    """Return a file's contents, the very bytes whose checksum was computed; of too many or too few none is read."""
    try:
        expected = manifest["files"][name]
        size, digest = expected["bytes"], expected["sha256"]
    except (KeyError, TypeError) as error:
        raise DamagedCheckpoint(path, f"{_MANIFEST} says nothing of {name}") from error
    if type(size) is not int or type(digest) is not str:
        raise DamagedCheckpoint(path, f"{_MANIFEST} does not say how large {name} is, and what its checksum is")
    try:
        found = (path / name).stat().st_size
        contents = read_regular(path / name) if found == size else b""
    except OSError as error:
        raise DamagedCheckpoint(path, f"{name} cannot be read: {error.strerror}") from error
    if found != size:
        raise DamagedCheckpoint(path, f"{name} has {found} bytes instead of {str(size)[:30]}")
    if hashlib.sha256(contents).hexdigest() != digest:
        raise DamagedCheckpoint(path, f"{name} was altered: its checksum does not hold")
    return contents
