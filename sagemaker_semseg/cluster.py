"""The hosts of one training, from the variables of torchrun or TensorFlow, or from SageMaker's configuration."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sagemaker_semseg.errors import Fault, UserError

TORCHRUN = ("MASTER_ADDR", "MASTER_PORT", "RANK", "WORLD_SIZE")
_RENDEZVOUS_PORT = 36767


@dataclass(frozen=True)
class Cluster:
    """The hosts of one training.

    Attributes:
        rank: Which of them this is; 0 is the chief.
        size: Their number.
        chief: The chief's name or address.
        port: Where the chief waits for the others (``training.rendezvous``).
        names: Their names by rank; empty where they are only numbered.
        own_port: Of this host's TensorFlow; 0: any that is free.
    """

    rank: int
    size: int
    chief: str
    port: int
    names: tuple[str, ...] = ()
    own_port: int = 0

    def name(self, rank: int) -> str:
        """Return how messages name a host."""
        return self.names[rank] if self.names else f"host {rank}"


def read_cluster(variables: Mapping[str, str], base: Path) -> Cluster | None:
    """Read the hosts of a training; None for a training on one host.

    Args:
        variables: Of the environment. torchrun's (MASTER_ADDR, MASTER_PORT, RANK, WORLD_SIZE) win, then TF_CONFIG,
            then SageMaker's resourceconfig.json.
        base: The root of SageMaker's tree.

    Raises:
        UserError: Values that can't be used.
    """
    if all(name in variables for name in TORCHRUN):
        return _of_torchrun(variables)
    if variables.get("TF_CONFIG"):
        return _of_tf_config(variables["TF_CONFIG"])
    return _of_resources(base / "input" / "config" / "resourceconfig.json")


def _of_torchrun(variables: Mapping[str, str]) -> Cluster | None:
    try:
        port, rank, size = (int(variables[name]) for name in TORCHRUN[1:])
        if not (0 < port < 2**16 and 0 <= rank < size and variables["MASTER_ADDR"]):
            raise ValueError
    except ValueError:
        text = ", ".join(f"{name}={variables[name]!r}" for name in TORCHRUN)
        raise _cluster_error(text, "don't name a host among others", "RANK counts from 0 to WORLD_SIZE - 1") from None
    if variables.get("TORCHELASTIC_USE_AGENT_STORE") == "True":  # torchrun's own process listens at MASTER_PORT
        port += 1 if port < 2**16 - 1 else -1
    return Cluster(rank, size, variables["MASTER_ADDR"], port) if size > 1 else None


def _of_tf_config(text: str) -> Cluster | None:
    try:
        config = json.loads(text)
        hosts, task = config["cluster"], config["task"]
        addresses = [*hosts.get("chief", ()), *hosts["worker"]]
        rank = int(task["index"]) + (len(hosts.get("chief", ())) if task["type"] == "worker" else 0)
        places = [(place, int(port)) for place, _, port in (address.rpartition(":") for address in addresses)]
        if task["type"] not in ("chief", "worker") or not 0 <= rank < len(places):
            raise ValueError("its task is none of its cluster")
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise _cluster_error("TF_CONFIG", f"can't be used: {error!r}", "see docs/distributed.md for the form") from None
    chief, port = places[0]
    return Cluster(rank, len(places), chief, port, tuple(addresses), places[rank][1]) if len(places) > 1 else None


def _of_resources(path: Path) -> Cluster | None:
    try:
        config = json.loads(path.read_bytes())
        hosts = sorted(config.get("hosts") or ())
        rank = hosts.index(config["current_host"]) if len(hosts) > 1 else 0
    except FileNotFoundError:
        return None
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        remedy = 'write {"current_host": "algo-1", "hosts": ["algo-1"]}'
        raise _cluster_error(str(path), f"doesn't name this host among the hosts: {error!r}", remedy) from None
    return Cluster(rank, len(hosts), hosts[0], _RENDEZVOUS_PORT, tuple(hosts)) if len(hosts) > 1 else None


def _cluster_error(where: str, what: str, remedy: str) -> UserError:
    return UserError("The hosts of this training aren't known:", [Fault(where, what, remedy)])
