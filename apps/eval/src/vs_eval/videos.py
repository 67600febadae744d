"""Roll a generator over sequences of a source, writing a video and a strip of pictures of each beside its scores.

A video shows all that is known of each frame in panels beside and below each other, so that whoever plays one of them
plays all at the same frame; where they are is told with it.
"""

import contextlib
import re
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import attrs
from safetensors.torch import load_file, save_file
from torch import Tensor
from vs_data import ClipSource, spread_frames
from vs_metrics import (
    ClassColours,
    ClipFrame,
    Palette,
    Panel,
    VideoWriter,
    class_mean_colours,
    clip_picture,
    grid,
    grid_places,
    panel_rows,
    strip_frames,
    write_png,
)
from vs_nets import ClassMap, class_ids
from vs_runtime.ranks import ONE, Ranks
from vs_training.pictures import palette_of
from vs_training.quality.features import (
    FeatureGatherer,
    FeatureNetworks,
    Features,
    set_metrics,
)
from vs_training.quality.reader import count_readings
from vs_training.quality.reading import reading_metrics
from vs_training.quality.rolling import BindReferences, ClipPlan, roll_sequence
from vs_training.quality.scoring import (
    ClipScores,
    EvaluationSpec,
    FrameView,
    ScoreFrame,
    score_frame,
    score_views,
)
from vs_training.quality.sets import SetMetric
from vs_training.quality.still_grid import add_tiles, grid_metrics
from vs_training.quality.summary import CLAIMS, Claim, Report, summarise

from vs_eval.agreement import Reading
from vs_eval.files import ClipFiles, PanelPlace
from vs_eval.pictures import clip_frame
from vs_eval.sharing import shared
from vs_eval.terminal import Advance

COLOUR_FRAMES = 64
"""How many frames of the training split the mean colours of the classes are taken from."""

FULL_COLOUR = 1 / 16
"""Length at which the colour of a flow is full, as a part of the frame's width."""


@attrs.frozen(kw_only=True, eq=False)
class Setting:
    """A setting that all videos of an evaluation have in common.

    Attributes:
        bind: the generator; called once for a video.
        source: held-out sequences.
        spec: how labels enter the generator, and where it is.
        directory: where videos and pictures go; it exists.
        fps: frames a second of the videos.
        ranks: the processes that share the videos.
        reading: what reads labels in generated frames; None: nothing does.
        networks: what frames are also measured with.
    """

    bind: BindReferences
    source: ClipSource
    spec: EvaluationSpec
    directory: Path
    fps: float = 10.0
    ranks: Ranks = ONE
    reading: Reading | None = None
    networks: FeatureNetworks = attrs.field(factory=FeatureNetworks)


@attrs.frozen(kw_only=True)
class Video:
    """A sequence to roll out, to score and to draw.

    Attributes:
        name: what it is called.
        stem: what its files are called, without suffixes.
        plan: the sequence whose labels it is made from.
        score: what each frame is measured by.
        references: which frames are shown to the generator as references.
        subject: the sequence that these are of, shown in the motion of the other; None: nobody is driven.
    """

    name: str
    stem: str
    plan: ClipPlan
    score: ScoreFrame = score_frame
    references: tuple[int, ...] = ()
    subject: int | None = None


def training_colours(source: ClipSource, kind: ClassMap, *, frames: int = COLOUR_FRAMES) -> ClassColours:
    """Return the mean colour of each class over frames that are spread evenly over all frames of a source."""
    return class_mean_colours(
        ((clip.frames, class_ids(clip.labels, kind)) for clip in spread_frames(source, frames)),
        num_classes=kind.classes,
    )


def plan_videos(source: ClipSource, plans: Sequence[ClipPlan], score: ScoreFrame = score_frame) -> list[Video]:
    """Plan a video `clip-000-NAME` of each clip; `score`: what each frame is measured by."""
    names = [source.sequences[plan.sequence].name for plan in plans]
    return [
        Video(name=name, stem=f"clip-{index:03d}-{file_name(name)}", plan=plan, score=score)
        for index, (name, plan) in enumerate(zip(names, plans, strict=True))
    ]


@attrs.frozen(kw_only=True)
class Rolled:
    """A sequence that was rolled out: its scores, and what was drawn of it."""

    scores: ClipScores
    files: ClipFiles


def evaluate_videos(
    setting: Setting, videos: Sequence[Video], advance: Advance, *, claims: Sequence[Claim] = CLAIMS
) -> tuple[Report, list[ClipFiles]]:
    """Roll the generator over sequences; write `STEM.mp4` and `STEM.png` of each.

    Args:
        setting: generator, data, place.
        videos: the sequences.
        advance: told of every frame that is done.
        claims: what the report says of the scores.
    """
    rolled: list[Rolled] = shared(
        setting.ranks,
        [video.plan.frames for video in videos],
        lambda index: score_video(setting, videos[index], index, advance),
        Rolled,
    )
    return reported(setting, videos, rolled, claims), [each.files for each in rolled]


