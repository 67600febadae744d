"""Look at data that nobody has described: what is in it, and what a configuration that reads it has to say."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import attrs

from vs_data.amounts import seconds_of
from vs_data.check import Watch
from vs_data.clips import SequenceInfo
from vs_data.content import Content, content_in
from vs_data.errors import DataError
from vs_data.findings import Finding
from vs_data.keypoint_files import KEYPOINT_EXTENSIONS
from vs_data.labels import EdgesConfig
from vs_data.layout import IMAGES, Folder, FrameFiles, Layout, Reading, expanded
from vs_data.names import Order, sort_key
from vs_data.pictures import IMAGE_EXTENSIONS, inspect_size
from vs_data.ranges import PATIENT
from vs_data.seen import Size
from vs_data.shards import folders_in, index_whole, scan_shards, scan_whole
from vs_data.stored import ShardsConfig
from vs_data.survey.holdings import Holding, holding_of
from vs_data.survey.motion import Motion, find_motion
from vs_data.survey.pictures import guess_numbers, guess_pictures
from vs_data.survey.places import Place
from vs_data.survey.points import guess_points
from vs_data.survey.verdict import Guess
from vs_data.videos import VIDEO_EXTENSIONS

_PICTURES = Folder(name=IMAGES, extensions=IMAGE_EXTENSIONS, videos=True)
_FLOATS = (".exr", ".npy")
_READ = (*IMAGE_EXTENSIONS, *VIDEO_EXTENSIONS)


@attrs.frozen(kw_only=True)
class Survey:
    """A look at what there is at a place.

    Attributes:
        place: Where.
        sequences: Names and lengths, of what is not held out.
        sizes: (H, W) of the pictures, of each sequence.
        seconds: How long each sequence lasts; None: its frames are files, which do not say that.
        order: How frames sort so that their numbers rise.
        labels: The kinds of labels, in the order of their folders' names; edges where there are none.
        motion: Of the files that tell it, if there are any.
        questions: What could not be told of the whole, or was left out.
    """

    place: Place
    sequences: tuple[SequenceInfo, ...]
    sizes: tuple[Size, ...]
    seconds: tuple[float | None, ...]
    order: Order
    labels: tuple[Guess, ...]
    motion: Motion
    questions: tuple[str, ...]

    @property
    def all_questions(self) -> tuple[str, ...]:
        """What could not be told, of motion and each kind of label too."""
        return (
            *self.questions,
            *self.motion.questions,
            *(question for guess in self.labels for question in guess.questions),
        )


def survey(place: Place, progress: Watch = lambda _what, _done, _all: None) -> Survey:
    """Look at what is at a place: at all names, at the size of a picture of each sequence, at a sample of the labels.

    Args:
        place: Where data is, see `place_at`.
        progress: Called with ("videos" that are opened or "folders" of labels that are looked at, done, in all).

    Raises:
        DataError: the pictures cannot be read as sequences.
    """
    if place.stored is not ShardsConfig:
        for root in filter(None, (place.root, place.val_root)):
            index_whole(expanded(root), partial(progress, "videos"))
    layout = _listed(place, place.root, "name")
    order: Order = "natural" if any(map(_is_misnumbered, layout.sequences)) else "name"
    layout = _listed(place, place.root, order) if order == "natural" else layout
    others = () if place.val_root is None else _listed(place, place.val_root, order).sequences
    wrong = _errors_by_folder(layout)
    _require_sequences(layout, wrong.get(IMAGES, []))
    sequences = (*layout.sequences, *others)
    holdings = {folder: holding_of(folder, sequences) for folder in layout.sequences[0].files if folder != IMAGES}
    whole = [holding for folder, holding in holdings.items() if holding is not None and folder not in wrong]
    motion = find_motion(whole, sequences)
    folders = [folder for folder in holdings if folder not in motion.folders]
    labels: list[Guess] = []
    questions = []
    for index, folder in enumerate(folders):
        progress("folders", index, len(folders))
        try:
            labels.append(_guess(_readable(holdings[folder], wrong.get(folder, []))))
        except DataError as failure:
            questions.append(f"{folder} was left out: {failure}")
    progress("folders", len(folders), len(folders))
    if not labels:
        labels.append(Guess(kind=EdgesConfig(), why="no folder of labels: edges are computed from the frames"))
    return Survey(
        place=place,
        sequences=tuple(SequenceInfo(name=files.name, frames=len(files.frames)) for files in layout.sequences),
        sizes=tuple(inspect_size(_first(files))[0] for files in layout.sequences),
        seconds=tuple(seconds_of(files.files[IMAGES]) for files in layout.sequences),
        order=order,
        labels=tuple(labels),
        motion=motion,
        questions=tuple(questions),
    )


def _listed(place: Place, root: str, order: Order) -> Layout:
    if place.stored is not ShardsConfig:
        return scan_whole(expanded(root), order)
    others = [Folder(name=name, extensions=(), may_lack=(0, -1)) for name in folders_in(root) if name != IMAGES]
    return scan_shards(root, _PICTURES, others, Reading(min_frames=1, order=order), PATIENT)


def _is_misnumbered(files: FrameFiles) -> bool:
    """Return whether frames sorted by name are not sorted by the numbers in their names."""
    return list(files.frames) != sorted(files.frames, key=sort_key("natural"))


def _errors_by_folder(layout: Layout) -> dict[str, list[Finding]]:
    """Return what is wrong with each folder; what belongs to none of them is wrong with the pictures."""
    folders = {folder for files in layout.sequences for folder in files.files if folder != IMAGES}
    base = Path(layout.root).parent if Path(layout.root).is_file() else Path(layout.root)
    found: dict[str, list[Finding]] = {}
    for finding in layout.findings:
        if finding.severity == "error":
            within = next((name for name in folders if Path(finding.file).is_relative_to(base / name)), IMAGES)
            found.setdefault(within, []).append(finding)
    return found


def _require_sequences(layout: Layout, wrong: Sequence[Finding]) -> None:
    if wrong:
        raise DataError(wrong[0].what, file=wrong[0].file, fix=wrong[0].fix)
    if not layout.sequences:
        raise DataError("has no sequences", file=layout.root, fix=f"put frames into {IMAGES}/SEQUENCE/")


def _readable(holding: Holding | None, wrong: Sequence[Finding]) -> Holding:
    """Return what a folder holds.

    Raises:
        DataError: something is wrong with it as a whole, or it holds nothing.
    """
    if wrong:
        more = f" (and {len(wrong) - 1} more)" if len(wrong) > 1 else ""
        raise DataError(f"{wrong[0].what}{more}", file=wrong[0].file)
    if holding is None:
        raise DataError("it has no files")
    return holding


def _guess(holding: Holding) -> Guess:
    """Say what labels are in a folder.

    Raises:
        DataError: none that can be read.
    """
    folder, sample, there = holding.folder, holding.sample, len(holding.contents)
    match holding.ending:
        case ending if ending in KEYPOINT_EXTENSIONS:
            return guess_points(folder, sample, there)
        case ending if ending in _FLOATS:
            return guess_numbers(folder, sample, there)
        case ending if ending in _READ:
            return guess_pictures(folder, sample, there)
        case ending:
            raise DataError(f"no kind of label reads files that end in {ending!r}")


def _first(files: FrameFiles) -> Content:
    content = content_in(files.files[IMAGES], 0)
    if content is None:
        raise DataError("has no first frame", file=files.files[IMAGES].place)
    return content
