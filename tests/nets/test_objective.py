"""Losses of flows, warped frames and masks, worked out by hand."""

import attrs
import pytest
import torch
import vs_nets as nets
from torch import Tensor

H, W = 16, 32
WEIGHTS = nets.ObjectiveConfig()


def image(value: float, n: int = 2) -> Tensor:
    """Each of the three channels differs from zero by `value`."""
    return torch.full((n, 3, H, W), value)


def warp(flow: float, mask: float, frame: float) -> nets.Warp:
    return nets.Warp(flow=torch.full((2, 2, H, W), flow), mask=torch.full((2, 1, H, W), mask), frame=image(frame))


def synthesis(
    previous: nets.Warp | None, reference: nets.Warp | None, chosen: tuple[int, int] = (0, 0)
) -> nets.Synthesis:
    return nets.Synthesis(
        frame=image(0.0),
        flow=None if previous is None else previous.flow,
        mask=None if previous is None else previous.mask,
        warped=None if previous is None else previous.frame,
        reference=reference,
        chosen=None if reference is None else torch.tensor(chosen),
    )


def taught(flows: list[list[float]], confidences: list[list[float]] | None = None) -> dict[str, Tensor]:
    """The teacher's flow to each reference of each sample, constant over the picture."""
    flow = torch.tensor(flows)[:, :, None, None, None].expand(-1, -1, 2, H, W)
    confidence = torch.ones(2, len(flows[0])) if confidences is None else torch.tensor(confidences)
    return {
        "reference_flow": flow,
        "reference_confidence": confidence[:, :, None, None, None].expand(-1, -1, 1, H, W),
    }


PREVIOUS = {"flow": torch.full((2, 2, H, W), 1.5), "flow_confidence": torch.ones(2, 1, H, W)}


def values(losses: nets.Losses) -> dict[str, float]:
    assert all(loss.value.dtype == torch.float32 and loss.value.shape == () for loss in losses.values())
    return {name: pytest.approx(float(loss.value), abs=1e-6) for name, loss in losses.items()}


def test_without_any_flow_there_is_no_loss() -> None:
    assert nets.flow_losses(synthesis(None, None), nets.Target(frame=image(0.0)), WEIGHTS) == {}


def test_the_reference_alone() -> None:
    # Wrong by 0.1 in each channel: right by 1 - 0.3; the mask 0.25 is pulled to 0 by 0.7 and to 1 by 0.3.
    losses = nets.flow_losses(synthesis(None, warp(2.0, 0.25, 0.1)), nets.Target(frame=image(0.0)), WEIGHTS)
    assert values(losses) == {"flow_warp": 0.1, "flow_mask": 0.25 * 0.7 + 0.75 * 0.3}


def test_reference_and_previous_frame_are_summed() -> None:
    target = nets.Target(frame=image(0.0), **PREVIOUS, **taught([[3.0], [3.0]]))
    both = nets.flow_losses(synthesis(warp(2.0, 0.5, 0.2), warp(2.0, 0.25, 0.1)), target, WEIGHTS)
    mask = (0.25 * 0.7 + 0.75 * 0.3) + (0.5 * 0.4 + 0.5 * 0.6)
    assert values(both) == {"flow": 1.0 + 0.5, "flow_warp": 0.1 + 0.2, "flow_mask": mask}


def test_each_sample_is_taught_the_flow_of_its_chosen_reference() -> None:
    target = nets.Target(frame=image(0.0), **taught([[3.0, 5.0, 9.0], [3.0, 5.0, 9.0]]))
    flows = {
        chosen: float(nets.flow_losses(synthesis(None, warp(2.0, 0.0, 0.0), chosen), target, WEIGHTS)["flow"].value)
        for chosen in ((0, 0), (1, 0), (2, 1))
    }
    assert flows == {(0, 0): 1.0, (1, 0): (3.0 + 1.0) / 2, (2, 1): (7.0 + 3.0) / 2}


def test_confidence_is_that_of_the_chosen_reference() -> None:
    target = nets.Target(frame=image(0.0), **taught([[3.0, 5.0], [3.0, 5.0]], [[1.0, 0.5], [0.0, 1.0]]))
    first, second = (
        float(nets.flow_losses(synthesis(None, warp(2.0, 0.0, 0.0), chosen), target, WEIGHTS)["flow"].value)
        for chosen in ((0, 0), (1, 1))
    )
    assert first == (1.0 + 0.0) / 2
    assert second == (0.5 * 3.0 + 3.0) / 2


