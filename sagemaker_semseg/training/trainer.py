"""The training loop, to be read from top to bottom: checked data and hyperparameters in, a model artifact out.

One device, all GPUs of a machine and several hosts are the same code: ``tf.distribute`` runs the step on every replica,
and whatever must not depend on how many there are (valid pixels, gradients, confusion counts) is summed over them.
The loop drives Keras callbacks, the reports of ``report`` among them. Called by the command line.
"""

from __future__ import annotations

import contextlib
import itertools
import math
import platform
import signal
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from sagemaker_semseg.artifact import Artifact, write_artifact
from sagemaker_semseg.data.datasets import Datasets
from sagemaker_semseg.data.labels import IGNORE
from sagemaker_semseg.errors import DivergedError, Fault
from sagemaker_semseg.export import with_graph
from sagemaker_semseg.hyperparameters import Hyperparameters, to_strings
from sagemaker_semseg.metrics import Scores
from sagemaker_semseg.models.network import build_network
from sagemaker_semseg.models.weights import get_weights, set_weights
from sagemaker_semseg.signals import catch_signals
from sagemaker_semseg.training import checkpoint
from sagemaker_semseg.training.devices import default_strategy
from sagemaker_semseg.training.early_stopping import EarlyStopping
from sagemaker_semseg.training.evaluation import Evaluator
from sagemaker_semseg.training.optimizers import make_optimizer
from sagemaker_semseg.training.pipeline import training_batches
from sagemaker_semseg.training.plan import check, class_weights, make_schedule
from sagemaker_semseg.training.train_step import make_train_step


@dataclass(frozen=True)
class TrainingResult:
    """What a training leaves behind.

    history: one dict per epoch. scores: of the best epoch; None if there was none. signal: the number of the one that
    stopped it, if one did.
    """

    artifact: Path
    history: list[dict[str, Any]]
    best_epoch: int | None
    scores: Scores | None
    stopped: bool
    signal: int | None = None


def train(
    hp: Hyperparameters,
    channels: Datasets,
    output: Path,
    *,
    class_names: Sequence[str] = (),
    weights: Mapping[str, np.ndarray] | None = None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    strategy: tf.distribute.Strategy | None = None,
    checkpoints: Path | None = None,
    model_path: Path | None = None,
) -> TrainingResult:
    """Train, keep the epoch with the best validation mIOU, write the artifact.

    model_path: where the artifact is written (``write_artifact``); ``output/model.tar.gz`` if None.

    weights: to start from, under structural names (``models.weights``); those that are left out begin at random. With
    ``use_pretrained_model`` there have to be some, unless the run goes on.
    checkpoints: where the run stands, None is ``output/checkpoints``; the same call goes on from there, in the middle
    of an epoch too.
    SIGTERM and Ctrl-C end it after the step in hand, with a checkpoint and the best model so far; while it waits for a
    stream, at once. strategy: None takes all GPUs, or the CPU. Raises HyperparameterError, DataError (a checkpoint of
    another training) or DivergedError; ``tf.errors.OpError`` for what can't be read.
    """
    run = Trainer(hp, channels, output, strategy or default_strategy(), class_names, weights, checkpoints, model_path)

    def interrupt_next_time(number: int) -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)

    with catch_signals(callback=interrupt_next_time, threaded=True) as stop:
        run.halt = stop
        run.fit(callbacks, stop)
        result = run.finish(stopped=stop.signal is not None)
    return replace(result, signal=stop.signal)


