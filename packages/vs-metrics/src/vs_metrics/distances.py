"""Distances of two sets of features: how unlike generated pictures or clips are, all together, to real ones.

Each is a number of two sets and no mean over frames. Features are rows (N, D) of `vs_metrics.features`: of pictures
for FID and KID, of clips for FVD and KVD. What the numbers mean depends on the network, on how pictures were resized,
and on how many samples there are: they can be compared only where all of these agree.
"""

import functools
from collections.abc import Iterable, Sequence

import attrs
import torch
from jaxtyping import Float
from torch import Tensor

from vs_metrics.errors import ShapeError, TooFewError, VsMetricsError

KERNEL_LEAST = 50
"""Samples in each set below which a kernel distance is mostly noise."""


@attrs.frozen(kw_only=True, eq=False)
class GaussianStatistics:
    """Sums from which mean and covariance follow, and which can be added up over clips and processes.

    Attributes:
        count: number of samples.
        total: (D,) float64: their sum.
        products: (D, D) float64: the sum of their outer products.
    """

    count: int
    total: Tensor
    products: Tensor

    @property
    def mean(self) -> Tensor:
        """The mean (D,)."""
        return self.total / self.count

    @property
    def covariance(self) -> Tensor:
        """The unbiased covariance (D, D)."""
        return (self.products - torch.outer(self.total, self.mean)) / (self.count - 1)


@attrs.frozen(kw_only=True)
class KernelDistance:
    """A kernel distance with what is known of its error.

    Attributes:
        value: the distance; not biased, so that it is below 0 at times where sets are alike.
        error: its standard error from the spread over subsets; nan where there was one subset only.
        subsets: how many there were.
        size: samples of each set in a subset.
    """

    value: float
    error: float
    subsets: int
    size: int


def gaussian_statistics(features: Float[Tensor, "n d"]) -> GaussianStatistics:
    """Return the sums of features (N, D), N >= 0, in float64.

    Raises:
        ShapeError: not two axes.
        VsMetricsError: a value is not finite.
    """
    rows = _rows("features", features)
    return GaussianStatistics(count=rows.shape[0], total=rows.sum(dim=0), products=rows.T @ rows)


def add_statistics(parts: Iterable[GaussianStatistics]) -> GaussianStatistics:
    """Return the statistics of everything that the given ones are of.

    Raises:
        VsMetricsError: there is none.
        ShapeError: they are of different numbers of features.
    """
    given = list(parts)
    if not given:
        raise VsMetricsError("statistics of no part can't be added: there must be one at least, of no sample perhaps")
    return functools.reduce(_add, given)


def _add(a: GaussianStatistics, b: GaussianStatistics) -> GaussianStatistics:
    _check_features("statistics", b.total, a.total)
    return GaussianStatistics(count=a.count + b.count, total=a.total + b.total, products=a.products + b.products)


def frechet_distance(a: GaussianStatistics, b: GaussianStatistics, *, least: int | None = None) -> float:
    """Return the Fréchet distance of two sets, taken as Gaussians: FID of Inception's features, FVD of I3D's.

    |m_a - m_b|^2 + tr(S_a + S_b - 2 (S_a S_b)^(1/2)) (Dowson and Landau 1982; Heusel et al. 2017; for clips Unterthiner
    et al. 2018; in VideoMAE's features Ge et al. 2024). The trace of the root is the sum of the singular values of
    S_a^(1/2) S_b^(1/2), in float64, which singular covariances do not disturb.

    Limits: it sees no more than mean and covariance, and few samples make it larger, by about c / N with a c that
    depends on the model (Chong and Forsyth 2020), so that only distances of the same N can be compared. The literature
    takes 10,000 to 50,000 pictures for FID, and 2,048 clips of 16 frames for FVD. With no more samples than features
    a covariance has no full rank, and the distance is mostly this bias: it refuses unless told. Frames of one video
    are alike, and count for fewer than they are.

    Args:
        a: of one set.
        b: of the other, in features of the same network.
        least: samples that each set must have; by default one more than there are features (2049 pictures for
            Inception's 2048, 401 clips for I3D's 400).

    Raises:
        TooFewError: a set has fewer.
        ShapeError: they are of different numbers of features.
    """
    _check_features("b", b.total, a.total)
    needed = max(a.total.shape[0] + 1 if least is None else least, 2)
    why = f"the covariance of {a.total.shape[0]} features is not known from fewer"
    _require(min(a.count, b.count), needed, why)
    cov_a, cov_b = a.covariance, b.covariance
    shift = (a.mean - b.mean).square().sum()
    overlap = torch.linalg.svdvals(_root(cov_a) @ _root(cov_b)).sum()
    return max(float(shift + cov_a.trace() + cov_b.trace() - 2 * overlap), 0.0)


