"""The networks compute what another implementation computed from the same weights."""

import pytest
import torch
import vs_nets as nets
from imaginaire_weights import generator_weights
from reference import Case, build_discriminator, build_generator, encoded_labels, load_case
from torch import Tensor

pytestmark = pytest.mark.usefixtures("every_implementation")


def close(actual: Tensor, expected: Tensor, atol: float) -> None:
    torch.testing.assert_close(actual, expected, atol=atol, rtol=0)


def close_synthesis(case: Case, prefix: str, synthesis: nets.Synthesis) -> None:
    close(synthesis.frame, case[f"{prefix}.fake_images"], 5e-5)  # processors sum in different orders
    if f"{prefix}.fake_flow_maps" not in case.tensors:
        assert synthesis.flow is None
        return
    assert synthesis.flow is not None
    assert synthesis.mask is not None
    assert synthesis.warped is not None
    close(synthesis.flow, case[f"{prefix}.fake_flow_maps"], 2e-4)
    close(synthesis.mask, case[f"{prefix}.fake_occlusion_masks"], 2e-5)
    close(synthesis.warped, case[f"{prefix}.warped_images"], 5e-5)


def test_encoded_labels() -> None:
    case = load_case("a1_vid2vid_seg")
    for t, label in enumerate(encoded_labels(case)):
        assert torch.equal(label, case["in.label"][:, t])


def test_generator_in_evaluation(device: torch.device) -> None:
    case = load_case("a1_vid2vid_seg", device)
    generator = build_generator(case).eval().to(device)
    labels = encoded_labels(case)
    history = nets.History()
    for t, label in enumerate(labels):
        with torch.no_grad():
            close_synthesis(case, f"out.t{t}", generator(label, history))
        history = nets.remember(history, label, case[f"out.t{t}.fake_images"], 2)


def test_rollout_is_the_same_as_frame_by_frame() -> None:
    case = load_case("a1_vid2vid_seg")
    generator = build_generator(case).eval()
    with torch.inference_mode():
        for t, synthesis in enumerate(nets.rollout(generator, encoded_labels(case), past=2)):
            close(synthesis.frame, case[f"out.t{t}.fake_images"], 1e-4)  # errors of earlier frames add up


def test_generator_in_training_advances_power_iterations() -> None:
    case = load_case("a1_vid2vid_seg")
    generator = build_generator(case).train()
    labels = encoded_labels(case)
    history = nets.History(labels=tuple(labels[:2]), frames=(case["out.t0.fake_images"], case["out.t1.fake_images"]))
    with torch.no_grad():
        close_synthesis(case, "train.t2", generator(labels[2], history))
    expected = generator_weights(case.under("train.after.G."))
    assert expected
    state = generator.state_dict()
    for name, tensor in expected.items():
        close(state[name], tensor, 2e-5)


def expect_output(case: Case, prefix: str, output: nets.DiscriminatorOutput) -> None:
    for scale, logits in enumerate(output.logits):
        close(logits, case[f"{prefix}.output.{scale}"], 2e-5)
        for layer, features in enumerate(output.features[scale]):
            close(features, case[f"{prefix}.features.{scale}.{layer}"], 2e-5)


@pytest.mark.parametrize("t", [0, 6])
def test_image_discriminator(t: int) -> None:
    case = load_case("b_discriminator")
    discriminator = build_discriminator(case).eval()
    scales = discriminator.config.image.scales
    label = nets.pyramid(encoded_labels(case)[t], scales)
    real, fake = (nets.pyramid(case[f"in.{name}"][:, t], scales) for name in ("real", "fake"))
    for discriminate in (nets.discriminate_both, nets.discriminate_fake):
        (output,) = discriminate(discriminator.image, label, real, [fake])
        expect_output(case, f"out.t{t}.indv.pred_real", output.real)
        expect_output(case, f"out.t{t}.indv.pred_fake", output.fake)


@pytest.mark.parametrize(("t", "scale"), [(2, 0), (6, 0), (6, 1)])
def test_temporal_discriminator(t: int, scale: int) -> None:
    case = load_case("b_discriminator")
    discriminator = build_discriminator(case).eval()
    config = discriminator.config.temporal
    assert config is not None
    pyramids = []
    for name in ("real", "fake"):
        window = nets.temporal_window(list(case[f"in.{name}"][:, : t + 1].unbind(1)), config, scale)
        assert window is not None
        pyramids.append(nets.pyramid(window, config.patch.scales))
    (output,) = nets.discriminate_both(discriminator.temporal[scale], None, pyramids[0], pyramids[1:])
    expect_output(case, f"out.t{t}.temporal_{scale}.pred_real", output.real)
    expect_output(case, f"out.t{t}.temporal_{scale}.pred_fake", output.fake)


def test_temporal_discriminator_waits_for_its_frames() -> None:
    config = nets.TemporalConfig(time_scales=2)
    frames = [torch.zeros(1, 3, 4, 4)] * 6
    assert nets.temporal_window(frames, config, 1) is None
    assert nets.temporal_window(frames[:2], config, 0) is None
    assert nets.temporal_memory(config) == 6
