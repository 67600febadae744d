"""What `synthesize` does: labels in, frames out, one at a time; several processes share the sequences."""

import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

import attrs
from vs_config import report_error, shown
from vs_config.progress import Progress, show_progress
from vs_data import VsDataError
from vs_metrics import open_pipe, open_sink, unfinished
from vs_metrics.sinks import Add
from vs_nets import VsNetsError
from vs_runtime.ranks import ONE, Ranks
from vs_synthesis import VsSynthesisError, picture_of, synthesise_sequence

from vs_eval.errors import OptionError, VsEvalError
from vs_eval.opening import say_warning
from vs_eval.sharing import agreed, own_share, shared, warn_of_idle
from vs_eval.synthesize.opening import PIPE, Job, OpenedSynthesis, SynthesisRequest, open_synthesis


@attrs.define
class _Standing:
    """The place that a synthesis has come to: the sequence, and how many of its frames are made."""

    job: Job | None = None
    count: int = 0

    @property
    def words(self) -> str:
        """What there is of an unfinished sequence; empty where nothing was made."""
        if self.job is None or not self.count:
            return ""
        made = f"{self.count} frame{'s' if self.count > 1 else ''}"
        where = "standard output" if self.job.out is None else str(unfinished(self.job.out))
        return f"{made} made until then {'are' if self.count > 1 else 'is'} in {where}"


def run_synthesis(request: SynthesisRequest, ranks: Ranks = ONE) -> int:
    """Do what the command line asks for, and return the exit status.

    Raises:
        VsEvalError: a label in the middle is bad, and what was made before it is named (and whatever opening raises).
    """
    opened = agreed(ranks, lambda: _open(request, ranks))
    for notice in opened.notices:
        say_warning(notice)
    warn_of_idle(ranks, len(opened.jobs))
    standing, frames = _Standing(), [job.sequence.frames or 1 for job in opened.jobs]
    try:
        with show_progress("synthesizing", unit="frames", at_once=True) as progress:

            def make(number: int) -> int:
                return _make(opened, opened.jobs[number], request, standing, progress)

            counts: list[int] = shared(ranks, frames, make, int)
    except (KeyboardInterrupt, SystemExit) as stop:
        status = stop.code if isinstance(stop, SystemExit) and isinstance(stop.code, int) else 130
        return report_error(f"stopped; {standing.words or 'nothing was written'}", status=status)
    for number in sorted(set(range(len(counts))) - set(own_share(ranks, frames))):
        _tell(opened.jobs[number], counts[number])
    return 0


def _open(request: SynthesisRequest, ranks: Ranks) -> OpenedSynthesis:
    if ranks.count > 1 and PIPE in (request.labels, request.out):
        option = "--labels" if request.labels == PIPE else "--out"
        raise OptionError(option, f"{ranks.count} processes cannot share a pipe; name a file or folder, or start one")
    return open_synthesis(request)


def _make(opened: OpenedSynthesis, job: Job, request: SynthesisRequest, standing: _Standing, progress: Progress) -> int:
    """Make a sequence, and return the number of its frames."""
    standing.job, standing.count = job, 0
    model, name = opened.model, job.sequence.name
    with _explained(standing):
        progress.update(0, job.sequence.frames, what=f"{name} on {model.device}")
        made = synthesise_sequence(model, job.sequence, job.fit, subject=opened.subject, first_frame=job.first_frame)
        with _sink(job) as add:
            for each in made:
                add(picture_of(model, each, beside=request.beside))
                standing.count += 1
                progress.update(standing.count, job.sequence.frames)
    _tell(job, standing.count)
    standing.job = None
    return standing.count


def _tell(job: Job, frames: int) -> None:
    if job.out is not None:
        print(f"{shown(job.out)}: {frames} frames", flush=True)


def _sink(job: Job) -> AbstractContextManager[Add]:
    if job.out is None:
        return open_pipe(sys.stdout.buffer)
    return open_sink(job.out, job.options)


@contextmanager
def _explained(standing: _Standing) -> Iterator[None]:
    """Add to what went wrong in the middle what was made until then."""
    try:
        yield
    except BrokenPipeError:
        raise VsEvalError(f"standard output was closed after {standing.count} frames") from None
    except (VsDataError, VsNetsError, VsSynthesisError, OSError) as error:
        if not standing.words:
            raise
        raise VsEvalError(f"{error}; {standing.words}") from None
