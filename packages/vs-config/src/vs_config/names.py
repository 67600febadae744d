"""Names and paths in messages: how they are written, and which valid name is nearest to a wrong one."""

import difflib
import re
from collections.abc import Iterable

from vs_config.text import show

_LONGEST_NAME = 80
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")


def child(path: str, key: str | int) -> str:
    """Return the path of a key, or of an item of a list, below a path: `oven.shelves[1]`."""
    if type(key) is int:
        return f"{path}[{key}]"
    text = str(key)
    return join(path, text if _BARE_KEY.fullmatch(text) and len(text) <= _LONGEST_NAME else show(text, _LONGEST_NAME))


def join(path: str, below: str) -> str:
    """Return the path that leads to `below` from where `path` leads; an empty path leads nowhere else."""
    between = "" if not path or not below or below.startswith("[") else "."
    return f"{path}{between}{below}"


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return a hint at the valid name that is nearest to a wrong one; empty where none is near."""
    close = difflib.get_close_matches(name[:_LONGEST_NAME], list(known), n=1)  # to compare long texts takes long
    return f"did you mean '{close[0]}'?" if close else ""


def nearest(name: str, known: Iterable[str], noun: str = "keys") -> str:
    """Return a hint: the valid name nearest to a wrong one, or all valid names when none is near."""
    names = list(known)
    everything = f"valid {noun}: {', '.join(names)}" if names else f"there are no {noun} here"
    return did_you_mean(name, names) or everything


def unknown_key(name: str, known: Iterable[str]) -> str:
    """Return the message about a key that does not exist."""
    return f"unknown key; {nearest(name, known)}"


def one_of(choices: Iterable[object]) -> str:
    """Return what is expected where a few words or numbers are allowed, in words."""
    shown = [show(choice) for choice in choices]
    return f"{'one of ' if len(shown) > 1 else ''}{', '.join(shown)}"
