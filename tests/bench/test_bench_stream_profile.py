"""What of the profile of a stream's frame can be wrong without being slow."""

import itertools
import json

import pytest
import torch
from torch import nn
from toy_runs import FEW_SHOT, STREET
from vs_bench import scene, stream
from vs_bench.__main__ import main
from vs_bench.peak import flop_of
from vs_bench.stream_profile import REST, by_part, metered, profile_frame, profile_tables

CPU = torch.device("cpu")


class _Twice(nn.Module):
    """A network whose first part is called twice."""

    def __init__(self) -> None:
        super().__init__()
        self.one = nn.Conv2d(3, 3, 3, padding=1)
        self.others = nn.ModuleList([nn.Conv2d(3, 4, 1), nn.Sequential(nn.Conv2d(4, 2, 1))])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for part in (self.one, self.one, *self.others):
            x = part(x)
        return x


def test_each_call_of_a_part_is_metered_and_what_is_between_them_is_the_rest():
    network, ticks = _Twice(), itertools.count()
    with metered(network, lambda: float(next(ticks))) as spent:
        network(torch.zeros(1, 3, 4, 4))
    assert spent == [("one", 1), ("one", 1), ("others.0", 1), ("others.1", 1)]
    assert by_part(spent, 6.5) == {"one": 1, "one, call 2": 1, "others.0": 1, "others.1": 1, REST: 2.5}
    network(torch.zeros(1, 3, 4, 4))
    assert len(spent) == 4  # it is metered no more


@pytest.mark.parametrize(
    ("config", "expected"),
    [(STREET, {"embed_label", "flow", "up.0"}), (FEW_SHOT, {"embed_label", "flow_reference", "up.0"})],
    ids=["street", "face"],
)
def test_parts_of_a_frame_add_up_to_all_of_its_arithmetic(config, expected):
    made = scene.scene_of(config)
    profile = profile_frame(made, "float32", rounds=2, threads=1, device=CPU)
    frame = scene.streaming(scene.model_of(made, "float32", CPU), made)()
    for _ in range(scene.SETTLED):
        frame()
    assert profile.frame.flop == flop_of(frame) > 0
    flop = {part.name: part.flop for part in profile.parts}
    assert expected <= {name for name, work in flop.items() if work > 0}
    assert "weights" not in flop  # those of a subject are made once
    assert flop[REST] == 0
    for measured in zip(*(part.series.seconds for part in profile.parts), strict=True):
        assert 0 < sum(measured) < 60
    assert "grid_sampler_2d" in {each.name.removesuffix("_cpu") for each in profile.operators}
    parts, operators = profile_tables("a frame", profile)
    assert parts.row_count == len(profile.parts) + 1
    assert operators.row_count == 12


def test_the_command_stores_a_profile_where_it_is_asked_for(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(stream, "folder_of", lambda *, store: tmp_path)
    monkeypatch.setattr(stream, "resolve_config", lambda _, __, overrides, ___: FEW_SHOT)
    tiny = ["--rounds", "1", "--threads", "1", "--no-memory", "--level", "float32", "--streams", "1"]
    assert main(["stream", "--baseline", "face", "--profile", *tiny]) == 0
    (record,) = json.loads((tmp_path / "stream-cpu.json").read_text())["baselines"].values()
    parts = {part["name"]: part for part in record["profile"]["float32"]["parts"]}
    assert sum(part["flop"] for name, part in parts.items() if name != "frame") == parts["frame"]["flop"]
    assert record["profile"]["float32"]["operators"][0]["seconds"] > 0
    assert "a frame of the face baseline in float32, by part" in capsys.readouterr().out
