"""Lockstep worker: our own training batches, normalized (see `peers/lockstep.py` and `peers/gluoncv_loader.py`).

In: a folder of `<k>.jpg` and `<k>.png`. One "step" is a round: `--batches` batches through an iterator of its own, so
that nothing is read ahead before the clock starts or after it stops. The float32 normalisation, in training a part of
the step, is counted too. Run by `pipeline_speed.py`.
"""

import argparse
import os
from importlib.metadata import version
from types import SimpleNamespace

from peers import loader_flags, lockstep

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ["CUDA_VISIBLE_DEVICES"] = "-1"


def build(args: argparse.Namespace) -> tuple[lockstep.Step, dict[str, str]]:
    import numpy as np
    import tensorflow as tf

    from sagemaker_semseg.data.datasets import FileDataset, ImageMaskPair
    from sagemaker_semseg.data.labels import LabelMap
    from sagemaker_semseg.models.network import MEAN, STANDARD_DEVIATION
    from sagemaker_semseg.training.pipeline import training_batches

    images = sorted(args.folder.glob("*.jpg"))
    samples = tuple(ImageMaskPair(path.stem, path, path.with_suffix(".png"), size=(480, 640)) for path in images)
    counts = np.zeros(12, np.int64)
    split = FileDataset("train", samples, LabelMap.identity(12), counts, counts, np.zeros(256, np.int64))
    hp = SimpleNamespace(base_size=args.base, padded_crop_size=args.crop, mini_batch_size=args.batch, seed=0)
    rounds = iter(
        [
            training_batches(split, hp, start_step=start, stop_step=start + args.batches, workers=args.workers)
            for start in range(0, (args.rounds + lockstep.WARM_UP_STEPS) * args.batches, args.batches)
        ]
    )
    scale = tf.constant(np.tile(1 / (255 * np.array(STANDARD_DEVIATION)), args.crop), tf.float32)
    shift = tf.constant(np.tile(-np.array(MEAN) / np.array(STANDARD_DEVIATION), args.crop), tf.float32)

    @tf.function(jit_compile=True)  # one loop over the values instead of three
    def normalized(images: tf.Tensor) -> tf.Tensor:
        rows = tf.reshape(images, (-1, args.crop * 3))  # whole rows: broadcasting three values is five times as slow
        return tf.reshape(tf.cast(rows, tf.float32) * scale + shift, tf.shape(images))

    def step() -> float:
        seen = 0
        for images, labels in next(rounds):
            images = normalized(images)
            seen += len(labels)
        assert seen == args.batch * args.batches
        assert images.shape == (args.batch, args.crop, args.crop, 3)
        return float(images[0, 0, 0, 0])

    return step, {"tensorflow": tf.__version__, "numpy": np.__version__, "pillow": version("pillow")}


if __name__ == "__main__":
    flags = loader_flags.parser(__doc__)
    flags.add_argument("--workers", type=int, default=1)
    lockstep.serve(flags.parse_args(), build)
