"""Compares training recipes at the same CPU time: the default one, each change alone, and all together.

    python benchmarks/recipes.py --data CAMVID --minutes 20 [--recipes default ema_decay ...] [--seeds 0 1]

CAMVID holds train, train_annotation, validation and validation_annotation. For each recipe a few steps are timed by
their CPU time; the epochs are as many as fit into the minutes. With --held-out PREFIX, images whose names begin so are
taken out of the training and are measured, too: another drive, as names of CamVid tell it. Runs go one after the other,
the recipes of one seed before the next seed, so that a slow hour meets all of them. The page has the mean and the range
over the seeds; what it doesn't say is how much of a difference is chance: two runs that differ in the seed alone do.
"""

import argparse
import datetime
import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

import machine
import pages

from sagemaker_semseg.training.callbacks import LogLines

HERE = Path(__file__).resolve().parent
DEFAULT = {
    "backbone": "resnet-18", "use_pretrained_model": "False", "crop_size": "200", "base_size": "400",
    "mini_batch_size": "4", "validation_mini_batch_size": "8", "learning_rate": "0.03", "weight_decay": "0.0005",
    "head_learning_rate_multiplier": "1", "warmup_epochs": "0.5",
}  # fmt: skip
RECIPES = {
    "default": {},
    "cosine": {"lr_scheduler": "cosine"},
    "ema_decay": {"ema_decay": "0.998"},
    "label_smoothing": {"label_smoothing": "0.1"},
    "ohem": {"ohem_fraction": "0.3"},
    "dice": {"dice_weight": "1"},
    "focal": {"focal_gamma": "1"},
    "color_jitter": {"color_jitter": "0.4"},
    "rotation": {"rotation": "10"},
    "balanced_crops": {"class_balanced_crops": "0.5"},
    "output_stride": {"output_stride": "16"},
    "adamw": {"optimizer": "adamw", "learning_rate": "0.001", "weight_decay": "0.05"},
}
RECIPES["together"] = {
    name: value
    for recipe in ("cosine", "ema_decay", "color_jitter", "balanced_crops", "output_stride")
    for name, value in RECIPES[recipe].items()
}
TIMED_STEPS = 8


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=20, help="of CPU, for each run")
    parser.add_argument("--num-classes", default="11")
    parser.add_argument("--recipes", nargs="+", choices=RECIPES, default=list(RECIPES))
    parser.add_argument("--seeds", nargs="+", default=["0", "1"])
    parser.add_argument("--held-out", help="the beginning of the names of images to keep for measuring")
    parser.add_argument(
        "--set", nargs="*", default=[], metavar="NAME=VALUE", help="other hyperparameters, for all runs"
    )
    parser.add_argument("--output", type=Path, default=HERE.parent / "out" / "recipes")
    parser.add_argument("--page", type=Path, default=HERE / "results" / f"recipes-{datetime.date.today()}.md")
    args = parser.parse_args()
    shared = {**DEFAULT, "num_classes": args.num_classes, **dict(pair.split("=", 1) for pair in args.set)}
    data = split_off(args.data, args.held_out, args.output / "data")
    rows = []
    for seed in args.seeds:
        for name in args.recipes:
            rows.append({"recipe": name, **run({**shared, **RECIPES[name], "seed": seed}, data, args, name)})
            print(json.dumps(rows[-1]), flush=True)
    args.page.parent.mkdir(parents=True, exist_ok=True)
    args.page.write_text(page(rows, shared, args))
    print(args.page)
    return 0


def split_off(data: Path, prefix: str | None, output: Path) -> dict[str, Path]:
    """Link the images of each split: ``train`` without those that are held out, ``validation``, and ``held_out``."""
    shutil.rmtree(output, ignore_errors=True)
    for split in ("train", "validation"):
        for channel in (split, f"{split}_annotation"):
            for path in sorted((data / channel).iterdir()):
                held_out = prefix and split == "train" and path.name.startswith(prefix)
                # a set to be evaluated has its images in the channel validation
                folder = output / "held_out" / channel.replace("train", "validation") if held_out else output / channel
                folder.mkdir(parents=True, exist_ok=True)
                (folder / path.name).symlink_to(path.resolve())
    sets = {"training": output, "validation": output}
    return {**sets, "held_out": output / "held_out"} if prefix else sets


