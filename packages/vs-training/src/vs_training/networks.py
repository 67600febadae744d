"""Networks, optimizers and recipe of a run, made from its configuration."""

import functools
from typing import Literal, TypeVar, assert_never

import torch
import vs_nets as nets
import vs_ops
import vs_optim as optim
import vs_runtime as runtime
from vs_nets.layers import ConvNormAct, PreActivationBlock, ResidualBlock, SpadeResidualBlock
from vs_runtime.ranks import ONE, GradientSums, Ranks, gradient_sums

from vs_training.config import DistributedConfig, MemoryConfig, TrainConfig
from vs_training.errors import VsTrainingError
from vs_training.shards import Shards, share_average, share_parameters, tell_after_steps
from vs_training.sharing import own_parts
from vs_training.state import PastRecipe, Recipe, TrainState

Network = TypeVar("Network", bound=torch.nn.Module)
REGIONS = (ConvNormAct, PreActivationBlock, ResidualBlock, SpadeResidualBlock)
"""What is compiled of a generator, each as a whole: what joins these passes objects, and has little to be fused."""


def build_recipe(
    config: TrainConfig, labels: nets.LabelSpec, precision: optim.Precision, device: torch.device, ranks: Ranks = ONE
) -> Recipe:
    """Return what the steps of a run need and never change, the perceptual network among it.

    Raises:
        WeightsError: the weights of the perceptual network are missing or are others.
    """
    perceptual = nets.build_perceptual(config.objective.perceptual)
    return Recipe(
        labels=labels,
        objective=config.objective,
        perceptual=perceptual if perceptual is None else laid_out(perceptual.to(device), config.memory),
        precision=precision,
        ema=config.optim.ema,
        device=device,
        channels_last=config.memory.channels_last,
        scaler=config.optim.scaler,
        ranks=ranks,
        ordered=config.distributed.reduce == "ordered",
        micro_batches=own_parts(config, ranks),
        clip_norms=optim.Pair(
            generator=config.optim.generator_clip_norm, discriminator=config.optim.discriminator_clip_norm
        ),
        underflow_every=config.run.underflow_every,
        flow_steps=config.curriculum.flow_steps,
        past=PastRecipe(
            noise=config.curriculum.past_noise,
            average=config.curriculum.past_frames == "average",
            seed=config.seed,
        ),
    )


def build_state(
    config: TrainConfig,
    labels: nets.LabelSpec,
    precision: optim.Precision,
    device: torch.device,
    *,
    capturable: bool = False,
    ranks: Ranks = ONE,
) -> tuple[TrainState, tuple[str, ...]]:
    """Build networks with fresh weights, their optimizers and scales; also return what was chosen, and why.

    `capturable`: with optimizers that CUDA graphs can hold; `ranks`: the processes that share each batch.

    Raises:
        VsTrainingError: networks are to be compiled, and there is no compiler.
    """
    generator, generator_ema = (laid_out(one.to(device), config.memory) for one in build_generators(config, labels))
    discriminator = laid_out(build_discriminator(config, labels).to(device), config.memory)
    generator_ema.load_state_dict(nets.effective_weights(generator))
    networks = optim.Pair[torch.nn.Module](generator=generator.train(), discriminator=discriminator.train())
    shards = networks.map(functools.partial(_shards, config.distributed, ranks))
    configs = optim.Pair(generator=config.optim.generator, discriminator=config.optim.discriminator)
    adam = optim.both(lambda which: _adam(networks.of(which), configs.of(which), shards.of(which), capturable))
    state = TrainState(
        generator=generator,
        discriminator=discriminator,
        generator_ema=generator_ema,
        optimizers=adam.map(lambda built: built[0]),
        scaling=optim.initial_scaling(config.optim.scaler, precision),
        shards=shards,
        ema_shards=share_average(ranks, generator_ema) if _shares(config.distributed, ranks) else None,
        sums=networks.map(functools.partial(_sums, config.distributed, ranks)),
    )
    notes = tuple(f"Adam of the {name}: {choice.impl} ({choice.reason})" for name, (_, choice) in adam.items())
    return state, (*notes, *_compile(state, device)) if config.performance.compile else notes


