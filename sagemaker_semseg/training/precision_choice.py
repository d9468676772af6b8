"""Chooses the precision of a training by measuring convolutions of its network on this machine.

The three kinds of convolution of a network that take most of its operations run forward and backward, each with batch
normalization and ReLU, in every precision in turn. Seconds are medians, weighted by how often a kind occurs.
"""

from __future__ import annotations

import statistics
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import tensorflow as tf

from sagemaker_semseg.architectures import ArchitectureSpec, Convolution
from sagemaker_semseg.hyperparameters import Hyperparameters
from sagemaker_semseg.models.layers import BatchNormalization, Conv2D
from sagemaker_semseg.training import checkpoint
from sagemaker_semseg.training.hosts import Hosts

MARGIN: Final = 1.1
"""How many times as fast half precision has to be, since it rounds more coarsely."""

_HALF: Final = ("mixed_bfloat16", "mixed_float16")
_BUDGET: Final = 0.6  # seconds
_KINDS: Final = 3
_TRIAL: Final = Convolution("", None, 64, 64)
_HOPELESS: Final = 2.5
_LARGEST_SIDE: Final = 128  # of a crop; a larger one takes longer to measure


@dataclass(frozen=True)
class PrecisionChoice:
    """The precision of a training. note: what was measured; empty if nothing was. slow: whether float32 is faster."""

    name: str
    note: str = ""
    slow: bool = False


def resolve_precision(
    hp: Hyperparameters, checkpoints: Path, strategy: tf.distribute.Strategy
) -> tuple[Hyperparameters, PrecisionChoice]:
    """Return the hyperparameters with a precision other than auto, on all hosts the chief's.

    A checkpoint in ``checkpoints`` keeps the precision that it was written with; nothing is measured then.
    """
    hosts, last = Hosts(strategy), checkpoint.paths(checkpoints)[0]
    choice = PrecisionChoice(hp.precision)
    if hosts.is_chief:
        if last.is_file():
            choice = PrecisionChoice(checkpoint.with_chosen_precision(hp, checkpoint.read_state(last)).precision)
        else:
            choice = choose_precision(hp)
    if hp.precision != "auto":
        return hp, choice
    return replace(hp, precision=hosts.from_chief(choice.name.encode()).decode()), choice


def choose_precision(hp: Hyperparameters) -> PrecisionChoice:
    """Measure, if ``precision`` is auto or half. The choice is auto's; what was asked for otherwise stays."""
    if hp.precision == "float32":
        return PrecisionChoice(hp.precision)
    if hp.precision == "auto":
        names = list(_HALF) if tf.config.list_physical_devices("GPU") else ["mixed_bfloat16"]
        return choice_of_auto(measure(hp, names))
    return judge_asked(hp.precision, measure(hp, [hp.precision]))


def choice_of_auto(seconds: Mapping[str, float]) -> PrecisionChoice:
    """Return the fastest precision, in the order of ``seconds``; a later one has to be faster by ``MARGIN``."""
    chosen = "float32"
    for name, value in seconds.items():
        if value * MARGIN <= seconds[chosen]:
            chosen = name
    times = " and ".join(f"{_ratio(seconds, name)} in {name}" for name in seconds if name != "float32")
    return PrecisionChoice(chosen, f"{chosen}, chosen by measurement: convolutions take {times}")


def judge_asked(name: str, seconds: Mapping[str, float]) -> PrecisionChoice:
    """Return the precision that was asked for, with a note if it is slower than float32."""
    if seconds[name] <= seconds["float32"]:
        return PrecisionChoice(name)
    note = (
        f"precision {name} is slow on this machine: convolutions take {_ratio(seconds, name)}; "
        "float32 is faster, and auto chooses by itself"
    )
    return PrecisionChoice(name, note, slow=True)


def _ratio(seconds: Mapping[str, float], name: str) -> str:
    return f"{seconds[name] / seconds['float32']:.2f} times float32's time"


def measure(hp: Hyperparameters, names: Sequence[str]) -> dict[str, float]:
    """Return the seconds of a network's commonest convolutions in float32 and in the precisions ``names``.

    A precision that a CPU has no instructions for can take 30 times as long. A trial with one small convolution finds
    it, and its ratio stands.
    """
    trial = _seconds({_TRIAL: 1}, ["float32", *names], _LARGEST_SIDE, budget=0.1)
    ratios = {name: trial[name] / trial["float32"] for name in names}
    measured = ["float32", *(name for name in names if ratios[name] < _HOPELESS)]
    found = trial if len(measured) == 1 else _seconds(_commonest(hp), measured, hp.padded_crop_size, _BUDGET)
    return {"float32": found["float32"], **{name: found.get(name, ratios[name] * found["float32"]) for name in names}}


def _seconds(kinds: Mapping[Convolution, int], names: Sequence[str], side: int, budget: float) -> dict[str, float]:
    """Run kinds of convolution in turn for ``budget`` seconds. A round is finished."""
    steps = {(name, kind): _step(kind, min(side, _LARGEST_SIDE), name) for name in names for kind in kinds}
    for step in steps.values():  # traces it, and lets the kernels be chosen
        step()
    times: dict[tuple[str, Convolution], list[float]] = defaultdict(list)
    end = time.perf_counter() + budget
    while not times or time.perf_counter() < end:
        for key, step in steps.items():
            started = time.perf_counter()
            step()
            times[key].append(time.perf_counter() - started)
    return {name: sum(n * statistics.median(times[name, kind]) for kind, n in kinds.items()) for name in names}


def _commonest(hp: Hyperparameters) -> dict[Convolution, int]:
    """The kinds of convolution that take most operations, with how often each occurs."""
    spec = ArchitectureSpec(hp.backbone, hp.algorithm, hp.num_classes, output_stride=hp.stride)
    counts = Counter(replace(c, name="", norm=None, relu=True, dropout=0.0) for c in spec.convolutions())

    def operations(c: Convolution) -> float:
        return counts[c] * c.channels * c.filters * c.size**2 / (c.reduction * c.stride) ** 2

    return {c: counts[c] for c in sorted(counts, key=operations, reverse=True)[:_KINDS]}


def _step(c: Convolution, crop: int, precision: str) -> Callable[[], Any]:
    """Return a function that runs a convolution forward and backward on one image, and waits for the result."""
    side, random = -(-crop // c.reduction), np.random.default_rng(0)
    images = tf.constant(random.standard_normal((1, side, side, c.channels), np.float32))
    convolution = Conv2D(
        c.filters, c.size, strides=c.stride, dilation_rate=c.dilation, padding="same", use_bias=False, dtype=precision
    )
    normalization = BatchNormalization(dtype=precision)
    convolution.build(images.shape)
    kernel = convolution.kernel.value
    kernel.assign(0.01 * random.standard_normal(kernel.shape, np.float32))
    normalization.build((1, side, side, c.filters))

    @tf.function(jit_compile=False, autograph=False)
    def run() -> Any:
        with tf.GradientTape() as tape:
            tape.watch(images)
            found = tf.nn.relu(normalization(convolution(images), training=True))
            total = tf.reduce_sum(tf.cast(found, tf.float32))
        return [tf.reduce_sum(gradient) for gradient in tape.gradient(total, [images, kernel])]

    traced = run.get_concrete_function()  # a call of ``run`` would warn that functions are traced again and again
    return lambda: [each.numpy() for each in traced()]
