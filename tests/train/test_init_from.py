"""Runs that begin from a model, by the real command: what they say, what they write, and how they go on."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from vs_runtime import load_checkpoint
from vs_synthesis import read_trained, write_model
from vs_train.cli import main

SMALL = (
    *("data.height=32", "data.width=64", "data.sequence_length=4", "data.val_sequences=1", "curriculum.max_length=2"),
    *("curriculum.initial_length=1", "generator.levels=3", "generator.image_downsamples=2", "generator.filters=4"),
    *("generator.max_filters=8", "generator.embedder.filters=4", "generator.embedder.max_filters=8"),
    *("generator.embedder.downsamples=3", "generator.flow.filters=4", "generator.flow.max_filters=8"),
    *("generator.flow.downsamples=3", "generator.flow.residual_blocks=1", "generator.combination.kind=linear"),
    *("discriminator.image.filters=4", "discriminator.image.layers=2", "discriminator.image.scales=1"),
    *("discriminator.temporal=none", "objective.perceptual.kind=none", "precision.level=O0"),
    *("loader.workers=0", "loader.batch_size=1", "run.steps=2", "run.checkpoint_every=1", "run.sample_every=2"),
    *("run.sample_frames=2", "run.keep_checkpoints=9"),
)


def train(*arguments: str) -> int:
    return main(["vid2vid", "--preset", "street-tiny", *SMALL, *arguments])


def weights(run: Path, step: int, network: str = "generator") -> dict[str, torch.Tensor]:
    state = load_checkpoint(run / "checkpoints" / f"step-{step:08d}").state
    return dict(state[network])


@pytest.fixture(scope="module")
def origin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two steps."""
    run = tmp_path_factory.mktemp("origin") / "first"
    assert train("--out", str(run)) == 0
    return run


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("kind", ["run", "model"])
def test_a_run_begins_with_the_weights_of_a_run_or_of_a_model(
    kind: str, origin: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = origin
    if kind == "model":
        source = tmp_path / "model"
        write_model(source, read_trained(origin, training=True))
    run = tmp_path / "run"
    assert train("--out", str(run), f"init.from={source}", "init.strict=true", "run.steps=1") == 0
    told = capsys.readouterr().err
    assert f"tensors from {source} (trained weights)\n" in told
    assert "init.json of the run names every tensor" in told
    for network in ("generator", "discriminator"):
        assert same(weights(run, 0, network), weights(origin, 2, network))
    report = json.loads((run / "init.json").read_text())
    assert report["networks"]["generator"]["resized"] == report["networks"]["generator"]["left"] == {}
    assert f'from = "{source}"' in (run / "config.toml").read_text()


def test_a_model_as_it_ships_gives_its_average_and_leaves_the_discriminator_fresh(
    origin: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """In half precision, and without what training goes on from."""
    model, run = tmp_path / "models" / "street", tmp_path / "run"
    average = read_trained(origin)
    write_model(model, average, dtype=torch.float16)
    assert train("--out", str(run), f"init.from={model}", "run.steps=1") == 0
    told = capsys.readouterr().err
    assert f"tensors from {model} (averaged weights)\n" in told
    assert f"discriminator: fresh weights, since {model} has none for it\n" in told
    begun = weights(run, 0)
    assert all(torch.equal(begun[name], tensor.half().float()) for name, tensor in average.generator.items())


def test_it_goes_on_without_the_model_exactly_as_if_nothing_had_happened(origin: Path, tmp_path: Path) -> None:
    model = tmp_path / "model"
    shutil.copytree(origin, model)
    through, stopped = tmp_path / "through", tmp_path / "stopped"
    assert train("--out", str(through), f"init.from={model}") == 0
    assert train("--out", str(stopped), f"init.from={model}") == 0
    for step in (1, 2):  # killed after its beginning had been saved
        shutil.rmtree(stopped / "checkpoints" / f"step-{step:08d}")
    (stopped / "metrics.jsonl").unlink()
    shutil.rmtree(model)
    assert main(["vid2vid", "--resume", str(stopped)]) == 0
    assert same(weights(through, 2), weights(stopped, 2))
    provenance = read_trained(stopped).provenance
    assert provenance["begun_from"] == "model"
    assert str(tmp_path) not in json.dumps(read_trained(stopped).settings)


def test_other_classes_size_and_width_take_what_fits(
    origin: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    other = ("labels.dont_care=true", "data.height=48", "data.width=48", "generator.max_filters=6", "run.steps=1")
    assert train("--out", str(run), f"init.from={origin}", *other) == 0
    told = capsys.readouterr().err
    assert "resized: embed_label.first.weight (35 of 36 input channels)" in told
    assert "left fresh: " in told
    new, old = weights(run, 0), weights(origin, 2)
    assert torch.equal(new["embed_label.first.weight"][:, :35], old["embed_label.first.weight"])


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["init.from=nowhere"], "error: init.from: nowhere: there is no such directory"),
        (["init.from=."], "error: init.from: .: not a run: it has no config.toml"),
        (["init.from="], "error: command line: init.from: expected a path that is not empty, got ''"),
        (["init.form=x"], "error: command line: init.form: unknown key; did you mean 'from'?"),
        (["init.parts=all", "init.from=3"], "error: command line: init.from: expected the path of a file or folder"),
        (["init.parts=flow"], "error: command line: init.parts: expected one of 'all', 'generator', 'discriminator'"),
    ],
)
def test_wrong_input_is_one_line_and_writes_nothing(
    overrides: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert train("--out", "run", *overrides) == 2
    assert capsys.readouterr().err.splitlines()[-1].startswith(message)
    assert list(tmp_path.iterdir()) == []


def test_what_does_not_fit_is_refused_before_anything_is_written(
    origin: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    assert train("--out", str(out), f"init.from={origin}", "init.strict=true", "labels.dont_care=true") == 2
    line = capsys.readouterr().err.splitlines()[-1]
    assert line.startswith("error: init.strict: not everything is taken as it is; generator: taken ")
    damaged = tmp_path / "damaged"
    shutil.copytree(origin, damaged)
    for file in (damaged / "checkpoints").rglob("*.safetensors"):
        file.write_bytes(file.read_bytes()[:-8])
    assert train("--out", str(out), f"init.from={damaged}") == 2
    assert "has no checkpoint that can be read" in capsys.readouterr().err.splitlines()[-1]
    assert not out.exists()


def test_resuming_takes_no_other_model(origin: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["vid2vid", "--resume", str(origin), "init.from=elsewhere"]) == 2
    assert "init.from: would change what is computed" in capsys.readouterr().err
