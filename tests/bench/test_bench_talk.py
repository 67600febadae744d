"""The talk's rows: every one of them measured at tiny sizes, and what is said of what was measured."""

import json
import tomllib

import attrs
import pytest
import torch
from toy_runs import FEW_SHOT, STREET
from vs_bench.__main__ import main
from vs_bench.harness import Case, Result, Series
from vs_bench.results import save_records
from vs_bench.talk import accuracy, adam, affinity, amp, checkpointing, columns, command, executor, few_shot, page
from vs_bench.talk.outcome import Curve, Line, Outcome, Trace, as_content, from_content, judge, written
from vs_bench.talk.rows import ROWS
from vs_bench.talk.scale import Grid, Scale, published, scaled
from vs_bench.talk.setting import Budget, Candidate, Row, Setting, measure_fitting, share_of
from vs_bench.talk.stage import config_of, set_up, sized
from vs_config import render_config
from vs_runtime import Core, Gpu, Topology

CPU = torch.device("cpu")
TINY = Scale(
    name="tiny",
    elements=256,
    logits=(1, 1, 3, 3),
    spectral="faces-tiny",
    street=tomllib.loads(render_config(STREET)),
    face=tomllib.loads(render_config(FEW_SHOT)),
    frames=2,
    grid=(
        Grid(height=32, width=64, talk="512x256", batches=((1, 8), (2, 16))),
        Grid(height=32, width=64, talk="1024x512", batches=((1, 8), (2, 16))),
    ),
    filters=((4, 8), (8, 16)),
    adam_size=(32, 64),
    few_shot=(1, 2),
    face_size=(32, 32),
    checkpointed=(1, 2),
    checkpoint_size=(32, 64),
    workers=0,
    processes=1,
)


def setting(seconds=1e4, **others):
    return Setting(device=CPU, threads=1, scale=TINY, budget=Budget(seconds=seconds), **others)


def series(name, *seconds):
    return Series(name=name, seconds=seconds * 3 if len(seconds) == 1 else seconds)


def result_of(**seconds):
    cases = tuple(series(name.replace("_", " ").replace("  ", ", "), value) for name, value in seconds.items())
    return Result(unit=series("unit", 1.0), cases=cases, threads=1, device="cpu")


class Clock:
    """Time that goes on only when a case runs."""

    def __init__(self):
        self.now, self.ran = 0.0, []

    def __call__(self):
        return self.now

    def case(self, name, seconds):
        def run():
            self.now += seconds
            self.ran.append(name)

        return Case(name=name, run=run)

    def candidate(self, name, seconds, cost=1.0):
        return Candidate(what=name, make=lambda: [self.case(name, seconds)], cost=cost)

    def setting(self, seconds):
        return attrs.evolve(setting(), budget=Budget(seconds=seconds, clock=self))


def nothing_of_unit(_):
    return lambda: None


def rounds(monkeypatch, least, most):
    monkeypatch.setattr("vs_bench.talk.setting.LEAST_ROUNDS", least)
    monkeypatch.setattr("vs_bench.talk.setting.MOST_ROUNDS", most)


@pytest.fixture(autouse=True)
def few_rounds(monkeypatch):
    rounds(monkeypatch, 1, 1)
    monkeypatch.setattr("vs_bench.talk.calls.SECONDS", 1e-4)
    for module in ("harness", "talk.setting"):  # the unit alone would take longer than all that is measured here
        monkeypatch.setattr(f"vs_bench.{module}.unit_of_work", nothing_of_unit)


def linear(_, probe):
    """Memory as it might be: less of it for each clip where activations are computed again."""
    each = {"none": 100, "blocks": 60, "all": 40}[probe.config.memory.checkpoint]
    return 50 + each * probe.config.loader.batch_size


IN_NEW_PROCESSES = "executor"
"""The row whose measurement begins with imports."""


@pytest.mark.parametrize("row", [row for row in ROWS if row.name != IN_NEW_PROCESSES], ids=lambda row: row.name)
def test_each_row_is_measured_and_comes_back_from_its_file(row, monkeypatch):
    monkeypatch.setattr(checkpointing, "in_fresh_process", linear)
    outcome = row.measure(setting(emulated=True))
    content = json.loads(json.dumps(as_content(outcome)))
    assert json.loads(json.dumps(as_content(from_content(content)))) == content
    assert outcome.setting
    assert all(line.value is not None for line in outcome.lines)
    assert not any("want of time" in left for left in outcome.left_out)


