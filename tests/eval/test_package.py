"""`package`: a run becomes a model directory with a card, which says what is known and nothing of this machine."""

import json
import re
import shlex

import attrs
import pytest
import torch
from toy_runs import FEW_SHOT, STREET, make_run
from vs_data import SegMapsConfig
from vs_eval.package import scores_of
from vs_runtime import load_latest
from vs_synthesis import load_model, model_card, read_model, read_run, write_model

CONFIGS = {"vid2vid": STREET, "few-shot": FEW_SHOT}


def test_the_newest_run_becomes_a_model_with_the_scores_of_its_checkpoint(run_command, tmp_path):
    make_run(tmp_path / "runs" / "one", STREET)
    assert run_command("vid2vid", "--clips", "1", "--frames", "2", "--device", "cpu")[0] == 0
    status, out, err = run_command("package")
    assert (status, err) == (0, "")
    model = tmp_path / "runs" / "one-model"
    for file in model.iterdir():
        assert f"runs/one-model/{file.name}  {file.stat().st_size:,} bytes" in out
    report = json.loads((tmp_path / "runs/one/eval/step-00000003/report.json").read_text())
    (metrics,) = read_model(model).provenance["metrics"]
    assert (metrics["clips"], metrics["frames"], metrics["command"]) == (1, 2, report["command"])
    assert metrics["scores"]["psnr"] == {
        "value": report["scores"]["psnr/generated"]["value"],
        "unit": report["scores"]["psnr/generated"]["unit"],
        "beside": {"mean colour of each class": report["scores"]["psnr/class_mean"]["value"]},
    }
    (change,) = metrics["scores"]["warping"]["beside"].keys() - {"mean colour of each class"}
    assert change == "real video"
    assert not [name for name in metrics["scores"] if "real" in name or "class_mean" in name]
    card = (model / "README.md").read_text()
    assert f"| psnr | {metrics['scores']['psnr']['value']:.4g} | dB | mean colour of each class " in card
    assert str(tmp_path) not in card + (model / "model.json").read_text()


@pytest.mark.parametrize("kind", CONFIGS)
def test_what_the_card_says_to_do_works(kind, run_command, tmp_path):
    make_run(tmp_path / "run", CONFIGS[kind])
    assert run_command("package", "run", "--out", "a model")[0] == 0
    card = (tmp_path / "a model" / "README.md").read_text()
    (example,) = re.findall(r"```python\n(.*?)```", card, re.DOTALL)
    made: dict = {}
    exec(example, made)
    assert made["frame"].shape == (3, CONFIGS[kind].data.height, CONFIGS[kind].data.width)
    command = shlex.split(next(line for line in card.splitlines() if "eval:synthesize" in line))
    assert run_command("synthesize", *command[3:], "--frames", "2", "--out", "x.mp4", "--device", "cpu")[0] == 0


def test_a_model_is_written_again_in_half_the_bits_and_without_training_weights(run_command, tmp_path):
    make_run(tmp_path / "run", STREET)
    assert run_command("package", "run", "--out", "wide")[0] == 0
    assert run_command("package", "wide", "--out", "narrow", "--dtype", "bfloat16", "--no-training")[0] == 0
    wide, narrow = read_model(tmp_path / "wide"), read_model(tmp_path / "narrow")
    assert not (tmp_path / "narrow" / "training.safetensors").exists()
    assert narrow.generator.keys() == wide.generator.keys()
    assert all(torch.equal(narrow.generator[name], wide.generator[name].bfloat16()) for name in wide.generator)
    assert narrow.provenance == wide.provenance
    numbers = sum(tensor.numel() for tensor in load_model(tmp_path / "run").generator.state_dict().values())
    assert f"| parameters of the generator | {numbers:,} |" in (tmp_path / "narrow" / "README.md").read_text()


def test_weights_that_float16_does_not_hold_are_refused_and_nothing_is_left(run_command, tmp_path, everything_below):
    run = make_run(tmp_path / "run", STREET)
    average = load_latest(run.checkpoints).state["average"]
    make_run(tmp_path / "large", STREET, average={name: tensor + 1e5 for name, tensor in average.items()})
    before = everything_below(tmp_path)
    status, _, err = run_command("package", "large", "--dtype", "float16")
    assert (status, err.count("\n")) == (2, 1)
    assert "has values that float16 does not hold; choose another --dtype" in err
    assert everything_below(tmp_path) == before


@pytest.mark.parametrize("text", ["{", "[]", "3", "null", '{"scores": {}, "clips": []}', '{"sections": [1, {}]}'])
def test_a_damaged_report_is_said_and_left_out(text, run_command, tmp_path):
    run = make_run(tmp_path / "run", STREET)
    report = run.path / "eval" / "step-00000003" / "report.json"
    report.parent.mkdir(parents=True)
    report.write_text(text)
    status, _, err = run_command("package", "run", "--no-training")
    assert (status, err.count("\n")) == (0, 1)
    assert err.startswith("warning: run/eval/step-00000003/report.json ")
    assert "metrics" not in read_model(tmp_path / "run-model").provenance


def test_scores_of_a_few_shot_report_are_those_of_each_number_of_references():
    def section(name: str, count: int, value: float | None) -> dict:
        scores = {"psnr/generated": {"value": value, "unit": "dB"}, "psnr/repeated": {"value": 1.0, "unit": "dB"}}
        return {"name": name, "references": count, "scores": scores, "clips": [{"frames": 4}, {"frames": 3}]}

    sections = [section("references-1", 1, 20.0), section("references-3", 3, None), section("driving", 1, 9.0)]
    assert scores_of({"command": "c", "sections": sections}) == [
        {
            "command": "c",
            "clips": 2,
            "frames": 7,
            "references": 1,
            "scores": {"psnr": {"value": 20.0, "unit": "dB", "beside": {"reference repeated": 1.0}}},
        }
    ]


def test_text_from_outside_is_text_in_the_card(tmp_path):
    name = "<script>x</script> | [a](http://b) `c` \\"
    hostile = f"{name}\n# d"
    contents = read_run(make_run(tmp_path / "run", STREET).path)
    (kind,) = contents.config.labels
    names = tuple(name if index == 3 else f"n{index}" for index in range(kind.num_classes))
    config = attrs.evolve(contents.config, labels=(SegMapsConfig(folder="<b>", class_names=names),))
    provenance = {**contents.provenance, "preset": hostile, "data": [hostile], "metrics": [hostile]}
    card = model_card(attrs.evolve(contents, config=config, provenance=provenance), name=hostile, dtype=torch.float32)
    text, code = re.sub(r"(?m)^    .*$|```python(?s:.*?)\n```", "", card), re.findall("```", card)
    assert len(code) == 2
    assert not re.search(r"(?<!\\)<", text)
    assert not re.search(r"(?<!\\)\[", text)
    assert text.count("\n# ") == 0
    rows = [line for line in text.splitlines() if line.startswith("| 3 |")]
    assert [len(re.findall(r"(?<!\\)\|", row)) for row in rows] == [4]


def test_colours_in_the_card_are_those_of_the_labels_when_they_are_shown(tmp_path):
    contents = read_run(make_run(tmp_path / "run", STREET).path)
    write_model(tmp_path / "model", contents)
    palettes = json.loads((tmp_path / "model" / "model.json").read_text())["derived"]["palettes"]
    card = model_card(contents, name="model", dtype=torch.float32)
    names = contents.config.labels[0].class_names
    for index, (name, colour) in enumerate(zip(names, palettes["seg_maps"], strict=True)):
        assert f"| {index} | {name} | {colour} |" in card.splitlines()
