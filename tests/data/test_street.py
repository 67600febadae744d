"""The street as a source: what it promises of shapes, ids, determinism and of its statistics."""

import pickle

import numpy as np
import pytest
import torch
from vs_data.clips import ClassIds, Clip, ClipRequest, ClipSource
from vs_data.errors import RequestError
from vs_data.street import CLASS_NAMES, StreetConfig, open_street
from vs_data.street.surfaces import Label
from vs_data.street.world import build_world

CLASSES = {7, 8, 11, 17, 21, 22, 23, 24, 26}
PERSON, CAR = 24, 26


def read(config: StreetConfig, *, split: str = "train", sequence: int = 0, start: int = 0, length: int = 2) -> Clip:
    source = open_street(config, split)
    return source.read(ClipRequest(sequence=sequence, start=start, length=length))


def tensors(clip: Clip) -> list[torch.Tensor]:
    assert clip.flow is not None
    assert clip.flow_confidence is not None
    assert clip.instances is not None
    return [clip.frames, clip.labels["seg_maps"], clip.flow, clip.flow_confidence, clip.instances]


SMALL = StreetConfig(height=48, width=96, sequence_length=12)


@pytest.mark.parametrize("size", [(64, 128), (32, 64), (33, 57), (16, 16), (50, 21), (16, 120), (96, 96)])
def test_any_size_gives_a_complete_clip(size: tuple[int, int]) -> None:
    height, width = size
    clip = read(StreetConfig(height=height, width=width), length=3)
    frames, labels, flow, confidence, instances = tensors(clip)
    assert frames.shape == (3, 3, height, width)
    assert labels.shape == instances.shape == (3, height, width)
    assert flow.shape == (3, 2, height, width)
    assert confidence.shape == (3, 1, height, width)
    kinds = [tensor.dtype for tensor in tensors(clip)]
    assert kinds == [torch.float32, torch.uint8, torch.float32, torch.float32, torch.int32]
    assert frames.min() >= -1
    assert frames.max() <= 1
    assert frames.std() > 0.2
    assert all(torch.isfinite(tensor).all() for tensor in tensors(clip))
    assert set(confidence.unique().tolist()) <= {0.0, 1.0}


def test_large_pictures_show_what_small_ones_do() -> None:
    small = read(StreetConfig(height=32, width=64), length=1).frames[0]
    large = read(StreetConfig(height=512, width=1024), length=1).frames[0]
    shrunk = torch.nn.functional.interpolate(large[None], size=(32, 64), mode="area")[0]
    assert (small - shrunk).abs().mean() < 0.12  # of a range of 2; another world differs by 0.4


def test_the_source_describes_itself_and_survives_pickling() -> None:
    source = open_street(SMALL, "val")
    assert isinstance(source, ClipSource)
    assert source.size == (48, 96)
    assert source.label_kinds == {"seg_maps": ClassIds(classes=35, ignore_id=255, names=CLASS_NAMES)}
    assert [info.frames for info in source.sequences] == [12] * SMALL.val_sequences
    again = pickle.loads(pickle.dumps(source))
    request = ClipRequest(sequence=1, start=3, length=2)
    for one, other in zip(tensors(source.read(request)), tensors(again.read(request)), strict=True):
        assert torch.equal(one, other)


def test_classes_are_called_what_the_world_draws_them_as() -> None:
    assert {CLASS_NAMES[label]: label for label in Label} == {label.name.lower(): label for label in Label}


def test_splits_share_no_world() -> None:
    config = StreetConfig(height=16, width=32, train_sequences=300, val_sequences=300)
    train, val = ({info.name for info in open_street(config, split).sequences} for split in ("train", "val"))
    assert len(train) == len(val) == 300
    assert max(train) < "street-500000" <= min(val)
    assert StreetConfig(train_sequences=500_000).train_sequences == 500_000
    with pytest.raises(ValueError, match=r"train_sequences: expected .*, got 500001"):
        StreetConfig(train_sequences=500_001)


def test_a_clip_is_a_pure_function_of_the_request() -> None:
    once = tensors(read(SMALL, sequence=2, start=1, length=3))
    build_world.cache_clear()
    for one, other in zip(once, tensors(read(SMALL, sequence=2, start=1, length=3)), strict=True):
        assert torch.equal(one, other)


def test_frames_do_not_depend_on_where_reading_starts() -> None:
    whole = tensors(read(SMALL, length=12))
    part = tensors(read(SMALL, start=5, length=4))
    for index, (one, other) in enumerate(zip(whole, part, strict=True)):
        flows = index in (2, 3)
        if flows:
            assert not other[0].any()  # by convention at the first frame of a clip
        assert torch.equal(one[6:9] if flows else one[5:9], other[1:] if flows else other)


def test_worlds_differ_by_number_family_and_split() -> None:
    clips = [read(SMALL, sequence=0), read(SMALL, sequence=1), read(SMALL, split="val")]
    clips.append(read(StreetConfig(height=48, width=96, sequence_length=12, seed=1)))
    for index, one in enumerate(clips):
        for other in clips[:index]:
            assert (one.frames - other.frames).abs().mean() > 0.05
            assert (one.labels["seg_maps"] != other.labels["seg_maps"]).float().mean() > 0.05


