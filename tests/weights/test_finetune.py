"""A model of AWS's algorithm, given in the channel ``model``, is trained further: a few steps lower its loss.

On the demo's images; ``make test-finetune DATA=FOLDER`` does it with a resnet-50 on the four channels in a folder.
"""

from __future__ import annotations

import io
import json
import tarfile
import threading
import zlib
from pathlib import Path

import keras
import numpy as np
import pytest

from sagemaker_semseg.architectures import ArchitectureSpec
from sagemaker_semseg.data.datasets import find_channels, read_channels
from sagemaker_semseg.data.demo_dataset import make_demo_set
from sagemaker_semseg.environment import WeightLocations
from sagemaker_semseg.hyperparameters import resolve
from sagemaker_semseg.jobs import initial_weights as start
from sagemaker_semseg.training import trainer
from sagemaker_semseg.weights import mxnet

STEPS = 30

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(request, tmp_path_factory):
    given = request.config.getoption("--data", default=None)
    if given:
        return Path(given)
    root = tmp_path_factory.mktemp("demo")
    make_demo_set(root, train=24, validation=2, test=1, size=96)
    return root


def drawn(name, shape):
    """He et al.'s initialisation, by the weight's name; batch normalisation that leaves things as they are."""
    random = np.random.default_rng(zlib.crc32(name.encode()))
    if len(shape) == 4:
        return (random.standard_normal(shape) * np.sqrt(2 / np.prod(shape[1:]))).astype(np.float32)
    return np.full(shape, float(name.endswith(("gamma", "running_var"))), np.float32)


def artifact(path, hp):
    """``model.tar.gz`` as AWS's algorithm leaves it."""
    weights = {
        name: drawn(name, s) for name, s in ArchitectureSpec(hp.backbone, hp.algorithm, hp.num_classes).shapes.items()
    }
    settings = {"algorithm": hp.algorithm, "backbone": hp.backbone, "num_classes": str(hp.num_classes)}
    members = {"hyperparams.json": json.dumps(settings).encode(), "model_best.params": b"".join(mxnet.write(weights))}
    with tarfile.open(path, "w:gz", compresslevel=0) as file:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            file.addfile(info, io.BytesIO(data))


def test_an_imported_model_goes_on_learning(folder, request, tmp_path):
    folders = find_channels(folder)
    channels = read_channels(folders, 254)
    classes = int(max(split.pixel_counts.nonzero()[0].max() for split in (channels.train, channels.validation))) + 1
    hp = resolve({
        "num_classes": classes, "backbone": "resnet-50" if request.config.getoption("--data", None) else "resnet-18",
        "crop_size": 96, "base_size": 160, "mini_batch_size": 4, "learning_rate": 0.01, "epochs": STEPS,
        "head_learning_rate_multiplier": 1,
    })  # fmt: skip
    artifact(tmp_path / "model.tar.gz", hp)
    places = WeightLocations(tmp_path, tmp_path, "https://hub.invalid", offline=True)
    begin = start.find_local(hp, {**folders, "model": tmp_path}, places)
    run = trainer.Trainer(hp, channels, tmp_path / "out", trainer.default_strategy(), weights=begin.weights)

    losses, stop = [], threading.Event()

    class Losses(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            losses.append(logs["loss"])
            if len(losses) == STEPS:
                stop.set()

    run.fit(run.callback_list([Losses()]), stop)
    first, last = np.mean(losses[:5]), np.mean(losses[STEPS - 5 : STEPS])
    print(
        f"\n{hp.backbone}, {classes} classes: loss {first:.3f} over steps 1 to 5, {last:.3f} over the last 5 of {STEPS}"
    )
    assert last < 0.85 * first
