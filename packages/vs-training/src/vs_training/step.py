"""One training step: a clip, frame by frame; every frame is an update of both networks, see `update`."""

import attrs
import vs_nets as nets
from vs_data import Clip

from vs_training.errors import VsTrainingError
from vs_training.inputs import Past, encode_references, frame_inputs, remember
from vs_training.passes import can_learn_flow
from vs_training.past import shown_past
from vs_training.report import Measured, measure, report_step
from vs_training.retry import Update, settle
from vs_training.state import Recipe, StepReport, TrainState
from vs_training.update import update_flow, update_frame


def train_clip(
    state: TrainState, clip: Clip, recipe: Recipe, frame_update: Update | None = None
) -> tuple[TrainState, StepReport]:
    """Train on one batch of clips (N, T, ...), which must be on `recipe.device`.

    `frame_update` does what `update_frame` does in another way, such as by CUDA graphs (`graphs.GraphedUpdate`).

    The first `recipe.flow_steps` steps train nothing but the flow network: of a few-shot generator that from every
    reference, of a vid2vid one that from the past, which is the real one then. To find out how far apart two poses are
    takes a flow network hundreds of updates in which nothing seems to happen. They cost a third without the other
    networks, and those need not get used to frames warped wrongly.

    Raises:
        VsNetsError: the generator needs references, and the clip has none.
        VsTrainingError: the flow network is to be trained alone, and there is none, or the clip has no references or
            is too short.
        NonFiniteError: training has diverged; it names what is not finite, the frame and the clip.
    """
    flow_alone = state.step < recipe.flow_steps
    update = update_flow if flow_alone else frame_update or update_frame
    frames_seen = state.generator.config.frames - 1
    frames_compared = nets.temporal_memory(state.discriminator.config.temporal)
    references = encode_references(clip, recipe.labels, channels_last=recipe.channels_last)
    past, frames = Past(), list[Measured]()
    for t in range(clip.frames.shape[1]):
        inputs = frame_inputs(
            clip, t, recipe.labels, references=references, past=past, channels_last=recipe.channels_last
        )
        if flow_alone and not can_learn_flow(state.generator, inputs):
            past = remember(past, inputs, inputs.target.frame, generator=frames_seen, discriminator=0)
            frames.append({})
            continue
        state, done = settle(update, state, inputs, recipe, both=not flow_alone)
        frames.append(measure(done))
        if t + 1 == clip.frames.shape[1]:
            break
        if flow_alone:
            past = remember(past, inputs, inputs.target.frame, generator=frames_seen, discriminator=0)
        else:
            shown = shown_past(state, inputs, done.frame, recipe)
            past = remember(past, inputs, done.frame, generator=frames_seen, discriminator=frames_compared, shown=shown)
    if not any(frames):
        raise VsTrainingError(f"{clip.name}: {clip.frames.shape[1]} frames are too few to train the flow network alone")
    return attrs.evolve(state, step=state.step + 1), report_step(state, frames, clip.name, recipe.ranks)
