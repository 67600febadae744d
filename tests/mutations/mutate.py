"""Damage as it happens to files, drawn from a seed: the same number always gives the same mutation."""

import contextlib
import json
import os
import random
import shutil
import signal
import string
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

NASTY_NUMBERS = (
    "-1",
    "0",
    "1e999",
    "-0.0",
    "nan",
    "inf",
    "1" + "0" * 30,
    "1" * 5000,
    "0.1",
    "3",
    "1_0",
    "0x10",
    "1e-400",
)
NASTY_VALUES = (
    *NASTY_NUMBERS, "true", '"x"', "''", "[]", "{}", "[[[[[[1]]]]]]", "1979-05-27", '"none"', '"~nobody-here/x"',
    '"a\\u001b[2Jb"', '"C:\\Users\\me"', '"\\u0000"', "{a = {b = 1}}", "[1, 'x']", '"' + "y" * 300 + '"', "",
    "[" * 600 + "]" * 600, '"../../../etc"',
)  # fmt: skip
NASTY_JSON: tuple[Any, ...] = (
    None, True, "x", [], {}, -1, 0, 1.5, float("nan"), float("inf"), 10**30, [[1]], {"a": None}, "\x1b[2J", "1", 3,
)  # fmt: skip
NASTY_BYTES = (b"\x00", b"\xff\xfe", b"\n", b"\x1b[2J", b"[" * 3000, "é".encode("utf-16"), b"}", b'"', b"\xef\xbb\xbf")


def over(seeds: Iterable[int], one: Callable[[int], str]) -> set[str]:
    """Try every seed and return what came of them; what went wrong is raised at the end, for all seeds together."""
    ends, faults = set(), []
    for seed in seeds:
        try:
            ends.add(one(seed))
        except Hang as hang:
            faults.append(f"seed {seed}: {hang}")
        except Exception as error:
            notes = " ".join(getattr(error, "__notes__", ()))
            faults.append(f"seed {seed}: {notes}: {type(error).__name__}: {str(error)[:600]}")
    if faults:
        raise AssertionError("\n".join(faults))
    return ends


class Hang(BaseException):
    """Something that took longer than anything here may take; no handler of the product catches it."""


@contextlib.contextmanager
def no_longer_than(seconds: float) -> Iterator[None]:
    """Raise `Hang` in the main thread when the time is over, also while it waits for a file to be opened."""

    def ring(*_: object) -> None:
        raise Hang(f"still there after {seconds} s")

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def mutate_bytes(data: bytes, rng: random.Random) -> bytes:
    """Flip bits, cut, insert, repeat or blank a part."""
    at, length = rng.randrange(len(data) + 1), rng.choice((1, 4, 64))
    return rng.choice((_flip, _cut, _insert, _drop, _repeat, _blank))(data, at, length, rng)


