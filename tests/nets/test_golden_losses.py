"""Losses and their gradients against reference tensors."""

import attrs
import pytest
import torch
import vs_nets as nets
import vs_ops
from imaginaire_weights import generator_weight_name
from reference import Case, build_discriminator, build_generator, build_vgg, encoded_labels, load_case
from torch import Tensor

pytestmark = pytest.mark.usefixtures("every_implementation")

WEIGHTS = nets.ObjectiveConfig()


def close(actual: Tensor, expected: Tensor, rtol: float = 1e-5, atol: float = 1e-7) -> None:
    torch.testing.assert_close(actual.squeeze(), expected.squeeze(), rtol=rtol, atol=atol)


def close_in_norm(actual: Tensor, expected: Tensor, bound: float = 1e-4) -> None:
    assert ((actual - expected).norm() / expected.norm()).item() <= bound


def outputs(case: Case, fake: Tensor) -> dict[str, nets.RealFakeOutputs]:
    discriminator = build_discriminator(case).eval()
    config = discriminator.config
    assert config.temporal is not None
    label = nets.pyramid(encoded_labels(case)[2], config.image.scales)
    real = nets.pyramid(case["in.real"][:, 2], config.image.scales)
    windows = [
        nets.temporal_window([*case[name][:, :2].unbind(1), last], config.temporal, 0)
        for name, last in (("in.real", case["in.real"][:, 2]), ("in.fake", fake))
    ]
    pyramids = [nets.pyramid(w, config.temporal.patch.scales) for w in windows if w is not None]
    return {
        "indv": nets.discriminate_both(discriminator.image, label, real, [nets.pyramid(fake, config.image.scales)])[0],
        "temporal_0": nets.discriminate_both(discriminator.temporal[0], None, pyramids[0], pyramids[1:])[0],
    }


@pytest.mark.parametrize("place", ["indv", "temporal_0"])
def test_hinge_and_feature_matching(place: str) -> None:
    case = load_case("c_losses")
    fake = case["in.fake"][:, 2].clone().requires_grad_()
    output = outputs(case, fake)[place]
    synthesis = nets.Synthesis(frame=fake)
    both = nets.FrameOutputs(image=output)
    d_loss = nets.discriminator_losses(both, WEIGHTS)["gan"]
    close(d_loss.value, case[f"out.{place}.hinge_D_real"] + case[f"out.{place}.hinge_D_fake"])
    losses = nets.generator_losses(synthesis, nets.Target(frame=case["in.real"][:, 2]), both, WEIGHTS)
    for ours, theirs in (("gan", "hinge_G"), ("feature_matching", "feature_matching")):
        close(losses[ours].value, case[f"out.{place}.{theirs}"])
        (grad,) = torch.autograd.grad(losses[ours].value, fake, retain_graph=True)
        close_in_norm(grad, case[f"grad.{place}.{theirs}.wrt.fake_image"])


def test_pixels_are_compared_only_where_that_is_wanted() -> None:
    case = load_case("c_losses")
    fake, real = case["in.fake"][:, 2].clone().requires_grad_(), case["in.real"][:, 2]
    both = nets.FrameOutputs(image=outputs(case, fake)["indv"])
    given = nets.Synthesis(frame=fake), nets.Target(frame=real), both
    losses = nets.generator_losses(*given, nets.ObjectiveConfig(pixel=3.0))
    assert losses.keys() - nets.generator_losses(*given, WEIGHTS).keys() == {"pixel"}
    assert losses["pixel"].weight == 3.0
    close(losses["pixel"].value, torch.nn.functional.l1_loss(fake, real))


def test_a_video_is_consistent_that_moves_as_the_teacher_says() -> None:
    case = load_case("c_losses")
    previous = torch.rand(2, 3, *case["in.fake"].shape[-2:], generator=torch.Generator().manual_seed(0)) * 2 - 1
    moved = previous.roll(3, dims=-1)  # three pixels to the right, so each came from three pixels to its left
    confidence = torch.ones_like(previous[:, :1])
    confidence[..., :3] = 0.0  # what came in from outside
    flow = torch.zeros_like(previous[:, :2])
    flow[:, 0] = -3.0
    both = nets.FrameOutputs(image=outputs(case, moved)["indv"])

    def consistency(frame: Tensor, previous: Tensor | None) -> nets.Loss | None:
        target = nets.Target(frame=previous if previous is not None else frame, previous=previous)
        target = attrs.evolve(target, flow=flow, flow_confidence=confidence)
        config = nets.ObjectiveConfig(consistency=5.0)
        return nets.generator_losses(nets.Synthesis(frame=frame), target, both, config).get("consistency")

    assert consistency(moved, None) is None, "the first frame has none before it"
    exact, brighter = consistency(moved, previous), consistency(moved + 0.25, previous)
    assert exact is not None
    assert brighter is not None
    close(exact.value, torch.tensor(0.0), atol=1e-6)
    close(brighter.value, 0.25 * confidence.mean(), rtol=1e-4)
    assert brighter.weight == 5.0


