"""How frames of a clip are shown: what each panel holds, what is blank, and that the bytes repeat."""

from pathlib import Path

import attrs
import numpy as np
import pytest
import torch
from vs_metrics import (
    CITYSCAPES_PALETTE,
    ClassIdError,
    ClipFrame,
    VsMetricsError,
    clip_picture,
    grid,
    label_picture,
    longest_vector,
    palette_for,
    panel_row,
    strip_frames,
    video_frame,
    write_mp4,
    write_png,
)
from vs_metrics.tiles import BACKGROUND

PALETTE = palette_for(35)
ROAD = list(CITYSCAPES_PALETTE[7])


def moving(x: float) -> torch.Tensor:
    return torch.tensor([x, 0.0])[:, None, None].expand(2, 12, 20).clone()


def early(index: int = 0) -> ClipFrame:
    return ClipFrame(
        index=index,
        label=torch.full((12, 20), 7),
        real=torch.ones(3, 12, 20),
        generated=torch.zeros(3, 12, 20),
        teacher_flow=moving(3.0),
    )


def late(index: int = 4, *, flow: float = 6.0) -> ClipFrame:
    return attrs.evolve(
        early(index), flow=moving(flow), mask=torch.ones(1, 12, 20), warped=torch.full((3, 12, 20), -1.0)
    )


@pytest.mark.parametrize(
    ("length", "frames"), [(1, (0,)), (3, (0, 1, 2)), (4, (0, 1, 2, 3)), (10, (0, 3, 6, 9)), (30, (0, 10, 19, 29))]
)
def test_strips_show_first_and_last_and_spread_the_rest(length: int, frames: tuple[int, ...]) -> None:
    assert strip_frames(length) == frames


def test_what_there_is_not_yet_is_blank_and_said() -> None:
    row = panel_row(early(), PALETTE)
    assert [panel.title for panel in row] == [
        "label, frame 0",
        "real",
        "generated",
        "flow: not yet",
        "mask: not yet",
        "warped: not yet",
        "teacher's flow: not yet",
    ]
    for panel in row[3:]:
        assert panel.image.shape == (12, 20, 3)
        assert bool((panel.image == BACKGROUND).all())


def test_a_whole_row_shows_everything_to_one_scale() -> None:
    row = panel_row(late(), PALETTE)
    assert [panel.title for panel in row] == [
        "label, frame 4",
        "real",
        "generated",
        "flow (full colour: 6.0 px)",
        "mask (white: new)",
        "warped",
        "teacher's flow",
    ]
    colours = [ROAD, [255] * 3, [128] * 3, [255, 0, 0], [255] * 3, [0] * 3, [255, 128, 128]]
    assert [panel.image[5, 5].tolist() for panel in row] == colours
    assert [panel.smooth for panel in row] == [False, True, True, False, False, True, False]
    assert panel_row(late(), PALETTE, flow_scale=12.0)[3].image[5, 5].tolist() == [255, 128, 128]
    assert len(panel_row(attrs.evolve(late(), teacher_flow=None), PALETTE)) == 6


def test_rows_below_each_other_share_the_scale_of_the_longest_flow() -> None:
    frames = [early(), late(2, flow=4.0), late(5, flow=8.0)]
    rows = [panel_row(frame, PALETTE, flow_scale=8.0) for frame in frames]
    assert np.array_equal(clip_picture(frames, PALETTE), grid(rows))
    with pytest.raises(VsMetricsError, match="at least one panel"):
        clip_picture([], PALETTE)


def test_vectors_that_are_not_finite_and_short_ones_set_no_scale() -> None:
    flow = moving(0.25)
    flow[0, 0, 0], flow[1, 1, 1] = float("nan"), float("inf")
    assert longest_vector(flow) == 0.25
    assert longest_vector(moving(float("nan"))) == 0.0
    assert longest_vector(torch.tensor([-3.0, 4.0])[:, None, None]) == 5.0
    quiet = attrs.evolve(late(), flow=flow, teacher_flow=None)
    assert panel_row(quiet, PALETTE)[3].title == "flow (full colour: 1.0 px)"


def test_the_video_shows_label_real_and_generated_side_by_side() -> None:
    picture = video_frame(late(), PALETTE)
    third, middle = picture.shape[1] // 3, picture.shape[0] * 2 // 3
    shown = [picture[middle, third * place + third // 2].tolist() for place in range(3)]
    assert shown == [ROAD, [255] * 3, [128] * 3]


def test_maps_without_classes_are_grey_and_wrong_ids_are_refused() -> None:
    maps = torch.zeros(2, 4, 4)
    maps[1, 0, 0] = -0.5
    picture = label_picture(maps, ())
    assert picture[0, 0].tolist() == [255, 255, 255]
    assert picture[1, 1].tolist() == [0, 0, 0]
    with pytest.raises(ClassIdError, match="class id 7"):
        label_picture(early().label, palette_for(5))


def test_equal_frames_give_equal_bytes(tmp_path: Path) -> None:
    torch.manual_seed(0)
    noisy = attrs.evolve(late(), generated=torch.rand(3, 12, 20), flow=torch.randn(2, 12, 20))
    for name in ("a", "b"):
        write_png(tmp_path / f"{name}.png", clip_picture([early(), noisy], PALETTE))
        write_mp4(tmp_path / f"{name}.mp4", (video_frame(frame, PALETTE) for frame in (early(), noisy)), fps=5)
    for kind in ("png", "mp4"):
        assert (tmp_path / f"a.{kind}").read_bytes() == (tmp_path / f"b.{kind}").read_bytes()


def test_half_precision_frames_are_shown_as_they_are() -> None:
    whole = late()
    halved = attrs.evolve(
        whole,
        **{name: getattr(whole, name).bfloat16() for name in ("real", "generated", "flow", "mask", "warped")},
    )
    assert np.array_equal(clip_picture([halved], PALETTE), clip_picture([whole], PALETTE))
