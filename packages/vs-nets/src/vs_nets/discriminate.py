"""What the discriminators of a run are shown of one frame, and all that they say of it."""

from attrs import frozen
from torch import Tensor

from vs_nets.discriminator import (
    Condition,
    Discriminate,
    Discriminator,
    DiscriminatorConfig,
    MultiScaleDiscriminator,
    Pyramid,
    TemporalConfig,
    condition_pyramid,
    pyramid,
    temporal_window,
)
from vs_nets.label_map import Label, dense_label
from vs_nets.objective import FrameOutputs
from vs_nets.references import References, few_shot_condition
from vs_nets.synthesis import Synthesis


@frozen(kw_only=True, eq=False)
class RealInputs:
    """What both updates of a frame show the discriminators of the real side: condition, frame, windows over time."""

    condition: Condition
    frame: Pyramid
    windows: tuple[Pyramid | None, ...]


def discriminator_condition(label: Label, references: References | None, synthesis: Synthesis) -> Label:
    """What the discriminators see beside a frame: its label and, few-shot, the chosen reference with its label."""
    if references is None or synthesis.chosen is None:
        return label
    return few_shot_condition(dense_label(label), references, synthesis.chosen)


def real_inputs(condition: Label, frame: Tensor, past: tuple[Tensor, ...], config: DiscriminatorConfig) -> RealInputs:
    """Pyramids of the condition and the real frames, made once for a frame; `past` is real, oldest first."""
    return RealInputs(
        condition=condition_pyramid(condition, config.image.scales),
        frame=pyramid(frame, config.image.scales),
        windows=_windows((*past, frame), config.temporal),
    )


def discriminate_frame(
    net: Discriminator, real: RealInputs, synthesis: Synthesis, fake_past: tuple[Tensor, ...], judge: Discriminate
) -> FrameOutputs:
    """All outputs on a generated frame.

    Args:
        net: the discriminators.
        real: the real side.
        synthesis: the generated side; detached in the update of the discriminators.
        fake_past: generated frames before it, oldest first (see `temporal_memory`).
        judge: `discriminate_both` or `discriminate_fake`.
    """
    scales = net.config.image.scales
    frames = [synthesis.frame] if synthesis.raw is None else [synthesis.frame, synthesis.raw]
    image, *raw = judge(net.image, real.condition, real.frame, [pyramid(frame, scales) for frame in frames])
    fake_windows = _windows((*fake_past, synthesis.frame), net.config.temporal)
    temporal = tuple(
        None if r is None or f is None else judge(temporal_net, None, r, [f])[0]
        for temporal_net, r, f in zip(net.temporal, real.windows, fake_windows, strict=True)
        if isinstance(temporal_net, MultiScaleDiscriminator)
    )
    return FrameOutputs(image=image, raw=raw[0] if raw else None, temporal=temporal)


def _windows(frames: tuple[Tensor, ...], config: TemporalConfig | None) -> tuple[Pyramid | None, ...]:
    if config is None:
        return ()
    windows = [temporal_window(frames, config, scale) for scale in range(config.time_scales)]
    return tuple(None if w is None else pyramid(w, config.patch.scales) for w in windows)
