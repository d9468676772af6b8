"""Turns the rounds of `training_speed.py` into a markdown page.

In: one `Contest` per algorithm and number of cores. Out: text. Called by `training_speed.py`.
"""

from dataclasses import dataclass, field
from statistics import median

from peers.worker import Round

OURS, BASELINE = "ours", "keras-fit"

METHOD = """\
Each worker is a process of its own with one fixed random batch, so no input pipeline is in these figures (5 % of the
pixels are ignored). A step is forward (main and auxiliary output), loss, backward and SGD update (momentum 0.9, decay
1e-4, heads at ten times the rate), complete when the clock stops. All workers of a table are alive together on the
same cores, but only one computes: in each round every worker has its turn, the order rotates from round to round, and
a worker that waits is stopped. So a ratio compares two workers seconds apart, and a slow phase of the machine hits
all of them.
"""


@dataclass
class Contest:
    """Workers that ran against each other. `rounds[i]` maps worker to its i-th round; one that failed is missing."""

    algorithm: str
    cores: list[int]
    batch: int
    load_before: float
    workers: list[str]
    rounds: list[dict[str, Round]] = field(default_factory=list)
    versions: dict[str, dict[str, str]] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)

    def finished(self, worker: str) -> list[Round]:
        return [turns[worker] for turns in self.rounds if worker in turns]

    def ratios(self, worker: str, base: str, what: str = "wall") -> list[float]:
        """Seconds of `worker` over seconds of `base`, per round that both finished: above 1, `base` is the faster."""
        both = [(turns[worker], turns[base]) for turns in self.rounds if worker in turns and base in turns]
        return [getattr(one, what) / getattr(other, what) for one, other in both]

    def fastest_peer(self) -> str | None:
        peers = [name for name in self.workers if name not in (OURS, BASELINE) and self.finished(name)]
        return min(peers, key=lambda name: median(turn.wall for turn in self.finished(name)), default=None)


def page(title: str, machine: dict[str, str], settings: dict[str, str], contests: list[Contest]) -> str:
    parts = [f"# {title}\n", METHOD, "## Machine and settings\n", _table(["", ""], (machine | settings).items())]
    parts += ["## Versions\n", _table(["worker", "versions"], _versions(contests).items())]
    for contest in contests:
        parts += _section(contest)
    return "\n".join(parts)


def _section(contest: Contest) -> list[str]:
    cores = len(contest.cores)
    done = [name for name in contest.workers if contest.finished(name)]
    parts = [f"## {contest.algorithm}, {cores} core{'s' * (cores > 1)}\n"]
    parts.append(f"Load average of the machine before: {contest.load_before:.2f}.\n")
    parts += [f"**{name} failed**: {why}\n" for name, why in contest.failures.items()]
    if not done:
        return [*parts, "No worker finished a round.\n"]
    base = OURS if OURS in done else done[0]
    head = ["worker", "images/s", "s/step", "CPU s/step", "peak RSS MB"]
    head += [f"s/step over {base}'s: min, median, max", "CPU s over its: median"]
    parts.append(_table(head, [_row(contest, name, base) for name in done]))
    peer = contest.fastest_peer()
    if OURS in done and peer is not None:
        low, middle, high = _spread(contest.ratios(peer, OURS))
        verdict = f"ours is **{middle:.2f}** times as fast ({low:.2f} to {high:.2f})"
        parts.append(f"Against the fastest peer, {peer}: {verdict}.\n")
    parts.append("Seconds per step (CPU seconds), every round:\n")
    rows = [[number, *(_turn(turns.get(name)) for name in done)] for number, turns in enumerate(contest.rounds, 1)]
    return [*parts, _table(["round", *done], rows)]


def _turn(turn: Round | None) -> str:
    return f"{turn.wall:.2f} ({turn.cpu:.2f})" if turn else "-"


def _row(contest: Contest, name: str, base: str) -> list[str]:
    turns = contest.finished(name)
    wall, cpu = median(turn.wall for turn in turns), median(turn.cpu for turn in turns)
    ratio = ", ".join(f"{value:.2f}" for value in _spread(contest.ratios(name, base))) or "no common round"
    cpu_ratio = contest.ratios(name, base, "cpu")
    row = [name, f"{contest.batch / wall:.3f}", f"{wall:.2f}", f"{cpu:.2f}", f"{turns[-1].rss_peak_mb:.0f}", ratio]
    return [*row, f"{median(cpu_ratio):.2f}" if cpu_ratio else "-"]


def _spread(values: list[float]) -> tuple[float, ...]:
    return (min(values), median(values), max(values)) if values else ()


def _versions(contests: list[Contest]) -> dict[str, str]:
    found = {name: values for contest in contests for name, values in contest.versions.items()}
    return {name: ", ".join(f"{key} {value}" for key, value in values.items()) for name, values in found.items()}


def _table(head: list[str], rows: object) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines) + "\n"
