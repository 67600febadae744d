"""Band-limited noise that tiles, and the look-up that samples it."""

from collections.abc import Callable
from functools import lru_cache

import cv2
import numpy as np

from vs_data.procedural.arrays import F32, F64, Bytes, smooth

GRAIN_WAVELENGTH = 8.0
"""Typical wavelength of `grain`, texels."""

_SIZE = 256
_ROW = 2048


@lru_cache(maxsize=1)
def grain() -> F32:
    """Return (256,256) float32 noise of one octave (wavelengths 6 to 14 texels), mean 0, deviation 0.5. It tiles."""
    return _filtered(1, lambda wave: ((wave > 1 / 14) & (wave < 1 / 6)).astype(np.float64))


@lru_cache(maxsize=1)
def billows() -> F32:
    """Return (256,256) float32 fractal noise for clouds, wavelengths from 7 texels, mean 0, deviation 0.5; it tiles."""
    return _filtered(2, lambda wave: np.where((wave > 0.5 / _SIZE) & (wave < 1 / 7), wave + 1e-9, np.inf) ** -1.75)


def _filtered(seed: int, spectrum: Callable[[F64], F64]) -> F32:
    wave = np.hypot(np.fft.fftfreq(_SIZE)[:, None], np.fft.rfftfreq(_SIZE)[None, :])
    white = np.random.default_rng(seed).standard_normal((_SIZE, _SIZE))
    noise = np.fft.irfft2(np.fft.rfft2(white) * spectrum(wave), s=(_SIZE, _SIZE))
    noise -= noise.mean()
    return np.asarray(noise * (0.5 / noise.std()), np.float32)


def sample(texture: F32, x: F32, y: F32) -> F32:
    """Look a texture that tiles up, bilinearly, at points (n,) given in texels."""
    scale = np.float32(1 / _SIZE)
    x, y = x * scale, y * scale
    return look_up(texture, (x - np.floor(x)) * np.float32(_SIZE), (y - np.floor(y)) * np.float32(_SIZE))


def look_up(table: F32 | Bytes, x: F32, y: F32) -> F32:
    """Look a table (rows, columns) up, bilinearly, at points (n,) inside of it: column x, row y. float32."""
    count = x.size
    rows = -(-count // _ROW)  # OpenCV's pictures have at most 32767 columns
    where = np.zeros((2, rows * _ROW), np.float32)
    where[0, :count], where[1, :count] = x, y
    columns, lines = where.reshape(2, rows, _ROW)
    taken = cv2.remap(table, columns, lines, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)
    return np.asarray(taken, np.float32).reshape(-1)[:count]


def pulse(distance: F32, half_width: F32 | float, footprint: F32) -> F32:
    """Return how much of a pixel's footprint is within `half_width` of a line, for distances >= 0 to it."""
    return np.clip((half_width - distance) / footprint + 0.5, 0, 1)


def fade(footprint: F32, wavelength: F32 | float) -> F32:
    """Return 1 where a pattern of this wavelength can be resolved with this footprint, 0 where it would alias."""
    return smooth(1.6 - footprint * (3.2 / wavelength))