@pytest.mark.slow
def test_the_executors_are_measured_in_processes_of_their_own():
    (row,) = (row for row in ROWS if row.name == IN_NEW_PROCESSES)
    assert all(line.value is not None for line in row.measure(setting()).lines)


def test_what_time_does_not_suffice_for_is_left_out_by_name_and_never_begun(monkeypatch):
    rounds(monkeypatch, 3, 3)
    clock = Clock()
    made = clock.setting(30.0)
    found = measure_fitting(
        made,
        made.budget,
        [clock.candidate("small", 1.0), clock.candidate("huge", 90.0, 90), clock.candidate("more", 2.0, 2)],
    )
    assert [one.name for one in found.result.cases] == ["small", "more"]
    assert found.left_out == ("huge: left out for want of time",)
    assert "huge" not in clock.ran
    assert clock.now <= 30.0
    assert len(found.result.unit.seconds) == 3


def test_rounds_fill_the_time_and_are_never_fewer_than_three(monkeypatch):
    rounds(monkeypatch, 3, 15)
    for seconds, wanted in ((8.5, 7), (100.0, 15), (3.0, None)):
        clock = Clock()
        made = clock.setting(seconds)
        first = clock.candidate("first", 0.5)
        found = measure_fitting(made, made.budget, [first, clock.candidate("second", 0.5)])
        if wanted is None:
            assert [one.name for one in found.result.cases] == ["first"]
        else:
            assert len(found.result.unit.seconds) == wanted
        assert clock.now <= seconds


def test_without_any_time_nothing_is_made():
    clock = Clock()
    made = clock.setting(0.0)
    clock.now = 1.0
    found = measure_fitting(made, made.budget, [clock.candidate("one", 1.0)])
    assert (found.result, clock.ran) == (None, [])


def test_what_does_not_fit_into_the_memory_is_said_and_the_rest_is_measured():
    clock = Clock()
    made = clock.setting(100.0)

    def full():
        raise torch.OutOfMemoryError

    found = measure_fitting(made, made.budget, [clock.candidate("small", 1.0), Candidate(what="large", make=full)])
    assert found.left_out == ("large: does not fit into the memory",)
    assert [one.name for one in found.result.cases] == ["small"]

    def broken():
        raise RuntimeError("a defect")

    with pytest.raises(RuntimeError, match="a defect"):
        measure_fitting(made, made.budget, [Candidate(what="broken", make=broken)])


def test_the_time_is_shared_out_and_what_is_left_over_goes_on():
    weights = [1.0, 0.0, 3.0]
    assert [share_of(weights, index) for index in range(3)] == [0.25, 0.0, 1.0]
    clock = Clock()
    budget = Budget(seconds=100.0, clock=clock)
    assert budget.part(0.25).left == 25.0
    clock.now = 10.0
    assert budget.part(1.0).left == 90.0


@pytest.mark.parametrize(
    ("low", "high", "most", "verdict"),
    [
        (2.0, 2.1, False, "holds"),
        (1.9, 2.1, False, "cannot tell"),
        (1.8, 1.9, False, "does not hold"),
        (1.8, 1.9, True, "holds"),
        (1.9, 2.1, True, "cannot tell"),
        (2.1, 2.2, True, "does not hold"),
    ],
)
def test_a_claim_holds_if_all_of_the_interval_does(low, high, most, verdict):
    assert judge(low, high, 2.0, most=most) == verdict


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (79e-6, "seconds", "79 us"),
        (0.018, "seconds", "18 ms"),
        (1.5, "seconds", "1.5 s"),
        (1.351, "times", "1.35x"),
        (-0.2, "share", "-20%"),
        (2**31, "bytes", "2 GiB"),
        (5, "count", "5"),
        (None, "times", "-"),
    ],
)
def test_numbers_are_written_with_their_units(value, unit, text):
    assert written(value, unit) == text


