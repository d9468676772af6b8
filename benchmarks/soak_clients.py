"""The clients of the soak test: each sends one request after the other, four good ones to a hostile one on average.

Input: a port, and what good replies have to be. Output: a `Tally` of what came back and of what was wrong with it.
"""

import asyncio
import json
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

from client import Closed, Connection, Reply
from soak_attacks import CLOSED, Attack, invocation, make_attack
from soak_images import Sample
from soak_offline import ACCEPTS, Offline

HOSTILE_SHARE = 0.2
NEW_CONNECTION_SHARE = 0.1
PATIENCE_SECONDS = 60.0
OVERLOADED = 503
MAX_FAULTS = 20
REPORT_SECONDS = 30.0
GOOD = "good: "


@dataclass
class Tally:
    """counts: how often each outcome came of each kind of request. outcome: a status, or what else happened."""

    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)
    """Of good requests that were not refused, from the end of the request to the end of the reply."""
    faults: int = 0
    first_faults: list[str] = field(default_factory=list)
    """The first of the faults."""
    lasted: float = 0.0

    def fault(self, text: str) -> None:
        self.faults += 1
        if len(self.first_faults) < MAX_FAULTS:
            self.first_faults.append(text)

    def number(self, *, good: bool, overloaded: bool = False) -> int:
        return sum(
            count
            for (kind, outcome), count in self.counts.items()
            if kind.startswith(GOOD) == good and (outcome == str(OVERLOADED)) == overloaded
        )


async def run_clients(
    port: int, offline: Offline, seconds: float, connections: int, seed: int, tell: Callable[[str], None]
) -> Tally:
    tally, begun = Tally(), time.monotonic()
    until = begun + seconds
    clients = [_Client(port, offline, tally, Random(f"{seed} {number}")) for number in range(connections)]
    telling = asyncio.create_task(_tell_progress(tally, tell))
    try:
        await asyncio.gather(*(client.run(until) for client in clients))
    finally:
        telling.cancel()
    tally.lasted = time.monotonic() - begun
    return tally


async def _tell_progress(tally: Tally, tell: Callable[[str], None]) -> None:
    while True:
        await asyncio.sleep(REPORT_SECONDS)
        tell(f"{tally.counts.total()} requests, {tally.faults} faults")


class _Client:
    def __init__(self, port: int, offline: Offline, tally: Tally, random: Random) -> None:
        self._offline, self._tally, self._random = offline, tally, random
        self._connection = Connection(port)

    async def run(self, until: float) -> None:
        while time.monotonic() < until:
            sample = self._random.choice(self._offline.samples)
            if self._random.random() < HOSTILE_SHARE:
                await self._attack(sample)
            else:
                await self._ask(sample, self._random.choice(ACCEPTS), until)
        self._connection.close()

    async def _ask(self, sample: Sample, accept: str, until: float) -> None:
        """A good request; as long as the server is overloaded, again after the time that it says."""
        kind = f"{GOOD}{accept}"
        while time.monotonic() < until:
            if self._random.random() < NEW_CONNECTION_SHARE:
                self._connection.close()
            reply = await self._exchange(kind, Attack([invocation(sample, accept=accept)], (200,), accept), sample)
            if reply is None or reply.status != OVERLOADED:
                if reply:
                    self._tally.seconds.append(reply.taken)
                return
            await asyncio.sleep(float(reply.headers.get("retry-after", 1)))

    async def _attack(self, sample: Sample) -> None:
        kind, attack = make_attack(self._random, sample)
        if attack.leaves:
            self._tally.counts[kind, "left"] += 1
            try:
                await self._connection.send(attack.steps)
            except OSError:
                pass  # the server may have had enough first
        else:
            await self._exchange(kind, attack, sample)
        self._connection.close()  # what is left of an attack must not be taken for a part of the next request

    async def _exchange(self, kind: str, attack: Attack, sample: Sample) -> Reply | None:
        """Asks, counts and judges; None if no reply came."""
        reply = None
        try:
            work = self._connection.exchange(attack.steps, attack.pace)
            reply = await asyncio.wait_for(work, PATIENCE_SECONDS)
            outcome = str(reply.status)
        except Closed:
            outcome = "closed"
            if CLOSED not in attack.may:
                self._tally.fault(f"{kind}: {sample.name}: the connection was closed without a reply")
        except (asyncio.TimeoutError, OSError) as error:
            outcome = "no answer"
            self._connection.close()
            self._tally.fault(f"{kind}: {sample.name}: no answer ({error!r})")
        if reply and (fault := self._judge(attack, sample, reply)):
            self._tally.fault(f"{kind}: {fault}")
        self._tally.counts[kind, outcome] += 1
        return reply

    def _judge(self, attack: Attack, sample: Sample, reply: Reply) -> str:
        if reply.status == OVERLOADED:
            return "" if "retry-after" in reply.headers else "503 without Retry-After"
        if reply.status not in attack.may:
            return f"{sample.name}: {reply.status}, {attack.may} are expected: {reply.body[:40]!r}"
        if reply.status == 200:
            return self._offline.fault(sample, attack.wanted, reply) if attack.wanted else ""
        return _fault_of_error(reply)


def _fault_of_error(reply: Reply) -> str:
    """An error is a JSON object that says what it is and tells nothing of the program's insides."""
    try:
        error = json.loads(reply.body)["error"]
        whole = error["status"] == reply.status and error["message"] and error["type"]
    except (ValueError, LookupError, TypeError):
        whole = False
    if not whole or b"Traceback" in reply.body:
        return f"{reply.status} with a body that is no error: {reply.body[:40]!r}"
    return ""
