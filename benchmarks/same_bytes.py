"""Repeats the first steps of a training and counts the outcomes; with and without forks (`models.layers.Fork`).

Each outcome is a digest of all weights after some steps from the same weights on the same batch. CPU seconds of a step
are interleaved: a step with forks, then one without. It writes a dated page into `results`. Run it from any folder:
`python benchmarks/same_bytes.py`.
"""

import argparse
import datetime
import hashlib
import itertools
import os
import time
from pathlib import Path
from statistics import median

import machine
import numpy as np
from contest import say
from pages import facts, table

HERE = Path(__file__).resolve().parent


class Repeated:
    """A network whose training can be started again."""

    def __init__(self, algorithm: str, backbone: str, args: argparse.Namespace, *, forks: bool):
        import keras
        import tensorflow as tf

        from sagemaker_semseg.hyperparameters import resolve
        from sagemaker_semseg.models import layers
        from sagemaker_semseg.models.network import build_network
        from sagemaker_semseg.training.devices import default_strategy
        from sagemaker_semseg.training.losses import Loss
        from sagemaker_semseg.training.optimizers import make_optimizer
        from sagemaker_semseg.training.train_step import make_train_step

        keras.utils.set_random_seed(0)
        call = layers.Fork.call
        try:
            if not forks:
                layers.Fork.call = lambda fork, x: [x] * fork.branches
            network = build_network(algorithm, backbone, 21, dropout=0.0)
            hp = resolve({"num_classes": 21, "learning_rate": 0.01})
            optimizer = make_optimizer(hp)
            optimizer.build(network.trainable_variables)
            self.step = make_train_step(network, optimizer, default_strategy(), Loss.of(hp, None))
            random = np.random.default_rng(0)
            shape = (args.batch, args.crop, args.crop)
            images = random.integers(0, 256, (*shape, 3), np.uint8)
            self.batch = tf.constant(images), tf.constant(random.integers(0, 21, shape, np.uint8))
            self.variables = [*network.variables, *optimizer.variables]
            self.start = [np.array(variable) for variable in self.variables]
            self.step(*self.batch)  # traced while ``call`` is what it should be
        finally:
            layers.Fork.call = call

    def outcome(self, steps: int) -> str:
        for variable, value in zip(self.variables, self.start, strict=True):
            variable.assign(value)
        for _ in range(steps):
            float(self.step(*self.batch))
        digest = hashlib.sha256()
        for variable in self.variables:
            digest.update(np.array(variable).tobytes())
        return digest.hexdigest()


def measure(algorithm: str, backbone: str, args: argparse.Namespace) -> list[object]:
    pair = [Repeated(algorithm, backbone, args, forks=forks) for forks in (True, False)]
    outcomes: list[list[str]] = [[], []]
    times: list[list[float]] = [[], []]
    for repeat in range(args.repeats):
        for version in (0, 1) if repeat % 2 else (1, 0):
            start = time.process_time()
            outcomes[version].append(pair[version].outcome(args.steps))
            times[version].append(time.process_time() - start)
    ratios = [one / other for one, other in zip(*times, strict=True)]
    found = [len(set(each)) for each in outcomes]
    say(f"{algorithm} on {backbone}: {found[0]} outcomes with forks, {found[1]} without, of {args.repeats}")
    spread = f"{min(ratios):.2f} to {max(ratios):.2f}"
    return [f"{algorithm} on {backbone}", *found, f"{median(times[0]):.2f}", f"**{median(ratios):.3f}**", spread]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=12)
    parser.add_argument("--steps", type=int, default=2)
    parser.add_argument("--crop", type=int, default=96)
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--backbones", nargs="+", default=["resnet-18", "resnet-50"])
    parser.add_argument("--output", type=Path, help="the page to write (results/same_bytes-<date>.md)")
    args = parser.parse_args()
    load = os.getloadavg()[0]
    from sagemaker_semseg.environment import configure_tensorflow

    configure_tensorflow()
    pairs = itertools.product(args.backbones, ("fcn", "psp", "deeplab"))
    rows = [measure(algorithm, backbone, args) for backbone, algorithm in pairs]
    date = datetime.date.today().isoformat()
    work = f"{args.steps} steps of {args.batch} crops of {args.crop}, {args.repeats} repeats of each"
    head = ["network", "outcomes with forks", "without", "CPU s with forks", "with / without (median)", "ratios"]
    text = f"# Outcomes of one training, repeated, {date}\n\n"
    text += facts(machine.describe(), {"work": work, "load before": f"{load:.1f}"}) + "\n" + table(head, rows)
    output = args.output or HERE / "results" / f"same_bytes-{date}.md"
    output.write_text(text)
    say(f"written: {output}")


if __name__ == "__main__":
    main()
