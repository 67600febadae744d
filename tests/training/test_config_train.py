"""The real configuration and the presets, read, written and refused by the generic machinery."""

import tomllib
from pathlib import Path

import pytest
from config_classes import classes_below
from vs_config import ConfigError, load_config, render_config, resolve_config
from vs_config.schema import fields_of, tag_of
from vs_train.cli import main
from vs_training.config import ReferencesConfig, TrainConfig
from vs_training.presets import DEFAULT_PRESETS, list_presets, read_preset

PRESETS = [preset.name for preset in list_presets()]


def test_there_is_a_default_preset_and_all_say_what_they_are_for() -> None:
    assert all(read_preset(name).command == command for command, name in DEFAULT_PRESETS.items())
    for name in PRESETS:
        assert len(read_preset(name).summary) > 20


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_is_valid_and_the_same_after_being_written(name: str) -> None:
    config = resolve_config(TrainConfig, read_preset(name).document, [], name)
    written = render_config(config)
    assert load_config(TrainConfig, tomllib.loads(written)) == config
    assert render_config(load_config(TrainConfig, tomllib.loads(written))) == written


def test_every_field_says_what_it_means() -> None:
    classes = set(classes_below(TrainConfig))
    assert len(classes) > 15
    silent = [f"{cls.__name__}.{name}" for cls in classes for name, field in fields_of(cls).items() if not field.help]
    assert silent == []


def test_a_kind_is_a_name_that_fits_a_command_line() -> None:
    tags = [tag for cls in classes_below(TrainConfig) if (tag := tag_of(cls)) is not None]
    assert tags
    assert all(tag.isidentifier() or tag.replace("-", "_").isidentifier() for tag in tags)


def test_print_config_of_the_command_can_be_fed_back(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["vid2vid", "--print-config", "run.steps=17", "data.kind=folder", "data.root=clips"]) == 0
    written = capsys.readouterr().out
    path = tmp_path / "again.toml"
    path.write_text(written)
    assert main(["vid2vid", "--print-config", "--config", str(path)]) == 0
    assert capsys.readouterr().out == written
    config = load_config(TrainConfig, tomllib.loads(written))
    assert config.run.steps == 17
    assert tag_of(type(config.data)) == "folder"


@pytest.mark.parametrize(
    ("override", "line"),
    [
        ("optim.generator.lr=fast", "optim.generator.lr: expected a number > 0 and <= 1e+06, got 'fast'"),
        ("optim.generator.lr=-1", "optim.generator.lr: expected a number > 0 and <= 1e+06, got -1"),
        ("optim.genrator.lr=1", "optim.genrator: unknown key; did you mean 'generator'?"),
        ("data.height=100", "data.height: expected a multiple of 32 (2 to the power of "),
        ("data.height=0", "data.height: expected a whole number from 16 to 4096 pixels, got 0"),
        ("data.root=clips", "data.root: unknown key for kind 'street'; it belongs to kind 'folder'"),
        ("objective.perceptual.kind=vgg", "objective.perceptual.kind: expected one of 'none', 'file', 'random'"),
        ("run.steps=0", "run.steps: expected a whole number from 1 to "),
        ("precision.level=O2", "precision.level: expected one of 'auto', 'O0', 'O1', got 'O2'"),
    ],
)
def test_wrong_values_are_one_line_and_exit_status_2(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    override: str,
    line: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["vid2vid", override]) == 2
    (shown,) = capsys.readouterr().err.splitlines()
    assert shown.startswith(f"error: command line: {line}")
    assert list(tmp_path.iterdir()) == []


def test_names_of_earlier_versions_are_read_as_what_they_are_called_now() -> None:
    document = read_preset("faces-tiny").document
    old = {**document, "references": {"fewest": 2, "most": 3}}
    config = load_config(TrainConfig, old)
    assert config.references == ReferencesConfig(min=2, max=3)
    assert "min = 2" in render_config(config)
    changed = resolve_config(TrainConfig, old, ["references.max=4"], "old")
    assert changed.references == ReferencesConfig(min=2, max=4)
    with pytest.raises(ConfigError, match=r"references\.fewest: unknown key"):
        load_config(TrainConfig, {**document, "references": {"fewest": 2, "min": 1, "max": 3}})


@pytest.mark.parametrize("override", ["references.max=3", "references.most=3", "references={min = 2, most = 3}"])
def test_a_file_with_names_of_earlier_versions_takes_overrides_of_these_and_of_todays(override: str) -> None:
    old = {**read_preset("faces-tiny").document, "references": {"fewest": 2, "most": 2}}
    assert resolve_config(TrainConfig, old, [override], "old.toml").references == ReferencesConfig(min=2, max=3)


def test_a_wrong_override_by_an_earlier_name_is_the_command_lines_mistake() -> None:
    with pytest.raises(ConfigError, match=r"^command line: references\.max: expected"):
        resolve_config(TrainConfig, read_preset("faces-tiny").document, ["references.most=99"], "old.toml")