def test_adam_says_whether_its_gain_grows_with_the_network():
    def size(parameters, gain):
        seconds = {"sequential": 1.0, "fused": 1 / gain, "sequential, Adam alone": 1.0, "fused, Adam alone": 0.5}
        cases = tuple(series(name, value) for name, value in seconds.items())
        result = Result(unit=series("unit", 1.0), cases=cases, threads=1, device="cpu")
        return adam.Size(parameters=parameters, result=result)

    small, large = size(10**6, 1.02), size(10**8, 1.10)
    growing = adam.outcome_of([small, large], ["fused"], "", [])
    assert "holds: the gain of fused Adam grows, +2% at 1.0 M parameters, +10% at 100.0 M." in growing.findings[0]
    assert [line.verdict for line in growing.lines if line.talk] == ["does not hold", "holds"]
    assert "does not hold: the gain of fused Adam shrinks" in adam.findings_of([large, small])[0]
    assert "cannot be told" in adam.findings_of([noisy(small), noisy(large)])[0]
    assert growing.curve.traces[0].x == (1.0, 100.0)
    assert adam.outcome_of([small], ["fused"], "", []).findings == ()


def noisy(size):
    """The same, with times that differ by a half from round to round."""
    cases = tuple(
        attrs.evolve(one, seconds=(one.median, one.median * 1.5, one.median * 0.6)) for one in size.result.cases
    )
    reversed_cases = tuple(
        attrs.evolve(one, seconds=one.seconds if index % 2 else one.seconds[::-1]) for index, one in enumerate(cases)
    )
    return attrs.evolve(size, result=attrs.evolve(size.result, cases=reversed_cases))


def column(**seconds):
    cases = tuple(series(name.replace("_", ", batch "), value) for name, value in seconds.items())
    result = Result(unit=series("unit", 1.0), cases=cases, threads=1, device="cpu")
    return columns.Column(frames=2, result=result)


def test_the_grid_counts_images_and_doubles_the_batch():
    grid = Grid(height=512, width=1024, talk="1024x512", batches=((1, 8), (2, 16)))
    made = column(O0_1=1.0, O1_1=0.8, O0_2=1.8, O1_2=1.0)
    lines = {line.what: line for line in amp.lines_of(grid, made)}
    assert lines["1024x512, batch 2: images a second in O1"].value == 4.0
    same = lines["1024x512, batch 2: O1 over O0"]
    assert (same.value, same.talk, same.verdict) == (pytest.approx(1.8), "1.99x (1024x512, batch 16)", "does not hold")
    double = lines["1024x512: O1 with batch 2 over O0 with batch 1, by images"]
    assert (double.value, double.verdict) == (2.0, "holds")
    assert "holds, 1.25x with batch 1 and 1.80x with 2" in amp.findings_of(grid, made)[0]


def test_without_o1_the_grid_has_images_a_second_in_o0_and_the_talks_figures_beside_nothing():
    grid = Grid(height=256, width=512, talk="512x256", batches=((1, 8), (2, 16)))
    made = amp.outcome_of([grid], [column(O0_1=1.0, O0_2=1.5)], "", "O1: not measured")
    missing = [line for line in made.lines if line.talk]
    assert [(line.value, line.talk, line.note) for line in missing] == [
        (None, "0.84x (512x256, batch 8)", "not measured"),
        (None, "1.15x (512x256, batch 16)", "not measured"),
    ]
    assert made.left_out == ("O1: not measured",)
    assert made.curve.traces[0].y == (2.0, pytest.approx(4 / 1.5))


def test_o1_is_left_out_where_it_is_emulated_unless_asked_for(monkeypatch):
    for slow, levels in (("slow", ("O0",)), (None, ("O0", "O1"))):
        monkeypatch.setattr(columns.optim, "slowness", lambda *_, slow=slow: slow)
        assert columns.levels_of(CPU, emulated=False)[0] == levels
        assert columns.levels_of(CPU, emulated=True) == (("O0", "O1"), None)


def test_few_shot_compares_by_images():
    lines = few_shot.lines_of(column(O0_2=1.0, O1_2=0.5, O0_3=1.5, O1_3=0.6), (2, 3))
    assert [(line.value, line.verdict) for line in lines if line.talk] == [
        (2.0, "holds"),
        (pytest.approx(2.5), "holds"),
    ]


