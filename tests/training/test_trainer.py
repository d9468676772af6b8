"""Trainings of a tiny network: their results, how they resume and how they end."""

import dataclasses
import os
import signal

import keras
import numpy as np
import pytest

from sagemaker_semseg.artifact import read_artifact
from sagemaker_semseg.errors import DataError, DivergedError, HyperparameterError
from sagemaker_semseg.inference import Segmenter
from sagemaker_semseg.metrics import Scores, confusion_matrix
from sagemaker_semseg.models.network import network_of, normalize
from sagemaker_semseg.models.weights import get_weights
from sagemaker_semseg.training import trainer
from sagemaker_semseg.training.devices import default_strategy
from sagemaker_semseg.training.evaluation import Evaluator
from sagemaker_semseg.training.pipeline import evaluation_batches
from sagemaker_semseg.training.trainer import Trainer


class Recorder(keras.callbacks.Callback):
    """Records losses and logs; optionally sends a signal after some batches or sets a learning rate."""

    def __init__(self, signal_after=None, rates=None):
        super().__init__()
        self.losses, self.epochs, self.used_rates, self.seen = [], [], [], 0
        self.signal_after, self.rates = signal_after, rates or {}

    def on_train_batch_end(self, batch, logs=None):
        self.seen += 1
        self.losses.append(logs["loss"])
        if self.seen == self.signal_after:
            os.kill(os.getpid(), signal.SIGTERM)

    def on_epoch_end(self, epoch, logs=None):
        self.epochs.append(dict(logs))
        if epoch in self.rates:
            self.model.optimizer.learning_rate = self.rates[epoch] * float(self.model.optimizer.learning_rate)


def weights_of(path):
    return read_artifact(path).weights


@pytest.fixture(scope="module")
def whole(tiny_channels, tmp_path_factory):
    """An uninterrupted training of two epochs, made once, and what a callback saw of it."""
    from sagemaker_semseg.hyperparameters import resolve

    values = {"num_classes": 2, "backbone": "resnet-tiny", "use_pretrained_model": False, "crop_size": 32,
              "base_size": 48, "mini_batch_size": 2, "epochs": 2, "learning_rate": 0.01, "seed": 3}  # fmt: skip
    recorder = Recorder()
    output = tmp_path_factory.mktemp("whole")
    return trainer.train(
        resolve(values), tiny_channels, output, callbacks=[recorder], class_names=["dark", "light"]
    ), recorder


def test_the_artifact(whole, tiny_channels):
    result, recorder = whole
    artifact = read_artifact(result.artifact)
    assert artifact.labels == {"num_classes": 2, "ignore": 255, "class_names": ["dark", "light"]}
    assert artifact.metrics["best_epoch"] == result.best_epoch
    assert [row["loss"] for row in artifact.metrics["history"]] == pytest.approx([e["loss"] for e in recorder.epochs])
    assert len(recorder.losses) == 8  # 7 images, batches of 2: four steps an epoch, the remainder rolls over
    assert recorder.epochs[0]["loss"] == pytest.approx(np.mean(recorder.losses[:4]))


def test_the_artifact_scores_what_was_reported(whole, tiny_channels):
    """Counted once more, by numpy, from the masks that the artifact's network predicts one at a time."""
    result, _ = whole
    network, _ = network_of(read_artifact(result.artifact))
    confusion = sum(
        confusion_matrix(labels.numpy()[0], np.argmax(network(normalize(images))[0].numpy()[0], -1), 2)
        for images, labels in evaluation_batches(tiny_channels.validation, 1)
    )
    assert confusion.sum() == 3 * 40 * 47  # every pixel but the ignored column
    np.testing.assert_array_equal(confusion, result.scores.confusion)
    assert Scores.of(confusion).miou == pytest.approx(max(row["val_mIOU"] for row in result.history))


@pytest.mark.parametrize("after", [*(pytest.param(n, marks=pytest.mark.slow) for n in (2, 4)), 5])
def test_a_stopped_training_resumes_as_if_it_had_not_stopped(after, whole, tiny_channels, make_hp, tmp_path):
    result, recorder = whole
    first, second = Recorder(signal_after=after), Recorder()
    stopped = trainer.train(make_hp(), tiny_channels, tmp_path, callbacks=[first])
    assert stopped.stopped
    assert stopped.signal == signal.SIGTERM
    assert len(first.losses) in (after, after + 1)  # a loss is read one step late
    ended = trainer.train(make_hp(), tiny_channels, tmp_path, callbacks=[second])
    assert not ended.stopped
    np.testing.assert_allclose(first.losses + second.losses, recorder.losses, rtol=1e-6)
    for name, array in weights_of(ended.artifact).items():
        np.testing.assert_allclose(array, weights_of(result.artifact)[name], rtol=1e-5, atol=1e-6, err_msg=name)
    assert [row["epoch"] for row in ended.history] == [0, 1]


