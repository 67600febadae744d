"""Who a process is, and what processes ask one another."""

import subprocess
import sys

import pytest
from in_ranks import ask, leave, overlapped, sum_up
from rank_processes import RankProcesses, environment, whole
from vs_runtime.errors import RanksError
from vs_runtime.ranks import ONE, Ranks, ranks_of


def test_who_a_process_is_stands_in_the_environment() -> None:
    assert ranks_of({"HOME": "/", "MASTER_ADDR": "a"}) == ONE
    assert ranks_of(environment(0, 1)) == ONE
    assert ranks_of(environment(1, 2)) == Ranks(rank=1, count=2, local_rank=1, local_count=2)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"RANK": ""}, "RANK: not set"),
        ({"MASTER_PORT": "", "WORLD_SIZE": ""}, "WORLD_SIZE, MASTER_PORT: not set"),
        ({"LOCAL_RANK": "-1"}, "LOCAL_RANK: expected a whole number"),
        ({"RANK": "2"}, "RANK=2, WORLD_SIZE=2, LOCAL_RANK=1, LOCAL_WORLD_SIZE=2: contradict"),
        ({"LOCAL_WORLD_SIZE": "3"}, "contradict"),
    ],
)
def test_an_environment_that_is_not_whole_is_an_error(change: dict[str, str], said: str) -> None:
    with pytest.raises(RanksError, match=said):
        ranks_of({**environment(1, 2), **change})


def test_all_get_the_same_answers(processes: RankProcesses) -> None:
    """One process by itself gets its own."""
    assert ask(ONE) == ([-1.0, 0.0], [[0.0, 1.0]], {"from": 0, "x": "ä" * 5}, [[0]])
    expected = ([-1.0, 2.0], [[0.0, 1.0], [1.0, 2.0], [2.0, 3.0]], {"from": 0, "x": "ä" * 5}, [[0], [1], [2, 2, 2]])
    assert whole(processes.run(ask, ranks=3)) == [expected] * 3


@pytest.mark.parametrize("reduce", ["fast", "ordered"])
@pytest.mark.parametrize("parts", [1, 2])
@pytest.mark.parametrize("bucket_bytes", [1, 40, 2**20])
@pytest.mark.parametrize("kinds", [False, True])
def test_sums_of_gradients_are_those_of_all_parts(
    processes: RankProcesses, reduce: str, parts: int, bucket_bytes: int, kinds: bool
) -> None:
    """By the derivative: in a part parameter i has the gradient (part + 1) * (i + 1), and some have none at times."""
    total = sum(range(1, 3 * parts + 1))
    for found in whole(processes.run(sum_up, reduce, parts, bucket_bytes, kinds, ranks=3)):
        for used, gradients in found:
            expected = [total * (i + 1.0) if i in used else None for i in range(4)]
            # Of a parameter that only the last process uses, all get the gradient.
            expected[3] = 4.0 * sum(range(2 * parts + 1, 3 * parts + 1)) if 3 in used else None
            assert [None if g is None else float(g.unique()) for g in gradients] == expected
            assert gradients[0].stride() == (8, 1, 4, 2)  # channels-last, as the parameter is


@pytest.mark.parametrize("kind", ["vid2vid", "few-shot"])
def test_gradients_travel_while_the_backward_pass_goes_on(processes: RankProcesses, kind: str) -> None:
    """Once each kind of frame has been seen, each bucket goes as soon as it can, and nothing else does."""
    changes = {"curriculum": {"flow_steps": 0}} if kind == "few-shot" else {}
    for updates in whole(processes.run(overlapped, kind, changes, ranks=2)):
        assert len(updates) == 2 * 2 * 4  # of both networks, in each frame of two clips
        for gradients, travelling, sent, could in updates[8:]:
            assert travelling == gradients
            assert sent == could
            assert len(sent) > 2
        assert len({gradients for gradients, *_ in updates[8:]}) > 2  # not the same in all frames


ALONE = """
import sys, torch, vs_train.training, vs_train.planning.command
from vs_runtime.ranks import ONE, collected, gathered, gradient_sums, joined, most, told
with joined() as ranks:
    assert ranks is ONE
    most(ranks, [1.0]), told(ranks, 1), collected(ranks, 1), gathered(ranks, torch.zeros(1))
    weight = torch.nn.Parameter(torch.zeros(1))
    gradient_sums(ranks, [weight], reduce="ordered", bucket_bytes=1)
print([name for name in sys.modules if name.startswith("vs_runtime.ranks.")], torch.distributed.is_initialized())
print(weight._post_accumulate_grad_hooks)
print([name for name in ("torchmetrics", "scipy", "matplotlib", "tensorboard") if name in sys.modules])
"""


def test_one_process_loads_nothing_and_hangs_nothing_on_its_parameters() -> None:
    """PyTorch itself loads torch.distributed; there is no group, and of ours only what asks nobody.

    Nor does it load what takes seconds and is for whoever measures or draws: each process would wait for it.
    """
    done = subprocess.run([sys.executable, "-c", ALONE], capture_output=True, text=True, check=True)
    loaded = ["vs_runtime.ranks.members", "vs_runtime.ranks.collective"]
    assert done.stdout.splitlines() == [f"{loaded} False", "None", "[]"]


def test_hooks_do_not_keep_networks_alive(processes: RankProcesses) -> None:
    """A run that goes back to its beginning builds new ones."""
    assert whole(processes.run(leave, ranks=2)) == [True, True]
