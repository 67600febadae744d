"""The command line: `python -m vs_eval vid2vid [RUN]`, `few-shot [RUN]`, `numerics [RUN]`.

PyTorch and the packages are imported only once there is something to evaluate, so that help is quick.
"""

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, NoReturn

from cyclopts import App, Parameter, Token
from vs_config import Range, option_path, shown
from vs_config.commands import EXIT_INPUT, ErrorStatuses, option_of, run_command

import vs_eval
from vs_eval.errors import VsEvalError


def _path(_: Any, tokens: Sequence[Token]) -> Path:
    return option_path(tokens[0].value)


Count = Annotated[int | None, option_of(Range(kind=int, low=1, high=1_000_000))]
"""How many, or what there is by default."""

References = Annotated[
    tuple[int, ...],
    option_of(Range(kind=int, low=1, high=1_000), several=True),
    Parameter(consume_multiple=True, negative=""),
]
"""As many numbers as follow."""

Step = Annotated[int | None, option_of(Range(kind=int, low=0, high=10**8 - 1))]
"""A training step, or what there is by default."""

Scale = Annotated[float | None, option_of(Range(kind=float, low=1e-30, high=1e30))]
"""A loss scale in float32, or what there is by default."""

AnyPath = Annotated[Path | None, Parameter(converter=_path)]
"""A file or directory, or what there is by default."""

app = App(
    name="vs-eval",
    help="Evaluate a trained generator on held-out clips.",
    version=vs_eval.__version__,
    help_flags=["--help", "-h"],
)


@app.command
def vid2vid(
    run: AnyPath = None,
    /,
    *,
    out: AnyPath = None,
    checkpoint: Step = None,
    device: Literal["auto", "cpu", "cuda"] = "auto",
    clips: Count = None,
    frames: Count = None,
) -> None:
    """Roll the EMA of a run's generator over whole held-out clips; write videos, pictures, scores and a page.

    Args:
        run: The run directory; default: the vid2vid run below ./runs that wrote a checkpoint last.
        out: Where the report goes; default: RUN/eval/step-XXXXXXXX. A report that is there is replaced.
        checkpoint: Training step of the checkpoint; default: the newest one that is intact.
        device: What to compute on; auto is a GPU where there is one.
        clips: How many held-out clips; default: all of them.
        frames: At most so many frames of each clip; default: all of them.
    """
    from vs_eval.opening import Request
    from vs_eval.terminal import open_console
    from vs_eval.vid2vid import evaluate_vid2vid

    request = Request(run=run, out=out, checkpoint=checkpoint, device=device, clips=clips, frames=frames)
    with _memory_explained():
        evaluate_vid2vid(request, open_console())


@app.command(name="few-shot")
def few_shot(
    run: AnyPath = None,
    /,
    *,
    references: References = (1, 3),
    out: AnyPath = None,
    checkpoint: Step = None,
    device: Literal["auto", "cpu", "cuda"] = "auto",
    clips: Count = None,
    frames: Count = None,
    drive: bool = True,
) -> None:
    """Generate held-out subjects from a few references of each; write videos, pictures, scores and a page.

    Args:
        run: The run directory; default: the few-shot run below ./runs that wrote a checkpoint last.
        references: Numbers of references; a section of the report for each.
        out: Where the report goes; default: RUN/eval/step-XXXXXXXX. A report that is there is replaced.
        checkpoint: Training step of the checkpoint; default: the newest one that is intact.
        device: What to compute on; auto is a GPU where there is one.
        clips: How many held-out sequences; default: all of them.
        frames: At most so many frames of each sequence; default: all of them.
        drive: Also show each subject in the next one's motion, and all of them in one.
    """
    from vs_eval.few_shot.command import FewShotRequest, evaluate_few_shot
    from vs_eval.opening import Request
    from vs_eval.terminal import open_console

    common = Request(run=run, out=out, checkpoint=checkpoint, device=device, clips=clips, frames=frames)
    with _memory_explained():
        evaluate_few_shot(FewShotRequest(common=common, references=references, drive=drive), open_console())


@app.command
def numerics(
    *target: str,
    preset: str | None = None,
    out: AnyPath = None,
    checkpoint: Step = None,
    device: Literal["auto", "cpu", "cuda"] = "auto",
    dtype: Literal["float16", "bfloat16"] = "float16",
    reference: Literal["auto", "float64", "float32"] = "auto",
    loss_scale: Scale = None,
    frames: Count = None,
) -> None:
    """Find the layers that a low precision endangers: forward and backward beside float64, with what would help.

    Runs the losses of generator and discriminator on a held-out clip, in the low precision and in the reference, on the
    same weights, ranks the layers at risk, and runs again with each proposal. The run itself is not changed.

    Args:
        target: The run directory; default: the run below ./runs that wrote a checkpoint last. And changes to its
            configuration, or the preset's: dotted.path=value.
        preset: A preset with fresh weights instead of a run.
        out: Where the result goes; default: RUN/eval/numerics-step-XXXXXXXX-DTYPE, or runs/numerics-PRESET-DATE-TIME.
            A result that is there is replaced.
        checkpoint: Training step of the checkpoint; default: the newest one that is intact.
        device: What to compute on; auto is a GPU where there is one.
        dtype: The low precision, on the CPU as well.
        reference: What it is compared with; auto is float64, or float32 for frames of more than 128x256 pixels.
        loss_scale: Of both networks; default: the run's, or in float16 what a loss scaler would come to.
        frames: Frames of the clip; default: as many as the generator looks at.
    """
    from vs_eval.numerics.command import audit_numerics
    from vs_eval.numerics.opening import NumericsRequest
    from vs_eval.terminal import open_console

    request = NumericsRequest(
        target=target,
        preset=preset,
        out=out,
        checkpoint=checkpoint,
        device=device,
        dtype=dtype,
        reference=reference,
        loss_scale=loss_scale,
        frames=frames,
    )
    with _memory_explained():
        audit_numerics(request, open_console())


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line; exit status 2 and one line on stderr for wrong input, 130 or 143 when stopped."""
    stopped = "stopped; nothing was written"
    raise SystemExit(run_command(app, statuses=_error_statuses, stopped=stopped, arguments=arguments))


def _error_statuses() -> ErrorStatuses:
    """Yield what a message explains, with the exit status; packages are imported only if it is none of the first."""
    yield VsEvalError, EXIT_INPUT
    from vs_eval.command import INPUT_ERRORS

    yield from ((kind, EXIT_INPUT) for kind in INPUT_ERRORS)


_SHOWN = 200
_LESS = "choose fewer --frames or another --device, or evaluate a run of smaller frames (data.height and data.width)"


@contextlib.contextmanager
def _memory_explained() -> Iterator[None]:
    """Say what to do where memory does not suffice, however the libraries say so.

    Raises:
        VsEvalError: it does not.
    """
    from vs_runtime import is_out_of_memory

    try:
        yield
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        what = shown(error, _SHOWN) or type(error).__name__
        raise VsEvalError(f"memory is too small ({what}): {_LESS}") from None
