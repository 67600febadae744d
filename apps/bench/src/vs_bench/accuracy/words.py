"""How the accuracy experiment's findings read: a few sentences on each level, and a table."""

import math
import statistics
from collections.abc import Iterator, Mapping, Sequence

from rich.table import Table

from vs_bench.accuracy.plan import BASELINE, is_planted
from vs_bench.accuracy.report import FLOORS, JUDGED, Finding
from vs_bench.accuracy.verdict import ERROR, Difference, Judgement, overall


def shown(score: str, value: float) -> str:
    """Return a difference or a spread in the digits and the unit of its score, such as `+0.12 dB`."""
    deciding = JUDGED[score]
    return f"{value:.{deciding.digits}f}{f' {deciding.unit}' if deciding.unit else ''}"


def title(score: str) -> str:
    """Return what a score is called, such as `PSNR`."""
    return JUDGED[score].title


def statements(finding: Finding, faults: Mapping[str, str]) -> tuple[str, ...]:
    """Say what is to be known of O0, the conclusion on each level, and what became of the faults; a line each.

    Args:
        finding: what was found.
        faults: level with a planted fault -> what was planted, in words.
    """
    said = [f"{finding.name}, {BASELINE}: " + "; ".join(_learnt(finding, score) for score in JUDGED) + "."]
    for level, verdicts in finding.verdicts.items():
        sentences = [_sentence(finding, level, score) for score in verdicts]
        said.append(f"{finding.name}, {level} against {BASELINE}: {overall(verdicts)}. {'; '.join(sentences)}.")
    for level, judged in finding.judgements.items():
        if is_planted(level):
            seen = [title(score) for score in JUDGED if judged[score].worse]
            lost = "; ".join(f"{title(s)} {_difference(s, judged[s].difference)}" for s in JUDGED)
            found = f"found out in {' and '.join(seen)}" if seen else "not found out"
            said.append(f"{finding.name}, {level} ({faults[level]}): {found}. {lost}.")
    return tuple(said)


def _learnt(finding: Finding, score: str) -> str:
    judged = next(iter(finding.judgements.values()))[score]
    floor = f"{FLOORS[judged.floor.name]} ({shown(score, judged.floor.value)})"
    text = f"{title(score)} is {shown(score, judged.learnt)} above {floor}"
    if judged.learnt <= 0:
        text = f"{title(score)} is not above {floor}, so that nothing was learnt and nothing can be told"
    for other in finding.unbeaten[score]:
        text += f", though not above {FLOORS[other.name]} ({shown(score, other.value)})"
    return text


def _sentence(finding: Finding, level: str, score: str) -> str:
    judged, verdict = finding.judgements[level][score], finding.verdicts[level][score]
    parts = [f"{title(score)}: {verdict}", _difference(score, judged.difference)]
    if judged.reasons:
        parts.append(f"in {' and '.join(judged.reasons)}")
    parts.append(f"the margin is {shown(score, judged.margin)}")
    parts.append(f"the spreads are {shown(score, judged.spreads.baseline)} and {shown(score, judged.spreads.arm)}")
    parts += _troubles(level, judged)
    if verdict == "cannot tell" and judged.verdict != verdict:
        parts.append("no planted fault was found out in it")
    if verdict != "different" and math.isfinite(judged.difference.mean):
        parts.append(_power(score, judged))
    return ", ".join(parts)


def _power(score: str, judged: Judgement) -> str:
    compared = judged.difference
    return (
        f"such runs without any difference would be found equivalent in {100 * compared.power(judged.margin):.0f} % of"
        f" all cases (with a margin of {shown(score, compared.least_margin)} in 80 %),"
        f" and different by {shown(score, compared.least_seen)} be seen in 80 %"
    )


def _troubles(level: str, judged: Judgement) -> Iterator[str]:
    """Name single runs that speak against equivalence."""
    for name, collapsed in ((BASELINE, judged.collapses.baseline), (level, judged.collapses.arm)):
        if collapsed:
            yield f"of {name} {_seeds(collapsed)} collapsed (learnt next to nothing)"
    pairs = (
        (BASELINE, judged.baseline_laggards, judged.collapses.baseline),
        (level, judged.laggards, judged.collapses.arm),
    )
    for name, laggards, collapsed in pairs:
        if rest := [seed for seed in laggards if seed not in collapsed]:
            yield f"of {name} {_seeds(rest)} below what the other level's spread allows"


def _seeds(seeds: Sequence[int]) -> str:
    return f"seed{'s' if len(seeds) > 1 else ''} {', '.join(map(str, seeds))}"


def _difference(score: str, compared: Difference) -> str:
    if math.isnan(compared.mean):
        return "has no difference of means, since too few runs came to an end"
    low, high = compared.interval(2 * ERROR)
    return f"differs by {shown(score, compared.mean)} (90 %: {shown(score, low)} to {shown(score, high)})"


def table_of(findings: Sequence[Finding]) -> Table:
    """Make a row for each experiment, deciding score and level: mean and spread over seeds, difference, verdict."""
    table = Table(title="held-out clips, EMA of the generator, own roll-out", title_justify="left")
    headings = ("network", "score", "level", "runs", "mean", "sd", "worst", "to O0", "90 %", "margin", "verdict")
    for heading in headings:
        left = heading in ("network", "score", "level", "verdict")
        table.add_column(heading, justify="left" if left else "right", no_wrap=heading != "verdict")
    for finding in findings:
        for score in JUDGED:
            for level in finding.levels:
                table.add_row(*_row(finding, score, level), end_section=level == finding.levels[-1])
    return table


def _row(finding: Finding, score: str, level: str) -> tuple[str, ...]:
    digits = JUDGED[score].digits
    scores = finding.scores_of(level, score).values()
    known = [value for value in scores if math.isfinite(value)]
    spread = statistics.stdev(known) if len(known) > 1 else math.nan
    worst = min(known) if len(known) == len(scores) else math.nan
    mean = statistics.fmean(known) if known else math.nan
    numbers = [f"{value:.{digits}f}" for value in (mean, spread, worst)]
    row = (finding.name, title(score), level, str(len(scores)), *numbers)
    if level == BASELINE:
        return (*row, "", "", "", "")
    judged = finding.judgements[level][score]
    low, high = judged.difference.interval(2 * ERROR)
    interval = f"{low:+.{digits}f} to {high:+.{digits}f}"
    margin = f"{judged.margin:.{digits}f}"
    return (*row, f"{judged.difference.mean:+.{digits}f}", interval, margin, _said(finding, level, score))


def _said(finding: Finding, level: str, score: str) -> str:
    if not is_planted(level):
        return finding.verdicts[level][score]
    return "found out" if finding.judgements[level][score].worse else "not found out"
