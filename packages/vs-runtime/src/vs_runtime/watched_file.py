"""Files that a run appends to for hours, and that somebody may remove meanwhile."""

import os
from pathlib import Path

from vs_runtime.errors import RunDirectoryError
from vs_runtime.files import naming


class WatchedFile:
    """A file that is appended to, each write whole and at once: errors name it, its removal is one."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = path.open("ab", buffering=0)

    def write(self, data: bytes) -> None:
        """Append all of the data.

        Raises:
            OSError: It cannot be written, with the path of the file.
            RunDirectoryError: The file was removed or replaced.
        """
        self._require_there()
        rest = memoryview(data)
        with naming(self._path):
            while rest:
                rest = rest[self._file.write(rest) :]

    def sync(self) -> None:
        """Have the disk hold what was written; raises as `write` does."""
        self._require_there()
        with naming(self._path):
            os.fsync(self._file.fileno())

    def close(self) -> None:
        """Have the disk hold what was written, and close the file."""
        with self._file, naming(self._path):
            os.fsync(self._file.fileno())

    def _require_there(self) -> None:
        """See that the file is still there: one that was deleted can be written to for ever, and nobody finds it."""
        try:
            there = os.path.samestat(self._path.stat(), os.fstat(self._file.fileno()))
        except OSError:
            there = False
        if not there:
            message = f"{self._path}: was removed or replaced while the run was writing to it; put it back"
            raise RunDirectoryError(f"{message} and go on with --resume", path=self._path)
