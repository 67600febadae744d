"""What many ranks cost, computed: closed forms of the ring all-reduce, and what hides behind a backward pass."""

import json
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from vs_bench.busy import config_of
from vs_bench.distributed import command
from vs_bench.distributed.measured import step_of
from vs_bench.distributed.networks import PUBLISHED, gradients_of, network_record
from vs_bench.distributed.processes import (
    APART,
    ASKED,
    COMPARISON,
    IN_ORDER,
    ONE,
    SENT,
    TOGETHER,
    Compared,
    facts_of,
    link_of,
    measure_processes,
    one_clip_each,
    sentences,
)
from vs_bench.distributed.rank import QUESTION_COUNT, ROW_BYTES, ROW_COUNT
from vs_bench.distributed.simulation import Step, simulate
from vs_bench.errors import VsBenchError
from vs_bench.harness import Result, Series
from vs_bench.step.phases import D_BACKWARD, G_BACKWARD, G_FORWARD, REST
from vs_data import open_source
from vs_train.planning import company
from vs_training.config import label_spec
from vs_training.exchange import (
    LOOPBACK,
    NETWORK,
    NVLINK,
    Backward,
    Cluster,
    Link,
    exposed_seconds,
    ring_bytes,
    ring_seconds,
)
from vs_training.networks import build_discriminator, build_generators

ROOT = Path(__file__).parents[2]
RANKS = st.integers(2, 2048)
SIZES = st.floats(1.0, 1e10)
SECONDS = st.floats(1e-4, 1e3)
MIB = 2.0**20
INSTANT = Link(name="no time at all", bytes_per_second=math.inf, latency=0.0)


@st.composite
def steps(draw: st.DrawFn) -> Step:
    backwards = [
        Backward(network=name, seconds=draw(SECONDS), gradient_bytes=draw(SIZES))
        for name in ("generator", "discriminator")
    ]
    return Step(other=draw(SECONDS), backwards=tuple(backwards))


@given(step=steps(), bucket=st.floats(MIB, 1e3 * MIB), overlap=st.booleans())
def test_one_rank_says_nothing_to_anybody(step: Step, bucket: float, overlap: bool) -> None:
    alone = simulate(step, 1, Cluster(), bucket_bytes=bucket, decisions=3, overlap=overlap)
    assert (alone.exposed, alone.decisions, alone.sent_bytes) == (pytest.approx(0, abs=1e-9), 0, 0)
    assert alone.efficiency == pytest.approx(1)


@given(step=steps(), ranks=RANKS, bucket=st.floats(MIB, 1e3 * MIB))
def test_a_link_that_takes_no_time_is_ideal(step: Step, ranks: int, bucket: float) -> None:
    found = simulate(step, ranks, Cluster(inside=INSTANT, between=INSTANT), bucket_bytes=bucket, decisions=3)
    assert found.efficiency == pytest.approx(1)
    assert found.seconds == pytest.approx(step.seconds)


@given(size=SIZES, ranks=RANKS)
def test_a_ring_sends_its_share_of_everything_twice_but_for_one_part(size: float, ranks: int) -> None:
    """Held against the algorithm itself, message by message: each rank passes a part on in every one of its rounds."""
    rounds = [size / ranks for _ in range(ranks - 1)] * 2  # R - 1 to add up, R - 1 to hand round
    assert ring_bytes(size, ranks) == pytest.approx(math.fsum(rounds))
    seconds = math.fsum(NETWORK.latency + part / NETWORK.bytes_per_second for part in rounds)
    assert ring_seconds(size, ranks, NETWORK) == pytest.approx(seconds)


@given(size=SIZES, seconds=SECONDS, ranks=RANKS, count=st.integers(1, 50))
def test_what_is_exposed_is_the_last_bucket_or_all_that_does_not_fit(
    size: float, seconds: float, ranks: int, count: int
) -> None:
    """The closed form of a pipeline of two stages that each take the same time for every bucket."""
    backward = Backward(network="generator", seconds=seconds, gradient_bytes=size)
    bucket = size / count * (1 + 1e-12)
    each, computed = ring_seconds(size / count, ranks, NETWORK), seconds / count
    wanted = each if each <= computed else count * each - (count - 1) * computed
    found = exposed_seconds(backward, ranks, NETWORK, bucket_bytes=bucket)
    assert found == pytest.approx(wanted, rel=1e-6, abs=1e-9 * seconds)
    late = exposed_seconds(backward, ranks, NETWORK, bucket_bytes=bucket, overlap=False)
    assert late == pytest.approx(count * each, rel=1e-6, abs=1e-9 * seconds)
    assert late >= found * (1 - 1e-9)