@pytest.mark.parametrize(
    ("teacher", "expected"),
    [({}, None), (PREVIOUS, 0.5), (taught([[3.0], [3.0]]), 1.0)],
    ids=["no teacher", "previous frame", "reference"],
)
def test_flows_are_taught_where_there_is_a_teacher(teacher: dict[str, Tensor], expected: float | None) -> None:
    target = nets.Target(frame=image(0.0), **teacher)
    losses = nets.flow_losses(synthesis(warp(2.0, 0.5, 0.2), warp(2.0, 0.25, 0.1)), target, WEIGHTS)
    assert (float(losses["flow"].value) if "flow" in losses else None) == expected
    assert {"flow_warp", "flow_mask"} <= set(losses)


def test_flow_counts_for_more_where_the_teacher_moves() -> None:
    flow, confidence = torch.zeros(2, 2, H, W), torch.ones(2, 1, H, W)
    flow[..., : W // 4] = 1.5  # a quarter of the picture moves, and half of that is trusted by half
    flow[..., W // 4 :] = 0.05  # the rest holds still, but for the teacher's noise
    confidence[..., : H // 2, : W // 4] = 0.5
    target = nets.Target(frame=image(0.0), flow=flow, flow_confidence=confidence)
    guess = synthesis(warp(0.0, 0.5, 0.2), None)
    for moving in (1.0, 16.0):
        config = nets.ObjectiveConfig(flow_moving=moving)
        found = nets.flow_losses(guess, target, config)["flow"]
        assert float(found.value) == pytest.approx(moving * 1.5 * 0.75 / 4 + 0.05 * 3 / 4, rel=1e-6)
        assert found.weight == config.flow


def test_the_sum_is_weighed_like_the_loss_of_one_warp() -> None:
    target = nets.Target(frame=image(0.0), **PREVIOUS)
    one, two = warp(2.0, 0.5, 0.2), warp(2.0, 0.25, 0.1)
    config = nets.ObjectiveConfig(flow=3.0)
    both = nets.flow_losses(synthesis(one, two), target, config)
    apart = [nets.flow_losses(synthesis(*warps), target, config) for warps in ((one, None), (None, two))]
    assert {loss.weight for loss in both.values()} == {3.0}
    torch.testing.assert_close(nets.total(both), sum(nets.total(each) for each in apart))


def test_gradients_reach_both_warps() -> None:
    target = nets.Target(frame=image(0.0), **PREVIOUS, **taught([[3.0], [3.0]]))
    warps = [warp(2.0, 0.5, 0.2), warp(2.0, 0.25, 0.1)]
    tensors = [x.requires_grad_() for w in warps for x in (w.flow, w.mask, w.frame)]
    nets.total(nets.flow_losses(synthesis(warps[0], warps[1]), target, WEIGHTS)).backward()
    assert all(x.grad is not None and bool((x.grad != 0).all()) for x in tensors)


def outputs(seed: int) -> nets.RealFakeOutputs:
    draw = torch.Generator().manual_seed(seed)
    one, other = (
        nets.DiscriminatorOutput(
            logits=(torch.randn(2, 1, 3, 4, generator=draw),), features=((torch.randn(2, 4, 3, 4, generator=draw),),)
        )
        for _ in range(2)
    )
    return nets.RealFakeOutputs(real=one, fake=other)


def test_every_loss_has_the_weight_of_what_it_measures() -> None:
    config = nets.ObjectiveConfig(gan=2.0, feature_matching=3.0, perceptual_weight=5.0, flow=7.0, temporal_gan=11.0)
    frame = nets.FrameOutputs(image=outputs(0), raw=outputs(1), temporal=(None, outputs(2)))
    made = attrs.evolve(synthesis(warp(2.0, 0.5, 0.2), warp(2.0, 0.25, 0.1)), frame=image(0.1), raw=image(0.2))
    target = nets.Target(frame=image(0.0), **PREVIOUS)
    perceptual = nets.build_perceptual(nets.RandomPerceptual(width_divisor=16))
    of_d = nets.discriminator_losses(frame, config)
    of_g = nets.generator_losses(made, target, frame, config, perceptual)
    gan = {"gan": 2.0, "gan_raw": 2.0, "temporal_gan_1": 11.0}
    assert {name: loss.weight for name, loss in of_d.items()} == gan
    assert {name: loss.weight for name, loss in of_g.items()} == gan | {
        "feature_matching": 3.0,
        "feature_matching_raw": 3.0,
        "temporal_feature_matching_1": 3.0,
        "perceptual": 5.0,
        "perceptual_raw": 5.0,
        "flow": 7.0,
        "flow_warp": 7.0,
        "flow_mask": 7.0,
    }
    weighed = sum(loss.weight * float(loss.value) for loss in of_g.values())
    assert float(nets.total(of_g)) == pytest.approx(weighed, rel=1e-5)
