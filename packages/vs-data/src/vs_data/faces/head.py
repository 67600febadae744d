"""The surface of a head: z*z = q(x, y) in the head's own coordinates, and what is painted on it for good.

The head's coordinates: x to the viewer's right, y down, z to the viewer, 1 is half the usual height. Both halves of the
surface, front and back, are one function of (x, y), kept as a table; so are the colours of the skin, light included:
people carry their light with them, so that what a point of them looks like does not depend on the frame.
"""

from functools import lru_cache

import attrs
import cv2
import numpy as np

from vs_data.faces.identity import Identity, Looks, Shape, draw_identity
from vs_data.faces.parts import Solid, solids_of
from vs_data.procedural.arrays import F32, F64, bump, smooth

EXTENT = 1.3
"""The tables reach from -EXTENT to EXTENT in x and y."""

_TEXELS = 192
_ROW = 2048

_JAW_PART = 0.97
"""Landmarks of the jaw are so far out on the way to the outline of the face: what is on the outline itself is soon
hidden when the head turns."""

_JAW_MIDDLE = -0.10
"""The y from which they are at equal angles."""

_LIGHT = np.array([-0.38, -0.50, 0.78]) / np.linalg.norm([-0.38, -0.50, 0.78])


@attrs.frozen(kw_only=True, eq=False)
class Subject:
    """A person with the tables of the head.

    Attributes:
        identity: Who it is.
        surface: (rows,columns,3) float32 of q and its derivatives along x and y.
        skin: (rows,columns,4) float32: RGB in [0,1], and where above 0.5 a beard is.
        strands: (256,) float32 noise that tiles, mean 0, from -1 to 1.
        solids: What there is beside the head.
        jaw: (2,17) x and y of the landmarks of the jaw with the mouth closed, from left to right.
    """

    identity: Identity
    surface: F32
    skin: F32
    strands: F32
    solids: tuple[Solid, ...]
    jaw: F64


@lru_cache(maxsize=256)
def build_subject(seed: int, number: int) -> Subject:
    """Build person `number` of a family; a pure function of its arguments (kept for the next clip)."""
    return subject_of(draw_identity(seed, number))


def subject_of(identity: Identity) -> Subject:
    """Return the tables of a person."""
    axis = np.linspace(-EXTENT, EXTENT, _TEXELS, dtype=np.float32)
    x, y = np.meshgrid(axis, axis)
    q = _surface(identity.shape, x, y)
    along_y, along_x = (np.gradient(q, float(axis[1] - axis[0]), axis=k) for k in (0, 1))
    random = np.random.default_rng(identity.looks.detail)
    return Subject(
        identity=identity,
        surface=np.stack([q, along_x, along_y], axis=2),
        skin=_skin(identity, random, x, y, (q, along_x, along_y)),
        strands=_strands(random),
        solids=solids_of(identity),
        jaw=_jaw(identity.shape),
    )


