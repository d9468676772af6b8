"""Lockstep worker: training steps of our own FCN or DeepLabV3 (see `peers/lockstep.py`).

`--stock` measures the same network and loss the way Keras does it by itself: its own layers, `compile` and `fit`,
TensorFlow's default settings. `--precision` chooses another number format.
"""

import argparse
import math
from collections.abc import Callable
from typing import Any

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
    if args.stock:
        return stock_step(args, images, labels), versions
    step, network = our_step(args, images, labels)
    work = floating_point_operations(network, images.shape)
    return step, {**versions, "TFLOP a step": f"{work / 1e12:.3f}"}


def our_step(args: argparse.Namespace, images: np.ndarray, labels: np.ndarray) -> tuple[Callable[[], float], Any]:
    """The step that `sagemaker-semseg train` runs, normalisation of the pixels included, and its network."""
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
            "recompute": args.recompute,
        }
    )
    strategy = default_strategy()
    with strategy.scope():
        network = build_network(hp.algorithm, hp.backbone, hp.num_classes, dtype=hp.precision)
        optimizer = make_optimizer(hp)
        optimizer.build(network.trainable_variables)
    step = make_train_step(network, optimizer, strategy, Loss.of(hp, None), recompute=hp.recompute)
    batch = tf.constant(images), tf.constant(labels)
    return lambda: float(step(*batch)), network


def floating_point_operations(network, shape: tuple[int, ...]) -> int:
    """Those of a step's convolutions: 2 a weight and pixel, forward, and backward by the kernel and by the input."""
    import tensorflow as tf

    forward = tf.function(lambda x: network(x, training=True)).get_concrete_function(tf.TensorSpec(shape))
    convolutions = [op for op in forward.graph.get_operations() if op.type == "Conv2D"]
    work = [2 * math.prod(op.outputs[0].shape) * math.prod(op.inputs[1].shape[:3]) for op in convolutions]
    return 3 * sum(work) - work[0]  # nothing asks for the image's gradient


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
    flags.add_argument("--recompute", action="store_true", help="compute blocks a second time for the gradient")
    flags.add_argument("--precision", default="float32", choices=("float32", "mixed_bfloat16", "mixed_float16"))
    lockstep.serve(flags.parse_args(), build)
