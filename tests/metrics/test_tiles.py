import inspect

import numpy as np
import pytest
from vs_metrics import Panel, ShapeError, VsMetricsError, grid, grid_places, strip
from vs_metrics.tiles import BACKGROUND, CAPTION_HEIGHT, MARGIN, enlarge, enlarging_factor


def flat(height: int, width: int, level: int) -> np.ndarray:
    return np.full((height, width, 3), level, dtype=np.uint8)


def test_nearest_keeps_every_pixel_a_square() -> None:
    image = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    large = enlarge(image, 3)
    assert large.shape == (6, 6, 3)
    assert bool((large == image.repeat(3, axis=0).repeat(3, axis=1)).all())


def test_lanczos_keeps_flat_pictures_flat() -> None:
    assert bool((enlarge(flat(8, 8, 77), 2, smooth=True) == 77).all())


def test_factor_reaches_the_least_width() -> None:
    assert [enlarging_factor(width) for width in (1, 128, 239, 240, 1000)] == [240, 2, 2, 1, 1]


def test_strip_has_each_picture_at_its_place() -> None:
    picture = strip([Panel(title="a", image=flat(64, 128, 10)), Panel(title="b", image=flat(64, 128, 200))])
    cell = 256 + 2 * MARGIN
    assert picture.shape == (128 + CAPTION_HEIGHT + 2 * MARGIN, 2 * cell, 3)
    top = MARGIN + CAPTION_HEIGHT
    assert bool((picture[top : top + 128, MARGIN : MARGIN + 256] == 10).all())
    assert bool((picture[top : top + 128, cell + MARGIN : cell + MARGIN + 256] == 200).all())
    assert bool((picture[:MARGIN] == BACKGROUND).all())


def test_captions_are_drawn_above_their_own_picture_only() -> None:
    panels = [Panel(title="generated", image=flat(16, 240, 0)), Panel(image=flat(16, 240, 0))]
    caption = strip(panels)[: MARGIN + CAPTION_HEIGHT]
    left, right = caption[:, :248], caption[:, 248:]
    assert int(left.max()) > 150
    assert bool((right == BACKGROUND).all())


def test_long_captions_stay_above_their_picture() -> None:
    picture = strip([Panel(title="much too long for it " * 9, image=flat(16, 240, 0)), Panel(image=flat(16, 240, 0))])
    assert bool((picture[: MARGIN + CAPTION_HEIGHT, 244:] == BACKGROUND).all())
    assert int(picture[: MARGIN + CAPTION_HEIGHT, :244].max()) > 150


def test_rows_may_differ_in_length_and_size_and_lack_captions() -> None:
    rows = [[Panel(image=flat(10, 20, 1)), Panel(image=flat(12, 30, 2))], [Panel(image=flat(5, 25, 3))]]
    picture = grid(rows, factor=1)
    assert picture.shape == (12 + 5 + 4 * MARGIN, 25 + 30 + 4 * MARGIN, 3)
    assert picture[12 + 2 * MARGIN + MARGIN, MARGIN].tolist() == [3, 3, 3]
    assert picture[MARGIN, 25 + 2 * MARGIN + MARGIN].tolist() == [2, 2, 2]


@pytest.mark.parametrize("titles", [("", "", ""), ("a", "", "b")])
@pytest.mark.parametrize("factor", [1, 3, None])
def test_places_are_where_the_pictures_are(titles: tuple[str, ...], factor: int | None) -> None:
    images = [flat(10, 20, 101), flat(12, 30, 102), flat(5, 25, 103)]
    panels = [Panel(title=title, image=image) for title, image in zip(titles, images, strict=True)]
    rows = [panels[:2], [], panels[2:]]
    picture, places = grid(rows, factor=factor), grid_places(rows, factor=factor)
    for place, image in zip(places, images, strict=True):
        assert (place.width % image.shape[1], place.height % image.shape[0]) == (0, 0)
        cut = picture[place.y : place.y + place.height, place.x : place.x + place.width]
        assert bool((cut == image[0, 0]).all())
        assert not bool((picture[place.y - 1] == image[0, 0]).all(-1)[place.x : place.x + place.width].any())


def test_what_is_no_picture_is_refused() -> None:
    with pytest.raises(VsMetricsError, match="at least one panel"):
        grid([[]])
    with pytest.raises(ShapeError, match="float64"):
        inspect.unwrap(strip)([Panel(image=np.zeros((4, 4, 3)))])
    with pytest.raises(VsMetricsError, match="factor"):
        enlarge(flat(2, 2, 0), 0)
