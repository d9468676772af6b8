"""The memory that a training step, a validation step and an endpoint's image take, beside what `memory` estimates.

Input: flags. Output: a dated markdown page under `benchmarks/results/`. Run by hand, from any folder:
`python benchmarks/memory.py`. Each row is a process of its own that does the real thing on random images and then
says its peak of resident memory (VmHWM, so Linux only). `--rows FILE` keeps what was measured, so that the page can be
written again without measuring again.
"""

import argparse
import datetime
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import machine
from pages import facts, table
from processes import peak_rss_mb, rss_mb

from sagemaker_semseg.hyperparameters import resolve
from sagemaker_semseg.memory import Estimate, inference, training_step, validation_step

HERE = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Row:
    """worker: "train", "validate" or "serve". shape: images, height, width of a step. more: other hyperparameters."""

    worker: str
    algorithm: str
    backbone: str
    shape: tuple[int, int, int]
    num_classes: int = 21
    more: tuple[tuple[str, str], ...] = ()

    @property
    def hyperparameters(self) -> dict[str, Any]:
        own: dict[str, Any] = {"algorithm": self.algorithm, "backbone": self.backbone, "num_classes": self.num_classes}
        crop = {"mini_batch_size": self.shape[0], "crop_size": self.shape[1]} if self.worker == "train" else {}
        return {**own, **crop, **dict(self.more)}

    @property
    def key(self) -> str:
        return json.dumps([self.worker, self.shape, self.hyperparameters])


ADAM, RMSPROP = (("optimizer", "adam"),), (("optimizer", "rmsprop"),)
BFLOAT16 = (("precision", "mixed_bfloat16"),)
FITTED = [
    Row("train", "fcn", "resnet-18", (1, 64, 64)),
    Row("train", "fcn", "resnet-18", (4, 240, 240)),
    Row("train", "fcn", "resnet-18", (16, 240, 240)),
    Row("train", "psp", "resnet-18", (8, 240, 240)),
    Row("train", "deeplab", "resnet-18", (8, 240, 240)),
    Row("train", "fcn", "resnet-18", (4, 240, 240), 150),
    Row("train", "fcn", "resnet-34", (4, 240, 240)),
    Row("train", "fcn", "resnet-50", (1, 64, 64)),
    Row("train", "fcn", "resnet-50", (4, 240, 240)),
    Row("train", "fcn", "resnet-50", (8, 240, 240)),
    Row("train", "fcn", "resnet-50", (2, 480, 480)),
    Row("train", "psp", "resnet-50", (4, 240, 240)),
    Row("train", "deeplab", "resnet-50", (4, 240, 240)),
    Row("train", "deeplab", "resnet-50", (2, 400, 400), 11),
    Row("train", "fcn", "resnet-50", (2, 120, 120), 21, ADAM),
    Row("train", "fcn", "resnet-50", (2, 120, 120), 21, RMSPROP),
    Row("train", "fcn", "resnet-50", (4, 240, 240), 21, BFLOAT16),
    Row("train", "fcn", "resnet-101", (2, 240, 240)),
    Row("train", "psp", "resnet-152", (2, 240, 240)),
    Row("validate", "fcn", "resnet-18", (3, 480, 640)),
    Row("validate", "fcn", "resnet-50", (3, 480, 640)),
    Row("validate", "psp", "resnet-50", (1, 1024, 2048)),
    Row("validate", "deeplab", "resnet-50", (1, 960, 1280)),
    Row("serve", "fcn", "resnet-18", (1, 480, 640)),
    Row("serve", "fcn", "resnet-50", (1, 480, 640)),
    Row("serve", "fcn", "resnet-50", (1, 1024, 2048)),
    Row("serve", "psp", "resnet-50", (1, 960, 1280)),
    Row("serve", "deeplab", "resnet-50", (1, 960, 1280)),
    Row("serve", "fcn", "resnet-101", (1, 480, 640)),
]
HELD_OUT = [
    Row("train", "fcn", "resnet-50", (4, 360, 360), 60),
    Row("train", "deeplab", "resnet-101", (3, 200, 200), 11),
    Row("train", "psp", "resnet-34", (12, 160, 160)),
    Row("train", "deeplab", "resnet-18", (6, 320, 320), 21, ADAM),
    Row("train", "psp", "resnet-50", (8, 160, 160), 2, BFLOAT16),
    Row("validate", "fcn", "resnet-101", (2, 600, 800), 11),
    Row("validate", "psp", "resnet-18", (3, 480, 640)),
    Row("serve", "deeplab", "resnet-18", (1, 720, 1280)),
    Row("serve", "psp", "resnet-50", (1, 1500, 2400)),
]
ROWS = FITTED + HELD_OUT


