"""Lockstep worker: our own network in Keras on TensorFlow (see `peers/lockstep.py` and `peers/inference.py`).

Without the auxiliary head. Forms: `model.predict`, and `model.predict_on_batch`, which does without the loop over
batches.
"""

import argparse

from peers import inference, lockstep

from sagemaker_semseg.environment import configure_tensorflow


def build(args: argparse.Namespace) -> tuple[lockstep.Step, dict[str, str]]:
    configure_tensorflow()
    import keras
    import tensorflow as tf

    from sagemaker_semseg.models.network import build_network

    tf.config.threading.set_intra_op_parallelism_threads(args.threads)
    network = build_network(args.algorithm, f"resnet-{args.depth}", args.classes)
    model = keras.Model(network.inputs, network.outputs[0])
    images = inference.normalized(args)
    forms = {
        "predict": lambda: model.predict(images, verbose=0),
        "predict_on_batch": lambda: model.predict_on_batch(images),
    }
    step, tried = inference.fastest(forms)
    return step, {"tensorflow": tf.__version__, "keras": keras.__version__, **tried}


if __name__ == "__main__":
    lockstep.serve(inference.parser(__doc__).parse_args(), build, warm_up=0)  # `inference.fastest` did
