"""How much fitting a few-shot model to made-up people that it has never seen is worth: `measure_adapting.py MODEL`.

For each of the held-out people the model is fitted to a part of one sequence (as `train:adapt` does), and generated
frames of the rest are compared with the true ones in the head, before and after.
"""

import sys
from pathlib import Path
from typing import Annotated

import attrs
from cyclopts import Parameter
from vs_config import shown
from vs_config.commands import run_command
from vs_config.progress import show_progress
from vs_config.signals import stop_requests
from vs_data import FacesConfig, VsDataError, open_source
from vs_synthesis import VsSynthesisError, read_trained
from vs_train.adapting.fitting import Fitted, fit
from vs_train.adapting.settings import REFERENCES, Options
from vs_train.adapting.subject import open_subject
from vs_training.errors import VsTrainingError


def measure(
    model: Annotated[Path, Parameter(help="A few-shot model directory, or a run, of procedural people.")],
    /,
    *,
    people: Annotated[int, Parameter(help="Held-out people.")] = 4,
    frames: Annotated[int, Parameter(help="Frames of each.")] = 30,
    steps: Annotated[int, Parameter(help="Training steps at most.")] = 300,
    lr: Annotated[float, Parameter(help="Learning rate.")] = 1e-4,
) -> int:
    """Print a line for each person, and the means."""
    contents = read_trained(model, training=True)
    config = contents.config
    data = FacesConfig(
        height=config.height, width=config.width, sequence_length=frames, val_identities=people, motions=1
    )
    source = open_source(data, "val")
    found: list[Fitted] = []
    print(f"{'person':28} {'PSNR':>7} {'fitted':>7} {'SSIM':>7} {'fitted':>7}  step")
    with stop_requests() as stop, show_progress("step", interval_s=60.0) as progress:
        for sequence in range(people):
            subject = open_subject(source, sequence=sequence, references=REFERENCES, photos=False)
            fitted = fit(contents, subject, data, Options(steps=steps, lr=lr), progress=progress, stop=stop)
            found.append(attrs.evolve(fitted, weights={}))
            _print(subject.name, fitted)
            if stop.requested is not None:
                return stop.exit_status
    before, after = ([getattr(each, name) for each in found] for name in ("before", "after"))
    psnr = [sum(score.psnr for score in scores) / people for scores in (before, after)]
    ssim = [sum(score.ssim for score in scores) / people for scores in (before, after)]
    print(f"{'mean':28} {psnr[0]:7.2f} {psnr[1]:7.2f} {ssim[0]:7.4f} {ssim[1]:7.4f}  {before[0].where}")
    return 0


def _print(name: str, fitted: Fitted) -> None:
    before, after = fitted.before, fitted.after
    numbers = f"{before.psnr:7.2f} {after.psnr:7.2f} {before.ssim:7.4f} {after.ssim:7.4f}"
    print(f"{shown(name, 28):28} {numbers}  {fitted.step}")


if __name__ == "__main__":
    sys.exit(run_command(measure, VsSynthesisError, VsTrainingError, VsDataError))