def run(settings: dict[str, str], data: dict[str, Path], args: argparse.Namespace, name: str) -> dict[str, float]:
    """Train for the CPU time, measure on each set, and return the figures."""
    output = args.output / f"{name}-{settings['seed']}"
    shutil.rmtree(output, ignore_errors=True)
    words = [sys.executable, str(HERE / "recipes.py"), "--one", json.dumps(settings), str(data["training"])]
    done = subprocess.run([*words, str(output), str(args.minutes)], check=True, stdout=subprocess.PIPE, text=True)
    figures = json.loads(done.stdout.splitlines()[-1])
    for which, folder in data.items():
        if which != "training":
            command = [sys.executable, "-m", "sagemaker_semseg", "evaluate", str(output), "--data", str(folder)]
            scores = json.loads(subprocess.run([*command, "--json", "-"], check=True, capture_output=True).stdout)
            figures[f"mIOU, {which}"] = scores["mIOU"]
    return figures


def train_one(settings: dict[str, str], data: str, output: str, minutes: str) -> None:
    """In a process of its own: time some steps, train as many epochs as fit, print the figures as JSON."""
    import keras

    from sagemaker_semseg import train

    class Clock(keras.callbacks.Callback):
        """The CPU time of each step of the training, without the first ones."""

        def on_train_begin(self, logs: object = None) -> None:
            self.times: list[float] = []

        def on_train_batch_end(self, batch: int, logs: object = None) -> None:
            self.times.append(time.process_time())
            if len(self.times) == 2 + TIMED_STEPS and self.stop_early:
                raise StopIteration

        def __init__(self, stop_early: bool):
            super().__init__()
            self.stop_early = stop_early

        @property
        def seconds(self) -> float:
            steps = self.times[1 : 2 + TIMED_STEPS]
            return (steps[-1] - steps[0]) / (len(steps) - 1)

    clock = Clock(stop_early=True)
    try:
        train(data, f"{output}-timing", callbacks=[clock], quiet=True, **settings)
    except StopIteration:
        pass
    shutil.rmtree(f"{output}-timing", ignore_errors=True)
    images = sum(1 for _ in (Path(data) / "train").iterdir())
    steps = images / int(settings["mini_batch_size"])
    epochs = max(1, int(60 * float(minutes) / (steps * clock.seconds)))
    started = time.process_time()
    log = LogLines(stream=sys.stderr)
    result = train(data, output, callbacks=[log], quiet=True, **{**settings, "epochs": epochs})
    figures = {
        "epochs": epochs,
        "CPU seconds a step": clock.seconds,
        "CPU minutes": (time.process_time() - started) / 60,
        "curve": [row["val_mIOU"] for row in result.history],
    }
    print(json.dumps(figures))


def page(rows: list[dict], shared: dict[str, str], args: argparse.Namespace) -> str:
    measured = [name for name in rows[0] if name.startswith("mIOU")]
    base = next((row["CPU seconds a step"] for row in rows if row["recipe"] == "default"), None)
    lines = []
    for name in dict.fromkeys(row["recipe"] for row in rows):
        of_name = [row for row in rows if row["recipe"] == name]
        cells = [" to ".join(f"{value:.4f}" for value in sorted(row[which] for row in of_name)) for which in measured]
        cost = of_name[0]["CPU seconds a step"]
        change = ", ".join(f"`{key}` {value}" for key, value in RECIPES[name].items()) or "-"
        lines.append([name, change, of_name[0]["epochs"], f"{cost / base:.2f}" if base else f"{cost:.2f} s", *cells])
    head = ["recipe", "change", "epochs", "CPU time a step" + (", default = 1" if base else ""), *measured]
    curves = pages.table(
        ["run", "validation mIOU after each epoch"],
        ([row["recipe"], " ".join(f"{value:.3f}" for value in row["curve"])] for row in rows),
    )
    return (
        f"# Training recipes at the same CPU time, {datetime.date.today()}\n\n"
        f"From random weights, {args.minutes:g} minutes of CPU for each run, seeds {', '.join(args.seeds)}; the two "
        f"figures in a cell are of two seeds."
        + (f" Held out of the training: images that begin with {args.held_out}." if args.held_out else "")
        + "\n\n"
        + pages.table(head, lines)
        + "\n"
        + pages.facts(machine.describe(), shared)
        + "\n"
        + curves
    )


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        train_one(json.loads(sys.argv[2]), *sys.argv[3:6])
        sys.exit(0)
    sys.exit(main())
