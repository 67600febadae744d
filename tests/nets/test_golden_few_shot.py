"""The few-shot networks compute what another implementation computed from the same weights."""

from collections.abc import Iterator

import pytest
import torch
import vs_nets as nets
from imaginaire_weights import few_shot_weight_name
from reference import Case, build_discriminator, build_few_shot_generator, load_case
from torch import Tensor
from vs_nets.layers import InstanceNorm2d
from vs_nets.references import few_shot_condition

pytestmark = pytest.mark.usefixtures("every_implementation")

FRAMES = 3


def close(actual: Tensor, expected: Tensor, atol: float) -> None:
    torch.testing.assert_close(actual, expected, atol=atol, rtol=0)


def close_warp(case: Case, t: int, index: int, warp: nets.Warp) -> None:
    close(warp.flow, case[f"out.t{t}.fake_flow_maps.{index}"], 2e-4)
    close(warp.mask, case[f"out.t{t}.fake_occlusion_masks.{index}"], 2e-5)
    close(warp.frame, case[f"out.t{t}.warped_images.{index}"], 2e-5)


def references_of(case: Case) -> nets.References:
    return nets.References(frames=case["in.few_shot_images"], labels=case["in.few_shot_label"])


def steps(case: Case) -> Iterator[tuple[int, Tensor, nets.History]]:
    """Frame numbers with their labels and what the other implementation had generated before."""
    history = nets.History()
    for t in range(FRAMES):
        label = case["in.label"][:, t]
        yield t, label, history
        history = nets.remember(history, label, case[f"out.t{t}.fake_images"], 1)


def test_generator(device: torch.device) -> None:
    case = load_case("d1_fs_k1", device)
    generator = build_few_shot_generator(case).eval().to(device)
    with torch.no_grad():
        subject = generator.encode_references(references_of(case))
        for t, label, history in steps(case):
            synthesis = generator(label, history, subject)
            close(synthesis.frame, case[f"out.t{t}.fake_images"], 2e-5)
            assert synthesis.raw is not None
            close(synthesis.raw, case[f"out.t{t}.fake_raw_images"], 2e-5)
            assert synthesis.reference is not None
            close_warp(case, t, 0, synthesis.reference)
            assert (synthesis.flow is None) == (t == 0)
            if synthesis.flow is not None and synthesis.mask is not None and synthesis.warped is not None:
                close_warp(case, t, 1, nets.Warp(flow=synthesis.flow, mask=synthesis.mask, frame=synthesis.warped))


def test_generated_weights() -> None:
    case = load_case("d1_fs_k1")
    generator = build_few_shot_generator(case).eval()
    with torch.no_grad():
        subject = generator.encode_references(references_of(case))
        assert isinstance(subject, nets.SeparateSubject)
        close(subject.generated.start, case["mid.t0.x"], 2e-5)
        maps = generator.embed_label(case["in.label"][:, 0], subject.generated.embedder)
    assert len(subject.generated.blocks) == len(subject.generated.embedder) == 3
    for level, (block, conv) in enumerate(zip(subject.generated.blocks, subject.generated.embedder, strict=True)):
        close(conv.weight, case[f"mid.t0.embedding_weights.{level}.weight"], 2e-5)
        close(conv.bias, case[f"mid.t0.embedding_weights.{level}.bias"], 2e-5)
        for name, norm in (("0", block.norm_0), ("1", block.norm_1), ("s", block.norm_s)):
            assert norm is not None
            close(norm.weight, case[f"mid.t0.norm_weights.{level}.{name}.weight"], 2e-5)
            close(norm.bias, case[f"mid.t0.norm_weights.{level}.{name}.bias"], 2e-5)
    for level, m in enumerate(maps):
        close(m, case[f"mid.t0.encoded_label.{level}"], 2e-5)


@pytest.mark.parametrize("t", [0, 1])
def test_discriminator(t: int) -> None:
    case = load_case("d1_fs_k1")
    discriminator = build_discriminator(case).eval()
    scales = discriminator.config.image.scales
    condition = few_shot_condition(case["in.label"][:, t], references_of(case), torch.zeros(2, dtype=torch.int64))
    real = nets.pyramid(case["in.images"][:, t], scales)
    fakes = [nets.pyramid(case[f"out.t{t}.{name}"], scales) for name in ("fake_images", "fake_raw_images")]
    outputs = nets.discriminate_both(discriminator.image, nets.pyramid(condition, scales), real, fakes)
    for kind, output in zip(("indv", "raw"), outputs, strict=True):
        for scale in range(scales):
            close(output.real.logits[scale], case[f"D.out.t{t}.{kind}.pred_real.output.{scale}"], 2e-5)
            close(output.fake.logits[scale], case[f"D.out.t{t}.{kind}.pred_fake.output.{scale}"], 2e-5)


def test_eps_stands_where_the_reference_has_it() -> None:
    case = load_case("d1_fs_k1")
    generator = build_few_shot_generator(case)
    published = {f"{name}.weight" for name in case.facts["norm_eps"]["0.1"]}
    wanted = {few_shot_weight_name(name).removesuffix(".weight") for name in published}
    found = {name for name, m in generator.named_modules() if isinstance(m, InstanceNorm2d) and m.eps == 0.1}
    assert found == wanted
