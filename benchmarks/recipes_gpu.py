"""Trains the recipes of ``recipes.py`` with Keras on JAX on one GPU, many at a time; TensorFlow isn't needed.

    python benchmarks/recipes_gpu.py --data CAMVID --held-out 0001TP 0006R0 --seeds 0 1 --default-epochs 12

The crops are those of a training (``CropReader``), and so are networks, optimizers, schedules and the average of the
weights. The loss is written a second time, with JAX. A run has as many epochs as cost a CPU what ``--default-epochs``
of the default recipe cost, so the GPU shows what comes out of a training and not how long it takes. Each run adds a
line to ``figures.jsonl`` in ``--output``, and is not run again; ``--page`` writes the page of all lines there.
"""

import argparse
import concurrent.futures
import datetime
import functools
import itertools
import json
import math
import multiprocessing
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pages
from recipes import DEFAULT, RECIPES, split_off

from sagemaker_semseg.data.channels import find_channels
from sagemaker_semseg.data.datasets import FileDataset, read_channels, read_split
from sagemaker_semseg.data.images import decode_image
from sagemaker_semseg.data.labels import IGNORE
from sagemaker_semseg.data.samples import EncodedSample, shuffled_order
from sagemaker_semseg.hyperparameters import Hyperparameters, resolve
from sagemaker_semseg.metrics import Scores
from sagemaker_semseg.training.crop_reader import CropReader
from sagemaker_semseg.training.plan import class_weights
from sagemaker_semseg.training.schedules import make_schedule

HERE = Path(__file__).resolve().parent
METHOD = """\
Networks, crops, optimizer and schedule are those of a training; the steps run with Keras on JAX, and the loss is
written a second time. Every fourth image of the validation set chose the epoch that is measured; the figures are of
all images, in float32. Several runs shared the GPU. It tells what comes out of as many steps, not how long they take.
"""
COST_OF_STRIDE_16 = 0.457  # CPU time of a step, that of the stride of 8 = 1: results/recipes-2026-11-27.md
EVALUATED = 13  # images in a batch, a divisor of the 26 that choose the epoch
Job = dict[str, Any]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--held-out", nargs="+", default=["0001TP"], help="beginnings of names; 'none' for all images")
    parser.add_argument("--recipes", nargs="*", choices=RECIPES, default=list(RECIPES))
    parser.add_argument("--seeds", nargs="+", default=["0", "1"])
    parser.add_argument("--default-epochs", type=int, default=12)
    parser.add_argument("--set", nargs="*", default=[], metavar="NAME=VALUE", help="hyperparameters, for all runs")
    parser.add_argument("--at-once", type=int, default=4)
    parser.add_argument("--readers", type=int, default=4, help="processes of each run")
    parser.add_argument("--output", type=Path, default=HERE.parent / "out" / "recipes_gpu")
    parser.add_argument("--page", type=Path)
    args = parser.parse_args()
    args.output.mkdir(parents=True, exist_ok=True)
    figures = args.output / "figures.jsonl"
    failed = 0
    if args.data:
        done = {key(json.loads(line)) for line in figures.read_text().splitlines()} if figures.exists() else set()
        failed = run_all([job for job in jobs(args) if key(job) not in done], args, figures)
    if args.page and figures.exists():
        args.page.write_text(page([json.loads(line) for line in figures.read_text().splitlines()]))
    return 1 if failed else 0


def jobs(args: argparse.Namespace) -> Iterator[Job]:
    shared = {**DEFAULT, "num_classes": "11", "precision": "mixed_bfloat16", **dict(p.split("=", 1) for p in args.set)}
    for seed, held_out, name in itertools.product(args.seeds, args.held_out, args.recipes):
        settings = {**shared, **RECIPES[name], "seed": seed}
        cost = COST_OF_STRIDE_16 if settings.get("output_stride") == "16" else 1.0
        settings["epochs"] = str(max(1, round(args.default_epochs / cost)))
        yield {"recipe": name, "seed": seed, "held_out": held_out, "settings": settings}


def key(job: Job) -> str:
    return json.dumps([job["held_out"], job["settings"]], sort_keys=True)


