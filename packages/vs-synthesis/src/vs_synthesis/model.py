"""A trained model on a device, ready to make frames."""

from collections.abc import Callable
from pathlib import Path
from typing import Literal

import attrs
import torch
import vs_nets as nets
import vs_optim as optim
from vs_runtime import choose_device
from vs_runtime.run_directory import RunDirectory, latest_run
from vs_training.kinds import may_be_kind

from vs_synthesis.config import ModelConfig
from vs_synthesis.contents import ModelContents, build_averaged
from vs_synthesis.directory import is_model, read_model
from vs_synthesis.errors import ModelError
from vs_synthesis.runs import Which, read_run, which_checkpoint

Computing = Literal["float32", "bfloat16", "float16"]
"""In which format convolutions and matrix products compute; all else stays float32."""


@attrs.frozen(kw_only=True, eq=False)
class Model:
    """A trained model that can make frames; nothing in it changes when it does.

    Attributes:
        contents: what it was made from, without the weights that training goes on from.
        generator: of averaged weights, on `device`, in channels-last order, prepared for inference (see
            `vs_nets.prepare_for_inference`), without gradients.
        labels: how labels enter it.
        device: where it computes.
        precision: in what.
    """

    contents: ModelContents
    generator: nets.AnyGenerator
    labels: nets.LabelSpec
    device: torch.device
    precision: optim.Precision

    @property
    def path(self) -> Path:
        """The directory that it was read from."""
        return self.contents.path

    @property
    def config(self) -> ModelConfig:
        """The generator's shape, and how files become what it is shown."""
        return self.contents.config


def load_model(
    path: str | Path,
    *,
    device: Literal["auto", "cpu", "cuda"] = "auto",
    precision: Computing = "float32",
    checkpoint: Which = None,
) -> Model:
    """Load a model directory, or what a run has trained.

    Args:
        path: of the directory.
        device: what to compute on; auto is a GPU where there is one.
        precision: in which format to compute.
        checkpoint: of a run, which.

    Raises:
        ModelError: it is neither, damaged, or of another version (and whatever opening a run raises).
        DeviceError, PrecisionError: the device, or the format on it, cannot be had.
    """
    contents = read_trained(Path(path), checkpoint=checkpoint)
    return build_model(contents, device=device, precision=precision)


def build_model(
    contents: ModelContents,
    *,
    device: Literal["auto", "cpu", "cuda"] = "auto",
    precision: Computing = "float32",
) -> Model:
    """Build a model from what was read; for the options see `load_model`.

    Raises:
        ModelError: the weights are those of another configuration.
        DeviceError, PrecisionError: the device, or the format on it, cannot be had.
    """
    where = choose_device(device)
    computing = precision_of(precision, where)
    generator = build_averaged(contents).to(where)
    generator = generator.to(memory_format=torch.channels_last)  # type: ignore[call-overload] # unknown to its stubs
    return Model(
        contents=attrs.evolve(contents, training=None),
        generator=nets.prepare_for_inference(generator, computing.dtype),
        labels=contents.config.label_spec,
        device=where,
        precision=computing,
    )


def read_trained(path: Path, *, checkpoint: Which = None, training: bool = False) -> ModelContents:
    """Read a model directory, or a run.

    Args:
        path: of the directory, or of a checkpoint of a run.
        checkpoint: of a run, which.
        training: also read what training goes on from, where it is there.

    Raises:
        ModelError: it is neither, damaged, or a model of which a checkpoint is asked for (and whatever opening a run
            raises).
    """
    if not path.is_dir():
        raise ModelError(path, "there is no such directory")
    if is_model(path):
        if checkpoint is not None:
            raise ModelError(path, "--checkpoint: this is a model, which has none; name a run, or leave it out")
        return read_model(path, training=training)
    run, named = which_checkpoint(path)
    return read_run(run, checkpoint=named if checkpoint is None else checkpoint, training=training)


def find_run(notice: Callable[[str], None], kind: str | None = None) -> RunDirectory:
    """Return the run below ./runs that saved a checkpoint last.

    Args:
        notice: told of each damaged run that is left out, in words.
        kind: of its generator; None: any.

    Raises:
        RunDirectoryError: there is none.
    """
    what = "run" if kind is None else f"{kind} run"
    return latest_run(what=what, fits=lambda run: kind is None or may_be_kind(run.config, kind), notice=notice)


def precision_of(name: Computing, device: torch.device) -> optim.Precision:
    """Return the precision of a model that computes in a format.

    Raises:
        PrecisionError: the device does not have it.
    """
    if name == "float32":
        return optim.resolve_precision(optim.PrecisionConfig(level="O0"), device)
    return optim.resolve_precision(optim.PrecisionConfig(level="O1", dtype=name), device)
