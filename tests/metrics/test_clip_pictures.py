"""How frames of a clip are shown: what each panel holds, what is blank, and that the bytes repeat."""

from pathlib import Path

import attrs
import numpy as np
import pytest
import torch
from vs_metrics import (
    ClassIdError,
    ClipFrame,
    VsMetricsError,
    clip_picture,
    grid,
    label_picture,
    matrix_picture,
    palette_for,
    panel_row,
    panel_rows,
    strip_frames,
    video_frame,
    write_mp4,
    write_png,
)
from vs_metrics.colours import CITYSCAPES_PALETTE, longest_vector
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


def with_reference(frame: ClipFrame, *, flow: float = 9.0) -> ClipFrame:
    return attrs.evolve(
        frame,
        label_title="landmarks",
        reference=torch.full((3, 12, 20), 0.5),
        reference_flow=moving(flow),
        reference_mask=torch.full((1, 12, 20), 0.2),
        warped_reference=torch.full((3, 12, 20), -0.5),
        reference_teacher_flow=moving(-flow / 3),
    )


def test_a_row_with_a_reference_begins_with_it_and_ends_with_what_was_made_of_it() -> None:
    row, without = panel_row(with_reference(late()), PALETTE), panel_row(late(), PALETTE)
    assert [panel.title for panel in row] == [
        "reference",
        "landmarks, frame 4",
        *[panel.title for panel in without[1:]],
        "warped reference",
        "reference's mask (white: new)",
        "flow to reference (full colour: 9.0 px)",
        "teacher's flow to reference",
    ]
    assert row[0].image[5, 5].tolist() == [191] * 3
    assert [panel.image[5, 5].tolist() for panel in row[8:]] == [[64] * 3, [51] * 3, [255, 0, 0], [170, 255, 255]]
    assert [panel.smooth for panel in (row[0], *row[8:])] == [True, True, False, False, False]
    for panel, same in zip(row[1:8], without, strict=True):  # flows to the reference do not pale the others
        assert np.array_equal(panel.image, same.image)


def test_of_a_reference_only_what_is_given_is_shown() -> None:
    frame = attrs.evolve(early(), reference=torch.zeros(3, 12, 20))
    assert panel_row(frame, PALETTE)[0].title == "reference"
    assert len(panel_row(frame, PALETTE)) == len(panel_row(early(), PALETTE)) + 1


def test_rows_share_the_scale_of_the_longest_flow_to_a_reference() -> None:
    frames = [with_reference(early(), flow=3.0), with_reference(late(2), flow=18.0)]
    rows = [panel_row(frame, PALETTE, flow_scale=6.0, reference_flow_scale=18.0) for frame in frames]
    assert rows[0][10].title == "flow to reference (full colour: 18.0 px)"
    assert np.array_equal(clip_picture(frames, PALETTE), grid(rows))


def shown_in_video(frame: ClipFrame, panels: int) -> list[list[int]]:
    picture = video_frame(frame, PALETTE)
    width, middle = picture.shape[1] // panels, picture.shape[0] * 2 // 3
    assert width * panels == picture.shape[1]
    return [picture[middle, width * place + width // 2].tolist() for place in range(panels)]


def test_the_video_begins_with_the_reference() -> None:
    assert shown_in_video(with_reference(late()), 4) == [[191] * 3, ROAD, [255] * 3, [128] * 3]
    titled = video_frame(attrs.evolve(late(), label_title="landmarks"), PALETTE)
    assert not np.array_equal(titled[:24], video_frame(late(), PALETTE)[:24])
    assert np.array_equal(titled[24:], video_frame(late(), PALETTE)[24:])


def test_without_truth_the_driving_frame_stands_in_its_place() -> None:
    driven = attrs.evolve(with_reference(late()), real=None, driving=torch.full((3, 12, 20), -1.0))
    assert shown_in_video(driven, 4) == [[191] * 3, ROAD, [0] * 3, [128] * 3]
    titles = [panel.title for panel in panel_row(driven, PALETTE)]
    assert titles[:4] == ["reference", "landmarks, frame 4", "driving", "generated"]
    both = attrs.evolve(driven, real=torch.ones(3, 12, 20))
    assert shown_in_video(both, 5) == [[191] * 3, ROAD, [0] * 3, [255] * 3, [128] * 3]
    neither = attrs.evolve(early(), real=None)
    assert shown_in_video(neither, 2) == [ROAD, [128] * 3]
    assert [panel.title for panel in panel_row(neither, PALETTE)][:2] == ["label, frame 0", "generated"]


def test_the_matrix_has_a_row_for_each_subject_and_a_column_for_each_pose() -> None:
    def flat(level: float) -> torch.Tensor:
        return torch.full((3, 12, 20), level / 127.5 - 1)

    made = [[flat(10), flat(20), flat(30)], [flat(40), flat(50), flat(60)]]
    picture = matrix_picture([flat(100), flat(200)], [flat(70), flat(80), flat(90)], made)
    height, width = picture.shape[0] // 3, picture.shape[1] // 4
    levels = [[picture[height * y + 100, width * x + 120].tolist() for x in range(4)] for y in range(3)]
    expected = [[70, 80, 90], [100, 10, 20, 30], [200, 40, 50, 60]]
    assert levels[0][0] == list(BACKGROUND)
    assert [levels[0][1:], *levels[1:]] == [[[level] * 3 for level in row] for row in expected]


def test_a_matrix_that_does_not_fit_is_refused() -> None:
    frame = torch.zeros(3, 12, 20)
    with pytest.raises(VsMetricsError, match="at least one reference"):
        matrix_picture([], [frame], [])
    with pytest.raises(VsMetricsError, match="at least one reference and one driving"):
        matrix_picture([frame], [], [[]])
    with pytest.raises(VsMetricsError, match="generated has 1 rows, expected one for each of 2"):
        matrix_picture([frame, frame], [frame], [[frame]])
    with pytest.raises(VsMetricsError, match=r"generated\[1\] has 2 frames, expected one for each of 1"):
        matrix_picture([frame, frame], [frame], [[frame], [frame, frame]])


def test_edges_are_white_lines_on_black_as_strong_as_they_are() -> None:
    edges = torch.zeros(1, 4, 4)
    edges[0, 1] = 0.2
    assert label_picture(edges, ())[:, 0, 0].tolist() == [0, 51, 0, 0]
    edges[0, 2] = 1.0
    assert label_picture(edges, ())[:, 0, 0].tolist() == [0, 51, 255, 0]
    edges[0, 3] = 2.0
    assert label_picture(edges, ())[:, 0, 0].tolist() == [0, 26, 128, 255]
    assert label_picture(torch.zeros(1, 4, 4), ()).max() == 0


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


@pytest.mark.parametrize(("width", "columns"), [(20, 4), (950, 4), (951, 3), (1300, 2), (4000, 2)])
def test_rows_of_a_video_are_no_wider_than_decoders_take(width: int, columns: int) -> None:
    frame = ClipFrame(
        index=0, label=torch.full((2, width), 7), real=torch.ones(3, 2, width), generated=torch.zeros(3, 2, width)
    )
    rows = panel_rows(frame, PALETTE, flow_scale=4.0, reference_flow_scale=4.0)
    assert [len(row) for row in rows[:-1]] == [columns] * (len(rows) - 1)
    panels = [panel for row in rows for panel in row]
    assert [panel.title for panel in panels] == [panel.title.split(", frame")[0] for panel in panel_row(frame, PALETTE)]
    assert [panel.title for panel in panels if panel.blank] == ["flow: not yet", "mask: not yet", "warped: not yet"]
