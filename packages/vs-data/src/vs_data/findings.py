"""What is found to be wrong with data, one thing at a time."""

from collections.abc import Sequence
from typing import Literal

import attrs
from vs_config import shown

from vs_data.content import Content

_NAMED = 5


@attrs.frozen(kw_only=True)
class Finding:
    """One thing that is wrong with a data folder.

    Attributes:
        severity: "error": training on the folder would fail; "warning": it would work, but is it meant?
        file: The file or folder concerned.
        what: What is wrong with it.
        fix: What to do.
        kind: What findings of its kind have in common, in a few words, to count them by.
    """

    severity: Literal["error", "warning"]
    file: str
    what: str
    fix: str = ""
    kind: str = ""


def error(file: Content | str | None, what: str, fix: str | None) -> Finding:
    """Make a finding of what makes training fail."""
    return Finding(severity="error", file=str(file), what=what, fix=fix or "")


def warning(kind: str, file: Content | str, what: str, fix: str) -> Finding:
    """Make a finding of what would work, but may not be meant."""
    return Finding(kind=kind, severity="warning", file=str(file), what=what, fix=fix)


def some(names: Sequence[str], limit: int = _NAMED) -> str:
    """Write the first few of some names in words: "a, b, c and 4 more"."""
    more = len(names) - limit
    return ", ".join(names[:limit]) + (f" and {more} more" if more > 0 else "")


def counted(count: int, thing: str) -> str:
    """Write a number of things in words: "1 warning", "3 warnings"."""
    return f"{count} {thing}{'s' * (count != 1)}"


def in_words(finding: Finding, *, severity: bool = True) -> str:
    """Write a finding in one line, fit to be shown: `warning FILE: WHAT; FIX`, or the same without its severity."""
    cure = f"; {finding.fix}" if finding.fix else ""
    begin = f"{finding.severity} " if severity else ""
    return shown(f"{begin}{finding.file}: {finding.what}{cure}")


def shortened(
    findings: Sequence[Finding], all_of_them: str, each: int = 3, *, severity: bool = True
) -> tuple[str, ...]:
    """Write the first few findings of each kind in lines fit to be shown, and how many more there are of it.

    Args:
        findings: What was found.
        all_of_them: What shows all, in words.
        each: How many of a kind.
        severity: Whether lines begin with it.
    """
    kinds: dict[str, list[Finding]] = {}
    for finding in findings:
        kinds.setdefault(finding.kind, []).append(finding)
    lines = []
    for kind, found in kinds.items():
        lines += [in_words(finding, severity=severity) for finding in found[:each]]
        if len(found) > each:
            lines.append(shown(f"... and {len(found) - each} more ({kind}): {all_of_them}"))
    return tuple(lines)
