"""The objective: losses of one frame as a function of what the networks return.

Each loss gets its weight where it is computed; `total` is their weighted sum. Names are for logs: `gan`,
`feature_matching`, `perceptual` (with `_raw` for the raw output), `flow`, `flow_warp`, `flow_mask`, and
`temporal_gan_S`, `temporal_feature_matching_S` for time scale S, `gan_R` and `feature_matching_R` for region R.
"""

from collections.abc import Iterator, Mapping, Sequence

import attrs
import torch
import torch.nn.functional as F
import vs_ops
from torch import Tensor
from vs_config import real, table

from vs_nets.discriminator import RealFakeOutputs
from vs_nets.limits import MAX_WEIGHT
from vs_nets.perceptual import NoPerceptual, Perceptual, PerceptualConfig
from vs_nets.references import pick_reference
from vs_nets.regions import RegionOutputs, region_feature_matching, region_hinge_d, region_hinge_g
from vs_nets.synthesis import Synthesis, Warp

_STILL = 0.1
"""What moves by less, pixels, holds still."""


@attrs.frozen(eq=False)
class Loss:
    """A float32 scalar, as it is shown, and its weight in the sum that is minimised."""

    value: Tensor
    weight: float


Losses = Mapping[str, Loss]
"""Losses of a frame by name."""


@attrs.frozen(kw_only=True)
class ObjectiveConfig:
    """Weights of the losses; the defaults are the published ones."""

    gan: float = real(1.0, "hinge loss on single frames", low=0, high=MAX_WEIGHT)
    feature_matching: float = real(10.0, "distance in the discriminators' features", low=0, high=MAX_WEIGHT)
    perceptual_weight: float = real(10.0, "distance in VGG-19's features", low=0, high=MAX_WEIGHT)
    flow: float = real(10.0, "flow, warped frame and mask, each with this weight", low=0, high=MAX_WEIGHT)
    flow_moving: float = real(
        1.0,
        "how many times as much the flow counts where the teacher says that something moves",
        low=1,
        high=MAX_WEIGHT,
    )
    temporal_gan: float = real(1.0, "hinge loss over time", low=0, high=MAX_WEIGHT)
    pixel: float = real(0.0, "mean absolute difference of pixels; 0: there is none", low=0, high=MAX_WEIGHT)
    perceptual: PerceptualConfig = table(NoPerceptual, "network of the perceptual loss")


@attrs.frozen(kw_only=True)
class Target:
    """The truth of a generated frame: (N, 3, H, W) in [-1, 1], and the teacher's flow where there is one.

    `flow` is to the previous frame; `reference_flow` (N, K, 2, H, W) to each reference, of which the loss takes the one
    that the generator has chosen.
    """

    frame: Tensor
    flow: Tensor | None = None
    flow_confidence: Tensor | None = None
    reference_flow: Tensor | None = None
    reference_confidence: Tensor | None = None


@attrs.frozen(kw_only=True)
class FrameOutputs:
    """Outputs of all discriminators for one frame; `raw` and entries of `temporal` are None where they do not apply."""

    image: RealFakeOutputs
    raw: RealFakeOutputs | None = None
    temporal: tuple[RealFakeOutputs | None, ...] = ()
    regions: Mapping[str, RegionOutputs] = attrs.field(factory=dict)


def discriminator_losses(outputs: FrameOutputs, config: ObjectiveConfig) -> dict[str, Loss]:
    """Return the hinge losses of the discriminators: real plus fake, mean over scales."""
    losses = {"gan": Loss(_hinge_d(outputs.image), config.gan)}
    if outputs.raw is not None:
        losses["gan_raw"] = Loss(_hinge_d(outputs.raw), config.gan)
    for scale, output in enumerate(outputs.temporal):
        if output is not None:
            losses[f"temporal_gan_{scale}"] = Loss(_hinge_d(output), config.temporal_gan)
    for name, region in outputs.regions.items():
        losses[f"gan_{name}"] = Loss(region_hinge_d(region), config.gan * region.weight)
    return losses