@given(rate=st.floats(1e6, 1e12), latency=st.floats(1e-6, 1e-2))
def test_a_link_is_found_again_in_the_times_that_it_makes(rate: float, latency: float) -> None:
    link = Link(name="some", bytes_per_second=rate, latency=latency)
    asked, sent = QUESTION_COUNT * ring_seconds(0, 2, link), ROW_COUNT * ring_seconds(ROW_BYTES, 2, link)
    found = link_of(asked, sent)
    assert found.latency == pytest.approx(latency)
    assert found.bytes_per_second == pytest.approx(rate, rel=1e-3)


def test_what_is_planned_on_cores_would_lose_what_was_measured() -> None:
    """The link and the shares of a step that plans go by, held against the stored measurement that they come from."""
    stored = json.loads((ROOT / "docs/benchmarks/distributed-street-tiny-cpu.json").read_text())
    backwards = [Backward(**each) for each in stored["step"]["backwards"]]
    lost = sum(exposed_seconds(each, 2, LOOPBACK, bucket_bytes=25 * MIB) for each in backwards)
    assert lost == pytest.approx(stored["processes"]["exposed_seconds"], rel=0.25)
    frame = stored["step"]["seconds"] / stored["frames"]
    for each in backwards:
        assert company._BACKWARD[each.network] == pytest.approx(each.seconds / frame, abs=0.02)


@given(step=steps(), ranks=RANKS, bucket=st.floats(MIB, 1e3 * MIB), times=st.floats(1, 1e3))
def test_more_ranks_slower_links_and_faster_machines_are_never_more_efficient(
    step: Step, ranks: int, bucket: float, times: float
) -> None:
    def efficiency(step: Step, ranks: int, link: Link) -> float:
        cluster = Cluster(inside=link, between=link)
        return simulate(step, ranks, cluster, bucket_bytes=bucket, decisions=1).efficiency

    slack = 1 + 1e-9
    usual = efficiency(step, ranks, NETWORK)
    assert efficiency(step, ranks + 1, NETWORK) <= usual * slack
    assert usual <= efficiency(step, ranks, NVLINK) * slack
    assert efficiency(step.faster(times), ranks, NETWORK) <= usual * slack


def test_a_ring_within_a_node_goes_by_its_links_and_a_larger_one_by_the_network() -> None:
    assert [Cluster().link(ranks).name for ranks in (1, 8, 9, 1024)] == ["NVLink", "NVLink", "100 Gb/s", "100 Gb/s"]


def test_the_published_networks_have_the_gradients_that_their_presets_speak_of() -> None:
    """The presets' own descriptions, which predate this count: 347 and 91 million parameters of the generator."""
    found = {preset: gradients_of(preset) for preset in PUBLISHED}
    millions = {preset: round(gradients.generator / 4e6) for preset, gradients in found.items()}
    assert millions == {"cityscapes": 347, "face-forensics": 91}
    record = network_record(found["cityscapes"], Cluster())
    ranks = record["ranks"]
    assert ranks["8"]["link"] == "NVLink"
    # By hand: 2 x 15/16 of all gradients over 12.5 GB/s, and two rings of 30 messages of 10 µs.
    by_hand = 2 * 15 / 16 * found["cityscapes"].total / 12.5e9 + 2 * 30 * 10e-6
    assert ranks["16"]["milliseconds"] == pytest.approx(1e3 * by_hand)


MEASURED = Result(
    unit=Series(name="unit", seconds=(1.0,)),
    cases=tuple(
        Series(name=name, seconds=(seconds,))
        for name, seconds in (
            *((ONE, 1.6), (TOGETHER, 1.0), (IN_ORDER, 1.25), (APART, 0.9), (COMPARISON, 0.5)),
            *((ASKED, 0.2), (SENT, 0.4)),
        )
    ),
    threads=2,
    device="cpu",
)