def test_memory_is_linear_in_the_batch_and_says_what_fits():
    needs = {
        "none": checkpointing.Needs(bytes={1: 150, 4: 450}),
        "blocks": checkpointing.Needs(bytes={1: 100, 4: 250}),
        "all": checkpointing.Needs(bytes={1: 440, 4: 1040}),
    }
    assert needs["none"].of(2) == 250
    assert checkpointing.batches_within(needs, 4) == {"none": 4, "blocks": 8, "all": 1}
    assert needs["all"].largest(100) == 0
    seconds = {"none, batch 4": 4.0, "blocks, batch 4": 4.4, "blocks, batch 8": 6.0}
    cases = tuple(series(name, value) for name, value in seconds.items())
    result = Result(unit=series("unit", 1.0), cases=cases, threads=1, device="cpu")
    batches = checkpointing.batches_within(needs, 4)
    measured = checkpointing.Measured(needs=needs, batches=batches, base=4, result=result)
    lines = {line.what: line for line in checkpointing.lines_of("blocks", measured)}
    assert lines["blocks: memory, batch 4"].value == pytest.approx(250 / 450 - 1)
    assert lines["blocks: memory, batch 4"].verdict == "holds"
    assert lines["blocks: time, batch 4"].value == pytest.approx(0.1)
    assert lines["blocks: largest batch in the memory of batch 4 without"].value == 8
    assert lines["blocks: clips a second with batch 8 over those without, batch 4"].value == pytest.approx(4 / 3)


@pytest.mark.slow
def test_the_peak_of_a_step_is_at_least_that_of_the_networks_their_gradients_and_averages():
    config = config_of(TINY.street, *sized(32, 64), "generator.filters=64", "generator.max_filters=256")
    probe = checkpointing.Probe(config=config, frames=2, device="cpu", threads=1)
    weights = 4 * adam.parameters_of(set_up(config, CPU))
    assert 4 * weights < checkpointing.in_fresh_process(checkpointing.peak_of, probe) < 40 * weights


