"""Fitting a few-shot model to a subject, step after step, for as long as its held-out frames become more like it."""

import math
from collections.abc import Callable, Mapping

import attrs
import torch
import vs_nets as nets
import vs_optim as optim
import vs_runtime as runtime
from torch import Tensor
from vs_config.progress import Progress
from vs_config.signals import StopRequest
from vs_data import HEAD_REGIONS, Clip, load_clips, move
from vs_metrics import PSNR_CAP, head_mask, masked_psnr, masked_ssim
from vs_synthesis import ModelContents
from vs_training.adapting import fit_to_subject
from vs_training.config import TrainConfig, reference_count
from vs_training.curriculum import clip_length
from vs_training.networks import build_recipe, build_state
from vs_training.state import Recipe, TrainState
from vs_training.step import train_clip

from vs_train.adapting.settings import has_discriminator
from vs_train.adapting.subject import Subject
from vs_train.samples import roll_out

EVERY = 10
"""Steps between two looks at the held-out frames."""

_EQUAL = 1e-6
"""Of SSIM, what is nearer to 1 than that counts as equal."""

PATIENCE = 5
"""Looks that may show nothing better before fitting ends."""


@attrs.frozen(kw_only=True)
class Score:
    """A likeness of generated frames to the true ones: means over all held-out frames.

    Attributes:
        psnr: dB.
        ssim: 1 is equal.
        frames: how many there are.
        where: `in the head`, where the data say which pixels those are, or `in the whole frame`.
    """

    psnr: float
    ssim: float
    frames: int
    where: str

    @property
    def likeness(self) -> float:
        """Both in one number, dB: a sharper picture may lose PSNR where it is a pixel off, while SSIM rises."""
        return self.psnr - 10 * math.log10(max(1 - self.ssim, _EQUAL))

    def __str__(self) -> str:
        frames = f"{self.frames} held-out frame{'s' if self.frames > 1 else ''}"
        return f"PSNR {self.psnr:.2f} dB, SSIM {self.ssim:.4f} {self.where} of {frames}"


@attrs.frozen(kw_only=True, eq=False)
class Fitted:
    """The best that fitting has found.

    Attributes:
        before: the score of the model as it was.
        after: that of the best state.
        step: after which step that was; 0: nothing was better than the model as it was.
        steps: how many there were in all.
        weights: of the averaged generator, on the CPU.
    """

    before: Score
    after: Score
    step: int
    steps: int
    weights: Mapping[str, Tensor]


def begin_fitting(contents: ModelContents, config: TrainConfig, labels: nets.LabelSpec) -> tuple[TrainState, Recipe]:
    """Return the state and recipe that fit a model to a subject; `contents` are read with training weights.

    Raises:
        VsTrainingError: the model's discriminators are of another shape than it says.
        DeviceError: the device is not there.
    """
    device = runtime.choose_device(config.device)
    runtime.seed_everything(config.seed)
    precision = optim.resolve_precision(config.precision, device)
    optim.apply_math_mode(precision)
    state, _ = build_state(config, labels, precision, device)
    kept = contents.training.discriminator if contents.training and has_discriminator(contents) else None
    return fit_to_subject(state, config, contents.generator, kept), build_recipe(config, labels, precision, device)


def fit(
    contents: ModelContents,
    subject: Subject,
    config: TrainConfig,
    *,
    progress: Progress,
    stop: StopRequest,
) -> Fitted:
    """Fit a model to a subject until its held-out frames become no better, or until somebody asks to stop.

    `config` is the `adaptation_config` of the model.

    Raises:
        NonFiniteError: it has diverged.
        VsDataError: a file of the subject is bad.
    """
    state, recipe = begin_fitting(contents, config, contents.config.label_spec)
    before = score(state.generator_ema, subject, recipe)
    progress.message(f"before: {before}")
    best = Fitted(before=before, after=before, step=0, steps=0, weights=_kept(state))
    longest = min(config.curriculum.max_length, subject.training.frames)
    clips = load_clips(
        subject.training,
        config.loader,
        seed=runtime.derive_seed(config.seed, "data"),
        length_of=lambda step: min(clip_length(config.curriculum, step), longest),
        references_of=lambda step: reference_count(config.references, config.seed, step),
        stop=config.run.steps,
    )
    for clip in clips:
        state, report = train_clip(state, move(clip, recipe.device), recipe)
        best = attrs.evolve(best, steps=state.step)
        figures = f"g_perceptual {report.losses.generator['perceptual']:.4g} · best {best.after.psnr:.2f} dB"
        progress.update(state.step, config.run.steps, figures=figures)
        stopped = stop.requested is not None
        if state.step % EVERY == 0 or state.step == config.run.steps or stopped:
            best = _look(best, state, subject, recipe, progress.message)
        if stopped or state.step - best.step >= PATIENCE * EVERY:
            break
    return best


def _look(best: Fitted, state: TrainState, subject: Subject, recipe: Recipe, message: Callable[[str], None]) -> Fitted:
    found = score(state.generator_ema, subject, recipe)
    message(f"step {state.step}: {found}")
    if found.likeness <= best.after.likeness:
        return best
    return attrs.evolve(best, after=found, step=state.step, weights=_kept(state))


def _kept(state: TrainState) -> dict[str, Tensor]:
    return {name: tensor.detach().cpu().clone() for name, tensor in state.generator_ema.state_dict().items()}


def score(generator: nets.AnyGenerator, subject: Subject, recipe: Recipe) -> Score:
    """Generate the held-out frames of a subject, and compare them with the true ones."""
    found = [_compare(generator, clip, recipe) for clip in subject.held_out]
    psnr, ssim = (torch.cat(values) for values in zip(*found, strict=True))
    where = "in the whole frame" if subject.held_out[0].regions is None else "in the head"
    return Score(psnr=psnr.mean().item(), ssim=ssim.mean().item(), frames=len(psnr), where=where)


def _compare(generator: nets.AnyGenerator, clip: Clip, recipe: Recipe) -> tuple[Tensor, Tensor]:
    """Return PSNR and SSIM of each frame of a clip (T,)."""
    made = torch.cat([synthesis.frame for synthesis in roll_out(generator, clip, recipe)]).float().cpu()
    mask = torch.ones_like(made[:, :1]) if clip.regions is None else head_mask(clip.regions, HEAD_REGIONS)
    psnr, seen = masked_psnr(made, clip.frames, mask)
    ssim, _ = masked_ssim(made, clip.frames, mask)
    return psnr.clamp_max(PSNR_CAP)[seen > 0], ssim[seen > 0]
