"""Lets the hosts of a training find each other before TensorFlow connects them.

TensorFlow waits without end, deaf to signals, for a host that never comes. So each host first says hello to the chief,
which answers all of them with everyone's address, or with everything that is wrong:

    host -> chief    {"rank": 1, "size": 2, "port": 40123, "facts": {"learning_rate": "0.1", ...}}
    chief -> host    {"addresses": ["10.0.0.1:40211", "10.0.0.2:40123"]}    or    {"faults": [["host 1", "...", ""]]}

Each message is one line of JSON. There is no password: the hosts' network must be closed to others.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import socket
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sagemaker_semseg.cluster import Cluster
from sagemaker_semseg.errors import Fault, UserError

_MAX_BYTES = 2**20
_POLL_SECONDS = 0.2
_HELLO_SECONDS = 10.0  # a connection that says nothing for so long is none of ours


@dataclass(frozen=True)
class Meeting:
    """What the hosts have agreed on. addresses: of each host's TensorFlow, by rank."""

    addresses: tuple[str, ...]
    rank: int


def meet(
    cluster: Cluster, facts: Mapping[str, str], *, seconds: float, check: Callable[[], None] = lambda: None
) -> Meeting:
    """Wait for all hosts of a cluster.

    Args:
        cluster: The hosts, and which of them this is.
        facts: What has to be the same on all hosts, by name: hyperparameters, a digest of the samples.
        seconds: The longest time to wait.
        check: Is called again and again; what it raises ends the waiting.

    Raises:
        UserError: With everything that is wrong: a host is missing, has another number of hosts or other facts, or
            the chief's port is taken.
    """
    port = cluster.own_port or free_port()
    hello = {"rank": cluster.rank, "size": cluster.size, "port": port, "facts": dict(facts)}
    end = time.monotonic() + seconds
    answer = _as_chief(cluster, hello, end, check) if cluster.rank == 0 else _as_host(cluster, hello, end, check)
    if "faults" in answer:
        raise UserError("The hosts of this training don't fit together:", [Fault(*each) for each in answer["faults"]])
    return Meeting(tuple(answer["addresses"]), cluster.rank)


def _as_chief(cluster: Cluster, own: dict[str, Any], end: float, check: Callable[[], None]) -> dict[str, Any]:
    with contextlib.ExitStack() as stack:
        hellos: dict[int, dict[str, Any]] = {0: {**own, "address": cluster.chief}}
        connections: dict[int, socket.socket] = {}
        for connection, peer in _connections(cluster, end, check):
            stack.enter_context(connection)
            hello = _read(connection)
            if hello is None:
                continue
            rank = hello["rank"]
            if rank in hellos:
                faults = [[f"host {rank}", f"has come twice, the second time from {peer}", "give each its own number"]]
                _answer([connection, *connections.values()], {"faults": faults})
                return {"faults": faults}
            hellos[rank], connections[rank] = {**hello, "address": peer}, connection
            if len(hellos) == cluster.size:
                break
        faults = _faults(cluster, hellos)
        addresses = [f"{hellos[rank]['address']}:{hellos[rank]['port']}" for rank in sorted(hellos)]
        answer = {"faults": faults} if faults else {"addresses": addresses}
        _answer(connections.values(), answer)
        return answer


def _connections(cluster: Cluster, end: float, check: Callable[[], None]) -> Iterator[tuple[socket.socket, str]]:
    """Yield connections with the peer's address until the time is over."""
    alone = cluster.chief in ("localhost", "127.0.0.1")  # others need not reach it then
    try:
        server = socket.create_server(("127.0.0.1" if alone else "", cluster.port), backlog=cluster.size)
    except OSError as error:
        what = f"can't be listened on: {error.strerror}"
        remedy = "end the program that has it (an earlier training?), or give another port (MASTER_PORT)"
        raise UserError(
            "The hosts of this training can't meet:", [Fault(f"port {cluster.port}", what, remedy)]
        ) from None
    with server:
        server.settimeout(_POLL_SECONDS)
        while time.monotonic() < end:
            check()
            with contextlib.suppress(TimeoutError):
                connection, address = server.accept()
                yield connection, address[0]