def run_all(todo: list[Job], args: argparse.Namespace, figures: Path) -> int:
    """Run the jobs, add their lines to ``figures``, and return how many failed."""
    for job in todo:
        prefix = None if job["held_out"] == "none" else job["held_out"]
        folders = split_off(args.data, prefix, args.output / f"data-{job['held_out']}")
        job["folders"] = {name: str(folder) for name, folder in folders.items()}
    os.environ |= {
        "KERAS_BACKEND": "jax", "XLA_PYTHON_CLIENT_PREALLOCATE": "false", "OMP_NUM_THREADS": "1",
        "JAX_COMPILATION_CACHE_DIR": str((args.output / "compiled").resolve()),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    }  # fmt: skip
    failed, spawn = 0, multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(args.at_once, spawn) as pool:
        waiting = {pool.submit(train, job, args.readers): job for job in todo}
        for done in concurrent.futures.as_completed(waiting):
            job = waiting[done]
            try:
                line = {name: value for name, value in job.items() if name != "folders"} | done.result()
            except Exception as error:  # the others go on
                print("failed:", key(job), repr(error), flush=True)
                failed += 1
                continue
            with figures.open("a") as file:
                file.write(json.dumps(line) + "\n")
            scores = {name: round(value, 4) for name, value in line.items() if name.startswith("mIOU")}
            print(job["recipe"], job["held_out"], job["seed"], scores, flush=True)
    return failed


# Reading: in processes of their own.

_READ: Callable[[list[int]], tuple[np.ndarray, np.ndarray]]


def begin_reading(settings: dict[str, str], dataset: FileDataset) -> None:
    global _READ
    hp = resolve(settings)
    reader = CropReader(hp, dataset.label_map.lookup, decode_image)
    order_of = functools.lru_cache(maxsize=4)(lambda epoch: shuffled_order(hp.seed, epoch, dataset.count))

    def read(positions: list[int]) -> tuple[np.ndarray, np.ndarray]:
        crop = hp.padded_crop_size
        images, labels = (np.empty((len(positions), crop, crop, *more), np.uint8) for more in ((3,), ()))
        places = [divmod(position, dataset.count) for position in positions]
        samples = (EncodedSample.read(dataset.pairs[int(order_of(e)[i])], e, i) for e, i in places)
        reader.read(samples, images, labels)
        return images, labels

    _READ = read


def read(positions: list[int]) -> tuple[np.ndarray, np.ndarray]:
    return _READ(positions)


def epochs_of_crops(hp: Hyperparameters, settings: dict[str, str], dataset: FileDataset, readers: int) -> Iterator[Any]:
    """Yield images (steps, batch, crop, crop, 3) and labels (steps, batch, crop, crop) of each epoch."""
    batch, steps = hp.mini_batch_size, math.ceil(dataset.count / hp.mini_batch_size)
    spawn = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(readers, spawn, begin_reading, (settings, dataset)) as pool:

        def begin(epoch: int) -> list[concurrent.futures.Future]:
            parts = np.array_split(np.arange(epoch * steps * batch, (epoch + 1) * steps * batch), 2 * readers)
            return [pool.submit(read, [int(position) for position in part]) for part in parts]

        ahead = [begin(epoch) for epoch in range(min(2, hp.epochs))]
        for epoch in range(hp.epochs):
            images, labels = map(np.concatenate, zip(*(part.result() for part in ahead.pop(0)), strict=True))
            if epoch + 2 < hp.epochs:
                ahead.append(begin(epoch + 2))
            crop = images.shape[1]
            yield images.reshape(steps, batch, crop, crop, 3), labels.reshape(steps, batch, crop, crop)


# The loss, after the formulas that ``training.losses`` names.


def loss_of(hp: Hyperparameters, logits: Any, auxiliary: Any, labels: Any, class_weights: Any) -> Any:
    import jax
    import jax.numpy as jnp

    labels = labels.astype(jnp.int32)
    valid = labels != IGNORE
    targets = jnp.where(valid, labels, 0)

    def cross_entropy(scores: Any) -> Any:
        logs = jax.nn.log_softmax(scores.astype(jnp.float32))
        plain = -jnp.take_along_axis(logs, targets[..., None], -1)[..., 0]
        pixels = (1 - hp.label_smoothing) * plain - hp.label_smoothing * logs.mean(-1)
        return pixels * jnp.maximum(1 - jnp.exp(-plain), 1e-7) ** hp.focal_gamma if hp.focal_gamma else pixels

    pixels = cross_entropy(logits) + hp.aux_weight * cross_entropy(auxiliary)
    weights = class_weights[targets] * valid
    if hp.ohem_fraction < 1:
        hardness = jnp.sort(jnp.where(valid, jax.lax.stop_gradient(pixels), -1.0).ravel())[::-1]
        count = jnp.ceil(hp.ohem_fraction * valid.sum()).astype(jnp.int32)
        weights = weights * (pixels >= hardness[jnp.maximum(count, 1) - 1])
    loss = (pixels * weights).sum() / jnp.maximum(weights.sum(), 1e-9)
    if hp.dice_weight:
        p = jax.nn.softmax(logits.astype(jnp.float32)) * valid[..., None]
        y = jax.nn.one_hot(jnp.where(valid, labels, -1), logits.shape[-1])
        both, p_sum, y_sum = (values.sum((0, 1, 2)) for values in (p * y, p, y))
        present = y_sum > 0
        missing = 1 - 2 * both / jnp.maximum(p_sum + y_sum, 1e-9)
        loss += hp.dice_weight * (missing * present).sum() / jnp.maximum(present.sum(), 1)
    return loss


