"""The flags that say where the channels lie, on this machine or in S3."""

import argparse
import re

import pytest

from sagemaker_semseg.cli import flags, main
from sagemaker_semseg.errors import DataError, UserError
from sagemaker_semseg.jobs.channel_locations import locate_channels


@pytest.fixture
def in_s3(bucket, data, tmp_path, monkeypatch):
    """The demo set under s3://images/set, beside what doesn't belong to it; returns the bucket's client."""
    monkeypatch.setenv("SAGEMAKER_SEMSEG_CACHE", str(tmp_path / "cache"))
    for path in data.rglob("*.*"):
        bucket.put_object(Bucket="images", Key=f"set/{path.relative_to(data).as_posix()}", Body=path.read_bytes())
    for key in ("set/raw/video.mp4", "set/README.md", "set/train/"):
        bucket.put_object(Bucket="images", Key=key, Body=b"" if key.endswith("/") else b"x")
    return bucket


def folders(*arguments):
    parser = argparse.ArgumentParser()
    flags.add_data_flags(parser, start=True)
    given = flags.data_arguments(parser.parse_args(arguments))
    return locate_channels(given["data"], given["channels"])


def files(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_data_in_s3(in_s3, data, tmp_path):
    found = folders("--data", "s3://images/set")
    here = folders("--data", str(data))
    assert found.keys() == here.keys()
    assert all(files(found[name]) == files(here[name]) for name in here)
    assert not [*(tmp_path / "cache").rglob("*.mp4")]


def test_a_channel_of_its_own(in_s3, data):
    found = folders(
        "--data", str(data), "--validation", "s3://images/set/train", "--model", "s3://images/set/README.md"
    )
    assert files(found["validation"]) == files(data / "train")
    assert found["train"] == data / "train"
    assert found["model"].suffix == ".md"


def test_nothing_of_use_in_s3(in_s3):
    with pytest.raises(DataError, match=r"s3://images/set/raw: none of the 1 objects there can be used"):
        folders("--data", "s3://images/set/raw")
    with pytest.raises(DataError, match=r"s3://images/none: there is nothing \(.*aws s3 ls s3://images/none/\)"):
        folders("--data", "s3://images/none")
    with pytest.raises(UserError, match="s3://nobodys/set: there is no such bucket"):
        folders("--data", "s3://nobodys/set")


def test_evaluate_reads_from_s3(in_s3, trained, data, capsys):
    def scores(place):
        assert main(["evaluate", str(trained.output), "--data", place]) == 0
        return re.findall(r"mIOU .*", capsys.readouterr().out)

    assert scores("s3://images/set") == scores(str(data))


def test_check_names_files_below_the_data_wherever_they_are(in_s3, data, tmp_path, capsys):
    def shown(place):
        main(["check", "--data", place, "--num-classes", "2"])
        return capsys.readouterr().out

    in_s3.put_object(Bucket="images", Key="set/train/broken.jpg", Body=b"no image")
    in_s3.put_object(Bucket="images", Key="set/train_annotation/broken.png", Body=b"no image")
    text = shown("s3://images/set")
    assert "train/broken.jpg" in text
    assert str(tmp_path) not in text
    assert str(data) not in shown(f"{data}/")
