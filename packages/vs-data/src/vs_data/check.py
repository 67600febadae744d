"""Looking at a whole data folder before it costs training time: every file is opened, everything wrong is listed."""

import os
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Literal, TypeAlias

import attrs
import cv2
import numpy as np
from numpy.typing import NDArray

from vs_data.amounts import USUAL_FPS, Amount, amount_of
from vs_data.census import check_classes
from vs_data.clips import SequenceInfo, class_ids_in
from vs_data.content import Content, Contents, FramesOfVideo, MembersOfShards, all_in, short_name
from vs_data.errors import DataError
from vs_data.findings import Finding, counted, error, shortened, warning
from vs_data.flow import (
    FlowFilesConfig,
    NetworkFlowConfig,
    NoFlowConfig,
    flow_files,
)
from vs_data.flows.networks import describe_network
from vs_data.flows.plausible import check_motion
from vs_data.folder import check_command, index_videos, patience_of, place_of, scan_folder
from vs_data.labels import handler_of, has_files, label_infos
from vs_data.layout import IMAGES, FrameFiles, Layout, expanded, file_of, no_folder
from vs_data.looks import Look, looks_of
from vs_data.pictures import TURNED, TURNED_FIX
from vs_data.plausible import check_labels, check_pictures
from vs_data.seen import Seen, Size, Traces, without_outline
from vs_data.shards import check_shards
from vs_data.steps import check_steps, keeps_outline
from vs_data.stored import FolderConfig, ShardsConfig, StoredConfig, VideoConfig

MAX_THREADS = 256
"""Files that may be decoded at once."""

REPORT_EVERY_S = 10.0
"""Time between two lines about the looking at files."""

_AHEAD = 16  # frames that are looked at, for each thread, before those before them have been dealt with

_NAMED_FILES = 3  # files of which their reader says the same, besides the first

Watch: TypeAlias = Callable[[str, int, int], None]
"""(what is counted, done, in all): videos that are opened, bytes of shards that are compared, then frames."""

_Job = tuple[FrameFiles, int]


@attrs.frozen(kw_only=True)
class CheckReport:
    """A report of what a data folder holds and what is wrong with it.

    Attributes:
        root: The folder.
        sequences: Names and numbers of frames.
        sizes: (height, width) of images -> how many images; of those that were opened.
        class_pixels: Label kind -> pixels per class id (index 0 to num_classes - 1); of kinds that are class ids.
        ignored_pixels: Label kind -> pixels with the kind's ignore id; of the same kinds.
        opened: How many files were opened.
        findings: Everything wrong, errors first.
        amount: How long all of it lasts, and how many bytes it takes.
        decoded: Whether pixels of pictures were looked at.
        in_all: How many files there are, each frame of a video counted as one.
    """

    root: str
    sequences: tuple[SequenceInfo, ...]
    sizes: Mapping[Size, int]
    class_pixels: Mapping[str, tuple[int, ...]]
    ignored_pixels: Mapping[str, int]
    opened: int
    findings: tuple[Finding, ...]
    amount: Amount
    decoded: bool
    in_all: int

    @property
    def frames(self) -> int:
        """Frames of all sequences."""
        return sum(sequence.frames for sequence in self.sequences)

    @property
    def errors(self) -> tuple[Finding, ...]:
        """The findings that would make training fail."""
        return tuple(finding for finding in self.findings if finding.severity == "error")


@attrs.frozen(kw_only=True, eq=False)
class _FrameReport:
    """A report of what was seen in the files of one frame, by folder; findings too; notes are (folder, note, file)."""

    seen: Mapping[str, Seen]
    opened: int
    findings: tuple[tuple[str, Finding], ...]
    notes: tuple[tuple[str, str, Content], ...]


@attrs.define(kw_only=True)
class _Sums:
    """The sums of all frames, filled while they are looked at, so that none of them has to be remembered.

    Attributes:
        sizes: Of images.
        classes: Label kind -> pixels per id.
        opened: Files.
        notes: (folder, what its reader said of a file) -> how many files it was said of.
        noted: The same -> the first of these files.
    """

    sizes: Counter[Size] = attrs.field(factory=Counter)
    classes: dict[str, NDArray[np.int64]] = attrs.field(factory=dict)
    opened: int = 0
    notes: Counter[tuple[str, str]] = attrs.field(factory=Counter)
    noted: dict[tuple[str, str], list[Content]] = attrs.field(factory=dict)


