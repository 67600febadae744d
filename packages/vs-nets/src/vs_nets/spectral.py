"""Layers with optional spectral norm, and normalising the weights of many of them at once.

Whether a layer is spectrally normalised is decided when it is built; the parameter is called `weight` either way, so
that averaged, already normalised weights load into a network without.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import torch
import torch.nn.functional as F
import vs_ops
from torch import Tensor, nn

_LARGE = 2**20
"""Elements of a weight that no cache of a core holds, from which on its results are divided instead of itself."""


class Vectors(NamedTuple):
    """Singular vectors of the largest singular value of a weight (R, C): (R,) and (C,)."""

    u: Tensor
    v: Tensor


class Normalised(NamedTuple):
    """A weight for one call of a layer, and the vectors that the call moves it on to; None: it stays where it is.

    With `sigma` the weight is not divided yet: the call divides its result instead, by `vs_ops.spectral_conv2d`.
    """

    weight: Tensor
    vectors: Vectors | None
    sigma: Tensor | None = None


class SpectralLayer(nn.Module):
    """Weight (C_out, ...) and bias of a layer, with spectral norm on request.

    With spectral norm the weight is divided by its largest singular value, estimated by one power iteration for each
    call in training and by none in evaluation (Miyato et al., 2018). The singular vectors are the buffers `u` and `v`.
    """

    u: Tensor
    v: Tensor
    divides_results = False
    """Whether calls can take a weight that is not divided yet."""

    def __init__(self, shape: Sequence[int], *, spectral: bool) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(*shape))
        self.bias = nn.Parameter(torch.empty(shape[0]))
        self.spectral = spectral
        # Within `normalised_at_once`: what the next call takes, and what calls have moved on to before buffers follow.
        self.ready: Normalised | None = None
        self.unwritten: Vectors | None = None
        if spectral:
            self.register_buffer("u", torch.empty(shape[0]))
            self.register_buffer("v", torch.empty(self.weight[0].numel()))
        self.reset_parameters()

    @torch.no_grad()
    def reset_parameters(self, gain: float = 0.02) -> None:
        """Draw Xavier-normal weights and random singular vectors, which take a few power iterations; zero the bias."""
        nn.init.xavier_normal_(self.weight, gain=gain)
        nn.init.zeros_(self.bias)
        if self.weight.is_meta:
            return  # a network that only its shapes are wanted of: there is nothing to iterate on
        if self.spectral:
            u, v = F.normalize(torch.randn_like(self.u), dim=0), F.normalize(torch.randn_like(self.v), dim=0)
            for _ in range(10):
                u, v = vs_ops.power_iteration(self.weight.flatten(1), u, v)
            self.u.copy_(u)
            self.v.copy_(v)

    @property
    def vectors(self) -> Vectors:
        """Singular vectors as the last call has left them."""
        return Vectors(self.u, self.v) if self.unwritten is None else self.unwritten

    def effective_weight(self) -> Tensor:
        """Return the weight that is used: `weight`, or `weight` over its largest singular value; never iterates."""
        return vs_ops.spectral_normalize(self.weight, *self.vectors) if self.spectral else self.weight

    def next_weight(self) -> Tensor:
        """Return the weight of a call, after the power iteration that a call in training makes.

        Under autocast a normalised weight has autocast's dtype, since a convolution or product is what it is for.
        """
        made = self.next_normalised()
        return made.weight if made.sigma is None else self.effective_weight()

    def next_normalised(self) -> Normalised:
        """Return what a call takes, after the power iteration that it makes in training.

        It is a weight as of `next_weight`, or one whose results are to be divided by `sigma`, of these `vectors`.
        """
        if not self.spectral:
            return Normalised(self.weight, None)
        if self.ready is None:
            (made,) = _normalise([self])
            if made.vectors is not None:
                _write({self: made.vectors})
            return made
        made, self.ready = self.ready, None
        self.unwritten = made.vectors or self.unwritten
        if made.weight.dtype is (_autocast_dtype(self.weight) or self.weight.dtype):
            return made
        # An island in what is autocast: the vectors are advanced, the dtype is another.
        return Normalised(self.effective_weight(), None)


@contextmanager
def normalised_at_once(*modules: nn.Module) -> Iterator[None]:
    """Within, the first call of each spectrally normalised layer of `modules` finds its weight normalised already.

    That is done for all of them together, which is quicker and gives what each layer alone would have made: a layer's
    power iteration depends on nothing but its own weight and vectors. Further calls of a layer iterate by themselves.
    Only layers that are called advance, so that which modules are named decides how long it takes and nothing else:
    name those of which every layer is called within. May be nested; a layer whose weight lies ready is left to the
    outer call. Buffers are written at the end.

    For a module under activation checkpointing enter it inside the module, whose second run must normalise again.
    """
    found = {layer: None for module in modules for _, layer in spectral_layers(module)}
    layers = [layer for layer in found if layer.ready is None]
    if torch.compiler.is_compiling():
        layers = []  # the compiler sees each layer's own operations, and fuses those
    for training in (True, False):
        group = [layer for layer in layers if layer.training is training]
        for layer, made in zip(group, _normalise(group), strict=True):
            layer.ready = made
    try:
        yield
    finally:
        for layer in layers:
            layer.ready = None
        _write({layer: layer.unwritten for layer in layers if layer.unwritten is not None})


def spectral_layers(module: nn.Module) -> Iterator[tuple[str, SpectralLayer]]:
    """Yield the spectrally normalised layers of a module, itself included, with their names."""
    for name, layer in module.named_modules():
        if isinstance(layer, SpectralLayer) and layer.spectral:
            yield name, layer


def _normalise(layers: Sequence[SpectralLayer]) -> Sequence[Normalised]:
    """Return what the next calls of layers take, all of them in training or none; moves nothing."""
    late = [layer for layer in layers if _divides_late(layer)]
    rest = [layer for layer in layers if not _divides_late(layer)]
    made = {**_made(late, divided=False), **_made(rest, divided=True)}
    return [made[layer] for layer in layers]


def _divides_late(layer: SpectralLayer) -> bool:
    """Return whether the layer's weight is so large that dividing its results is less work, and it may do that."""
    weight = layer.weight
    return (
        layer.divides_results
        and weight.numel() >= _LARGE
        and weight.device.type == "cpu"
        and weight.dtype is torch.float32
        and _autocast_dtype(weight) is None
        and not torch.compiler.is_compiling()  # which sees a plain division, and fuses that
    )


