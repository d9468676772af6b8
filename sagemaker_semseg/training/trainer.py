"""The training loop: trains a network on checked data and writes the model's artifact.

One device, all GPUs of a machine and several hosts run the same code: ``tf.distribute`` runs the step on every replica,
and what must not depend on their number (valid pixels, gradients, confusion counts) is summed over them.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import math
import signal
import sys
import threading
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from sagemaker_semseg.data.datasets import Datasets
from sagemaker_semseg.data.pipe_mode import Cancelled
from sagemaker_semseg.errors import DivergedError, Fault
from sagemaker_semseg.hyperparameters import Hyperparameters, to_strings
from sagemaker_semseg.metrics import Scores
from sagemaker_semseg.models.network import build_network
from sagemaker_semseg.models.weights import get_weights, set_weights
from sagemaker_semseg.signals import catch_signals
from sagemaker_semseg.storage import remove_leftovers
from sagemaker_semseg.training import checkpoint
from sagemaker_semseg.training.callbacks import BestEpoch, LearningRate
from sagemaker_semseg.training.checkpoint import TrainingState
from sagemaker_semseg.training.devices import default_strategy, reader_processes
from sagemaker_semseg.training.evaluation import Evaluator
from sagemaker_semseg.training.finish import TrainingResult, write_model
from sagemaker_semseg.training.hosts import Hosts
from sagemaker_semseg.training.losses import Loss
from sagemaker_semseg.training.optimizers import make_optimizer
from sagemaker_semseg.training.pipeline import Share, training_batches
from sagemaker_semseg.training.plan import check, class_weights
from sagemaker_semseg.training.schedules import make_schedule
from sagemaker_semseg.training.train_step import make_averaging, make_train_step
from sagemaker_semseg.training.weight_average import WeightAverage, freeze_backbone


def train(
    hp: Hyperparameters,
    datasets: Datasets,
    output: Path,
    *,
    class_names: Sequence[str] = (),
    weights: Mapping[str, np.ndarray] | None = None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    strategy: tf.distribute.Strategy | None = None,
    checkpoints: Path | None = None,
    model_path: Path | None = None,
) -> TrainingResult:
    """Train a network and write the artifact of the epoch with the best validation mIOU.

    The same call resumes a training from its checkpoint, in the middle of an epoch too. SIGTERM and Ctrl-C end it after
    the current step, or at once while it waits for a pipe, with a checkpoint and the best model so far.

    Args:
        hp: The hyperparameters.
        datasets: The checked data.
        output: The folder of the results.
        class_names: From label 0 on, for the artifact.
        weights: Initial weights under structural names (``models.weights``); those that are missing are random.
            ``use_pretrained_model`` requires some, unless the training resumes.
        callbacks: Keras callbacks. ``self.model`` has the ``optimizer``.
        strategy: None: all GPUs, or the CPU.
        checkpoints: The folder of the checkpoints; ``output/checkpoints`` if None.
        model_path: Where the artifact is written (``write_artifact``); ``output/model.tar.gz`` if None.

    Raises:
        HyperparameterError: The hyperparameters don't fit the data or the devices.
        DataError: A sample can't be read, or the checkpoint is of another training.
        DivergedError: The loss or a weight isn't finite. The best epoch's artifact has been written.
        OSError: A file can't be read or written.
    """
    checkpoints, model_path = checkpoints or output / "checkpoints", model_path or output / "model.tar.gz"
    strategy = strategy or default_strategy()
    with Hosts(strategy).explain_loss(checkpoints):
        trainer = Trainer(hp, datasets, checkpoints, strategy, weights)
        trainer.state.class_names = list(class_names)
        # after the strategy, whose start sets handlers of its own
        with catch_signals(callback=_let_ctrl_c_interrupt, threaded=True) as stop:
            try:
                trainer.fit(trainer.callback_list(callbacks), stop)
            except _NotFiniteError as error:
                kept = trainer.state.progress.best_epoch >= 0
                if kept:
                    trainer.write_model(model_path)
                raise _diverged(str(error), hp, model_path if kept else None) from None
            return trainer.write_model(model_path, stop.signal or (signal.SIGTERM if trainer.reported[0] else None))


class Trainer:
    """A network, its data and the state of its training."""

    def __init__(
        self,
        hp: Hyperparameters,
        datasets: Datasets,
        checkpoints: Path,
        strategy: tf.distribute.Strategy,
        weights: Mapping[str, np.ndarray] | None = None,
    ):
        self.hp, self.datasets, self.strategy, self.hosts = hp, datasets, strategy, Hosts(strategy)
        self.reported = [0.0, 0.0]  # by the hosts: ``_flags``
        self.last_path, self.best_path = checkpoint.paths(checkpoints)
        if self.hosts.is_chief:
            checkpoint.remove_leftovers_of_kill(checkpoints)
        with self.hosts.file_of_chief(self.last_path) as last:
            self._set_up(last if last.is_file() else None, weights)

    def _set_up(self, last: Path | None, weights: Mapping[str, np.ndarray] | None) -> None:
        """Build the network and restore the last checkpoint, if there is one."""
        hp, datasets, strategy = self.hp, self.datasets, self.strategy
        check(hp, strategy.num_replicas_in_sync, has_weights=bool(weights) or last is not None)
        keras.utils.set_random_seed(hp.seed % 2**32)
        self.network = _build(hp, strategy, weights)
        self.average = WeightAverage(self.network, hp.ema_decay, strategy) if hp.ema_decay else None
        self.network.averages = self.average.variables if self.average else {}
        loss = Loss.of(hp, class_weights(hp, datasets))
        self._make_step = functools.cache(
            lambda frozen: make_train_step(self.network, self.network.optimizer, strategy, loss, recompute=hp.recompute)
        )
        self.average_statistics = make_averaging(self.network, strategy, self.average)
        self.evaluator = Evaluator(self.network, hp.num_classes, strategy)
        self.state = self._resume(last, TrainingState(to_strings(hp), datasets.train.count or 0))
        self.steps_per_epoch = math.ceil(self.state.samples / hp.mini_batch_size)

    def fit(self, callbacks: keras.callbacks.CallbackList, stop: threading.Event) -> None:
        """Train the epochs that are left. Once ``stop`` is set, end after the current step."""
        state, steps = self.state, self.steps_per_epoch
        batches, validations = self._batches(stop), itertools.count()
        callbacks.on_train_begin()
        self.saved_at = time.monotonic()
        try:
            while not state.finished(self.hp):
                epoch, end = len(state.history), (len(state.history) + 1) * steps
                loss: Any = None
                started = time.monotonic() - state.seconds
                callbacks.on_epoch_begin(epoch)
                train_step = self._train_step(epoch)
                with contextlib.suppress(Cancelled):  # a stop ends the reading of a pipe
                    for images, labels in itertools.islice(batches, end - state.step):
                        callbacks.on_train_batch_begin(state.step % steps)
                        previous, loss = loss, train_step(images, labels, *self._flags(stop))
                        if previous is not None:  # it is read one step late, so that a GPU always has work
                            self._end_step(previous, state.step, callbacks)
                        if self.average:
                            self.average.update(state.step)
                        state.step += 1
                        state.seconds = time.monotonic() - started
                        if self._must_stop(stop):
                            break
                        if self._checkpoint_is_due():
                            self._end_step(loss, state.step, callbacks)
                            loss = None
                            self.save()
                if loss is not None:
                    self._end_step(loss, state.step, callbacks)
                if state.step == end and not self._must_stop(stop):
                    self.save()  # a validation may take long
                if state.step == end:
                    try:
                        with self._averaged():
                            logs = self._validate(epoch, next(validations), stop)
                            callbacks.on_epoch_end(epoch, logs)
                    except Cancelled:  # the epoch is validated when the training resumes
                        self.reported[0] = 1.0
                self.save()
                if self._must_stop(stop) or self.hosts.any(self.network.stop_training):
                    break
        finally:
            stop.set()  # ends the reading of pipes
            batches.close()
            callbacks.on_train_end()

    def _flags(self, stop: threading.Event) -> list[Any]:
        """What hosts tell each other with a step: whether one is to stop, and whether a checkpoint is due."""
        if self.hosts.count == 1:
            return []
        return [tf.constant(float(flag)) for flag in (stop.is_set(), self._is_late() and self.hosts.is_chief)]

    def _must_stop(self, stop: threading.Event) -> bool:
        """Whether to end now: on several hosts, whether all have read that one is to stop, in the same step."""
        return stop.is_set() if self.hosts.count == 1 else bool(self.reported[0])

    def _checkpoint_is_due(self) -> bool:
        return self._is_late() if self.hosts.count == 1 else bool(self.reported[1])

    def _is_late(self) -> bool:
        return time.monotonic() - self.saved_at >= 60 * self.hp.checkpoint_minutes

    def save(self) -> None:
        """Write the last checkpoint; the best epoch's file follows it."""
        self.average_statistics()
        if self.hosts.is_chief:
            checkpoint.save(self.last_path, self.network, self.network.optimizer, self.state)
        self._agree_on_best()
        self.reported[1] = 0
        self.saved_at = time.monotonic()

    def _agree_on_best(self) -> None:
        """Forget the best epoch if its file is gone: a later one takes its place, and the training isn't lost."""
        found = self.hosts.is_chief and checkpoint.agree_on_best(self.best_path, self.state)
        if self.state.progress.best_epoch >= 0 and not self.hosts.any(found):
            if self.hosts.is_chief:
                what = f"{self.best_path} is missing or another training's; the best of the epochs to come replaces it"
                print(f"warning: {what}", file=sys.stderr, flush=True)
            self.state.forget_best()

    def _train_step(self, epoch: int) -> Callable[..., Any]:
        """Return the step of an epoch, which leaves frozen layers as they are."""
        frozen = epoch < self.hp.freeze_backbone_epochs
        freeze_backbone(self.network, batch_norm=frozen or self.hp.freeze_batch_norm, others=frozen)
        return self._make_step(frozen)

    def _averaged(self) -> contextlib.AbstractContextManager[None]:
        """Put the averaged weights into the network for a while, if there are any."""
        return self.average.applied() if self.average else contextlib.nullcontext()

    def _batches(self, stop: threading.Event) -> Generator[Any, None, None]:
        hosts, replicas = self.hosts, self.strategy.num_replicas_in_sync
        several = hosts.count > 1
        batches = training_batches(
            self.datasets.train,
            self.hp,
            start_step=self.state.step,
            stop_step=self.steps_per_epoch * self.hp.epochs,
            processes=reader_processes(),
            stop=stop,
            share=Share(hosts.rank * hosts.local_replicas, hosts.local_replicas, replicas) if several else Share(),
        )
        return batches.distribute_shares(self.strategy) if several else batches.distribute(self.strategy)

    def _end_step(self, loss: Any, step: int, callbacks: keras.callbacks.CallbackList) -> None:
        """Add the loss of update number ``step``, counted from 1."""
        value, *reported = np.atleast_1d(np.asarray(loss)).tolist()
        self.reported = reported or self.reported
        epoch, batch = divmod(step - 1, self.steps_per_epoch)
        if not math.isfinite(value):
            raise _NotFiniteError(f"the loss became {value} in epoch {epoch + 1}, step {batch + 1}")
        self.state.loss_sum += value
        callbacks.on_train_batch_end(batch, {"loss": value})

    def _validate(self, epoch: int, number: int, stop: threading.Event) -> dict[str, Any]:
        """Validate the network and return the metrics of the epoch. number: of the pipe's FIFO."""
        for name, array in get_weights(self.network).items():
            if not np.isfinite(array).all():
                raise _NotFiniteError(f"{name} holds numbers that are not finite after epoch {epoch + 1}")
        started, counts, state = time.monotonic(), [0], self.state
        try:
            state.confusion = self.evaluator.confusion(
                self.datasets.validation, self.hp.validation_mini_batch_size, counts.append, epoch=number, stop=stop
            )
        except FloatingPointError as error:
            raise _NotFiniteError(f"{error} in the validation after epoch {epoch + 1}") from error
        images = sum(counts) if self.hosts.count == 1 else self.datasets.validation.count or 0
        scores = Scores.of(state.confusion)
        logs = {
            "loss": state.loss_sum / self.steps_per_epoch,
            "learning_rate": float(self.network.optimizer.learning_rate.numpy()),
            "throughput": self.steps_per_epoch * self.hp.mini_batch_size / max(state.seconds, 1e-9),
            "val_mIOU": scores.miou,
            "val_pixel_accuracy": scores.pixel_accuracy,
            "val_throughput": images / max(time.monotonic() - started, 1e-9),
        }
        state.loss_sum = state.seconds = 0.0
        state.history.append({"epoch": epoch, **logs})
        return logs

    def callback_list(self, callbacks: Sequence[keras.callbacks.Callback]) -> keras.callbacks.CallbackList:
        """Put the trainer's callbacks around those of the user."""
        hp, state = self.hp, self.state
        best = BestEpoch(state, self.best_path if self.hosts.is_chief else None, hp.early_stopping_tolerance)
        rate = LearningRate(state, make_schedule(hp, state.samples))
        self.network.stop_training = False
        return keras.callbacks.CallbackList(
            [best, *callbacks, rate],
            model=self.network,
            epochs=hp.epochs,
            steps=self.steps_per_epoch,
            samples=state.samples,
            batch_size=hp.mini_batch_size,
            initial_epoch=len(state.history),
            initial_step=state.step,
        )

    def _resume(self, last: Path | None, new: TrainingState) -> TrainingState:
        """Restore the last checkpoint. Raises DataError if it is of another training."""
        if last is None:
            return new
        state = checkpoint.read_state(last)
        checkpoint.check_same_training(last, state, self.hp, new.samples)
        checkpoint.restore(last, self.network, self.network.optimizer)
        state.hyperparameters = new.hyperparameters  # the names of classes may be others
        self.state = state
        self._agree_on_best()
        return state

    def write_model(self, path: Path, signal: int | None = None) -> TrainingResult:
        """Write the artifact with the best epoch's weights, or the current ones if no epoch has ended.

        The chief writes it; the others return its result without the scores.
        """
        state, found = self.state, self.state.progress.best_epoch >= 0
        with self._averaged():
            weights = None if found else get_weights(self.network)
        if self.hosts.is_chief:
            remove_leftovers(path)
            result = write_model(path, state, self.best_path, weights, signal)
        else:
            result = TrainingResult(path, state.history, state.progress.best_epoch if found else None, None, signal)
        self.hosts.wait()  # a host that ends takes the others with it
        return result