class Run:
    """A network, its optimizer and the functions that XLA compiles for them.

    A state is a tuple of lists: the trainable variables, the others, those of the optimizer, the average of the first
    two.
    """

    def __init__(self, hp: Hyperparameters, class_weights: np.ndarray | None):
        import jax
        import jax.numpy as jnp
        import keras

        from sagemaker_semseg.models.network import build_network
        from sagemaker_semseg.training.optimizers import make_optimizer

        keras.utils.set_random_seed(hp.seed)
        build = functools.partial(build_network, hp.algorithm, hp.backbone, hp.num_classes, output_stride=hp.stride)
        self.hp, self.network, self.exact, self.optimizer = hp, build(dtype=hp.precision), build(), make_optimizer(hp)
        self.optimizer.build(self.network.trainable_variables)
        self.weights = jnp.ones(hp.num_classes) if class_weights is None else jnp.asarray(class_weights)
        self.rate = [variable is self.optimizer._learning_rate for variable in self.optimizer.variables]
        self.train_epoch = jax.jit(self._train_epoch, donate_argnums=0)
        self._count = jax.jit(self._count_pixels)

    def start(self) -> Any:
        import jax.numpy as jnp

        groups = self.network.trainable_variables, self.network.non_trainable_variables, self.optimizer.variables
        trainable, others, slots = ([variable.value for variable in group] for group in groups)
        return trainable, others, slots, [jnp.array(value) for value in [*trainable, *others]]

    def values(self, state: Any) -> list[Any]:
        """Return what is validated: the average of the weights if there is one."""
        return state[3] if self.hp.ema_decay else [*state[0], *state[1]]

    def _train_epoch(self, state: Any, images: Any, labels: Any, rates: Any, shares: Any) -> Any:
        import jax

        def step(i: Any, state: Any) -> Any:
            return self._step(state, images[i], labels[i], rates[i], shares[i])

        return jax.lax.fori_loop(0, len(images), step, state)

    def _step(self, state: Any, images: Any, labels: Any, rate: Any, share: Any) -> Any:
        import jax
        import jax.numpy as jnp

        trainable, others, slots, average = state
        slots = [rate if is_rate else slot for is_rate, slot in zip(self.rate, slots, strict=True)]
        gradients, others = jax.grad(self._objective, has_aux=True)(trainable, others, images, labels)
        trainable, slots = self.optimizer.stateless_apply(slots, gradients, trainable)
        if self.hp.ema_decay:
            average = [
                old + share * (new - old) if jnp.issubdtype(old.dtype, jnp.floating) else new  # a seed's state
                for old, new in zip(average, [*trainable, *others], strict=True)
            ]
        return trainable, others, slots, average

    def _objective(self, trainable: Any, others: Any, images: Any, labels: Any) -> Any:
        from sagemaker_semseg.models.network import normalize

        outputs, others = self.network.stateless_call(trainable, others, normalize(images), training=True)
        return loss_of(self.hp, *outputs, labels, self.weights), others

    def _count_pixels(self, values: Any, images: Any, labels: Any) -> Any:
        import jax.numpy as jnp

        from sagemaker_semseg.models.network import normalize

        split, classes = len(self.network.trainable_variables), self.hp.num_classes
        (logits, _), _ = self.exact.stateless_call(values[:split], values[split:], normalize(images), training=False)
        cells = jnp.where(labels == IGNORE, classes**2, labels * classes + logits.argmax(-1))
        return jnp.bincount(cells.ravel(), length=classes**2 + 1)[:-1]

    def miou(self, values: Any, batches: list[tuple[np.ndarray, np.ndarray]]) -> float:
        counts = sum(np.asarray(self._count(values, images, labels), np.int64) for images, labels in batches)
        return float(Scores.of(counts.reshape(self.hp.num_classes, self.hp.num_classes)).miou)