def test_a_checkpoint_of_other_settings_is_refused(tiny_channels, make_hp, tmp_path):
    trainer.train(make_hp(), tiny_channels, tmp_path, callbacks=[Recorder(signal_after=1)])
    with pytest.raises(DataError) as caught:
        trainer.train(make_hp(learning_rate=0.5, momentum=0.8), tiny_channels, tmp_path)
    assert {fault.where for fault in caught.value.faults} == {"learning_rate", "momentum"}


def test_two_replicas_validate_every_pixel_once(whole, tiny_channels, two_replicas):
    """Three images on two replicas: the fourth place is filled with ignored pixels."""
    result, _ = whole
    artifact = read_artifact(result.artifact)
    with two_replicas.scope():
        network, _ = network_of(artifact)
    confusion = Evaluator(network, 2, two_replicas).confusion(tiny_channels.validation, 16)
    np.testing.assert_array_equal(confusion, result.scores.confusion)


def test_two_replicas_train(tiny_channels, make_hp, two_replicas, tmp_path):
    result = trainer.train(make_hp(epochs=1, syncbn=True), tiny_channels, tmp_path, strategy=two_replicas)
    assert np.isfinite(result.history[0]["loss"])
    with pytest.raises(HyperparameterError, match="mini_batch_size"):
        trainer.train(make_hp(mini_batch_size=3), tiny_channels, tmp_path / "odd", strategy=two_replicas)


def test_missing_pretrained_weights_are_an_error(tiny_channels, make_hp, tmp_path):
    with pytest.raises(HyperparameterError, match="--use-pretrained-model False"):
        trainer.train(make_hp(use_pretrained_model=True), tiny_channels, tmp_path)


def test_weights_to_start_from(tiny_channels, make_hp, tmp_path):
    """The given weights are set, the others are random as without."""
    hp = make_hp(use_pretrained_model=True, epochs=1)
    given = {"bn1.gamma": np.linspace(0, 2, 64, dtype=np.float32)}
    without = dataclasses.replace(hp, use_pretrained_model=False)
    begun, random = (
        get_weights(Trainer(settings, tiny_channels, tmp_path, default_strategy(), weights).network)
        for settings, weights in ((hp, given), (without, None))
    )
    np.testing.assert_array_equal(begun.pop("bn1.gamma"), given["bn1.gamma"])
    assert all(np.array_equal(array, random[name]) for name, array in begun.items())


def test_the_artifact_is_written_where_it_was_asked_for(tiny_channels, make_hp, tmp_path):
    path = tmp_path / "elsewhere" / "fine.tar.gz"
    result = trainer.train(make_hp(epochs=1), tiny_channels, tmp_path / "out", model_path=path)
    assert result.artifact == path
    assert read_artifact(path).metrics["best_epoch"] == 0
    assert not (tmp_path / "out" / "model.tar.gz").exists()


def test_divergence_ends_it_and_keeps_the_best_epoch(tiny_channels, make_hp, tmp_path, monkeypatch):
    poison = {5: np.nan}  # in the second epoch
    make = trainer.make_train_step

    def poisoned(*args, **more):
        step, count = make(*args, **more), iter(range(100))
        return lambda images, labels: step(images, labels) * poison.get(next(count), 1.0)

    monkeypatch.setattr(trainer, "make_train_step", poisoned)
    with pytest.raises(DivergedError, match=r"epoch 2, step 2") as caught:
        trainer.train(make_hp(), tiny_channels, tmp_path, class_names=["dark", "light"])
    assert "model.tar.gz" in str(caught.value)
    kept = read_artifact(tmp_path / "model.tar.gz")
    assert kept.metrics["best_epoch"] == 0
    assert kept.labels["class_names"] == ["dark", "light"]


def test_real_divergence_is_found(tiny_channels, make_hp, tmp_path):
    with pytest.raises(DivergedError, match="lower learning_rate"):
        trainer.train(make_hp(learning_rate=1.0, head_learning_rate_multiplier=1e30), tiny_channels, tmp_path)


