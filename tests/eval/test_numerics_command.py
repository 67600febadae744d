"""`numerics` through the command line, on presets and on runs that were never trained."""

import datetime
import json
import math
from functools import partial
from pathlib import Path

import attrs
import cv2
import pytest
import torch
from toy_runs import FEW_SHOT, STREET, make_run
from vs_eval.numerics.audit import examine
from vs_eval.numerics.opening import NumericsRequest, open_audit
from vs_optim import Pair, ScaleState, ScalingState, scaling_to_dict

SCALE = ScaleState(scale=1024.0, good_steps=3)


@pytest.fixture
def run_main(run_command):
    return partial(run_command, "numerics", "--device", "cpu")


def read(directory: Path) -> dict:
    return json.loads((directory / "numerics.json").read_text())


def layer(found: dict, name: str) -> dict:
    return next(one for one in found["layers"] if one["name"] == name)


REQUEST = NumericsRequest(
    target=(),
    preset=None,
    out=None,
    checkpoint=None,
    device="cpu",
    dtype="float16",
    reference="auto",
    loss_scale=None,
    frames=1,
)
USUAL_EPS = "generator.weights.label_eps=1e-5"


def test_the_label_encoder_is_found_at_the_usual_eps_and_not_at_a_tenth(run_main, tmp_path) -> None:
    make_run(tmp_path / "run", FEW_SHOT)
    status, out, err = run_main("run", USUAL_EPS, "--frames", "1", "--out", "usual")
    assert (status, err) == (0, "")
    found = read(tmp_path / "usual")
    first = found["ranking"][0]
    assert first.startswith("generator.weights.encode_label.")
    assert layer(found, first)["cause"] == "cancellation"
    assert layer(found, first)["norm"]["eps"] == pytest.approx(1e-5)
    (proposal,) = (one for one in found["proposals"] if one["kind"] == "eps")
    assert proposal["where"]["generator.weights.encode_label"] == 0.1
    assert f"generator.weights.encode_label = {0.1}" in out
    after = proposal["after"]
    assert not any(name.startswith("generator.weights.encode_label.") for name in after["ranking"])
    assert after["totals"]["at_risk"] < found["totals"]["at_risk"]
    assert layer(after, first)["score"] < layer(found, first)["score"] - 2
    assert layer(after, first)["norm"]["amplification"]["most"] <= 1 / math.sqrt(0.1)

    assert run_main("run", "--frames", "1", "--out", "tenth")[0] == 0
    assert not any(name.startswith("generator.weights.encode_label.") for name in read(tmp_path / "tenth")["ranking"])


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_other_weights_have_the_same_weak_place(tmp_path, seed: int) -> None:
    run = make_run(tmp_path / "run", FEW_SHOT, seed)
    for target, found in (((str(run.path),), False), ((str(run.path), USUAL_EPS), True)):
        opened = open_audit(attrs.evolve(REQUEST, target=target), now=datetime.datetime.now())
        first = examine(opened.workload, opened.form)[1].ranked[0]
        name = first.layer.name
        assert (first.at_risk and name.startswith("generator.weights.encode_label.")) is found


def test_a_run_is_audited_with_all_of_its_networks(run_main, tmp_path, everything_below) -> None:
    scaling = scaling_to_dict(ScalingState(scales=Pair(generator=SCALE, discriminator=SCALE), enabled=True))
    run = make_run(tmp_path / "runs" / "one", STREET, scaling=scaling)
    before = everything_below(run.path)
    status, out, err = run_main("runs/one")
    assert (status, err) == (0, "")
    report = run.path / "eval" / "numerics-step-00000003-float16"
    assert str(report.relative_to(tmp_path) / "numerics.png") in out
    assert [name for name in everything_below(run.path) if not name.startswith("eval")] == before
    found = read(report)
    assert found["version"] == 1
    assert found["checkpoint"]["step"] == 3
    assert found["format"] == {
        "name": "float16",
        "largest": 65504.0,
        "smallest_normal": 2.0**-14,
        "smallest": 2.0**-24,
        "bits": 10,
    }
    assert found["reference"] == "float64"
    assert found["loss_scales"] == {"generator": 1024.0, "discriminator": 1024.0}
    assert found["clip"]["frames"] == 3
    assert found["environment"]["packages"]["torch"] == torch.__version__
    assert {one["network"] for one in found["layers"]} == {"generator", "discriminator", "perceptual"}
    names = [one["name"] for one in found["layers"]]
    assert {"generator.flow.flow_head", "discriminator.temporal.0.scales.0.head"} <= set(names)
    assert found["silent"] == []
    check_layers(found["layers"])
    picture = cv2.imread(str(report / "numerics.png"))
    assert min(picture.shape[:2]) > 300
    assert picture.std() > 10


def check_layers(layers: list[dict]) -> None:
    """What every layer of the JSON must hold."""
    for one in layers:
        assert one["score"] == max(one["scores"].values()) >= 0
        assert one["at_risk"] == (one["score"] >= 3)
        assert (one["cause"] is None) == (one["score"] == 0)
        for span in ("output", "input", "output_gradient", "input_gradient", "weight_gradient"):
            if (held := one[span]) is None:
                continue
            assert held["dtype"] in ("float16", "float32")
            counted = sum(held["exponents"].values()) + round(held["zeros"] * held["elements"])
            assert counted == held["elements"]
            assert all(0 <= held[share] <= 1 for share in ("over", "lost", "subnormal", "broken", "zeros"))
            assert held["largest"] >= held["rms"] >= 0
    norms = [one["norm"] for one in layers if one["norm"] is not None]
    assert {round(norm["eps"], 9) for norm in norms} == {1e-5}
    assert all(0 <= norm["below_eps"] <= 1 and norm["noise_gain"] > 0 for norm in norms)
    spades = [one for one in layers if one["kind"] == "Spade"]
    assert spades
    assert all(one["norm"] is not None for one in spades)


