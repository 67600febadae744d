"""From a decision that training has diverged to a message that says where: loss, network, layer, frame, clip."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import torch
import vs_optim as optim
from torch import Tensor, nn
from vs_runtime.ranks import Ranks, most

from vs_training.agreement import first_struck
from vs_training.batches import split_batch
from vs_training.errors import NonFiniteError
from vs_training.inputs import FrameInputs
from vs_training.passes import Execution, discriminator_pass, flow_pass, generator_pass, show, training_execution
from vs_training.state import FrameUpdate, Recipe, TrainState
from vs_training.tensors import tensors_in


def explain(
    divergence: optim.Divergence, state: TrainState, update: FrameUpdate, inputs: FrameInputs, recipe: Recipe
) -> NonFiniteError:
    """Return the error of an update that has diverged.

    Looks through losses, weights and gradients, and for a bad loss without a bad weight through the outputs of all
    layers, for which the frame is computed once more. The run is about to end or to go back, so this may take its time.

    Of several processes all ask at once, and get the error of the first that it struck.
    """
    network = divergence.network
    loss = bad_loss(update, network)
    layer = bad_weight(state)
    struck = loss is not None or layer is not None
    flow_alone = update.gradients.discriminator is None
    if not struck:
        layer = bad_gradient(state, network)
        struck = recipe.ranks.count > 1 and _strikes_here(state, network, inputs, recipe, flow_alone=flow_alone)
    elif layer is None:
        layer = bad_output(state, inputs, recipe, flow_alone=flow_alone)
    if loss is not None:
        what, problem = f"loss {loss}", "is not finite"
    elif divergence.reason == "not_finite":
        what, problem = "a weight", "is not finite"
    else:
        what, problem = "the gradient", _reason(divergence, state, recipe)
    error = NonFiniteError(
        step=state.step,
        what=what,
        problem=problem,
        network=network,
        layer=layer,
        frame=inputs.frame,
        clip=inputs.clip,
    )
    return first_struck(recipe.ranks, error, struck=struck)


def require_finite(state: TrainState, ranks: Ranks) -> None:
    """Refuse a state that is not finite, so that no checkpoint with such weights buries the good one before it.

    Several processes all ask, and all get the error.

    Raises:
        NonFiniteError: it names the step, the network and the first such tensor.
    """
    own = _first_bad(state)
    (struck,) = most(ranks, [own is not None])
    if struck:
        heard = own or NonFiniteError(step=state.step, what="the state")
        raise first_struck(ranks, heard, struck=own is not None)


def _first_bad(state: TrainState) -> NonFiniteError | None:
    for network, module in state.networks.items():
        if bad := optim.non_finite(module.state_dict().items()):
            return NonFiniteError(step=state.step, what=f"weight {bad[0]}", network=network)
        if bad := optim.non_finite(_moments(module, state.optimizers.of(network))):
            return NonFiniteError(step=state.step, what=f"the optimizer's {bad[0]}", network=network)
    averages = ((name, average) for name, average in state.generator_ema.state_dict().items() if not average.is_meta)
    if bad := optim.non_finite(averages):
        return NonFiniteError(step=state.step, what=f"averaged weight {bad[0]}", network="generator")
    return None


def _moments(module: nn.Module, optimizer: torch.optim.Optimizer) -> Iterator[tuple[str, Tensor]]:
    """Yield what an optimizer remembers of each parameter, by name."""
    for name, parameter in module.named_parameters():
        for key, value in optimizer.state.get(parameter, {}).items():
            yield from ((f"{key} of {name}", tensor) for tensor in tensors_in(value))


def bad_loss(update: FrameUpdate, network: optim.Network) -> str | None:
    """Return the name of a network's first loss that is not finite."""
    return next(iter(optim.non_finite(update.losses.of(network).items())), None)


def bad_weight(state: TrainState) -> str | None:
    """Return `NETWORK.PARAMETER`, the first that is not finite.

    The generator's come first: what it makes with bad weights is what the discriminator's losses choke on.
    """
    for name, module in state.networks.items():
        if bad := optim.non_finite(module.named_parameters()):
            return f"{name}.{bad[0]}"
    return None


def bad_gradient(state: TrainState, network: optim.Network) -> str | None:
    """Return `NETWORK.PARAMETER`, the first whose gradient is not finite."""
    parameters = state.networks.of(network).named_parameters()
    bad = optim.non_finite((name, p.grad) for name, p in parameters if p.grad is not None)
    return f"{network}.{bad[0]}" if bad else None


@torch.no_grad()
def bad_output(state: TrainState, inputs: FrameInputs, recipe: Recipe, *, flow_alone: bool) -> str | None:
    """Return `NETWORK.MODULE`, the first in the order of computation with an output that is not finite.

    `data` where what goes into the networks is not finite itself, `perceptual.MODULE` for that network. Computes the
    losses of the frame again, or of the flow network alone, and leaves the networks as they were.
    """
    if _is_bad((inputs.target, inputs.label, inputs.references, inputs.past.history)):
        return "data"
    found: list[str] = []
    modules: dict[str, nn.Module] = dict(state.networks.items())
    if recipe.perceptual is not None:
        modules["perceptual"] = recipe.perceptual
    kept = optim.keep_tensors(buffer for module in modules.values() for buffer in module.buffers())
    with ExitStack() as stack:
        for network, module in modules.items():
            for name, layer in module.named_modules():
                handle = layer.register_forward_hook(_watch(f"{network}.{name}".rstrip("."), found))
                stack.callback(handle.remove)
        run = Execution(forward=recipe.autocast, backward=lambda *_: None)
        _compute_losses(state, inputs, recipe, run, flow_alone=flow_alone)
    optim.put_back(kept)
    return found[0] if found else None


def _watch(name: str, found: list[str]) -> Callable[[nn.Module, Any, Any], None]:
    def hook(_: nn.Module, __: Any, output: Any) -> None:
        if not found and _is_bad(output):
            found.append(name)

    return hook


def _strikes_here(
    state: TrainState, network: optim.Network, inputs: FrameInputs, recipe: Recipe, *, flow_alone: bool
) -> bool:
    """Tell whether it is this process's part of a gradient that is not finite; its gradients are lost."""
    for module in (state.generator, state.discriminator):
        module.zero_grad(set_to_none=True)
    scales: optim.Pair[optim.Scale] = state.scaling.scales.map(lambda scale: scale.scale)
    _compute_losses(state, inputs, recipe, training_execution(scales, recipe), flow_alone=flow_alone)
    return bad_gradient(state, network) is not None


def _compute_losses(
    state: TrainState, inputs: FrameInputs, recipe: Recipe, run: Execution, *, flow_alone: bool
) -> None:
    for part in split_batch(inputs, recipe.micro_batches):
        if flow_alone:
            flow_pass(state.generator, part, recipe.objective, run, parts=recipe.parts)
            continue
        shown = show(state.generator, state.discriminator, part, run)
        discriminator_pass(state.discriminator, shown, recipe.objective, run, parts=recipe.parts)
        generator_pass(state.discriminator, shown, recipe.objective, recipe.perceptual, run, parts=recipe.parts)


def _is_bad(value: object) -> bool:
    return bool(optim.non_finite(("", tensor) for tensor in tensors_in(value)))


def _reason(divergence: optim.Divergence, state: TrainState, recipe: Recipe) -> str:
    if divergence.reason == "skips":
        return f"is not finite: {recipe.scaler.max_skips} updates in a row were skipped, at ever smaller loss scales"
    if not state.scaling.enabled:
        return "is not finite"
    return f"is not finite at the smallest loss scale, {recipe.scaler.min_scale:g}"
