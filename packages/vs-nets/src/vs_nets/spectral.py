"""Layers with optional spectral norm, and normalising the weights of many of them at once.

Whether a layer is spectrally normalised is decided when it is built; the parameter is called `weight` either way, so
that averaged, already normalised weights load into a network without.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
import torch.nn.functional as F
import vs_ops
from torch import Tensor, nn


class SpectralLayer(nn.Module):
    """Weight (C_out, ...) and bias of a layer, with spectral norm on request.

    With spectral norm the weight is divided by its largest singular value, estimated by one power iteration for each
    call in training and by none in evaluation (Miyato et al., 2018). The singular vectors are the buffers `u` and `v`.
    """

    u: Tensor
    v: Tensor

    def __init__(self, shape: Sequence[int], *, spectral: bool) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(*shape))
        self.bias = nn.Parameter(torch.empty(shape[0]))
        self.spectral = spectral
        self.ready: Tensor | None = None  # the weight of the next call, within `normalised_at_once`
        if spectral:
            self.register_buffer("u", torch.empty(shape[0]))
            self.register_buffer("v", torch.empty(self.weight[0].numel()))
        self.reset_parameters()

    @torch.no_grad()
    def reset_parameters(self, gain: float = 0.02) -> None:
        """Xavier-normal weights, zero bias; singular vectors start at random and take a few power iterations."""
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

    def effective_weight(self) -> Tensor:
        """The weight that is used: `weight`, or `weight` over its largest singular value; never iterates."""
        return vs_ops.spectral_normalize(self.weight, self.u, self.v) if self.spectral else self.weight

    def next_weight(self) -> Tensor:
        """The weight of a call, after the power iteration that a call in training makes.

        Under autocast a normalised weight has autocast's dtype, since a convolution or product is what it is for.
        """
        if self.ready is None:
            return _normalise([self])[0] if self.spectral else self.weight
        weight, self.ready = self.ready, None
        if weight.dtype is (_autocast_dtype(self.weight) or self.weight.dtype):
            return weight
        return self.effective_weight()  # an island in what is autocast: the vectors are advanced, the dtype is another


@contextmanager
def normalised_at_once(*modules: nn.Module) -> Iterator[None]:
    """Within, the first call of each spectrally normalised layer of `modules` finds its weight normalised already.

    That is done for all of them together, which is quicker and gives what each layer alone would have made: a layer's
    power iteration depends on nothing but its own weight and vectors. Further calls of a layer iterate by themselves.
    Name modules of which every layer is called within: one that is not has iterated in vain. May be nested; a layer
    whose weight lies ready is left to the outer call.

    For a module under activation checkpointing enter it inside the module, whose second run must normalise again.
    """
    every = [m for module in modules for m in module.modules() if isinstance(m, SpectralLayer)]
    layers = [m for m in dict.fromkeys(every) if m.spectral and m.ready is None]
    if torch.compiler.is_compiling():
        layers = []  # the compiler sees each layer's own operations, and fuses those
    for training in (True, False):
        group = [layer for layer in layers if layer.training is training]
        for layer, weight in zip(group, _normalise(group), strict=True):
            layer.ready = weight
    try:
        yield
    finally:
        for layer in layers:
            layer.ready = None


def _normalise(layers: Sequence[SpectralLayer]) -> Sequence[Tensor]:
    """The next weights of layers, all of them in training or none, whose vectors are advanced in training."""
    if not layers:
        return []
    normalised = vs_ops.spectral_normalize_all(
        [layer.weight for layer in layers],
        [layer.u for layer in layers],
        [layer.v for layer in layers],
        iterations=1 if layers[0].training else 0,
        dtype=_autocast_dtype(layers[0].weight),
    )
    if layers[0].training:
        with torch.no_grad():
            torch._foreach_copy_([layer.u for layer in layers], normalised.us)
            torch._foreach_copy_([layer.v for layer in layers], normalised.vs)
    return normalised.weights


def _autocast_dtype(weight: Tensor) -> torch.dtype | None:
    """What autocast makes of a weight now; None where it leaves it alone."""
    device = weight.device.type
    autocast = torch.is_autocast_enabled(device) and weight.dtype is not torch.float64
    return torch.get_autocast_dtype(device) if autocast else None


def has_power_iteration(module: nn.Module) -> bool:
    """Whether a call of `module` changes spectral-norm buffers now (then the order of calls matters)."""
    return module.training and any(isinstance(m, SpectralLayer) and m.spectral for m in module.modules())


@torch.no_grad()
def effective_weights(module: nn.Module) -> Mapping[str, Tensor]:
    """Parameters by name as the network uses them: spectrally normalised where it normalises (no iteration is made).

    These are what an average of weights should average: the averaged network then needs no spectral norm.
    """
    normalised = {
        f"{name}.weight" if name else "weight": m.effective_weight()
        for name, m in module.named_modules()
        if isinstance(m, SpectralLayer) and m.spectral
    }
    return {name: normalised.get(name, p.detach()) for name, p in module.named_parameters()}


@torch.no_grad()
def weight_scales(module: nn.Module) -> Mapping[str, Tensor]:
    """What each spectrally normalised parameter is multiplied by to give its entry in `effective_weights`, by name.

    An average of weights can be moved by these and the parameters alone, without the normalised weights themselves.
    """
    layers = {
        f"{name}.weight" if name else "weight": m
        for name, m in module.named_modules()
        if isinstance(m, SpectralLayer) and m.spectral
    }
    weights, us, vs = zip(*[(m.weight, m.u, m.v) for m in layers.values()], strict=True) if layers else ((), (), ())
    sigmas = vs_ops.singular_values(weights, us, vs)
    return dict(zip(layers, torch._foreach_reciprocal(sigmas), strict=True)) if layers else {}
