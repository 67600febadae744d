"""Frame updates by CUDA graphs: the update of `update`, recorded once for each shape of its inputs.

A frame is two graphs. The first ends with G's gradients, the second is G's step and the EMA's. Nothing in them waits.
Without loss scaling nothing waits between them either. With it, one number is read there: whether all losses and
gradients are finite. If so, both networks step as ever. If not, nothing has counted yet: D has left its step out by
itself or gives it back, the vectors of power iterations are put back, and `update_frame` does the frame without graphs,
decides and may replay.

First frames, second ones and those in the steady state have inputs of other shapes, and so graphs of their own.
"""

from collections.abc import Callable, Hashable, Mapping

import attrs
import torch
import vs_optim as optim
from torch import Tensor
from vs_config import ConfigError, Problem
from vs_runtime.graphs import CudaRecorder, Recorded, Recorder
from vs_runtime.ranks import ONE, Ranks

from vs_training.config import TrainConfig
from vs_training.inputs import FrameInputs
from vs_training.retry import Update
from vs_training.state import FrameUpdate, Recipe, TrainState
from vs_training.tensors import map_tensors, signature, tensors_in
from vs_training.update import (
    Terms,
    decide,
    discriminator_gradients,
    generator_gradients,
    generator_step,
    next_ema_weight,
    terms_of,
    update_frame,
)

WARM_UPS = 2
"""Updates of a shape, all counting, that come before its graphs: optimizers have their state by then."""

MAX_GRAPHS = 32
"""Shapes that graphs are kept of; further ones are computed without."""


def settle_graphs(config: TrainConfig, device: torch.device, ranks: Ranks = ONE) -> bool:
    """Tell whether updates of frames are to go by CUDA graphs. Pure.

    Raises:
        ConfigError: they are asked for, and cannot be had.
    """
    if config.performance.graphs == "off":
        return False
    problem = _refusal(config, device, ranks)
    if problem is not None and config.performance.graphs == "on":
        raise ConfigError([Problem("performance.graphs", problem, expected="'auto' or 'off'", got="on")])
    return problem is None


def _refusal(config: TrainConfig, device: torch.device, ranks: Ranks) -> str | None:
    if device.type != "cuda":
        return f"CUDA graphs need a GPU, and this trains on {device.type!r}"
    if ranks.count > 1:
        return f"CUDA graphs cannot hold what {ranks.count} processes tell one another"
    if config.memory.checkpoint != "none":
        return f"CUDA graphs cannot hold memory.checkpoint={config.memory.checkpoint}"
    for adam in (config.optim.generator, config.optim.discriminator):
        if adam.impl not in ("auto", "fused"):
            return f"CUDA graphs take PyTorch's fused Adam alone, and impl={adam.impl} is asked for"
    return None


def frame_updater(
    config: TrainConfig, device: torch.device, tell: Callable[[str], None], ranks: Ranks = ONE
) -> Update | None:
    """Return how frames of a state are updated from now on, by graphs; None: by `update_frame`.

    Args:
        config: of the run.
        device: where the state is.
        tell: is told where graphs were tried, could not be recorded and are done without.
        ranks: the processes that share each batch.

    Raises:
        ConfigError: graphs are asked for, and cannot be had.
    """
    if not settle_graphs(config, device, ranks):
        return None
    return GraphedUpdate(CudaRecorder(device), tell if config.performance.graphs == "auto" else None)


@attrs.frozen(kw_only=True, eq=False)
class Gradients:
    """The first graph's result.

    Attributes:
        losses, reports, frame: as in `FrameUpdate`.
        finite: () bool: whether all losses and norms of gradients are; None where nobody asks within the clip.
        before: what is to be put back where they are not.
    """

    losses: optim.Pair[Mapping[str, Tensor]]
    reports: optim.Pair[optim.GradientReport | None]
    frame: Tensor
    finite: Tensor | None
    before: tuple[optim.KeptTensors | optim.KeptOptimizer, ...]


@attrs.frozen(kw_only=True, eq=False)
class FrameGraphs:
    """The graphs of one shape, and the tensors that they read: a frame, and the loss scales."""

    inputs: FrameInputs
    terms: Terms
    gradients: Recorded[Gradients]
    step: Recorded[None]


class GraphedUpdate:
    """`update_frame` by graphs; for one state and what becomes of it in place, so make another after loading one.

    Args:
        recorder: records the graphs.
        tell: is told, once, that something could not be recorded; all is computed without graphs then. None: it is an
            error.
    """

    def __init__(self, recorder: Recorder, tell: Callable[[str], None] | None = None) -> None:
        self._recorder = recorder
        self._tell = tell
        self._warm: dict[Hashable, int] = {}
        self._graphs: dict[Hashable, FrameGraphs] = {}
        self._given_up = False

    def __call__(self, state: TrainState, inputs: FrameInputs, recipe: Recipe, replays: int = 0) -> FrameUpdate:
        """Update as `update_frame` does; a replay after an overflow, and what there is no graph of, without graphs."""
        key = _key(state, inputs, recipe)
        if replays or self._given_up or (key not in self._graphs and len(self._graphs) >= MAX_GRAPHS):
            return update_frame(state, inputs, recipe, replays)
        if key not in self._graphs:
            if self._warm.get(key, 0) < WARM_UPS:
                return self._warm_up(key, state, inputs, recipe)
            try:
                self._graphs[key] = record_frame(self._recorder, state, inputs, recipe)
            except RuntimeError as error:
                self._give_up(error)
                return update_frame(state, inputs, recipe, replays)
        return replay_frame(self._graphs[key], state, inputs, recipe)

    def _warm_up(self, key: Hashable, state: TrainState, inputs: FrameInputs, recipe: Recipe) -> FrameUpdate:
        done = self._recorder.aside(lambda: update_frame(state, inputs, recipe))
        if done.decision.kind == "good":
            self._warm[key] = self._warm.get(key, 0) + 1
        return done

    def _give_up(self, error: RuntimeError) -> None:
        if self._tell is None or isinstance(error, torch.OutOfMemoryError):
            raise error
        self._given_up = True
        self._graphs.clear()
        reason = str(error).strip().partition("\n")[0]
        self._tell(f"performance.graphs: off from here on, since a frame could not be recorded: {reason}")


