"""Distances of sets of features: held against closed forms, SciPy, torchmetrics and plain double loops."""

import math

import pytest
import scipy.linalg
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torchmetrics.image.fid import FrechetInceptionDistance
from torchmetrics.image.kid import KernelInceptionDistance
from vs_metrics import (
    GaussianStatistics,
    ShapeError,
    TooFewError,
    VsMetricsError,
    add_statistics,
    frechet_distance,
    gaussian_statistics,
    kernel_distance,
)


def samples(count, features, seed=0, mean=0.0, spread=1.0):
    generator = torch.Generator().manual_seed(seed)
    mixing = torch.randn(features, features, generator=generator)
    return mean + spread * torch.randn(count, features, generator=generator) @ mixing


def statistics(mean, covariance, count=1000):
    """Sums of which mean and covariance are those given."""
    mean, covariance = (torch.tensor(one, dtype=torch.float64) for one in (mean, covariance))
    products = covariance * (count - 1) + count * torch.outer(mean, mean)
    return GaussianStatistics(count=count, total=count * mean, products=products)


def by_scipy(a, b):
    """The published formula with SciPy's matrix square root of the product."""
    cov_a, cov_b = a.covariance.numpy(), b.covariance.numpy()
    root = scipy.linalg.sqrtm(cov_a @ cov_b).real
    shift = (a.mean - b.mean).square().sum()
    return float(shift) + (cov_a + cov_b - 2 * root).trace()


@given(st.floats(-5, 5), st.floats(-5, 5), st.floats(0, 4), st.floats(0, 4))
def test_in_one_dimension_it_is_the_squared_distance_of_means_and_deviations(mean_a, mean_b, deviation_a, deviation_b):
    a, b = statistics([mean_a], [[deviation_a**2]]), statistics([mean_b], [[deviation_b**2]])
    expected = (mean_a - mean_b) ** 2 + (deviation_a - deviation_b) ** 2
    assert frechet_distance(a, b) == pytest.approx(expected, abs=1e-6)


def test_of_covariances_that_commute_it_is_the_distance_of_their_roots():
    a, b = (
        statistics([0.0, 1.0, 2.0], torch.diag(torch.tensor([1.0, 4.0, 9.0])).tolist()),
        statistics([1.0, 1.0, 0.0], torch.diag(torch.tensor([4.0, 4.0, 1.0])).tolist()),
    )
    assert frechet_distance(a, b) == pytest.approx((1 + 0 + 4) + (1 + 0 + 4))


def test_it_is_what_scipy_and_torchmetrics_compute():
    real, made = samples(60, 12, seed=1), samples(50, 12, seed=2, mean=0.5)
    a, b = gaussian_statistics(real), gaussian_statistics(made)
    assert torch.allclose(a.covariance, torch.cov(real.double().T))
    theirs = FrechetInceptionDistance(feature=identity(12))
    theirs.set_dtype(torch.float64)
    theirs.update(real.double(), real=True)
    theirs.update(made.double(), real=False)
    assert frechet_distance(a, b) == pytest.approx(by_scipy(a, b), rel=1e-9)
    assert frechet_distance(a, b) == pytest.approx(float(theirs.compute()), rel=1e-6)


def identity(features):
    """A feature network that gives its input back."""
    network = nn.Identity()
    network.num_features = features
    return network


@pytest.mark.parametrize("count", [4, 40])
def test_of_equal_sets_it_is_zero_also_where_the_covariance_has_no_full_rank(count):
    a = gaussian_statistics(samples(count, 16))
    assert frechet_distance(a, a, least=2) == pytest.approx(0, abs=1e-8 * float(a.covariance.trace()))


def test_a_shift_alone_counts_as_its_squared_length():
    features = samples(40, 16)
    shifted = features + torch.linspace(0, 1, 16)
    distance = frechet_distance(gaussian_statistics(features), gaussian_statistics(shifted))
    assert distance == pytest.approx(float(torch.linspace(0, 1, 16).square().sum()), rel=1e-4)


@given(st.lists(st.integers(0, 20), min_size=1, max_size=5))
def test_statistics_of_parts_add_up(sizes):
    features = samples(sum(sizes), 3)
    whole = gaussian_statistics(features)
    added = add_statistics(gaussian_statistics(part) for part in features.split(sizes))
    assert added.count == whole.count
    assert torch.allclose(added.total, whole.total)
    assert torch.allclose(added.products, whole.products)