def test_logits_that_overflow_are_divergence(tiny_channels, make_hp, tmp_path):
    """Weights and the loss are finite: only the validation shows it, after the first epoch."""

    class HugeScale(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if batch == 2:  # its loss is read after the epoch's last update, of step 3
                for name in ("bn1", "head_block_1"):
                    self.model.get_layer(name).gamma.assign(np.full(self.model.get_layer(name).gamma.shape, 1e38))
                self.model.get_layer("head_block_4").kernel.assign(self.model.get_layer("head_block_4").kernel * 1e30)

    with pytest.raises(DivergedError, match="validation after epoch 1"):
        trainer.train(make_hp(), tiny_channels, tmp_path, callbacks=[HugeScale()])


def test_early_stopping(tiny_channels, make_hp, tmp_path):
    hp = make_hp(epochs=9, early_stopping=True, early_stopping_min_epochs=1, early_stopping_patience=1,
                 early_stopping_tolerance=1.0)  # fmt: skip
    epochs = len(trainer.train(hp, tiny_channels, tmp_path).history)
    assert epochs < 9
    assert len(trainer.train(hp, tiny_channels, tmp_path).history) == epochs  # it has ended, and stays so


def test_keras_callbacks_are_driven(tiny_channels, make_hp, tmp_path):
    """Those that record, that save, that stop, and that change the learning rate."""
    table = tmp_path / "log.csv"
    callbacks = [
        keras.callbacks.CSVLogger(str(table)),
        keras.callbacks.ModelCheckpoint(str(tmp_path / "best.weights.h5"), monitor="val_mIOU", mode="max",
                                        save_best_only=True, save_weights_only=True),
        keras.callbacks.EarlyStopping(monitor="val_mIOU", mode="max", patience=0, baseline=2.0),
        keras.callbacks.TerminateOnNaN(),
        keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: None),
    ]  # fmt: skip
    result = trainer.train(make_hp(epochs=5), tiny_channels, tmp_path / "out", callbacks=callbacks)
    assert 1 < len(result.history) < 5
    assert (tmp_path / "best.weights.h5").is_file()
    header, row, *_ = table.read_text().splitlines()
    assert "val_mIOU" in header.split(",")
    assert row.startswith("0,")


def test_a_callback_scales_the_rest_of_the_schedule(tiny_channels, make_hp, tmp_path):
    rates = []

    class Rates(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None):
            rates.append(float(self.model.optimizer.learning_rate))

    hp = make_hp(lr_scheduler="cosine", epochs=3)
    callbacks = [Recorder(rates={0: 0.5}), Rates()]
    trainer.train(hp, tiny_channels, tmp_path, callbacks=callbacks)
    full = [0.005 * (1 + np.cos(np.pi * k / 11)) for k in range(12)]
    used = rates[1:]  # the rate is set after the callbacks of a batch begin
    np.testing.assert_allclose(used[:3], full[:3], rtol=1e-5)
    np.testing.assert_allclose(used[4:7], np.array(full[4:7]) / 2, rtol=1e-5)


@pytest.mark.parametrize("precision", ["mixed_float16", "mixed_bfloat16"])
def test_mixed_precision_trains_and_stores_float32(precision, tiny_channels, make_hp, tmp_path):
    result = trainer.train(make_hp(precision=precision, epochs=1), tiny_channels, tmp_path)
    assert np.isfinite(result.history[0]["loss"])
    assert all(array.dtype == np.float32 for array in weights_of(result.artifact).values())


def test_class_weights_from_the_masks(tiny_channels, make_hp):
    """Median-frequency balancing, computed from the masks themselves."""
    from sagemaker_semseg.training.plan import class_weights

    labels = np.concatenate([b.numpy().ravel() for _, b in evaluation_batches(tiny_channels.train, 1)])
    frequency = np.array([(labels == c).sum() for c in (0, 1)]) / (labels != 255).sum()
    np.testing.assert_allclose(
        class_weights(make_hp(class_weights="auto"), tiny_channels), np.median(frequency) / frequency
    )
    assert class_weights(make_hp(), tiny_channels) is None
    assert class_weights(make_hp(class_weights=(1.0, 3.0)), tiny_channels).tolist() == [1, 3]


def test_seeds_decide(tiny_channels, make_hp, tmp_path):
    a, b = Recorder(), Recorder()
    small = dataclasses.replace(make_hp(), epochs=1)
    trainer.train(small, tiny_channels, tmp_path / "a", callbacks=[a])
    trainer.train(dataclasses.replace(small, seed=4), tiny_channels, tmp_path / "b", callbacks=[b])
    assert a.losses[0] != b.losses[0]


# ---- extensions


class AtEpochEnd(keras.callbacks.Callback):
    """Records the weights at the end of each epoch."""

    def __init__(self):
        super().__init__()
        self.weights = []

    def on_epoch_end(self, epoch, logs=None):
        self.weights.append(get_weights(self.model))


