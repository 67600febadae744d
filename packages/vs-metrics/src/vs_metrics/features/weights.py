"""Files of feature networks: safetensors, with the network's kind and sizes in the head, and our own tensor names."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import attrs
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from vs_metrics.errors import FeatureFileError
from vs_metrics.features.i3d import I3d, I3dConfig, build_i3d
from vs_metrics.features.inception import Inception, InceptionConfig, build_inception
from vs_metrics.features.lpips import AlexLpipsConfig, Lpips, VggLpipsConfig, build_lpips
from vs_metrics.features.videomae import VideoMae, VideoMaeConfig, build_videomae
from vs_metrics.files import replacing

FeatureNetwork = Lpips | Inception | I3d | VideoMae
FeatureConfig = AlexLpipsConfig | VggLpipsConfig | InceptionConfig | I3dConfig | VideoMaeConfig

CONFIGS: Mapping[str, type[FeatureConfig]] = {
    "lpips-alex": AlexLpipsConfig,
    "lpips-vgg": VggLpipsConfig,
    "inception": InceptionConfig,
    "i3d": I3dConfig,
    "videomae": VideoMaeConfig,
}
"""What the head of a file calls its network."""

ADVICE = "tools/convert_features.py makes such a file from published ones"

N = TypeVar("N", Lpips, Inception, I3d, VideoMae)


def build(config: FeatureConfig) -> FeatureNetwork:
    """Return the network of a configuration with random weights."""
    match config:
        case AlexLpipsConfig() | VggLpipsConfig():
            return build_lpips(config)
        case InceptionConfig():
            return build_inception(config)
        case I3dConfig():
            return build_i3d(config)
        case VideoMaeConfig():
            return build_videomae(config)


def load_features(path: Path) -> FeatureNetwork:
    """Read a feature network of any kind from a file that `tools/convert_features.py` or `save_features` wrote.

    Nothing is read but the file's head before kind, sizes, names and shapes are known to fit. Weights of other
    floating-point types become float32.

    Raises:
        FeatureFileError: the file is missing, no safetensors file, without the head, or of tensors that do not fit.
    """
    try:
        if not path.is_file():  # nor anything else that could be opened: a pipe would be waited for
            raise FeatureFileError(path, f"no such file; {ADVICE}")
        with safe_open(path, framework="pt") as file:
            config = _config(path, file.metadata() or {})
            with torch.device("meta"):
                network = build(config)
            shapes = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
            _check_shapes(path, network, shapes)
            state = {name: file.get_tensor(name) for name in network.state_dict()}
    except (SafetensorError, OSError) as error:
        raise FeatureFileError(path, f"not a safetensors file ({error}); {ADVICE}") from error
    for name, tensor in state.items():
        if not tensor.is_floating_point() or not tensor.isfinite().all():
            raise FeatureFileError(path, f"{name} has values that are no finite numbers with fractions; {ADVICE}")
    network.load_state_dict({name: tensor.float() for name, tensor in state.items()}, assign=True)
    return network.requires_grad_(False)


def load_lpips(path: Path) -> Lpips:
    """Read LPIPS in AlexNet's or VGG-16's features; raises like `load_features`, for other networks too."""
    return _only(Lpips, path)


def load_inception(path: Path) -> Inception:
    """Read Inception-v3 for the distances of pictures; raises like `load_features`, for other networks too."""
    return _only(Inception, path)


def load_i3d(path: Path) -> I3d:
    """Read I3D for the distances of clips; raises like `load_features`, for other networks too."""
    return _only(I3d, path)


def load_videomae(path: Path) -> VideoMae:
    """Read VideoMAE for the distances of clips; raises like `load_features`, for other networks too."""
    return _only(VideoMae, path)


def save_features(path: str | os.PathLike[str], network: FeatureNetwork, *, source: str = "") -> Path:
    """Write a network to a safetensors file, whole or not at all; parents are made.

    Args:
        path: the file.
        network: what to write.
        source: what it was made from, for people.

    Raises:
        OSError: the file cannot be written; nothing is left behind.
    """
    kind = next(name for name, config in CONFIGS.items() if type(network.config) is config)
    sizes = {name: str(value) for name, value in attrs.asdict(network.config).items()}
    state = {name: tensor.contiguous() for name, tensor in network.state_dict().items()}
    with replacing(Path(path)) as temporary:
        save_file(state, temporary, {"network": kind, **sizes, **({"source": source} if source else {})})
    return Path(path)


def _only(kind: type[N], path: Path) -> N:
    network = load_features(path)
    if not isinstance(network, kind):
        raise FeatureFileError(path, f"a {type(network).__name__}, not a {kind.__name__}; {ADVICE}")
    return network


def _config(path: Path, head: Mapping[str, str]) -> FeatureConfig:
    """Return the configuration that the head of a file describes."""
    kind = CONFIGS.get(head.get("network", ""))
    if kind is None:
        found = repr(head["network"]) if "network" in head else "nothing"
        raise FeatureFileError(path, f"its head says {found} of a network; known: {', '.join(CONFIGS)}; {ADVICE}")
    try:
        sizes: dict[str, Any] = {one.name: int(head[one.name]) for one in attrs.fields(kind) if one.name in head}
        return kind(**sizes)
    except ValueError as error:
        raise FeatureFileError(path, f"sizes in its head that no network has ({error}); {ADVICE}") from error


def _check_shapes(path: Path, network: nn.Module, found: Mapping[str, tuple[int, ...]]) -> None:
    """Raise `FeatureFileError` for the first tensor that is missing or of another shape."""
    expected: Mapping[str, Tensor] = network.state_dict()
    for name, tensor in expected.items():
        wanted = tuple(tensor.shape)
        if found.get(name) != wanted:
            state = f"of shape {found[name]}" if name in found else "missing"
            raise FeatureFileError(path, f"{name} is {state}, expected {wanted}; {ADVICE}")