def _key(state: TrainState, inputs: FrameInputs, recipe: Recipe) -> Hashable:
    """Return what graphs of a frame depend on beside tensors' values."""
    measured = terms_of(state, recipe).measured
    return signature(attrs.evolve(inputs, clip="", frame=0)), measured, next_ema_weight(state, recipe.ema)


def record_frame(recorder: Recorder, state: TrainState, inputs: FrameInputs, recipe: Recipe) -> FrameGraphs:
    """Record the update of a frame, and do nothing; such frames must have been updated by before.

    Raises:
        RuntimeError: it cannot be recorded.
    """
    own, terms = map_tensors(Tensor.clone, inputs), recorded_terms(state, recipe)
    try:
        gradients = recorder.record(lambda: frame_gradients(state, own, recipe, terms))
        step = recorder.record(lambda: generator_step(state, recipe))
    finally:  # they lie in the graphs' memory, where other graphs may write
        for optimizer in (state.optimizers.generator, state.optimizers.discriminator):
            optimizer.zero_grad(set_to_none=True)
    return FrameGraphs(inputs=own, terms=terms, gradients=gradients, step=step)


def recorded_terms(state: TrainState, recipe: Recipe) -> Terms:
    """Return terms by which an update waits for nothing, and whose loss scales may change after it was recorded."""
    terms = terms_of(state, recipe)
    scales = terms.scales
    if state.scaling.enabled:
        scales = scales.map(lambda scale: torch.as_tensor(scale, dtype=torch.float32, device=recipe.device))
    return attrs.evolve(terms, scales=scales, wait=False)


def frame_gradients(state: TrainState, inputs: FrameInputs, recipe: Recipe, terms: Terms) -> Gradients:
    """Compute D's gradients, take its step, and compute G's gradients, as `update_frame` does, without any wait.

    Where losses are scaled, D leaves its step out if its losses or gradients are not finite.
    """
    scaled, discriminator = state.scaling.enabled, state.optimizers.discriminator
    before: tuple[optim.KeptTensors | optim.KeptOptimizer, ...] = ()
    if scaled:
        vectors = optim.keep_tensors([*state.generator.buffers(), *state.discriminator.buffers()])
        before = vectors, optim.keep_optimizer(discriminator)
    shown, d_losses, d_report = discriminator_gradients(state, inputs, recipe, terms)
    if scaled:
        optim.step_if_finite(discriminator, d_report.norm, *d_losses.values())
    else:
        discriminator.step()
    g_losses, g_report = generator_gradients(state, shown, recipe, terms)
    told = [d_report.norm, g_report.norm, *d_losses.values(), *g_losses.values()]
    return Gradients(
        losses=optim.Pair(discriminator=d_losses, generator=g_losses),
        reports=optim.Pair(discriminator=d_report, generator=g_report),
        frame=shown.frame,
        finite=torch.cat([value.float().reshape(-1) for value in told]).isfinite().all() if scaled else None,
        before=before,
    )


def replay_frame(graphs: FrameGraphs, state: TrainState, inputs: FrameInputs, recipe: Recipe) -> FrameUpdate:
    """Update by graphs, with results of its own: the next replay writes to theirs."""
    _hand_over(graphs, state, inputs)
    graphs.gradients.replay()
    found = graphs.gradients.result
    if found.finite is not None and not bool(found.finite):  # the one wait
        for kept in found.before:
            optim.put_back(kept)
        return update_frame(state, inputs, recipe)
    graphs.step.replay()
    reports = found.reports if found.finite is None else found.reports.map(_called_finite)
    return FrameUpdate(
        losses=map_tensors(Tensor.clone, found.losses),
        gradients=map_tensors(Tensor.clone, reports),
        decision=decide(state, reports, recipe, 0),
        frame=found.frame.clone(),
    )


@torch.no_grad()
def _hand_over(graphs: FrameGraphs, state: TrainState, inputs: FrameInputs) -> None:
    torch._foreach_copy_(list(tensors_in(graphs.inputs)), list(tensors_in(inputs)))
    for network, scale in graphs.terms.scales.items():
        match scale:
            case Tensor():
                scale.fill_(state.scaling.scales.of(network).scale)


def _called_finite(report: optim.GradientReport | None) -> optim.GradientReport | None:
    return None if report is None else attrs.evolve(report, finding="finite")
