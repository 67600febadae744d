"""The command line: `python -m vs_eval vid2vid [RUN]`, `few-shot [RUN]`, `report [RUN ...]`, ....

PyTorch and the packages are imported only once there is something to evaluate, so that help is quick.
"""

import contextlib
from collections.abc import Iterator, Sequence
from typing import Annotated, Literal, NoReturn

from cyclopts import App, Parameter
from vs_config import Range
from vs_config.commands import EXIT_INPUT, ErrorStatuses, option_of, run_command

import vs_eval
from vs_eval.errors import VsEvalError, memory_explained
from vs_eval.options import (
    AnyPath,
    Count,
    EachPath,
    ManyFrames,
    Megabytes,
    Paths,
    Place,
    Quality,
    Rate,
    References,
    Scale,
    Several,
    Sizes,
    Step,
    Words,
)

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
    data: AnyPath = None,
    features: Paths = (),
    agreement: bool = True,
) -> None:
    """Roll the EMA of a run's generator over whole held-out clips; write videos, pictures, scores and a page.

    Args:
        run: A run or model directory; default: the vid2vid run below ./runs that wrote a checkpoint last.
        out: Where the report goes; default: RUN/eval/step-XXXXXXXX, or MODEL-eval/scores beside a model directory. A
            report that is there is replaced.
        checkpoint: Training step of the run's checkpoint, or best; default: the newest one that is intact.
        device: What to compute on; auto is a GPU where there is one.
        clips: How many held-out clips; default: all of them.
        frames: At most so many frames of each clip; default: all of them.
        data: Folder of held-out sequences in place of the run's; needed for a model that was trained on a folder.
        features: Files of feature networks, to measure LPIPS, FID, KID and FVD with; tools/convert_features.py makes
            them of published weights.
        agreement: Also train a small network on real training frames to read labels, and say how it reads generated
            ones; some seconds, once for all reports on the same data that lie beside one another.
    """
    from vs_eval.opening import Request
    from vs_eval.sharing import joined_ranks
    from vs_eval.terminal import open_console
    from vs_eval.vid2vid import evaluate_vid2vid

    request = Request(
        run=run,
        out=out,
        checkpoint=checkpoint,
        device=device,
        clips=clips,
        frames=frames,
        data=data,
        features=features,
        agreement=agreement,
    )
    with joined_ranks() as ranks, _computing():
        evaluate_vid2vid(request, open_console(), ranks)


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
    data: AnyPath = None,
    features: Paths = (),
    drive: bool = True,
    agreement: bool = True,
) -> None:
    """Generate held-out subjects from a few references of each; write videos, pictures, scores and a page.

    Args:
        run: A run or model directory; default: the few-shot run below ./runs that wrote a checkpoint last.
        references: Numbers of references; a section of the report for each.
        out: Where the report goes; default: RUN/eval/step-XXXXXXXX, or MODEL-eval/scores beside a model directory. A
            report that is there is replaced.
        checkpoint: Training step of the run's checkpoint, or best; default: the newest one that is intact.
        device: What to compute on; auto is a GPU where there is one.
        clips: How many held-out sequences; default: all of them.
        frames: At most so many frames of each sequence; default: all of them.
        data: Folder of held-out sequences in place of the run's; needed for a model that was trained on a folder.
        features: Files of feature networks, to measure LPIPS, FID, KID and FVD with; tools/convert_features.py makes
            them of published weights.
        drive: Also show each subject in the next one's motion, and all of them in one.
        agreement: Also train a small network on real training frames to read labels, and say how it reads generated
            ones; some seconds, once for all reports on the same data that lie beside one another.
    """
    from vs_eval.few_shot.command import FewShotRequest, evaluate_few_shot
    from vs_eval.opening import Request
    from vs_eval.sharing import joined_ranks
    from vs_eval.terminal import open_console

    common = Request(
        run=run,
        out=out,
        checkpoint=checkpoint,
        device=device,
        clips=clips,
        frames=frames,
        data=data,
        features=features,
        agreement=agreement,
    )
    asked = FewShotRequest(common=common, references=references, drive=drive)
    with joined_ranks() as ranks, _computing():
        evaluate_few_shot(asked, open_console(), ranks)