def check_folder(
    config: StoredConfig | str | Path,
    *,
    split: Literal["train", "val"] = "train",
    every: int = 1,
    threads: int | None = None,
    progress: Watch | None = None,
    sequences: int | None = None,
    declared: bool = True,
    decode: bool = True,
    fps: float = USUAL_FPS,
) -> CheckReport:
    """Open every file of a data folder and list everything that is wrong with it.

    Args:
        config: Of the folder; a bare path means the default configuration, with flow files if there is a folder `flow`,
            of whose number of classes nobody has said anything.
        split: Which root of the configuration.
        every: Open only every n-th frame, counted through all sequences; names are always compared in full. Neighbours
            in time are compared where both are opened.
        threads: How many files are decoded at once, at most `MAX_THREADS`; None: one per available core, at most 8.
        progress: Called from time to time.
        sequences: Open files of the first so many sequences only; None: of all.
        declared: Whether the configuration's numbers of classes are meant, so that one that never occurs is a warning;
            where only a part is opened it may occur in the rest, and nothing is said.
        decode: Whether pixels of pictures are looked at. Else their files are read, which tells sizes and most damage,
            but repeated frames, cuts and labels that never change or are out of step are not found; labels and flow
            are read in full.
        fps: Frames per second of sequences that are no videos, to say how long they are.

    Raises:
        DataError: there is no such folder, or no images in it at all.
    """
    if every < 1 or (threads is not None and not 1 <= threads <= MAX_THREADS):
        raise DataError(f"every is {every}, threads is {threads}, allowed: at least 1, threads up to {MAX_THREADS}")
    match config:
        case str() | Path():
            config, declared = default_config(config), False
    # A part of the files says nothing about classes that never occur: they may be in the rest.
    watch = _nobody if progress is None else progress
    index_videos(config, split, partial(watch, "videos"))
    shards = _check_shards(config, split, partial(watch, "bytes"))
    layout = scan_folder(_trying_once(config) if shards else config, split)
    looked_at = layout.sequences[:sequences]
    jobs = [(files, frame) for files in looked_at for frame in range(len(files.frames))][::every]
    declared = declared and len(jobs) == sum(len(files.frames) for files in layout.sequences)
    # A sequence at a time, so that a folder of any length is checked in little memory.
    findings = [*layout.findings, *shards]
    sums = _Sums()
    frames = zip(
        jobs,
        _check_frames(looks_of(config, decode=decode), jobs, threads or min(8, _cores()), partial(watch, "frames")),
        strict=True,
    )
    for _, group in groupby(frames, key=lambda item: item[0][0].name):
        findings.extend(_check_sequence(config, list(group), sums))
    # What only all files say.
    findings.extend(_noted(sums))
    for folder, info in class_ids_in(label_infos(config.labels)).items():
        if folder in sums.classes:
            place = str(Path(layout.root) / folder)
            findings.extend(check_classes(place, info, sums.classes[folder], declared=declared))
    return _report(config, layout, sums, findings, amount_of(layout.sequences, fps), decoded=decode)


def _nobody(_what: str, _done: int, _total: int) -> None:
    """Say nothing."""


def _check_shards(
    config: StoredConfig, split: Literal["train", "val"], progress: Callable[[int, int], None]
) -> tuple[Finding, ...]:
    match config:
        case ShardsConfig():
            return check_shards(place_of(config, split), patience_of(config), progress)
        case _:
            return ()


def _trying_once(config: StoredConfig) -> StoredConfig:
    """Return a configuration that waits for no file: whole shards have been waited for, in vain."""
    match config:
        case ShardsConfig():
            return attrs.evolve(config, tries=1)
        case _:
            return config


def every_so_often(what: str, watch: Callable[[str], None]) -> Watch:
    """Report how far a check has come, in words, at most once in `REPORT_EVERY_S`."""
    due = time.monotonic() + REPORT_EVERY_S

    def progress(unit: str, done: int, total: int) -> None:
        nonlocal due
        if time.monotonic() >= due:
            due = time.monotonic() + REPORT_EVERY_S
            watch(f"{what}: {done} of {total} {unit}")

    return progress


def default_config(root: str | Path) -> FolderConfig:
    """Return the default configuration for a folder, with flow files if it has a folder `flow`."""
    files = FlowFilesConfig()
    has_flow = no_folder(expanded(root) / files.folder) is None
    return FolderConfig(root=str(root), flow=files if has_flow else NoFlowConfig())


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)


def _check_frames(
    looks: Sequence[tuple[str, Look]],
    jobs: Sequence[_Job],
    threads: int,
    progress: Callable[[int, int], None],
) -> Iterator[_FrameReport]:
    log_level = cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)  # bad files are in the findings
    pool = ThreadPoolExecutor(threads)
    try:
        for done, report in enumerate(_in_order(pool, looks, jobs, _AHEAD * threads), 1):
            yield report
            progress(done, len(jobs))
    finally:
        pool.shutdown(cancel_futures=True)
        cv2.utils.logging.setLogLevel(log_level)


