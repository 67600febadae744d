"""The numbers and pictures of a run as TensorBoard shows them."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

import torch
from vs_runtime.watched_file import WatchedFile

if TYPE_CHECKING:
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.summary.writer.record_writer import RecordWriter


class Curves:
    """TensorBoard's event files: scalars and pictures by name.

    They are written by the caller's thread. TensorBoard's own writer has another one do it, which prints a stack trace
    when the disk is full, and says so to nobody. TensorBoard is imported when the first value is written, since that
    takes a second.
    """

    def __init__(self, path: Path, *, resume_after: int | None = None) -> None:
        """Prepare to write.

        Args:
            path: Directory of the event files.
            resume_after: When a run is resumed, the step of its checkpoint: what was written later is purged.
        """
        self.path = path
        self._purge_step = None if resume_after is None else resume_after + 1
        self._file: WatchedFile | None = None
        self._records: RecordWriter | None = None

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Add numbers, each to the curve of its name.

        Raises:
            OSError: They cannot be written, with the path of the file.
            RunDirectoryError: The file was removed while it was written to.
        """
        from torch.utils.tensorboard.summary import scalar

        self._add(step, [scalar(name, value) for name, value in values.items()])

    def image(self, step: int, name: str, picture: torch.Tensor) -> None:
        """Add a picture: (3,H,W) uint8 RGB.

        Raises:
            ValueError: Another shape or type.
            OSError, RunDirectoryError: As `scalars`.
        """
        if picture.ndim != 3 or picture.shape[0] != 3 or picture.dtype != torch.uint8:
            raise ValueError(f"expected a (3,H,W) uint8 picture, got {tuple(picture.shape)} {picture.dtype}")
        from torch.utils.tensorboard.summary import image

        self._add(step, [image(name, picture.cpu().numpy(), dataformats="CHW")])

    def flush(self) -> None:
        """Have the disk hold what was written."""
        if self._file is not None:
            self._file.sync()

    def close(self) -> None:
        """Have the disk hold what was written, and close the file."""
        if self._file is not None:
            file, self._file, self._records = self._file, None, None
            file.close()

    def __enter__(self) -> Curves:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _add(self, step: int, summaries: list[Summary]) -> None:
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary

        if self._records is None:
            self._open()
        values = [value for summary in summaries for value in summary.value]
        self._write(Event(wall_time=time.time(), step=step, summary=Summary(value=values)))

    def _open(self) -> None:
        """Begin a file as TensorBoard does, and have it forget later steps of an earlier file."""
        from tensorboard.compat.proto.event_pb2 import Event, SessionLog
        from tensorboard.summary.writer.record_writer import RecordWriter

        self.path.mkdir(parents=True, exist_ok=True)
        number = sum(1 for _ in self.path.iterdir())  # names order files of the same second
        name = f"events.out.tfevents.{int(time.time()):010d}.{socket.gethostname()}.{os.getpid()}.{number:04d}"
        self._file = WatchedFile(self.path / name)
        self._records = RecordWriter(self._file)
        self._write(Event(wall_time=time.time(), file_version="brain.Event:2"))
        if self._purge_step is not None:
            start = SessionLog(status=SessionLog.START)
            self._write(Event(wall_time=time.time(), step=self._purge_step, session_log=start))

    def _write(self, event: Event) -> None:
        assert self._records is not None  # noqa: S101 - the callers have opened it
        self._records.write(event.SerializeToString())