def test_the_ways_to_bind_a_process_are_those_of_the_machine():
    cores = tuple(Core(cpus=(core, core + 8), node=core // 4, package=core // 4) for core in range(8))
    gpus = (Gpu(index=0, cpus=(4, 5, 6, 7, 12, 13, 14, 15)),)
    named = {mode.name: mode for mode in affinity.modes_of(Topology(cores=cores, gpus=gpus), frozenset(range(16)), 0)}
    assert {name: mode.cpus for name, mode in named.items()} == {
        "unbound": tuple(range(16)),
        "all cores of the node": (4, 5, 6, 7),
        "all cores of the node, hyper-threads together": (4, 5, 6, 7, 12, 13, 14, 15),
        "contiguous share of two": (4, 5),
        "interleaved share of two": (4, 6),
        "one core": (4,),
        "another node": (0, 1, 2, 3, 8, 9, 10, 11),
    }
    assert named["all cores of the node, hyper-threads together"].cores == 4
    plain = Topology(cores=tuple(Core(cpus=(core,)) for core in range(2)))
    assert [mode.name for mode in affinity.modes_of(plain, frozenset({0, 1}))] == ["unbound", "contiguous share of two"]


def test_the_newest_experiment_on_accuracy_is_quoted(tmp_path):
    for name, day in (("a", "2026-01-02"), ("b", "2026-01-01")):
        content = {"command": "c", "measured_at": day, "experiments": [{"statements": [name]}]}
        (tmp_path / f"accuracy-{name}-cpu.json").write_text(json.dumps(content))
    assert accuracy.quoted(accuracy.newest(tmp_path, "cpu")).findings == ("a",)
    assert "bench:accuracy" in accuracy.quoted(accuracy.newest(tmp_path, "cuda")).left_out[0]


def test_the_executors_are_compared_beside_the_talks_advice():
    record = {
        "elements": 9,
        "processes": 2,
        "kernels": {"eager": 5, "profiling": 5, "legacy": 1},
        "median_seconds": {"eager": 2.0, "profiling": 2.0, "legacy": 1.0},
        "speedup": {"value": 2.0, "low": 1.5, "high": 2.5},
    }
    outcome = executor.outcome_of(record)
    assert [line.value for line in outcome.lines] == [5, 2.0, 1, 1.0, 2.0]
    assert outcome.lines[-1].verdict == "holds"


@pytest.mark.parametrize("scale", [scaled(), published()], ids=lambda scale: scale.name)
def test_every_size_of_a_scale_is_one_that_its_networks_take(scale):
    for grid in scale.grid:
        config_of(scale.street, *sized(grid.height, grid.width))
    for fewest, most in scale.filters:
        config_of(
            scale.street, *sized(*scale.adam_size), f"generator.filters={fewest}", f"generator.max_filters={most}"
        )
    config_of(scale.street, *sized(*scale.checkpoint_size))
    config_of(scale.face, *sized(*scale.face_size))
    asked = [(grid.talk, talks) for grid in scale.grid for _, talks in grid.batches if talks]
    assert sorted(asked) == sorted(amp.TALK)


PLOTTED = Outcome(
    setting="So.",
    lines=(Line(what="a", value=1.0),),
    curve=Curve(title="t", x="x", y="y", traces=(Trace(name="n", x=(1.0, 2.0), y=(1.0, 3.0)),), talk=2.0),
)


def test_the_command_measures_says_and_keeps_the_rows_that_were_asked_for(monkeypatch, tmp_path, capsys):
    plotted = Row(name="plotted", title="A curve", says="", figure="", measure=lambda _: PLOTTED)
    monkeypatch.setattr(command, "ROWS", (*ROWS, plotted))
    monkeypatch.setattr(command, "scaled", lambda: TINY)
    monkeypatch.setattr(command, "folder_of", lambda *, store: tmp_path / str(store))
    assert main(["tables", "plotted", "gelu", "--minutes", "100", "--threads", "1", "--store"]) == 0
    folder = tmp_path / "True"
    names = ["talk-gelu-cpu.json", "talk-plotted-cpu.json", "talk-plotted-cpu.png"]
    assert sorted(path.name for path in folder.iterdir()) == names
    assert (folder / "talk-plotted-cpu.png").read_bytes().startswith(b"\x89PNG")
    content = json.loads((folder / "talk-gelu-cpu.json").read_text())
    assert content["command"].startswith("hatch run bench:tables")
    assert len(content["measured"][0]["cases"]) == 3
    shown = capsys.readouterr().out
    assert shown.index("GELU") < shown.index("A curve")
    assert "79 us" in shown


def test_what_was_not_measured_is_said_and_not_kept(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(command, "scaled", lambda: TINY)
    monkeypatch.setattr(command, "folder_of", lambda *, store: tmp_path)
    assert main(["tables", "hinge", "--minutes", "1e-9"]) == 0
    assert "hinge losses: left out for want of time" in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []


def test_the_page_has_every_row_and_the_talks_figures_beside_ours(tmp_path):
    nothing = page.page_of(tmp_path)
    assert all(f"## {row.title}\n" in nothing for row in ROWS)
    assert nothing.count("Not measured yet") == len(ROWS)
    outcome = Outcome(
        setting="So.",
        lines=(Line(what="a | b", talk="4.4x", value=2.0, unit="times", low=1.9, high=2.1, verdict="does not hold"),),
        findings=("This follows.",),
        left_out=("that: no time",),
    )
    path = save_records(as_content(outcome), "talk-gelu-cpu", command="hatch run bench:tables", folder=tmp_path)
    made = page.page_of(tmp_path)
    assert "| a \\| b | 4.4x | 2.00x | 1.90x to 2.10x | does not hold |" in made
    assert "| [PyTorch JIT: GELU](#pytorch-jit-gelu) | 4.4x | 2.00x: does not hold | not measured |" in made
    assert "- This follows.\n- Left out: that: no time.\n" in made
    assert json.loads(path.read_text())["machine"]["git"]["revision"][:10] in made


def test_a_name_that_no_row_has_is_refused_with_the_nearest(capsys):
    assert main(["tables", "gelus"]) == 2
    assert "did you mean 'gelu'?" in capsys.readouterr().err
