"""What the numbers in the names of a sequence's frames say about their order, and about frames that are missing."""

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import pairwise
from statistics import median_low

from vs_data.findings import Finding, some, warning
from vs_data.names import numbers_of, pattern_of

_FIX_ORDER = 'pad the numbers with zeros, or let them count: order = "natural" in data, --order natural of data:check'

_UNEVEN = 0.5  # usual steps by which another may differ from it: numbers may be times, which are never even


def check_order(place: str, stems: Sequence[str]) -> Iterator[Finding]:
    """Warn where numbers say another order than that of the frames, where they jump, and of names unlike the others.

    What most names have in common counts; the others change nothing in that.

    Args:
        place: The folder of the sequence.
        stems: Names of its frames without extension, in their order.
    """
    usual, strays = _sorted_out(stems)
    if strays:
        like = pattern_of(usual[0])
        what = f"{len(strays)} of {len(stems)} frames are not called {like} like the others: {some(strays)}"
        yield warning("names unlike the others", place, what, "remove them, or call them as the others")
    numbers = [numbers_of(stem) for stem in usual]
    for index, (before, after) in enumerate(pairwise(numbers)):
        if before > after:
            what = f"sorted by name, frame {usual[index + 1]} follows {usual[index]}"
            yield warning("numbers out of order", place, what, _FIX_ORDER)
            return
    yield from _gaps(place, usual, numbers)


def _sorted_out(stems: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the names that can be compared, and strays among them; both empty where there is nothing to compare."""
    patterns = Counter(map(pattern_of, stems))
    pattern, count = patterns.most_common(1)[0] if patterns else ("", 0)
    if 2 * count > len(stems):
        usual = [stem for stem in stems if pattern_of(stem) == pattern]
        strays = [stem for stem in stems if pattern_of(stem) != pattern]
        return (usual, strays) if numbers_of(usual[0]) else ([], [])
    alike = len({len(numbers_of(stem)) for stem in stems}) == 1 and bool(numbers_of(stems[0]))
    return (list(stems), []) if alike else ([], [])


def _gaps(place: str, stems: Sequence[str], numbers: Sequence[Sequence[int]]) -> Iterator[Finding]:
    if len({tuple(found[:-1]) for found in numbers}) != 1:
        return  # more than one number counts
    steps = [after[-1] - before[-1] for before, after in pairwise(numbers)]
    usual = median_low(steps) if steps else 0
    if usual == 0 or sum(abs(step - usual) < _UNEVEN * usual for step in steps) < 2:
        return
    for index, step in enumerate(steps):
        if step - usual >= _UNEVEN * usual:
            what = f"frames are missing between {stems[index]} and {stems[index + 1]} (numbers usually grow by {usual})"
            yield warning("missing frames", place, what, "split the sequence there, or add the frames")