def _faults(cluster: Cluster, hellos: Mapping[int, dict[str, Any]]) -> list[list[str]]:
    missing = [cluster.name(rank) for rank in range(cluster.size) if rank not in hellos]
    remedy = "see whether they run, and reach the chief's port"
    faults = [[name, f"has not come to {cluster.chief}:{cluster.port} in time", remedy] for name in missing]
    own = hellos[0]
    for rank in sorted(hellos.keys() - {0}):
        hello, name = hellos[rank], cluster.name(rank)
        if hello["size"] != cluster.size:
            faults.append([name, f"expects {hello['size']} hosts, the chief {cluster.size}", "start all alike"])
        for fact in own["facts"].keys() & hello["facts"].keys():
            theirs, ours = hello["facts"][fact], own["facts"][fact]
            if theirs != ours:
                faults.append([name, f"has {theirs} for {fact}, the chief has {ours}", "start all hosts alike"])
    return faults


def _as_host(cluster: Cluster, hello: dict[str, Any], end: float, check: Callable[[], None]) -> dict[str, Any]:
    place = f"{cluster.chief}:{cluster.port}"
    while time.monotonic() < end:
        check()
        try:
            connection = socket.create_connection((cluster.chief, cluster.port), timeout=_HELLO_SECONDS)
        except OSError:  # the chief isn't there yet
            time.sleep(_POLL_SECONDS)
            continue
        with connection:
            connection.sendall(json.dumps(hello).encode() + b"\n")
            connection.settimeout(_POLL_SECONDS)
            received = b""
            while time.monotonic() < end + _HELLO_SECONDS and not received.endswith(b"\n"):
                check()
                with contextlib.suppress(TimeoutError):
                    chunk = connection.recv(2**16)
                    received += chunk
                    if not chunk or len(received) > _MAX_BYTES:
                        break
            with contextlib.suppress(ValueError):
                answer = json.loads(received)
                if isinstance(answer, dict) and answer.keys() <= {"addresses", "faults"}:
                    return answer
            what = "has ended without an answer; its own log says why"
            raise UserError("The hosts of this training can't meet:", [Fault(f"the chief, {place}", what)])
    what, remedy = "can't be reached", "see whether it runs, and whether the network lets this port through"
    raise UserError("The hosts of this training can't meet:", [Fault(f"the chief, {place}", what, remedy)])


def _read(connection: socket.socket) -> dict[str, Any] | None:
    """Return a host's hello; None for anything else."""
    connection.settimeout(_HELLO_SECONDS)
    received = b""
    try:
        while not received.endswith(b"\n"):
            chunk = connection.recv(2**16)
            received += chunk
            if not chunk or len(received) > _MAX_BYTES:
                return None
        hello = json.loads(received)
    except (OSError, ValueError, RecursionError):
        return None
    expected = {"rank": int, "size": int, "port": int, "facts": dict}
    fits = isinstance(hello, dict) and all(isinstance(hello.get(name), kind) for name, kind in expected.items())
    return hello if fits and 0 < hello["rank"] < hello["size"] and 0 < hello["port"] < 2**16 else None


def _answer(connections: Any, answer: dict[str, Any]) -> None:
    for connection in connections:
        with contextlib.suppress(OSError):  # it has gone; TensorFlow will say so
            connection.sendall(json.dumps(answer).encode() + b"\n")


def free_port() -> int:
    """Return the number of a port that is free now."""
    with socket.socket() as probe:
        probe.bind(("", 0))
        return int(probe.getsockname()[1])


def digest_of_names(names: Sequence[str]) -> str:
    """Return the number of names and a digest of them, in their order."""
    digest = hashlib.sha256("\n".join(names).encode("utf-8", "surrogatepass")).hexdigest()
    return f"{len(names)} names with digest {digest[:16]}"


def digest_of_arrays(arrays: Mapping[str, np.ndarray]) -> str:
    """Return the number of arrays and a digest of their names and values."""
    digest = hashlib.sha256()
    for name in sorted(arrays):
        digest.update(name.encode())
        digest.update(np.ascontiguousarray(arrays[name]).data)
    return f"{len(arrays)} arrays with digest {digest.hexdigest()[:16]}"
