"""Another revision's sources in a temporary folder; the repository is only read."""

import contextlib
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path

import attrs
from vs_config import show, shown

from vs_bench.errors import VsBenchError
from vs_bench.results import ROOT


@attrs.frozen(kw_only=True)
class Sources:
    """A revision's packages, in files.

    Attributes:
        name: what the revision is called in tables.
        revision: its hash; with `-dirty` behind it where files differ from it.
        folder: that holds its `packages`.
    """

    name: str
    revision: str
    folder: Path


def find_revision(asked: str, repository: Path = ROOT) -> str:
    """Return the hash of what is asked for: a branch, a tag, a hash, `HEAD~3`.

    Raises:
        VsBenchError: there is no such commit, no repository, or no git.
    """
    if _git(repository, "rev-parse", "--git-dir").returncode:
        raise VsBenchError(f"--against: {repository} is no checkout of a git repository, which other revisions are in")
    found = _git(repository, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{asked}^{{commit}}")
    if found.returncode:
        raise VsBenchError(f"--against: expected a revision of this repository, got {show(asked)}; see git log")
    return found.stdout.decode().strip()


@contextlib.contextmanager
def sources_of(revision: str, repository: Path = ROOT) -> Iterator[Sources]:
    """Write the sources of a revision, given by its hash, to a temporary folder, which goes when the context does.

    Raises:
        VsBenchError: git cannot read it.
    """
    with tempfile.TemporaryDirectory(prefix="vs-bench-") as place, tempfile.TemporaryFile() as archive:
        done = _git(repository, "archive", "--format=tar", revision, output=archive.fileno())
        if done.returncode:
            said = shown(done.stderr.decode(errors="replace").strip())
            raise VsBenchError(f"--against: git archive {revision}: {said}")
        archive.seek(0)
        with tarfile.open(fileobj=archive) as members:
            members.extractall(place, filter="data")
        yield Sources(name=f"revision {revision[:9]}", revision=revision, folder=Path(place))


def _git(repository: Path, *arguments: str, output: int = subprocess.PIPE) -> subprocess.CompletedProcess[bytes]:
    command = ["git", "-C", str(repository), *arguments]
    try:
        return subprocess.run(command, stdout=output, stderr=subprocess.PIPE, check=False)
    except OSError as error:
        raise VsBenchError(f"--against: git, which other revisions are read with, cannot be run: {error}") from error
