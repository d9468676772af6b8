"""The hosts of a training, as torchrun, TensorFlow and SageMaker name them."""

import json
from pathlib import Path

import pytest

from sagemaker_semseg.cluster import read_cluster
from sagemaker_semseg.errors import UserError

TORCHRUN = {"MASTER_ADDR": "10.0.0.1", "MASTER_PORT": "29500", "RANK": "1", "WORLD_SIZE": "4"}
WORKERS = {"worker": ["10.0.0.2:2222", "10.0.0.3:2223"]}


def read(variables):
    return read_cluster(variables, Path(variables.get("SAGEMAKER_BASE_DIR", "/none")))


def tf_config(cluster, kind, index):
    return {"TF_CONFIG": json.dumps({"cluster": cluster, "task": {"type": kind, "index": index}})}


def resources(tmp_path, content):
    folder = tmp_path / "input" / "config"
    folder.mkdir(parents=True)
    (folder / "resourceconfig.json").write_text(content if isinstance(content, str) else json.dumps(content))
    return {"SAGEMAKER_BASE_DIR": str(tmp_path)}


def test_hosts_by_torchruns_variables():
    hosts = read(TORCHRUN)
    assert (hosts.rank, hosts.size, hosts.chief, hosts.port) == (1, 4, "10.0.0.1", 29500)
    assert hosts.name(2) == "host 2"
    assert read({**TORCHRUN, **tf_config(WORKERS, "worker", 0)}) == hosts
    assert read({"RANK": "3"}) is None  # another program's
    in_use = {**TORCHRUN, "TORCHELASTIC_USE_AGENT_STORE": "True"}  # by torchrun itself
    assert [read({**in_use, "MASTER_PORT": port}).port for port in ("29500", "65535")] == [29501, 65534]
    assert read({**TORCHRUN, "RANK": "0", "WORLD_SIZE": "1"}) is None


def test_hosts_by_tf_config():
    hosts = read(tf_config(WORKERS, "worker", 1))
    assert (hosts.rank, hosts.size, hosts.chief, hosts.port, hosts.own_port) == (1, 2, "10.0.0.2", 2222, 2223)
    with_chief = {"chief": ["10.0.0.1:2221"], **WORKERS}
    assert read(tf_config(with_chief, "worker", 1)).rank == 2
    assert read(tf_config(with_chief, "chief", 0)).rank == 0
    assert read(tf_config({"worker": ["a:1"]}, "worker", 0)) is None


def test_hosts_by_sagemakers_file(tmp_path):
    """The chief is the first by name, whatever the order in the file."""
    hosts = read(resources(tmp_path, {"current_host": "algo-2", "hosts": ["algo-2", "algo-1"]}))
    assert (hosts.rank, hosts.size, hosts.chief, hosts.names) == (1, 2, "algo-1", ("algo-1", "algo-2"))


def test_one_host_of_sagemaker(tmp_path):
    assert read(resources(tmp_path, {"current_host": "algo-1", "hosts": ["algo-1"]})) is None
    assert read({"SAGEMAKER_BASE_DIR": str(tmp_path / "none")}) is None


@pytest.mark.parametrize(
    "variables",
    [
        {**TORCHRUN, "RANK": "4"},
        {**TORCHRUN, "RANK": "x"},
        {**TORCHRUN, "MASTER_PORT": "0"},
        {**TORCHRUN, "MASTER_ADDR": ""},
        {"TF_CONFIG": "{"},
        {"TF_CONFIG": "[]"},
        {"TF_CONFIG": "[" * 100_000},
        tf_config({"worker": ["a", "b"]}, "worker", 0),
        tf_config({"worker": ["a:1", "b:2"]}, "worker", 2),
        tf_config({"worker": ["a:1", "b:2"]}, "evaluator", 0),
        tf_config({"worker": 3}, "worker", 0),
    ],
)
def test_hosts_that_are_none(variables):
    with pytest.raises(UserError, match="The hosts of this training aren't known"):
        read(variables)


@pytest.mark.parametrize("content", ["{", "[1]", '{"hosts": ["a", "b"], "current_host": "c"}', '{"hosts": [1, "b"]}'])
def test_a_file_of_hosts_that_is_none(tmp_path, content):
    with pytest.raises(UserError, match=r"resourceconfig.json: doesn't name this host"):
        read(resources(tmp_path, content))
