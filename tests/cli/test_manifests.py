"""Manifests on the command line: which channels ``--data`` and the flags make of them, and a training from them."""

import argparse
import json

import numpy as np
import pytest
from PIL import Image

from sagemaker_semseg.artifact import read_artifact
from sagemaker_semseg.cli import flags, main
from sagemaker_semseg.errors import DataError
from sagemaker_semseg.jobs.channel_locations import locate_channels


def folders(*arguments, split=None):
    parser = argparse.ArgumentParser()
    flags.add_data_flags(parser)
    given = flags.data_arguments(parser.parse_args(arguments))
    return locate_channels(given["data"], given["channels"], split), given["attribute_names"]


@pytest.fixture
def places(tmp_path):
    """Makes empty files by name; returns their paths."""

    def make(*names):
        for name in names:
            (tmp_path / name).write_text("")
        return [tmp_path / name for name in names]

    return make


@pytest.mark.parametrize(
    ("train", "validation"),
    [
        ("train.manifest", "validation.manifest"),
        ("train.jsonl", "validation.jsonl"),
        ("cars-train-2.manifest", "cars-validation-2.manifest"),
        ("output.manifest", "validation.manifest"),
    ],
)
def test_the_neighbor_is_validation(places, train, validation):
    train, validation = places(train, validation)
    assert folders("--data", str(train))[0] == {"train": train, "validation": validation}


def test_the_name_says_which_one_a_manifest_is(places):
    train, validation = places("train.manifest", "validation.manifest")
    assert folders("--data", str(validation))[0] == {"train": train, "validation": validation}
    (odd,) = places("streets-train-validation.manifest")
    assert folders("--data", str(odd), "--train", str(train))[0] == {"train": train, "validation": odd}


def test_without_a_neighbor(places, tmp_path):
    train, other = places("train.manifest", "other.manifest")
    with pytest.raises(DataError, match=r"for validation there is no validation\.manifest beside it .*--validation"):
        folders("--data", str(train))
    expected = {"train": train, "validation": other}
    assert folders("--data", str(train), "--validation", str(other))[0] == expected
    assert folders("--train", str(train), "--validation", str(other))[0] == expected


def test_one_split_needs_one_manifest(places):
    test, train, validation = places("test.manifest", "train.manifest", "validation.manifest")
    assert folders("--data", str(test), split="validation")[0] == {"validation": test}
    assert folders("--data", str(train), split="train")[0] == {"train": train}
    assert folders("--data", str(train), split="validation")[0]["validation"] == validation


def test_a_folder_of_manifests(places, tmp_path):
    train, validation = places("train.manifest", "validation.manifest")
    assert folders("--data", str(tmp_path))[0] == {"train": train, "validation": validation}


def test_names_of_attributes(places):
    train, _ = places("train.manifest", "validation.manifest")
    given = ["--data", str(train), "--attribute-names", "source-ref, a-ref"]
    both = ["source-ref", "a-ref"]
    assert folders(*given)[1] == {"train": both, "validation": both}
    given += ["--validation-attribute-names", "source-ref,b-ref"]
    assert folders(*given)[1] == {"train": both, "validation": ["source-ref", "b-ref"]}


def test_manifests_in_s3(bucket, data, tmp_path, monkeypatch):
    monkeypatch.setenv("SAGEMAKER_SEMSEG_CACHE", str(tmp_path / "cache"))
    for split in ("train", "validation"):
        bucket.put_object(Bucket="images", Key=f"set/{split}.manifest", Body=split.encode())
    expected = {"train": b"train", "validation": b"validation"}
    for place in ("s3://images/set/train.manifest", "s3://images/set"):
        found, _ = folders("--data", place)
        assert {name: path.read_bytes() for name, path in found.items()} == expected
    bucket.delete_object(Bucket="images", Key="set/validation.manifest")
    with pytest.raises(DataError, match=r"no validation\.manifest beside it"):
        folders("--data", "s3://images/set/train.manifest")


COLORS = {"a ground": "#102030", "b disc": "#2ca02c", "c box": "#1f77b4", "d triangle": "#ff7f0e"}  # in order by name


