"""The layout of a data folder: images/SEQ/FRAME.ext and, beside it, one folder per kind of data, names alike."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Literal

import attrs

from vs_data.errors import DataError

IMAGES = "images"


@attrs.frozen(kw_only=True)
class Finding:
    """One thing that is wrong with a data folder.

    Attributes:
        severity: "error": training on the folder would fail; "warning": it would work, but is it meant?
        file: The file or folder concerned.
        what: What is wrong with it.
        fix: What to do.
    """

    severity: Literal["error", "warning"]
    file: str
    what: str
    fix: str = ""


@attrs.frozen(kw_only=True)
class Folder:
    """One folder of the layout.

    Attributes:
        name: Name inside the root.
        extensions: Allowed file name extensions, lower case, with the dot.
        first_optional: Whether the first frame of a sequence may be missing (flow has none).
    """

    name: str
    extensions: tuple[str, ...]
    first_optional: bool = False


@attrs.frozen(kw_only=True)
class FrameFiles:
    """One sequence: the frames' names in order, and per folder the file of each frame (None: there is none).

    Attributes:
        name: Name of the sequence.
        frames: Names without extension, sorted.
        files: Folder name -> file names, one per frame.
    """

    name: str
    frames: tuple[str, ...]
    files: Mapping[str, tuple[str | None, ...]]


@attrs.frozen(kw_only=True)
class Layout:
    """What is in a data folder, by names alone."""

    root: str
    sequences: tuple[FrameFiles, ...]
    findings: tuple[Finding, ...]


def file_of(root: str, folder: str, sequence: FrameFiles, frame: int) -> Path | None:
    """The path of one frame's file in one folder, or None where the layout needs none."""
    name = sequence.files[folder][frame]
    return None if name is None else Path(root) / folder / sequence.name / name


def scan_layout(root: Path, images: Folder, others: Sequence[Folder], min_frames: int) -> Layout:
    """List a data folder and everything that its names alone say is wrong; no file is opened.

    Raises:
        DataError: the root is missing, is no folder, or has no folder of images.
    """
    for folder in (root, root / images.name):
        what = _no_folder(folder)
        if what is not None:
            raise DataError(
                what, file=str(folder), fix=f"expected {images.name}/SEQUENCE/FRAME.png and so on in the root"
            )
    findings: list[Finding] = []
    listing = {folder.name: _list_folder(root, folder, findings) for folder in (images, *others)}
    sequences = []
    for name, frames in sorted(listing[images.name].items()):
        stems = tuple(sorted(frames))
        sequences.append(FrameFiles(name=name, frames=stems, files=_files(name, stems, listing)))
        place = str(root / images.name / name)
        findings.extend(_check_sequence(place, stems, min_frames))
        for other in others:
            if name in listing[other.name]:
                findings.extend(_compare(root, images, other, name, stems, listing[other.name][name]))
    for other in others:
        findings.extend(_compare_sequences(root, images, other, listing))
    if not listing[images.name]:
        findings.append(_error(root / images.name, "has no sequences", f"put frames into {images.name}/SEQUENCE/"))
    return Layout(root=str(root), sequences=tuple(sequences), findings=tuple(findings))


def _no_folder(path: Path) -> str | None:
    try:
        if path.is_dir():
            return None
        return "is not a folder" if path.exists() else "the folder does not exist"
    except OSError as error:
        return f"cannot be opened: {error.strerror}"


def _files(
    name: str, stems: tuple[str, ...], listing: Mapping[str, Mapping[str, Mapping[str, str]]]
) -> dict[str, tuple[str | None, ...]]:
    return {folder: tuple(found.get(name, {}).get(stem) for stem in stems) for folder, found in listing.items()}


def _list_folder(root: Path, folder: Folder, findings: list[Finding]) -> dict[str, dict[str, str]]:
    """Sequence -> frame name -> file name, for the files with the right extensions."""
    place = root / folder.name
    if not place.is_dir():
        findings.append(_error(place, "the folder does not exist", "create it, or leave this kind of data out"))
        return {}
    sequences = {}
    for entry in _entries(place, findings):
        if entry.is_dir():
            sequences[entry.name] = _list_sequence(Path(entry.path), folder, findings)
        else:
            fix = f"put it into a sequence: {folder.name}/SEQUENCE/{entry.name}"
            findings.append(Finding(severity="warning", file=entry.path, what="a file outside of a sequence", fix=fix))
    return sequences


