"""What one process finds, all decide by; and what is said names the process that found it."""

from typing import Any

import pytest
from faults import same
from in_ranks import with_bad_frame, with_difference, with_fault
from rank_processes import RankProcesses, whole
from vs_runtime.ranks import ONE

ORDERED: dict[str, Any] = {"distributed": {"reduce": "ordered"}}
LATE: dict[str, Any] = {**ORDERED, "precision": {"level": "O1", "dtype": "float16"}}


@pytest.mark.parametrize(
    ("fault", "policy", "changes"),
    [
        ("overflow", "independent", ORDERED),  # in the gradient of one part
        ("overflow", "paired", ORDERED),
        ("after", "paired", ORDERED),  # in one process alone, once gradients are added up
        ("after", "paired", {"distributed": {"reduce": "ordered", "shard_optimizer": True}}),
        ("late", "independent", LATE),  # a loss of one part
    ],
)
def test_all_skip_and_replay_what_one_cannot_compute(
    processes: RankProcesses, fault: str, policy: str, changes: dict[str, Any]
) -> None:
    answers = processes.start(with_fault, "vid2vid", changes, fault, policy, ranks=2)
    expected = with_fault(ONE, "vid2vid", changes, fault, policy)
    for found in whole(answers()):
        assert same(found, expected)
    (report,) = expected["reports"]
    skipped = (fault, policy) == ("overflow", "independent")
    assert (report["replays"], sum(report["skipped"].values())) == ((0, 1) if skipped else (1, 0))


@pytest.mark.parametrize("late", [False, True])
def test_a_bad_frame_is_named_with_its_process(processes: RankProcesses, late: bool) -> None:
    for (rank, clip, frame, what, layer), clips in whole(processes.run(with_bad_frame, late, ranks=4)):
        assert (rank, clip, frame) == (3, clips[3], 1)
        assert what == "loss gan" or late
        assert layer == "data" or late


def test_a_gradient_is_named_with_its_process(processes: RankProcesses) -> None:
    for facts in whole(processes.run(with_fault, "vid2vid", {}, "strike", "independent", ranks=2)):
        assert [facts[name] for name in ("rank", "network", "what")] == [1, "discriminator", "the gradient"]
        assert facts["frame"] == 0
        assert facts["clip"] is not None


@pytest.mark.parametrize(
    ("place", "name"),
    [
        ("weight", "generator."),
        ("moment", "discriminator_optimizer.params.0.exp_avg"),
        ("count", "numbers"),
        ("lost", "generator_optimizer.params.0.exp_avg"),
    ],
)
def test_a_planted_difference_is_caught_and_named(processes: RankProcesses, place: str, name: str) -> None:
    for said in whole(processes.run(with_difference, place, ranks=4)):
        assert said.startswith(f"step 1: {name}")
        assert "(rank 2 differs)" in said
