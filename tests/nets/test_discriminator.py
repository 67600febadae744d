"""What discriminators share between real and generated images, and what they must not."""

from collections.abc import Iterator

import pytest
import torch
import vs_nets as nets
from torch import Tensor

N, C, H, W = 2, 5, 32, 64


def build(spectral: bool = False) -> nets.Discriminator:
    patch = nets.PatchConfig(filters=4, max_filters=8, layers=2, scales=2, spectral_norm=spectral)
    return nets.build_discriminator(nets.DiscriminatorConfig(image=patch), label_channels=C)


def inputs() -> Iterator[nets.Pyramid]:
    for channels in (C, 3, 3):
        yield nets.pyramid(torch.randn(N, channels, H, W), 2)


def flat(output: nets.DiscriminatorOutput) -> list[Tensor]:
    return [*output.logits, *(x for scale in output.features for x in scale)]


def test_both_stacked_equal_each_alone() -> None:
    net = build().image
    label, real, fake = inputs()
    (output,) = nets.discriminate_both(net, label, real, [fake])
    for found, alone in ((output.real, net(label, real)), (output.fake, net(label, fake))):
        for a, b in zip(flat(found), flat(alone), strict=True):
            torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


def test_sharing_the_label_equals_concatenating_it() -> None:
    net = build().image
    label, real, _ = inputs()
    stacked = tuple(torch.cat(pair, dim=1) for pair in zip(label, real, strict=True))
    for a, b in zip(flat(net(label, real)), flat(net(None, stacked)), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("discriminate", [nets.discriminate_both, nets.discriminate_fake])
def test_spectral_norm_iterates_for_real_and_then_for_fake(discriminate: nets.Discriminate) -> None:
    net, twin = build(spectral=True).image, build(spectral=True).image
    twin.load_state_dict(net.state_dict())
    label, real, fake = inputs()
    (output,) = discriminate(net, label, real, [fake])
    expected_real, expected_fake = twin(label, real), twin(label, fake)
    for a, b in zip(flat(output.real) + flat(output.fake), flat(expected_real) + flat(expected_fake), strict=True):
        torch.testing.assert_close(a, b)
    state, twin_state = net.state_dict(), twin.state_dict()
    assert all(torch.equal(state[k], twin_state[k]) for k in state)


def test_real_images_carry_no_gradient_in_the_update_of_the_generator() -> None:
    net = build().image.requires_grad_(False)
    label, real, fake = inputs()
    leaf = fake[0].requires_grad_()
    (output,) = nets.discriminate_fake(net, label, real, [nets.pyramid(leaf, 2)])
    assert not any(x.requires_grad for x in flat(output.real))
    (grad,) = torch.autograd.grad(sum(x.sum() for x in output.fake.logits), leaf)
    assert grad.abs().sum() > 0


@pytest.mark.parametrize("discriminate", [nets.discriminate_both, nets.discriminate_fake])
def test_two_fakes_share_the_condition_and_the_real_image(discriminate: nets.Discriminate) -> None:
    net = build().image
    label, real, fake = inputs()
    raw = nets.pyramid(torch.randn(N, 3, H, W), 2)
    calls: list[int] = []
    for scale in net.scales:
        scale.convs[1].register_forward_hook(lambda _module, args, _result: calls.append(args[0].shape[0]))
    outputs = discriminate(net, label, real, [fake, raw])
    assert sum(calls) == 2 * 3 * N  # scales x (real, fake, raw): the real image once
    for output, images in zip(outputs, (fake, raw), strict=True):
        for a, b in zip(flat(output.real), flat(net(label, real)), strict=True):
            torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)
        for a, b in zip(flat(output.fake), flat(net(label, images)), strict=True):
            torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)