def test_too_few_samples_are_refused_unless_told():
    few, many = gaussian_statistics(samples(8, 8)), gaussian_statistics(samples(9, 8))
    with pytest.raises(TooFewError, match="8 samples, where at least 9 are needed") as caught:
        frechet_distance(few, many)
    assert (caught.value.count, caught.value.least) == (8, 9)
    assert frechet_distance(many, many) == pytest.approx(0, abs=1e-6)
    assert math.isfinite(frechet_distance(few, many, least=2))
    with pytest.raises(TooFewError):
        frechet_distance(gaussian_statistics(samples(1, 8)), many, least=0)
    with pytest.raises(TooFewError, match="49 samples, where at least 50"):
        kernel_distance(samples(49, 3), samples(80, 3))


def double_loop(x, y):
    """The estimate without bias, one pair after the other."""

    def kernel(a, b):
        return (sum(float(i) * float(j) for i, j in zip(a, b, strict=True)) / len(a) + 1) ** 3

    within = [
        sum(kernel(z[i], z[j]) for i in range(len(z)) for j in range(len(z)) if i != j) / (len(z) * (len(z) - 1))
        for z in (x, y)
    ]
    return sum(within) - 2 * sum(kernel(a, b) for a in x for b in y) / (len(x) * len(y))


@pytest.mark.filterwarnings("ignore:Metric `Kernel Inception Distance` will save all:UserWarning")
def test_the_kernel_distance_is_what_a_double_loop_and_torchmetrics_compute():
    x, y = samples(12, 5, seed=1), samples(12, 5, seed=2, mean=0.3)
    found = kernel_distance(x, y, least=2)
    assert found.value == pytest.approx(double_loop(x, y), rel=1e-5)
    assert (found.subsets, found.size, math.isnan(found.error)) == (1, 12, True)
    theirs = KernelInceptionDistance(feature=identity(5), subsets=1, subset_size=12)
    theirs.update(x, real=True)
    theirs.update(y, real=False)
    assert found.value == pytest.approx(float(theirs.compute()[0]), rel=1e-4)


def test_sets_of_different_sizes_can_be_compared():
    x, y = samples(12, 5, seed=1), samples(7, 5, seed=2, mean=0.3)
    assert kernel_distance(x, y, least=2).value == pytest.approx(double_loop(x, y), rel=1e-5)


def test_subsets_estimate_the_same_as_the_whole_with_an_error():
    x, y = samples(400, 4, seed=1), samples(400, 4, seed=1, mean=0.5).roll(1, dims=1)
    whole, parts = kernel_distance(x, y), kernel_distance(x, y, subsets=50, size=100)
    assert (parts.subsets, parts.size) == (50, 100)
    assert parts.error > 0
    assert parts.value == pytest.approx(whole.value, abs=4 * parts.error)
    assert kernel_distance(x, y, subsets=50, size=100) == parts


def test_samples_of_one_distribution_are_at_no_distance_on_average():
    generator = torch.Generator().manual_seed(0)
    values = [kernel_distance(*torch.randn(2, 50, 4, generator=generator), seed=seed).value for seed in range(60)]
    mean, error = sum(values) / 60, torch.tensor(values).std() / 60**0.5
    assert abs(mean) < 3 * error
    assert min(values) < 0


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda: gaussian_statistics(torch.zeros(3)), ShapeError),
        (lambda: gaussian_statistics(torch.full((3, 2), torch.nan)), VsMetricsError),
        (lambda: add_statistics([]), VsMetricsError),
        (lambda: add_statistics([gaussian_statistics(torch.zeros(3, n)) for n in (2, 3)]), ShapeError),
        (lambda: frechet_distance(*(gaussian_statistics(torch.zeros(9, n)) for n in (2, 3))), ShapeError),
        (lambda: kernel_distance(torch.zeros(99, 2), torch.zeros(99, 3)), ShapeError),
        (lambda: kernel_distance(torch.zeros(99, 2), torch.zeros(99, 2), size=1), VsMetricsError),
        (lambda: kernel_distance(torch.zeros(99, 2), torch.zeros(99, 2), subsets=0), VsMetricsError),
    ],
)
def test_what_has_no_distance_is_refused(call, error):
    with pytest.raises(error):
        call()