def look_up(table: F32, x: F32, y: F32) -> F32:
    """Return (n,C) float32 of a table (rows,columns,C) at points (n,), to a 32nd of a texel."""
    count = x.size
    if not count:  # OpenCV knows no empty pictures
        return np.zeros((0, table.shape[2]), np.float32)
    rows = -(-count // _ROW)  # OpenCV's pictures have at most 32767 columns
    where = np.zeros((2, rows * _ROW), np.float32)
    scale = (_TEXELS - 1) / (2 * EXTENT)
    np.multiply(x + np.float32(EXTENT), np.float32(scale), out=where[0, :count])
    np.multiply(y + np.float32(EXTENT), np.float32(scale), out=where[1, :count])
    columns, lines = where.reshape(2, rows, _ROW)
    taken = cv2.remap(table, columns, lines, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(taken, np.float32).reshape(rows * _ROW, -1)[:count]


def height_at(subject: Subject, x: F64, y: F32) -> F64:
    """Return the z of the head's front at points (n,), as the table has it between its nodes; 0 beyond the outline."""
    place = [
        np.clip((axis + EXTENT) * ((_TEXELS - 1) / (2 * EXTENT)), 0, _TEXELS - 1 - 1e-6) for axis in (x, y)
    ]  # fmt: skip
    left, top = (values.astype(np.intp) for values in place)
    right, low = place[0] - left, place[1] - top
    q = subject.surface[..., 0]
    upper = q[top, left] * (1 - right) + q[top, left + 1] * right
    lower = q[top + 1, left] * (1 - right) + q[top + 1, left + 1] * right
    return np.asarray(np.sqrt(np.maximum(upper * (1 - low) + lower * low, 0.0)), np.float64)


def _surface(shape: Shape, x: F32, y: F32) -> F32:
    """Return q: an egg with a jaw, and what stands out of it or is sunk in."""
    along = y / shape.height
    below = np.maximum(along, 0.0)
    across = shape.width * (1 - shape.taper * below**2)
    egg = shape.depth**2 * (1 - np.where(along < 0, along**2, below**shape.square) - (x / across) ** 2)
    side = np.abs(x)
    relief = (
        _nose(shape, x, y)
        + shape.chin * bump(side, y, (0.0, 0.86 * shape.height), (0.30, 0.22))
        + shape.cheeks * bump(side, y, (0.44, 0.28), (0.34, 0.34))
        + 0.035 * bump(side, y, (shape.eye_x - 0.02, shape.eye_y - shape.brow_rise), (0.34, 0.16))
        - 0.050 * bump(side, y, (shape.eye_x - 0.03, shape.eye_y), (0.26, 0.18))
        + 0.040 * bump(side, y, (0.0, shape.mouth_y), (1.5 * shape.mouth_width, 0.22))
    )
    return np.asarray(egg + relief * (2 * np.sqrt(np.maximum(egg, 0.0)) + relief))


def _nose(shape: Shape, x: F32, y: F32) -> F32:
    start, tip, width = shape.eye_y - 0.06, shape.nose_tip, shape.nose_width
    down = np.clip((y - start) / (tip - start), 0.0, 1.0)
    profile = (0.12 + 0.88 * down**1.3) * smooth((y - start + 0.22) / 0.26)
    profile *= 1 - smooth((y - tip - 0.015) / 0.11)
    ridge = np.maximum(1 - (x / (width * (0.62 + 0.45 * down))) ** 2, 0.0) ** 2
    wings = bump(np.abs(x), y, (0.72 * width, tip + 0.01), (0.55 * width, 0.10))
    return np.asarray(shape.nose_height * profile * ridge + 0.30 * shape.nose_height * wings)


def _skin(identity: Identity, random: np.random.Generator, x: F32, y: F32, surface: tuple[F32, F32, F32]) -> F32:
    shape, looks = identity.shape, identity.looks
    q, along_x, along_y = surface
    front = np.sqrt(np.maximum(q, 0.0))
    light = shade_of(np.stack([-along_x / 2, -along_y / 2, front]))
    colour = np.multiply.outer(np.ones_like(x), np.array(looks.skin, np.float32))
    # What the blood and the sun do to the colour.
    side = np.abs(x)
    blush = 0.16 * bump(side, y, (0.46, 0.26), (0.26, 0.20)) + 0.14 * bump(side, y, (0.0, shape.nose_tip), (0.20, 0.14))
    colour *= 1 - blush[..., None] * np.array([0.05, 0.75, 0.65], np.float32)
    if looks.freckles:
        colour *= 1 - _freckles(random, x, y)[..., None] * np.array([0.28, 0.40, 0.45], np.float32)
    # What is sunk in gets less light than the surface's slope says.
    socket = 0.16 * bump(side, y, (shape.eye_x, shape.eye_y), (0.30, 0.20))
    nostril = 0.62 * smooth(4 * bump(side, y, (0.46 * shape.nose_width, shape.nose_tip + 0.062), (0.05, 0.032)))
    philtrum = 0.07 * bump(side, y, (0.0, shape.nose_tip + 0.15), (0.05, 0.09))
    crease = 0.30 * _lid_crease(shape, side, y)
    colour *= ((1 - socket) * (1 - nostril) * (1 - philtrum) * (1 - crease))[..., None]
    # Hair grows over all of it; how much of a beard there is is kept beside the colour.
    beard = np.zeros_like(x)
    if looks.beard != "none":
        beard = _beard(shape, looks, side, y)
        hair = np.multiply.outer(0.86 + 0.16 * _fluff(random), np.array(looks.hair, np.float32))
        colour += (hair - colour) * (beard * (0.36 if looks.beard == "stubble" else 1.0))[..., None]
    return np.concatenate([np.clip(colour * light[..., None], 0, 1), beard[..., None]], axis=2)


def shade_of(direction: F32) -> F32:
    """Return the brightness (n,) of points of a ball in directions (3,n), of any length but 0: soft, never black."""
    length = np.sqrt((direction * direction).sum(axis=0)) + np.float32(1e-6)
    facing = sum(np.float32(weight) * part for weight, part in zip(_LIGHT, direction, strict=True)) / length
    return np.asarray(0.60 + 0.44 * (0.5 + 0.5 * facing) ** 1.2)


def _freckles(random: np.random.Generator, x: F32, y: F32) -> F32:
    spots = np.zeros_like(x)
    for _ in range(46):
        centre = (float(random.normal(0, 0.30)), float(random.normal(0.20, 0.09)))
        np.maximum(spots, bump(x, y, centre, (0.022, 0.022)), out=spots)
    return spots


def _lid_crease(shape: Shape, side: F32, y: F32) -> F32:
    u = (side - shape.eye_x) / (1.08 * shape.eye_width)
    v = y - shape.eye_y - shape.eye_tilt * (side - shape.eye_x)
    arc = -1.42 * shape.eye_open * np.maximum(1 - u * u, 0.0) ** 0.8
    return np.where(np.abs(u) < 1, np.maximum(1 - ((v - arc) / 0.022) ** 2, 0.0), 0.0)


def _fluff(random: np.random.Generator) -> F32:
    """Return noise of short upright strokes, mean 0, deviation 1."""
    noise = cv2.GaussianBlur(random.standard_normal((_TEXELS, _TEXELS), np.float32), (0, 0), 0.8, sigmaY=3.0)
    return np.asarray(noise / noise.std())


def _beard(shape: Shape, looks: Looks, side: F32, y: F32) -> F32:
    """Return how much of a beard there is, 0 to 1."""
    mouth, width = shape.mouth_y, shape.mouth_width
    along = side / (1.25 * width)
    middle = (shape.nose_tip + 0.10 + mouth - shape.lips[0]) / 2 + 0.13 * along**2
    moustache = smooth((0.075 * (1 - 0.6 * along**4) - np.abs(y - middle)) / 0.03) * (along < 1)
    jaw = smooth((y - mouth - 0.13 + 0.62 * np.minimum(side / (0.8 * shape.width), 1.0) ** 1.5) / 0.06)
    beside = np.maximum(smooth((side - 1.05 * width) / 0.05), smooth((y - mouth - 0.12) / 0.05))
    match looks.beard:
        case "moustache":
            return np.asarray(moustache)
        case "goatee":
            chin = smooth((y - mouth - 0.14) / 0.05) * smooth((0.30 - side) / 0.08)
            return np.asarray(np.maximum(moustache, chin))
        case _:
            return np.asarray(np.maximum(jaw * beside, moustache))


def _strands(random: np.random.Generator) -> F32:
    noise = np.zeros(256)
    for waves, strength in ((9, 0.5), (23, 0.7), (41, 0.5)):
        noise += strength * np.sin(2 * np.pi * (waves * np.arange(256) / 256 + random.random()))
    return np.asarray(noise / np.abs(noise).max(), np.float32)


def _jaw(shape: Shape) -> F64:
    angle = np.linspace(np.pi, 0.0, 17)
    across, down = np.cos(angle), np.sin(angle)
    low, high = np.zeros(17), np.full(17, EXTENT)
    for _ in range(30):  # bisection: the outline is where the surface's height comes to 0
        middle = (low + high) / 2
        inside = _surface(shape, middle * across, _JAW_MIDDLE + middle * down) > 0
        low, high = np.where(inside, middle, low), np.where(inside, high, middle)
    return np.stack([_JAW_PART * low * across, _JAW_MIDDLE + _JAW_PART * low * down])
