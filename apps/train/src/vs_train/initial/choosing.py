"""What a configuration for some data is to say, setting by setting, and why."""

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import vs_nets as nets
from vs_config.schema import tag_of
from vs_data import (
    DenseposeConfig,
    DisFlowConfig,
    KeypointsConfig,
    LandmarksConfig,
    SegMapsConfig,
)
from vs_data.findings import counted
from vs_data.flows import said_of_flow
from vs_data.labels import EdgesConfig, InstancesConfig, LabelKind, handler_of, know_boxes, said_of
from vs_data.survey import Survey
from vs_training.config import TrainConfig
from vs_training.errors import VsTrainingError
from vs_training.presets import Preset, read_preset

from vs_train.initial.draft import Choice, Draft, drafted, resolved
from vs_train.initial.sizes import cut_off, first_that_fits, sizes_for
from vs_train.initial.splits import frames_left, held_out, too_few

_MANY_SUBJECTS = 8  # sequences of faces or bodies that few-shot networks learn from
_LARGE = 512  # pixels of the smaller side, as in the published configurations
_MEDIUM = 128
_MANY_FRAMES = 5000  # for networks of the published size
_STILL = 4  # frames: sequences of fewer decide about lengths only where there are no others
_RATE = 25
_CLASSES = (SegMapsConfig, InstancesConfig, EdgesConfig)


def draft(found: Survey, preset: Preset | None = None) -> Draft:
    """Choose a configuration that trains on what was found.

    Args:
        found: The data.
        preset: Whose networks, losses and steps are taken; None: that is chosen too.

    Raises:
        VsTrainingError: the pictures are too small for the preset's networks.
    """
    name, why = _preset_for(found)
    base, why = (read_preset(name), why) if preset is None else (preset, "as was asked for")
    kinds, held = tuple(guess.kind for guess in found.labels), held_out(found)
    few_shot = base.command == "few-shot"
    choices = [
        *_data(found, held),
        *_augmentation(kinds),
        *_motion(found, few_shot),
        *_face(kinds),
        *_loader(base),
        *_regions(base, kinds),
        *_perceptual(base),
        *_lengths(frames_left(found, held), base),
        *_pace(found),
    ]
    size, fewer = _size(found, base, choices)
    choices = [*choices[:2], *size, *choices[2:], *fewer]  # after kind and root
    document = drafted(base, choices)
    return Draft(
        preset=base,
        why=why,
        document=document,
        config=resolved(document),
        choices=tuple(choices),
        questions=(*found.all_questions, *_questions(found, kinds, held)),
    )


def _smallest(found: Survey) -> tuple[int, int]:
    return min(height for height, _ in found.sizes), min(width for _, width in found.sizes)


def _frames(found: Survey) -> int:
    return sum(sequence.frames for sequence in found.sequences)


def _preset_for(found: Survey) -> tuple[str, str]:
    """Choose networks by what the labels show, how large pictures are and how many there are."""
    kinds = [type(guess.kind) for guess in found.labels]
    face, body = LandmarksConfig in kinds, KeypointsConfig in kinds or DenseposeConfig in kinds
    count, frames, side = len(found.sequences), _frames(found), min(_smallest(found))
    amount = f"{counted(count, 'sequence')}, {counted(frames, 'frame')}, {side} pixels at the smaller side"
    large = side >= _LARGE and frames >= _MANY_FRAMES
    long_enough = min(sequence.frames for sequence in found.sequences) >= _STILL
    if (face or body) and count >= _MANY_SUBJECTS and long_enough:
        published = "face-forensics" if face else "youtube-dancing"
        return (published if large else "faces-tiny"), f"a model of many people, few-shot: {amount}"
    if large:
        return ("dancing" if KeypointsConfig in kinds else "cityscapes"), f"the published networks: {amount}"
    tiny = "dancers-tiny" if body else "street-tiny"  # limbs are thin, and most of such a picture holds still
    return ("street-small" if side >= _MEDIUM else tiny), f"small networks: {amount}"


def _data(found: Survey, held: Choice | None) -> Iterator[Choice]:
    place = found.place
    yield Choice(path="data.kind", value=tag_of(place.stored))
    yield Choice(path="data.root", value=place.root)
    if held is not None:
        yield held
    if found.order != "name":
        yield Choice(path="data.order", value=found.order, why="numbers in names have no zeros in front")
    shortest = min(sequence.frames for sequence in found.sequences)
    if shortest < 2:
        yield Choice(path="data.min_frames", value=shortest, why="some sequences are single pictures")
    yield Choice(path="data.labels", value=[said_of(guess.kind) for guess in found.labels])


def _size(found: Survey, base: Preset, choices: Sequence[Choice]) -> tuple[list[Choice], list[Choice]]:
    """Choose the size of clips, and fewer scales of the losses where pictures are too small for all of them.

    Raises:
        VsTrainingError: they are too small even so.
    """
    own: TrainConfig = resolved(base.document)
    wanted, smallest, stride = (own.data.height, own.data.width), _smallest(found), own.generator.stride
    cropped = any(choice.path.startswith("data.face_crop") for choice in choices)
    height, width = Counter(found.sizes).most_common(1)[0][0]
    for fewer in ([], _fewer_scales(drafted(base, choices))):
        sizes = sizes_for(smallest, 1.0 if cropped else width / height, wanted, stride)
        size = first_that_fits(drafted(base, [*choices, *fewer]), sizes)
        if size is not None:
            why = _why_size((height, width), size, stride, cropped=cropped)
            return [Choice(path="data.height", value=size[0], why=why), Choice(path="data.width", value=size[1])], fewer
    what = f"pictures of {smallest[0]}x{smallest[1]} (height x width) are too small for the networks of {base.name}"
    raise VsTrainingError(f"{what}, whose sides are multiples of {stride}; take larger ones, or another --preset")


