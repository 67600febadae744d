"""How quickly clips are read, by hand-made figures; and that all ways of storing them hold the same."""

import json

import pytest
import torch
from vs_bench import data
from vs_bench.errors import VsBenchError
from vs_bench.harness import Result, Series
from vs_data import ClipRequest, NoFlowConfig, open_source


def test_all_ways_hold_the_same_street(tmp_path):
    configs = data.write_all(tmp_path, (32, 64))
    request = ClipRequest(sequence=1, start=9, length=3, seed=5)
    folder, video, shards = (
        open_source(type(config)(**{**_fields(config), "flow": NoFlowConfig()}), "train").read(request)
        for config in configs.values()
    )
    assert torch.equal(folder.frames, shards.frames)
    assert torch.equal(folder.labels["seg_maps"], shards.labels["seg_maps"])
    assert torch.equal(folder.labels["seg_maps"], video.labels["seg_maps"])
    assert 0 < (folder.frames - video.frames).abs().mean() < 0.1


def _fields(config):
    return {field.name: getattr(config, field.name) for field in config.__attrs_attrs__}


def test_rates_are_clips_by_seconds_and_shares_of_a_step(tmp_path):
    series = tuple(Series(name=name, seconds=(seconds,)) for name, seconds in (("folder", 0.5), ("video", 2.0)))
    result = Result(unit=Series(name="unit", seconds=(1.0,)), cases=series, threads=1, device="cpu")
    assert data.rates_of(result, 4, 2.5) == {
        "folder": {"clips_per_second": 8.0, "of_a_step": pytest.approx(0.05)},
        "video": {"clips_per_second": 2.0, "of_a_step": pytest.approx(0.2)},
    }
    assert data.rates_of(result, 4, None)["video"]["of_a_step"] is None
    (tmp_path / "step-cpu.json").write_text(json.dumps({"cases": [{"median_seconds": 3}, {"median_seconds": 2.5}]}))
    assert data.stored_step(tmp_path) == 2.5
    assert data.stored_step(tmp_path / "nowhere") is None


def test_the_command_measures_and_writes(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(data, "folder_of", lambda store: tmp_path)
    monkeypatch.setattr(data, "_LENGTH", 6)
    data.main(size=("16x32",), flow=("none",), rounds=1, clips=1)
    record = json.loads((tmp_path / "data-cpu.json").read_text())
    assert list(record["sizes"]) == ["16x32, flow none"]
    assert set(record["sizes"]["16x32, flow none"]["rates"]) == {"folder", "video", "shards"}
    assert "clips/s" in capsys.readouterr().out


def test_a_part_does_not_take_the_place_of_what_documents_cite():
    with pytest.raises(VsBenchError, match="--store is for all that documents speak of"):
        data.main(size=("128x256",), store=True)


@pytest.mark.parametrize("text", ["128", "8x8", "ax4", "16x"])
def test_a_size_that_is_none_is_refused(text):
    with pytest.raises(VsBenchError, match="--size: expected HEIGHTxWIDTH"):
        data.parse_size(text)