def test_bfloat16_a_given_loss_scale_and_float32_beside_it(run_main, tmp_path) -> None:
    make_run(tmp_path / "run", STREET)
    arguments = ("--dtype", "bfloat16", "--reference", "float32", "--loss-scale", "4", "--frames", "1")
    assert run_main("run", *arguments)[0] == 0
    found = read(tmp_path / "run" / "eval" / "numerics-step-00000003-bfloat16")
    assert (found["format"]["name"], found["reference"]) == ("bfloat16", "float32")
    assert found["loss_scales"] == {"generator": 4.0, "discriminator": 4.0}
    # One frame has no past: what looks at it takes no part, and is named.
    assert "discriminator.temporal.0.scales.0.head" in found["silent"]
    errors = [one["output"]["error"] for one in found["layers"] if one["output"] and one["output"]["error"]]
    assert max(errors) > 2.0**-9


def test_a_preset_has_fresh_weights_and_is_written_below_runs(run_main, tmp_path) -> None:
    small = [
        "data.width=64",
        "generator.filters=4",
        "generator.max_filters=16",
        "generator.embedder.max_filters=16",
        "discriminator.image.filters=4",
        "objective.perceptual.kind=none",
    ]
    status, out, _ = run_main("--preset", "street-tiny", *small, "--frames", "1", "--reference", "float32")
    assert status == 0
    (directory,) = (tmp_path / "runs").iterdir()
    assert directory.name.startswith("numerics-street-tiny-")
    found = read(directory)
    assert found["overrides"] == small
    assert found["checkpoint"] is None
    assert found["loss_scales"]["generator"] <= 2.0**16
    assert found["totals"]["gradients_broken"] == 0
    assert "preset street-tiny, fresh weights, float16 beside float32" in out


def test_the_same_audit_gives_the_same_figures(run_main, tmp_path) -> None:
    make_run(tmp_path / "run", STREET)
    for out in ("a", "b"):
        assert run_main("run", "--frames", "1", "--reference", "float32", "--out", out)[0] == 0
    assert (tmp_path / "a" / "numerics.json").read_text() == (tmp_path / "b" / "numerics.json").read_text()
    assert (tmp_path / "a" / "numerics.png").read_bytes() == (tmp_path / "b" / "numerics.png").read_bytes()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere"], "there is no such directory"),
        ([], "runs: there is no run here yet"),
        (["--preset", "street-tinny"], "there is no preset 'street-tinny'"),
        (["--preset", "street-tiny", "good"], "RUN: 'good': expected a run, a model or a --preset"),
        (["good", "other"], "RUN: 'other': expected a single run or model"),
        (["--preset", "street-tiny", "--checkpoint", "3"], "--checkpoint: a preset has none"),
        (["--preset", "street-tiny", "generator.filtres=4"], "generator.filtres"),
        (["good", "generator.filters=8"], "do not fit the configuration"),
        (["good", "--checkpoint", "4"], "--checkpoint: there is none of step 4; there are: 3"),
        (["good", "--frames", "0"], "--frames: expected a whole number from 1 to 1000000, got '0'"),
        (["good", "--frames", "9"], "--frames: 9 asked for, but the longest held-out sequence has 4"),
        (["good", "--loss-scale", "0"], "--loss-scale: expected a number from 1e-30 to 1e+30, got '0'"),
        (["good", "--loss-scale", "nan"], "--loss-scale: expected a number from 1e-30 to 1e+30, got 'nan'"),
        (["good", "--dtype", "float8"], "--dtype"),
        (["good", "--out", "foreign"], "holds other files than a report (no numerics.json)"),
        (["hollow"], "holds no discriminator"),
    ],
)
def test_wrong_input_is_one_line_and_status_2_and_leaves_nothing(
    run_main, tmp_path, arguments, message, everything_below
) -> None:
    make_run(tmp_path / "good", STREET)
    make_run(tmp_path / "hollow", STREET, discriminator=None)
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "thing.txt").write_text("mine")
    before = everything_below(tmp_path)
    status, _, err = run_main(*arguments)
    assert status == 2
    assert message in err
    assert err.startswith("error: ")
    assert len(err.splitlines()) == 1
    assert everything_below(tmp_path) == before


def test_the_help_says_what_it_does(run_main) -> None:
    status, out, _ = run_main("--help")
    assert status == 0
    assert "Find the layers that a low precision endangers" in " ".join(out.split())


def test_the_loss_scales_of_older_checkpoints_are_read_too(tmp_path) -> None:
    old = {"scale": 512.0, "good_steps": 3, "skipped_total": 1}
    run = make_run(tmp_path / "run", STREET, generator_scaler=old, discriminator_scaler={**old, "scale": 8.0})
    opened = open_audit(attrs.evolve(REQUEST, target=(str(run.path),)), now=datetime.datetime.now())
    assert opened.scales == {"generator": 512.0, "discriminator": 8.0}