def test_an_average_of_the_weights_is_validated_and_kept(tiny_channels, make_hp, tmp_path, monkeypatch):
    """Computed once more from the weights after each update."""
    hp, make, after = make_hp(ema_decay=0.6), trainer.make_train_step, []

    def recorded(network, *others, **more):
        step = make(network, *others, **more)

        def update(images, labels):
            loss = step(images, labels)
            after.append(get_weights(network))
            return loss

        return update

    first = get_weights(Trainer(hp, tiny_channels, tmp_path / "first", default_strategy()).network)
    with monkeypatch.context() as patch:
        patch.setattr(trainer, "make_train_step", recorded)
        at_end = AtEpochEnd()
        result = trainer.train(hp, tiny_channels, tmp_path / "whole", callbacks=[at_end])
    average = {name: array.astype(np.float64) for name, array in first.items()}
    ends = []
    for t in range(8):
        share = 1 - min(0.6, (1 + t) / (10 + t))
        for name in average:
            average[name] += share * (after[t][name] - average[name])
        if t in (3, 7):
            ends.append({name: array.copy() for name, array in average.items()})
    for expected, found in zip(ends, at_end.weights, strict=True):
        for name, array in expected.items():
            np.testing.assert_allclose(found[name], array, rtol=1e-4, atol=1e-5, err_msg=name)
    best = at_end.weights[result.best_epoch]
    for name, array in weights_of(result.artifact).items():
        np.testing.assert_array_equal(array, best[name], err_msg=name)


@pytest.mark.slow
def test_a_stopped_training_ends_in_the_same_average(tiny_channels, make_hp, tmp_path):
    hp = make_hp(ema_decay=0.6)
    result = trainer.train(hp, tiny_channels, tmp_path / "whole")
    stopped = trainer.train(hp, tiny_channels, tmp_path / "again", callbacks=[Recorder(signal_after=5)])
    assert stopped.stopped
    resumed = trainer.train(hp, tiny_channels, tmp_path / "again")
    for name, array in weights_of(resumed.artifact).items():
        np.testing.assert_allclose(array, weights_of(result.artifact)[name], rtol=1e-5, atol=1e-6, err_msg=name)


def test_a_frozen_backbone(tiny_channels, make_hp, tmp_path):
    """It keeps its weights and statistics for an epoch, in which the decoders learn."""

    hp, at_end = make_hp(freeze_backbone_epochs=1), AtEpochEnd()
    with pytest.raises(HyperparameterError, match="freeze_backbone_epochs"):
        trainer.train(hp, tiny_channels, tmp_path / "no weights")
    given = get_weights(Trainer(make_hp(), tiny_channels, tmp_path / "first", default_strategy()).network)
    trainer.train(hp, tiny_channels, tmp_path / "out", weights=given, callbacks=[at_end])
    one, two = at_end.weights
    for name, array in given.items():
        decoder = name.startswith(("head.", "auxlayer."))
        assert np.array_equal(one[name], array) != decoder, name
        assert not np.array_equal(two[name], one[name]), name


def test_frozen_batch_normalization(tiny_channels, make_hp, tmp_path):
    given = get_weights(Trainer(make_hp(), tiny_channels, tmp_path / "first", default_strategy()).network)
    result = trainer.train(make_hp(freeze_batch_norm=True, epochs=1), tiny_channels, tmp_path, weights=given)
    for name, array in weights_of(result.artifact).items():
        kept = not name.startswith(("head.", "auxlayer.")) and not name.endswith("weight")
        assert np.array_equal(given[name], array) == kept, name


@pytest.mark.parametrize("algorithm", [pytest.param("fcn", marks=pytest.mark.slow), "deeplab"])
def test_an_output_stride_of_16(algorithm, tiny_channels, make_hp, tmp_path):
    """The artifact is used at its stride: in one piece and in tiles, as the network predicts."""
    hp = make_hp(algorithm=algorithm, output_stride="16", epochs=1)
    path = trainer.train(hp, tiny_channels, tmp_path).artifact
    network, _ = network_of(read_artifact(path))
    image = np.random.default_rng(0).integers(0, 256, (75, 90, 3), dtype=np.uint8)
    expected = np.argmax(network(normalize(image[None]))[0].numpy()[0], -1)
    assert np.mean(Segmenter(path).labels(image) == expected) > 0.999
    large = np.tile(image, (6, 6, 1))
    in_tiles = Segmenter(path, tile_pixels=2**16).probabilities(large)
    whole = Segmenter(path).probabilities(large)
    assert in_tiles.shape == whole.shape == (2, 450, 540)
    assert np.abs(in_tiles - whole).mean() < 0.02


def test_terms_of_the_loss_and_of_the_augmentation_train(tiny_channels, make_hp, tmp_path):
    settings = {
        "ohem_fraction": 0.5, "dice_weight": 1.0, "focal_gamma": 1.0, "label_smoothing": 0.1, "optimizer": "adamw",
        "rotation": 10.0, "color_jitter": 0.3, "class_balanced_crops": 0.5, "scale_range": (0.8, 1.2),
    }  # fmt: skip
    result = trainer.train(make_hp(epochs=1, **settings), tiny_channels, tmp_path)
    assert np.isfinite(result.history[0]["loss"])
