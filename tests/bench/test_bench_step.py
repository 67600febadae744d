"""What of the benchmark of a training step can be wrong without being slow."""

import os

import pytest
import torch
import vs_nets as nets
import vs_ops
from vs_bench import harness, peak
from vs_bench.errors import VsBenchError
from vs_bench.step import cases, command, report, subject
from vs_config import resolve_config
from vs_ops.dispatch import select
from vs_training.config import TrainConfig


def test_the_baselines_are_those_of_the_published_code():
    street, face = (resolve_config(TrainConfig, document, (), name) for name, document in subject.BASELINES.items())
    assert (street.generator.filters, street.generator.max_filters, street.generator.levels) == (8, 128, 7)
    assert (street.generator.flow.downsamples, street.generator.flow.residual_blocks) == (5, 6)
    assert (street.data.height, street.data.width) == (128, 256)
    assert isinstance(face.generator, nets.FewShotGeneratorConfig)
    assert face.generator == nets.FewShotGeneratorConfig()
    assert (face.generator.filters, face.generator.max_filters, face.generator.weights.levels) == (32, 1024, 4)
    assert (face.data.height, face.data.width, face.loader.batch_size) == (128, 128, 1)
    assert (face.references.min, face.references.max) == (1, 1)
    patch = face.discriminator.image
    assert (patch.filters, patch.max_filters, patch.layers, patch.scales, patch.spectral_norm) == (64, 512, 3, 2, True)
    assert (face.objective.perceptual.width_divisor, face.objective.perceptual.scales) == (1, 3)


REFERENCE = cases.Variant(label="reference", impl="reference")


def chosen():
    return select(vs_ops.HINGE_G, torch.zeros(3), "auto").__name__


@pytest.mark.parametrize("shell", [None, "torchscript"])
def test_a_case_uses_its_implementation_and_leaves_the_shells_alone(monkeypatch, shell):
    if shell is None:
        monkeypatch.delenv("VS_OPS_IMPL", raising=False)
    else:
        monkeypatch.setenv("VS_OPS_IMPL", shell)
    before, seen = chosen(), []
    cases.using("reference", lambda: seen.append(chosen()))()
    cases.using("torchscript", lambda: seen.append(chosen()))()
    cases.using(None, lambda: seen.append(chosen()))()
    assert seen[:2] == ["hinge_g_reference", "hinge_g_torchscript"]
    monkeypatch.delenv("VS_OPS_IMPL", raising=False)
    assert seen[2] == chosen()
    if shell is not None:
        monkeypatch.setenv("VS_OPS_IMPL", shell)
    assert chosen() == before


def test_what_is_raised_within_leaves_the_environment_alone(monkeypatch):
    monkeypatch.delenv("VS_OPS_IMPL", raising=False)
    with pytest.raises(RuntimeError, match="stop"), cases.implementation("reference"):
        raise RuntimeError("stop")
    assert "VS_OPS_IMPL" not in os.environ


def test_gains_are_of_the_same_level():
    seconds = {"O0": 2.0, "O0 reference": 3.0, "O1": 1.0, "O1 reference": 1.8}
    cases = tuple(harness.Series(name=name, seconds=(value,) * 3) for name, value in seconds.items())
    unit = harness.Series(name="unit", seconds=(1.0,) * 3)
    result = harness.Result(unit=unit, cases=cases, threads=2, device="cpu")
    assert {level: gain["value"] for level, gain in report.gains_of(result, ("O0", "O1"), REFERENCE).items()} == {
        "O0": 1.5,
        "O1": 1.8,
    }


@pytest.mark.parametrize(
    ("baseline", "preset", "other", "name"),
    [
        ("street", None, None, "step-cpu"),
        ("face", None, None, "step-face-cpu"),
        ("street", "faces-tiny", None, "step-faces-tiny-cpu"),
        ("face", None, cases.variant_of("reference", ()), "step-face-impl-reference-cpu"),
        ("face", None, cases.variant_of(None, ("a.b=1", "c=2")), "step-face-compare-a.b-c-cpu"),
    ],
)
def test_every_kind_of_measurement_has_a_file_of_its_own(baseline, preset, other, name):
    compared = "" if other is None else other.file_part
    assert report.result_name(subject.subject_of(baseline, preset), compared, "cpu") == name


def test_a_variant_is_another_implementation_or_another_configuration_not_both():
    assert cases.variant_of(None, ()) is None
    assert cases.variant_of("reference", ()) == REFERENCE
    other = cases.variant_of(None, ("memory.channels_last=false",))
    assert (other.overrides, cases.case_name("O1", other)) == (
        ("memory.channels_last=false",),
        "O1 memory.channels_last=false",
    )
    with pytest.raises(VsBenchError, match="two comparisons"):
        cases.variant_of("reference", ("memory.channels_last=false",))


@pytest.mark.parametrize("options", [{"frames": 2}, {"overrides": ("seed=1",)}])
def test_what_documents_cite_is_the_whole_step_as_it_is(options):
    with pytest.raises(VsBenchError, match="no overrides, and 4 frames"):
        command.main(*options.pop("overrides", ()), store=True, **options)


def test_the_fraction_of_the_peak_is_of_the_same_level_and_of_the_best_round():
    seconds = {
        "O0": [2.0] * 3,
        "O1": [1.0] * 3,
        "O1 x": [4.0] * 3,
        "peak of O0": [2.0, 1.0, 3.0],
        "peak of O1": [0.5] * 3,
    }
    cases = tuple(harness.Series(name=name, seconds=tuple(each)) for name, each in seconds.items())
    result = harness.Result(unit=harness.Series(name="unit", seconds=(1.0,) * 3), cases=cases, threads=2, device="cpu")
    cpu = torch.device("cpu")
    one = peak.peak_flop(cpu)
    reached = report.fractions_of_peak(
        result, {"O0": one, "O1": one, "O1 x": one}, {"O0": "O0", "O1": "O1", "O1 x": "O1"}, cpu
    )
    assert {name: one["share_of_peak"] for name, one in reached.items()} == {"O0": 0.5, "O1": 0.5, "O1 x": 0.125}
    assert reached["O0"]["peak_flop_per_second"] == one


def test_the_flop_of_a_peak_are_what_is_counted_of_it():
    nowhere = torch.device("meta")
    case = peak.peak_case("peak", torch.float32, nowhere, lambda: None)
    assert peak.flop_of(case.run) == peak.peak_flop(nowhere) == 2 * 64 * 64 * 256 * 256 * 9


def test_an_implementation_that_nobody_has_is_refused_before_anything_is_built():
    with pytest.raises(VsBenchError, match="--impl: expected one of 'reference', 'native',"):
        command.main(impl="fast")
