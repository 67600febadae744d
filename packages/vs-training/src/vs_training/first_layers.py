"""What the input channels of first layers mean, so that weights can follow the meaning when channels come and go.

A first layer is a convolution that sees labels or frames as they are: how many channels it has depends on the classes,
or on how many past frames a network looks at. Every other layer has as many as the network is wide.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import zip_longest
from typing import TypeAlias, assert_never

import attrs
import vs_nets as nets
from vs_data import ClassIds, LabelInfo

from vs_training.config import LabelConfig, spec_of_kinds

FRAME_CHANNELS = 3

Channel: TypeAlias = tuple[object, ...]
"""The meaning of an input channel: two channels that are equal show the same thing."""

Channels: TypeAlias = tuple[Channel, ...]


@attrs.frozen(kw_only=True)
class LabelChannels:
    """The labels of a network, by what their channels mean.

    Attributes:
        spec: kinds of label, in the order in which they are shown.
        names: class names of those kinds that have them, by id.
    """

    spec: nets.LabelSpec
    names: Mapping[str, tuple[str, ...]] = attrs.field(factory=dict)


def label_channels(config: LabelConfig, kinds: Mapping[str, LabelInfo]) -> LabelChannels:
    """Return the labels of networks that are shown kinds of labels; `kinds`: what each is, by its name in clips."""
    names = {name: info.names for name, info in kinds.items() if isinstance(info, ClassIds)}
    return LabelChannels(spec=spec_of_kinds(config, kinds), names=names)


def meanings(old: LabelChannels, new: LabelChannels) -> tuple[Channels, Channels]:
    """Return what the channels of two labels mean, so that equal meanings are equal channels.

    Kinds of the same name are the same kind, and of the others the first with the first of its type, and so on. Classes
    are the same if they have the same name (upper and lower case are the same); where one side has no names, if their
    kinds have equally many and they have the same id. Maps are the same by number in kinds of equally many.
    """
    pairs = list(enumerate(_paired(old.spec.kinds, new.spec.kinds)))
    before = {one.name: _meaning(one, other, old, new, (i, "old")) for i, (one, other) in pairs if one}
    after = {other.name: _meaning(other, one, new, old, (i, "new")) for i, (one, other) in pairs if other}
    return _joined(old.spec, before), _joined(new.spec, after)


def _joined(spec: nets.LabelSpec, kinds: Mapping[str, Channels]) -> Channels:
    return tuple(channel for kind in spec.kinds for channel in kinds[kind.name])


def _paired(
    old: Sequence[nets.LabelKind], new: Sequence[nets.LabelKind]
) -> Iterator[tuple[nets.LabelKind | None, nets.LabelKind | None]]:
    both = {kind.name: kind for kind in new}
    same = [(kind, both[kind.name]) for kind in old if type(both.get(kind.name)) is type(kind)]
    yield from same
    paired = {kind.name for kind, _ in same}
    for kind_type in (nets.ClassMap, nets.FloatMap):
        left, right = (
            [kind for kind in kinds if type(kind) is kind_type and kind.name not in paired] for kinds in (old, new)
        )
        yield from zip_longest(left, right)


def _meaning(
    kind: nets.LabelKind,
    partner: nets.LabelKind | None,
    own: LabelChannels,
    others: LabelChannels,
    place: tuple[int, str],
) -> Channels:
    """Return the meaning of a kind's channels beside those of its partner in the other label.

    `place` is the number of the pair, and the side of it, which what is the same on both sides does not have.
    """
    pair, _ = place
    match kind, partner:
        case nets.ClassMap(), nets.ClassMap():
            rest: Channels = (("no class", pair),) if kind.dont_care else ()
            if own.names.get(kind.name) and others.names.get(partner.name):
                return (*(("class", pair, name.casefold()) for name in own.names[kind.name]), *rest)
            whose: Channel = (pair,) if kind.classes == partner.classes else place
            return (*(("id", *whose, i) for i in range(kind.classes)), *rest)
        case nets.FloatMap(), nets.FloatMap() if kind.channels == partner.channels:
            return tuple(("map", pair, i) for i in range(kind.channels))
        case _:
            return tuple(("alone", *place, i) for i in range(kind.channels))


def generator_inputs(config: nets.AnyGeneratorConfig, label: Channels) -> dict[str, Channels]:
    """Return what the input channels of a generator's first layers mean, by the name of the weight."""
    match config:
        case nets.GeneratorConfig():
            return _vid2vid_inputs(config, label)
        case nets.FewShotGeneratorConfig():
            return _few_shot_inputs(config, label)
        case _ as never:
            assert_never(never)


def _vid2vid_inputs(config: nets.GeneratorConfig, label: Channels) -> dict[str, Channels]:
    inputs = {"embed_label.first.weight": label, **_flow_inputs(config, label)}
    match config.start:
        case nets.LabelStart():
            return {**inputs, "start.conv.weight": label}
        case nets.ConstantStart():
            return inputs
        case _ as never:
            assert_never(never)


def _flow_inputs(config: nets.GeneratorConfig, label: Channels) -> dict[str, Channels]:
    match config.flow:
        case nets.FlowConfig():
            ages = range(config.frames - 1, -1, -1)
            return {
                "flow.encode_labels.0.conv.weight": _over_time(label, ages),
                "flow.encode_frames.0.conv.weight": _over_time(_frame(), ages[:-1]),
            }
        case nets.GivenFlow():
            return {}
        case _ as never:
            assert_never(never)


def _few_shot_inputs(config: nets.FewShotGeneratorConfig, label: Channels) -> dict[str, Channels]:
    inputs = {
        "embed_label.first.weight": label,
        "weights.encode_label.first.conv.weight": label,
        "flow_reference.encode.0.conv.weight": (*label, *_reference(label), *_reference(_frame())),
    }
    if config.weights.attention is not None:
        inputs |= {f"weights.attention.{part}.0.conv.weight": label for part in ("query", "key")}
    if config.separate_flow:
        past = range(config.frames - 1, 0, -1)
        inputs["flow_previous.encode.0.conv.weight"] = (*label, *_over_time(label, past), *_over_time(_frame(), past))
    return inputs


def discriminator_inputs(
    config: nets.DiscriminatorConfig, generator: nets.AnyGeneratorConfig, label: Channels
) -> dict[str, Channels]:
    """Return what the input channels of the discriminators' first layers mean, by the name of the weight."""
    match generator:
        case nets.GeneratorConfig():
            condition = label
        case nets.FewShotGeneratorConfig():
            condition = (*label, *_reference(label), *_reference(_frame()))
        case _ as never:
            assert_never(never)
    inputs = {f"image.scales.{i}.convs.0.weight": (*condition, *_frame()) for i in range(config.image.scales)}
    for region in config.regions:
        inputs |= {f"regions.{region.region}.scales.{i}.convs.0.weight": _frame() for i in range(region.patch.scales)}
    if config.temporal is None:
        return inputs
    window = _over_time(_frame(), range(config.temporal.frames - 1, -1, -1))
    scales = range(config.temporal.patch.scales)
    speeds = range(config.temporal.time_scales)
    return {**inputs, **{f"temporal.{s}.scales.{i}.convs.0.weight": window for s in speeds for i in scales}}


def _frame() -> Channels:
    return tuple(("frame", i) for i in range(FRAME_CHANNELS))


def _reference(channels: Channels) -> Channels:
    return tuple(("reference", *channel) for channel in channels)


def _over_time(channels: Channels, ages: Sequence[int]) -> Channels:
    """Return the channels of frames of these ages, one after the other; age 0 is the frame to be made."""
    return tuple((age, *channel) for age in ages for channel in channels)
