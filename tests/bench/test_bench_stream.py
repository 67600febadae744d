"""What of the benchmark of streams can be wrong without being slow."""

import itertools
import json

import attrs
import pytest
import torch
from toy_runs import FEW_SHOT, STREET
from vs_bench import memory, scene, stream
from vs_bench.__main__ import main
from vs_bench.errors import VsBenchError
from vs_bench.harness import Result, Series

CPU = torch.device("cpu")
CONFIGS = {"street": STREET, "face": FEW_SHOT}
ROLL_OUT, STREAM = (stream.Variant(way=way, computing="float32", streams=2) for way in ("roll-out", "stream"))


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_both_ways_make_the_same_frames_of_labels_that_come_round_again(config):
    made = scene.scene_of(config)
    clips = [scene.way_of(name, made, "float32", CPU)() for name in ("stream", "roll-out")]
    frames = [[frame().clone() for _ in range(5)] for frame in clips]
    for streamed, rolled in zip(*frames, strict=True):
        assert (streamed - rolled).abs().max() < 1e-4
    assert not any(torch.equal(a, b) for a, b in itertools.pairwise(frames[0]))


def test_the_roll_out_beside_embeds_the_past_again_and_a_stream_does_not(monkeypatch):
    calls, made = [], scene.scene_of(STREET)
    built = scene.synthesis.build_averaged(made.contents)
    type_of_embedder = type(built.embed_label)
    original = type_of_embedder.forward
    monkeypatch.setattr(type_of_embedder, "forward", lambda *args: calls.append(1) or original(*args))
    counted = {}
    for name in ("stream", "roll-out"):
        frame = scene.way_of(name, made, "float32", CPU)()
        frame(), frame(), calls.clear(), frame()
        counted[name] = len(calls)
    assert counted == {"stream": 1, "roll-out": 2}


def test_each_clip_of_a_way_has_a_past_of_its_own():
    way = scene.way_of("stream", scene.scene_of(STREET), "float32", CPU)
    one, other = way(), way()
    first = one().clone()
    one()
    assert torch.equal(other(), first)


@pytest.mark.gpu
@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_a_graph_replays_the_steps_of_the_stream(config):
    made, cuda = scene.scene_of(config), torch.device("cuda")
    streamed = scene.way_of("stream", made, "float32", cuda)()
    frames = [streamed().clone() for _ in range(scene.SETTLED + 6)]
    replayed = scene.way_of("graph", made, "float32", cuda)()
    for frame in frames[scene.SETTLED :]:
        assert (replayed() - frame).abs().max() < 1e-4


def test_what_several_clips_take_is_divided_by_their_number():
    made = []
    run = stream.in_turns(lambda: lambda: made.append(1), 3, made.clear)
    run()
    assert len(made) == 3
    assert stream.of_one_frame(Series(name="x", seconds=(6.0, 3.0)), attrs.evolve(STREAM, streams=3)).seconds == (2, 1)


@pytest.mark.parametrize("slow", [None, "it is emulated"])
def test_there_is_a_graph_on_cuda_only_and_float32_beside_the_format_of_training(monkeypatch, slow):
    monkeypatch.setattr(stream.optim, "slowness", lambda precision, _: slow if precision.dtype else None)
    levels = ("float32", "bfloat16") if slow is None else ("float32",)
    assert [one.name for one in stream.variants_of((), (1, 1), CPU)] == [
        f"{level} {way}, 1 at once" for level in levels for way in ("roll-out", "stream")
    ]
    monkeypatch.undo()
    kinds = {one.kind for one in stream.variants_of((), (1, 4), torch.device("cuda"))}
    assert kinds == {f"{level} {way}" for level in ("float32", "float16") for way in ("roll-out", "stream", "graph")}


