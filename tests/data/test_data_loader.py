"""The loader: the same batches whatever the workers and wherever it starts, clear errors, and nothing left behind."""

import gc
import os
import traceback
from collections.abc import Mapping

import attrs
import pytest
import torch
from loader_sources import Endless, drain, length_of, open_small_folder, take
from vs_data import (
    Clip,
    ClipRequest,
    DataError,
    LabelInfo,
    LoaderConfig,
    SequenceInfo,
    VsDataError,
    count_bytes,
    load_clips,
)


@pytest.fixture
def source(folder):
    return open_small_folder(folder)


def assert_same(one, two):
    assert one.name == two.name
    assert torch.equal(one.frames, two.frames)
    assert torch.equal(one.flow, two.flow)
    assert torch.equal(one.flow_confidence, two.flow_confidence)
    assert torch.equal(one.labels["seg_maps"], two.labels["seg_maps"])


def test_batches_are_what_they_are_whatever_reads_them(source, wait_for_workers):
    alone = take(source, 6)
    assert [clip.frames.shape[:2] for clip in alone] == [(2, length_of(batch)) for batch in range(6)]
    assert len({clip.name for clip in alone}) > 3
    for workers, prefetch in ((1, 1), (2, 3)):
        for one, two in zip(alone, take(source, 6, workers=workers, prefetch=prefetch), strict=True):
            assert_same(one, two)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_resumed_loader_goes_on_where_it_was(source, workers, wait_for_workers):
    alone = take(source, 6, workers=0)
    for one, two in zip(alone[4:], take(source, 2, start=4, workers=workers), strict=True):
        assert_same(one, two)


@pytest.mark.parametrize("workers", [0, 1])
def test_each_batch_has_as_many_references_as_are_asked_of_it(source, workers, wait_for_workers):
    def read(**options):
        return list(load_clips(source, LoaderConfig(batch_size=2), seed=11, length_of=length_of, stop=4, **options))

    clips = list(
        load_clips(
            source,
            LoaderConfig(batch_size=2, workers=workers),
            seed=11,
            length_of=length_of,
            stop=4,
            references_of=lambda batch: batch % 3,
        )
    )
    for batch, (clip, plain) in enumerate(zip(clips, read(), strict=True)):
        assert_same(clip, plain)
        if batch % 3 == 0:
            assert clip.references is None
            continue
        frames, count = clip.frames.shape[1], batch % 3
        assert clip.references is not None
        assert clip.references.flow is not None
        assert clip.references.frames.shape == (2, count, 3, 32, 48)
        assert clip.references.labels["seg_maps"].shape == (2, count, 32, 48)
        assert clip.references.flow.shape == (2, frames, count, 2, 32, 48)


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_workers_that_are_not_forked_read_the_same(source, wait_for_workers, method):
    spawned = take(source, 2, workers=1, start_method=method)
    for one, two in zip(take(source, 2, workers=0), spawned, strict=True):
        assert_same(one, two)


def test_the_global_random_state_is_left_alone(source, wait_for_workers):
    before = torch.get_rng_state()
    take(source, 2, workers=1)
    take(source, 2, workers=0)
    assert torch.equal(torch.get_rng_state(), before)


def damage(source, sequence: str) -> str:
    path = os.path.join(source.root, "images", sequence, "0001.png")  # noqa: PTH118
    with open(path, "wb") as file:  # noqa: PTH123
        file.write(b"broken")
    return path


@pytest.mark.parametrize("workers", [0, 2])
def test_bad_data_is_one_clear_error_that_names_the_file(source, workers, wait_for_workers):
    paths = [damage(source, sequence) for sequence in "abc"]
    clips = load_clips(source, LoaderConfig(workers=workers), seed=0, length_of=lambda _: 3)
    with pytest.raises(DataError, match="not a readable picture") as caught:
        drain(clips)
    assert caught.value.file in paths
    assert "\n" not in str(caught.value)
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


@pytest.mark.parametrize("workers", [0, 2])
def test_batches_before_a_bad_length_are_still_given(source, workers, wait_for_workers):
    clips = load_clips(source, LoaderConfig(workers=workers), seed=0, length_of=lambda batch: 2 if batch < 3 else 99)
    for _ in range(3):
        next(clips)
    with pytest.raises(VsDataError, match="clips of 99 frames asked for, but the longest sequence, 'c', has 6"):
        next(clips)


def test_a_length_that_no_sequence_has_is_an_error_at_once(source):
    with pytest.raises(VsDataError, match="clips of 7 frames"):
        load_clips(source, LoaderConfig(), seed=0, length_of=lambda _: 7)


