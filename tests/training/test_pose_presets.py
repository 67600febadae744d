"""The published configurations for dancers, by their numbers of parameters.

The sizes of Cityscapes' and FaceForensics' networks are published (see the tests of those); what dancers have otherwise
follows from their public configurations: other labels, a flow network that halves three times, networks for regions.
"""

from itertools import pairwise

import pytest
import vs_nets as nets
from vs_config import ConfigError, resolve_config
from vs_data import label_infos
from vs_training.config import TrainConfig, spec_of_kinds
from vs_training.counts import count_networks
from vs_training.presets import read_preset

LIMBS = 24 + 1 + 2  # channels: limbs of BODY_25, the face, two hands
FACES = {"generator": 91_145_502, "discriminator": 5_593_922}  # published, with one channel of labels
STREETS = {"embedder": 12_583_712, "blocks": 83_072_800, "image": 896 + 12_362_720 - 130_368, "residual": 92_299_264}
WARPED, LAST = 14_141_504, 867  # published for both: the embedder of the warped frame, the last layer


def conv(inputs: int, outputs: int, kernel: int = 3, norm: int = 2) -> int:
    """Return the parameters of a convolution with a bias and, behind it, a norm with scale and shift."""
    return kernel**2 * inputs * outputs + (1 + norm) * outputs


def flow_network(labels: int, frames: int) -> int:
    """Return the parameters of a flow network that halves three times and has six residual blocks."""
    widths = [32, 64, 128, 256]
    down = sum(conv(a, b) for a, b in pairwise(widths))
    up = sum(conv(b, a) for a, b in pairwise(widths))
    heads = conv(32, 2, norm=0) + conv(32, 1, norm=0)
    return conv(labels, 32) + conv(frames, 32) + 2 * down + 12 * conv(256, 256) + up + heads


def region() -> int:
    """Return the parameters of a network for a region: 32 to 256 channels in 4x4 convolutions, and a head."""
    return sum(conv(a, b, 4) for a, b in pairwise([3, 32, 64, 128, 256])) + conv(256, 1, norm=0)


DANCING = sum(
    [
        STREETS["embedder"] + 9 * 32 * (LIMBS - 35),
        9 * 1024 * LIMBS + 1024,  # the first layer, which sees the labels at the bottleneck
        *(STREETS["blocks"], STREETS["image"], STREETS["residual"]),
        flow_network(labels=3 * LIMBS, frames=2 * 3),
        *(WARPED, LAST),
    ]
)
# Five channels more: of the reference to its encoder (1x1), to the embedder, and of two labels to the flow network.
YOUTUBE = FACES["generator"] + 5 * 32 * (1 + 9 + 2 * 9)

EXPECTED = {
    "dancing": (DANCING, FACES["discriminator"] + 2 * 16 * 32 * (LIMBS + 3 - 8) + 2 * region()),
    "youtube-dancing": (YOUTUBE, FACES["discriminator"] + 2 * 16 * 32 * 2 * 5 + region()),
}


@pytest.mark.parametrize("name", EXPECTED)
def test_networks_have_as_many_parameters_as_their_published_shapes_say(name: str) -> None:
    config = resolve_config(TrainConfig, read_preset(name).document, (), name)
    counts = count_networks(config, spec_of_kinds(config.labels, label_infos(config.data.labels)))  # type: ignore[union-attr]
    assert (counts.generator, counts.discriminator) == EXPECTED[name]


def test_the_two_totals_are_what_the_readme_says() -> None:
    assert EXPECTED == {"dancing": (222_856_742, 7_003_268), "youtube-dancing": (91_149_982, 6_297_571)}


def test_regions_need_keypoints() -> None:
    document = {"discriminator": {"regions": [{"region": "hand"}]}}
    with pytest.raises(ConfigError, match="a hand is found by keypoints, nobody knows"):
        resolve_config(TrainConfig, document, (), "here")


def test_the_labels_of_the_paper_are_six_channels() -> None:
    words = ('data.labels=[{kind="densepose"}, {kind="keypoints"}]',)
    config = resolve_config(TrainConfig, read_preset("dancing").document, words, "dancing")
    spec = spec_of_kinds(config.labels, label_infos(config.data.labels))  # type: ignore[union-attr]
    assert [kind.channels for kind in spec.kinds if isinstance(kind, nets.FloatMap)] == [3, 3]
