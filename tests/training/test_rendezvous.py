"""Hosts that find each other: all of them, one missing, others than expected, a port that is taken, noise."""

import json
import socket
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from sagemaker_semseg.cluster import Cluster
from sagemaker_semseg.errors import UserError
from sagemaker_semseg.training.rendezvous import digest_of_arrays, digest_of_names, meet

FACTS = {
    "learning_rate": "0.1",
    "samples": digest_of_names(["a", "b"]),
    "weights": digest_of_arrays({"w": np.zeros(2), "v": np.ones((2, 2), np.float32)}),
}
LONG = 120  # seconds: what a busy machine may need


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def clusters(size, port=None):
    port = port or free_port()
    return [Cluster(rank, size, "127.0.0.1", port) for rank in range(size)]


def together(hosts, facts=None, seconds=LONG):
    """The result of each host: a meeting or a message."""

    def one(cluster):
        try:
            return meet(cluster, (facts or {}).get(cluster.rank, FACTS), seconds=seconds)
        except UserError as error:
            return str(error)

    with ThreadPoolExecutor(len(hosts)) as pool:
        return list(pool.map(one, hosts))


@pytest.mark.parametrize("size", [2, 4])
def test_all_get_the_same_addresses(size):
    meetings = together(clusters(size))
    assert [meeting.rank for meeting in meetings] == list(range(size))
    assert len({meeting.addresses for meeting in meetings}) == 1
    assert len(set(meetings[0].addresses)) == size


def test_ports_that_are_given_are_kept():
    port = free_port()
    hosts = [Cluster(rank, 2, "127.0.0.1", port, own_port=port + rank) for rank in range(2)]
    assert together(hosts)[1].addresses == (f"127.0.0.1:{port}", f"127.0.0.1:{port + 1}")


def test_other_hyperparameters_are_reported_to_both():
    other = {"learning_rate": "0.2", "samples": digest_of_names(["a", "c"]), "only here": "1"}
    other["weights"] = digest_of_arrays({"v": np.ones((2, 2), np.float32), "w": np.array([0, 1.0])})
    for message in together(clusters(2), {1: other}):
        assert "host 1: has 0.2 for learning_rate, the chief has 0.1" in message
        assert "2 names with digest" in message
        assert "2 arrays with digest" in message
        assert "only here" not in message


def test_a_host_without_initial_weights_gets_those_of_the_chief():
    """As one does that has no copy of the checkpoint from which the chief continues."""
    assert together(clusters(2), {1: {"learning_rate": "0.1"}})[1].rank == 1


def test_another_number_of_hosts():
    hosts = clusters(2)
    hosts[1] = Cluster(1, 3, "127.0.0.1", hosts[1].port)
    assert all("expects 3 hosts, the chief 2" in message for message in together(hosts))


def test_a_missing_host_is_named():
    named = Cluster(0, 3, "127.0.0.1", free_port(), ("algo-1", "algo-2", "algo-3"))
    messages = together([named, Cluster(1, 3, "127.0.0.1", named.port)], seconds=2)
    assert all("algo-3: has not come" in message for message in messages)
    assert "algo-2" not in messages[0]


def test_a_missing_chief():
    (message,) = together(clusters(2)[1:], seconds=0.5)
    assert "chief" in message
    assert "can't be reached" in message


def test_a_port_that_is_taken():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        (message,) = together(clusters(2, port)[:1])
    assert f"port {port}" in message


def test_twice_the_same_rank():
    hosts = clusters(3)
    messages = together([hosts[0], hosts[1], hosts[1]], seconds=10)
    assert sum("has come twice" in message for message in messages) >= 2


def test_a_signal_ends_the_waiting():
    class Stopped(Exception):
        pass

    def check():
        raise Stopped

    for host in clusters(2):
        with pytest.raises(Stopped):
            meet(host, FACTS, seconds=LONG, check=check)


NOISE = [b"", b"GET / HTTP/1.1\r\n\r\n", b"[]\n", b'{"rank": 1}\n', b"\xff" * 50 + b"\n", b"[" * 5000 + b"\n",
         json.dumps({"rank": 7, "size": 2, "port": 1, "facts": {}}).encode() + b"\n",
         json.dumps({"rank": 1, "size": 2, "port": 10**9, "facts": {}}).encode() + b"\n"]  # fmt: skip


def test_strangers_are_ignored():
    hosts, done = clusters(2), threading.Event()

    def disturb():
        for noise in NOISE:
            for _ in range(LONG * 10):
                try:
                    with socket.create_connection(("127.0.0.1", hosts[0].port), timeout=LONG) as connection:
                        connection.sendall(noise)
                    break
                except OSError:  # the chief isn't there yet
                    done.wait(0.1)

    with ThreadPoolExecutor(1) as pool:
        chief = pool.submit(together, hosts[:1])
        disturb()
        (other,) = together(hosts[1:])
        assert chief.result()[0].addresses == other.addresses
