"""What feature networks measure in an evaluation: LPIPS of every frame, and distances of all frames and clips together.

The features of a clip are gathered while it is rolled out, so that no frame is kept.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import attrs
import torch
from torch import Tensor
from vs_metrics import (
    KERNEL_LEAST,
    LEAST_CLIPS,
    Average,
    FeatureFileError,
    Interval,
    average_of,
    distance_changes,
    frechet_distance,
    gaussian_statistics,
    interval_of,
    kernel_distance,
    kernel_sums,
    resample_counts,
)
from vs_metrics.features import FeatureNetwork, I3d, Inception, Lpips, VideoMae, load_features

from vs_training.quality.scoring import FrameView, ScoreFrame, chosen_reference
from vs_training.quality.sets import SetMeasure, SetMetric, set_metric

ADVICE = (
    "LPIPS, FID, KID and FVD are measured too with --features FILE ...: networks that tools/convert_features.py makes "
    "of published weights."
)
"""What is said where no network was given."""

SIDES = ("real", "generated")

MOST_ROWS = 5_000
"""Features of a side above which there is no interval of a kernel distance: it would take minutes."""

Features = Mapping[str, Tensor]
"""The features of a clip: "NETWORK/SIDE" -> (N, D) rows, one for each frame, or for each window of frames."""


@attrs.frozen(kw_only=True)
class Kind:
    """A kind of network whose features are compared as sets: what its distances are called, and what is to be said.

    Attributes:
        frechet: title of the Fréchet distance.
        kernel: title of the kernel distance.
        source: the papers.
        limits: of both.
    """

    frechet: str
    kernel: str
    source: str
    limits: str


KINDS: Mapping[str, Kind] = {
    "inception": Kind(
        frechet="FID",
        kernel="KID",
        source="Heusel et al. 2017; Bińkowski et al. 2018",
        limits="Single frames. Frames of one video are alike and count for fewer than they are.",
    ),
    "i3d": Kind(
        frechet="FVD",
        kernel="KVD",
        source="Unterthiner et al. 2018",
        limits="Of windows of frames that do not overlap. It sees single frames more than motion (Ge et al. 2024).",
    ),
    "videomae": Kind(
        frechet="FVD, content-debiased",
        kernel="KVD, content-debiased",
        source="Ge et al. 2024",
        limits="Of windows of frames that do not overlap.",
    ),
}


@attrs.frozen(kw_only=True, eq=False)
class FeatureNetworks:
    """The networks that an evaluation was given; all that it measures with them is left out where there is none."""

    lpips: Lpips | None = None
    inception: Inception | None = None
    i3d: I3d | None = None
    videomae: VideoMae | None = None

    @property
    def of_sets(self) -> Mapping[str, Inception | I3d | VideoMae]:
        """Those whose features are compared as sets, by the names of `KINDS`."""
        found = {"inception": self.inception, "i3d": self.i3d, "videomae": self.videomae}
        return {name: network for name, network in found.items() if network is not None}

    def __bool__(self) -> bool:
        """Say whether there is any."""
        return self.lpips is not None or bool(self.of_sets)


def open_networks(paths: Sequence[Path], device: torch.device, size: tuple[int, int]) -> FeatureNetworks:
    """Read networks, at most one of each kind, for frames of a size (H, W), pixels.

    Raises:
        FeatureFileError: a file holds no feature network, or a second one of a kind, or one for larger frames.
    """
    networks = FeatureNetworks()
    for path in paths:
        network = load_features(path).to(device)
        if isinstance(network, Lpips) and min(size) < network.config.smallest_side:
            least = network.config.smallest_side
            raise FeatureFileError(path, f"needs frames of {least}x{least} pixels, these have {size[0]}x{size[1]}")
        networks = _added(networks, network, path)
    return networks


def _added(networks: FeatureNetworks, network: FeatureNetwork, path: Path) -> FeatureNetworks:
    """Return the networks with one more; raises `FeatureFileError` where there is one of its kind."""
    before: FeatureNetwork | None
    match network:
        case Lpips():
            before, now = networks.lpips, attrs.evolve(networks, lpips=network)
        case Inception():
            before, now = networks.inception, attrs.evolve(networks, inception=network)
        case I3d():
            before, now = networks.i3d, attrs.evolve(networks, i3d=network)
        case VideoMae():
            before, now = networks.videomae, attrs.evolve(networks, videomae=network)
    if before is not None:
        raise FeatureFileError(path, f"a second {type(network).__name__}: give one network of each kind")
    return now


def advice_on(networks: FeatureNetworks) -> tuple[str, ...]:
    """Say what could be measured too, where no network was given."""
    return () if networks else (ADVICE,)


class FeatureGatherer:
    """A way of scoring frames (`ScoreFrame`) that adds LPIPS to another one's scores and keeps features of the frames.

    A frame that the other one does not count is not counted here either: it is part of a window of frames where another
    frame of the window is.
    """

    def __init__(self, networks: FeatureNetworks, score: ScoreFrame) -> None:
        self._networks = networks
        self._score = score
        self._rows: dict[str, list[Tensor]] = {f"{name}/{side}": [] for name in networks.of_sets for side in SIDES}
        self._windows: dict[str, list[tuple[bool, Tensor]]] = {name: [] for name in networks.of_sets}

    def __call__(self, view: FrameView, past: Sequence[FrameView]) -> Mapping[str, Average]:
        """Return the scores of a frame; see `ScoreFrame`."""
        scores = self._score(view, past)
        counted = bool(scores)
        for name, network in self._networks.of_sets.items():
            pair = torch.cat([view.truth.frames, view.synthesis.frame])  # (2, 3, H, W): real, generated
            self._gather(name, network, pair, counted)
        lpips = self._networks.lpips
        if lpips is None or not counted:
            return scores
        return {**scores, **_lpips_scores(lpips, view, past), **_lpips_changes(lpips, view, past)}

    def features(self) -> Features:
        """Return what was gathered; a window that the end of the clip cut off does not count."""
        widths = {name: network.num_features for name, network in self._networks.of_sets.items()}
        return {
            key: torch.cat([torch.zeros(0, widths[key.partition("/")[0]]), *rows]) for key, rows in self._rows.items()
        }

    def _gather(self, name: str, network: Inception | I3d | VideoMae, pair: Tensor, counted: bool) -> None:
        match network:
            case Inception():
                if counted:
                    self._keep(name, network, pair)
            case I3d() | VideoMae():
                window = self._windows[name]
                window.append((counted, pair))
                if len(window) == network.config.frames:
                    if any(each for each, _ in window):
                        self._keep(name, network, torch.stack([frame for _, frame in window], dim=1))
                    window.clear()

    def _keep(self, name: str, network: Inception | I3d | VideoMae, pair: Tensor) -> None:
        device = next(network.parameters()).device
        for side, one in zip(SIDES, pair.split(1), strict=True):  # one after the other, which takes half the memory
            with torch.inference_mode():
                self._rows[f"{name}/{side}"].append(network(one.to(device)).cpu())


def _lpips_scores(network: Lpips, view: FrameView, past: Sequence[FrameView]) -> dict[str, Average]:
    """Measure the generated frame and what it is to be better than; not a first frame, where that is counted apart."""
    chosen = chosen_reference(view)
    if chosen is None and not past:
        return {}
    candidates = {"generated": view.synthesis.frame}
    if chosen is not None:
        candidates["repeated"] = chosen.frame
    else:
        candidates["previous"] = past[-1].truth.frames
        candidates |= {} if view.painted is None else {"class_mean": view.painted}
    device = next(network.parameters()).device
    real = view.truth.frames.to(device)
    with torch.inference_mode():
        found = {method: network(frame.to(device), real) for method, frame in candidates.items()}
    return {f"lpips/{method}": average_of(distance.cpu()) for method, distance in found.items()}


def _lpips_changes(network: Lpips, view: FrameView, past: Sequence[FrameView]) -> dict[str, Average]:
    """Measure tLP: how differently both videos change from the frame before, to the eye."""
    if not past:
        return {}
    before, device = past[-1], next(network.parameters()).device
    generated, real = (
        torch.cat(pair).to(device)
        for pair in ((before.synthesis.frame, view.synthesis.frame), (before.truth.frames, view.truth.frames))
    )
    with torch.inference_mode():
        errors, weights = distance_changes(generated, real, network)
    return {"tlp/generated": average_of(errors.cpu(), weights.cpu())}


def set_metrics(networks: FeatureNetworks, clips: Sequence[Features]) -> tuple[SetMetric, ...]:
    """Return the distances of generated to real frames in each network's features, over all clips; none of no clip."""
    if not clips:
        return ()
    return tuple(
        metric
        for name, network in networks.of_sets.items()
        for metric in _distances(name, network, *([clip[f"{name}/{side}"] for clip in clips] for side in SIDES))
    )


