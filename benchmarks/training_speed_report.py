"""Turns the rounds of `training_speed.py` into a markdown page.

Input: one `Contest` per algorithm and number of cores. Output: text.
"""

from statistics import median

from contest import Contest, versions
from pages import facts, spread, table
from peers.worker import Round

OURS, BASELINE, PEAK = "ours", "keras-fit", "matmul"

METHOD = """\
Each worker is a process of its own with one fixed random batch, so no input pipeline is in these figures (5 % of the
pixels are ignored). A step is forward (main and auxiliary output), loss, backward and SGD update (momentum 0.9, decay
1e-4, heads at ten times the rate), complete when the clock stops. All workers of a table are alive together on the
same cores, but only one computes: in each round every worker has its turn, the order rotates from round to round, and
a worker that waits is stopped. So a ratio compares two workers seconds apart, and a slow phase of the machine hits
all of them.

`matmul` multiplies square matrices of 2048 rows in PyTorch: what a CPU second can do at most. A step's floating point
operations are those of its convolutions, counted from their shapes, and the same for all workers; an operation that a
compiler leaves out counts all the same. `keras-fit` runs TensorFlow's default settings: without oneDNN on CPUs without
AVX512-VNNI.
"""


def page(title: str, machine: dict[str, str], settings: dict[str, str], contests: list[Contest], batch: int) -> str:
    parts = [f"# {title}\n", METHOD, "## Machine and settings\n", facts(machine, settings)]
    parts += ["## Versions\n", table(["worker", "versions"], versions(contests).items())]
    for contest in contests:
        parts += _section(contest, batch)
    return "\n".join(parts)


def _section(contest: Contest, batch: int) -> list[str]:
    cores = len(contest.cores)
    done = [name for name in contest.done() if name != PEAK]
    parts = [f"## {contest.name}, {cores} core{'s' * (cores > 1)}\n"]
    parts.append(f"Load average of the machine before: {contest.load_before:.2f}.\n")
    parts += [f"**{name} failed**: {why}\n" for name, why in contest.failures.items()]
    if not done:
        return [*parts, "No worker finished a round.\n"]
    base = OURS if OURS in done else done[0]
    head = ["worker", "images/s", "s/step", "CPU s/step", "of the peak of matmul", "peak RSS MB"]
    head += [f"s/step over {base}'s: min, median, max", "CPU s over its: median"]
    parts.append(table(head, [_row(contest, name, base, batch) for name in done]))
    peer = _fastest_peer(contest)
    if OURS in done and peer is not None:
        low, middle, high = spread(contest.ratios(peer, OURS))
        verdict = f"ours is **{middle:.2f}** times as fast ({low:.2f} to {high:.2f})"
        parts.append(f"Against the fastest peer, {peer}: {verdict}.\n")
    parts.append("Seconds per step (CPU seconds), every round:\n")
    rows = [[number, *(_turn(turns.get(name)) for name in done)] for number, turns in enumerate(contest.rounds, 1)]
    return [*parts, table(["round", *done], rows)]


def _fastest_peer(contest: Contest) -> str | None:
    peers = [name for name in contest.done() if name not in (OURS, BASELINE, PEAK)]
    return min(peers, key=contest.median, default=None)


def _turn(turn: Round | None) -> str:
    return f"{turn.wall:.2f} ({turn.cpu:.2f})" if turn else "-"


def _row(contest: Contest, name: str, base: str, batch: int) -> list[str]:
    turns = contest.finished(name)
    wall, cpu = contest.median(name), contest.median(name, "cpu")
    ratio = ", ".join(f"{value:.2f}" for value in spread(contest.ratios(name, base))) or "no common round"
    cpu_ratio = contest.ratios(name, base, "cpu")
    row = [name, f"{batch / wall:.3f}", f"{wall:.2f}", f"{cpu:.2f}", _share(contest, name)]
    row += [f"{turns[-1].rss_peak_mb:.0f}", ratio]
    return [*row, f"{median(cpu_ratio):.2f}" if cpu_ratio else "-"]


def _share(contest: Contest, name: str) -> str:
    """Operations in a CPU second, of those of the matrix product in the same round: the median."""
    work = [float(contest.versions.get(each, {}).get("TFLOP a step", "nan")) for each in (OURS, PEAK)]
    shares = [work[0] / work[1] / ratio for ratio in contest.ratios(name, PEAK, "cpu")]
    return f"{median(shares):.0%}" if shares and shares[0] == shares[0] else "-"
