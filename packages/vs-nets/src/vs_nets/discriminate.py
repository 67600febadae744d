"""What the discriminators of a run see of one frame, and all their outputs for it."""

from collections.abc import Mapping
from types import MappingProxyType

import attrs
from torch import Tensor

from vs_nets.discriminator import (
    Condition,
    Discriminate,
    Discriminator,
    MultiScaleDiscriminator,
    Pyramid,
    condition_pyramid,
    pyramid,
    temporal_window,
)
from vs_nets.discriminator_config import DiscriminatorConfig, RegionConfig, TemporalConfig
from vs_nets.errors import VsNetsError
from vs_nets.label_map import Label, dense_label
from vs_nets.objective import FrameOutputs
from vs_nets.references import References, few_shot_condition
from vs_nets.regions import RegionOutputs, crop_boxes, seen_boxes
from vs_nets.synthesis import Synthesis


@attrs.frozen(kw_only=True, eq=False)
class RealRegion:
    """The real side of a region: where it is, crops of it, and which of them count; see `crop_boxes`."""

    config: RegionConfig
    boxes: Tensor
    crops: Pyramid
    there: Tensor


@attrs.frozen(kw_only=True, eq=False)
class RealInputs:
    """The real side of a frame, the same in the updates of D and of G: condition, frame, windows over time, regions."""

    condition: Condition
    frame: Pyramid
    windows: tuple[Pyramid | None, ...]
    regions: Mapping[str, RealRegion] = attrs.field(factory=dict)


def discriminator_condition(label: Label, references: References | None, synthesis: Synthesis) -> Label:
    """Return what discriminators see beside a frame: its label and, few-shot, the chosen reference with its label."""
    if references is None or synthesis.chosen is None:
        return label
    return few_shot_condition(dense_label(label), references, synthesis.chosen)


def real_inputs(
    condition: Label,
    frame: Tensor,
    past: tuple[Tensor, ...],
    config: DiscriminatorConfig,
    boxes: Mapping[str, Tensor] = MappingProxyType({}),
) -> RealInputs:
    """Make the pyramids of the condition and the real frames, once for a frame.

    Args:
        condition: What is seen beside a frame.
        frame: The real one.
        past: Real frames before it, oldest first.
        config: Of the discriminators.
        boxes: Where the regions of a person are, (N, B, 4) by name.

    Raises:
        VsNetsError: there are no boxes of a region that has a discriminator.
    """
    return RealInputs(
        condition=condition_pyramid(condition, config.image.scales),
        frame=pyramid(frame, config.image.scales),
        windows=_windows((*past, frame), config.temporal),
        regions={each.region: _real_region(each, frame, boxes) for each in config.regions},
    )


def _real_region(config: RegionConfig, frame: Tensor, boxes: Mapping[str, Tensor]) -> RealRegion:
    found = boxes.get(config.region)
    if found is None:
        raise VsNetsError(f"the discriminator of the region '{config.region}' needs boxes of it, the clip has none")
    return RealRegion(config=config, boxes=found, crops=_crops(config, frame, found), there=seen_boxes(found))


def _crops(config: RegionConfig, frame: Tensor, boxes: Tensor) -> Pyramid:
    return pyramid(crop_boxes(frame, boxes, config.size), config.patch.scales)


def discriminate_frame(
    net: Discriminator,
    real: RealInputs,
    synthesis: Synthesis,
    fake_past: tuple[Tensor, ...],
    discriminate: Discriminate,
) -> FrameOutputs:
    """Return the outputs of all discriminators for a frame.

    Args:
        net: the discriminators.
        real: the real side.
        synthesis: the generated side; detached in the update of the discriminators.
        fake_past: generated frames before it, oldest first (see `temporal_memory`).
        discriminate: `discriminate_both` or `discriminate_fake`.
    """
    scales = net.config.image.scales
    frames = [synthesis.frame] if synthesis.raw is None else [synthesis.frame, synthesis.raw]
    image, *raw = discriminate(net.image, real.condition, real.frame, [pyramid(frame, scales) for frame in frames])
    fake_windows = _windows((*fake_past, synthesis.frame), net.config.temporal)
    temporal = tuple(
        None if r is None or f is None else discriminate(over_time, None, r, [f])[0]
        for over_time, r, f in zip(net.temporal, real.windows, fake_windows, strict=True)
        if isinstance(over_time, MultiScaleDiscriminator)
    )
    regions = {
        name: _discriminate_region(over_region, real.regions[name], synthesis.frame, discriminate)
        for name, over_region in net.regions.items()
        if isinstance(over_region, MultiScaleDiscriminator)
    }
    return FrameOutputs(image=image, raw=raw[0] if raw else None, temporal=temporal, regions=regions)


def _discriminate_region(
    net: MultiScaleDiscriminator, real: RealRegion, fake: Tensor, discriminate: Discriminate
) -> RegionOutputs:
    (outputs,) = discriminate(net, None, real.crops, [_crops(real.config, fake, real.boxes)])
    return RegionOutputs(outputs=outputs, there=real.there, weight=real.config.weight)


def _windows(frames: tuple[Tensor, ...], config: TemporalConfig | None) -> tuple[Pyramid | None, ...]:
    if config is None:
        return ()
    windows = [temporal_window(frames, config, scale) for scale in range(config.time_scales)]
    return tuple(None if w is None else pyramid(w, config.patch.scales) for w in windows)
