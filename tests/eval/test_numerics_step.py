"""The step that is audited is the step that trains."""

import copy

import attrs
import pytest
import torch
from toy_runs import FEW_SHOT, STREET
from vs_data import ClipRequest, collate, open_source
from vs_eval.numerics.execution import Changes, Workload, run_reference
from vs_eval.numerics.trace import sample_of
from vs_eval.numerics.training_step import DISCRIMINATOR, GENERATOR, PERCEPTUAL, frames_of, training_step
from vs_optim import PrecisionConfig, resolve_precision
from vs_training.config import TrainConfig, label_spec
from vs_training.networks import build_recipe, build_state
from vs_training.update import update_frame

CPU = torch.device("cpu")


@pytest.mark.parametrize("config", [STREET, FEW_SHOT], ids=["vid2vid", "few-shot"])
def test_an_audit_sees_the_gradients_that_an_update_steps_by(config: TrainConfig) -> None:
    torch.manual_seed(0)
    source = open_source(config.data, "val")
    labels, precision = label_spec(config.labels, source), resolve_precision(PrecisionConfig(level="O0"), CPU)
    config = attrs.evolve(config, memory=attrs.evolve(config.memory, channels_last=False))
    recipe, (state, _) = (build(config, labels, precision, CPU) for build in (build_recipe, build_state))
    references = () if config.references is None else (3,)
    clip = collate([source.read(ClipRequest(sequence=0, start=0, length=3, references=references))])
    frame = frames_of(clip, labels, state.generator, state.discriminator)[-1]
    named = {GENERATOR: state.generator, DISCRIMINATOR: state.discriminator, PERCEPTUAL: recipe.perceptual}
    networks = {name: copy.deepcopy(network) for name, network in named.items() if network is not None}
    audited = Workload(networks=networks, step=training_step([frame], config.objective))
    trace = run_reference(audited, torch.float32, Changes(), None)  # finds normalisations by trying modules
    for optimizer in (state.optimizers.generator, state.optimizers.discriminator):
        optimizer.param_groups[0]["lr"] = 0.0  # so that the generator's losses come from the same discriminator

    update_frame(state, frame, recipe)

    assert {network for network, _ in trace.weights} == {GENERATOR, DISCRIMINATOR}
    for (network, layer), (seen,) in trace.weights.items():
        own = state.networks.of(network).get_submodule(layer).parameters(recurse=False)
        gradient = torch.cat([parameter.grad.flatten() for parameter in own if parameter.grad is not None])
        assert torch.equal(seen.sample, sample_of(gradient)), f"{network}.{layer}"
