"""What of a configuration may not change in a run, and how a change is named."""

import json

import attrs
import pytest
from vs_config import load_config
from vs_data import FolderConfig
from vs_training.config import TrainConfig
from vs_training.fixed import first_difference, fixed_part
from vs_training.presets import list_presets, read_preset

PRESETS = [preset.name for preset in list_presets()]


def preset(name: str) -> TrainConfig:
    return load_config(TrainConfig, read_preset(name).document)


@pytest.mark.parametrize("name", PRESETS)
def test_it_is_what_it_was_after_it_was_json(name: str) -> None:
    config = preset(name)
    saved = fixed_part(config)
    assert json.loads(json.dumps(saved, allow_nan=False)) == saved
    assert first_difference(saved, config) is None


def test_another_kind_and_a_table_instead_of_none_are_differences() -> None:
    street, faces = preset("street-tiny"), preset("faces-tiny")
    assert first_difference(fixed_part(street), faces) == (
        "data.kind: expected 'street', with which the run was trained, got 'faces'"
    )
    with_references = {**fixed_part(street), "references": {"min": 1}}
    assert first_difference(with_references, street) == (
        "references: expected a table, with which the run was trained, got none"
    )


def test_what_may_change_is_not_in_it_and_fields_of_other_versions_do_not_count() -> None:
    street = preset("street-tiny")
    saved = fixed_part(street)
    assert not {"run", "device"} & saved.keys()
    assert saved["loader"] == {"batch_size": street.loader.batch_size}
    assert "checkpoint" not in saved["memory"]
    assert not {"keep_memory", "graphs"} & saved.get("performance", {}).keys()
    older = {**saved, "forgotten": 3}
    del older["curriculum"]
    assert first_difference(older, street) is None


def test_tables_of_a_list_are_compared_field_by_field() -> None:
    street = attrs.evolve(preset("street-tiny"), data=FolderConfig(root="clips"))
    older = fixed_part(street)
    del older["data"]["labels"][0]["class_names"]
    assert first_difference(older, street) is None
    older["data"]["labels"][0]["num_classes"] = 20
    assert first_difference(older, street) == (
        "data.labels[0].num_classes: expected 20, with which the run was trained, got 35"
    )
    older["data"]["labels"] *= 2
    assert str(first_difference(older, street)).startswith("data.labels: expected [")


def test_fields_that_an_earlier_version_called_otherwise_are_compared() -> None:
    faces = preset("faces-tiny")
    assert faces.references is not None
    older = {**fixed_part(faces), "references": {"fewest": faces.references.min, "most": faces.references.max}}
    assert first_difference(older, faces) is None
    edited = attrs.evolve(faces, references=attrs.evolve(faces.references, max=faces.references.max + 1))
    assert first_difference(older, edited) == (
        f"references.max: expected {faces.references.max}, with which the run was trained, "
        f"got {faces.references.max + 1}"
    )