# ---- the workers: each in a process of its own


def work(row: Row) -> dict[str, float]:
    """Does the row's work; MB of resident memory: after the imports, after building, and at the peak."""
    return {"train": train, "validate": validate, "serve": serve}[row.worker](row)


def train(row: Row) -> dict[str, float]:
    """Three steps of training, as `trainer` makes them."""
    from sagemaker_semseg.environment import configure_tensorflow

    configure_tensorflow()
    import numpy as np
    import tensorflow as tf

    from sagemaker_semseg.models.network import build_network
    from sagemaker_semseg.training.devices import default_strategy
    from sagemaker_semseg.training.losses import Loss
    from sagemaker_semseg.training.optimizers import make_optimizer
    from sagemaker_semseg.training.train_step import make_train_step

    imported = rss_mb(os.getpid())
    hp, strategy = resolve(row.hyperparameters), default_strategy()
    with strategy.scope():
        network = build_network(hp.algorithm, hp.backbone, hp.num_classes, dtype=hp.precision)
        optimizer = make_optimizer(hp)
        optimizer.build(network.trainable_variables)
    step = make_train_step(network, optimizer, strategy, Loss.of(hp, None))
    built = rss_mb(os.getpid())
    random = np.random.default_rng(0)
    images, labels = random.integers(0, 256, (*row.shape, 3), np.uint8), random.integers(0, hp.num_classes, row.shape)
    batch = tf.constant(images), tf.constant(labels.astype(np.uint8))
    for _ in range(3):
        float(step(*batch))
    return {"imported": imported, "built": built, "peak": peak_rss_mb(os.getpid())}


def validate(row: Row) -> dict[str, float]:
    """Two steps of an evaluation."""
    from sagemaker_semseg.environment import configure_tensorflow

    configure_tensorflow()
    import numpy as np
    import tensorflow as tf

    from sagemaker_semseg.models.network import build_network
    from sagemaker_semseg.training.evaluation import Evaluator

    imported = rss_mb(os.getpid())
    hp = resolve(row.hyperparameters)
    network = build_network(hp.algorithm, hp.backbone, hp.num_classes, dtype=hp.precision)
    evaluator = Evaluator(network, hp.num_classes)
    built = rss_mb(os.getpid())
    random = np.random.default_rng(0)
    images, labels = random.integers(0, 256, (*row.shape, 3), np.uint8), random.integers(0, hp.num_classes, row.shape)
    for _ in range(2):
        np.asarray(evaluator._counts(tf.constant(images), tf.constant(labels.astype(np.uint8))))
    return {"imported": imported, "built": built, "peak": peak_rss_mb(os.getpid())}


