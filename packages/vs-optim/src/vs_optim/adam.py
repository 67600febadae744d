"""Adam with a fused step: NVIDIA apex, PyTorch's fused kernel, or PyTorch's foreach loops, and why which one."""

import importlib
import importlib.metadata
import importlib.util
from collections.abc import Iterable
from functools import partial
from importlib.machinery import PathFinder
from typing import Any, Literal

import attrs
import torch
from torch import Tensor
from vs_config import Range, choice, numbers, real

from vs_optim.errors import AdamError

AdamImpl = Literal["apex", "fused", "foreach"]
MAX_RATE = 1e6
"""Learning rates and penalties beyond this lose all weights in the first step."""

_BETA = Range(kind=float, low=0, high=1, open_high=True)

_ADVICE = "NVIDIA's is built from github.com/NVIDIA/apex; impl 'auto' and 'fused' do without it"


@attrs.frozen(kw_only=True)
class AdamConfig:
    """Numbers of Adam; weight decay is the L2 penalty of Adam, not AdamW's."""

    lr: float = real(2e-4, "learning rate", low=0, high=MAX_RATE, open_low=True)
    betas: tuple[float, float] = numbers(
        (0.5, 0.999), "decay of the averages of the gradient and of its square", _BETA, length=2
    )
    eps: float = real(1e-8, "added to the root of the second average", low=0, high=1, open_low=True)
    weight_decay: float = real(0.0, "L2 penalty", low=0, high=MAX_RATE)
    impl: Literal["auto", "apex", "fused", "foreach"] = choice(
        "auto",
        "auto: NVIDIA apex on CUDA where it is installed, else PyTorch's fused Adam",
        ("auto", "apex", "fused", "foreach"),
    )


@attrs.frozen(kw_only=True)
class AdamChoice:
    """The implementation that runs, and why, in words for a log."""

    impl: AdamImpl
    reason: str


@attrs.frozen(kw_only=True)
class ApexStatus:
    """State of NVIDIA's apex: whether it can be imported here, and if not, why; `reason` is empty if it can."""

    usable: bool
    reason: str


def find_apex() -> ApexStatus:
    """Look for NVIDIA's apex on `sys.path` without importing anything.

    The package index has an unrelated program of the same name (a toolkit for the Pyramid web framework). The two are
    told apart by `apex/optimizers`, which only NVIDIA's has, so the code of the other one is never run.
    """
    try:
        spec = importlib.util.find_spec("apex")
    except ValueError:  # a module made by hand, without a spec
        spec = None
    if spec is None:
        return ApexStatus(usable=False, reason="NVIDIA apex is not installed")
    locations = spec.submodule_search_locations
    if locations is not None and PathFinder.find_spec("apex.optimizers", list(locations)) is not None:
        return ApexStatus(usable=True, reason="")
    found = f"the package 'apex' at {spec.origin or ', '.join(locations or ['?'])}{_summary()}"
    return ApexStatus(
        usable=False, reason=f"{found} is not NVIDIA's apex but another program of that name; uninstall it"
    )


def _summary() -> str:
    """Return version and one-line description of the distribution called apex, if the installer left any."""
    try:
        meta = importlib.metadata.metadata("apex").json
    except importlib.metadata.PackageNotFoundError:
        return ""
    return f" (version {meta.get('version', '?')}: {meta.get('summary', 'no description')})"


def choose_adam(
    impl: Literal["auto", "apex", "fused", "foreach"], device_type: str, apex: ApexStatus, *, capturable: bool = False
) -> AdamChoice:
    """Decide from what was asked for, the kind of device, and whether apex is there. Pure.

    `capturable`: whether a step has to be decided about on the device, as `step_if_finite` does; only PyTorch's fused
    Adam can.

    Raises:
        AdamError: apex was asked for by name and cannot be used, or the one asked for is not capturable.
    """
    if capturable:
        if impl not in ("auto", "fused"):
            raise AdamError(impl, "CUDA graphs take PyTorch's fused Adam alone; choose 'auto' or 'fused'")
        return AdamChoice(impl="fused", reason="PyTorch's fused Adam, which CUDA graphs can hold")
    if impl in ("fused", "foreach"):
        return AdamChoice(impl=impl, reason="asked for by name")
    if impl == "apex":
        if device_type != "cuda":
            raise AdamError("apex", f"it needs parameters on CUDA, and these are on {device_type!r}")
        if not apex.usable:
            raise AdamError("apex", f"{apex.reason}; {_ADVICE}")
        return AdamChoice(impl="apex", reason="asked for by name")
    if device_type == "cuda":
        if apex.usable:
            return AdamChoice(impl="apex", reason="NVIDIA apex is installed")
        return AdamChoice(impl="fused", reason=f"PyTorch's fused Adam, since {apex.reason}")
    if device_type == "cpu":
        return AdamChoice(impl="fused", reason="PyTorch's fused Adam is the fastest on the CPU")
    return AdamChoice(
        impl="foreach", reason=f"neither apex nor PyTorch's fused Adam is tested on device {device_type!r}"
    )


