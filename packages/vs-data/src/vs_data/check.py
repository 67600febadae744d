"""Looking at a whole data folder before it costs training time: every file is opened, everything wrong is listed."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, Literal

import attrs
import cv2
import numpy as np
from numpy.typing import NDArray

from vs_data.clips import SequenceInfo
from vs_data.errors import DataError
from vs_data.flow import FlowFilesConfig, NoFlowConfig, read_flow
from vs_data.folder import FolderConfig, expand_user, root_of, scan_folder
from vs_data.labels import SegMapsConfig, fix_for_ids, ids_out_of_range
from vs_data.landmark_files import read_landmarks, slightly_outside
from vs_data.layout import IMAGES, Finding, FrameFiles, Layout, file_of
from vs_data.pictures import read_ids, read_rgb

_Size = tuple[int, int]
_Job = tuple[FrameFiles, int]


@attrs.frozen(kw_only=True)
class CheckReport:
    """What a data folder holds and what is wrong with it.

    Attributes:
        root: The folder.
        sequences: Names and numbers of frames.
        sizes: (height, width) of images -> how many images; of those that were opened.
        class_pixels: Label kind -> pixels per class id (index 0 to num_classes - 1); of kinds that are class ids.
        ignored_pixels: Label kind -> pixels with the kind's ignore id; of the same kinds.
        opened: How many files were opened.
        findings: Everything wrong, errors first.
    """

    root: str
    sequences: tuple[SequenceInfo, ...]
    sizes: Mapping[_Size, int]
    class_pixels: Mapping[str, tuple[int, ...]]
    ignored_pixels: Mapping[str, int]
    opened: int
    findings: tuple[Finding, ...]

    @property
    def frames(self) -> int:
        """Frames of all sequences."""
        return sum(sequence.frames for sequence in self.sequences)

    @property
    def errors(self) -> tuple[Finding, ...]:
        """The findings that would make training fail."""
        return tuple(finding for finding in self.findings if finding.severity == "error")


@attrs.frozen(kw_only=True)
class _FrameReport:
    """What was seen in the files of one frame."""

    size: _Size | None
    counts: Mapping[str, NDArray[np.uint32]]
    opened: int
    findings: tuple[Finding, ...]


def check_folder(
    config: FolderConfig | str | Path,
    *,
    split: Literal["train", "val"] = "train",
    every: int = 1,
    threads: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> CheckReport:
    """Open every file of a data folder and list everything that is wrong with it.

    Args:
        config: Of the folder; a bare path means the default configuration, with flow files if there is a folder `flow`.
        split: Which root of the configuration.
        every: Open only every n-th frame, counted through all sequences; names are always compared in full.
        threads: How many files are decoded at once; None: one per available core, at most 8.
        progress: Called with (frames done, frames in all) from time to time.

    Raises:
        DataError: there is no such folder, or no images in it at all.
    """
    if every < 1 or (threads is not None and threads < 1):
        raise DataError(f"every is {every}, threads is {threads}, allowed: at least 1")
    config = config if isinstance(config, FolderConfig) else default_config(config)
    layout = scan_folder(config, split)
    jobs = [(files, frame) for files in layout.sequences for frame in range(len(files.frames))][::every]
    frames = _check_frames(config, layout.root, jobs, threads or min(8, _cores()), progress)
    findings = [*layout.findings, *(finding for frame in frames for finding in frame.findings)]
    findings.extend(_check_sizes(layout, jobs, frames))
    return _report(config, layout, frames, findings)


def default_config(root: str | Path) -> FolderConfig:
    """The default configuration for a folder, with flow files if it has a folder `flow`."""
    files = FlowFilesConfig()
    has_flow = (expand_user(root) / files.folder).is_dir()
    return FolderConfig(root=str(root), flow=files if has_flow else NoFlowConfig())


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)


def _check_frames(
    config: FolderConfig,
    root: str,
    jobs: Sequence[_Job],
    threads: int,
    progress: Callable[[int, int], None] | None,
) -> list[_FrameReport]:
    log_level = cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)  # bad files are in the findings
    reports = []
    pool = ThreadPoolExecutor(threads)
    try:
        for report in pool.map(lambda job: _check_frame(config, root, *job), jobs):
            reports.append(report)
            if progress is not None:
                progress(len(reports), len(jobs))
    finally:
        pool.shutdown(cancel_futures=True)
        cv2.utils.logging.setLogLevel(log_level)
    return reports


def _check_frame(config: FolderConfig, root: str, files: FrameFiles, frame: int) -> _FrameReport:
    """Open all files of one frame; they must agree in size with the first of them that can be read."""
    findings: list[Finding] = []
    counts: dict[str, NDArray[np.uint32]] = {}
    sizes: dict[str, _Size] = {}
    opened = 0
    for folder, look in _looks(config):
        path = file_of(root, folder, files, frame)
        if path is None:
            continue
        opened += 1
        try:
            seen = look(path, sizes.get(IMAGES))
        except DataError as error:
            findings.append(_error(path, error.what, error.fix))
            continue
        findings.extend(seen.findings)
        if seen.counts is not None:
            counts[folder] = seen.counts
        if seen.size is None:
            continue
        other = next(iter(sizes), None)
        if other is not None and seen.size != sizes[other]:
            what = f"is {_show(seen.size)} pixels, its frame in {other} {_show(sizes[other])}"
            findings.append(_error(path, what, "bring the files of a frame to one size"))
        sizes[folder] = seen.size
    return _FrameReport(size=sizes.get(IMAGES), counts=counts, opened=opened, findings=tuple(findings))


@attrs.frozen(kw_only=True)
class _Seen:
    """What was seen in one file; `size` is None for what has none of its own."""

    size: _Size | None
    counts: NDArray[np.uint32] | None = None
    findings: tuple[Finding, ...] = ()


_Look = Callable[[Path, _Size | None], _Seen]


def _looks(config: FolderConfig) -> Iterator[tuple[str, _Look]]:
    """Per folder, how to look at one of its files, given the size of the frame's image where that is known."""
    yield IMAGES, lambda path, _: _Seen(size=_size(read_rgb(path)))
    for kind in config.labels:
        yield kind.folder, partial(_look_at_ids, kind=kind) if isinstance(kind, SegMapsConfig) else _look_at_landmarks
    if isinstance(config.flow, FlowFilesConfig):
        yield config.flow.folder, lambda path, _: _Seen(size=_size(read_flow(path)[0]))


