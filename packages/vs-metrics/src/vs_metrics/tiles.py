"""Pictures beside and below each other, with captions, large enough to look at."""

from collections.abc import Sequence

import attrs
import cv2
import numpy as np

from vs_metrics.colours import Image, check_picture
from vs_metrics.errors import VsMetricsError

MIN_WIDTH = 240
"""Pictures narrower than this many pixels are enlarged by the smallest whole factor that reaches it."""

BACKGROUND = (24, 24, 24)
INK = (235, 235, 235)
FONT = cv2.FONT_HERSHEY_SIMPLEX
FONT_SCALE = 0.45
MARGIN = 4
CAPTION_HEIGHT = 20


@attrs.frozen(kw_only=True, eq=False)
class Panel:
    """One picture of a strip.

    Attributes:
        title: caption above it; empty for none.
        image: (H, W, 3) uint8 RGB.
        smooth: enlarge by Lanczos (photographs) instead of nearest (label maps, masks, flows).
        blank: it stands for a picture that there is not yet.
    """

    title: str = ""
    image: Image
    smooth: bool = False
    blank: bool = False


@attrs.frozen(kw_only=True)
class Place:
    """The place of a panel's picture in a grid, without caption and margin, in pixels from the upper left."""

    x: int
    y: int
    width: int
    height: int


def enlarge(image: Image, factor: int, *, smooth: bool = False) -> Image:
    """Enlarge an (H, W, 3) picture by a whole factor; nearest keeps pixels squares, Lanczos is for photographs.

    Raises:
        VsMetricsError: the factor is below 1.
        ShapeError: it is not an RGB picture.
    """
    check_picture(image)
    if factor < 1:
        raise VsMetricsError(f"factor must be at least 1, got {factor}")
    if factor == 1:
        return image
    size = (image.shape[1] * factor, image.shape[0] * factor)
    method = cv2.INTER_LANCZOS4 if smooth else cv2.INTER_NEAREST
    return np.asarray(cv2.resize(np.ascontiguousarray(image), size, interpolation=method), dtype=np.uint8)


def enlarging_factor(width: int, min_width: int = MIN_WIDTH) -> int:
    """Return the smallest whole factor that makes `width` pixels at least `min_width`."""
    return max(1, -(-min_width // max(width, 1)))


def strip(panels: Sequence[Panel], *, factor: int | None = None) -> Image:
    """Lay panels side by side, captions above: a grid of one row (see `grid`)."""
    return grid([panels], factor=factor)


def grid(rows: Sequence[Sequence[Panel]], *, factor: int | None = None) -> Image:
    """Lay rows of panels out as one picture, each panel at the upper left of its cell.

    Args:
        rows: rows of panels; they may differ in length and size. A row without titles has no captions.
        factor: whole number by which every picture is enlarged; None: what makes the widest at least 240 pixels wide.

    Returns:
        (H, W, 3) uint8.

    Raises:
        VsMetricsError: there is no panel.
        ShapeError: a panel is not an (H, W, 3) uint8 picture.
    """
    by = _factor(rows, factor)
    filled = [[_captioned(panel, by, caption=_has_titles(row)) for panel in row] for row in rows if row]
    widths = _column_widths([[cell.shape[1] for cell in row] for row in filled])
    lines = [_beside(row, widths) for row in filled]
    return np.concatenate(lines, axis=0)


def grid_places(rows: Sequence[Sequence[Panel]], *, factor: int | None = None) -> list[Place]:
    """Return where `grid` puts the picture of each panel, row by row.

    Raises:
        VsMetricsError, ShapeError: As `grid`.
    """
    by = _factor(rows, factor)
    filled = [row for row in rows if row]
    widths = _column_widths([[panel.image.shape[1] * by + 2 * MARGIN for panel in row] for row in filled])
    places, top = [], 0
    for row in filled:
        bar = CAPTION_HEIGHT if _has_titles(row) else 0
        for column, panel in enumerate(row):
            height, width = (side * by for side in panel.image.shape[:2])
            places.append(Place(x=sum(widths[:column]) + MARGIN, y=top + bar + MARGIN, width=width, height=height))
        top += max(panel.image.shape[0] for panel in row) * by + bar + 2 * MARGIN
    return places


def _factor(rows: Sequence[Sequence[Panel]], factor: int | None) -> int:
    """Return by what all pictures are enlarged, once they are found to be pictures."""
    panels = [panel for row in rows for panel in row]
    if not panels:
        raise VsMetricsError("a grid needs at least one panel")
    for panel in panels:
        check_picture(panel.image)
    return enlarging_factor(max(panel.image.shape[1] for panel in panels)) if factor is None else factor


def _has_titles(row: Sequence[Panel]) -> bool:
    return any(panel.title for panel in row)


def _column_widths(rows: Sequence[Sequence[int]]) -> list[int]:
    """Return the width of each column, of the widths of the cells of each row."""
    return [max(row[column] for row in rows if column < len(row)) for column in range(max(map(len, rows)))]


def _captioned(panel: Panel, factor: int, *, caption: bool) -> Image:
    """Return the enlarged picture with a caption bar above it, when its row has captions, and a margin all around."""
    picture = enlarge(panel.image, factor, smooth=panel.smooth)
    bar = CAPTION_HEIGHT if caption else 0
    canvas = _canvas(picture.shape[0] + bar + 2 * MARGIN, picture.shape[1] + 2 * MARGIN)
    canvas[MARGIN + bar : MARGIN + bar + picture.shape[0], MARGIN : MARGIN + picture.shape[1]] = picture
    if panel.title:
        text, scale = _fitting_text(panel.title, picture.shape[1])
        cv2.putText(canvas, text, (MARGIN, MARGIN + CAPTION_HEIGHT - 6), FONT, scale, INK, 1, cv2.LINE_AA)
    return canvas


def _fitting_text(title: str, width: int) -> tuple[str, float]:
    """Return the title, set smaller (down to 70 %) and then cut with two dots, at most `width` pixels wide."""
    for scale in (FONT_SCALE, 0.85 * FONT_SCALE, 0.7 * FONT_SCALE):
        if _text_width(title, scale) <= width:
            return title, scale
    for length in range(len(title) - 1, 0, -1):
        text = title[:length].rstrip() + ".."
        if _text_width(text, scale) <= width:
            return text, scale
    return "", scale


def _text_width(text: str, scale: float) -> int:
    return int(cv2.getTextSize(text, FONT, scale, 1)[0][0])


def _beside(cells: Sequence[Image], widths: Sequence[int]) -> Image:
    """Lay out one row of the grid: cells padded to the columns' widths and to the height of the tallest."""
    line = _canvas(max(cell.shape[0] for cell in cells), sum(widths))
    left = 0
    for cell, width in zip(cells, widths, strict=False):
        line[: cell.shape[0], left : left + cell.shape[1]] = cell
        left += width
    return line


def _canvas(height: int, width: int) -> Image:
    return np.full((height, width, 3), BACKGROUND, dtype=np.uint8)
