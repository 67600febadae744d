"""Where a step's time goes, phase by phase: each function that is a phase is wrapped while it is measured.

A phase that another one calls is not counted in the other. The training code knows nothing of this; what is wrapped is
named here, and a name that is gone is an error.
"""

import contextlib
import functools
import importlib
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import attrs
import torch
from torch import Tensor
from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook

INPUTS = "inputs"
G_FORWARD = "G forward"
D_FORWARD = "D pass: forward"
D_BACKWARD = "D pass: backward"
G_DISCRIMINATOR = "G pass: discriminator forward"
G_PERCEPTUAL = "G pass: perceptual forward"
G_LOSSES = "G pass: other losses"
G_PERCEPTUAL_BACKWARD = "G pass: perceptual backward"
G_DISCRIMINATOR_BACKWARD = "G pass: discriminator backward"
G_BACKWARD = "G pass: generator backward"
SPECTRAL = "spectral norm"
CHECKS = "gradients checked"
OPTIMIZERS = "optimizers"
AVERAGE = "average of weights"
REST = "the rest"

PHASES = (
    INPUTS,
    G_FORWARD,
    D_FORWARD,
    D_BACKWARD,
    G_DISCRIMINATOR,
    G_PERCEPTUAL,
    G_LOSSES,
    G_PERCEPTUAL_BACKWARD,
    G_DISCRIMINATOR_BACKWARD,
    G_BACKWARD,
    SPECTRAL,
    CHECKS,
    OPTIMIZERS,
    AVERAGE,
    REST,
)
"""All phases, in the order of a step; the backward pass of spectral norm is in those of the networks."""


@attrs.define(kw_only=True)
class Stopwatch:
    """The seconds of each phase; `clock` tells the time, when all that was begun has ended."""

    clock: Callable[[], float]
    seconds: dict[str, float] = attrs.field(factory=dict)
    running: list[str] = attrs.field(factory=lambda: [REST])
    since: float = attrs.field(default=attrs.Factory(lambda self: self.clock(), takes_self=True))

    @property
    def phase(self) -> str:
        """The phase that it is."""
        return self.running[-1]

    def lap(self, phase: str) -> None:
        """Count the time since the last lap as that of a phase."""
        now = self.clock()
        self.seconds[phase] = self.seconds.get(phase, 0.0) + now - self.since
        self.since = now

    def begin(self, phase: str) -> None:
        """Begin a phase within the one that it is."""
        self.lap(self.phase)
        self.running.append(phase)

    def end(self) -> None:
        """End the phase that it is."""
        self.lap(self.running.pop())

    @contextlib.contextmanager
    def during(self, phase: str) -> Iterator[None]:
        """Make what is computed within a phase."""
        self.begin(phase)
        try:
            yield
        finally:
            self.end()


def phases_of(step: Callable[[], object], device: torch.device, rounds: int = 3) -> dict[str, float]:
    """Return the seconds of each phase of a step, medians of some rounds. On a GPU each phase is waited for."""
    watches = []
    for _ in range(rounds):
        watch = Stopwatch(clock=functools.partial(_now, device))
        with watched(watch):
            step()
            watch.lap(REST)
        watches.append(watch.seconds)
    found = {phase: statistics.median(seconds.get(phase, 0.0) for seconds in watches) for phase in PHASES}
    return {phase: seconds for phase, seconds in found.items() if seconds}


def _now(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


@contextlib.contextmanager
def watched(watch: Stopwatch) -> Iterator[None]:
    """Let a watch tell the phases of the steps that are made within."""
    with contextlib.ExitStack() as stack:
        for module, name, wrap in _SEAMS:
            stack.enter_context(_replaced(module, name, functools.partial(wrap, watch)))
        stack.callback(register_optimizer_step_pre_hook(lambda *_: watch.begin(OPTIMIZERS)).remove)
        stack.callback(register_optimizer_step_post_hook(lambda *_: watch.end()).remove)
        yield


Wrap = Callable[[Stopwatch, Callable[..., Any]], Callable[..., Any]]


def _phase(phase: str, within: str | None = None) -> Wrap:
    """Return what makes a function a phase, only where it is called from the phase `within` if one is given."""

    def wrap(watch: Stopwatch, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def call(*given: Any, **named: Any) -> Any:
            if within not in (None, watch.phase):
                return function(*given, **named)
            with watch.during(phase):
                return function(*given, **named)

        return call

    return wrap


def _perceptual(watch: Stopwatch, forward: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Wrap the forward pass of the perceptual loss, and tell when its backward pass has come to the frame."""

    def call(self: torch.nn.Module, fake: Tensor, *given: Any) -> Tensor:
        with watch.during(G_PERCEPTUAL):
            alone = fake.view_as(fake)  # the frame has other gradients beside this one
            if alone.requires_grad:
                alone.register_hook(lambda _: watch.lap(G_PERCEPTUAL_BACKWARD))
            return forward(self, alone, *given)

    return call


def _generate(watch: Stopwatch, generate: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap G's forward pass, and tell when the backward pass of what looks at the frame has come to it."""

    def call(*given: Any, **named: Any) -> Any:
        with watch.during(G_FORWARD):
            synthesis = generate(*given, **named)
        if synthesis.frame.requires_grad:
            synthesis.frame.register_hook(lambda _: watch.lap(G_DISCRIMINATOR_BACKWARD))
        return synthesis

    return call


def _execution(watch: Stopwatch, training_execution: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap both backward passes, each by its network."""
    phases: Mapping[str, str] = {"generator": G_BACKWARD, "discriminator": D_BACKWARD}

    def call(*given: Any) -> Any:
        run = training_execution(*given)

        def backward(network: str, loss: Tensor) -> None:
            with watch.during(phases[network]):
                run.backward(network, loss)

        return attrs.evolve(run, backward=backward)

    return call


_SEAMS: tuple[tuple[str, str, Wrap], ...] = (
    ("vs_training.step", "encode_references", _phase(INPUTS)),
    ("vs_training.step", "frame_inputs", _phase(INPUTS)),
    ("vs_training.passes", "generate", _generate),
    ("vs_training.update", "generate", _generate),
    ("vs_training.update", "discriminator_pass", _phase(D_FORWARD)),
    ("vs_training.update", "generator_pass", _phase(G_LOSSES)),
    ("vs_training.update", "training_execution", _execution),
    ("vs_training.update", "check_gradients", _phase(CHECKS)),
    ("vs_training.update", "update_ema", _phase(AVERAGE)),
    ("vs_nets", "discriminate_frame", _phase(G_DISCRIMINATOR, within=G_LOSSES)),
    ("vs_nets.perceptual:Perceptual", "features", _phase(G_PERCEPTUAL)),
    ("vs_nets.perceptual:Perceptual", "forward", _perceptual),
    ("vs_nets.spectral", "_normalise", _phase(SPECTRAL)),
    ("vs_nets.spectral", "_write", _phase(SPECTRAL)),
)
"""What is wrapped: a module, or a class in one, the name of a function there, and how."""


@contextlib.contextmanager
def _replaced(place: str, name: str, wrap: Callable[[Any], Any]) -> Iterator[None]:
    module, _, inner = place.partition(":")
    owner = importlib.import_module(module)
    owner = getattr(owner, inner) if inner else owner
    original = getattr(owner, name)
    setattr(owner, name, wrap(original))
    try:
        yield
    finally:
        setattr(owner, name, original)
