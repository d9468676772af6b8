"""``evaluate``: its figures against a count of the masks that ``predict`` writes, its JSON, and what it refuses."""

import json
import re

import numpy as np
import pytest
from PIL import Image

from sagemaker_semseg.artifact import Artifact, read_artifact, write_artifact
from sagemaker_semseg.cli import main


@pytest.fixture(scope="module")
def scores(trained, data, tmp_path_factory):
    path = tmp_path_factory.mktemp("scores") / "scores.json"
    assert main(["evaluate", str(trained.output), "--data", str(data), "--json", str(path)]) == 0
    return json.loads(path.read_text())


def test_counts_what_predict_writes(scores, trained, data, tmp_path):
    model = str(trained.output / "model.tar.gz")
    assert main(["predict", model, str(data / "validation"), "-o", str(tmp_path)]) == 0
    confusion = np.zeros((4, 4), int)
    for path in sorted((data / "validation_annotation").iterdir()):
        with Image.open(path) as truth, Image.open(tmp_path / path.name) as mask:
            np.add.at(confusion, (np.asarray(truth), np.asarray(mask)), 1)
    assert scores["confusion_matrix"] == confusion.tolist()
    hits, union = np.diag(confusion), confusion.sum(0) + confusion.sum(1) - np.diag(confusion)
    assert scores["mIOU"] == pytest.approx(np.mean(hits[union > 0] / union[union > 0]))
    assert scores["pixel_accuracy"] == pytest.approx(hits.sum() / confusion.sum())
    assert [row["name"] for row in scores["classes"]] == ["ground", "disc", "box", "triangle"]
    assert (scores["split"], scores["images"]) == ("validation", 3)


def test_agrees_with_what_training_reported(scores, trained):
    assert f"validation mIOU {scores['mIOU']:.4f}" in trained.text


def test_table(trained, data, capsys):
    assert main(["evaluate", str(trained.output), "--data", str(data), "--split", "train", "--batch-size", "3"]) == 0
    text = capsys.readouterr().out
    for word in ("class", "IoU", "accuracy", "pixels", "ground", "triangle", "train: 8 images", "pixel accuracy 0."):
        assert word in text
    assert re.fullmatch(r"mIOU 0\.\d{4}, 95 % interval 0\.\d{4} to [01]\.\d{4}", text.splitlines()[-1])
    for word in ("boundary IoU", "boundary mIOU 0.", "mean class accuracy 0.", "expected calibration error 0."):
        assert word in text


def test_json_to_standard_output_is_json_alone(trained, data, scores, capsys):
    assert main(["evaluate", str(trained.output), "--data", str(data), "--json", "-"]) == 0
    assert json.loads(capsys.readouterr().out) == scores


def test_an_artifact_that_is_damaged(trained, data, tmp_path, capsys):
    whole = (trained.output / "model.tar.gz").read_bytes()
    (tmp_path / "model.tar.gz").write_bytes(whole[: len(whole) // 2])
    assert main(["evaluate", str(tmp_path / "model.tar.gz"), "--data", str(data)]) == 2
    error = capsys.readouterr().err
    assert str(tmp_path / "model.tar.gz") in error
    assert "Traceback" not in error


def test_an_artifact_whose_weights_do_not_fit(trained, data, tmp_path, capsys):
    artifact = read_artifact(trained.output / "model.tar.gz")
    weights = {name: array for name, array in artifact.weights.items() if name != "conv1.weight"}
    other = Artifact(artifact.hyperparameters, weights, artifact.labels, artifact.metrics)
    write_artifact(tmp_path / "model.tar.gz", other)
    assert main(["evaluate", str(tmp_path), "--data", str(data)]) == 2
    assert "conv1.weight: missing" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["evaluate", "/nowhere/model.tar.gz", "--data", "{data}"], "/nowhere/model.tar.gz"),
        (["evaluate", "{model}"], "--data: is missing"),
        (["evaluate", "{model}", "--data", "/nowhere"], "/nowhere: no such folder"),
        (["evaluate", "{model}", "--data", "{data}", "--split", "test"], "invalid choice: 'test'"),
        (["evaluate", "{model}", "--data", "{data}", "--batch-size", "0"], "a number from 1 on is expected"),
        (["evaluate", "{model}", "--data", "{data}", "--batchsize", "2"], "did you mean --batch-size?"),
        (["evaluate", "--data", "{data}"], "the following arguments are required: MODEL"),
    ],
)
def test_what_is_wrong_is_reported(trained, data, capsys, arguments, expected):
    assert main([part.format(model=trained.output, data=data) for part in arguments]) == 2
    captured = capsys.readouterr()
    assert expected in captured.err
    assert captured.out == ""


def test_a_folder_that_is_not_there_for_the_json(trained, data, tmp_path, capsys):
    path = tmp_path / "no" / "scores.json"
    assert main(["evaluate", str(trained.output), "--data", str(data), "--json", str(path)]) == 2
    assert "No such file or directory" in capsys.readouterr().err
