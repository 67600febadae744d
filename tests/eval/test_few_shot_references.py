"""Which frames are references, that they are encoded once, and who drives whom."""

import io
from itertools import pairwise

import attrs
import av
import cv2
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from vs_data import SequenceInfo
from vs_eval.errors import OptionError
from vs_eval.few_shot.driving import MATRIX, MATRIX_SIZE, Drive, draw_matrix, plan_driven, plan_drives, plan_matrix
from vs_eval.few_shot.references import check_counts
from vs_eval.few_shot.subjects import plan_subjects, training_region_colours
from vs_eval.few_shot.tables import CLAIMS, DRIVING_CLAIMS
from vs_eval.pictures import clip_frame
from vs_eval.terminal import show_progress
from vs_eval.videos import Setting, evaluate_videos, plan_videos, roll_video
from vs_metrics import mean_of, panel_row
from vs_nets import Synthesis
from vs_training.quality.rolling import ClipPlan, plan_clips, reference_frames
from vs_training.quality.scoring import EvaluationSpec, roll_out


@given(st.integers(1, 300), st.data())
def test_references_are_spread_evenly_and_differ(frames, data):
    count = data.draw(st.integers(1, frames))
    chosen = reference_frames(frames, count)
    gaps = [b - a for a, b in pairwise(chosen)]
    assert len(chosen) == count
    assert chosen[0] >= 0
    assert chosen[-1] < frames
    assert all(gap in (frames // count, -(-frames // count)) for gap in gaps)


def test_one_reference_is_the_frame_in_the_middle_and_three_are_the_middles_of_thirds():
    assert reference_frames(30, 1) == (15,)
    assert reference_frames(30, 3) == (5, 15, 25)
    assert reference_frames(1, 1) == (0,)


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        ((0,), "--references: expected a whole number >= 1, got 0"),
        ((1, -2), "--references: expected a whole number >= 1, got -2"),
        ((), "--references: no number is given"),
        ((1, 4), "--references: 4 asked for, but sequence 'b' has 4 frames.*at most 3"),
    ],
)
def test_numbers_of_references_that_cannot_be_are_explained(counts, message):
    sequences = [SequenceInfo(name="a", frames=9), SequenceInfo(name="b", frames=4)]
    with pytest.raises(OptionError, match=message) as caught:
        check_counts(counts, sequences)
    assert "\n" not in str(caught.value)


def test_a_sequence_of_one_frame_cannot_be_generated_from_itself():
    with pytest.raises(OptionError, match="sequence 'b' has 1 frame: with it as the reference none is left"):
        check_counts((1,), [SequenceInfo(name="a", frames=9), SequenceInfo(name="b", frames=1)])


@given(st.integers(2, 40), st.data())
def test_of_the_first_frames_one_at_least_must_be_no_reference(total, data):
    count = data.draw(st.integers(1, total - 1))
    frames = data.draw(st.integers(1, total + 2))
    scored = [frame for frame in range(min(frames, total)) if frame not in reference_frames(total, count)]
    sequences = [SequenceInfo(name="a", frames=total)]
    if scored:
        assert check_counts((count,), sequences, frames) == (count,)
    else:
        with pytest.raises(OptionError, match=f"--frames: {frames} asked for, all of them among the {count} ref"):
            check_counts((count,), sequences, frames)


def test_numbers_of_references_are_taken_once_each_in_order():
    assert check_counts((3, 1, 3), [SequenceInfo(name="a", frames=4)]) == (3, 1)


def test_drives_go_from_each_person_to_the_next_in_a_ring():
    plans = [ClipPlan(sequence=index, frames=4) for index in range(6)]
    people = (0, 0, 1, 1, 2, 2)
    assert plan_drives(plans, people) == [
        Drive(subject=0, driver=plans[2]),
        Drive(subject=2, driver=plans[4]),
        Drive(subject=4, driver=plans[0]),
    ]
    assert plan_drives(plans[:2], people) == plan_matrix(plans[:2], people) == []
    assert [drive.subject for drive in plan_matrix(plans, people)] == [0, 2, 4]
    assert {drive.driver.sequence for drive in plan_matrix(plans, people)} == {0}
    many = [ClipPlan(sequence=index, frames=2) for index in range(20)]
    assert len(plan_matrix(many, range(20))) == MATRIX_SIZE


class Painter:
    """Binds references to a generator that paints each person's reference moved nowhere, and counts."""

    def __init__(self) -> None:
        self.bound = []

    def __call__(self, references):
        self.bound.append(references)

        def generate(label, history):
            return Synthesis(frame=references.frames[:, 0], chosen=torch.tensor([0]))

        return generate


@pytest.fixture
def setting(landmarks, tmp_path):
    def make(world):
        spec = EvaluationSpec(labels=landmarks, past=1)
        return Setting(bind=Painter(), source=world, spec=spec, directory=tmp_path, fps=5)

    return make


def evaluate_subjects(setting, plans, count, advance):
    videos = plan_subjects(setting.source, plans, count, training_region_colours(setting.source))
    return evaluate_videos(setting, videos, advance, claims=CLAIMS)


def ignore(name, index):
    pass


def test_a_subject_is_encoded_once_for_its_video_however_many_pieces_it_has(setting, heads):
    made = setting(heads(40, speed=0))
    (video,) = plan_subjects(made.source, plan_clips(made.source, clips=None, frames=None), 1, None)
    views = list(roll_video(made, video))
    (references,) = made.bind.bound
    assert [view.index for view in views] == list(range(40))
    assert torch.equal(references.frames[0], made.source.read_all(0, 20).references.frames)
    assert torch.equal(references.labels[0], made.source.read_all(0, 20).references.labels["landmarks-dlib68"])
    assert all(torch.equal(view.synthesis.frame, references.frames[:, 0]) for view in views)


