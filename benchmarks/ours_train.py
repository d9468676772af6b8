"""Lockstep worker: training steps of our own FCN or DeepLabV3 (see `peers/lockstep.py`).

`--stock` measures the same network and loss the way Keras does it by itself: its own layers, `compile` and `fit`,
TensorFlow's default settings. `--precision` chooses another number format.
"""

import argparse
from collections.abc import Callable

import numpy as np
from peers import lockstep


def build(args: argparse.Namespace) -> tuple[lockstep.Step, dict[str, str]]:
    if not args.stock:
        from sagemaker_semseg.environment import configure_tensorflow  # the package itself turns oneDNN on

        configure_tensorflow()
    import keras
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(args.threads)
    images, labels = lockstep.fixed_batch(args)
    images = (255 * (images - images.min()) / np.ptp(images)).astype(np.uint8)
    labels = np.where(labels < 0, 255, labels).astype(np.uint8)
    versions = {"tensorflow": tf.__version__, "keras": keras.__version__, "precision": args.precision}
    make = stock_step if args.stock else our_step
    return make(args, images, labels), versions


def our_step(args: argparse.Namespace, images: np.ndarray, labels: np.ndarray) -> Callable[[], float]:
    """The step that `sagemaker-semseg train` runs, normalisation of the pixels included."""
    import tensorflow as tf

    from sagemaker_semseg.hyperparameters import resolve
    from sagemaker_semseg.models.network import build_network
    from sagemaker_semseg.training.devices import default_strategy
    from sagemaker_semseg.training.losses import Loss
    from sagemaker_semseg.training.optimizers import make_optimizer
    from sagemaker_semseg.training.train_step import make_train_step

    hp = resolve(
        {
            "num_classes": args.classes,
            "algorithm": args.algorithm,
            "precision": args.precision,
            "backbone": args.backbone,
        }
    )
    strategy = default_strategy()
    with strategy.scope():
        network = build_network(hp.algorithm, hp.backbone, hp.num_classes, dtype=hp.precision)
        optimizer = make_optimizer(hp)
        optimizer.build(network.trainable_variables)
    step = make_train_step(network, optimizer, strategy, Loss.of(hp, None))
    batch = tf.constant(images), tf.constant(labels)
    return lambda: float(step(*batch))


def stock_step(args: argparse.Namespace, images: np.ndarray, labels: np.ndarray) -> Callable[[], float]:
    import keras

    from sagemaker_semseg.models import network as networks
    from sagemaker_semseg.models.network import build_network, normalize

    networks.Conv2D = keras.layers.Conv2D  # type: ignore[misc]
    networks.BatchNormalization = keras.layers.BatchNormalization  # type: ignore[misc]
    network = build_network(args.algorithm, args.backbone, args.classes, dtype=args.precision)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=255)
    network.compile(keras.optimizers.SGD(0.001, momentum=0.9), [loss, loss], loss_weights=[1.0, 0.5])
    inputs, targets = np.asarray(normalize(images)), [labels, labels]

    def step() -> float:
        history = network.fit(inputs, targets, batch_size=args.batch, epochs=1, shuffle=False, verbose=0)
        return float(history.history["loss"][0])

    return step


if __name__ == "__main__":
    flags = lockstep.parser(__doc__)
    flags.add_argument("--stock", action="store_true", help="Keras's own layers and fit")
    flags.add_argument("--precision", default="float32", choices=("float32", "mixed_bfloat16", "mixed_float16"))
    lockstep.serve(flags.parse_args(), build)