@app.command
def drift(
    run: AnyPath = None,
    /,
    *,
    frames: ManyFrames = 1000,
    clips: Several = 1,
    out: AnyPath = None,
    checkpoint: Step = None,
    device: Literal["auto", "cpu", "cuda"] = "auto",
    data: AnyPath = None,
    features: Paths = (),
    agreement: bool = True,
) -> None:
    """Roll a generator out far beyond the clips of its training, and show every metric against the frame number.

    A world goes on for so many frames; a stored sequence that is shorter is shown forwards and backwards in turn.

    Args:
        run: A run or model directory; default: the run below ./runs that wrote a checkpoint last.
        frames: Frames of the roll-out, more than the 30 first ones, whose mean and deviation are the band.
        clips: How many held-out sequences, the longest first; curves are means over them.
        out: Where the report goes; default: RUN/eval/drift-step-XXXXXXXX, or MODEL-eval/drift-scores beside a model. A
            report that is there is replaced.
        checkpoint: Training step of the run's checkpoint, or best; default: the newest one that is intact.
        device: What to compute on; auto is a GPU where there is one.
        data: Folder of held-out sequences in place of the run's; needed for a model that was trained on a folder.
        features: Files of feature networks, to measure LPIPS, tLP and, of windows of frames, KID and KVD with.
        agreement: Also train a small network on real training frames to read labels, and show how it reads generated
            ones; some seconds, unless a report beside this one has it.
    """
    from vs_eval.drift.command import measure_drift
    from vs_eval.opening import Request
    from vs_eval.sharing import by_itself
    from vs_eval.terminal import open_console

    request = Request(
        run=run,
        out=out,
        checkpoint=checkpoint,
        device=device,
        clips=clips,
        frames=frames,
        data=data,
        features=features,
        agreement=agreement,
    )
    with by_itself("eval:drift"), _computing():
        measure_drift(request, open_console())


@app.command
def synthesize(
    model: AnyPath = None,
    /,
    *,
    labels: Place = None,
    references: str | None = None,
    out: Place = None,
    format: Literal["mp4", "webm", "mkv", "png"] | None = None,  # noqa: A002 - the option's name
    beside: Annotated[bool, Parameter(negative="")] = False,
    fps: Rate = None,
    crf: Quality = None,
    fit: Literal["crop", "pad", "resize"] | None = None,
    size: str | None = None,
    picture: str | None = None,
    first_frame: AnyPath = None,
    frames: Count = None,
    checkpoint: Step = None,
    device: Literal["auto", "cpu", "cuda"] = "auto",
    precision: Literal["float32", "bfloat16", "float16"] = "float32",
) -> int:
    """Make frames from labels alone, by a trained model: to a video, a folder of pictures, or a pipe.

    Frames are made and written one at a time, however many there are. While a file is written it is called
    NAME.unfinished.mp4; Ctrl-C, or a label that is bad, leaves it so, and it plays.

    Args:
        model: A model directory or a run; default: the run below ./runs that wrote a checkpoint last, or where there is
            none the workspace's own model of streets, or of faces where --references or --labels faces:SEED ask for it.
        labels: A folder of label files (one sequence, or a folder of such folders, or a data folder), a video whose
            frames are labels, - for raw bytes on standard input, or a world: street:SEED, faces:SEED, dancers:SEED.
            Default: the world that the model was trained on, with a seed that it has not seen.
        references: Few-shot: whom to show. Photographs with their labels beside them (a.jpg,b.jpg), a folder of them, a
            data folder, frames of a video (clip.mp4:3,7 or clip.mp4:10-20), faces:SEED or dancers:SEED.
        out: A file (.mp4, .webm, .mkv without loss), a folder for PNG files, or - for raw RGB on standard output.
            Default: RUN/synthesis/step-XXXXXXXX/NAME.mp4, or MODEL-synthesis/NAME.mp4 beside a model directory.
        format: Of the files where there are several sequences, or no name is given; default: mp4.
        beside: Show the label at the left of each frame.
        fps: Frames per second; default: those of the labels' video, or the model's.
        crf: Constant rate factor: 0 is best; default: 18 of MP4, 24 of WebM.
        fit: What to do with labels whose size the model's stride does not divide; frames are cut or resized back.
        size: HEIGHTxWIDTH of raw bytes and worlds, and in which landmarks are drawn; default: the model's.
        picture: HEIGHTxWIDTH of the pictures that landmarks are pixels of, where no pictures are beside them.
        first_frame: A picture to go on from; it counts as the frame before the first.
        frames: At most so many of each sequence; default: all, or 60 of a world.
        checkpoint: Training step of the run's checkpoint, or best; default: the newest one that is intact.
        device: What to compute on; auto is a GPU where there is one.
        precision: In which format to compute.
    """
    from vs_eval.sharing import joined_ranks
    from vs_eval.synthesize.command import run_synthesis
    from vs_eval.synthesize.opening import SynthesisRequest

    request = SynthesisRequest(
        model=model,
        labels=labels,
        references=references,
        out=out,
        format=format,
        beside=beside,
        fps=fps,
        crf=crf,
        fit=fit,
        size=size,
        picture=picture,
        first_frame=first_frame,
        frames=frames,
        checkpoint=checkpoint,
        device=device,
        precision=precision,
    )
    with joined_ranks() as ranks, _computing():
        return run_synthesis(request, ranks)


