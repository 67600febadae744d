"""Every loss of the objective under autocast, from features whose sums 16 bits cannot hold."""

from collections.abc import Iterator

import pytest
import torch
import vs_nets as nets
from torch import Tensor, nn
from vs_nets.discriminator import DiscriminatorOutput, RealFakeOutputs
from vs_nets.objective import FrameOutputs, discriminator_losses, generator_losses, total
from vs_nets.perceptual import TAP_WEIGHTS, Perceptual

LOW = [torch.float16, torch.bfloat16]
SIZE = (32, 48)


def noise(seed: int, *shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


class Features(nn.Module):
    """In place of VGG-19: features of five layers that are large multiples of the image, in 16 bits."""

    def __init__(self, dtype: torch.dtype) -> None:
        super().__init__()
        self.dtype = dtype

    def normalise(self, image: Tensor) -> Tensor:
        return image

    def taps(self, x: Tensor) -> Iterator[Tensor]:
        return ((x * scale).to(self.dtype) for scale in (1e4, 5e3, 2e4, 1e4, 1e3))

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        return tuple(self.taps(x))


def output_of(seed: int, dtype: torch.dtype) -> DiscriminatorOutput:
    logits = (2e4 * noise(seed, 1, 1, *SIZE)).clamp(-6e4, 6e4).to(dtype)
    features = tuple((2e4 * noise(seed + i, 1, 4, *SIZE)).clamp(-6e4, 6e4).to(dtype) for i in (1, 2))
    return DiscriminatorOutput(logits=(logits,), features=(features,))


def frame_of(dtype: torch.dtype) -> tuple[nets.Synthesis, nets.Target, FrameOutputs]:
    """Everything that losses are made of: features and masks in 16 bits, flow and frames of any size."""
    outputs = [RealFakeOutputs(real=output_of(10 * i, dtype), fake=output_of(10 * i + 5, dtype)) for i in range(3)]
    synthesis = nets.Synthesis(
        frame=noise(1, 1, 3, *SIZE).tanh(),
        raw=noise(2, 1, 3, *SIZE).tanh(),
        flow=3e4 * noise(3, 1, 2, *SIZE),
        mask=noise(4, 1, 1, *SIZE).sigmoid().to(dtype),
        warped=noise(5, 1, 3, *SIZE).tanh().to(dtype),
    )
    confidence = torch.ones(1, 1, *SIZE)
    target = nets.Target(frame=noise(6, 1, 3, *SIZE).tanh(), flow=-synthesis.flow, flow_confidence=confidence)
    return synthesis, target, FrameOutputs(image=outputs[0], raw=outputs[1], temporal=(outputs[2],))


def l1(a: Tensor, b: Tensor) -> float:
    return float((a.double() - b.double()).abs().mean())


def expected(synthesis: nets.Synthesis, target: nets.Target, outputs: FrameOutputs, net: Features) -> dict[str, float]:
    """Every loss by its formula, in float64."""
    losses: dict[str, float] = {}
    named = {"": outputs.image, "_raw": outputs.raw, "_0": outputs.temporal[0]}
    for suffix, output in named.items():
        assert output is not None
        prefix = "temporal_" if suffix == "_0" else ""
        real, fake = (each.logits[0].double() for each in (output.real, output.fake))
        losses[f"d_{prefix}gan{suffix}"] = float((1 - real).relu().mean() + (1 + fake).relu().mean())
        losses[f"{prefix}gan{suffix}"] = float(-fake.mean())
        pairs = zip(output.fake.features[0], output.real.features[0], strict=True)
        losses[f"{prefix}feature_matching{suffix}"] = sum(l1(a, b) for a, b in pairs)
    for suffix, frame in (("", synthesis.frame), ("_raw", synthesis.raw)):
        assert frame is not None
        pairs = zip(TAP_WEIGHTS, net(frame), net(target.frame), strict=True)
        losses[f"perceptual{suffix}"] = sum(weight * l1(a, b) for weight, a, b in pairs)
    assert synthesis.flow is not None and target.flow is not None  # noqa: PT018
    assert synthesis.warped is not None and synthesis.mask is not None  # noqa: PT018
    warped, mask = synthesis.warped.double(), synthesis.mask.double()
    right = (1 - (warped - target.frame).abs().sum(1, keepdim=True)).clamp(0, 1)
    losses["flow"] = l1(synthesis.flow, target.flow)
    losses["flow_warp"] = l1(warped, target.frame)
    losses["flow_mask"] = float((mask * right).mean() + ((1 - mask) * (1 - right)).mean())
    return losses


@pytest.mark.parametrize("dtype", LOW, ids=str)
def test_every_loss_is_right_where_its_sums_leave_the_range_of_16_bits(dtype: torch.dtype) -> None:
    synthesis, target, outputs = frame_of(dtype)
    net = Features(dtype)
    wanted = expected(synthesis, target, outputs, net)
    config = nets.ObjectiveConfig()
    with torch.autocast("cpu", dtype):
        of_g = generator_losses(synthesis, target, outputs, config, Perceptual(net, 1))  # type: ignore[arg-type]
        of_d = discriminator_losses(outputs, config)
        weighted = total(of_g)
    found = {name: loss.value for name, loss in of_g.items()} | {f"d_{name}": loss.value for name, loss in of_d.items()}
    assert found.keys() == wanted.keys()
    assert {loss.dtype for loss in (*found.values(), weighted)} == {torch.float32}
    for name, value in wanted.items():
        assert float(found[name]) == pytest.approx(
            value, rel=1e-4, abs=1e-2 if name.endswith(("gan", "_raw", "_0")) else 0
        )
    exact = sum(loss.weight * wanted[name] for name, loss in of_g.items())
    assert float(weighted) == pytest.approx(exact, rel=1e-4)
    # In float16 even the mean of the features' distances, times its weight, is out of range.
    assert 10 * wanted["feature_matching"] > torch.finfo(torch.float16).max
