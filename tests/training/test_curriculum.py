"""Sequences that are too short are counted, at the start and whenever the curriculum leaves more of them out."""

from pathlib import Path

import attrs
import cv2
import numpy as np
import pytest
from faults import run, run_config
from hypothesis import given, settings
from hypothesis import strategies as st
from vs_data import FolderConfig, NoFlowConfig, SegMapsConfig, SequenceInfo, StreetConfig, open_street
from vs_data.street.source import StreetSource
from vs_training.checks import check_data
from vs_training.curriculum import (
    CurriculumConfig,
    clip_length,
    left_out_at,
    left_out_at_last,
    references_inside,
    tell_left_out,
)

CURRICULUM = CurriculumConfig(single_frame_steps=10, initial_length=4, double_every=5, max_length=16)
"""One frame to step 9, 4 from 10, 8 from 15, 16 from 20."""


def infos(*lengths: int) -> list[SequenceInfo]:
    return [SequenceInfo(name=f"s{index}", frames=frames) for index, frames in enumerate(lengths)]


def said(sequences: list[SequenceInfo], steps: int, first: int = 0) -> dict[int, str]:
    told: list[tuple[int, str]] = []
    for step in range(first, steps):
        tell_left_out(lambda text, step=step: told.append((step, text)), CURRICULUM, sequences, step, first)
    return dict(told)


def test_each_growth_that_leaves_more_out_is_said_once():
    assert said(infos(3, 3, 9, 20), 30) == {
        10: "from step 10 on, clips have 4 frames: 2 of 4 sequences (s0, s1) are too short and left out",
        20: "from step 20 on, clips have 16 frames: 3 of 4 sequences (s0, s1, s2) are too short and left out",
    }
    assert said(infos(16, 20), 30) == {}


def test_what_is_left_out_already_is_said_where_training_goes_on():
    assert list(said(infos(3, 9, 20), 30, first=12)) == [12, 20]
    assert list(said(infos(3, 9, 20), 30, first=20)) == [20]


def test_few_are_named_and_names_are_shown_escaped():
    sequences = [SequenceInfo(name=f"{index}\x1b" + "x" * 200, frames=2) for index in range(20)]
    text = left_out_at(CurriculumConfig(initial_length=4, max_length=4), [*sequences, *infos(12)], 0, 0)
    assert text is not None
    assert text.isprintable()
    assert len(text) < 250
    assert "20 of 21 sequences (0\\x1bxxx" in text
    assert "..." in text


def test_the_longest_clips_of_the_run_are_told_of_at_its_start():
    sequences = infos(3, 3, 9, 20)
    assert left_out_at_last(CURRICULUM, sequences, 10) is None
    assert "2 of 4 sequences (s0, s1) are too short for the longest clips (8 frames)" in str(
        left_out_at_last(CURRICULUM, sequences, 20)
    )
    assert left_out_at_last(CurriculumConfig(initial_length=4, max_length=4), sequences, 20) is None  # said at step 0


@settings(max_examples=40)
@given(
    lengths=st.lists(st.integers(1, 40), min_size=1, max_size=8),
    initial=st.integers(1, 6),
    growth=st.integers(0, 20),
    every=st.integers(1, 7),
    most=st.integers(1, 5),
    steps=st.integers(1, 60),
)
def test_references_inside_of_clips_are_told_of_whenever_they_can_happen(lengths, initial, growth, every, most, steps):
    curriculum = CurriculumConfig(initial_length=initial, max_length=initial + growth, double_every=every)
    used = {clip_length(curriculum, step) for step in range(steps)}
    happens = any(length <= frames < length + most for frames in lengths for length in used)
    told = references_inside(most, curriculum, infos(*lengths), steps)
    assert (told is not None) == happens


def test_training_says_it_at_the_start_and_when_clips_grow(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def shortened(config: StreetConfig, split: str) -> StreetSource:
        source = open_street(config, "val" if split == "val" else "train")
        first, *others = source.sequences
        return source if split == "val" else attrs.evolve(source, sequences=(attrs.evolve(first, frames=1), *others))

    monkeypatch.setattr("vs_train.setup.open_source", shortened)
    _, watch = run(run_config(run={"steps": 5, "sample_every": 5}), tmp_path / "run")
    (start,) = [index for index, text in enumerate(watch.messages) if "too short for the longest clips" in text]
    (growth,) = [index for index, text in enumerate(watch.messages) if text.startswith("from step 3 on, clips have 2")]
    assert "1 of 4 sequences (street-000000) is too short" in watch.messages[start]
    assert start < growth


def test_training_says_what_the_check_warns_of(tmp_path: Path) -> None:
    for kind, pixels in (("images", np.zeros((16, 16, 3), np.uint8)), ("seg_maps", np.zeros((16, 16), np.uint8))):
        (tmp_path / kind / "a").mkdir(parents=True)
        for name in ("1", "2", "10"):
            cv2.imwrite(str(tmp_path / kind / "a" / f"{name}.png"), pixels + int(name))
    kinds = (SegMapsConfig(num_classes=11, ignore_id=None),)
    data = FolderConfig(root=str(tmp_path), labels=kinds, flow=NoFlowConfig())
    count, order, classes = check_data(data, print)
    assert count == "train data: 3 frames looked at, 2 warnings"
    assert "frame 2 follows 10; pad the numbers with zeros" in order
    assert "8 of 11 classes never occur: 0, 3 to 9" in classes
    (natural, _) = check_data(attrs.evolve(data, order="natural"), print)
    assert natural.endswith("1 warning")