@app.command
def package(
    run: AnyPath = None,
    /,
    *,
    out: AnyPath = None,
    checkpoint: Step = None,
    dtype: Literal["float32", "float16", "bfloat16"] = "float32",
    training: bool = True,
    evaluate: Annotated[bool, Parameter(negative="")] = False,
    licence: Words = None,
    max_mb: Annotated[float | None, option_of(Range(kind=float, low=0.1, high=10_000))] = None,
) -> None:
    """Write what a run has trained as a model directory, which needs neither the run nor its data.

    Every command that takes a run takes such a directory too. It says where it comes from, with the scores of
    RUN/eval/step-XXXXXXXX if the checkpoint was evaluated, and has a card, README.md. No path of this machine is in it.

    Args:
        run: A run, or a model to be written again in another format; default: the run below ./runs that wrote a
            checkpoint last.
        out: The model's directory; default: RUN-model, beside the run. A model that is there is replaced.
        checkpoint: Training step of the run's checkpoint, or best; default: the newest one that is intact.
        dtype: Of the generator's weights; networks compute in float32 all the same.
        training: Also write what eval:numerics needs and training goes on from: the generator before averaging, and
            the discriminators, in float32.
        evaluate: Evaluate what was written, on the held-out clips of its world, and give it those scores and pictures;
            say what rounding has cost. A run that nobody has evaluated is evaluated too.
        licence: What the card says of what may be done with the weights.
        max_mb: Refuse weights that take more megabytes; default: any size.
    """
    from vs_eval.package import PackageRequest, package_model
    from vs_eval.sharing import by_itself
    from vs_eval.terminal import open_console

    request = PackageRequest(
        run=run,
        out=out,
        checkpoint=checkpoint,
        dtype=dtype,
        training=training,
        evaluate=evaluate,
        licence=licence,
        max_mb=max_mb,
    )
    with by_itself("eval:package"), _computing():
        package_model(request, open_console())