def _distances(
    name: str, network: Inception | I3d | VideoMae, real: Sequence[Tensor], made: Sequence[Tensor]
) -> Iterator[SetMetric]:
    """Yield the Fréchet and the kernel distance in one network's features; `real`, `made`: those of each clip."""
    x, y = torch.cat(list(real)), torch.cat(list(made))
    length = 1 if isinstance(network, Inception) else network.config.frames
    frechet, kernel = set_measures(name, network)
    frames = len(x) * length
    if not (x.isfinite().all() and y.isfinite().all()):
        note = "frames were generated with values that are not finite"
        yield from (SetMetric(measure=one, value=math.nan, frames=frames, note=note) for one in (frechet, kernel))
        return
    note = "" if length == 1 else f"{frechet.title} is of {len(x)} windows of {length} frames"
    yield set_metric(
        frechet, frames, lambda: frechet_distance(gaussian_statistics(x), gaussian_statistics(y)), note=note
    )
    yield set_metric(
        kernel, frames, lambda: kernel_distance(x, y).value, interval=lambda: kernel_interval(real, made), note=note
    )


def set_measures(name: str, network: Inception | I3d | VideoMae) -> tuple[SetMeasure, SetMeasure]:
    """Return what the Fréchet and the kernel distance in a network's features are; `name`: see `KINDS`."""
    kind, length = KINDS[name], 1 if isinstance(network, Inception) else network.config.frames
    frechet = _measure(kind, kind.frechet, (network.num_features + 1) * length)
    return frechet, _measure(kind, kind.kernel, KERNEL_LEAST * length)


