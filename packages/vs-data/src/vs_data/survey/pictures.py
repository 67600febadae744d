"""Folders of pictures beside the frames: maps of ids, codes, instances, DensePose, renderings or depth, by content."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from vs_data.content import Content
from vs_data.exr import read_exr
from vs_data.labels import DenseposeConfig, ImageConfig, InstancesConfig, LabelKind, SegMapsConfig
from vs_data.labels.colours import ADE20K, CITYSCAPES, Colours
from vs_data.labels.densepose import PARTS
from vs_data.labels.image import read_array
from vs_data.survey.holdings import says
from vs_data.survey.maps import Maps, look_at_maps
from vs_data.survey.verdict import Guess

_FLAT = 0.7  # of neighbours: maps have more, photographs and renderings less
_FEW = (
    64  # ids and colours in maps whose folder is not called as one of maps is; drawings and plain renderings have more
)
_CLASSES = 256
_IGNORED = 255
_MASK = ((0, 0), (255, 1))
_NEAR = 20.0  # times nearer is what is near than what is far, in depths worth a logarithm


def guess_pictures(folder: str, sample: Sequence[Content], there: int) -> Guess:
    """Say what the pictures in a folder are.

    Args:
        folder: Their folder.
        sample: Some of the files.
        there: How many there are.

    Raises:
        DataError: one of them cannot be read, or is nothing that a kind of label takes.
    """
    maps = look_at_maps(sample)
    seen = f"{maps.looked} of {there} maps"
    rest = "" if maps.looked == there else seen
    instances = says(folder, "inst", "panoptic")
    if maps.lossy or (maps.channels == 3 and maps.wide):
        return _rendering(folder, maps, "pictures that lossy compression or 16 bits make no codes")
    if maps.channels == 1:
        if instances and maps.flat >= _FLAT:
            return Guess(kind=InstancesConfig(folder=folder), why=f"flat greys in a folder called {folder}: instances")
        if maps.palette or (maps.flat >= _FLAT and _are_ids(folder, maps)):
            return _class_ids(folder, maps.levels, rest, seen)
        return _greys(folder, maps, seen)
    if maps.parts or (says(folder, "densepose") and maps.colours[:, 2].max() <= PARTS):
        return Guess(kind=DenseposeConfig(folder=folder), why="parts 0 to 24 in blue, U and V beside them")
    if instances and maps.flat >= _FLAT:
        return Guess(kind=InstancesConfig(folder=folder, stored="rgb"), why="flat colours: ids packed in RGB")
    if maps.flat >= _FLAT and _are_codes(folder, maps.colours):
        return _codes(folder, maps.colours, rest, seen)
    return _rendering(folder, maps, f"{len(maps.colours)} colours in {seen}: renderings, no codes")


def guess_numbers(folder: str, sample: Sequence[Content], there: int) -> Guess:
    """Say how floats of `.exr` or `.npy` files become a label, from their range.

    Raises:
        DataError: one of them cannot be read.
    """
    arrays = [read_exr(each, ()) if str(each).lower().endswith(".exr") else read_array(each) for each in sample]
    finite = [values[np.isfinite(values)] for values in arrays]
    known = [values for values in finite if values.size]
    low, high = (min(map(np.min, known)), max(map(np.max, known))) if known else (0.0, 1.0)
    questions = [f"{folder} holds {low:g} to {high:g} in {len(arrays)} of {there} files: set minimum and maximum"]
    strange = sum(len(values) < array.size for values, array in zip(finite, arrays, strict=True))
    if strange:
        questions.append(f"values of {folder} are not finite in {strange} of {len(arrays)} files: write numbers there")
    channels = int(max(array.shape[2] for array in arrays))
    minimum, maximum = _outward(float(low), -1), _outward(float(high), 1)
    log = says(folder, "depth") and channels == 1 and minimum > 0 and maximum > _NEAR * minimum
    kind = ImageConfig(
        folder=folder,
        channels=channels,
        minimum=minimum,
        maximum=maximum if maximum > minimum else minimum + 1,
        log=log,
        flip_sign=(0,) if says(folder, "normal") and channels > 1 else (),
    )
    kept = () if there == len(arrays) and not strange else tuple(questions)
    return Guess(kind=kind, why=f"floats of {low:g} to {high:g} in {len(arrays)} of {there} files", questions=kept)


def _most_classes(folder: str) -> int:
    """Return how many different values may be classes, by what a folder is called."""
    return _CLASSES if says(folder, "seg", "label", "class", "mask", "semantic") else _FEW


def _are_ids(folder: str, maps: Maps) -> bool:
    return len(maps.levels) <= _most_classes(folder) and not says(folder, "depth", "grey", "gray")


def _are_codes(folder: str, colours: NDArray[np.int64]) -> bool:
    there = _as_set(colours)
    return len(there) <= _most_classes(folder) or there <= set(CITYSCAPES) or there <= set(ADE20K)


def _as_set(colours: NDArray[np.int64]) -> set[tuple[int, int, int]]:
    return {(int(red), int(green), int(blue)) for red, green, blue in colours}


def _class_ids(folder: str, levels: NDArray[np.int64], rest: str, seen: str) -> Guess:
    """Say how ids become classes: as they are, or by a table where they are wide or a mask in black and white."""
    ids = [int(level) for level in levels]
    if ids in ([0, 255], [255]):
        kind = SegMapsConfig(folder=folder, num_classes=2, ignore_id=None, map=_MASK)
        return Guess(kind=kind, why=f"nothing but 0 and 255 in {seen}: a mask, two classes")
    if max(ids, default=0) > _IGNORED:
        return _wide_ids(folder, ids, rest, seen)
    classes = [one for one in ids if one != _IGNORED] or [0]
    void = ", 255 is none" if _IGNORED in ids else ""
    kind = SegMapsConfig(folder=folder, num_classes=classes[-1] + 1)
    question = f"ids up to {classes[-1]} were seen in {rest} of {folder}: set num_classes if there are more"
    why = f"ids of {classes[0]} to {classes[-1]} in {seen}{void}"
    return Guess(kind=kind, why=why, questions=(question,) if rest else ())


def _wide_ids(folder: str, ids: list[int], rest: str, seen: str) -> Guess:
    """Give ids that are too large for classes new numbers, in their order; the largest of 16 bits is no class."""
    named = [one for one in ids if one != 2**16 - 1][:_IGNORED]
    table = tuple((one, place) for place, one in enumerate(named))
    kind = SegMapsConfig(folder=folder, num_classes=len(table), map=table)
    question = (
        f"{len(ids)} ids were seen in {seen} of {folder}: name those that are missing in its map, others count as"
    )
    return Guess(
        kind=kind,
        why=f"{len(ids)} ids up to {ids[-1]} in {seen}, numbered anew",
        questions=(f"{question} no class",) if rest else (),
    )


def _greys(folder: str, maps: Maps, seen: str) -> Guess:
    """Say how greys that are no ids become a label: depth, say."""
    if not maps.wide:
        why = f"{len(maps.levels)} greys of 8 bits in {seen}: no ids"
        return Guess(kind=ImageConfig(folder=folder, channels=1), why=why)
    low, high = int(maps.levels[0]), int(maps.levels[-1])
    top = min(_outward(float(high), 1), 2.0**16 - 1)
    question = f"{folder} holds {low} to {high} in {seen}: set minimum and maximum, and log = true for depth"
    why = f"{len(maps.levels)} greys of 16 bits in {seen}: depth or the like"
    return Guess(kind=ImageConfig(folder=folder, channels=1, maximum=max(top, 1.0)), why=why, questions=(question,))


def _rendering(folder: str, maps: Maps, why: str) -> Guess:
    normals = says(folder, "normal")
    kind = ImageConfig(folder=folder, channels=maps.channels, flip_sign=(0,) if normals else ())
    said = f"{why}; red changes sign when mirrored, as x of normals does" if normals else why
    return Guess(kind=kind, why=said)


def _codes(folder: str, colours: NDArray[np.int64], rest: str, seen: str) -> Guess:
    """Say whose colours these are, or list them."""
    there = _as_set(colours)
    kind: LabelKind
    if there <= set(CITYSCAPES):
        kind = SegMapsConfig(folder=folder, colours="cityscapes", num_classes=len(CITYSCAPES))
        return Guess(kind=kind, why=f"{len(there)} colours in {seen}, all of them Cityscapes'")
    if there <= set(ADE20K):
        kind = SegMapsConfig(folder=folder, colours="ade20k", map="ade20k-150", num_classes=150)
        return Guess(kind=kind, why=f"{len(there)} colours in {seen}, all of them ADE20K's")
    own: Colours = tuple(sorted(there))
    kind = SegMapsConfig(
        folder=folder, colours=own, num_classes=len(own), ignore_id=_IGNORED if len(own) < 256 else None
    )
    question = f"{len(own)} colours were seen in {rest} of {folder}: add those that are missing, others are an error"
    return Guess(kind=kind, why=f"{len(own)} flat colours in {seen}", questions=(question,) if rest else ())


def _outward(value: float, way: int) -> float:
    """Round to two digits away from the middle: down for -1, up for 1."""
    if value == 0:
        return 0.0
    unit = 10.0 ** (np.floor(np.log10(abs(value))) - 1)
    rounded = np.floor(value / unit) if way < 0 else np.ceil(value / unit)
    return float(f"{rounded * unit:.3g}")