def test_without_references_the_generator_gets_none(setting, heads):
    made = setting(heads(3))
    made = attrs.evolve(made, bind=lambda references: lambda label, history: Synthesis(frame=torch.zeros(1, 3, 16, 40)))
    (video,) = plan_videos(made.source, plan_clips(made.source, clips=None, frames=None))
    assert [view.truth.references for view in roll_video(made, video)] == [None] * 3


def test_every_subject_gets_a_video_and_a_strip_for_each_number_of_references(setting, heads, tmp_path):
    made = setting(heads(18, 5, speed=1))
    plans = plan_clips(made.source, clips=None, frames=17)
    for count, left in ((1, 17 - 1 + 5 - 1), (3, 17 - 3 + 5 - 3)):
        console = Console(file=io.StringIO(), width=140)
        with show_progress(console, clips=2, frames=22) as advance:
            report, files = evaluate_subjects(made, plans, count, advance)
        assert console.file.getvalue().splitlines() == ["clip 1 of 2: person/0", "clip 2 of 2: person/1"]
        assert [clip.frames for clip in report.clips] == [17, 5]
        assert report.totals["psnr/generated"].weight == left
        assert mean_of(report.totals["psnr/generated"]) == pytest.approx(mean_of(report.totals["psnr/repeated"]))
        assert [item.video for item in files] == [f"clip-000-person_0-k{count}.mp4", f"clip-001-person_1-k{count}.mp4"]
        with av.open(str(tmp_path / files[0].video)) as container:
            assert len(list(container.decode(video=0))) == 17
        assert cv2.imread(str(tmp_path / files[0].strip)).shape[1] > 5 * 240
    assert [references.frames.shape[1] for references in made.bind.bound] == [1, 1, 3, 3]


@pytest.mark.parametrize("known", [True, False])
def test_drives_are_drawn_and_scored_where_the_truth_is_known(setting, heads, tmp_path, known):
    world = heads(5, 4, known=known)
    made = setting(world)
    plans = plan_clips(world, clips=None, frames=None)
    drives = plan_driven(world, plan_drives(plans, (0, 1)), 1)
    report, files = evaluate_videos(made, drives, ignore, claims=DRIVING_CLAIMS)
    assert [item.video for item in files] == [
        "drive-000-person_0-by-person_1.mp4",
        "drive-001-person_1-by-person_0.mp4",
    ]
    assert [clip.frames for clip in report.clips] == [4, 5]
    assert ("head_psnr/generated" in report.totals) is known
    if known:
        held = {item.claim: item.holds for item in report.comparisons}
        assert held["identity colours closer to the subject's than to the driving person's"]
    for item in files:
        assert (tmp_path / item.video).is_file()
        assert (tmp_path / item.strip).is_file()


@pytest.mark.parametrize("known", [True, False])
def test_a_driven_frame_shows_the_driving_one_and_the_truth_only_where_it_is_known(setting, heads, known, landmarks):
    world = heads(4, 4, known=known)
    plans = plan_clips(world, clips=None, frames=None)
    (video, _) = plan_driven(world, plan_drives(plans, (0, 1)), 1)
    view = list(roll_video(setting(world), video))[2]
    frame, driving = clip_frame(landmarks, view), world.read_all(1)
    titles = [panel.title for panel in panel_row(frame, ())]
    shown = ["reference", "landmarks, frame 2", "driving", "real", "generated"]
    assert titles[:5] == shown if known else titles[:4] == [title for title in shown if title != "real"]
    assert ("teacher's flow" in titles) is known
    assert torch.equal(frame.driving, driving.frames[2])
    assert torch.equal(frame.reference, world.colours(0)[world.regions(4)].movedim(-1, 0))  # the frame in the middle


def test_a_frame_with_references_shows_the_chosen_one_and_what_was_made_of_it(heads, landmarks):
    clip = heads(3).read_all(0, 0, 2)

    def generate(label, history):
        return Synthesis(frame=torch.zeros(1, 3, 16, 40), chosen=torch.tensor([1]))

    view = next(roll_out(generate, [clip], EvaluationSpec(labels=landmarks, past=1)))
    frame = clip_frame(landmarks, view)
    assert torch.equal(frame.reference, clip.references.frames[1])
    assert torch.equal(frame.reference_teacher_flow, clip.references.flow[0, 1])
    assert (frame.reference_flow, frame.warped_reference) == (None, None)
    assert frame.label_title == "landmarks"


def test_the_matrix_has_a_row_for_each_subject_and_a_column_for_each_pose(setting, heads, tmp_path):
    made = setting(heads(8, 8, 8, speed=1))
    draw_matrix(made, plan_matrix(plan_clips(made.source, clips=None, frames=None), range(3)), 1, ignore)
    height, width, _ = cv2.imread(str(tmp_path / MATRIX.file)).shape
    assert height > 4 * 6 * 16  # a row of poses and three subjects, enlarged at least to 240 pixels in width
    assert width > 7 * 240


def test_training_colours_are_those_of_the_people(heads):
    world = heads(3, 3)
    mean = training_region_colours(world)
    torch.testing.assert_close(mean, (world.colours(0) + world.colours(1)) / 2)
    assert training_region_colours(heads(3, known=False)) is None