def test_ids_are_those_of_cityscapes_and_instances_belong_to_cars_and_people() -> None:
    seen: set[int] = set()
    for sequence in range(12):
        clip = read(SMALL, sequence=sequence, start=4, length=1)
        labels, instances = clip.labels["seg_maps"].to(torch.int32), clip.instances
        assert instances is not None
        seen |= set(labels.unique().tolist())
        countable = (labels == CAR) | (labels == PERSON)
        assert torch.equal(instances > 0, countable)
        assert torch.equal(instances[countable] // 1000, labels[countable])
        assert len(instances[labels == CAR].unique()) > 1
    assert seen == CLASSES


@pytest.mark.parametrize(
    ("sequence", "start", "length"), [(8, 0, 1), (-1, 0, 1), (0, -1, 1), (0, 0, 13), (0, 12, 1), (0, 0, 0)]
)
def test_requests_out_of_range_are_refused(sequence: int, start: int, length: int) -> None:
    source = open_street(SMALL, "val")
    with pytest.raises(RequestError):
        source.read(ClipRequest(sequence=sequence, start=start, length=length))


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"height": 15}, "height: expected .*, got 15"),
        ({"width": 8}, "width: expected .*, got 8"),
        ({"width": 100_000}, "width: expected .*, got 100000"),
        ({"height": 64.5}, "height: expected .*, got 64.5"),
        ({"height": 16, "width": 512}, "8 times the height"),
        ({"sequence_length": 0}, "sequence_length: expected .*, got 0"),
        ({"train_sequences": 0}, "train_sequences: expected .*, got 0"),
        ({"fps": 0.0}, "fps: expected .*, got 0.0"),
        ({"fps": float("nan")}, "fps: expected .*, got nan"),
        ({"speed_min": 9.0, "speed_max": 5.0}, "speed_min: expected .*, got 9.0"),
        ({"traffic": -0.5}, "traffic: expected .*, got -0.5"),
        ({"seed": -1}, "seed: expected .*, got -1"),
    ],
)
def test_absurd_configurations_are_refused_in_one_line(wrong: dict[str, float], words: str) -> None:
    with pytest.raises(ValueError, match=words) as caught:
        StreetConfig(**wrong)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)
    assert ": expected " in str(caught.value)


def test_an_empty_street_has_neither_cars_nor_people_nor_trees() -> None:
    config = StreetConfig(height=48, width=96, traffic=0.0, people=0.0, greenery=0.0)
    clip = read(config)
    assert not {PERSON, CAR} & set(clip.labels["seg_maps"].unique().tolist())
    assert clip.instances is not None
    assert not clip.instances.any()


def frames_of(config: StreetConfig, split: str, count: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """(labels (H*W,), colours (H*W,3) in [0,1]) of one frame of each of the first sequences."""
    pairs = []
    for sequence in range(count):
        clip = read(config, split=split, sequence=sequence, start=sequence * 7 % config.sequence_length, length=1)
        colours = (clip.frames[0].numpy().reshape(3, -1).T + 1) / 2
        pairs.append((clip.labels["seg_maps"][0].numpy().ravel().astype(np.int64), colours))
    return pairs


def mean_psnr(cells: np.ndarray, many: int, size: tuple[int, int], train: int, val: int) -> float:
    """PSNR on held-out worlds of the mean training colour of each (class, cell)."""
    config = StreetConfig(height=size[0], width=size[1], val_sequences=val)
    sums, counts = np.zeros((35 * many, 3)), np.zeros(35 * many)
    for labels, colours in frames_of(config, "train", train):
        key = labels * many + cells
        counts += np.bincount(key, minlength=35 * many)
        for channel in range(3):
            sums[:, channel] += np.bincount(key, colours[:, channel], 35 * many)
    coarse = sums.reshape(35, many, 3).sum(1) / np.maximum(counts.reshape(35, many).sum(1), 1)[:, None]
    means = np.where(counts[:, None] > 30, sums / np.maximum(counts, 1)[:, None], np.repeat(coarse, many, axis=0))
    errors = [
        ((means[labels * many + cells] - colours) ** 2).mean() for labels, colours in frames_of(config, "val", val)
    ]
    return float(np.mean(-10 * np.log10(errors)))


@pytest.mark.parametrize("size", [(64, 128), (128, 256)])
def test_the_mean_colour_of_each_class_says_little_about_a_street(size: tuple[int, int]) -> None:
    height, width = size
    plain = mean_psnr(np.zeros(height * width, np.int64), 1, size, 24, 12)
    assert plain < 16.0
    assert plain > 13.0
    # what it lacks can largely be predicted: the place in the picture alone is worth a lot
    rows, columns = np.mgrid[0:height, 0:width]
    cells = (rows * 16 // height * 32 + columns * 32 // width).ravel()
    assert mean_psnr(cells, 512, size, 24, 12) > plain + 1.5