def _why_size(pictures: tuple[int, int], size: tuple[int, int], stride: int, *, cropped: bool) -> str:
    if cropped:
        return f"the face, cut out of {pictures[0]}x{pictures[1]} pictures; multiples of the networks' stride, {stride}"
    lost = round(100 * cut_off(pictures, size))
    cut = f"; {lost} % are cut off" if lost else ""
    near = f"multiples of the networks' stride, {stride}, near to the shape of {pictures[0]}x{pictures[1]} pictures"
    return f"{near}, never larger{cut}"


def _fewer_scales(document: dict[str, Any]) -> list[Choice]:
    """Return how losses look at one scale alone."""
    why = "one: the pictures are too small for more"
    image = [Choice(path="discriminator.image.scales", value=1, why=why)]
    seen = "scales" in document.get("objective", {}).get("perceptual", {})
    return [*image, Choice(path="objective.perceptual.scales", value=1, why=why)] if seen else image


def _augmentation(kinds: Sequence[LabelKind]) -> Iterator[Choice]:
    yield Choice(path="data.augment.scale", value=0.2, why="as published: up to 20 % larger, then cut")
    mirrored = all(handler_of(kind).mirrors and isinstance(kind, _CLASSES) for kind in kinds)
    half = "half of all clips are mirrored; 0 where text or left and right matter"
    why = half if mirrored else "none is mirrored: left and right of these labels may differ"
    yield Choice(path="data.augment.flip", value=0.5 if mirrored else 0.0, why=why)


def _motion(found: Survey, few_shot: bool) -> Iterator[Choice]:
    files = found.motion.flow
    if files is None or few_shot:
        why = "OpenCV's optical flow teaches the motion" + (", to references too" if few_shot else ": no files of it")
        yield Choice(path="data.flow.kind", value=DisFlowConfig.kind, why=why)
        return
    seen = {"kind": f"motion is in the files of {files.folder}", **found.motion.why}
    for field, value in said_of_flow(files).items():
        yield Choice(path=f"data.flow.{field}", value=value, why=seen.get(field, ""))


def _face(kinds: Sequence[LabelKind]) -> Iterator[Choice]:
    if any(isinstance(kind, LandmarksConfig) for kind in kinds):
        yield Choice(
            path="data.face_crop.margin", value=0.4, why="the face is cut out, with room for hair and shoulders"
        )


def _loader(base: Preset) -> Iterator[Choice]:
    size = base.document.get("loader", {}).get("batch_size", 1)
    why = "the preset's; `train:plan` says how many fit into memory"
    yield Choice(path="loader.batch_size", value=size, why=why)
    workers = max(2, base.document.get("loader", {}).get("workers", 0))
    yield Choice(path="loader.workers", value=workers, why="files are read while the networks compute")


def _regions(base: Preset, kinds: Sequence[LabelKind]) -> Iterator[Choice]:
    """Leave discriminators out that look at faces and hands nobody can find."""
    if base.document.get("discriminator", {}).get("regions") and not know_boxes(kinds):
        why = "none: there are no keypoints to find faces and hands by"
        yield Choice(path="discriminator.regions", value=[], why=why)


def _perceptual(base: Preset) -> Iterator[Choice]:
    match resolved(base.document).objective.perceptual:
        case nets.FilePerceptual(path=weights, scales=scales) if not Path(weights).expanduser().is_file():
            why = f"random features, since there is no {weights}: see the README of vs-train for better ones"
            yield Choice(path="objective.perceptual", value={"kind": "random", "scales": scales}, why=why)
        case _:
            return


def _lengths(left: Sequence[int], base: Preset) -> Iterator[Choice]:
    """Choose lengths of clips that every sequence is long enough for, but those of hardly any frames."""
    curriculum = resolved(base.document).curriculum
    shortest = min([length for length in left if length >= _STILL] or left)
    initial = min(curriculum.initial_length, shortest)
    longest = initial
    while 2 * longest <= min(shortest, curriculum.max_length):
        longest *= 2
    short = f"the shortest sequence has {counted(shortest, 'frame')} to train on"
    why = "the preset's" if longest == curriculum.max_length else short
    yield Choice(path="curriculum.initial_length", value=initial)
    yield Choice(path="curriculum.max_length", value=longest, why=f"frames of the longest clips: {why}")


def _pace(found: Survey) -> Iterator[Choice]:
    known = [(sequence.frames, lasts) for sequence, lasts in zip(found.sequences, found.seconds, strict=True) if lasts]
    rate = round(known[0][0] / known[0][1]) if known else _RATE
    why = "the videos' frames per second" if known else "files do not say how many frames make a second"
    yield Choice(path="run.video_fps", value=min(max(rate, 1), 240), why=why)


def _questions(found: Survey, kinds: Sequence[LabelKind], held: Choice | None) -> Iterator[str]:
    if held is None:
        yield f"nothing is held out of {too_few(found)}: name others as data.val_root, or what is trained on is scored"
    if len(kinds) > 1:
        yield f"the networks see all {len(kinds)} kinds of labels: remove those that you will not have at synthesis"
    if len(set(found.sizes)) > 1:
        yield f"pictures have {len(set(found.sizes))} sizes: all become clips of one, cut to its shape"
    count = len(found.sequences)
    if any(isinstance(kind, LandmarksConfig | KeypointsConfig) for kind in kinds) and 1 < count < _MANY_SUBJECTS:
        yield f"one person is assumed in all {count} sequences: if they are several, --preset faces-tiny is few-shot"