def reported(setting: Setting, videos: Sequence[Video], rolled: Sequence[Rolled], claims: Sequence[Claim]) -> Report:
    """Sum up the scores of videos that were rolled out, and what is measured of all their frames together."""
    scores = [each.scores for each in rolled]
    return summarise(scores, claims, sets_of(setting, scores, videos))


def sets_of(setting: Setting, scores: Sequence[ClipScores], videos: Sequence[Video]) -> tuple[SetMetric, ...]:
    """Return what is measured of all frames of some videos together; of features in the first process alone."""
    read = () if setting.reading is None else reading_metrics(scores, setting.reading.readable)
    found = (*read, *grid_metrics(scores))
    if not (setting.networks.of_sets and setting.ranks.first):
        return found
    features = [_taken_features(setting, video) for video in videos]
    counted = [each for each, clip in zip(features, scores, strict=True) if clip.totals]
    return (*found, *set_metrics(setting.networks, counted))


def score_video(setting: Setting, video: Video, index: int, advance: Advance) -> Rolled:
    """Roll the generator over a sequence, write its video and strip, and return its scores and what was drawn.

    `advance` is told of every frame, with `index`.
    """
    with _drawing(setting, video) as drawing:

        def watch(view: FrameView) -> None:
            drawing.add(clip_frame(setting.spec.labels, view))
            advance(video.name, index)

        gather, add = FeatureGatherer(setting.networks, video.score), partial(add_up, setting.reading)
        scores = score_views(roll_video(setting, video), name=video.name, score=gather, add=add, watch=watch)
    if setting.networks.of_sets:
        save_file(dict(gather.features()), _features_file(setting, video))
    files = ClipFiles(
        name=video.name,
        video=f"{video.stem}.mp4",
        strip=f"{video.stem}.png",
        frames=scores.frames,
        fps=setting.fps,
        panels=drawing.places(),
    )
    return Rolled(scores=scores, files=files)


def add_up(reading: Reading | None, view: FrameView) -> dict[str, Tensor]:
    """Return what a frame adds to what is measured of all frames together."""
    read = {} if reading is None else count_readings(reading.reader, reading.readable, view)
    return {**read, **add_tiles(view)}


def _taken_features(setting: Setting, video: Video) -> Features:
    """Return the features of a video that some process has left in the draft of the report, and remove them there."""
    path = _features_file(setting, video)
    features = load_file(path)
    path.unlink()
    return features


def _features_file(setting: Setting, video: Video) -> Path:
    return setting.directory / f"{video.stem}.features"


def roll_video(setting: Setting, video: Video) -> Iterator[FrameView]:
    """Yield the frames of a video."""
    return roll_sequence(
        setting.bind,
        setting.source,
        video.plan,
        setting.spec,
        references=video.references,
        subject=video.subject,
    )


class _Drawing:
    """A clip as it is drawn: every frame into its video, and some of them kept for its strip."""

    def __init__(self, video: VideoWriter, palette: Palette, frames: int) -> None:
        self.rows: list[ClipFrame] = []
        self._video, self._palette, self._in_strip = video, palette, strip_frames(frames)
        self._panels: list[list[Panel]] = []

    def add(self, frame: ClipFrame) -> None:
        """Draw the next frame."""
        scale = max(1.0, FULL_COLOUR * frame.generated.shape[-1])
        panels = panel_rows(frame, self._palette, flow_scale=scale, reference_flow_scale=2 * scale)
        self._video.add(grid(panels))
        self._panels = _with_last_seen(self._panels, panels)
        if frame.index in self._in_strip:
            self.rows.append(frame)

    def places(self) -> tuple[PanelPlace, ...]:
        """Return where each panel is, but for those that stayed blank."""
        panels = [panel for row in self._panels for panel in row]
        return tuple(
            PanelPlace(title=panel.title, **attrs.asdict(place))
            for panel, place in zip(panels, grid_places(self._panels), strict=True)
            if not panel.blank
        )


def _with_last_seen(before: list[list[Panel]], now: list[list[Panel]]) -> list[list[Panel]]:
    """Return the panels of a frame, or in the place of what it has not the one that there was."""
    if not before:
        return now
    pairs = [zip(*rows, strict=True) for rows in zip(before, now, strict=True)]
    return [[old if new.blank else new for old, new in row] for row in pairs]


@contextlib.contextmanager
def _drawing(setting: Setting, video: Video) -> Iterator[_Drawing]:
    """Yield a drawing that puts every frame into `STEM.mp4`, and some of them into `STEM.png` at the end."""
    palette = palette_of(setting.spec.labels)
    with VideoWriter(setting.directory / f"{video.stem}.mp4", fps=setting.fps) as writer:
        drawing = _Drawing(writer, palette, video.plan.frames)
        yield drawing
    write_png(setting.directory / f"{video.stem}.png", clip_picture(drawing.rows, palette))


def file_name(name: str) -> str:
    """Return a sequence's name as part of a file name."""
    return re.sub(r"[^A-Za-z0-9_.-]+", "_", name).strip("._") or "clip"
