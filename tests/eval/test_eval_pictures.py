import base64
import io

import attrs
import av
import cv2
import numpy as np
import torch
from rich.console import Console
from vs_data import Clip, write_folder
from vs_eval.command import show_evaluation
from vs_eval.facts import Facts, RunFacts
from vs_eval.parts import write_report
from vs_eval.pictures import clip_frame, label_title
from vs_eval.terminal import show_progress
from vs_eval.vid2vid import evaluated_clips
from vs_eval.videos import Setting, evaluate_videos, plan_videos
from vs_metrics import frame_to_uint8, panel_row
from vs_nets import ClassMap, FloatMap, LabelSpec, Synthesis
from vs_training.pictures import palette_of
from vs_training.quality.rolling import plan_clips
from vs_training.quality.scoring import EvaluationSpec, FrameView

PANELS = ["label", "real", "generated", "flow", "mask", "warped", "teacher's flow"]


def view(index=0, *, warps=False):
    flow = torch.zeros(1, 2, 12, 20)
    flow[:, 0] = 3.0
    made = Synthesis(frame=torch.zeros(1, 3, 12, 20))
    if warps:
        made = Synthesis(
            frame=made.frame, flow=2 * flow, mask=torch.ones(1, 1, 12, 20), warped=-torch.ones(1, 3, 12, 20)
        )
    truth = Clip(frames=torch.ones(1, 3, 12, 20), labels={"seg_maps": torch.full((1, 12, 20), 7)}, flow=flow, name="x")
    return FrameView(index=index, truth=truth, synthesis=made)


CITY = LabelSpec((ClassMap(name="seg_maps", classes=35),))


def test_a_frame_is_drawn_without_its_batch_axis_and_with_all_that_the_generator_made():
    early, late = clip_frame(CITY, view(0)), clip_frame(CITY, view(4, warps=True))
    assert (early.index, late.index) == (0, 4)
    assert (early.flow, early.mask, early.warped) == (None, None, None)
    assert early.teacher_flow.shape == late.teacher_flow.shape == late.flow.shape == (2, 12, 20)
    assert late.real.shape == late.generated.shape == late.warped.shape == (3, 12, 20)
    assert (late.label.shape, late.mask.shape) == ((12, 20), (1, 12, 20))
    row = panel_row(late, palette_of(CITY))
    assert row[0].image[0, 0].tolist() == [128, 64, 128]
    assert row[3].image[0, 0].tolist() == [255, 0, 0]
    assert row[6].image[0, 0].tolist() == [255, 128, 128]  # the same scale: half as long, half as full


def test_pixels_without_a_class_are_white_whatever_id_the_data_has_there():
    spec = LabelSpec((ClassMap(name="seg_maps", classes=5, ignore_id=7),))
    frame = clip_frame(spec, view())
    assert panel_row(frame, palette_of(spec))[0].image[0, 0].tolist() == [255, 255, 255]


def test_maps_are_drawn_where_no_label_has_classes():
    spec = LabelSpec((FloatMap(name="edges", channels=2), FloatMap(name="poses", channels=1)))
    labels = {"poses": torch.ones(1, 1, 12, 20), "edges": torch.zeros(1, 2, 12, 20)}
    frame = clip_frame(spec, attrs.evolve(view(), truth=attrs.evolve(view().truth, labels=labels)))
    assert frame.label.mean(dim=(1, 2)).tolist() == [0.0, 0.0, 1.0]
    assert palette_of(spec) == ()


def test_a_label_is_called_what_its_kind_says_whatever_its_folder_is_called():
    landmarks = FloatMap(name="points", channels=1, title="landmarks")
    poses = FloatMap(name="landmarks-of-bodies", channels=1)
    assert label_title(LabelSpec((landmarks,)), "label") == "landmarks"
    assert label_title(LabelSpec((poses,)), "label") == "label"
    assert label_title(LabelSpec((landmarks, poses)), "label") == "label"
    assert label_title(LabelSpec((landmarks, ClassMap(name="seg_maps", classes=5))), "label") == "label"


def evaluate(world, labels, replay, directory, console, **cut):
    plans = plan_clips(world, **cut)
    clips = [world.read_all(plan.sequence) for plan in plans]
    generators = iter([replay(clip, offset=0.1, guess=1.5) for clip in clips])
    state = {}

    def generate(label, history):
        if not history.frames:
            state["generator"] = next(generators)
        return state["generator"](label, history)

    with show_progress(console, clips=len(plans), frames=sum(plan.frames for plan in plans)) as advance:
        spec = EvaluationSpec(labels=labels, past=2)
        setting = Setting(bind=lambda references: generate, source=world, spec=spec, directory=directory, fps=5)
        return evaluate_videos(setting, plan_videos(world, plans), advance)


def test_every_clip_gets_a_whole_video_and_a_strip(world, labels, replay, tmp_path):
    console = Console(file=io.StringIO(), width=140)
    report, files = evaluate(world, labels, replay, tmp_path, console, clips=None, frames=None)
    assert [clip.frames for clip in report.clips] == [6, 4]
    assert [item.video for item in files] == ["clip-000-town_0.mp4", "clip-001-town_1.mp4"]
    for item, frames in zip(files, (6, 4), strict=True):
        with av.open(str(tmp_path / item.video)) as container:
            assert len(list(container.decode(video=0))) == frames
            assert container.streams.video[0].average_rate == 5
        assert cv2.imread(str(tmp_path / item.strip)).shape[1] > 6 * 240
    assert console.file.getvalue().splitlines() == ["clip 1 of 2: town/0", "clip 2 of 2: town/1"]

    facts = Facts(
        what=RunFacts(path="runs/x", config="c", checkpoint="k", step=9), device="cpu", weights="w", data="folder"
    )
    found = evaluated_clips(report, files)
    write_report(found, facts, tmp_path)
    page = (tmp_path / "report.html").read_text()
    assert all(base64.b64encode((tmp_path / item.video).read_bytes()).decode() in page for item in files)
    assert [panel.title.partition(" (")[0] for panel in files[0].panels] == PANELS
    show_evaluation(found, console)
    assert "20.00" not in console.file.getvalue()
    assert "26.02" in console.file.getvalue()  # 20 log10(2 / 0.1)


def test_clips_can_be_fewer_and_shorter(world, labels, replay, tmp_path):
    console = Console(file=io.StringIO())
    report, files = evaluate(world, labels, replay, tmp_path, console, clips=1, frames=3)
    assert [(clip.name, clip.frames) for clip in report.clips] == [("town/0", 3)]
    assert len(files) == 1


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_gets_a_bar(world, labels, replay, tmp_path):
    console = Console(file=Terminal(), width=120)
    evaluate(world, labels, replay, tmp_path, console, clips=1, frames=2)
    assert "clip 1 of 1: town/0" in console.file.getvalue()
    assert "frames" in console.file.getvalue()


def test_a_folder_holds_the_same_bytes_as_pictures_of_its_frames(world, tmp_path):
    write_folder(world, tmp_path / "data", sequences=1)
    files = sorted((tmp_path / "data" / "images").rglob("*.png"))
    saved = [cv2.imread(str(file))[..., ::-1] for file in files]
    assert np.array_equal(np.stack(saved), frame_to_uint8(world.read_all(0).frames))