class Trainer:
    """One training: the network and where it stands."""

    def __init__(
        self,
        hp: Hyperparameters,
        channels: Datasets,
        output: Path,
        strategy: tf.distribute.Strategy,
        class_names: Sequence[str] = (),
        weights: Mapping[str, np.ndarray] | None = None,
        checkpoints: Path | None = None,
        model_path: Path | None = None,
    ):
        self.hp, self.channels, self.strategy, self.class_names = hp, channels, strategy, list(class_names)
        self.output, self.checkpoints = output, checkpoints or output / "checkpoints"
        self.model_path = model_path or output / "model.tar.gz"
        check(hp, strategy.num_replicas_in_sync, has_weights=bool(weights) or self.last_path.is_file())
        keras.utils.set_random_seed(hp.seed % 2**32)
        self.class_weights = class_weights(hp, channels)
        replicas = strategy.num_replicas_in_sync
        with strategy.scope():
            self.network = build_network(
                hp.algorithm, hp.backbone, hp.num_classes, dtype=hp.precision, syncbn=hp.syncbn and replicas > 1
            )
            if weights:
                set_weights(self.network, {**get_weights(self.network), **weights})
            self.optimizer = make_optimizer(hp)
            self.optimizer.build(self.network.trainable_variables)
        self.network.optimizer = self.optimizer  # where callbacks look for it
        self.evaluator = Evaluator(self.network, hp.num_classes, strategy)
        self.train_step = make_train_step(self.network, self.optimizer, strategy, hp.aux_weight, self.class_weights)
        self.samples = channels.train.count or 0
        self.steps_per_epoch = math.ceil(self.samples / hp.mini_batch_size)
        self.schedule = make_schedule(hp, self.samples)
        self.step, self.rate_scale, self.rate_given = 0, 1.0, float(self.optimizer.learning_rate.numpy())
        self.progress = EarlyStopping()
        self.history: list[dict[str, Any]] = []
        self.loss_sum = 0.0  # of the epoch in hand
        self.halt = threading.Event()  # ends the reading of streams
        self.validations = itertools.count()  # each reads a stream of its own

    def fit(self, callbacks: Sequence[keras.callbacks.Callback], stop: threading.Event) -> None:
        """Run the epochs that are left. ``stop``, once set, ends it after the step in hand."""
        self.resume()
        watchers = self.watchers(callbacks)
        watchers.on_train_begin()
        batches = iter(self.batches())
        try:
            while not self.ended():
                epoch = len(self.history)
                watchers.on_epoch_begin(epoch)
                self.take_rate_from_callbacks()
                throughput = self.run_epoch(batches, watchers, stop)
                if self.step == (epoch + 1) * self.steps_per_epoch:  # whole: it wasn't stopped on the way
                    with self.until_halted():
                        watchers.on_epoch_end(epoch, self.end_epoch(epoch, throughput))
                        self.take_rate_from_callbacks()
                self.save()
                if stop.is_set() or self.network.stop_training:
                    break
        except DivergedError:
            if self.progress.best_epoch >= 0:
                self.finish(stopped=True)
            raise
        finally:
            self.halt.set()
            watchers.on_train_end()

    @contextlib.contextmanager
    def until_halted(self) -> Iterator[None]:
        """Within it, a stream that was told to end is no error."""
        try:
            yield
        except tf.errors.OpError:
            if not self.halt.is_set():
                raise

    def ended(self) -> bool:
        """Whether there is nothing left to train: all epochs are done, or early stopping has ended them."""
        done = len(self.history)
        return done >= self.hp.epochs or (done > 0 and self.progress.should_stop(done - 1, self.hp))

    def run_epoch(self, batches: Iterator[Any], watchers: keras.callbacks.CallbackList, stop: threading.Event) -> float:
        """The steps that are left of the epoch in hand; returns images per second."""
        start, first = time.monotonic(), self.step
        end = (len(self.history) + 1) * self.steps_per_epoch
        pending: Any = None  # a loss is read one step late, so that a GPU always has work
        while self.step < end and not stop.is_set():
            batch = None
            with self.until_halted():
                batch = next(batches)
            if batch is None:
                break
            watchers.on_train_batch_begin(self.step % self.steps_per_epoch)
            self.set_rate()
            loss = self.train_step(*batch)
            self.step += 1
            if pending is not None:
                self.take_loss(pending, self.step - 1, watchers)
            pending = loss
        if pending is not None:
            self.take_loss(pending, self.step, watchers)
        return (self.step - first) * self.hp.mini_batch_size / max(time.monotonic() - start, 1e-9)

    def take_loss(self, loss: Any, step: int, watchers: keras.callbacks.CallbackList) -> None:
        """Book the loss of update number ``step``, counted from 1."""
        value = float(loss)
        epoch, batch = divmod(step - 1, self.steps_per_epoch)
        if not math.isfinite(value):
            raise self.diverged(f"the loss became {value} in epoch {epoch + 1}, step {batch + 1}")
        self.loss_sum += value
        watchers.on_train_batch_end(batch, {"loss": value})

    def end_epoch(self, epoch: int, throughput: float) -> dict[str, Any]:
        """Validate, keep the weights if they are the best so far, and return the epoch's figures."""
        for name, array in get_weights(self.network).items():
            if not np.isfinite(array).all():
                raise self.diverged(f"{name} holds numbers that are not finite after epoch {epoch + 1}")
        start, seen = time.monotonic(), [0]
        scores = Scores.of(
            self.evaluator.confusion(
                self.channels.validation,
                self.hp.validation_mini_batch_size,
                seen.append,
                pass_number=next(self.validations),
                halt=self.halt,
            )
        )
        if self.progress.update(epoch, scores.miou, self.hp.early_stopping_tolerance):
            checkpoint.save_weights(self.best_path, get_weights(self.network), scores.confusion)
        logs = {
            "loss": self.loss_sum / self.steps_per_epoch,
            "learning_rate": float(self.optimizer.learning_rate.numpy()),
            "throughput": throughput,
            "val_mIOU": scores.miou,
            "val_pixel_accuracy": scores.pixel_accuracy,
            "val_throughput": sum(seen) / max(time.monotonic() - start, 1e-9),
        }
        self.loss_sum = 0.0
        self.history.append({"epoch": epoch, **logs})
        return logs

    def finish(self, *, stopped: bool) -> TrainingResult:
        """Write the artifact: the best epoch's weights, or those at hand if no epoch has ended yet."""
        scores, weights = None, None
        if self.progress.best_epoch >= 0:
            weights, confusion = checkpoint.load_weights(self.best_path)
            scores = Scores.of(confusion)
        best_epoch = self.progress.best_epoch if scores else None
        versions = {"tensorflow": tf.__version__, "keras": keras.__version__, "python": platform.python_version()}
        metrics = {
            "best_epoch": best_epoch,
            "validation": scores.to_dict(self.class_names) if scores else None,
            "history": self.history,
            "made_with": versions,
        }
        labels: dict[str, Any] = {"num_classes": self.hp.num_classes, "ignore": IGNORE}
        if self.class_names:
            labels["class_names"] = self.class_names
        path = self.model_path
        path.parent.mkdir(parents=True, exist_ok=True)
        artifact = Artifact(to_strings(self.hp), weights or get_weights(self.network), labels, metrics)
        try:
            artifact = with_graph(artifact)
        finally:  # whatever is wrong with the graph, the weights are not lost
            write_artifact(path, artifact)
        return TrainingResult(path, self.history, best_epoch, scores, stopped)

    # Where the run stands.

    @property
    def best_path(self) -> Path:
        return self.checkpoints / "best.safetensors"

    @property
    def last_path(self) -> Path:
        return self.checkpoints / "last.safetensors"

    def save(self) -> None:
        state = {
            "hyperparameters": to_strings(self.hp),
            "samples": self.samples,
            "step": self.step,
            "loss_sum": self.loss_sum,
            "rate_scale": self.rate_scale,
            "progress": asdict(self.progress),
            "history": self.history,
        }
        checkpoint.save(self.last_path, self.network, self.optimizer, state)

    def resume(self) -> None:
        """Go on from the checkpoint, if there is one. Raises DataError if it is of another training."""
        if not self.last_path.is_file():
            return
        state = checkpoint.read_state(self.last_path)
        checkpoint.check_same_training(self.last_path, state, self.hp, self.samples)
        checkpoint.restore(self.last_path, self.network, self.optimizer)
        self.step, self.loss_sum = int(state["step"]), float(state["loss_sum"])
        self.rate_scale, self.history = float(state["rate_scale"]), list(state["history"])
        self.rate_given = float(self.optimizer.learning_rate.numpy())
        self.progress = EarlyStopping(**state["progress"])
        if self.progress.best_epoch >= 0 and not self.best_path.is_file():
            # a copy of the folder that was cut short: the epochs to come have to do without it
            self.progress = replace(self.progress, best=-1.0, best_epoch=-1)

    def diverged(self, what: str) -> DivergedError:
        kept = "no epoch was finished, so there are none to keep"
        if self.progress.best_epoch >= 0:
            kept = f"the best epoch's are in {self.model_path}"
        remedy = f"lower learning_rate (now {self.hp.learning_rate:g}), or raise warmup_epochs or mini_batch_size"
        if self.hp.precision == "mixed_float16":
            remedy += ", or use precision mixed_bfloat16 or float32"
        return DivergedError(f"training has diverged; the last good weights: {kept}", [Fault("loss", what, remedy)])

    # What the loop stands on.

    def set_rate(self) -> None:
        self.rate_given = float(np.float32(self.rate_scale * self.schedule(self.step)))
        self.optimizer.learning_rate = self.rate_given

    def take_rate_from_callbacks(self) -> None:
        """A callback that has set another learning rate (ReduceLROnPlateau, say) scales the rest of the schedule."""
        now = float(self.optimizer.learning_rate.numpy())
        if self.rate_given and now != self.rate_given:
            self.rate_scale *= now / self.rate_given
            self.rate_given = now

    def batches(self) -> Any:
        end = self.steps_per_epoch * self.hp.epochs
        dataset = training_batches(self.channels.train, self.hp, start_step=self.step, stop_step=end, halt=self.halt)
        return self.strategy.experimental_distribute_dataset(dataset)

    def watchers(self, callbacks: Sequence[keras.callbacks.Callback]) -> keras.callbacks.CallbackList:
        self.network.stop_training = False
        return keras.callbacks.CallbackList(
            list(callbacks),
            model=self.network,
            epochs=self.hp.epochs,
            steps=self.steps_per_epoch,
            samples=self.samples,
            batch_size=self.hp.mini_batch_size,
            initial_epoch=len(self.history),
            initial_step=self.step,
        )
