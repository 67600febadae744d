"""Metrics of sets over a long roll-out: each value is of a window of frames, and that of the frames by themselves."""

import math

import numpy as np
import pytest
import torch
from vs_eval.drift.curves import FIRST, drift_of
from vs_eval.drift.windows import WINDOW, Rolled, windowed_metrics
from vs_metrics import GRID_PERIOD, Average, kernel_distance, mean_iou
from vs_metrics.features import I3dConfig, InceptionConfig, build_i3d, build_inception
from vs_nets import ClassMap
from vs_training.quality import reading, still_grid
from vs_training.quality.features import FeatureNetworks
from vs_training.quality.reading import Readable

READABLE = Readable(kinds=(ClassMap(name="seg_maps", classes=3),), classes=3)
ROW = {"psnr/generated": Average(total=20.0, weight=1.0)}


def added(seed, frames, missing=()):
    """What frames add: pixels by class, rightly read in real ones; nothing of those that are missing."""
    torch.manual_seed(seed)
    return [
        {}
        if frame in missing
        else {
            reading.GENERATED: torch.randint(0, 9, (3, 3)).double(),
            reading.REAL: torch.diag(torch.randint(1, 9, (3,))).double(),
            reading.FRAMES: torch.ones(1),
        }
        for frame in range(frames)
    ]


def test_agreement_at_a_frame_is_that_of_the_last_frames_of_all_sequences():
    clips = [Rolled(rows=[ROW] * 24, sums=added(seed, 24, missing=(15,))) for seed in range(2)]
    found = {each.measure.name: each for each in windowed_metrics(clips, READABLE, FeatureNetworks())}
    assert list(found) == ["label_agreement", "label_iou", "label_accuracy"]
    curve = found["label_agreement"].curves["label_agreement/generated"]
    assert np.isnan(curve[: WINDOW - 1]).all()
    for last in range(WINDOW - 1, 24):
        frames = [clip.sums[k] for clip in clips for k in range(last - WINDOW + 1, last + 1) if k != 15]
        expected = mean_iou(sum(frame[reading.GENERATED] for frame in frames))  # of real frames it is 1
        assert curve[last] == pytest.approx(float(expected))
    assert found["label_iou"].curves["label_iou/real"][-1] == 1.0
    assert found["label_iou"].measure.least_frames == WINDOW


def test_a_grid_that_comes_up_leaves_its_band():
    tile = torch.zeros(3, GRID_PERIOD, GRID_PERIOD)
    tile[:, ::2] = 0.1
    frames = [
        {still_grid.GENERATED: tile * (k >= 50), still_grid.REAL: tile * 0, still_grid.FRAMES: torch.ones(1)}
        for k in range(100)
    ]
    (grid,) = windowed_metrics([Rolled(rows=[ROW] * 100, sums=frames)], None, FeatureNetworks())
    drift = drift_of(grid.measure, grid.curves, ("real",), start=grid.start)
    assert drift.mean == 0.0
    assert drift.leaves == 50
    assert drift.generated[50] < drift.generated[-1]
    assert np.nanmax(drift.beside["real"]) == 0.0


def rolled(names, frames, rows, seed):
    torch.manual_seed(seed)
    features = {f"{name}/{side}": torch.randn(rows, 4) for name in names for side in ("real", "generated")}
    return Rolled(rows=[{}, *[ROW] * (frames - 1)], sums=[{}] * frames, features=features)


def test_a_kernel_distance_at_a_frame_is_that_of_the_last_features_of_all_sequences():
    networks = FeatureNetworks(inception=build_inception(InceptionConfig(divisor=64, size=75)))
    clips = [rolled(["inception"], 40, 39, seed) for seed in range(2)]  # the first frame has no score, and no features
    (kid,) = windowed_metrics(clips, None, networks)
    curve = kid.curves["kid/generated"]
    assert np.isnan(curve[:25]).all()
    for frame in range(25, 40):
        real, made = (
            torch.cat([clip.features[f"inception/{side}"][frame - 25 : frame] for clip in clips])
            for side in ("real", "generated")
        )
        assert curve[frame] == pytest.approx(kernel_distance(real, made).value)


def test_a_kernel_distance_of_clips_stays_until_the_next_clip_is_whole():
    networks = FeatureNetworks(i3d=build_i3d(I3dConfig(classes=3, divisor=32, size=32, frames=9)))
    clips = [rolled(["i3d"], 30, 3, seed) for seed in range(25)]
    (kvd,) = windowed_metrics(clips, None, networks)
    curve = kvd.curves["kvd/generated"]
    assert np.isnan(curve[:17]).all()  # two features of each sequence make fifty
    assert len(set(curve[17:26])) == len(set(curve[26:])) == 1
    assert curve[17] != curve[26]
    few = windowed_metrics(clips[:1], None, networks)[0]
    assert drift_of(few.measure, few.curves, (), start=few.start) is None  # never enough


def test_the_band_of_what_has_no_first_values_is_of_as_many_from_there_on():
    values = np.array([math.nan] * 50 + [1.0, 2.0] * 40)
    found = drift_of(
        windowed_metrics([Rolled(rows=[ROW] * 12, sums=added(0, 12))], READABLE, FeatureNetworks())[0].measure,
        {"label_agreement/generated": values},
        (),
        start=50,
    )
    assert (found.mean, found.deviation, found.leaves) == (1.5, 0.5, None)
    assert len(values) > 50 + FIRST
