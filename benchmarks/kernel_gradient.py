"""Measures a training step on a CPU with kernel gradients as matrix products, beside oneDNN's own gradients.

Writes a dated page under `benchmarks/results/`. Run it from any folder: `python benchmarks/kernel_gradient.py`. The
contestants are processes that take turns on the same cores, one step each (see `contest.py`). The package trained with
"products" until 2026-11-27; the page of that day says why it doesn't any more. The code is kept here alone, so that
the question can be asked again, with another oneDNN or another CPU.
"""

import argparse
import datetime
import itertools
import sys
from functools import partial
from pathlib import Path
from typing import Any

import machine
from contest import Contest, compete, pinned, say, versions
from pages import facts, spread, table
from peers import lockstep
from peers.worker import Plan, Worker

HERE = Path(__file__).resolve().parent
CONTESTANTS = ("onednn", "products", "pointwise")
NETWORKS = {"resnet-18": (4, 200), "resnet-50": (4, 240)}  # images, crop
# OpenMP threads that spin between parallel regions count as CPU time
NO_SPINNING = {"OMP_WAIT_POLICY": "PASSIVE", "KMP_BLOCKTIME": "0"}


def kernel_gradient(x: Any, dy: Any, shape: tuple[int, int, int, int], dilation: int) -> Any:
    """The gradient of a stride-1 "same" convolution by its kernel: one matrix product for each tap of the kernel.

    x (N, H, W, in), dy (N, H, W, out) -> shape, (k, k, in, out).
    """
    import tensorflow as tf

    size, _, channels, filters = shape
    height, width = tf.unstack(tf.shape(x)[1:3])
    margin = dilation * (size // 2)
    x = tf.pad(x, [[0, 0], [margin, margin], [margin, margin], [0, 0]]) if margin else x
    dy = tf.reshape(dy, [-1, filters])
    taps: list[Any] = []
    for row in range(0, size * dilation, dilation):
        for column in range(0, size * dilation, dilation):
            with tf.control_dependencies(taps[-1:]):  # one after the other: else all shifted copies live at once
                shifted = x[:, row : row + height, column : column + width, :]
                taps.append(tf.matmul(tf.reshape(shifted, [-1, channels]), dy, transpose_a=True))
    return tf.reshape(tf.stack(taps), shape)


def convolution(layer: Any, inputs: Any, kernel: Any, *, kind: str) -> Any:
    """``Conv2D.convolution_op``.

    "products" are taken where the kernel is 1 x 1 or has at least 128 channels on both sides, "pointwise" for 1 x 1.
    """
    import tensorflow as tf

    kernel, dilation = tf.convert_to_tensor(kernel), layer.dilation_rate[0]
    strides, padding = [1, *layer.strides, 1], layer.padding.upper()
    options = {"strides": strides, "padding": padding, "dilations": [1, dilation, dilation, 1]}
    large = kernel.shape[0] == 1 or (kind == "products" and min(kernel.shape[2:]) >= 128)
    if kind == "onednn" or not large or max(layer.strides) > 1 or padding == "VALID":
        return tf.raw_ops.Conv2D(input=inputs, filter=kernel, **options)

    @tf.custom_gradient
    def convolve(x: Any, kernel: Any) -> Any:
        def gradient(dy: Any) -> Any:
            dx = tf.raw_ops.Conv2DBackpropInput(input_sizes=tf.shape(x), filter=kernel, out_backprop=dy, **options)
            return dx, kernel_gradient(x, dy, tuple(kernel.shape), dilation)

        return tf.raw_ops.Conv2D(input=x, filter=kernel, **options), gradient

    return convolve(inputs, kernel)


def build(args: argparse.Namespace) -> tuple[lockstep.Step, dict[str, str]]:
    """The step of a training: forward, loss, backward, SGD with momentum and decay."""
    from sagemaker_semseg.environment import configure_tensorflow

    configure_tensorflow()
    import keras
    import numpy as np
    import tensorflow as tf

    from sagemaker_semseg.models import layers
    from sagemaker_semseg.models.network import build_network

    tf.config.threading.set_intra_op_parallelism_threads(args.threads)
    layers.Conv2D.convolution_op = lambda layer, inputs, kernel: convolution(layer, inputs, kernel, kind=args.worker)
    images, labels = lockstep.fixed_batch(args)
    network = build_network(args.algorithm, args.backbone, args.classes)
    variables = network.trainable_variables
    optimizer = keras.optimizers.SGD(0.001, momentum=0.9)
    optimizer.build(variables)

    @tf.function(jit_compile=False)
    def step(images: Any, labels: Any) -> Any:
        valid = tf.cast(labels >= 0, tf.float32)
        with tf.GradientTape() as tape:
            loss = 0.0
            for logits, weight in zip(network(images, training=True), (1.0, 0.5), strict=True):
                each = tf.nn.sparse_softmax_cross_entropy_with_logits(tf.maximum(labels, 0), logits)
                loss += weight * tf.reduce_sum(each * valid) / tf.reduce_sum(valid)
        optimizer.apply(tape.gradient(loss, variables), variables)
        return loss

    batch = tf.constant(images), tf.constant(labels)
    found = {"tensorflow": tf.__version__, "keras": keras.__version__, "numpy": np.__version__}
    return lambda: float(step(*batch)), found


def contest(backbone: str, args: argparse.Namespace, cores: list[int]) -> Contest:
    batch, crop = NETWORKS[backbone]
    flags = ["--backbone", backbone, "--batch", str(batch), "--crop", str(crop), "--threads", str(len(cores))]
    flags += ["--steps-per-round", str(args.steps_per_round)]
    starters = {
        name: partial(
            Worker, Plan(name, Path(sys.executable), Path(__file__), ("--worker", name)), flags, NO_SPINNING, 900
        )
        for name in CONTESTANTS
    }
    return compete(backbone, cores, starters, args.rounds)


def section(one: Contest) -> str:
    batch, crop = NETWORKS[one.name]
    rows = [
        [
            name,
            *(f"{one.median(name, what):.3f}" for what in ("wall", "cpu")),
            f"{one.finished(name)[-1].rss_peak_mb:.0f}",
        ]
        for name in one.done()
    ]
    lines = [
        f"## fcn, {one.name}, {batch} images of {crop} x {crop}, {len(one.cores)} cores, {len(one.rounds)} rounds\n"
    ]
    lines.append(f"Load average before: {one.load_before:.1f}.\n")
    lines.append(table(["contestant", "wall s", "CPU s", "peak RSS MB"], rows))
    ratios = []
    for name, what in itertools.product(one.done()[1:], ("wall", "cpu")):
        values = one.ratios(name, "onednn", what)
        quartiles = sorted(values)[len(values) // 4], sorted(values)[-1 - len(values) // 4]
        least, middle, most = spread(values)
        ratios.append([name, what, *(f"{value:.3f}" for value in (middle, *quartiles, least, most))])
    lines.append("Seconds over seconds of onednn, round by round:\n")
    lines.append(table(["", "", "median", "lower quartile", "upper quartile", "least", "most"], ratios))
    return "\n".join(lines)


def main() -> int:
    flags = lockstep.parser(__doc__)
    flags.add_argument("--worker", choices=CONTESTANTS, help="be a contestant")
    flags.add_argument("--backbone", default="resnet-18")
    flags.add_argument("--backbones", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    flags.add_argument("--rounds", type=int, default=21)
    flags.add_argument("--cores", type=int, default=len(machine.usable_cores()))
    flags.add_argument("--output", type=Path, help="the page to write (results/kernel_gradient-<date>.md)")
    args = flags.parse_args()
    if args.worker:
        lockstep.serve(args, build)
        return 0
    with pinned(args.cores) as cores:
        contests = [contest(backbone, args, cores) for backbone in args.backbones]
    date = datetime.date.today().isoformat()
    output = args.output or HERE / "results" / f"kernel_gradient-{date}.md"
    head = [f"# Kernel gradients as matrix products, {date}\n", (__doc__ or "").split("\n\n")[0] + "\n"]
    head.append(facts(machine.describe(), versions(contests), {"variables": str(NO_SPINNING)}))
    output.write_text("\n".join([*head, *(section(one) for one in contests)]))
    say(f"written: {output}")
    return 1 if any(one.failures for one in contests) else 0


if __name__ == "__main__":
    sys.exit(main())
