"""Turns the phases of `overload.py` into a markdown page and a verdict.

Input: the phases peak, normal, double and after. Output: text.
"""

from __future__ import annotations

from collections import Counter
from statistics import median, quantiles
from typing import TYPE_CHECKING

from pages import facts, table

if TYPE_CHECKING:
    from overload import Exchange, Phase

LEAST_SHARE, REFUSAL_SECONDS, RECOVERY_SECONDS = 0.9, 0.05, 5.0
SLOWER, IN_A_ROW = 2.0, 5
TIMELINE_SECONDS = 10.0

METHOD = f"""\
Four phases, one after the other without a pause. *peak*: a few clients, each of which sends its next request when the
last one has been answered; the good replies of a second are the server's best. *normal*: half as many
requests a second, evenly spaced. *double*: twice the peak's number, whatever comes back. *after*: as normal. Every
request has a connection of its own, and those that are refused do not come again. Goodput is the number of good replies
that were complete within the phase, a second. The server has recovered when {IN_A_ROW} requests in a row are answered,
each in at most {SLOWER:g} times the median of the phase normal; the clock starts when the doubled load ends.
"""


def page(title: str, settings: dict[str, str], phases: list[Phase]) -> tuple[str, bool]:
    """The page, and whether all held."""
    peak, normal, double, after = phases
    share = double.goodput / peak.goodput if peak.goodput else 0.0
    refusals = [exchange.taken for exchange in double.exchanges if exchange.status == 503]
    others = Counter(
        exchange.status for phase in phases for exchange in phase.exchanges if exchange.status not in (200, 503)
    )
    quick = percentile(refusals, 99)
    recovery = recovered(after, SLOWER * median(exchange.taken for exchange in normal.exchanges))
    verdicts = [
        ["goodput under double load", f"{share:.1%} of the peak", f"at least {LEAST_SHARE:.0%}", share >= LEAST_SHARE],
        ["99 % of the refusals", f"{1000 * quick:.1f} ms", f"{1000 * REFUSAL_SECONDS:g} ms", quick <= REFUSAL_SECONDS],
        ["recovery", f"{recovery:.1f} s", f"{RECOVERY_SECONDS:g} s", recovery <= RECOVERY_SECONDS],
        ["replies other than 200 and 503", str(dict(others) or "none"), "none", not others],
    ]
    rows = [[*words, "yes" if held else "**no**"] for *words, held in verdicts]
    parts = [f"# {title}\n", METHOD, table(["what", "measured", "aim", "reached"], rows)]
    parts += ["## Phases\n", table(_HEAD, [_row(phase) for phase in phases])]
    parts += ["## The doubled load as it went\n", _timeline(double), "## Machine and settings\n", facts(settings)]
    return "\n".join(parts), all(held for *_, held in verdicts)


def recovered(after: Phase, most: float) -> float:
    """Seconds until requests are answered within `most` seconds again; infinite if that does not come."""
    exchanges = sorted(after.exchanges, key=lambda exchange: exchange.begun)
    fine = [exchange.good and exchange.taken <= most for exchange in exchanges]
    for number in range(len(exchanges) - IN_A_ROW + 1):
        if all(fine[number : number + IN_A_ROW]):
            return exchanges[number].begun
    return float("inf")


def percentile(values: list[float], percent: int) -> float:
    if len(values) < 2:
        return max(values, default=0.0)
    return quantiles(values, n=100, method="inclusive")[percent - 1]


_HEAD = ["phase", "seconds", "requests", "200", "503", "goodput, 1/s", "seconds for a 200: median, 99 %"]
_HEAD += ["ms for a 503: median, 99 %, most"]


def _row(phase: Phase) -> list[str]:
    good, refused = _taken(phase.exchanges, 200), _taken(phase.exchanges, 503)
    row = [phase.name, f"{phase.seconds:g}", str(len(phase.exchanges)), str(len(good)), str(len(refused))]
    row += [f"{phase.goodput:.2f}", f"{median(good):.3f}, {percentile(good, 99):.3f}" if good else "-"]
    figures = (median(refused), percentile(refused, 99), max(refused)) if refused else ()
    return [*row, ", ".join(f"{1000 * figure:.1f}" for figure in figures) or "-"]


def _taken(exchanges: list[Exchange], status: int) -> list[float]:
    return [exchange.taken for exchange in exchanges if exchange.status == status]


def _timeline(phase: Phase) -> str:
    rows, first = [], 0.0
    while first < phase.seconds:
        last = min(first + TIMELINE_SECONDS, phase.seconds)
        done = [exchange for exchange in phase.exchanges if first < exchange.begun + exchange.taken <= last]
        good, refused = _taken(done, 200), _taken(done, 503)
        worst = f"{1000 * max(refused):.1f}" if refused else "-"
        rows.append([f"{first:g} to {last:g} s", f"{len(good) / (last - first):.2f}", len(refused), worst])
        first = last
    return table(["time", "good replies a second", "refused", "slowest refusal, ms"], rows)
