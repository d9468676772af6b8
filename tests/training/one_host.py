"""One host of a training in float64, as a process: `python one_host.py DATA OUTPUT HYPERPARAMETERS_JSON`.

Writes its losses to OUTPUT/host-RANK.json. A process that has used TensorFlow can't join others, so a
test can't be a host.
"""

import dataclasses
import json
import os
import signal
import sys
from functools import partial
from pathlib import Path

from sagemaker_semseg.environment import cluster
from sagemaker_semseg.error_handling import report
from sagemaker_semseg.hyperparameters import resolve, to_strings
from sagemaker_semseg.jobs.tensorflow_setup import load_tensorflow
from sagemaker_semseg.signals import watch_parent
from sagemaker_semseg.training.rendezvous import meet


def main(data: str, output: str, hyperparameters: str) -> None:
    values = json.loads(hyperparameters)
    precision, die_at = values.pop("precision", "float64"), values.pop("die_at", None)
    die_of = values.pop("die_of", signal.SIGKILL)
    watch_parent()
    hosts = cluster()
    strategy = load_tensorflow(
        meet=partial(meet, hosts, {"values": json.dumps(values)}, seconds=300) if hosts else None
    )
    import keras

    from sagemaker_semseg.data.datasets import find_channels, read_channels
    from sagemaker_semseg.training import checkpoint, trainer

    class Recorder(keras.callbacks.Callback):
        def __init__(self):
            super().__init__()
            self.losses = []

        def on_train_batch_end(self, batch, logs=None):
            self.losses.append(logs["loss"])
            if die_at and len(self.losses) == die_at and hosts and hosts.rank == 1:
                os.kill(os.getpid(), die_of)

    for module in (trainer, checkpoint):  # an artifact of float64 is none
        module.to_strings = lambda hp: to_strings(dataclasses.replace(hp, precision="float32"))
    trainer.build_network = partial(trainer.build_network, dropout=0.0)
    hp = dataclasses.replace(resolve(values), precision=precision)
    recorder = Recorder()
    trainer.train(
        hp, read_channels(find_channels(Path(data)), 2), Path(output), callbacks=[recorder], strategy=strategy
    )
    rank = hosts.rank if hosts else 0
    Path(output, f"host-{rank}.json").write_text(json.dumps(recorder.losses))


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except BaseException as error:
        sys.exit(report(error, verbose=False, output=None))