@pytest.mark.parametrize("scales", [1, 2])
def test_perceptual(scales: int) -> None:
    case = load_case("c_losses")
    perceptual = build_vgg(case, scales)
    fake = case["in.fake"][:, 2].clone().requires_grad_()
    loss = perceptual(fake, perceptual.features(case["in.real"][:, 2]))
    close(loss, case[f"out.perceptual_scales{scales}"])
    (grad,) = torch.autograd.grad(loss, fake)
    close_in_norm(grad, case[f"grad.perceptual_scales{scales}.wrt.fake_image"])


def test_flow_losses() -> None:
    case = load_case("c_losses")
    flow = case["in.flow"].clone().requires_grad_()
    mask = case["in.mask"].clone().requires_grad_()
    warped = vs_ops.warp(case["in.real"][:, 1], flow)
    close(warped, case["out.warped"], atol=2e-5)
    warped = warped + (case["out.warped"] - warped).detach()  # the same side of the kink of |warped - real|
    synthesis = nets.Synthesis(frame=case["in.fake"][:, 2], flow=flow, mask=mask, warped=warped)
    target = nets.Target(frame=case["in.real"][:, 2], flow=case["in.flow_gt"], flow_confidence=case["in.conf_gt"])
    losses = nets.flow_losses(synthesis, target, WEIGHTS)
    for ours, theirs, inputs in (
        ("flow", "flow_L1", {"flow": flow}),
        ("flow_warp", "flow_warp", {"flow": flow, "warped": warped}),
        ("flow_mask", "flow_mask", {"flow": flow, "warped": warped, "mask": mask}),
    ):
        close(losses[ours].value, case[f"out.{theirs}"])
        for name, tensor in inputs.items():
            (grad,) = torch.autograd.grad(losses[ours].value, tensor, retain_graph=True)
            close_in_norm(grad, case[f"grad.{theirs}.wrt.{name}"])


def test_gradient_of_every_generator_parameter(every_implementation: str) -> None:
    case = load_case("e1_vid2vid_grads")
    generator, discriminator = build_generator(case).eval(), build_discriminator(case).eval()
    discriminator.requires_grad_(False)
    labels = encoded_labels(case)
    past = list(case["in.prev_images"].unbind(1))
    real = list(case["in.real"].unbind(1))
    synthesis = generator(labels[2], nets.History(labels=tuple(labels[:2]), frames=tuple(past)))
    config = discriminator.config
    assert config.temporal is not None
    scales = config.image.scales
    windows = [nets.temporal_window(f, config.temporal, 0) for f in (real, [*past, synthesis.frame])]
    (image,) = nets.discriminate_fake(
        discriminator.image,
        nets.pyramid(labels[2], scales),
        nets.pyramid(real[2], scales),
        [nets.pyramid(synthesis.frame, scales)],
    )
    over_time = [nets.pyramid(w, config.temporal.patch.scales) for w in windows if w is not None]
    (temporal,) = nets.discriminate_fake(discriminator.temporal[0], None, over_time[0], over_time[1:])
    output = nets.FrameOutputs(image=image, temporal=(temporal,))
    target = nets.Target(frame=real[2], flow=case["in.flow_gt"], flow_confidence=case["in.conf_gt"])
    losses = nets.generator_losses(synthesis, target, output, WEIGHTS, build_vgg(case, 1))
    names = {
        "gan": "GAN",
        "feature_matching": "FeatureMatching",
        "perceptual": "Perceptual",
        "flow": "Flow_L1",
        "flow_warp": "Flow_Warp",
        "flow_mask": "Flow_Mask",
        "temporal_gan_0": "GAN_T0",
        "temporal_feature_matching_0": "FeatureMatching_T0",
    }
    assert set(losses) == set(names)
    for ours, theirs in names.items():
        close(losses[ours].value, case[f"loss.{theirs}"])
    total = nets.total(losses)
    close(total, case["loss.total"])
    total.backward()
    compare_gradients(case, generator, slack=1e-2)


def compare_gradients(case: Case, generator: nets.Generator, *, slack: float) -> None:
    """Every gradient near the expected one; `slack` is the relative error that is allowed at least.

    One pre-activation of the case is 8.5e-8 from zero: the order in which an implementation adds up, which the number
    of threads decides too, decides which slope of the ReLU it takes, and all gradients before it feel that.
    """
    floors = case.facts["grad_rel_l2_fp32_vs_fp64"]
    zero = set(case.facts["grad_zero_by_construction"])
    parameters = dict(generator.named_parameters())
    compared = 0
    for name, expected in case.under("grad.").items():
        if name in zero:
            continue
        grad = parameters[generator_weight_name(name)].grad
        assert grad is not None
        close_in_norm(grad, expected, max(1e-4, 3 * floors[name], slack))
        compared += 1
    assert compared > 100