def _build(
    hp: Hyperparameters, strategy: tf.distribute.Strategy, weights: Mapping[str, np.ndarray] | None
) -> keras.Model:
    """Build the network, with its optimizer as an attribute, where callbacks expect it."""
    syncbn = hp.syncbn and strategy.num_replicas_in_sync > 1
    with strategy.scope():
        network = build_network(
            hp.algorithm, hp.backbone, hp.num_classes, output_stride=hp.stride, dtype=hp.precision, syncbn=syncbn
        )
        if weights:
            set_weights(network, {**get_weights(network), **weights})
        freeze_backbone(network, batch_norm=hp.freeze_batch_norm, others=False)
        network.optimizer = make_optimizer(hp)
        network.optimizer.build(network.trainable_variables)
    return network


class _NotFiniteError(Exception):
    """A loss, a weight or a prediction isn't finite."""


def _diverged(what: str, hp: Hyperparameters, path: Path | None) -> DivergedError:
    """path: of the model with the best epoch's weights."""
    kept = f"the best epoch's are in {path}" if path else "no epoch was finished, so there are none to keep"
    remedy = f"lower learning_rate (now {hp.learning_rate:g}), or raise warmup_epochs or mini_batch_size"
    if hp.precision == "mixed_float16":
        remedy += ", or use precision mixed_bfloat16 or float32"
    return DivergedError(f"training has diverged; the last good weights: {kept}", [Fault("loss", what, remedy)])


def _let_ctrl_c_interrupt(number: int) -> None:
    """Handle the next Ctrl-C as Python does, by KeyboardInterrupt."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