def _flip(data: bytes, at: int, length: int, rng: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(length if changed else 0):
        changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def _cut(data: bytes, at: int, length: int, rng: random.Random) -> bytes:
    return data[:at]


def _insert(data: bytes, at: int, length: int, rng: random.Random) -> bytes:
    return data[:at] + rng.choice(NASTY_BYTES) + data[at:]


def _drop(data: bytes, at: int, length: int, rng: random.Random) -> bytes:
    return data[:at] + data[at + length :]


def _repeat(data: bytes, at: int, length: int, rng: random.Random) -> bytes:
    return data[: at + length] + data[at:]


def _blank(data: bytes, at: int, length: int, rng: random.Random) -> bytes:
    return data[:at] + bytes(len(data[at : at + length])) + data[at + length :]


def mutate_toml(text: str, rng: random.Random) -> bytes:
    """Misspell a key, replace a value, drop or repeat a line, or damage the bytes."""
    lines = text.splitlines()
    number = rng.choice([index for index, line in enumerate(lines) if line and not line.startswith("#")])
    key, equals, value = lines[number].partition(" = ")
    kind = rng.choice(("value", "value", "value", "key", "drop", "repeat", "section", "bytes"))
    if kind == "value" and equals:
        lines[number] = f"{key} = {rng.choice(NASTY_VALUES)}"
    elif kind == "key":
        lines[number] = misspelt(key, rng) + equals + value
    elif kind == "drop":
        del lines[number]
    elif kind == "repeat":
        lines.insert(rng.randrange(len(lines)), lines[number])
    elif kind == "section":
        lines.insert(rng.randrange(len(lines)), rng.choice(("[data]", "[nowhere]", "[[data.labels]]", "[run.steps]")))
    else:
        return mutate_bytes(text.encode(), rng)
    return "\n".join(lines).encode()


def misspelt(word: str, rng: random.Random) -> str:
    """Change, drop or double one letter."""
    at = rng.randrange(len(word))
    return word[:at] + rng.choice(("", word[at] * 2, rng.choice(string.ascii_lowercase))) + word[at + 1 :]


def mutate_json(document: Any, rng: random.Random) -> Any:
    """Replace, drop or rename one value somewhere in a JSON document."""
    paths = list(_paths(document))
    if not paths:
        return rng.choice(NASTY_JSON)
    *path, key = rng.choice(paths)
    copy = json.loads(json.dumps(document))
    inner = copy
    for part in path:
        inner = inner[part]
    kind = rng.choice(("value", "value", "drop"))
    if kind == "drop":
        del inner[key]
    else:
        inner[key] = rng.choice(NASTY_JSON)
    return copy


def _paths(document: Any, above: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    pairs = (
        document.items() if isinstance(document, dict) else enumerate(document) if isinstance(document, list) else ()
    )
    for key, value in pairs:
        yield (*above, key)
        yield from _paths(value, (*above, key))


def mutate_file(path: Path, others: list[Path], rng: random.Random) -> str:
    """Damage a file in place, or put something else where it was; return what was done, in a word."""
    name, damage = rng.choice(sorted(_DAMAGES(others).items()))
    damage(path, rng)
    return name


def _DAMAGES(others: list[Path]) -> dict[str, Callable[[Path, random.Random], object]]:  # noqa: N802
    return {
        **{f"bytes {n}": lambda path, rng: path.write_bytes(mutate_bytes(path.read_bytes(), rng)) for n in range(9)},
        "empty": lambda path, rng: path.write_bytes(b""),
        "gone": lambda path, rng: path.unlink(),
        "another": lambda path, rng: path.write_bytes(rng.choice(others).read_bytes()),
        "folder": lambda path, rng: (path.unlink(), path.mkdir()),
        "fifo": lambda path, rng: (path.unlink(), os.mkfifo(path)),
        "loop": lambda path, rng: (path.unlink(), path.symlink_to(path.name)),
        "dangling": lambda path, rng: (path.unlink(), path.symlink_to("nowhere")),
        "renamed": lambda path, rng: path.rename(path.with_name(_new_name(path, rng))),
    }


def _new_name(path: Path, rng: random.Random) -> str:
    return rng.choice(
        (
            path.stem + "\x1b[2J" + path.suffix,
            path.stem + "\nerror: all is lost" + path.suffix,
            path.stem + path.suffix.upper(),
            path.stem + "\udcff" + path.suffix,
            "z" * 240 + path.suffix,
            path.name + ".bak",
            "[red]" + path.name,
        )
    )


def snapshot(root: Path) -> dict[str, object]:
    """Everything below a folder: the bytes of files, and of what is none its kind."""
    found: dict[str, object] = {}
    for path in sorted(root.rglob("*")):
        name = str(path.relative_to(root))
        if path.is_symlink():
            found[name] = ("link", str(path.readlink()))
        else:
            found[name] = path.read_bytes() if path.is_file() else path.stat().st_mode
    return found


def copy_tree(source: Path, target: Path) -> Path:
    """Copy a folder to where nothing is."""
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(source, target, symlinks=True)
    return target
