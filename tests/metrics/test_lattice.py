import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from vs_metrics import ShapeError, VsMetricsError, grid_amplitudes, grid_tiles, tile_amplitudes


def checkerboard(height: int, width: int, side: int) -> torch.Tensor:
    """Return squares of `side` pixels, 1 and -1."""
    y, x = torch.arange(height)[:, None] // side, torch.arange(width) // side
    return (1 - 2 * ((y + x) % 2)).float()


def smooth(height: int, width: int) -> torch.Tensor:
    """Return ramps of another slope in each channel."""
    y, x = torch.linspace(-0.4, 0.4, height)[:, None], torch.linspace(-0.3, 0.3, width)
    return torch.stack([y + x, y - x, 0.5 * y + x])


@settings(deadline=None, max_examples=20)
@given(
    amplitude=st.floats(0.001, 0.3),
    height=st.integers(24, 50),
    width=st.integers(24, 50),
    side=st.sampled_from([1, 2, 4]),
)
def test_a_planted_checkerboard_has_its_amplitude_whatever_it_lies_on(
    amplitude: float, height: int, width: int, side: int
) -> None:
    frames = smooth(height, width) + amplitude * checkerboard(height, width, side)
    assert float(grid_amplitudes(frames)) == pytest.approx(amplitude, rel=1e-3)
    finest = float(grid_amplitudes(frames, 2))  # sees coarser ones where they are cut off in the middle alone
    assert finest == pytest.approx(amplitude, rel=1e-3) if side == 1 else finest < 0.1 * amplitude


def test_smooth_pictures_and_patterns_of_another_period_have_none() -> None:
    assert float(grid_amplitudes(smooth(40, 64))) == pytest.approx(0.0, abs=1e-6)
    thirds = torch.where(torch.arange(72) % 3 == 0, 0.2, 0.0).expand(3, 72, 72)
    assert float(grid_amplitudes(thirds)) < 0.02


@settings(deadline=None, max_examples=10)
@given(seed=st.integers(0, 2**31 - 1))
def test_it_is_the_energy_of_a_spectrum_at_multiples_of_the_frequency(seed: int) -> None:
    pattern = torch.randn(3, 8, 8, generator=torch.Generator().manual_seed(seed))
    frames = pattern.repeat(1, 6, 7)
    energies = np.abs(np.fft.fft2(frames.numpy())) ** 2 / (48 * 56) ** 2  # Parseval: they add up to the mean square
    at_grid = energies[:, ::6, ::7].copy()
    at_grid[:, 0, 0] = 0.0
    assert float(grid_amplitudes(frames)) == pytest.approx(np.sqrt(at_grid.sum(axis=(1, 2)).mean()), rel=1e-3)


def test_frames_are_measured_one_by_one_and_wrong_input_is_refused() -> None:
    frames = torch.stack([smooth(32, 32), smooth(32, 32) + 0.1 * checkerboard(32, 32, 1)])
    values = grid_amplitudes(frames[None])
    assert values.shape == (1, 2)
    assert values[0].tolist() == pytest.approx([0.0, 0.1], abs=1e-5)
    with pytest.raises(ShapeError, match="at least 24"):
        grid_amplitudes(frames[..., :20])
    with pytest.raises(VsMetricsError, match="even"):
        grid_amplitudes(frames, 3)


def test_the_mean_pattern_of_many_frames_shows_a_grid_that_no_single_one_does() -> None:
    noise = 0.2 * torch.randn(64, 3, 40, 40, generator=torch.Generator().manual_seed(0))
    frames = noise + 0.005 * checkerboard(40, 40, 4)
    assert float(grid_amplitudes(frames).mean()) > 0.03  # five times the grid, of which the noise is the most
    still = float(tile_amplitudes(grid_tiles(frames).mean(dim=0)))
    assert still == pytest.approx(
        (0.005**2 + float(tile_amplitudes(grid_tiles(noise).mean(dim=0))) ** 2) ** 0.5, rel=0.1
    )
