"""What a preset of a few minutes reaches, with one seed or several: `measure_presets.py street-tiny --seeds 0 1 2`.

Each seed is trained and evaluated by the commands that the README names, one after the other, and what comes out is
held against what is asked of the preset. `--store` writes `docs/benchmarks/PRESET-seeds-cpu.json`, for documents.
"""

import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from time import perf_counter
from typing import Annotated, Any, Literal

import attrs
from cyclopts import Parameter
from vs_bench.errors import VsBenchError
from vs_bench.results import ROOT, begin, save_records
from vs_config.commands import run_command

Scores = Mapping[str, float]
"""Name of a measure, as the evaluation's report.json has it -> value."""

LONGEST = 3600
"""Seconds that a training or an evaluation may take."""


@attrs.frozen(kw_only=True)
class Target:
    """A limit for every seed of a preset: `value` of its scores is at least, or at most, `limit`."""

    title: str
    value: Callable[[Scores], float]
    limit: float
    least: bool = False

    def met(self, scores: Scores) -> bool:
        """Say whether the scores of a seed do it."""
        return self.value(scores) >= self.limit if self.least else self.value(scores) <= self.limit


@attrs.frozen(kw_only=True)
class Subject:
    """A preset: the command that it is for, the section of the report that counts, and what is asked of it.

    `evaluation` leaves out of the evaluation what nothing is asked of.
    """

    command: Literal["vid2vid", "few-shot"]
    section: str | None = None
    evaluation: tuple[str, ...] = ()
    targets: tuple[Target, ...]


PRESETS: Mapping[str, Subject] = {
    "street-tiny": Subject(
        command="vid2vid",
        targets=(
            Target(
                title="PSNR above class colours, dB",
                value=lambda scores: scores["psnr/generated"] - scores["psnr/class_mean"],
                limit=1.5,
                least=True,
            ),
            Target(
                title="SSIM above class colours",
                value=lambda scores: scores["ssim/generated"] - scores["ssim/class_mean"],
                limit=0.03,
                least=True,
            ),
            Target(
                title="temporal warping error, times the real video's",
                value=lambda scores: scores["warping/generated"] / scores["warping/real"],
                limit=1.5,
            ),
            Target(
                title="agreement with labels, of real frames'",
                value=lambda scores: scores["label_agreement"],
                limit=0.75,
                least=True,
            ),
            Target(
                title="grid that stays, levels of 255 above real frames'",
                value=lambda scores: scores["still_grid"] - scores["still_grid/real"],
                limit=0.5,
            ),
        ),
    ),
    "faces-tiny": Subject(
        command="few-shot",
        section="references-1",
        evaluation=("--references", "1", "--no-drive"),
        targets=(
            Target(
                title="SSIM in the head", value=lambda scores: scores["head_ssim/generated"], limit=0.55, least=True
            ),
            Target(title="identity colours, delta E", value=lambda scores: scores["colour/generated"], limit=10.0),
        ),
    ),
    "dancers-tiny": Subject(
        command="vid2vid",
        targets=(
            Target(
                title="PSNR above class colours, dB",
                value=lambda scores: scores["psnr/generated"] - scores["psnr/class_mean"],
                limit=1.5,
                least=True,
            ),
        ),
    ),
}
"""Presets, and what is asked of them."""


def measure(
    preset: Annotated[Literal["street-tiny", "faces-tiny", "dancers-tiny"], Parameter(help="What is trained.")],
    /,
    *,
    seeds: Annotated[tuple[int, ...], Parameter(help="A run for each.", consume_multiple=True)] = (0,),
    out: Annotated[Path, Parameter(help="Where the runs go.")] = Path("runs/presets"),
    store: Annotated[bool, Parameter(help="Keep the result for the documents.", negative="")] = False,
) -> int:
    """Print what each seed reaches, and whether that is what is asked; the exit status is 1 if it is not."""
    begun, subject = begin(), PRESETS[preset]
    found = {seed: _train_and_evaluate(preset, subject, seed, out / f"{preset}-{seed}") for seed in seeds}
    missed = _print(subject, found)
    if store:
        command = f"python tools/measure_presets.py {preset} --seeds {' '.join(map(str, seeds))}"
        print(save_records(_document(subject, found), f"{preset}-seeds-cpu", command=command, begun=begun))
    return 1 if missed else 0


@attrs.frozen(kw_only=True)
class Reached:
    """The outcome of a seed: scores, claims of the report that do not hold, and seconds of training."""

    scores: Scores
    lost: tuple[str, ...]
    seconds: float


def _train_and_evaluate(preset: str, subject: Subject, seed: int, run: Path) -> Reached:
    begun = perf_counter()
    call("vs_train", subject.command, "--preset", preset, "--out", str(run), f"seed={seed}")
    seconds = perf_counter() - begun
    call("vs_eval", subject.command, str(run), "--out", str(run / "eval"), *subject.evaluation)
    return read_report(run / "eval" / "report.json", subject, seconds)


def call(*arguments: str) -> None:
    """Run a command of an app, as a process of its own.

    Raises:
        VsBenchError: It fails, or takes longer than `LONGEST`.
    """
    try:
        subprocess.run([sys.executable, "-m", *arguments], check=True, cwd=ROOT, timeout=LONGEST)
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        raise VsBenchError(f"{' '.join(arguments[:2])}: {error}") from None


def read_report(path: Path, subject: Subject, seconds: float) -> Reached:
    """Return what a report says of a preset."""
    document: dict[str, Any] = json.loads(path.read_text())
    if subject.section is not None:
        (document,) = [each for each in document["sections"] if each["name"] == subject.section]
    scores = {name: score["value"] for name, score in document["scores"].items()}
    for each in document["sets"]:
        scores[each["name"]] = each["value"]
        if each["real"] is not None:
            scores[f"{each['name']}/real"] = each["real"]
    lost = tuple(claim["claim"] for claim in document["comparisons"] if not claim["holds"])
    return Reached(scores=scores, lost=lost, seconds=seconds)


def _print(subject: Subject, found: Mapping[int, Reached]) -> int:
    """Print a line for each target, and return how many seeds miss one."""
    missed = 0
    for target in subject.targets:
        values = [target.value(reached.scores) for reached in found.values()]
        fails = sum(not target.met(reached.scores) for reached in found.values())
        missed += fails
        word = "at least" if target.least else "at most"
        print(f"{target.title:52} {' '.join(f'{value:8.3f}' for value in values)}   {word} {target.limit:g}", end="")
        print(f", missed by {fails}" if fails else "")
    for seed, reached in found.items():
        print(f"seed {seed}: trained in {reached.seconds:.0f} s", *(f"; not so: {claim}" for claim in reached.lost))
    return missed


def _document(subject: Subject, found: Mapping[int, Reached]) -> dict[str, Any]:
    """Return the result as documents cite it: of each measure the least, the middle and the greatest of the seeds."""
    names = [name for name in next(iter(found.values())).scores if all(name in each.scores for each in found.values())]
    values = {name: sorted(reached.scores[name] for reached in found.values()) for name in names}
    return {
        "scores": {
            name: {"least": some[0], "middle": some[len(some) // 2], "greatest": some[-1]}
            for name, some in values.items()
        },
        "targets": [
            {
                "title": target.title,
                "limit": target.limit,
                "values": [target.value(reached.scores) for reached in found.values()],
                "met": all(target.met(reached.scores) for reached in found.values()),
            }
            for target in subject.targets
        ],
        "seeds": {str(seed): attrs.asdict(reached) for seed, reached in found.items()},
    }


if __name__ == "__main__":
    sys.exit(run_command(measure, VsBenchError))