def rgb(color):
    return [int(color[at : at + 2], 16) for at in (1, 3, 5)]


@pytest.fixture(scope="module")
def ground_truth(data, tmp_path_factory):
    """The demo set as Ground Truth gives it: colours, with keys that change from line to line."""
    root = tmp_path_factory.mktemp("ground truth")
    table = np.array([rgb(color) for color in COLORS.values()], np.uint8)
    for split in ("train", "validation"):
        lines = []
        for number, image in enumerate(sorted((data / split).iterdir())):
            with Image.open(data / f"{split}_annotation" / f"{image.stem}.png") as mask:
                labels = np.asarray(mask)
            Image.fromarray(table[labels]).save(root / f"{split}-{image.stem}.png")
            there = [label for label in range(4) if (labels == label).any()]
            names = list(COLORS)
            color_map = {
                str(key): {"class-name": names[label], "hex-color": COLORS[names[label]]}
                for key, label in enumerate(there[number % 2 :] + there[: number % 2])
            }
            lines.append(
                {
                    "source-ref": str(image),
                    "shapes-ref": f"{split}-{image.stem}.png",
                    "shapes-ref-metadata": {"internal-color-map": color_map},
                }
            )
        (root / f"{split}.manifest").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return root


def test_a_training_from_a_manifest_is_the_one_from_folders(ground_truth, trained, settings, tmp_path, capsys):
    """The same images in the same order, masks in colours: the same model. It knows the classes' names."""
    at = settings.index("--class-names")
    settings = settings[:at] + settings[at + 2 :]
    arguments = ["--data", str(ground_truth / "train.manifest"), "--output", str(tmp_path), "--epochs", "1", *settings]
    assert main(["train", *arguments]) == 0
    assert "labels of the classes, by name" in capsys.readouterr().out
    ours, theirs = read_artifact(tmp_path / "model.tar.gz"), read_artifact(trained.output / "model.tar.gz")
    for name, array in theirs.weights.items():
        np.testing.assert_allclose(ours.weights[name], array, rtol=1e-3, atol=1e-4, err_msg=name)
    assert ours.labels["class_names"] == list(COLORS)
    # the model's names decide what a label is, also where the manifest alone would give others
    lines = (ground_truth / "validation.manifest").read_text().splitlines()
    one = next(line for line in lines if "c box" not in line)
    (ground_truth / "one.manifest").write_text(one)
    assert main(["evaluate", str(tmp_path), "--data", str(ground_truth / "one.manifest"), "--json", "-"]) == 0
    scores = json.loads(capsys.readouterr().out)
    with Image.open(ground_truth / json.loads(one)["shapes-ref"]) as mask:
        colors = np.asarray(mask).reshape(-1, 3).tolist()
    expected = [sum(color == rgb(code) for color in colors) for code in COLORS.values()]
    assert np.sum(scores["confusion_matrix"], axis=1).tolist() == expected


def test_one_manifest_alone_may_be_divided(ground_truth, settings, tmp_path, capsys):
    alone = tmp_path / "output.manifest"
    lines = (ground_truth / "train.manifest").read_text().splitlines()
    alone.write_text("\n".join(lines).replace('"train-', f'"{ground_truth}/train-'))
    arguments = ["--data", str(alone), *settings]
    assert main(["train", *arguments, "--output", str(tmp_path), "--epochs", "0"]) == 2
    assert "train with --validation-split 0.2" in capsys.readouterr().err
    assert main(["check", "--data", str(alone), "--num-classes", "4", "--validation-split", "0.25",
                 "--crop-size", "32", "--json", str(tmp_path / "report.json")]) == 0  # fmt: skip
    splits = json.loads((tmp_path / "report.json").read_text())["splits"]
    assert splits["validation"]["pairs"] == round(len(lines) / 4)
    assert splits["train"]["pairs"] + splits["validation"]["pairs"] == len(lines)
    for share in ("0", "1", "-0.5"):
        assert main(["train", *arguments, "--output", str(tmp_path), "--validation-split", share]) == 2
        assert "give a number above 0 and below 1" in capsys.readouterr().err
