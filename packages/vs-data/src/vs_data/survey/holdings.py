"""What a folder beside the pictures holds: its files, what most of them are called, and a sample of them."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import attrs
import numpy as np

from vs_data.content import Content, content_in
from vs_data.layout import FrameFiles

_SAMPLE = 100  # files of a folder that are looked at


@attrs.frozen(kw_only=True)
class Holding:
    """The files of a folder, of all sequences.

    Attributes:
        folder: Its name.
        contents: The files, at least one.
    """

    folder: str
    contents: tuple[Content, ...]

    @property
    def ending(self) -> str:
        """What most of the files end in."""
        return Counter(map(_ending, self.contents)).most_common(1)[0][0]

    @property
    def sample(self) -> list[Content]:
        """Some of the files, from all over, the first among them."""
        picked = np.linspace(0, len(self.contents) - 1, min(_SAMPLE, len(self.contents))).astype(int)
        return [self.contents[index] for index in np.unique(picked)]


def holding_of(folder: str, sequences: Sequence[FrameFiles]) -> Holding | None:
    """Return what a folder holds; None: nothing."""
    contents = tuple(
        content
        for files in sequences
        if folder in files.files
        for frame in range(len(files.frames))
        if (content := content_in(files.files[folder], frame)) is not None
    )
    return Holding(folder=folder, contents=contents) if contents else None


def says(folder: str, *words: str) -> bool:
    """Return whether a folder is called by one of some words."""
    return any(word in folder.casefold() for word in words)


def _ending(content: Content) -> str:
    return Path(str(content).partition(" frame ")[0]).suffix.lower()
