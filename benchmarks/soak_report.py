"""Turns what the soak test saw into a markdown page and a verdict.

Input: the clients' tally, memory, checks. Output: text.
"""

from statistics import median, quantiles

from pages import facts, table
from soak_clients import GOOD, Tally
from soak_memory import ALLOWED_MB, ALLOWED_SHARE, Memory

METHOD = f"""\
Clients send one request after the other over HTTP: four in five are good ones (images of many sizes and forms, every
kind of reply), the fifth is hostile in one of the ways in the table below. A good reply has to be, byte for byte, what
the same model gives without a server (computed before). Hostile requests have to be answered with a status of their
kind and a JSON error, or may be hung up on where that is all that can be done. Clients that are refused with 503 wait
as long as Retry-After says and ask again. Memory is the resident set of each process, once a second. It is flat if the
median over the last quarter of the time exceeds the one over the second quarter by at most {ALLOWED_MB:g} MB or
{100 * ALLOWED_SHARE:g} %, whichever is more.
"""


def page(
    title: str, settings: dict[str, str], tally: Tally, memory: Memory, checks: dict[str, str]
) -> tuple[str, bool]:
    """The page, and whether all held."""
    verdicts = {"every reply is as it must be": "" if not tally.faults else f"{tally.faults} are not"}
    verdicts |= {"memory is flat": ", ".join(f"process {pid} grew" for pid in memory.samples if not memory.flat(pid))}
    verdicts |= checks
    rows = [[name, "yes" if not fault else f"**no**: {fault}"] for name, fault in verdicts.items()]
    parts = [f"# {title}\n", METHOD, table(["check", "holds"], rows), *_traffic(tally)]
    parts += ["## Memory, MB\n", _memory(memory), "## Machine and settings\n", facts(settings)]
    parts += ["## Every kind of request, and what came of it\n", _counts(tally)]
    return "\n".join(parts), not any(verdicts.values())


def summary(text: str) -> str:
    """The page without its tables of requests and settings."""
    return text[: text.index("## Machine")]


def _traffic(tally: Tally) -> list[str]:
    answered, refused = tally.number(good=True), tally.number(good=True, overloaded=True)
    hostile = tally.number(good=False) + tally.number(good=False, overloaded=True)
    text = (
        f"{answered} good requests were answered, {answered / max(tally.lasted, 1e-9):.1f} a second. {refused} times "
    )
    text += f"one was refused with 503 and came again. {hostile} requests were hostile."
    if len(tally.seconds) > 1:
        percentile = quantiles(tally.seconds, n=100)[98]
        text += f" An answer took {median(tally.seconds):.3f} s (median; 99 % took at most {percentile:.3f} s)."
    return [f"{text}\n", *(f"- {fault}" for fault in tally.first_faults), *[""][: len(tally.first_faults)]]


def _memory(memory: Memory) -> str:
    rows = []
    for number, pid in enumerate(memory.samples):
        quarters = [f"{memory.quarter(pid, quarter):.1f}" for quarter in (1, 3)]
        name = f"worker {number}" if number else "server"
        more = [f"{memory.growth(pid):+.1f}", f"{memory.slope(pid):+.1f}", f"{memory.peak(pid):.1f}"]
        rows.append([name, f"{memory.samples[pid][0][1]:.1f}", *quarters, *more])
    return table(["process", "start", "second quarter", "last quarter", "growth", "MB per hour", "peak"], rows)


def _counts(tally: Tally) -> str:
    kinds = sorted({kind for kind, _ in tally.counts}, key=lambda kind: (not kind.startswith(GOOD), kind))
    rows = []
    for kind in kinds:
        outcomes = sorted((outcome, count) for (its, outcome), count in tally.counts.items() if its == kind)
        rows.append([kind, sum(count for _, count in outcomes), ", ".join(f"{o}: {count}" for o, count in outcomes)])
    return table(["request", "times", "outcomes"], rows)
