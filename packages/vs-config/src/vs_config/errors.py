"""What is wrong with a configuration, as data: one line for each problem."""

from collections.abc import Sequence

import attrs


@attrs.frozen
class Problem:
    """One thing that is wrong with a configuration.

    Attributes:
        path: Where, from the root of the document: `$.optim.generator.lr`.
        message: What is wrong, with the offending value and what is allowed.
        source: The file, preset or command line that the value came from; empty when that is not known.
    """

    path: str
    message: str
    source: str = ""

    def __str__(self) -> str:
        """Return `source: path: message` in one line."""
        return ": ".join(part for part in (self.source, self.path, self.message) if part)


class ConfigError(Exception):
    """A configuration that cannot be used, with everything that is wrong with it.

    Attributes:
        problems: All problems found, in the order of the fields.
    """

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))