def train(job: Job, readers: int) -> dict[str, Any]:
    """Train once; return the curve of the validation and the scores of its best epoch."""
    import jax
    import jax.numpy as jnp

    hp = resolve(job["settings"])
    data = read_channels(find_channels(job["folders"]["training"]), hp.num_classes)
    run, validation = Run(hp, class_weights(hp, data)), whole_images(data.validation)
    schedule, steps = make_schedule(hp, data.train.count), math.ceil(data.train.count / hp.mini_batch_size)
    state, kept = run.start(), None
    curve: list[float] = []
    for epoch, (images, labels) in enumerate(epochs_of_crops(hp, job["settings"], data.train, readers)):
        updates = range(epoch * steps, (epoch + 1) * steps)
        rates = np.array([schedule(update) for update in updates], np.float32)
        shares = np.array([1 - min(hp.ema_decay, (1 + t) / (10 + t)) for t in updates], np.float32)
        state = run.train_epoch(state, images, labels, rates, shares)
        values = run.values(state)
        curve.append(run.miou(values, validation))
        if curve[-1] >= max(curve):
            kept = [jnp.array(value) for value in values]  # a copy: the next epoch overwrites the state
    found: dict[str, Any] = {"curve": curve, "device": jax.devices()[0].device_kind}
    for which, folder in job["folders"].items():
        if which != "training":
            found[f"mIOU, {which}"] = run.miou(kept, whole_images(read_split(find_channels(folder), hp.num_classes)))
    return found


def whole_images(dataset: FileDataset) -> list[tuple[np.ndarray, np.ndarray]]:
    """Batches of images and int32 labels, the last one padded with ignored pixels."""
    samples = [EncodedSample.read(pair) for pair in dataset.pairs]
    height, width = samples[0].size
    missing = -len(samples) % EVALUATED
    images = np.zeros((len(samples) + missing, height, width, 3), np.uint8)
    labels = np.full(images.shape[:3], IGNORE, np.int32)
    for i, sample in enumerate(samples):
        images[i], labels[i] = decode_image(sample.image), dataset.label_map.lookup[sample.mask_values()]
    return [(images[i : i + EVALUATED], labels[i : i + EVALUATED]) for i in range(0, len(images), EVALUATED)]


def page(lines: list[dict[str, Any]]) -> str:
    """Write a table of all runs, with the seeds in one cell, and the curves."""
    common = dict(set.intersection(*(set(line["settings"].items()) for line in lines)))
    weights = {line["settings"].get("class_weights", "-") for line in lines} - {"-"}
    places = ("validation", "held_out")
    rows, curves = [], []
    for (held_out, recipe, weighted, epochs), group in itertools.groupby(sorted(lines, key=_place), _place):
        runs = list(group)
        settings = runs[0]["settings"].items() - common.items()
        change = ", ".join(f"`{k}` {v}" for k, v in sorted(settings) if k not in ("seed", "epochs", "class_weights"))
        cells = [" to ".join(f"{run[f'mIOU, {place}']:.4f}" for run in runs) if f"mIOU, {place}" in runs[0] else ""
                 for place in places]  # fmt: skip
        rows.append([recipe, change or "-", held_out, "yes" if weighted else "no", epochs, *cells])
        for run in runs:
            name = f"{recipe}, {epochs} epochs, held out: {held_out}, seed {run['seed']}"
            curves.append([name, " ".join(f"{value:.3f}" for value in run["curve"])])
    head = ["recipe", "change", "held out", "class weights", "epochs", *(f"mIOU, {place}" for place in places)]
    devices = ", ".join(dict.fromkeys(line["device"] for line in lines))
    return (
        f"# Training recipes on a GPU, {datetime.date.today()}\n\n{METHOD}\n"
        + pages.table(head, rows)
        + "\n"
        + pages.facts({"device": devices, "class weights": " or ".join(weights)}, dict(sorted(common.items())))
        + "\n"
        + pages.table(["run", "validation mIOU after each epoch"], curves)
    )


def _place(line: dict[str, Any]) -> tuple[str, str, bool, str]:
    settings = line["settings"]
    return line["held_out"], line["recipe"], "class_weights" in settings, settings["epochs"]


if __name__ == "__main__":
    raise SystemExit(main())
