"""The page on data: its commands are taken as they stand, so that whoever copies one begins to train."""

import re
import shlex
import tomllib
from pathlib import Path

import pytest
from vs_data.labels import kind_in_table, kind_of
from vs_train.cli import main

PAGE = Path(__file__).resolve().parents[2] / "docs" / "data.md"
COMMANDS = [
    shlex.split(line)[2:]
    for block in re.findall(r"^```sh\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    for line in block.replace("\\\n", " ").splitlines()
]
TRAINING = [words for words in COMMANDS if words[0].startswith("train:") and "--config" not in words]
CHECKING = [words for words in COMMANDS if words[0] == "data:check" and "--labels" in words]


@pytest.mark.parametrize("words", TRAINING, ids=" ".join)
def test_what_the_page_trains_by_is_a_configuration(words, capsys):
    assert main([words[0].removeprefix("train:"), *words[1:], "--print-config"]) == 0
    wanted = next(word for word in words if word.startswith("data.kind=")).partition("=")[2]
    assert tomllib.loads(capsys.readouterr().out)["data"]["kind"] == wanted


@pytest.mark.parametrize("words", CHECKING, ids=" ".join)
def test_what_the_page_checks_are_kinds_of_labels(words):
    word = words[words.index("--labels") + 1]
    assert kind_in_table(word) is not None or ":" in word
    assert kind_of(word)[1]


def test_the_page_has_a_command_for_each_of_its_cases():
    cases = PAGE.read_text().partition("## I have ...")[2].partition("\n## ")[0].split("\n\n**")[1:]
    assert len(cases) == 13
    assert {case.partition("**")[0] for case in cases if "hatch run" not in case} == set()
