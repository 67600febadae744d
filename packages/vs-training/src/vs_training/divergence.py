"""From a verdict of divergence to a message that says where: loss, network, layer, frame, clip."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from typing import Any

import attrs
import torch
import vs_nets as nets
import vs_optim as optim
from torch import Tensor, nn

from vs_training.errors import NonFiniteError
from vs_training.state import Attempt, FrameInputs, Recipe, TrainState
from vs_training.update import detached, generate, split_batch


def explain(
    divergence: optim.Divergence, state: TrainState, attempt: Attempt, inputs: FrameInputs, recipe: Recipe
) -> NonFiniteError:
    """The error of an attempt that has diverged.

    Looks through losses, weights and gradients, and for a bad loss without a bad weight through the outputs of all
    layers, for which the frame is computed once more. The run is about to end or to go back, so this may take its time.
    """
    network = divergence.network
    loss = bad_loss(attempt, network)
    layer = bad_weight(state)
    if layer is None:
        layer = bad_gradient(state, network) if loss is None else bad_output(state, inputs, recipe)
    if loss is not None:
        what, problem = f"loss {loss}", "is not finite"
    elif divergence.reason == "not_finite":
        what, problem = "a weight", "is not finite"
    else:
        what, problem = "the gradient", _reason(divergence, state, recipe)
    return NonFiniteError(
        step=state.step,
        what=what,
        problem=problem,
        network=network,
        layer=layer,
        frame=inputs.frame,
        clip=inputs.clip,
    )


def bad_loss(attempt: Attempt, network: optim.Network) -> str | None:
    """The first loss of a network that is not finite, without its prefix."""
    prefix = f"{network[0]}_"
    bad = optim.non_finite((name, loss) for name, loss in attempt.losses.items() if name.startswith(prefix))
    return bad[0].removeprefix(prefix) if bad else None


def bad_weight(state: TrainState) -> str | None:
    """`NETWORK.PARAMETER`, the first that is not finite.

    The generator's come first: what it makes with bad weights is what the discriminator's losses choke on.
    """
    for name, module in _networks(state).items():
        if bad := optim.non_finite(module.named_parameters()):
            return f"{name}.{bad[0]}"
    return None


def bad_gradient(state: TrainState, network: optim.Network) -> str | None:
    """`NETWORK.PARAMETER`, the first whose gradient is not finite."""
    parameters = _networks(state)[network].named_parameters()
    bad = optim.non_finite((name, p.grad) for name, p in parameters if p.grad is not None)
    return f"{network}.{bad[0]}" if bad else None


@torch.no_grad()
def bad_output(state: TrainState, inputs: FrameInputs, recipe: Recipe) -> str | None:
    """`NETWORK.MODULE`, the first in the order of computation with an output that is not finite.

    `data` where what goes into the networks is not finite itself, `perceptual.MODULE` for that network. Computes the
    losses of the frame again and leaves the networks as they were.
    """
    if _is_bad((inputs.target, inputs.label, inputs.references, inputs.history)):
        return "data"
    found: list[str] = []
    modules: dict[str, nn.Module] = {**_networks(state)}
    if recipe.perceptual is not None:
        modules["perceptual"] = recipe.perceptual
    kept = optim.keep_tensors(buffer for module in modules.values() for buffer in module.buffers())
    with ExitStack() as stack:
        for network, module in modules.items():
            for name, layer in module.named_modules():
                handle = layer.register_forward_hook(_watch(f"{network}.{name}".rstrip("."), found))
                stack.callback(handle.remove)
        for part in split_batch(inputs, recipe.micro_batches):
            _compute_losses(state, part, recipe)
    optim.put_back(kept)
    return found[0] if found else None


def _watch(name: str, found: list[str]) -> Any:
    def hook(_: nn.Module, __: Any, output: Any) -> None:
        if not found and _is_bad(output):
            found.append(name)

    return hook


def _compute_losses(state: TrainState, inputs: FrameInputs, recipe: Recipe) -> None:
    synthesis = generate(state, inputs, recipe)
    condition = nets.discriminator_condition(inputs.label, inputs.references, synthesis)
    real = nets.real_inputs(condition, inputs.target.frame, inputs.real_past, state.discriminator.config)
    with optim.autocast(recipe.precision, recipe.device):
        nets.discriminate_frame(
            state.discriminator, real, detached(synthesis), inputs.fake_past, nets.discriminate_both
        )
        outputs = nets.discriminate_frame(
            state.discriminator, real, synthesis, inputs.fake_past, nets.discriminate_fake
        )
        nets.generator_losses(synthesis, inputs.target, outputs, recipe.objective, recipe.perceptual)


def _is_bad(value: Any) -> bool:
    return bool(optim.non_finite(("", tensor) for tensor in _tensors(value)))


def _tensors(value: Any) -> Iterator[Tensor]:
    """All tensors in nested data."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, Mapping):
        yield from _tensors(tuple(value.values()))
    elif isinstance(value, tuple | list):
        for item in value:
            yield from _tensors(item)
    elif attrs.has(type(value)):
        for field in attrs.fields(type(value)):
            yield from _tensors(getattr(value, field.name))


def _networks(state: TrainState) -> dict[str, nn.Module]:
    return {"generator": state.generator, "discriminator": state.discriminator}


def _reason(divergence: optim.Divergence, state: TrainState, recipe: Recipe) -> str:
    if divergence.reason == "skips":
        return f"is not finite: {recipe.scaler.max_skips} updates in a row were skipped, at ever smaller loss scales"
    if not state.scaling.scaling:
        return "is not finite"
    return f"is not finite at the smallest loss scale, {recipe.scaler.min_scale:g}"
