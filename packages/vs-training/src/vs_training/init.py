"""Networks that begin with the weights of a trained model, as far as these fit.

A tensor is taken if there is one of its name and shape. A first layer is carried over channel by channel, by what its
channels mean (`first_layers`): classes by name, past frames by age; what is new keeps its fresh weights. All else stays
fresh and is named in the report. The size of the pictures does not matter: convolutions have none, and a start from a
learned constant, which has, is left where it differs.

The generator begins with the weights that were trained, not their average, where the model has them: they come with
their singular vectors, and the discriminators were trained against them. Without them it begins with the average. The
EMA begins with what the generator then uses, as that of every run does: the average of the model would not fit first
layers that have changed, and would be overwritten at the first update that comes before `optim.ema.start_step`.
"""

from collections.abc import Mapping
from typing import Literal

import attrs
import torch
import vs_nets as nets
import vs_ops
from torch import Tensor, nn
from vs_nets.spectral import SpectralLayer, spectral_layers

from vs_training.config import TrainConfig
from vs_training.errors import VsTrainingError
from vs_training.first_layers import Channels, LabelChannels, discriminator_inputs, generator_inputs, meanings
from vs_training.shards import load_weights
from vs_training.state import TrainState

Weights = Mapping[str, Tensor]

MOST_ITERATIONS = 200
"""Of the power method, for singular vectors that nobody has kept."""

SETTLED = 1e-5
"""Relative change of the largest singular value between two iterations at which it counts as found."""

_SHOWN = 3
"""Most tensors that a sentence names."""


@attrs.frozen(kw_only=True, eq=False)
class Origin:
    """A trained model that networks begin with.

    Attributes:
        where: its directory, for messages.
        generator: shape of its generator.
        labels: the labels that it is shown, with class names.
        averaged: the averaged weights of its generator, normalised.
        raw: the generator's weights and singular vectors as trained; None: nobody has kept them.
        discriminator: the weights of its discriminators; None: nobody has kept them.
        discriminator_config: their shape.
        notices: what went otherwise than one would expect when it was read, in words.
    """

    where: str
    generator: nets.AnyGeneratorConfig
    labels: LabelChannels
    averaged: Weights
    raw: Weights | None = None
    discriminator: Weights | None = None
    discriminator_config: nets.DiscriminatorConfig | None = None
    notices: tuple[str, ...] = ()


@attrs.frozen(kw_only=True)
class Fit:
    """The fate of the weights of one network.

    Attributes:
        taken: names of those that were taken as they are.
        resized: those of which a part was taken, with what that is, in words.
        left: those that stay fresh, with the reason.
    """

    taken: tuple[str, ...]
    resized: Mapping[str, str] = attrs.field(factory=dict)
    left: Mapping[str, str] = attrs.field(factory=dict)

    @property
    def whole(self) -> bool:
        """Whether everything was taken as it is."""
        return not (self.resized or self.left)


@attrs.frozen(kw_only=True)
class InitReport:
    """The beginning of a run from a model.

    Attributes:
        where: the model's directory.
        weights: which of the generator's weights were taken.
        networks: what became of each network that was to take weights; None: the model has none for it.
    """

    where: str
    weights: Literal["trained", "averaged"]
    networks: Mapping[str, Fit | None]


def init_state(
    state: TrainState, origin: Origin, config: TrainConfig, labels: LabelChannels
) -> tuple[TrainState, InitReport]:
    """Give the networks of a fresh state the weights of a model, as far as they fit, and say what became of each.

    Args:
        state: changed in place.
        origin: the model.
        config: of the run, with `init.parts` and `init.strict`.
        labels: what the networks of the run are shown.

    Raises:
        VsTrainingError: the model is of the other kind or not finite, nothing of it fits, or not everything does and
            `init.strict` asks for that.
    """
    if origin.generator.kind != config.generator.kind:
        kinds = f"a {origin.generator.kind} model, and this run trains {config.generator.kind}"
        raise VsTrainingError(f"init.from: {origin.where}: is {kinds}")
    before, after = meanings(origin.labels, labels)
    networks: dict[str, Fit | None] = {}
    if config.init.parts in ("all", "generator"):
        inputs = _pairs(generator_inputs(origin.generator, before), generator_inputs(config.generator, after))
        source = origin.averaged if origin.raw is None else origin.raw
        networks["generator"] = _take(state.generator, source, inputs, origin.where)
        load_weights(state.generator_ema, nets.effective_weights(state.generator))
    if config.init.parts in ("all", "discriminator"):
        networks["discriminator"] = _take_discriminator(state.discriminator, origin, config, (before, after))
    report = InitReport(where=origin.where, weights="averaged" if origin.raw is None else "trained", networks=networks)
    _require_use(report, strict=config.init.strict)
    return state, report


def _take_discriminator(
    network: nets.Discriminator, origin: Origin, config: TrainConfig, label: tuple[Channels, Channels]
) -> Fit | None:
    if origin.discriminator is None or origin.discriminator_config is None:
        return None
    before, after = label
    inputs = _pairs(
        discriminator_inputs(origin.discriminator_config, origin.generator, before),
        discriminator_inputs(config.discriminator, config.generator, after),
    )
    return _take(network, origin.discriminator, inputs, origin.where)


def _pairs(old: Mapping[str, Channels], new: Mapping[str, Channels]) -> dict[str, tuple[Channels, Channels]]:
    return {name: (old[name], new[name]) for name in new if name in old}