def _measure(kind: Kind, title: str, least: int) -> SetMeasure:
    return SetMeasure(
        name=title.lower().replace(", ", "-"),
        title=title,
        unit="",
        better="lower",
        digits=4,
        least_frames=least,
        source=kind.source,
        limits=kind.limits,
    )


def kernel_interval(real: Sequence[Tensor], made: Sequence[Tensor]) -> Interval | None:
    """Return the interval by bootstrap over clips of a kernel distance; None of too few clips, or of very many rows.

    A clip that is drawn several times counts as often, but is not compared with its own copies, which would be at no
    distance.

    Args:
        real: features (N, D) of the real frames of each clip.
        made: of the generated ones.
    """
    if len(real) < LEAST_CLIPS or sum(map(len, real)) > MOST_ROWS:
        return None
    counts = resample_counts(len(real))
    lengths = torch.tensor([len(rows) for rows in real], dtype=torch.float64)

    def mean(sums: Tensor, pairs: Tensor) -> Tensor:
        return _over_pairs(sums, counts) / _over_pairs(pairs, counts)

    pairs = torch.outer(lengths, lengths)
    others = pairs - torch.diag(lengths)  # a sample is no pair with itself
    within = [mean(kernel_sums(rows, rows, itself=False), others) for rows in (real, made)]
    return interval_of(sum(within, -2 * mean(kernel_sums(real, made), pairs)), len(real))


def _over_pairs(values: Tensor, counts: Tensor) -> Tensor:
    """Return the sum of `values` (clips, clips) over the pairs of clips in each resample, each clip one with itself."""
    own = values.diagonal()
    between = values - torch.diag(own)
    return ((counts @ between) * counts).sum(dim=1) + counts @ own
