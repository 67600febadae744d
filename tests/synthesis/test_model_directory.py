"""Model directories: what is written is what is read, and nothing else is taken for one."""

import json
from pathlib import Path

import attrs
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file
from toy_models import CONFIGS, make_run
from toy_runs import STREET
from vs_runtime import PlaceError
from vs_runtime.run_directory import RunDirectoryError
from vs_synthesis import (
    ModelError,
    TrainingWeights,
    build_averaged,
    is_model,
    load_model,
    read_model,
    read_run,
    read_trained,
    training_config,
    write_model,
)


@pytest.fixture(scope="module", params=CONFIGS)
def run(request, tmp_path_factory) -> Path:
    return make_run(tmp_path_factory.mktemp("runs") / "run", CONFIGS[request.param])


def same(a, b) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def test_a_run_becomes_a_directory_and_is_read_again(run, tmp_path):
    contents = read_run(run)
    write_model(tmp_path / "model", contents, card="# A card\n")
    assert sorted(path.name for path in (tmp_path / "model").iterdir()) == [
        "README.md",
        "generator.safetensors",
        "model.json",
        "training.safetensors",
    ]
    again = read_model(tmp_path / "model", training=True)
    assert again.config == contents.config
    assert again.provenance == json.loads(json.dumps(contents.provenance))
    assert same(again.generator, contents.generator)
    assert same(again.training.generator, contents.training.generator)
    assert same(again.training.discriminator, contents.training.discriminator)
    assert read_model(tmp_path / "model").training is None


def test_the_configuration_of_the_training_comes_back_but_for_its_level(run, tmp_path):
    write_model(tmp_path / "model", read_run(run))
    config = next(config for config in CONFIGS.values() if config.generator.kind == read_run(run).config.kind)
    assert training_config(read_model(tmp_path / "model")) == config


def test_the_weights_of_the_file_are_the_average_without_spectral_norm(run, tmp_path):
    write_model(tmp_path / "model", attrs.evolve(read_run(run), training=None))
    written = load_file(tmp_path / "model" / "generator.safetensors")
    assert not [name for name in written if name.endswith((".u", ".v"))]
    assert same(written, dict(build_averaged(read_run(run)).state_dict()))
    assert not (tmp_path / "model" / "training.safetensors").exists()


def test_half_the_bits_are_half_the_bytes_and_training_weights_stay(run, tmp_path):
    contents = read_run(run)
    for dtype in (torch.float32, torch.bfloat16):
        write_model(tmp_path / str(dtype), contents, dtype=dtype)
    wide, narrow = (tmp_path / str(dtype) for dtype in (torch.float32, torch.bfloat16))
    sizes = [sum(t.nbytes for t in load_file(path / "generator.safetensors").values()) for path in (wide, narrow)]
    assert sizes[0] == 2 * sizes[1]
    for name, tensor in load_model(narrow, device="cpu").generator.state_dict().items():
        assert tensor.dtype is torch.float32
        assert torch.equal(tensor, contents.generator[name].bfloat16().float())
    assert (wide / "training.safetensors").read_bytes() == (narrow / "training.safetensors").read_bytes()


def test_what_a_format_does_not_hold_is_refused_by_name(run, tmp_path):
    contents = read_run(run)
    name = next(iter(contents.generator))
    large = {**contents.generator, name: torch.full_like(contents.generator[name], 1e5)}
    with pytest.raises(ModelError, match=f"{name} has values that float16 does not hold"):
        write_model(tmp_path / "model", attrs.evolve(contents, generator=large), dtype=torch.float16)
    assert list(tmp_path.iterdir()) == []


def test_the_words_of_model_json_are_those_that_readers_need(run, tmp_path):
    write_model(tmp_path / "model", read_run(run))
    document = json.loads((tmp_path / "model" / "model.json").read_text())
    config = read_run(run).config
    assert document["derived"]["stride"] == config.generator.stride
    assert document["derived"]["past_frames"] == config.generator.frames - 1
    assert document["derived"]["kind"] == config.kind
    assert {"preset", "steps", "revision"} <= document["provenance"].keys()
    assert document["provenance"]["steps"] == 3
    assert "kind" not in document
    text = json.dumps(document)
    assert "object at 0x" not in text
    assert str(run.parent) not in text
    assert str(tmp_path) not in text


def test_the_same_model_has_the_same_bytes(run, tmp_path):
    for name in ("one", "two"):
        write_model(tmp_path / name, read_run(run))
    for file in (tmp_path / "one").iterdir():
        assert file.read_bytes() == (tmp_path / "two" / file.name).read_bytes()