def _look_at_ids(path: Path, _picture: _Size | None, kind: SegMapsConfig) -> _Seen:
    ids = read_ids(path)
    problem = ids_out_of_range(ids, kind)
    return _Seen(
        size=_size(ids),
        counts=np.bincount(ids.ravel(), minlength=256).astype(np.uint32),
        findings=() if problem is None else (_error(path, problem, fix_for_ids(kind)),),
    )


def _look_at_landmarks(path: Path, picture: _Size | None) -> _Seen:
    points = read_landmarks(path, picture)
    outside = None if picture is None else slightly_outside(points, picture)
    if outside is None:
        return _Seen(size=None)
    fix = "fine for a face that is cut off by the picture's edge"
    return _Seen(size=None, findings=(Finding(severity="warning", file=str(path), what=outside, fix=fix),))


def _size(pixels: NDArray[Any]) -> _Size:
    return pixels.shape[0], pixels.shape[1]


def _show(size: _Size) -> str:
    return f"{size[1]}x{size[0]}"


def _check_sizes(layout: Layout, jobs: Sequence[_Job], frames: Sequence[_FrameReport]) -> Iterator[Finding]:
    """Images whose size is not the usual one of their sequence."""
    seen: dict[str, Counter[_Size]] = {}
    for (files, _), report in zip(jobs, frames, strict=True):
        if report.size is not None:
            seen.setdefault(files.name, Counter())[report.size] += 1
    for (files, frame), report in zip(jobs, frames, strict=True):
        if report.size is None or len(seen[files.name]) == 1:
            continue
        usual = seen[files.name].most_common(1)[0][0]
        if report.size != usual:
            path = file_of(layout.root, IMAGES, files, frame)
            what = f"is {_show(report.size)} pixels, the other images of the sequence are {_show(usual)}"
            yield _error(path, what, "bring the files of a sequence to one size")


def _report(
    config: FolderConfig, layout: Layout, frames: Sequence[_FrameReport], findings: Sequence[Finding]
) -> CheckReport:
    maps = [kind for kind in config.labels if isinstance(kind, SegMapsConfig)]
    totals = {kind.folder: np.zeros(256, np.int64) for kind in maps}
    for frame in frames:
        for folder, count in frame.counts.items():
            totals[folder] += count
    return CheckReport(
        root=layout.root,
        sequences=tuple(SequenceInfo(name=files.name, frames=len(files.frames)) for files in layout.sequences),
        sizes=dict(Counter(frame.size for frame in frames if frame.size is not None)),
        class_pixels={kind.folder: tuple(totals[kind.folder][: kind.num_classes].tolist()) for kind in maps},
        ignored_pixels={
            kind.folder: 0 if kind.ignore_id is None else int(totals[kind.folder][kind.ignore_id]) for kind in maps
        },
        opened=sum(frame.opened for frame in frames),
        findings=tuple(sorted(findings, key=lambda finding: finding.severity)),
    )


def _error(path: Path | None, what: str, fix: str | None) -> Finding:
    return Finding(severity="error", file=str(path), what=what, fix=fix or "")


def check_roots(config: FolderConfig) -> tuple[Literal["train", "val"], ...]:
    """The splits whose folders differ: ("train",), or ("train", "val") when there is a `val_root` of its own."""
    return ("train",) if root_of(config, "train") == root_of(config, "val") else ("train", "val")
