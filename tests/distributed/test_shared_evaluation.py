"""Several processes share the sequences of an evaluation: the same figures and files, one voice, one message."""

import json
import shutil
from pathlib import Path
from typing import Any

import attrs
import cattrs
import pytest
import torch
from commands_in_ranks import Answer, run, run_together
from hypothesis import given
from hypothesis import strategies as st
from rank_processes import RankProcesses, whole
from toy_runs import FEW_SHOT, STREET, make_run
from vs_data import StreetConfig, open_source, write_folder
from vs_eval.sharing import in_words, own_share
from vs_metrics import Average
from vs_metrics.features import AlexLpipsConfig, VideoMaeConfig, save_features
from vs_metrics.features.weights import build
from vs_runtime.ranks import Ranks
from vs_training.quality.scoring import ClipScores

WEIGHTS = st.lists(st.integers(1, 300), max_size=40)

NETWORKS = {
    "lpips": AlexLpipsConfig(divisor=32),
    "videomae": VideoMaeConfig(width=2, depth=1, heads=1, inner=2, patch=16, tubelet=1, size=16, frames=3),
}
FEATURES = ["--features", *(f"{name}.safetensors" for name in NETWORKS)]
COMMANDS = {
    "vid2vid": ["vid2vid", "runs/street", "--device", "cpu", "--frames", "3", *FEATURES],
    "few-shot": ["few-shot", "runs/faces", "--device", "cpu", "--references", "1", "2", "--frames", "3", *FEATURES],
    "synthesize": ["synthesize", "runs/street", "--device", "cpu", "--labels", "streets"],
}
BAD = ["synthesize", "runs/street", "--device", "cpu", "--labels", "broken", "--out", "bad"]
PIPE = ["synthesize", "runs/street", "--device", "cpu", "--labels", "-"]
NOBODY = ["vid2vid", "runs/nobody"]
BY_ITSELF = ("package", "export", "numerics", "drift")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with runs of both kinds, three streets as folders, and the same with a bad label in the second."""
    root = tmp_path_factory.mktemp("place")
    three = attrs.evolve(STREET, data=attrs.evolve(STREET.data, val_sequences=3))
    make_run(root / "runs" / "street", three)
    make_run(root / "runs" / "faces", FEW_SHOT)
    assert isinstance(three.data, StreetConfig)
    write_folder(open_source(three.data, "val"), root / "streets", sequences=3)
    for name, config in NETWORKS.items():
        save_features(root / f"{name}.safetensors", build(config))
    shutil.copytree(root / "streets", root / "broken")
    second = sorted((root / "broken" / "seg_maps").iterdir())[1]
    sorted(second.iterdir())[2].write_bytes(b"no picture")
    return root


@pytest.fixture(scope="module")
def answers(place: Path, processes: RankProcesses) -> dict[str, list[Answer]]:
    """What two processes say to each command, and one alone to those that it can do; their files are below `place`."""
    commands = {name: [*command, "--out", f"shared/{name}"] for name, command in COMMANDS.items()}
    commands |= {"bad": BAD, "pipe": PIPE, "nobody": NOBODY, **{name: [name, "runs/street"] for name in BY_ITSELF}}
    found = {}
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as in the processes
    for name, command in commands.items():
        together = processes.start(run_together, command, place, ranks=2)
        if name in COMMANDS:
            found[f"{name} alone"] = [run([*COMMANDS[name], "--out", f"alone/{name}"], place)]
        found[name] = whole(together())
    torch.set_num_threads(threads)
    return found


@pytest.mark.parametrize("name", COMMANDS)
def test_two_processes_write_what_one_writes_bit_for_bit(
    name: str, place: Path, answers: dict[str, list[Answer]]
) -> None:
    assert [answer.status for answer in (*answers[f"{name} alone"], *answers[name])] == [0, 0, 0]
    made, wanted = contents(place / "shared" / name), contents(place / "alone" / name)
    assert len(wanted) >= 3
    assert made.keys() == wanted.keys()
    for file, content in wanted.items():
        if file == "report.json":
            assert figures(made[file]) == figures(content)
        elif file != "report.html":  # in which is the time
            assert made[file] == content, file


def contents(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file()}


def figures(report: bytes) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(report)
    del found["measured"]
    for of_process in ("cpus_usable", "threads"):  # which may have been bound to its share of the cores before
        del found["environment"][of_process]
    return found


def test_only_the_first_process_speaks(answers: dict[str, list[Answer]]) -> None:
    for name in COMMANDS:
        first, second = answers[name]
        assert (second.out, second.err) == ("", "")
        assert first.out != ""
    lines = answers["synthesize"][0].out.splitlines()
    assert len(lines) == 3
    assert all(line.endswith(": 4 frames") for line in lines)


def test_what_one_process_finds_the_first_one_says_with_its_number_and_the_file(
    place: Path, answers: dict[str, list[Answer]]
) -> None:
    first, second = answers["bad"]
    assert (first.status, second.status) == (2, 2)
    (line,) = [line for line in first.err.splitlines() if line.startswith("error: ")]
    assert line.startswith("error: rank 1 of 2: ")
    assert "000002.png" in line
    assert second.err == ""
    # The sequences of the first process are whole; the bad one has no final name.
    whole = [path.name for path in (place / "bad").iterdir() if "unfinished" not in path.name]
    assert len(whole) == 2


def test_what_is_wrong_everywhere_is_said_once(answers: dict[str, list[Answer]]) -> None:
    refused = {name: f"eval:{name} is done by one process, and torchrun has started 2" for name in BY_ITSELF}
    shared = {"pipe": "--labels: 2 processes cannot share a pipe", "nobody": "runs/nobody"}
    for name, words in {**shared, **refused}.items():
        first, second = answers[name]
        assert (first.status, second.status, second.err) == (2, 2, "")
        (line,) = first.err.splitlines()
        assert words in line
        assert "rank" not in line


@given(weights=WEIGHTS, count=st.integers(1, 12))
def test_every_piece_is_dealt_once_and_nobody_has_more_than_one_piece_too_many(weights: list[int], count: int) -> None:
    shares = [own_share(Ranks(rank=rank, count=count), weights) for rank in range(count)]
    assert sorted(piece for share in shares for piece in share) == list(range(len(weights)))
    assert all(share == sorted(share) for share in shares)
    loads = [sum(weights[piece] for piece in share) for share in shares]
    assert max(loads) - min(loads) <= max(weights, default=0)


def test_messages_name_the_rank_unless_all_say_the_same() -> None:
    assert in_words({0: "x", 1: "x"}, 2) == "x"
    assert in_words({1: "x"}, 2) == "rank 1 of 2: x"
    assert in_words({1: "x", 2: "y", 3: "x"}, 4) == "rank 1 of 4: x (and 2 other ranks)"


NUMBERS = st.floats(allow_nan=True, allow_infinity=True)


@given(
    totals=st.dictionaries(st.text(max_size=5), st.builds(Average, total=NUMBERS, weight=NUMBERS), max_size=3),
    curves=st.dictionaries(st.text(max_size=5), st.lists(NUMBERS, max_size=5).map(tuple), max_size=3),
)
def test_scores_come_through_json_bit_for_bit(totals: dict[str, Average], curves: dict[str, tuple[float, ...]]) -> None:
    scores = ClipScores(name="a/b", frames=3, totals=totals, curves=curves, broken=(1, 2))
    back = cattrs.structure(json.loads(json.dumps(cattrs.unstructure(scores))), ClipScores)
    assert repr(back) == repr(scores)