def _list_sequence(place: Path, folder: Folder, findings: list[Finding]) -> dict[str, str]:
    frames: dict[str, str] = {}
    for entry in _entries(place, findings):
        path = Path(entry.path)
        if entry.is_dir() or path.suffix.lower() not in folder.extensions:
            what = f"not used: expected files ending in {', '.join(folder.extensions)}"
            findings.append(Finding(severity="warning", file=entry.path, what=what, fix="convert or remove it"))
        elif path.stem in frames:
            findings.append(_error(path, f"the same frame as {frames[path.stem]}", "remove one of the two"))
        else:
            frames[path.stem] = entry.name
    return frames


def _entries(place: Path, findings: list[Finding]) -> list[os.DirEntry[str]]:
    """What is in a folder by name, hidden files left out."""
    try:
        with os.scandir(place) as entries:
            return sorted((entry for entry in entries if not entry.name.startswith(".")), key=lambda entry: entry.name)
    except OSError as error:
        findings.append(_error(place, f"cannot be listed: {error.strerror}", "check its permissions"))
        return []


def _check_sequence(place: str, stems: tuple[str, ...], min_frames: int) -> Iterator[Finding]:
    if not stems:
        yield _error(place, "the sequence is empty", "add frames or remove the folder")
    elif len(stems) < min_frames:
        plural = "s" if len(stems) > 1 else ""
        what = f"the sequence has {len(stems)} frame{plural}, at least {min_frames} are needed"
        yield _error(place, what, "add frames, remove the sequence, or lower min_frames")
    yield from _check_order(place, stems)


def _check_order(place: str, stems: tuple[str, ...]) -> Iterator[Finding]:
    """Frames sort by name: warn where numbers say otherwise, or where they jump."""
    numbers = [[int(digits) for digits in re.findall(r"\d+", stem)] for stem in stems]
    ordinary = all(numbers) and len({len(found) for found in numbers}) == 1
    if not ordinary or len(stems) < 2:
        return
    for before, after in pairwise(range(len(stems))):
        if numbers[before] > numbers[after]:
            what = f"sorted by name, frame {stems[after]} follows {stems[before]}"
            yield Finding(severity="warning", file=place, what=what, fix="pad the numbers with zeros")
            return
    steps = [after[-1] - before[-1] for before, after in pairwise(numbers)]
    if len({tuple(found[:-1]) for found in numbers}) > 1:
        return
    usual = max(set(steps), key=steps.count)
    for index, step in enumerate(steps):
        if step != usual and steps.count(usual) > 1:
            what = f"frames are missing between {stems[index]} and {stems[index + 1]} (numbers usually grow by {usual})"
            yield Finding(severity="warning", file=place, what=what, fix="split the sequence there, or add the frames")


def _compare(
    root: Path, images: Folder, other: Folder, name: str, stems: tuple[str, ...], found: Mapping[str, str]
) -> Iterator[Finding]:
    """Frames of one sequence that have no file, and files that belong to no frame."""
    for stem in stems[1:] if other.first_optional else stems:
        if stem not in found:
            path = root / other.name / name / f"{stem}{other.extensions[0]}"
            yield _error(path, "the file is missing", f"add it, or remove {images.name}/{name}/{stem}.*")
    known = set(stems)
    for stem, file in found.items():
        if stem not in known:
            path = root / other.name / name / file
            yield _error(
                path, f"surplus: there is no frame {images.name}/{name}/{stem}.*", "remove it, or add the frame"
            )


def _compare_sequences(
    root: Path, images: Folder, other: Folder, listing: Mapping[str, Mapping[str, Mapping[str, str]]]
) -> Iterator[Finding]:
    if not (root / other.name).is_dir():
        return
    for name in sorted(set(listing[images.name]) - set(listing[other.name])):
        if not (other.first_optional and len(listing[images.name][name]) < 2):
            yield _error(root / other.name / name, "the folder of this sequence is missing", _spelling(images, name))
    for name in sorted(set(listing[other.name]) - set(listing[images.name])):
        yield _error(root / other.name / name, f"surplus: there is no {images.name}/{name}", _spelling(images, name))


def _spelling(images: Folder, name: str) -> str:
    return f"name it exactly as in {images.name}, or remove '{name}' from both"


def _error(file: Path | str, what: str, fix: str) -> Finding:
    return Finding(severity="error", file=str(file), what=what, fix=fix)