def make_adam(
    impl: AdamImpl, params: Iterable[Tensor], config: AdamConfig, *, capturable: bool = False
) -> torch.optim.Optimizer:
    """Construct that implementation; all three compute the same Adam, with the L2 penalty.

    A capturable one, which has to be fused, reads its learning rate from a tensor on the device of its parameters, so
    that a recorded step obeys `set_lr`.

    The fused kernels write to the parameters behind autograd's back: a backward through a graph that is older than the
    step would give wrong gradients in silence. After each step their parameters are therefore marked as written to, so
    that autograd refuses such a backward as it does with every other optimizer.

    Raises:
        AdamError: apex is there but does not work, for instance because it was built without its CUDA extensions.
    """
    numbers: dict[str, Any] = {
        "lr": config.lr,
        "betas": config.betas,
        "eps": config.eps,
        "weight_decay": config.weight_decay,
    }
    if capturable:
        params = list(params)
        numbers |= {"lr": torch.tensor(config.lr, device=params[0].device), "capturable": True}
    if impl == "foreach":
        return torch.optim.Adam(params, foreach=True, **numbers)
    make = _make_apex if impl == "apex" else partial(_FusedAdam, fused=True)
    optimizer: torch.optim.Optimizer = make(params, **numbers)
    optimizer.register_step_post_hook(_mark_written)
    return optimizer


class _FusedAdam(torch.optim.Adam):
    """PyTorch's fused Adam, which is given all that belongs to a parameter as it lies in memory.

    The kernel for the CPU takes tensors for rows of numbers. It copies channels-last ones first, which takes longer
    than the step; where a gradient lies in another order than its parameter it takes the wrong elements (2.13).
    """

    def _init_group(self, group: dict[str, Any], params: list[Tensor], grads: list[Tensor], *state: Any) -> bool:
        """Fill the lists as Adam does, with views whose axes are in the order of memory."""
        complex_ones: bool = super()._init_group(group, params, grads, *state)  # type: ignore[no-untyped-call]
        orders = [_memory_order(p) for p in params]
        for tensors in (params, grads, *state[:2]):
            tensors[:] = [t if order is None else t.permute(order) for t, order in zip(tensors, orders, strict=True)]
        grads[:] = [grad.contiguous() for grad in grads]
        return complex_ones


def _memory_order(tensor: Tensor) -> tuple[int, ...] | None:
    """Return the axes from the widest stride to the narrowest; None where they are so already."""
    if tensor.is_contiguous():
        return None
    strides = tensor.stride()
    return tuple(sorted(range(tensor.dim()), key=lambda axis: -strides[axis]))


def _make_apex(params: Iterable[Tensor], **numbers: Any) -> torch.optim.Optimizer:
    try:
        fused_adam = importlib.import_module("apex.optimizers").FusedAdam
        optimizer: torch.optim.Optimizer = fused_adam(
            params, bias_correction=True, adam_w_mode=False, amsgrad=False, set_grad_none=True, **numbers
        )
    except (ImportError, AttributeError, RuntimeError) as error:
        raise AdamError("apex", f"{type(error).__name__}: {error}; {_ADVICE}") from error
    return optimizer


def _mark_written(optimizer: torch.optim.Optimizer, *_: object) -> None:
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            if parameter.grad is not None:
                torch.autograd.graph.increment_version(parameter)


@torch.no_grad()
def step_if_finite(optimizer: torch.optim.Optimizer, *values: Tensor) -> None:
    """Step a capturable optimizer, or leave everything as it is where a value is not finite; nobody waits for it.

    Args:
        optimizer: of `build_adam(..., capturable=True)`.
        values: of any shape, on the device of the parameters.
    """
    bad = torch.cat([value.detach().float().reshape(-1) for value in values]).isfinite().all().logical_not()
    setattr(optimizer, "found_inf", bad.float())  # noqa: B010 # PyTorch's fused Adam looks for it, its stubs do not know
    try:
        optimizer.step()
    finally:
        delattr(optimizer, "found_inf")


def build_adam(
    params: Iterable[Tensor], config: AdamConfig, *, capturable: bool = False
) -> tuple[torch.optim.Optimizer, AdamChoice]:
    """Build Adam over `params`, and return the choice that was made; log `choice.impl` and `choice.reason`.

    The fused kernel is what `auto` takes on the CPU too, where the foreach loops are slower than plain ones; and it is
    the only one whose step a CUDA graph can hold (`capturable`).

    Raises:
        AdamError: there are no parameters, or the implementation asked for by name cannot be used.
    """
    tensors = list(params)
    if not tensors:
        raise AdamError(config.impl, "there are no parameters to optimize")
    device_type = tensors[0].device.type
    apex = find_apex() if device_type == "cuda" else ApexStatus(usable=False, reason="")
    choice = choose_adam(config.impl, device_type, apex, capturable=capturable)
    try:
        return make_adam(choice.impl, tensors, config, capturable=capturable), choice
    except AdamError as error:
        if config.impl != "auto":
            raise
        choice = AdamChoice(
            impl="fused", reason=f"PyTorch's fused Adam, since apex is installed but fails: {error.reason}"
        )
        return make_adam("fused", tensors, config), choice
