"""The colours of a body: what it is made of, a function of the material alone, and the light that falls on it."""

from typing import NamedTuple

import numpy as np

from vs_data.dancers.body import Stuff
from vs_data.dancers.cast import Figure, on_bones
from vs_data.dancers.person import Cloth, Person
from vs_data.dancers.pose import VIEW, Bone
from vs_data.procedural.arrays import F32, F64, Bytes, bump, smooth
from vs_data.procedural.colours import Colour, blended, tinted
from vs_data.procedural.noise import GRAIN_WAVELENGTH, billows, grain, sample

LIGHT: F64 = np.array([-0.42, -0.76, 0.50])
"""Where the light comes from, in the world."""

_LIGHT_ON_SCREEN: F64 = VIEW @ LIGHT

_AMBIENT = 0.70
_DIRECT = 0.36


class Material(NamedTuple):
    """The material of n points of a body.

    Attributes:
        solid: (n,) number of the solid.
        point: (3,n) float32 place in the coordinates of its bone.
        stuff: (n,) uint8 `Stuff`.
    """

    solid: Bytes
    point: F32
    stuff: Bytes


def material_at(figure: Figure, solid: Bytes, x: F32, y: F32, z: F32) -> Material:
    """Return what points (n,) of the screen are made of, each on the surface of some solid."""
    point = on_bones(figure, solid, x, y, z)
    body = figure.body
    stuff = body.stuff[solid, (point[1] > body.hem[solid]).astype(np.intp)]
    face = np.flatnonzero(stuff == Stuff.FACE)
    stuff[face[_hairy(body.person, point[:, face])]] = Stuff.HAIR
    return Material(solid, point, stuff)


def _hairy(person: Person, point: F32) -> Bytes:
    """Return whether points (3,n) of the skull have hair: all but the bald have it above a slanting line."""
    if person.looks.style == "bald":
        return np.zeros(point.shape[1], bool)
    high = np.float32(person.shape.head)
    _, y, z = point / high
    return np.asarray(y < np.float32(-0.62) - np.float32(0.95) * z)


def colours_of(figure: Figure, material: Material) -> F32:
    """Return (3,n) float32 in [0,1]."""
    person = figure.body.person
    picture = np.zeros_like(material.point)
    for stuff in Stuff:
        rows = np.flatnonzero(material.stuff == stuff)
        if rows.size:
            # Of what is worn over chest and hips the pattern goes on.
            chest = figure.body.bone[material.solid[rows]] == Bone.CHEST
            down = np.where(chest, np.float32(person.shape.waist), np.float32(0))
            picture[:, rows] = _painted(person, stuff, material.point[:, rows], down)
    return np.clip(picture * _light(figure, material), 0, 1)


def _painted(person: Person, stuff: Stuff, point: F32, down: F32) -> F32:
    """Return colours (3,n), or one (3,1), of points (3,n) of some stuff; see `_cloth`."""
    looks = person.looks
    match stuff:
        case Stuff.SKIN:
            return _plain(looks.skin)
        case Stuff.HAIR:
            return _hair(looks.hair, point)
        case Stuff.TOP:
            return _cloth(looks.top, point, down)
        case Stuff.BOTTOM:
            return _cloth(looks.bottom, point, down)
        case Stuff.SHOES:
            return _plain(looks.shoes)
        case Stuff.FACE:
            return _face(person, point)


def _plain(colour: Colour) -> F32:
    return np.array(colour, np.float32)[:, None]


def _light(figure: Figure, material: Material) -> F32:
    """Return (n,) brightness: the side that is turned to the light has more of it."""
    body, solid = figure.body, material.solid
    normal = [
        body.square[solid, i].astype(np.float32) * axis + body.linear[solid, i].astype(np.float32)
        for i, axis in enumerate(material.point)
    ]
    towards = (_LIGHT_ON_SCREEN @ figure.turns).astype(np.float32)[body.bone]  # (solids,3) in the bones' coordinates
    along = sum(towards[solid, i] * axis for i, axis in enumerate(normal))
    length = np.sqrt(sum(axis * axis for axis in normal))
    return np.asarray(_AMBIENT + _DIRECT * np.maximum(along / np.maximum(length, np.float32(1e-9)), -0.35), np.float32)


def _cloth(cloth: Cloth, point: F32, down: F32) -> F32:
    """Weave a pattern through space, moved up by `down` (n,), so that pieces of one garment fit."""
    x, y, z = np.stack([point[0], point[1] - down, point[2]]) * np.float32(cloth.repeats)
    match cloth.pattern:
        case "plain":
            trim = np.zeros_like(x)
        case "stripes":
            trim = _bands(y)
        case "bars":
            trim = _bands(x + z)
        case "checks":
            trim = np.float32(0.5) * (_bands(y) + _bands(x + z))
        case "dots":
            across = x + z
            trim = smooth(np.float32(4) * (np.float32(0.33) - np.hypot(across - np.round(across), y - np.round(y))))
        case "print":
            scale = np.float32(12)
            trim = smooth(sample(billows(), (x + z) * scale, y * scale) * np.float32(4))
    fold = sample(grain(), (x + z) * np.float32(GRAIN_WAVELENGTH / 2), y * np.float32(GRAIN_WAVELENGTH / 4))
    return blended(_plain(cloth.colour), cloth.trim, trim) * (1 + np.float32(0.07) * fold)


def _bands(along: F32) -> F32:
    """Return bands with soft edges, as wide as the gaps between them."""
    return smooth(np.float32(0.5) + np.float32(2.2) * np.sin(along * np.float32(2 * np.pi)))


def _hair(colour: Colour, point: F32) -> F32:
    x, y, z = point
    strand = np.sin(x * np.float32(210) + np.sin(y * np.float32(40)) * 2) * np.sin(z * np.float32(150))
    return tinted(colour, np.float32(0.95) + np.float32(0.13) * strand)


def _face(person: Person, point: F32) -> F32:
    """Paint eyes, brows and mouth on the front of the head; they are larger than life, to be seen in small pictures."""
    x, y, z = point / np.float32(person.shape.head)
    front = z > 0
    side = np.abs(x)
    colour = tinted(person.looks.skin, np.ones_like(x))
    for centre, radius, paint, strength in (
        ((0.30, -0.92), (0.17, 0.11), (0.97, 0.96, 0.95), 1.0),
        ((0.30, -0.92), (0.09, 0.11), (0.12, 0.08, 0.07), 1.0),
        ((0.31, -1.12), (0.19, 0.05), person.looks.hair, 0.9),
        ((0.0, -0.40), (0.26, 0.10), (0.66, 0.20, 0.22), 0.85),
        ((0.42, -0.58), (0.20, 0.16), (0.85, 0.35, 0.30), 0.22),
    ):
        there = np.minimum(bump(side, y, centre, (radius[0] * 1.3, radius[1] * 1.3)) * 4, 1) * front
        colour = blended(colour, paint, np.float32(strength) * there)
    return colour