@torch.no_grad()
def _take(network: nn.Module, source: Weights, inputs: Mapping[str, tuple[Channels, Channels]], where: str) -> Fit:
    """Give a network what fits of some weights.

    Args:
        network: with fresh weights; changed in place.
        source: weights by name, with singular vectors or without.
        inputs: what the input channels of first layers mean, in the source and in the network.
        where: whose weights, for messages.
    """
    spectral = {f"{name}.weight": layer for name, layer in spectral_layers(network)}
    taken: list[str] = []
    resized: dict[str, str] = {}
    left: dict[str, str] = {}
    for name, parameter in network.named_parameters():
        old = source.get(name)
        if old is None:
            left[name] = "there is none of this name"
            continue
        if not old.isfinite().all():
            raise VsTrainingError(f"init.from: {where}: {name} has values that are not finite")
        old = _as_used(name, old, source, kept=name in spectral).to(parameter)
        made, what = _fitted(old, parameter, inputs.get(name))
        if made is None:
            left[name] = what
            continue
        parameter.copy_(made)
        if what:
            resized[name] = what
        else:
            taken.append(name)
        if name in spectral:
            _set_vectors(spectral[name], name.removesuffix("weight"), source, whole=not what)
    return Fit(taken=tuple(taken), resized=resized, left=left)


def _as_used(name: str, weight: Tensor, source: Weights, *, kept: bool) -> Tensor:
    """Return a weight as a layer without spectral norm uses it, unless it is for one that has it."""
    u, v = _vectors(name.removesuffix("weight"), source)
    if kept or u is None or v is None:
        return weight
    return vs_ops.spectral_normalize(weight.float(), u.float(), v.float())


def _vectors(layer: str, source: Weights) -> tuple[Tensor | None, Tensor | None]:
    return source.get(f"{layer}u"), source.get(f"{layer}v")


def _fitted(old: Tensor, fresh: Tensor, inputs: tuple[Channels, Channels] | None) -> tuple[Tensor | None, str]:
    """Return what a weight becomes, and what part of it was taken if that is not all; None and why: it stays fresh."""
    if inputs is None or inputs[0] == inputs[1]:
        return (old, "") if old.shape == fresh.shape else (None, _other_shape(old, fresh))
    before, after = inputs
    if old.shape[:1] + old.shape[2:] != fresh.shape[:1] + fresh.shape[2:] or old.shape[1] != len(before):
        return None, _other_shape(old, fresh)
    place = {channel: i for i, channel in enumerate(before)}
    pairs = [(i, place[channel]) for i, channel in enumerate(after) if channel in place]
    if not pairs:
        return None, "no input channel means the same"
    made = fresh.clone()
    made[:, [i for i, _ in pairs]] = old[:, [j for _, j in pairs]]
    return made, f"{len(pairs)} of {len(after)} input channels"


def _other_shape(old: Tensor, fresh: Tensor) -> str:
    return f"is {tuple(old.shape)} there, {tuple(fresh.shape)} here"


def _set_vectors(layer: SpectralLayer, prefix: str, source: Weights, *, whole: bool) -> None:
    """Give a layer the singular vectors of its new weight: those that were kept with it, or found for it."""
    u, v = _vectors(prefix, source)
    if whole and u is not None and v is not None and u.shape == layer.u.shape and v.shape == layer.v.shape:
        layer.u.copy_(u)
        layer.v.copy_(v)
        return
    matrix, u, v = layer.weight.flatten(1), layer.u, layer.v
    sigma = matrix.new_zeros(())
    for _ in range(MOST_ITERATIONS):
        u, v = vs_ops.power_iteration(matrix, u, v)
        found = torch.dot(u, matrix @ v)
        if abs(found - sigma) <= SETTLED * found:
            break
        sigma = found
    layer.u.copy_(u)
    layer.v.copy_(v)


def _require_use(report: InitReport, *, strict: bool) -> None:
    fits = report.networks.values()
    if not any(fit is not None and (fit.taken or fit.resized) for fit in fits):
        raise VsTrainingError(f"init.from: {report.where}: nothing of it fits the networks of this run")
    if strict and not all(fit is not None and fit.whole for fit in fits):
        raise VsTrainingError(
            f"init.strict: not everything is taken as it is; {'; '.join(describe_init(report))}; leave init.strict out "
            "to take what fits"
        )


def describe_init(report: InitReport) -> tuple[str, ...]:
    """Say in words what a run begins with, a sentence for each network."""
    return tuple(_describe(name, fit, report) for name, fit in report.networks.items())


def _describe(name: str, fit: Fit | None, report: InitReport) -> str:
    if fit is None:
        return f"{name}: fresh weights, since {report.where} has none for it"
    count = len(fit.taken) + len(fit.resized) + len(fit.left)
    which = f" ({report.weights} weights)" if name == "generator" else ""
    parts = [f"{name}: taken {len(fit.taken)} of {count} tensors from {report.where}{which}"]
    parts += [
        f"{what}: {_listed(names)}" for what, names in (("resized", fit.resized), ("left fresh", fit.left)) if names
    ]
    return "; ".join(parts)


def _listed(names: Mapping[str, str]) -> str:
    shown = [f"{name} ({what})" for name, what in list(names.items())[:_SHOWN]]
    return ", ".join([*shown, *([f"and {len(names) - _SHOWN} more"] if len(names) > _SHOWN else [])])