def _sums(config: DistributedConfig, ranks: Ranks, network: torch.nn.Module) -> GradientSums:
    size = config.bucket_mb * 2**20
    return gradient_sums(ranks, network.parameters(), reduce=config.reduce, bucket_bytes=size)


def _shares(config: DistributedConfig, ranks: Ranks) -> bool:
    return config.shard_optimizer and ranks.count > 1


def _shards(config: DistributedConfig, ranks: Ranks, network: torch.nn.Module) -> Shards | None:
    return share_parameters(ranks, network.parameters()) if _shares(config, ranks) else None


def _adam(
    network: torch.nn.Module, config: optim.AdamConfig, shards: Shards | None, capturable: bool
) -> tuple[torch.optim.Optimizer, optim.AdamChoice]:
    """Build the optimizer of a network, or of this process's share of its parameters."""
    if shards is None:
        return optim.build_adam(network.parameters(), config, capturable=capturable)
    optimizer, choice = optim.build_adam(shards.of(shards.ranks.rank), config)
    tell_after_steps(optimizer, shards)
    return optimizer, choice


def _compile(state: TrainState, device: torch.device) -> tuple[str, ...]:
    """Let the regions of the generator be compiled where they are first called, and say so."""
    call = vs_ops.DescribedCall(device_type=device.type, shape=vs_ops.SPADE.example_shape)
    reasons = [each.reason for each in vs_ops.explain(vs_ops.SPADE, call) if each.implementation.name == "inductor"]
    if reasons != [None]:
        raise VsTrainingError(f"performance.compile: {reasons[0]}; or train without it, performance.compile=false")
    count = runtime.compile_modules(each for each in state.generator.modules() if isinstance(each, REGIONS))
    return (f"{count} parts of the generator are compiled when they are first called, which may take minutes",)


def laid_out(network: Network, memory: MemoryConfig) -> Network:
    """Return the network with the weights of its convolutions in the order of memory that its features are to have.

    A convolution answers in the order of its weight, whatever the order of what goes in, and all other layers keep the
    order that they get: so this decides for whole networks. Optimizers and the EMA take it over, values stay.
    """
    order = torch.channels_last if memory.channels_last else torch.contiguous_format
    return network.to(memory_format=order)  # type: ignore[call-overload,no-any-return] # unknown to PyTorch's stubs


def build_generators(config: TrainConfig, labels: nets.LabelSpec) -> tuple[nets.AnyGenerator, nets.AnyGenerator]:
    """Build a generator with fresh weights, and one that is to hold its EMA."""
    channels, call = labels.channels, activation_checkpointing(config.memory.checkpoint)
    return (
        nets.build_generator(config.generator, label_channels=channels, checkpointing=call),
        nets.build_ema(config.generator, label_channels=channels),
    )


def build_discriminator(config: TrainConfig, labels: nets.LabelSpec) -> nets.Discriminator:
    """Build a discriminator with fresh weights, of what its generator's kind is shown with."""
    condition = nets.condition_channels(config.generator, labels.channels)
    return nets.build_discriminator(config.discriminator, label_channels=condition)


def activation_checkpointing(policy: Literal["none", "blocks", "all"]) -> nets.ActivationCheckpointing:
    """Return how the generator calls its parts under a memory policy."""
    match policy:
        case "none":
            return nets.ActivationCheckpointing()
        case "blocks":
            return nets.ActivationCheckpointing(blocks=runtime.checkpointed)
        case "all":
            return nets.ActivationCheckpointing(blocks=runtime.checkpointed, encoders=runtime.checkpointed)
        case _:
            assert_never(policy)