def altered(path: Path, change) -> None:
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))


def says_the_same(good: bytes, bad: bytes) -> bool:
    """JSON with other white space is the same document."""
    try:
        return json.loads(good) == json.loads(bad)
    except ValueError:
        return False


def written(tmp_path: Path, config=STREET) -> Path:
    write_model(tmp_path / "model", read_run(make_run(tmp_path / "run", config)))
    return tmp_path / "model"


def test_one_flipped_bit_anywhere_is_refused_in_one_line(tmp_path_factory):
    model = written(tmp_path_factory.mktemp("flips"))

    @given(data=st.data())
    def check(data):
        path = model / data.draw(st.sampled_from(["model.json", "generator.safetensors", "training.safetensors"]))
        good = path.read_bytes()
        position = data.draw(st.integers(0, 8 * len(good) - 1))
        bad = bytearray(good)
        bad[position // 8] ^= 1 << position % 8
        path.write_bytes(bytes(bad))
        try:
            if path.name == "model.json" and says_the_same(good, bytes(bad)):
                read_model(model, training=True)
            else:
                with pytest.raises(ModelError) as caught:
                    read_model(model, training=True)
                assert "\n" not in str(caught.value)
        finally:
            path.write_bytes(good)

    check()


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda m: (m / "model.json").unlink(), "neither|no such|not a run"),
        (lambda m: (m / "model.json").write_text("{}"), "not a model"),
        (lambda m: (m / "model.json").write_text("[1]"), "not a model"),
        (lambda m: (m / "model.json").write_text("{"), "not a model"),
        (
            lambda m: altered(m / "model.json", lambda d: d.update(model_format=2)),
            "this program reads 1; a newer version",
        ),
        (lambda m: altered(m / "model.json", lambda d: d.update(height=64)), "checksum does not hold"),
        (lambda m: (m / "generator.safetensors").unlink(), "cannot be read"),
        (lambda m: (m / "generator.safetensors").write_bytes(b"x"), "1 bytes instead of"),
    ],
)
def test_damaged_and_foreign_directories_are_refused_in_one_line(tmp_path, damage, words):
    model = written(tmp_path)
    damage(model)
    with pytest.raises((ModelError, RunDirectoryError), match=words) as caught:
        load_model(model)
    assert "\n" not in str(caught.value)


def test_weights_of_another_network_are_refused_before_anything_is_computed(tmp_path):
    contents = read_run(make_run(tmp_path / "run", STREET))
    other = attrs.evolve(contents.config, generator=attrs.evolve(contents.config.generator, filters=8))
    write_model(tmp_path / "model", attrs.evolve(contents, config=other))
    with pytest.raises(ModelError, match="weights do not fit the configuration"):
        load_model(tmp_path / "model")


def test_a_place_with_other_things_in_it_is_refused_and_a_model_there_replaced(tmp_path):
    contents = read_run(make_run(tmp_path / "run", STREET))
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "precious.txt").write_text("x")
    with pytest.raises(PlaceError, match="holds other files than a model"):
        write_model(tmp_path / "full", contents)
    write_model(tmp_path / "model", contents)
    write_model(tmp_path / "model", attrs.evolve(contents, training=TrainingWeights(generator={}, discriminator={})))
    assert is_model(tmp_path / "model")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["full", "model", "run"]


def test_a_run_is_read_wherever_a_model_is_and_a_model_has_no_checkpoints(tmp_path):
    model = written(tmp_path)
    assert same(read_trained(tmp_path / "run").generator, read_trained(model).generator)
    with pytest.raises(ModelError, match="this is a model, which has none"):
        read_trained(model, checkpoint=3)
    with pytest.raises(ModelError, match="there is none of step 7; there are: 3"):
        read_trained(tmp_path / "run", checkpoint=7)
    with pytest.raises(ModelError, match="no such directory"):
        read_trained(tmp_path / "nowhere")


def test_of_videos_that_are_named_for_a_model_all_is_held_out(run, tmp_path):
    contents = read_run(run)
    data = {"kind": "video", "height": 32, "width": 64, "val_seconds": 2.0, "labels": [{"kind": "edges"}]}
    known = attrs.evolve(contents, settings={**contents.settings, "data": data})
    config = training_config(known, data=tmp_path).data
    assert (config.kind, config.root, config.val_root) == ("video", str(tmp_path), str(tmp_path))