def kernel_distance(
    a: Float[Tensor, "n d"],
    b: Float[Tensor, "m d"],
    *,
    subsets: int = 100,
    size: int = 1000,
    seed: int = 0,
    least: int = KERNEL_LEAST,
) -> KernelDistance:
    """Return the kernel distance of two sets: KID of Inception's features, KVD of I3D's.

    The squared maximum mean discrepancy with the kernel (x.y / D + 1)^3, without bias (Bińkowski et al. 2018; for clips
    Unterthiner et al. 2018), as the mean over random subsets, drawn without putting back within each; of the whole
    sets where they are no larger than a subset.

    Limits: without bias it can be compared between different N, but its spread is large for few samples; the error is
    that of the subsets, which overlap, so that for sets of less than `subsets` times `size` it is too small: resample
    clips instead.

    Args:
        a: features (N, D) of one set.
        b: features (M, D) of the other.
        subsets: how many subsets.
        size: samples of each set in a subset, at least 2.
        seed: of the subsets.
        least: samples that each set must have.

    Raises:
        TooFewError: a set has fewer.
        ShapeError: they do not fit.
        VsMetricsError: a value is not finite, or `subsets` or `size` too small.
    """
    if subsets < 1 or size < 2:
        raise VsMetricsError(f"{subsets} subsets of {size} samples; there must be one at least, of two or more samples")
    x, y = _rows("a", a), _rows("b", b)
    _check_features("b", y[:0].sum(dim=0), x[:0].sum(dim=0))
    fewest = min(x.shape[0], y.shape[0])
    _require(fewest, max(least, 2), "a kernel distance of fewer is mostly noise")
    if max(x.shape[0], y.shape[0]) <= size:
        return KernelDistance(value=float(_discrepancy(x, y)), error=float("nan"), subsets=1, size=fewest)
    generator = torch.Generator().manual_seed(seed)
    values = torch.stack([_discrepancy(_draw(x, size, generator), _draw(y, size, generator)) for _ in range(subsets)])
    error = float(values.std()) / subsets**0.5 if subsets > 1 else float("nan")
    return KernelDistance(value=float(values.mean()), error=error, subsets=subsets, size=min(size, fewest))


def kernel_sums(
    a: Sequence[Float[Tensor, "_ d"]], b: Sequence[Float[Tensor, "_ d"]], *, itself: bool = True
) -> Float[Tensor, "parts parts2"]:
    """Return what each pair of parts of two sets adds to sums of the kernel of `kernel_distance`, in float64.

    Args:
        a: features (N, D) of each part of one set, of a clip perhaps.
        b: of the other.
        itself: whether a sample makes a pair with itself; only where b is a.
    """
    rows = [_rows("b", part) for part in b]
    whole = torch.cat(rows)
    owners = torch.arange(len(rows)).repeat_interleave(torch.tensor([len(part) for part in rows]))
    sums = torch.zeros(len(a), len(rows), dtype=torch.float64)
    for index, part in enumerate(a):
        pairs = _kernel(_rows("a", part), whole)
        sums[index].index_add_(0, owners, pairs.sum(dim=0))
        if not itself:
            sums[index, index] -= pairs[:, owners == index].trace()
    return sums


def _rows(name: str, features: Tensor) -> Tensor:
    if features.ndim != 2:
        raise ShapeError(name, tuple(features.shape), "(N, D)")
    rows = features.detach().double()
    if not bool(rows.isfinite().all()):
        raise VsMetricsError(f"{name} has values that are not finite: they have no distance")
    return rows


def _check_features(name: str, found: Tensor, wanted: Tensor) -> None:
    if found.shape != wanted.shape:
        raise ShapeError(name, tuple(found.shape), f"as many features as the other, {tuple(wanted.shape)}")


def _require(count: int, least: int, why: str) -> None:
    if count < least:
        raise TooFewError(count, least, why)


def _root(matrix: Tensor) -> Tensor:
    """Return the symmetric square root of a covariance; eigenvalues that rounding made negative count as 0."""
    values, vectors = torch.linalg.eigh(matrix)
    root: Tensor = (vectors * values.clamp_min(0).sqrt()) @ vectors.T
    return root


def _draw(rows: Tensor, size: int, generator: torch.Generator) -> Tensor:
    chosen = torch.randperm(rows.shape[0], generator=generator)[:size]
    return rows[chosen.to(rows.device)]


def _discrepancy(x: Tensor, y: Tensor) -> Tensor:
    """Return the unbiased squared discrepancy of rows (N, D) and (M, D): pairs of a sample with itself do not count."""
    return _within(x) + _within(y) - 2 * _kernel(x, y).mean()


def _within(x: Tensor) -> Tensor:
    pairs = _kernel(x, x)
    return (pairs.sum() - pairs.trace()) / (x.shape[0] * (x.shape[0] - 1))


def _kernel(x: Tensor, y: Tensor) -> Tensor:
    return (x @ y.T / x.shape[1] + 1).pow(3)
