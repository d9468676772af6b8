"""Contestants that take turns: each lives as long as the contest, and one at a time runs a round.

Input: how each is started. Output: a `Contest` with every round.
Their ratios compare seconds of the same minute, so a slow phase of the machine hits all of them.
"""

import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from statistics import median
from typing import Protocol, runtime_checkable

import machine
from peers.worker import Round, WorkerFailed


class Contestant(Protocol):
    """`peers.worker.Worker`, or anything else with its methods; each may raise `WorkerFailed`."""

    def wait_until_ready(self) -> dict[str, str]: ...

    def run_round(self) -> Round: ...

    def close(self) -> None: ...


@runtime_checkable
class Observed(Protocol):
    """A contestant that has more to say after the last round; it stands beside the versions."""

    def observations(self) -> dict[str, str]: ...


@dataclass
class Contest:
    """`rounds[i]` maps contestant to its i-th round; one that failed is missing."""

    name: str
    cores: list[int]
    contestants: list[str]
    load_before: float = field(default_factory=lambda: os.getloadavg()[0])
    rounds: list[dict[str, Round]] = field(default_factory=list)
    versions: dict[str, dict[str, str]] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)

    def finished(self, name: str) -> list[Round]:
        return [turns[name] for turns in self.rounds if name in turns]

    def done(self) -> list[str]:
        return [name for name in self.contestants if self.finished(name)]

    def median(self, name: str, what: str = "wall") -> float:
        return median(getattr(turn, what) for turn in self.finished(name))

    def ratios(self, name: str, base: str, what: str = "wall") -> list[float]:
        """Seconds of `name` over seconds of `base`, per round that both finished: above 1, `base` is the faster."""
        both = [(turns[name], turns[base]) for turns in self.rounds if name in turns and base in turns]
        return [getattr(one, what) / getattr(other, what) for one, other in both]


def compete(name: str, cores: list[int], starters: Mapping[str, Callable[[], Contestant]], rounds: int) -> Contest:
    """All contestants on the same cores; the order rotates from round to round. One that fails is left out."""
    result = Contest(name, cores, list(starters))
    running: dict[str, Contestant] = {}
    with ExitStack() as stack:
        for each, start in starters.items():
            say(f"{name}, {len(cores)} core(s): starting {each}")
            try:
                contestant = start()
                stack.callback(contestant.close)
                result.versions[each] = contestant.wait_until_ready()
                running[each] = contestant
            except WorkerFailed as error:
                _fail(result, each, error)
        for number in range(rounds):
            result.rounds.append(_round(result, running, number))
        for each, contestant in running.items():
            if isinstance(contestant, Observed):
                result.versions[each] |= contestant.observations()
    return result


def versions(contests: list[Contest]) -> dict[str, str]:
    found = {name: values for contest in contests for name, values in contest.versions.items()}
    return {name: ", ".join(f"{key} {value}" for key, value in values.items()) for name, values in found.items()}


def check_cores(counts: list[int]) -> None:
    if max(counts) > (usable := len(machine.usable_cores())):
        raise SystemExit(f"--cores {max(counts)}: this process may use {usable} core(s) only")


@contextmanager
def pinned(count: int) -> Iterator[list[int]]:
    """The first `count` of the cores that this process may use, for it and for all that it starts meanwhile."""
    usable = machine.usable_cores()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, usable[:count])
    try:
        yield usable[:count]
    finally:
        if hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, usable)


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _round(result: Contest, running: dict[str, Contestant], number: int) -> dict[str, Round]:
    names = list(running)
    shift = number % len(names) if names else 0
    turns = {}
    for name in names[shift:] + names[:shift]:
        try:
            turns[name] = running[name].run_round()
        except WorkerFailed as error:
            _fail(result, name, error)
            running.pop(name).close()
    say(f"round {number + 1}: " + ", ".join(f"{name} {turn.wall:.3f} s" for name, turn in turns.items()))
    return turns


def _fail(result: Contest, name: str, error: WorkerFailed) -> None:
    result.failures[name] = str(error)
    say(f"{name} FAILED: {error}")
