"""Words on the command line of this package: numbers with bounds, paths that can be, texts that are not empty."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter, Token
from vs_config import Range, option_path
from vs_config.commands import FOLLOWED, option_of, option_paths


def _path(_: Any, tokens: Sequence[Token]) -> Path:
    return option_path(tokens[0].value)


def _place(_: Any, tokens: Sequence[Token]) -> str:
    text = tokens[0].value
    if text.startswith("-") and text != "-":
        raise ValueError(f"expected a value, got the option {text}")
    return text


def _words(_: Any, tokens: Sequence[Token]) -> str:
    text = tokens[0].value
    if not text.strip():
        raise ValueError(f"expected a text that is not empty, got {text!r}")
    return text


Place = Annotated[str | None, Parameter(converter=_place, allow_leading_hyphen=True)]
"""Where labels come from or frames go; `-` is a pipe."""

Count = Annotated[int | None, option_of(Range(kind=int, low=1, high=1_000_000))]
"""How many, or what there is by default."""

References = Annotated[
    tuple[int, ...],
    option_of(Range(kind=int, low=1, high=1_000), several=True),
    FOLLOWED,
]
"""As many numbers as follow."""

Step = Annotated[int | Literal["best"] | None, option_of(Range(kind=int, low=0, high=10**8 - 1), words=("best",))]
"""A training step, the checkpoint that is kept as the best, or what there is by default."""

Scale = Annotated[float | None, option_of(Range(kind=float, low=1e-30, high=1e30))]
"""A loss scale in float32, or what there is by default."""

Rate = Annotated[float | None, option_of(Range(kind=float, low=0.1, high=1000))]
"""Frames per second, or what there is by default."""

Quality = Annotated[int | None, option_of(Range(kind=int, low=0, high=63))]
"""A constant rate factor, or what there is by default."""

Megabytes = Annotated[float, option_of(Range(kind=float, low=0.1, high=10_000))]
"""How large something may be."""

Sizes = Annotated[tuple[str, ...], FOLLOWED]
"""As many sizes as follow."""

Several = Annotated[int, option_of(Range(kind=int, low=1, high=100_000))]
"""A number that is not left out."""

ManyFrames = Annotated[int, option_of(Range(kind=int, low=31, high=3_000))]
"""More frames than make a band, and not more than a world has."""

Paths = Annotated[tuple[Path, ...], Parameter(converter=option_paths), FOLLOWED]
"""As many files as follow."""

EachPath = Annotated[Path, Parameter(converter=_path)]
"""A file or directory."""

AnyPath = Annotated[Path | None, Parameter(converter=_path)]
"""A file or directory, or what there is by default."""

Words = Annotated[str | None, Parameter(converter=_words)]
"""A text, or none."""