def test_batches_come_without_shared_memory(source, monkeypatch, wait_for_workers):
    """Nothing of them may go where containers have 64 MB."""

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("shared memory was asked for")

    for name in ("_share_filename_cpu_", "_share_fd_cpu_"):
        monkeypatch.setattr(torch.UntypedStorage, name, refuse)
    monkeypatch.setattr("multiprocessing.shared_memory.SharedMemory.__init__", refuse)
    for one, two in zip(take(source, 3, workers=0), take(source, 3, workers=1), strict=True):
        assert_same(one, two)


@attrs.frozen
class Odd(Endless):
    """A source of tensors of every kind: empty, of no dimension, not contiguous, of types that NumPy lacks."""

    def read(self, request: ClipRequest) -> Clip:  # noqa: ARG002
        return Clip(
            frames=torch.arange(24.0).reshape(4, 3, 2).transpose(0, 2),
            labels={"a": torch.ones(2, 0, 3, dtype=torch.bfloat16), "b": torch.tensor(7), "c": torch.ones(3) > 0},
            regions=torch.arange(6, dtype=torch.uint8)[::2],
            name="a name\nof two lines",
        )


def test_every_kind_of_tensor_arrives_as_it_was(wait_for_workers):
    one, two = (
        next(load_clips(Odd(), LoaderConfig(batch_size=2, workers=workers), seed=0, length_of=length_of))
        for workers in (0, 1)
    )
    assert two.name == one.name
    pairs = [(one.frames, two.frames), (one.regions, two.regions), *((one.labels[k], two.labels[k]) for k in "abc")]
    for expected, found in pairs:
        assert found.dtype == expected.dtype
        assert torch.equal(found, expected)
    assert count_bytes(one) == count_bytes(two) == sum(tensor.nbytes for tensor, _ in pairs)


class UnreadableError(Exception):
    """Can be pickled and not be unpickled."""

    def __init__(self, one: object, two: object) -> None:  # noqa: ARG002
        super().__init__("text")


@attrs.frozen
class Unreadable(Endless):
    def read(self, request: ClipRequest) -> Clip:  # noqa: ARG002
        raise UnreadableError(1, 2)


def test_an_error_that_cannot_be_sent_is_told_all_the_same(wait_for_workers):
    with pytest.raises(RuntimeError, match=r"UnreadableError(?s:.*)in read"):
        next(load_clips(Unreadable(), LoaderConfig(workers=1), seed=0, length_of=length_of))


@attrs.frozen
class Hungry(Endless):
    def read(self, request: ClipRequest) -> Clip:  # noqa: ARG002
        raise MemoryError("no room")


def test_too_little_memory_in_a_worker_is_told_as_such(wait_for_workers):
    with pytest.raises(MemoryError, match="no room"):
        next(load_clips(Hungry(), LoaderConfig(workers=1), seed=0, length_of=length_of))


@attrs.frozen
class Faulty:
    """A source with a bug."""

    sequences: tuple[SequenceInfo, ...] = (SequenceInfo(name="a", frames=2),)
    size: tuple[int, int] = (2, 2)
    label_kinds: Mapping[str, LabelInfo] = attrs.field(factory=dict)

    def read(self, request: ClipRequest) -> Clip:
        raise RuntimeError(f"a bug, not bad data, at {request.start}")


@pytest.mark.parametrize("workers", [0, 1])
def test_a_bug_in_a_source_keeps_its_traceback(workers, wait_for_workers):
    clips = load_clips(Faulty(), LoaderConfig(workers=workers), seed=0, length_of=length_of)
    with pytest.raises(RuntimeError, match="a bug, not bad data") as caught:
        next(clips)
    assert "in read" in "".join(traceback.format_exception(caught.value))
    del clips, caught
    gc.collect()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"batch_size": 0}, "batch_size: expected .*, got 0"),
        ({"workers": -1}, "workers: expected a whole number from 0 to 256, got -1"),
        ({"workers": True}, "workers: expected .*, got true"),
        ({"timeout": 0}, "timeout: expected a whole number from 1 to 86400 seconds, got 0"),
        ({"start_method": "thread"}, "start_method: expected .*, got 'thread'"),
    ],
)
def test_impossible_values_are_refused(values, message):
    with pytest.raises(ValueError, match=message):
        LoaderConfig(**values)


@pytest.mark.parametrize("values", [{"seed": -1}, {"start": -1}, {"shard": (2, 2)}])
def test_impossible_positions_are_refused(source, values):
    with pytest.raises(VsDataError, match="allowed are"):
        load_clips(source, LoaderConfig(), **{"seed": 0, "length_of": length_of, **values})
