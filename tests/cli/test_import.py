"""``import``: a model in AWS's form becomes one that predicts; faults are reported before TensorFlow is loaded."""

import gzip
import io
import json
import tarfile

import numpy as np
import pytest

from sagemaker_semseg.artifact import read_artifact, read_inference_artifact
from sagemaker_semseg.cli import main
from sagemaker_semseg.weights import mxnet


@pytest.fixture(scope="module")
def theirs(trained, tmp_path_factory):
    """The trained model as AWS's algorithm would have left it."""
    artifact = read_artifact(trained.output / "model.tar.gz")
    last = {name: array + np.float32(1) for name, array in artifact.weights.items()}
    members = {
        "hyperparams.json": json.dumps({**artifact.hyperparameters, "_num_gpus": "1"}).encode(),
        "model_algo-1": b"".join(mxnet.write(last)),
        "model_best.params": b"".join(mxnet.write(artifact.weights)),
    }
    path = tmp_path_factory.mktemp("theirs") / "model.tar.gz"
    with gzip.open(path, "wb", 0) as stream, tarfile.open(fileobj=stream, mode="w") as file:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            file.addfile(info, io.BytesIO(data))
    return path


def test_what_was_imported_predicts_as_before(theirs, trained, data, tmp_path, capsys):
    ours = tmp_path / "new" / "model.tar.gz"
    assert main(["import", str(theirs), "-o", str(ours), "--class-names", "ground, disc,box,triangle"]) == 0
    text = capsys.readouterr().out
    assert "network     fcn on resnet-tiny, 4 classes" in text
    assert "note        '_num_gpus' is not known here" in text
    assert read_inference_artifact(ours).labels["class_names"] == ["ground", "disc", "box", "triangle"]
    before, after = tmp_path / "before", tmp_path / "after"
    for model, masks in ((trained.output, before), (ours, after)):
        assert main(["predict", str(model), str(data / "test"), "-o", str(masks)]) == 0
    names = sorted(path.name for path in before.glob("*.png"))
    assert len(names) == 2
    assert [(before / name).read_bytes() for name in names] == [(after / name).read_bytes() for name in names]


def test_the_last_epoch_s_weights(theirs, trained, tmp_path):
    assert main(["import", str(theirs), "-o", str(tmp_path / "m.tar.gz"), "--last"]) == 0
    name = "head.block.4.bias"
    best = read_artifact(trained.output / "model.tar.gz").weights[name]
    assert np.array_equal(read_artifact(tmp_path / "m.tar.gz").weights[name], best + np.float32(1))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--class-names", "a,b"], "--class-names: 2 names came, the model has 4 classes"),
        (["--output", "{folder}"], "is a folder (give a file)"),
        (["--lst"], "--lst: there is no such flag (did you mean --last?)"),
    ],
)
def test_refused(theirs, tmp_path, capsys, arguments, message):
    arguments = [argument.format(folder=tmp_path) for argument in arguments]
    assert main(["import", str(theirs), "-o", str(tmp_path / "x.tar.gz"), *arguments]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "x.tar.gz").exists()


def test_other_commands_say_how_to_import(theirs, tmp_path, capsys):
    assert main(["predict", str(theirs), str(tmp_path), "-o", str(tmp_path / "masks")]) == 2
    assert "sagemaker-semseg import MODEL -o NEW" in capsys.readouterr().err
