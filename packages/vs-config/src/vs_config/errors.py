"""What is wrong with a configuration, as data; programs say it as one line for each problem."""

from collections.abc import Iterable, Sequence
from typing import Self

import attrs

from vs_config.names import did_you_mean, join, one_of
from vs_config.text import show


@attrs.frozen
class Problem:
    """One thing that is wrong with a configuration.

    Whoever finds it gives the path from the object that was looked at; what holds that object puts its own in front.

    Attributes:
        path: Where: `oven.heat`; empty for the object as a whole.
        message: What is to be said beside what was expected, such as a remedy; alone, where no value was wrong.
        source: The file, preset or command line that the value came from; empty when that is not known.
        expected: What is allowed, in words; empty where no value was wrong.
        got: The value, where something was expected.
    """

    path: str
    message: str = ""
    source: str = ""
    expected: str = attrs.field(default="", kw_only=True)
    got: object = attrs.field(default=None, kw_only=True)

    def below(self, path: str) -> Self:
        """Return the same problem as what holds the object at `path` sees it."""
        return attrs.evolve(self, path=join(path, self.path))

    def __str__(self) -> str:
        """Return `source: path: expected ..., got ...; message` in one line."""
        value = f"expected {self.expected}, got {show(self.got)}" if self.expected else ""
        said = "; ".join(part for part in (value, self.message) if part)
        return ": ".join(part for part in (self.source, self.path, said) if part)


class ConfigError(ValueError):
    """A configuration that cannot be used, with everything that is wrong with it.

    Attributes:
        problems: All problems found, in the order of the fields.
    """

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__(self.problems)

    def __str__(self) -> str:
        """Return a line for each problem."""
        return "\n".join(str(problem) for problem in self.problems)


class DocumentError(ConfigError):
    """A document that cannot be read as one.

    Attributes:
        line: Where, counted from 1, when known.
        column: The same.
    """

    def __init__(self, source: str, problem: str, *, line: int | None = None, column: int | None = None) -> None:
        self.line = line
        self.column = column
        place = "" if line is None else f" (line {line}, column {column or 1})"
        super().__init__([Problem("", problem + place, source)])


def refuse(path: str, expected: str, got: object, hint: str = "") -> ConfigError:
    """Return the error about one value."""
    return ConfigError([Problem(path, hint, expected=expected, got=got)])


def refuse_choice(path: str, choices: Iterable[object], got: object) -> ConfigError:
    """Return the error about a value that is none of a few words or numbers."""
    known = list(choices)
    words = [choice for choice in known if type(choice) is str]
    return refuse(path, one_of(known), got, did_you_mean(got, words) if type(got) is str else "")
