"""The reader of labels that an evaluation judges agreement by: trained once on the data of a run, kept with reports.

Its weights lie in the report, so that those who have the report can read what it has read, and so that the next report
beside it need not train another.
"""

import hashlib
from collections.abc import Iterable
from pathlib import Path

import attrs
import safetensors
import safetensors.torch
from rich.console import Console
from vs_config.progress import show_progress
from vs_data import ClipSource, SourceConfig, open_source, spread_frames
from vs_nets import LabelSpec
from vs_runtime.ranks import Ranks
from vs_training.quality.reader import STEPS, TRAINING_FRAMES, LabelReader, examples_of, train_reader
from vs_training.quality.reading import LEAST_FRAMES, Readable, readable_labels

from vs_eval.sharing import agreed

READER = "label-reader.safetensors"
"""The file of a report that holds the reader."""

SEED = 0
"""Of every reader: runs on the same data are judged by the same one."""

COMPARED_FRAMES = 8
"""Frames, spread over the data, by whose contents data are told apart that are otherwise described alike."""

_VERSION = 2

UNREAD = "a model does not come with the frames that it was trained on: agreement with labels cannot be judged"
"""What is said where there are no real frames that a reader could learn from."""


@attrs.frozen(kw_only=True, eq=False)
class ReaderPlan:
    """A plan of a reader: what it reads, the real frames that it learns from, and the key of what comes out."""

    readable: Readable
    source: ClipSource
    key: str


@attrs.frozen(kw_only=True, eq=False)
class Reading:
    """A reader, and what it reads."""

    readable: Readable
    reader: LabelReader


def too_few(labels: LabelSpec, frames: int) -> str | None:
    """Say why labels are not read in so few frames; None: they are enough, or nothing could be read in any."""
    if frames >= LEAST_FRAMES or readable_labels(labels) is None:
        return None
    plural = "" if frames == 1 else "s"
    few = f"{frames} frame{plural} to score, and agreement with labels needs at least {LEAST_FRAMES}"
    return f"{few}: it is not judged; give more by --frames or --clips"


def plan_reader(labels: LabelSpec, seen: SourceConfig | None) -> ReaderPlan | None:
    """Plan the reader of a run's labels; None where they cannot be read, or nothing is there to learn from."""
    readable = readable_labels(labels)
    if readable is None or seen is None:
        return None
    source = open_source(seen, "train")
    told = (_VERSION, SEED, STEPS, TRAINING_FRAMES, readable, seen, source.sequences, _contents(source))
    return ReaderPlan(readable=readable, source=source, key=hashlib.sha256(repr(told).encode()).hexdigest())


def shared_reader(plan: ReaderPlan, out: Path, draft: Path, console: Console, ranks: Ranks) -> Reading:
    """Return the reader, the same in all processes: the first one finds or trains it, and puts it into the report.

    Args:
        plan: see `plan_reader`.
        out: where the report goes; one that is there, and those beside it, are looked through for the reader.
        draft: of the report.
        console: where to show how far training has come.
        ranks: the processes.
    """

    def provide() -> None:
        if ranks.first:
            found = find_reader([out, *_beside(out)], plan)
            write_reader(draft / READER, _trained(plan, console) if found is None else found, plan.key)

    agreed(ranks, provide)
    return Reading(readable=plan.readable, reader=read_reader(draft / READER, plan.readable))


def find_reader(reports: Iterable[Path], plan: ReaderPlan) -> LabelReader | None:
    """Return the reader of a plan from the first of some reports that has it; None where none has."""
    for report in reports:
        try:
            with safetensors.safe_open(report / READER, framework="pt") as file:
                if (file.metadata() or {}).get("key") == plan.key:
                    return read_reader(report / READER, plan.readable)
        except (OSError, safetensors.SafetensorError):
            continue
    return None


def write_reader(path: Path, reader: LabelReader, key: str) -> None:
    """Write a reader, with the key of the plan that it was trained by."""
    weights = {name: value.contiguous() for name, value in reader.state_dict().items()}
    safetensors.torch.save_file(weights, path, metadata={"key": key})


def read_reader(path: Path, readable: Readable) -> LabelReader:
    """Read a reader that `write_reader` wrote."""
    reader = LabelReader(readable.classes)
    reader.load_state_dict(safetensors.torch.load_file(path))
    return reader.eval().requires_grad_(False)


def _contents(source: ClipSource) -> str:
    """Return a digest of what some frames and their labels hold."""
    digest = hashlib.sha256()
    for clip in spread_frames(source, COMPARED_FRAMES):
        for _, values in [("frames", clip.frames), *sorted(clip.labels.items())]:
            digest.update(values.contiguous().numpy().tobytes())
    return digest.hexdigest()


def _trained(plan: ReaderPlan, console: Console) -> LabelReader:
    with show_progress("learning to read labels in real frames", unit="steps", stream=console.file) as shown:
        examples = examples_of(spread_frames(plan.source, TRAINING_FRAMES), plan.readable)
        return train_reader(examples, plan.readable.classes, seed=SEED, tell=shown.update, steps=STEPS)


def _beside(out: Path) -> list[Path]:
    """Return the directories beside a report, in the order of their names."""
    return sorted(path for path in out.parent.iterdir() if path.is_dir()) if out.parent.is_dir() else []