def test_what_several_processes_cost_is_told_from_the_cases() -> None:
    facts = facts_of(MEASURED)
    assert facts["efficiency"]["value"] == pytest.approx(1.6)
    assert (facts["exposed_seconds"], facts["exposed_share"]) == (pytest.approx(0.1), pytest.approx(0.1))
    assert facts["ordered_ratio"]["value"] == pytest.approx(1.25)
    assert facts["comparison_steps"] == pytest.approx(0.5)
    assert sentences(facts)[1] == "adding up gradients is waited for 100.0 ms a step, 10.0 % of it"


def test_each_process_has_a_clip_whatever_the_configuration_says() -> None:
    config = one_clip_each(config_of("street-tiny", ("memory.micro_batches=4", "loader.batch_size=4")), 2)
    assert (config.loader.clips, config.memory.micro_batches) == (2, 1)


def test_the_windows_of_a_step_are_its_backward_passes_frame_by_frame() -> None:
    """Bytes are held against the parameters of networks that are really built."""
    phases = {REST: 1.0, G_FORWARD: 3.0, D_BACKWARD: 2.0, G_BACKWARD: 4.0}
    config = config_of("street-tiny", ())
    step = step_of(phases, config, frames=2)
    assert (step.other, step.seconds) == (4.0, 10.0)
    assert [(each.network, each.seconds) for each in step.backwards] == 2 * [("discriminator", 1.0), ("generator", 2.0)]
    labels = label_spec(config.labels, open_source(config.data, "train"))
    networks = (build_discriminator(config, labels), build_generators(config, labels)[0])
    wanted = [sum(each.nbytes for each in network.parameters()) for network in networks]
    assert [each.gradient_bytes for each in step.backwards] == 2 * wanted


def test_the_command_writes_what_it_computes_and_says_what_it_takes_for_granted(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    phases = {REST: 0.2, D_BACKWARD: 0.1, G_BACKWARD: 0.1}
    monkeypatch.setattr(command, "stepper", lambda config, frames, device: lambda: None)
    monkeypatch.setattr(command, "phases_of", lambda run, device, rounds: phases)
    monkeypatch.setattr(command, "measure_processes", lambda compared, rounds, progress: MEASURED)
    monkeypatch.setattr(command, "folder_of", lambda store: tmp_path)
    command.main(frames=1, rounds=1)
    found = json.loads((tmp_path / "distributed-street-tiny-cpu.json").read_text())
    assert {"command", "measured_at", "machine", "assumptions", "cases"} <= found.keys()
    size = sum(each["gradient_bytes"] for each in found["step"]["backwards"])
    assert found["processes"]["sent_bytes"] == size  # of two processes each sends one half twice
    for curve in found["curves"]:
        assert [point["ranks"] for point in curve["overlapped"]] == list(command.RANKS)
        assert curve["overlapped"][0]["efficiency"] == pytest.approx(1)
    networks = json.loads((tmp_path / "distributed-networks.json").read_text())
    assert [network["name"] for network in networks["networks"]] == list(PUBLISHED)
    assert networks["command"] == "hatch run bench:distributed --networks"
    assert (tmp_path / "distributed-street-tiny-cpu.png").stat().st_size > 10_000
    printed = capsys.readouterr().out
    assert "taken for granted: 8 ranks a node" in printed
    assert "together they are 1.60 times as fast" in printed
    with pytest.raises(VsBenchError, match="no overrides"):
        command.main("seed=1", store=True)


class Unseen:
    """Progress that nobody watches."""

    def update(self, done: int, total: int | None = None, *, what: str = "", figures: str = "") -> None:
        pass

    def message(self, text: str) -> None:
        pass


@pytest.mark.slow
def test_one_process_and_two_make_steps_in_turns() -> None:
    config = config_of("street-tiny", ())
    result = measure_processes(Compared(config=config, frames=1, processes=2, threads=2), rounds=1, progress=Unseen())
    assert [case.name for case in result.cases] == [ONE, TOGETHER, IN_ORDER, APART, COMPARISON, ASKED, SENT]
    assert all(case.median > 0 for case in result.cases)
