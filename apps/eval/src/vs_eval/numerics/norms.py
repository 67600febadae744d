"""Finding out by experiment which modules normalise, over what, and with which eps.

A normalisation is known by what it does, not by what it is called: stretch and shift a plane that it takes the mean of,
and its result stays what it was. So each module is called with an input of its own shape, and then with the planes of
that input stretched and shifted, for all ways of cutting it into planes.

Its eps is measured likewise. Where a plane is constant, gradients grow by 1 / sqrt(eps). Where two elements of a plane
are far out on either side, so that the variance v is large and all other elements are the mean, they grow by
1 / sqrt(v + eps), and everything else that happens to them is the same. The ratio of both gradients gives eps,
whatever else the module does element by element.
"""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import attrs
import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

FAR, SHIFT = 1e3, 5e3
"""Deviation and shift of the inputs that modules are tried with: far above any eps."""

INVARIANT = 1e-3
"""Largest change of a result, relative to the result, that still counts as none; eps = 0.1 makes 1e-7."""


@attrs.frozen(kw_only=True)
class Planes:
    """A way of cutting a tensor into the planes that mean and variance are taken over.

    Attributes:
        groups: into how many groups the channels of (N, C, ...) are cut, which makes an axis before axis 1; None: not.
        over: the axes, after that cut, that belong to a plane.
    """

    groups: int | None
    over: tuple[int, ...]

    @property
    def name(self) -> str:
        """What a normalisation over such planes is called."""
        if self.groups is not None:
            return f"{self.groups} groups of channels"
        return {0: "batch"}.get(self.over[0], "last axis" if len(self.over) == 1 else "instance")

    def cut(self, x: Tensor) -> Tensor:
        """Return the tensor as (planes, elements of a plane)."""
        view = x if self.groups is None else x.unflatten(1, (self.groups, -1))
        return view.permute(*self._axes(view.dim())).reshape(-1, math.prod(view.shape[axis] for axis in self.over))

    def join(self, planes: Tensor, shape: torch.Size) -> Tensor:
        """Undo `cut` for a tensor of some shape."""
        view = torch.empty(shape, device="meta")
        view = view if self.groups is None else view.unflatten(1, (self.groups, -1))
        axes = self._axes(view.dim())
        back = sorted(range(len(axes)), key=lambda i: axes[i])
        return planes.view([view.shape[axis] for axis in axes]).permute(back).reshape(shape)

    def _axes(self, dimensions: int) -> list[int]:
        return [axis for axis in range(dimensions) if axis not in self.over] + list(self.over)


@attrs.frozen(kw_only=True)
class Normalisation:
    """A normalisation: what a module that normalises does.

    Attributes:
        planes: what mean and variance are taken over.
        eps: what it adds to the variance; None where that could not be measured.
    """

    planes: Planes
    eps: float | None

    def moments(self, x: Tensor) -> Tensor:
        """Return variance and mean square (2, P) of each plane of an input, on the CPU.

        Planes of one element, whose result is known without any arithmetic, count as zeros.
        """
        wide = self.planes.cut(x.detach()).double()
        square = wide.square().mean(1) if wide.shape[1] > 1 else wide.new_zeros(wide.shape[0])
        return torch.stack([wide.var(1, correction=0), square]).cpu()


def find_normalisation(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Normalisation | None:
    """Try out whether a module normalises its first argument; it and all random states stay as they were.

    Args:
        module: in whatever dtype; float64 gives the eps best.
        args: of one of its calls; the first must be a tensor of two dimensions at least.
        kwargs: of the same call.
    """
    x = args[0]
    noise, other = (FAR * _random(x.shape, seed).to(x) for seed in (0, 1))
    rest = pytree.tree_map_only(Tensor, Tensor.detach, args[1:])
    others = pytree.tree_map_only(Tensor, Tensor.detach, kwargs)

    def call(tried: Tensor) -> Tensor:
        buffers = {name: buffer.clone() for name, buffer in module.named_buffers()}
        result = torch.func.functional_call(module, buffers, (tried, *rest), others)
        return result if isinstance(result, Tensor) else x.new_full((), math.nan)

    with _undisturbed(module, x):
        with torch.no_grad():
            plain = call(noise)
            if not plain.abs().max() > 0 or not _is_same(call(noise * 2 + SHIFT), plain):
                return None
            if _is_same(call(other), plain):  # it does not look at its input at all
                return None
            planes = next((each for each in _candidates(x) if _is_same(call(_moved(noise, each)), plain)), None)
        if planes is None:
            return None
        stated = getattr(module, "eps", None)
        return Normalisation(planes=planes, eps=_measure_eps(call, x, planes) or (stated if stated else None))


@contextmanager
def _undisturbed(module: nn.Module, x: Tensor) -> Iterator[None]:
    """Keep random states, and what a module keeps in attributes between calls, as they were; have no autocast."""
    devices = [x.device] if x.device.type == "cuda" else []
    attributes = [(part, dict(vars(part))) for part in module.modules()]
    try:
        with torch.random.fork_rng(devices), torch.autocast(x.device.type, enabled=False):
            yield
    finally:
        for part, kept in attributes:
            vars(part).clear()
            vars(part).update(kept)


def _candidates(x: Tensor) -> Iterator[Planes]:
    """Yield ways of cutting a tensor into planes, finer ones first."""
    space = tuple(range(2, x.dim()))
    if space:
        channels = x.shape[1]
        yield Planes(groups=None, over=space)  # instance norm
        yield Planes(groups=None, over=(0, *space))  # batch norm
        for groups in range(channels // 2, 0, -1):  # group norm, with one group layer norm of a sample
            if channels % groups == 0:
                yield Planes(groups=groups, over=tuple(range(2, x.dim() + 1)))
    yield Planes(groups=None, over=(x.dim() - 1,))  # layer norm


def _moved(noise: Tensor, planes: Planes) -> Tensor:
    """Stretch and shift each plane by numbers of its own."""
    cut = planes.cut(noise)
    steps = torch.arange(cut.shape[0], device=noise.device)[:, None]
    return planes.join(cut * (2 + steps % 3) + SHIFT * (1 + steps % 5), noise.shape)


def _random(shape: torch.Size, seed: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def _is_same(moved: Tensor, plain: Tensor) -> bool:
    return bool((moved - plain).abs().max() <= INVARIANT * plain.abs().max())


def _measure_eps(call: Callable[[Tensor], Tensor], x: Tensor, planes: Planes) -> float | None:
    """Measure eps by gradients on a constant input and on one with two far elements a plane, at all other elements."""
    constant = torch.zeros_like(planes.cut(x))
    elements = constant.shape[1]
    if elements < 4:
        return None
    far = constant.clone()
    far[:, 0], far[:, 1] = FAR, -FAR
    with torch.no_grad():
        at_rest, moved = (call(planes.join(values, x.shape).contiguous()) for values in (constant, far))
    push = _random(at_rest.shape, seed=2).to(x)
    push = push * (at_rest - moved).abs().le(INVARIANT * moved.abs().max())  # where no far element is looked at

    def gradient(values: Tensor) -> Tensor:
        tried = planes.join(values, x.shape).contiguous().requires_grad_()
        with torch.enable_grad():
            found: Tensor = torch.autograd.grad(call(tried), tried, push)[0]
        return planes.cut(found)[:, 2:].square().sum().sqrt()

    variance = 2 * FAR**2 / elements
    ratio = float((gradient(constant) / gradient(far)).square())
    eps = variance / (ratio - 1) if ratio > 1 else math.nan
    return eps if math.isfinite(eps) else None