def serve(row: Row) -> dict[str, float]:
    """An endpoint's model, loaded as a worker does it, and three images."""
    import numpy as np
    from make_model import make_model

    from sagemaker_semseg.inference import Segmenter

    imported = rss_mb(os.getpid())
    with tempfile.TemporaryDirectory() as folder:
        model = make_model(Path(folder) / "model.tar.gz", row.algorithm, row.backbone, row.num_classes)
        segmenter = Segmenter(model, scales=(1.0,), flip=False)
    built, loading = rss_mb(os.getpid()), peak_rss_mb(os.getpid())
    Path("/proc/self/clear_refs").write_text("5")  # the peak counts from here on
    image = np.random.default_rng(0).integers(0, 256, (*row.shape[1:], 3), np.uint8)
    for _ in range(3):
        segmenter.labels(image)
    return {"imported": imported, "built": built, "loading": loading, "peak": peak_rss_mb(os.getpid())}


def measured(row: Row) -> dict[str, float]:
    """Runs this file for one row."""
    index = str(ROWS.index(row))
    done = subprocess.run([sys.executable, __file__, "--work", index], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{row} failed:\n{done.stderr[-4000:]}")
    return dict(json.loads(done.stdout.splitlines()[-1]))


# ---- the page


def estimate(row: Row) -> Estimate:
    hp = resolve(row.hyperparameters)
    if row.worker == "train":
        return training_step(hp)
    return validation_step(hp, [row.shape[1:]]) if row.worker == "validate" else inference(hp, *row.shape[1:])


def cells(row: Row, known: dict[str, float]) -> list[str]:
    peak = max(known["peak"], known.get("loading", 0.0))
    guess = estimate(row).total / 1e6
    network = f"{row.algorithm}, {row.backbone}, {row.num_classes} classes"
    more = ", ".join(f"{value}" for _, value in row.more)
    size = " x ".join(map(str, row.shape))
    return [row.worker, network, more, size, f"{peak:.0f}", f"{guess:.0f}", f"{guess / peak - 1:+.1%}"]


def page(known: dict[str, dict[str, float]], note: str) -> str:
    head = ["what", "network", "", "images x height x width", "measured, MB", "estimated, MB", "off by"]
    fitted, held_out = ([cells(row, known[row.key]) for row in rows if row.key in known] for rows in (FITTED, HELD_OUT))
    versions = {name: version(name) for name in ("tensorflow", "keras", "onnxruntime")}
    return f"""# Memory: measured and estimated, {datetime.date.today()}

Peak of a process's resident memory (10^6 bytes) beside what `sagemaker_semseg.memory` says. `train` are three steps of
training, `validate` two of an evaluation, `serve` is an endpoint's worker that loads its model and labels three images;
for that the larger of loading and running counts. Images are random numbers, so the reading of files isn't in it: a
training's own reading adds two batches of bytes and an image for each core. An image of more than 2^21 pixels goes
through an endpoint in tiles, which are smaller than that by what divides it evenly: there the estimate is the most that
it can be. {note}

{facts(machine.describe(), versions)}
## What the factors were fitted to

{table(head, fitted)}
## What they were then compared with

{table(head, held_out)}"""


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=Path, help="JSON of what was measured before; it is added to")
    parser.add_argument("--note", default="", help="a sentence for the page, such as what else the machine did")
    parser.add_argument("--only", choices=("train", "validate", "serve"), help="measure these rows alone")
    parser.add_argument("--output", type=Path, help="the page to write (results/memory-<date>.md)")
    parser.add_argument("--work", type=int, help=argparse.SUPPRESS)
    return parser.parse_args(argv)


def main() -> None:
    args = parse()
    if args.work is not None:
        print(json.dumps(work(ROWS[args.work])))
        return
    known: dict[str, dict[str, float]] = json.loads(args.rows.read_text()) if args.rows and args.rows.exists() else {}
    for row in (row for row in ROWS if args.only in (None, row.worker)):
        if row.key not in known:
            known[row.key] = measured(row)
            if args.rows:
                args.rows.write_text(json.dumps(known, indent=1))
        print(*cells(row, known[row.key]), sep="  ", flush=True)
    output = args.output or HERE / "results" / f"memory-{datetime.date.today()}.md"
    output.write_text(page(known, args.note))


if __name__ == "__main__":
    main()
