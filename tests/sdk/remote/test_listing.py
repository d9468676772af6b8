"""``sagemaker-semseg jobs --sagemaker``."""

import json
import re

from sagemaker_semseg.cli import main


def jobs(capsys, *arguments, status=0):
    assert main(["jobs", "--sagemaker", *arguments]) == status
    captured = capsys.readouterr()
    return captured.out if status == 0 else captured.err


def test_what_an_account_has(moto_cloud, backend, training, endpoint, transform, capsys):
    assert jobs(capsys) == "there is nothing on SageMaker in eu-west-1\n"
    assert json.loads(jobs(capsys, "--json")) == []
    backend.train(training, attached=False)
    backend.deploy(endpoint, attached=False)
    backend.transform(transform, attached=False)
    title, *lines = jobs(capsys).splitlines()
    assert title.split("  ")[0] == "name"
    assert {re.sub("  .*", "", line) for line in lines} == {training.name, "street", "street-1"}
    assert all(re.search(r"\d\d\d\d-\d\d-\d\d \d\d:\d\d$", line) for line in lines)
    (only,) = json.loads(jobs(capsys, "--kind", "endpoints", "--json"))
    assert (only["name"], only["kind"], only["status"]) == ("street", "endpoint", "InService")


def test_what_fails(backend, moto_cloud, capsys):
    assert "is for the list only" in jobs(capsys, "stop", "NAME", status=2)
    for name in ("AWS_DEFAULT_REGION", "AWS_REGION"):
        moto_cloud.delenv(name, raising=False)
    assert "no region was found" in jobs(capsys, status=2)
