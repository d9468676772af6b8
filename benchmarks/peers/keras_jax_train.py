"""Lockstep worker: training steps of our own networks with Keras on JAX, compiled by XLA (see `lockstep.py`).

TensorFlow isn't needed. The loss is the mean cross entropy of the valid pixels, of the main and half of the auxiliary
logits, the optimizer SGD with momentum, as ours trains. Uses the GPU where JAX finds one.
"""

import argparse
import os

import lockstep

os.environ["KERAS_BACKEND"] = "jax"


def build(args: argparse.Namespace) -> tuple[lockstep.Step, dict[str, str]]:
    import jax
    import jax.numpy as jnp
    import keras

    from sagemaker_semseg.models.network import build_network

    network = build_network(args.algorithm, args.backbone, args.classes, dtype=args.precision)
    optimizer = keras.optimizers.SGD(0.001, momentum=0.9)
    optimizer.build(network.trainable_variables)
    images, labels = map(jnp.asarray, lockstep.fixed_batch(args))
    valid = labels >= 0

    def cross_entropy(logits):
        scores = jax.nn.log_softmax(logits.astype(jnp.float32))
        chosen = jnp.take_along_axis(scores, jnp.where(valid, labels, 0)[..., None], -1)[..., 0]
        return -jnp.where(valid, chosen, 0).sum() / valid.sum()

    def loss_of(trainable, others, images):
        (logits, auxiliary), others = network.stateless_call(trainable, others, images, training=True)
        return cross_entropy(logits) + 0.5 * cross_entropy(auxiliary), others

    def update(state, images):
        trainable, others, slots = state
        (loss, others), gradients = jax.value_and_grad(loss_of, has_aux=True)(trainable, others, images)
        trainable, slots = optimizer.stateless_apply(slots, gradients, trainable)
        return loss, (trainable, others, slots)

    variables = (network.trainable_variables, network.non_trainable_variables, optimizer.variables)
    state = tuple([variable.value for variable in each] for each in variables)
    compiled = jax.jit(update, donate_argnums=0).lower(state, images).compile()
    cost = compiled.cost_analysis()
    flops = (cost[0] if isinstance(cost, list) else cost)["flops"]

    def step() -> float:
        nonlocal state
        loss, state = compiled(state, images)
        return float(loss)

    device = jax.devices()[0]
    return step, {
        "jax": jax.__version__,
        "keras": keras.__version__,
        "device": device.device_kind,
        "TFLOP a step": f"{flops / 1e12:.3f}",
    }


if __name__ == "__main__":
    flags = lockstep.parser(__doc__)
    flags.add_argument("--precision", default="float32", choices=("float32", "mixed_bfloat16"))
    lockstep.serve(flags.parse_args(), build)
