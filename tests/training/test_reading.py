"""A reader of labels: what it counts, how it is trained, what is said of its reading."""

import math

import pytest
import torch
from torch import Tensor
from vs_data import Clip
from vs_metrics import confusions, mean_iou
from vs_nets import ClassMap, FloatMap, LabelSpec, Synthesis
from vs_training.quality.reader import (
    LARGEST_AREA,
    LabelReader,
    class_weights,
    count_readings,
    examples_of,
    read,
    reduction,
    smaller_frames,
    smaller_ids,
    train_reader,
)
from vs_training.quality.reading import FRAMES, GENERATED, LEAST_IOU, REAL, read_ids, readable_labels, reading_metrics
from vs_training.quality.scoring import ClipScores, FrameView

CLASSES = LabelSpec((ClassMap(name="ids", classes=3),))
COLOURS = torch.tensor([[-0.8, -0.8, 0.6], [0.7, -0.5, -0.5], [-0.4, 0.8, -0.4]])


def striped(seed: int) -> Clip:
    """Return two frames of three classes, each in its colour, with noise."""
    random = torch.Generator().manual_seed(seed)
    ids = torch.randint(0, 3, (2, 4, 4), generator=random).repeat_interleave(8, 1).repeat_interleave(8, 2)
    frames = COLOURS[ids].movedim(-1, 1) + 0.1 * torch.randn(2, 3, 32, 32, generator=random)
    return Clip(frames=frames, labels={"ids": ids})


def trained(steps: int = 30, seed: int = 0) -> LabelReader:
    readable = readable_labels(CLASSES)
    assert readable is not None
    told: list[tuple[int, int]] = []
    examples = examples_of([striped(k) for k in range(3)], readable)
    reader = train_reader(examples, 3, seed=seed, tell=lambda done, total: told.append((done, total)), steps=steps)
    assert told[-1] == (steps, steps)
    return reader


def test_a_reader_learns_from_real_frames_and_reads_others() -> None:
    held_out = striped(9)
    found = read(trained(), held_out.frames)
    assert float(mean_iou(confusions(found, held_out.labels["ids"], 3))) > 0.8


def test_the_same_seed_gives_the_same_reader() -> None:
    state = torch.random.get_rng_state()
    first, again, other = trained(3), trained(3), trained(3, seed=1)
    weights = [torch.cat([x.flatten() for x in each.state_dict().values()]) for each in (first, again, other)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])
    assert torch.equal(state, torch.random.get_rng_state())  # nobody else's numbers change


def test_what_is_read_is_counted_by_class_generated_beside_real() -> None:
    clip, reader, readable = striped(9), trained(), readable_labels(CLASSES)
    assert readable is not None
    wrong = Synthesis(frame=COLOURS[torch.zeros(1, 32, 32, dtype=torch.int64)].movedim(-1, 1))
    frame = Clip(frames=clip.frames[:1], labels={"ids": clip.labels["ids"][:1]})
    sums = count_readings(reader, readable, FrameView(index=0, truth=frame, synthesis=wrong))
    assert int(sums[GENERATED].sum()) == int(sums[REAL].sum()) == 32 * 32
    assert float(sums[GENERATED][:, 0].sum()) > 0.95 * 32 * 32  # one colour all over is read as its class
    assert float(sums[REAL].diagonal().sum()) > 0.8 * 32 * 32


def clip_of(generated: Tensor, real: Tensor, frames: int = 10) -> ClipScores:
    sums = {GENERATED: generated, REAL: real, FRAMES: torch.tensor([float(frames)])}
    flat = {name: tuple(value.flatten().tolist()) for name, value in sums.items()}
    return ClipScores(name="x", frames=frames, totals={}, curves={}, sums=flat)


def test_agreement_is_the_iou_of_generated_frames_beside_that_of_real_ones() -> None:
    readable = readable_labels(CLASSES)
    assert readable is not None
    half = torch.tensor([[6.0, 2.0, 0.0], [2.0, 6.0, 0.0], [0.0, 0.0, 0.0]])
    whole = torch.tensor([[8.0, 0.0, 0.0], [0.0, 8.0, 0.0], [0.0, 0.0, 0.0]])
    agreement, iou, accuracy = reading_metrics([clip_of(half, whole)] * 5, readable)
    assert (agreement.value, iou.value, iou.real) == (pytest.approx(0.6), pytest.approx(0.6), 1.0)
    assert (accuracy.value, accuracy.real, accuracy.frames) == (0.75, 1.0, 50)
    assert agreement.interval is not None
    assert agreement.interval.low == pytest.approx(0.6)  # clips that are alike
    (alone, *_) = reading_metrics([clip_of(half, whole)], readable)
    assert alone.interval is None


def test_a_reader_that_cannot_read_real_frames_is_no_judge_and_few_frames_are_refused() -> None:
    readable = readable_labels(CLASSES)
    assert readable is not None
    poor = torch.tensor([[2.0, 6.0, 0.0], [6.0, 2.0, 0.0], [0.0, 0.0, 0.0]])
    iou, _ = reading_metrics([clip_of(poor, poor)], readable)
    assert iou.measure.name == "label_iou"
    assert f"below {LEAST_IOU:.2f} it is no judge" in iou.note
    whole = 8.0 * torch.eye(3)
    assert all(math.isnan(each.value) for each in reading_metrics([clip_of(whole, whole, frames=2)], readable))
    assert reading_metrics([ClipScores(name="x", frames=3, totals={}, curves={})], readable) == ()


def test_classes_and_lines_are_read_and_pictures_are_not() -> None:
    lines = LabelSpec((FloatMap(name="pose", channels=2), FloatMap(name="hands", channels=1)))
    readable = readable_labels(lines)
    assert readable is not None
    assert readable.classes == 4
    maps = {"pose": torch.zeros(1, 2, 2, 2), "hands": torch.zeros(1, 1, 2, 2)}
    maps["pose"][0, 1, 0, 0], maps["hands"][0, 0, 1, 1], maps["pose"][0, 0, 0, 1] = 1.0, 0.8, 0.4
    assert read_ids(maps, readable).tolist() == [[[2, 0], [0, 3]]]
    assert readable_labels(LabelSpec((FloatMap(name="grey", channels=1, pictures=True),))) is None
    assert readable_labels(LabelSpec((ClassMap(name="ids", classes=1000),))) is None


def test_large_frames_are_read_at_a_smaller_size() -> None:
    assert reduction(64, 128) == reduction(128, 256) == 1
    factor = reduction(512, 1000)
    frames, ids = torch.zeros(1, 3, 512, 1000), torch.zeros(1, 512, 1000, dtype=torch.int64)
    assert smaller_frames(frames).shape[-2:] == smaller_ids(ids).shape[-2:]
    assert smaller_ids(ids).shape[-2:].numel() <= LARGEST_AREA < (512 // (factor - 1)) * (1000 // (factor - 1))


def test_rare_classes_count_more_by_the_root_and_absent_ones_not_at_all() -> None:
    ids = torch.tensor([0] * 64 + [1] * 16 + [255] * 5)
    weights = class_weights(ids, 3)
    assert float(weights[1] / weights[0]) == pytest.approx(2.0)
    assert float(weights[2]) == 0.0