def _in_order(
    pool: ThreadPoolExecutor, looks: Sequence[tuple[str, Look]], jobs: Sequence[_Job], ahead: int
) -> Iterator[_FrameReport]:
    """Yield the reports of frames in order; no more than so many are worked on, or done and not yet asked for."""
    begun: deque[Future[_FrameReport]] = deque()
    for job in jobs:
        begun.append(pool.submit(_check_frame, looks, *job))
        if len(begun) == ahead:
            yield begun.popleft().result()
    while begun:
        yield begun.popleft().result()


def _check_frame(looks: Sequence[tuple[str, Look]], files: FrameFiles, frame: int) -> _FrameReport:
    """Open all files of one frame; they must agree in size with the first of them that can be read."""
    findings: list[tuple[str, Finding]] = []
    notes: list[tuple[str, str, Content]] = []
    seen: dict[str, Seen] = {}
    opened = 0
    for folder, look in looks:
        path = file_of(folder, files, frame)
        if path is None or _ended_before(files.files[folder], frame):
            continue
        opened += 1
        try:
            now = look(path, seen[IMAGES].size if IMAGES in seen else None)
        except DataError as failure:
            findings.append((folder, error(path, failure.what, failure.fix)))
            continue
        notes.extend((folder, note, path) for note in now.notes)
        findings.extend((folder, finding) for finding in (*now.findings, *_other_size(path, now.size, seen)))
        seen[folder] = now if keeps_outline(frame, len(files.frames)) else without_outline(now)
    return _FrameReport(seen=seen, opened=opened, findings=tuple(findings), notes=tuple(notes))


def _ended_before(contents: Contents, frame: int) -> bool:
    """Tell whether frames are a video that ends before this one, or is none: that has been said of all of it."""
    match contents:
        case FramesOfVideo(count=count):
            return frame >= count
        case _:
            return False


def _other_size(path: Content, size: Size | None, seen: Mapping[str, Seen]) -> Iterator[Finding]:
    """Yield an error where a file is not as large as the first of its frame that has a size."""
    other, usual = next(((other, file.size) for other, file in seen.items() if file.size is not None), ("", None))
    if size is not None and usual is not None and size != usual:
        what = f"is {_show(size)} pixels, its frame in {other} {_show(usual)}"
        is_turned = IMAGES in seen and TURNED in seen[IMAGES].notes
        yield error(path, what, TURNED_FIX if is_turned else "bring the files of a frame to one size")


def _check_sequence(
    config: StoredConfig, frames: Sequence[tuple[_Job, _FrameReport]], sums: _Sums
) -> Iterator[Finding]:
    """Yield what is wrong with the frames of a sequence, each for itself and with all of them; add to the sums."""
    files = frames[0][0][0]
    reports = {frame: report for (_, frame), report in frames}
    yield from _of_frames(files, reports.values())
    for report in reports.values():
        _add(sums, report)
    yield from _check_sizes(files, reports)
    names = files.frames
    pictures = _traces(IMAGES, len(names), reports)
    yield from check_pictures(files.files[IMAGES].place, names, pictures)
    for kind in filter(has_files, config.labels):
        place, traces = files.files[kind.folder].place, _traces(kind.folder, len(names), reports)
        yield from check_labels(place, traces, pictures)
        yield from check_steps(place, traces, pictures)
        yield from handler_of(kind).check_sequence(place, names, traces)
    flow = flow_files(config.flow)
    if flow is not None:
        yield from check_motion(flow, files)


def _of_frames(files: FrameFiles, reports: Iterable[_FrameReport]) -> Iterator[Finding]:
    """Yield what is wrong with single frames; what is said of many that one file holds, of the first of them."""
    alike: dict[tuple[str, str], list[Finding]] = {}
    for folder, finding in (found for report in reports for found in report.findings):
        match files.files[folder]:
            case FramesOfVideo() | MembersOfShards():
                alike.setdefault((folder, finding.what), []).append(finding)
            case _:
                yield finding
    for first, *others in alike.values():
        also = f" (as {counted(len(others), 'frame')} after it)" if others else ""
        yield attrs.evolve(first, what=first.what + also)


def _add(sums: _Sums, report: _FrameReport) -> None:
    sums.opened += report.opened
    for folder, seen in report.seen.items():
        if folder == IMAGES and seen.size is not None:
            sums.sizes[seen.size] += 1
        if seen.counts is not None:
            sums.classes.setdefault(folder, np.zeros(256, np.int64))[:] += seen.counts
    for folder, note, path in report.notes:
        sums.notes[folder, note] += 1
        if sums.notes[folder, note] <= 1 + _NAMED_FILES:
            sums.noted.setdefault((folder, note), []).append(path)


