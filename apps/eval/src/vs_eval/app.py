"""The command line: `python -m vs_eval vid2vid [RUN]`, `few-shot [RUN]`, `numerics [RUN]`.

PyTorch and the packages are imported only once there is something to evaluate, so that help is quick.
"""

import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import Annotated, Any, Literal, NoReturn

from cyclopts import App, CycloptsError, Parameter, Token

import vs_eval

EXIT_INPUT = 2
"""Exit status when the input is wrong."""


def _whole_numbers(kind: Any, tokens: Sequence[Token]) -> Any:
    """What stands for numbers that count something: the library would round 1.5."""
    for token in tokens:
        if not token.value.removeprefix("-").isdecimal():
            raise ValueError(f"expected a whole number, got {token.value!r}")
    numbers = tuple(int(token.value) for token in tokens)
    return numbers if kind == tuple[int, ...] else numbers[0]


Whole = Annotated[int | None, Parameter(converter=_whole_numbers)]
"""A whole number, or what there is by default."""

WholeNumbers = Annotated[tuple[int, ...], Parameter(converter=_whole_numbers, consume_multiple=True, negative="")]
"""As many whole numbers as follow."""

app = App(
    name="vs-eval",
    help="Evaluate a trained generator on held-out clips.",
    version=vs_eval.__version__,
    help_flags=["--help", "-h"],
    suppress_keyboard_interrupt=False,  # `main` says what Ctrl-C left behind
)


@app.command
def vid2vid(
    run: Path | None = None,
    /,
    *,
    out: Path | None = None,
    checkpoint: Whole = None,
    device: Literal["auto", "cpu", "cuda"] = "auto",
    clips: Whole = None,
    frames: Whole = None,
) -> None:
    """Roll the averaged generator of a run over whole held-out clips; write videos, pictures, scores and a page.

    Args:
        run: The run directory; default: the vid2vid run below ./runs that wrote a checkpoint last.
        out: Where the report goes; default: RUN/eval/step-XXXXXXXX. A report that is there is replaced.
        checkpoint: Training step of the checkpoint; default: the newest one that is intact.
        device: What to compute on; auto is a GPU where there is one.
        clips: How many held-out clips; default: all of them.
        frames: At most so many frames of each clip; default: all of them.
    """
    from vs_eval.command import INPUT_ERRORS, evaluate
    from vs_eval.opening import Request
    from vs_eval.terminal import open_console

    request = Request(run=run, out=out, checkpoint=checkpoint, device=device, clips=clips, frames=frames)
    try:
        evaluate(request, open_console())
    except INPUT_ERRORS as error:
        _fail(str(error))


@app.command(name="few-shot")
def few_shot(
    run: Path | None = None,
    /,
    *,
    references: WholeNumbers = (1, 3),
    out: Path | None = None,
    checkpoint: Whole = None,
    device: Literal["auto", "cpu", "cuda"] = "auto",
    clips: Whole = None,
    frames: Whole = None,
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
    from vs_eval.command import INPUT_ERRORS
    from vs_eval.few_shot.command import FewShotRequest, evaluate_few_shot
    from vs_eval.opening import Request
    from vs_eval.terminal import open_console

    common = Request(run=run, out=out, checkpoint=checkpoint, device=device, clips=clips, frames=frames)
    try:
        evaluate_few_shot(FewShotRequest(common=common, references=references, drive=drive), open_console())
    except INPUT_ERRORS as error:
        _fail(str(error))


@app.command
def numerics(
    *target: str,
    preset: str | None = None,
    out: Path | None = None,
    checkpoint: Whole = None,
    device: Literal["auto", "cpu", "cuda"] = "auto",
    dtype: Literal["float16", "bfloat16"] = "float16",
    reference: Literal["auto", "float64", "float32"] = "auto",
    loss_scale: float | None = None,
    frames: Whole = None,
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
    from vs_eval.numerics.command import NUMERICS_ERRORS, audit_numerics
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
    try:
        audit_numerics(request, open_console())
    except NUMERICS_ERRORS as error:
        _fail(str(error))


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line; exit status 2 and one line on stderr for wrong input, 130 or 143 when stopped."""
    signal.signal(signal.SIGTERM, _stop)
    try:
        app(arguments, print_error=False, exit_on_error=False, result_action="return_value")
    except CycloptsError as error:
        _fail(" ".join(str(error).split()))
    except KeyboardInterrupt:
        print("stopped; nothing was written", file=sys.stderr)
        raise SystemExit(130) from None
    raise SystemExit(0)


def _stop(number: int, _: FrameType | None) -> NoReturn:
    """Leave by an exception, so that whatever has been begun is cleaned up."""
    raise SystemExit(128 + number)


def _fail(message: str) -> NoReturn:
    for line in message.splitlines():
        print(f"error: {line}", file=sys.stderr)
    raise SystemExit(EXIT_INPUT)