@app.command
def export(
    model: AnyPath = None,
    /,
    *,
    format: Literal["pt2", "onnx", "aoti"] = "pt2",  # noqa: A002 # the option's name
    out: AnyPath = None,
    size: Sizes = (),
    references: Several = 1,
    check_frames: Several = 300,
    checkpoint: Step = None,
) -> None:
    """Write a model as programs that run without us, with a manifest and an example, once they do what the model does.

    Args:
        model: A model directory or a run; default: the run below ./runs that wrote a checkpoint last.
        format: pt2 runs in PyTorch, onnx in ONNX Runtime, aoti in PyTorch as compiled for this processor.
        out: Directory of the export, a program for each of the first frames, for all later ones, and for a subject;
            default: RUN/export-FORMAT, or MODEL-export-FORMAT beside a model. One there is replaced.
        size: Sizes of frames, HEIGHTxWIDTH, with programs for each; default: programs for any, if the model can.
        references: Example frames of the subject of a few-shot model.
        check_frames: How many frames it makes from its own frames, beside the model, before it is called good.
        checkpoint: Of a run, the training step, or best; default: the newest checkpoint that is intact.
    """
    from vs_eval.export import export_to
    from vs_eval.sharing import by_itself
    from vs_eval.terminal import open_console

    with by_itself("eval:export"), _computing():
        export_to(
            model, out, format, open_console(), sizes=size, references=references, frames=check_frames, step=checkpoint
        )


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
    data: AnyPath = None,
) -> None:
    """Find the layers that a low precision endangers: forward and backward beside float64, with what would help.

    Runs the losses of generator and discriminator on a held-out clip, in the low precision and in the reference, on the
    same weights, ranks the layers at risk, and runs again with each proposal. The run itself is not changed.

    Args:
        target: A run or model directory; default: the run below ./runs that wrote a checkpoint last. And changes to its
            configuration, or the preset's: dotted.path=value.
        preset: A preset with fresh weights instead of a run.
        out: Where the result goes; default: RUN/eval/numerics-step-XXXXXXXX-DTYPE, MODEL-eval/numerics-DTYPE beside a
            model directory, or runs/numerics-PRESET-DATE-TIME. A result that is there is replaced.
        checkpoint: Training step of the run's checkpoint, or best; default: the newest one that is intact.
        device: What to compute on; auto is a GPU where there is one.
        dtype: The low precision, on the CPU as well.
        reference: What it is compared with; auto is float64, or float32 for frames of more than 128x256 pixels.
        loss_scale: Of both networks; default: the run's, or in float16 what a loss scaler would come to.
        frames: Frames of the clip; default: as many as the generator looks at.
        data: Folder of held-out sequences in place of the run's; needed for a model that was trained on a folder.
    """
    from vs_eval.numerics.command import audit_numerics
    from vs_eval.numerics.opening import NumericsRequest
    from vs_eval.sharing import by_itself
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
        data=data,
    )
    with by_itself("eval:numerics"), _computing():
        audit_numerics(request, open_console())


@app.command(name="report")
def report_pages(
    *run: EachPath,
    out: AnyPath = None,
    max_mb: Megabytes = 64.0,
) -> None:
    """Write all that is known of a run on one page, RUN/report.html: one file that needs no other and no network.

    Scores and videos of its newest evaluation, curves of its training, numerics if they were audited, settings beside
    the nearest preset, machine. It opens in any browser, from the disk, and can be sent away as it is.

    Args:
        run: One run or several; default: the run below ./runs that wrote a checkpoint last. Several are also compared.
        out: Of several runs, the file of the page that compares them; of one, where its page goes instead. A page
            that is there is replaced.
        max_mb: Megabytes at most of the videos and pictures in a page; what does not fit is left out, and named.
    """
    from vs_eval.pages.command import ReportRequest, report
    from vs_eval.sharing import by_itself
    from vs_eval.terminal import open_console

    with by_itself("eval:report"):
        report(ReportRequest(runs=run, out=out, max_mb=max_mb), open_console())


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line; exit status 2 and one line on stderr for wrong input, 130 or 143 when stopped."""
    stopped = "stopped; nothing was written"
    raise SystemExit(run_command(app, statuses=_error_statuses, stopped=stopped, arguments=arguments))


def _error_statuses() -> ErrorStatuses:
    """Yield what a message explains, with the exit status; packages are imported only if it is none of the first."""
    yield VsEvalError, EXIT_INPUT
    from vs_eval.input_errors import INPUT_ERRORS

    yield from ((kind, EXIT_INPUT) for kind in INPUT_ERRORS)


@contextlib.contextmanager
def _computing() -> Iterator[None]:
    """Give way to other processes within it, and say what to do where memory does not suffice."""
    from vs_runtime import giving_way

    with memory_explained(), giving_way():
        yield