def _traces(folder: str, frames: int, reports: Mapping[int, _FrameReport]) -> Traces:
    seen = {frame: report.seen[folder].trace for frame, report in reports.items() if folder in report.seen}
    return [seen.get(frame) for frame in range(frames)]


def _noted(sums: _Sums) -> Iterator[Finding]:
    """Yield one warning for all files of a folder of which their reader said the same."""
    for key, count in sums.notes.items():
        first, *others = sums.noted[key]
        named = ", ".join(short_name(content) for content in others)
        also = f" ({count} such files, the next: {named})" if others else ""
        yield warning(key[1], first, f"{key[1]}{also}", "")


def _show(size: Size) -> str:
    return f"{size[1]}x{size[0]}"


def _check_sizes(files: FrameFiles, reports: Mapping[int, _FrameReport]) -> Iterator[Finding]:
    """Yield errors for images whose size is not the usual one of their sequence."""
    sizes = {frame: report.seen[IMAGES].size for frame, report in reports.items() if IMAGES in report.seen}
    usual = Counter(sizes.values()).most_common(1)[0][0] if sizes else None
    for frame, size in sizes.items():
        if size is not None and usual is not None and size != usual:
            path = file_of(IMAGES, files, frame)
            what = f"is {_show(size)} pixels, the other images of the sequence are {_show(usual)}"
            yield error(path, what, "bring the files of a sequence to one size")


def _report(
    config: StoredConfig,
    layout: Layout,
    sums: _Sums,
    findings: Sequence[Finding],
    amount: Amount,
    *,
    decoded: bool,
) -> CheckReport:
    infos = class_ids_in(label_infos(config.labels))
    totals = {folder: sums.classes.get(folder, np.zeros(256, np.int64)) for folder in infos}
    return CheckReport(
        root=layout.root,
        sequences=tuple(SequenceInfo(name=files.name, frames=len(files.frames)) for files in layout.sequences),
        sizes=dict(sums.sizes),
        class_pixels={folder: tuple(totals[folder][: info.classes].tolist()) for folder, info in infos.items()},
        ignored_pixels={
            folder: 0 if info.ignore_id is None else int(totals[folder][info.ignore_id])
            for folder, info in infos.items()
        },
        opened=sums.opened,
        findings=tuple(sorted(findings, key=lambda finding: finding.severity)),
        amount=amount,
        decoded=decoded,
        in_all=sum(1 for files in layout.sequences for contents in files.files.values() for _ in all_in(contents)),
    )


def check_roots(config: StoredConfig) -> tuple[Literal["train", "val"], ...]:
    """Return the splits that differ: ("train",), or ("train", "val") when anything of its own is held out."""
    match config:
        case VideoConfig(val_seconds=seconds) if seconds > 0:
            return "train", "val"
        case StoredConfig(val_sequences=count) if count > 0:
            return "train", "val"
        case _:
            return ("train",) if place_of(config, "train") == place_of(config, "val") else ("train", "val")


def look_at_folder(
    config: StoredConfig,
    split: Literal["train", "val"],
    *,
    progress: Watch | None = None,
    sequences: int | None = None,
    severity: bool = True,
) -> tuple[str, ...]:
    """Check a folder before something is made of it; what was found, in lines for people: counted, the first in full.

    Args:
        config: Of the folder.
        split: Which root of the configuration.
        progress: Called from time to time.
        sequences: Open files of the first so many sequences only; None: of all.
        severity: Whether lines on findings begin with "warning", which all of them are.

    Raises:
        DataError: something is wrong; the first finding, and how many more there are.
    """
    report = check_folder(config, split=split, progress=progress, sequences=sequences)
    command = check_command(config, split)
    if report.errors:
        first, more = report.errors[0], len(report.errors) - 1
        rest = f" ({counted(more, 'more finding')}: `{command}` lists all)" if more else ""
        raise DataError(first.what, file=first.file, fix=f"{first.fix}{rest}")
    frames = sum(info.frames for info in report.sequences[:sequences])
    costs = _costs(config, split)
    if not report.findings:
        return (f"{split} data: {frames} frames looked at, nothing wrong with them", *costs)
    return (
        f"{split} data: {frames} frames looked at, {counted(len(report.findings), 'warning')}",
        *shortened(report.findings, f"`{command}` shows all", severity=severity),
        *costs,
    )


def _costs(config: StoredConfig, split: Literal["train", "val"]) -> tuple[str, ...]:
    """Say what a network costs that flow comes from, once."""
    match config.flow:
        case NetworkFlowConfig() as network if split == check_roots(config)[0]:
            return (describe_network(network, (config.height, config.width)),)
        case _:
            return ()