def _made(layers: Sequence[SpectralLayer], *, divided: bool) -> Mapping[SpectralLayer, Normalised]:
    """Return normalised weights by layer, or weights as they are, with their sigmas."""
    if not layers:
        return {}
    training, vectors = layers[0].training, [layer.vectors for layer in layers]
    weights, us, vs = [layer.weight for layer in layers], [each.u for each in vectors], [each.v for each in vectors]
    iterations = 1 if training else 0
    made: Sequence[Tensor] = weights
    sigmas: Sequence[Tensor | None] = [None] * len(layers)
    if divided:
        dtype = _autocast_dtype(weights[0])
        made, us, vs = vs_ops.spectral_normalize_all(weights, us, vs, iterations=iterations, dtype=dtype)
    else:
        us, vs, sigmas = vs_ops.power_iterations(weights, us, vs, iterations=iterations)
    return {
        layer: Normalised(weight, Vectors(u, v) if training else None, sigma)
        for layer, weight, u, v, sigma in zip(layers, made, us, vs, sigmas, strict=True)
    }


@torch.no_grad()
def _write(vectors: Mapping[SpectralLayer, Vectors]) -> None:
    """Put the vectors that layers have moved on to into their buffers."""
    if vectors:
        torch._foreach_copy_([layer.u for layer in vectors], [each.u for each in vectors.values()])
        torch._foreach_copy_([layer.v for layer in vectors], [each.v for each in vectors.values()])
    for layer in vectors:
        layer.unwritten = None


def _autocast_dtype(weight: Tensor) -> torch.dtype | None:
    """Return what autocast makes of a weight now; None where it leaves it alone."""
    device = weight.device.type
    autocast = torch.is_autocast_enabled(device) and weight.dtype is not torch.float64
    return torch.get_autocast_dtype(device) if autocast else None


def has_power_iteration(module: nn.Module) -> bool:
    """Return whether a call of `module` changes spectral-norm buffers now (then the order of calls matters)."""
    return module.training and any(True for _ in spectral_layers(module))


@torch.no_grad()
def effective_weights(module: nn.Module) -> Mapping[str, Tensor]:
    """Return parameters by name as the network uses them: normalised where it normalises (no iteration is made).

    These are what an EMA of weights should average: the averaged network then needs no spectral norm.
    """
    normalised = {_weight_of(name): layer.effective_weight() for name, layer in spectral_layers(module)}
    return {name: normalised.get(name, p.detach()) for name, p in module.named_parameters()}


@torch.no_grad()
def weight_scales(module: nn.Module) -> Mapping[str, Tensor]:
    """Return what each normalised parameter is multiplied by to give its entry in `effective_weights`, by name.

    An EMA of weights can be moved by these and the parameters alone, without the normalised weights themselves.
    """
    layers = {_weight_of(name): layer for name, layer in spectral_layers(module)}
    if not layers:
        return {}
    vectors = [layer.vectors for layer in layers.values()]
    weights = [layer.weight for layer in layers.values()]
    sigmas = vs_ops.singular_values(weights, [each.u for each in vectors], [each.v for each in vectors])
    return dict(zip(layers, torch._foreach_reciprocal(sigmas), strict=True))


def _weight_of(layer: str) -> str:
    """Return the name of a layer's weight; the layer may be the module itself, whose name is empty."""
    return f"{layer}.weight" if layer else "weight"