def generator_losses(
    synthesis: Synthesis,
    target: Target,
    outputs: FrameOutputs,
    config: ObjectiveConfig,
    perceptual: Perceptual | None = None,
) -> dict[str, Loss]:
    """Return all losses of the generator that apply to a frame."""
    losses = {
        "gan": Loss(_hinge_g(outputs.image), config.gan),
        "feature_matching": Loss(_feature_matching(outputs.image), config.feature_matching),
    }
    if outputs.raw is not None:
        losses["gan_raw"] = Loss(_hinge_g(outputs.raw), config.gan)
        losses["feature_matching_raw"] = Loss(_feature_matching(outputs.raw), config.feature_matching)
    for scale, output in enumerate(outputs.temporal):
        if output is not None:
            losses[f"temporal_gan_{scale}"] = Loss(_hinge_g(output), config.temporal_gan)
            losses[f"temporal_feature_matching_{scale}"] = Loss(_feature_matching(output), config.feature_matching)
    for name, region in outputs.regions.items():
        weight = config.feature_matching * region.weight
        losses[f"gan_{name}"] = Loss(region_hinge_g(region), config.gan * region.weight)
        losses[f"feature_matching_{name}"] = Loss(region_feature_matching(region), weight)
    if perceptual is not None:
        with torch.no_grad():
            features = perceptual.features(target.frame)
        losses["perceptual"] = Loss(perceptual(synthesis.frame, features), config.perceptual_weight)
        if outputs.raw is not None and synthesis.raw is not None:
            losses["perceptual_raw"] = Loss(perceptual(synthesis.raw, features), config.perceptual_weight)
    if config.pixel > 0:
        losses["pixel"] = Loss((synthesis.frame.float() - target.frame.float()).abs().mean(), config.pixel)
    return {**losses, **flow_losses(synthesis, target, config)}


def flow_losses(synthesis: Synthesis, target: Target, config: ObjectiveConfig) -> dict[str, Loss]:
    """Return the losses of flow, warped frame and mask, summed over what is warped: the previous frame, the reference.

    None while the generator estimates no flow, or is given it; `flow` needs a teacher. The mask is pulled towards 0
    (use the warped pixel) where the warped frame is right and towards 1 where it is wrong; how right it is carries a
    gradient, as published.
    """
    losses: dict[str, Loss] = {}
    for warp, flow, confidence in _warps(synthesis, target):
        for name, loss in warp_losses(warp, target.frame, flow, confidence, config).items():
            losses[name] = Loss(losses[name].value + loss.value, loss.weight) if name in losses else loss
    return losses


Taught = tuple[Warp, Tensor | None, Tensor | None]
"""A warp beside the teacher's flow and confidence, or None."""


def _warps(synthesis: Synthesis, target: Target) -> Iterator[Taught]:
    """Yield what was warped, each beside its teacher's flow."""
    if synthesis.reference is not None:
        flow, confidence = target.reference_flow, target.reference_confidence
        yield synthesis.reference, _chosen(flow, synthesis.chosen), _chosen(confidence, synthesis.chosen)
    if synthesis.given:
        return
    if synthesis.flow is not None and synthesis.mask is not None and synthesis.warped is not None:
        warp = Warp(flow=synthesis.flow, mask=synthesis.mask, frame=synthesis.warped)
        yield warp, target.flow, target.flow_confidence


def _chosen(x: Tensor | None, chosen: Tensor | None) -> Tensor | None:
    """Pick the entry of the chosen reference: (N, K, ...) -> (N, ...)."""
    return None if x is None or chosen is None else pick_reference(x, chosen)


def warp_losses(
    warp: Warp, frame: Tensor, flow: Tensor | None, confidence: Tensor | None, config: ObjectiveConfig
) -> dict[str, Loss]:
    """Return the losses of one warp towards `frame` (N, 3, H, W): `flow_warp`, `flow_mask`, with a teacher `flow`.

    Where little of a frame moves, and in all directions, zero flow is the median of all that there is: L1 leads there
    and then nowhere. With `flow_moving` what moves counts as much as what holds still around it.
    """
    losses = {}
    if flow is not None and confidence is not None:
        weights = confidence if config.flow_moving == 1 else _weights(flow, confidence, config.flow_moving)
        losses["flow"] = Loss(vs_ops.masked_l1(warp.flow, flow, weights), config.flow)
    warped, mask = warp.frame.float(), warp.mask.float()
    losses["flow_warp"] = Loss(F.l1_loss(warped, frame), config.flow)
    losses["flow_mask"] = Loss(vs_ops.mask_loss(mask, warped, frame), config.flow)
    return losses


def _weights(flow: Tensor, confidence: Tensor, moving: float) -> Tensor:
    """Return the confidence (N, 1, H, W) in a teacher's flow, `moving` times as much of it where that moves."""
    moves = torch.linalg.vector_norm(flow, dim=1, keepdim=True) > _STILL
    return torch.where(moves, moving * confidence, confidence)


def total(losses: Losses) -> Tensor:
    """Return the weighted sum of losses, a float32 scalar."""
    return torch.stack([loss.weight * loss.value for loss in losses.values()]).sum()


def _mean(terms: Sequence[Tensor]) -> Tensor:
    return torch.stack(list(terms)).mean()


def _hinge_d(output: RealFakeOutputs) -> Tensor:
    real = _mean([vs_ops.hinge_d_real(x) for x in output.real.logits])
    return real + _mean([vs_ops.hinge_d_fake(x) for x in output.fake.logits])


def _hinge_g(output: RealFakeOutputs) -> Tensor:
    return _mean([vs_ops.hinge_g(x) for x in output.fake.logits])


def _feature_matching(output: RealFakeOutputs) -> Tensor:
    return vs_ops.feature_matching(output.fake.features, output.real.features)