def test_targets_are_half_of_what_the_published_code_takes_for_one_stream_in_float32():
    published = {"street": 0.128, "face": 0.443}
    for baseline, seconds in published.items():
        (target,) = {stream.target_of(baseline, one, CPU) for one in stream.variants_of((), (1, 2), CPU)} - {None}
        assert target == pytest.approx(seconds / 0.09 / 2, rel=0.03)
    assert stream.target_of("face", attrs.evolve(STREAM, streams=1), torch.device("cuda")) is None


def test_late_frames_are_those_of_the_99th_percentile():
    assert stream.late_of(Series(name="x", seconds=tuple(range(101)))) == 99
    assert stream.late_of(Series(name="x", seconds=(3.0,))) == 3


def test_record_and_table_hold_what_was_measured():
    def result(**seconds):
        cases = tuple(Series(name=name, seconds=(value,) * 3) for name, value in seconds.items())
        return Result(unit=Series(name="unit", seconds=(0.5,) * 3), cases=cases, threads=2, device="cpu")

    one = attrs.evolve(STREAM, streams=1)
    variants = (stream.roll_out_beside(one), one)
    measured = stream.Measured(
        steady=result(**{variants[0].name: 1.0, one.name: 0.25}),
        first=result(**{variants[0].kind: 2.0, one.kind: 3.0}),
        memory={one.name: memory.Memory(peak=2**21, growth=2**20)},
    )
    record = stream.record_of("street", variants, measured, CPU)
    assert record["frames"][one.name] == {
        "p99_seconds": 0.25,
        "first_seconds": 3.0,
        "target_units": 0.7,
        "memory_bytes": {"peak": 2**21, "growth": 2**20},
    }
    assert record["frames"][variants[0].name]["memory_bytes"] is None
    assert record["steady"]["cases"][1]["units"] == 0.5
    assert record["steady"]["cases"][1]["speedup"]["value"] == 4
    columns = [list(column.cells) for column in stream.table_of("street", variants, measured, CPU).columns]
    assert [cells[1] for cells in columns] == [
        one.name,
        "3000.0",
        "250.0",
        "250.0",
        "0.500",
        "0.7",
        "4.00",
        "2.0",
        "1.0",
    ]


@pytest.mark.skipif(not memory._STATUS.exists(), reason="the system does not say how much memory a process has")
def test_memory_that_is_kept_is_growth_and_what_is_let_go_is_not(monkeypatch):
    kept = []

    def way_of(*_):
        def frame():
            # Both are larger than what malloc hands out again, whatever earlier tests have let go.
            kept.append(torch.ones(9 * 2**20))  # 36 MiB that stay
            torch.ones(2**24)  # 64 MiB that do not

        return lambda: frame

    monkeypatch.setattr(memory, "way_of", way_of)
    plan = memory.MemoryPlan(
        config=STREET, way="stream", computing="float32", streams=1, frames=12, threads=1, device="cpu"
    )
    found = memory.memory_of(plan)
    assert 3 * 36 * 2**20 < found.growth < 6 * 36 * 2**20  # of the last four frames
    assert found.peak > 100 * 2**20


def test_the_command_measures_and_writes(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(stream, "folder_of", lambda *, store: tmp_path)
    tiny = ["--rounds", "1", "--threads", "1", "--no-memory", "--level", "float32"]
    monkeypatch.setattr(stream, "resolve_config", lambda _, __, overrides, ___: STREET)
    assert main(["stream", "--baseline", "street", "--streams", "1", *tiny]) == 0
    (record,) = json.loads((tmp_path / "stream-cpu.json").read_text())["baselines"].values()
    assert set(record["frames"]) == {"float32 roll-out, 1 at once", "float32 stream, 1 at once"}
    assert "the street baseline" in capsys.readouterr().out


@pytest.mark.parametrize("options", [{"frames": 2}, {"memory": False}, {"baseline": ("street",)}, {"streams": (1,)}])
def test_what_documents_cite_is_the_whole(options):
    with pytest.raises(VsBenchError, match="with 32 frames and no overrides"):
        stream.main(store=True, **options)
