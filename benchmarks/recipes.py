"""Compares training recipes at the same CPU time: the default one, each change alone, and several together.

    python benchmarks/recipes.py --data CAMVID --minutes 40 --held-out 0001TP [--recipes default strong] [--seeds 0 1]

CAMVID holds train, train_annotation, validation and validation_annotation. The CPU time of a step is measured once for
each recipe, on one core; a run has as many epochs as fit into the minutes, so that another program beside it changes
nothing of what comes out. Runs use one core each: start this twice with different recipes to use two. With --held-out
PREFIX, images whose names begin so are taken out of the training and are measured, too: another drive, as names of
CamVid tell it. While a run trains, every fourth image of the validation set chooses its best epoch; the figures are of
all images. Runs with the same settings that are in the output folder are not run again, one that was stopped continues
from its checkpoint, and the page has all runs there.
"""

import argparse
import contextlib
import datetime
import itertools
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import machine
import pages

from sagemaker_semseg import train
from sagemaker_semseg.hyperparameters.table import PRESETS

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
RECIPES["strong"] = {name: f"{value}" for name, value in PRESETS["strong"].items()}
RECIPES |= {f"strong_without_{name}": {key: value for key, value in RECIPES["strong"].items() if key != name}
            for name in ("color_jitter", "class_balanced_crops", "dice_weight")}  # fmt: skip
RECIPES["strong_with_output_stride_8"] = {**RECIPES["strong"], "output_stride": "8"}
TIMED_STEPS = 8
VALIDATED = 4  # every fourth image of the validation set is used in the training


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=40, help="of CPU, for the steps of each run")
    parser.add_argument("--num-classes", default="11")
    parser.add_argument("--recipes", nargs="*", choices=RECIPES, default=list(RECIPES))
    parser.add_argument("--seeds", nargs="+", default=["0", "1"])
    parser.add_argument("--held-out", help="the beginning of the names of images to keep for measuring")
    parser.add_argument(
        "--set", nargs="*", default=[], metavar="NAME=VALUE", help="other hyperparameters, for all runs"
    )
    parser.add_argument("--core", type=int, default=0, help="which core to use (Linux)")
    parser.add_argument("--output", type=Path, default=HERE.parent / "out" / "recipes")
    parser.add_argument("--page", type=Path, default=HERE / "results" / f"recipes-{datetime.date.today()}.md")
    args = parser.parse_args()
    os.sched_setaffinity(0, {args.core})
    shared = {**DEFAULT, "num_classes": args.num_classes, **dict(pair.split("=", 1) for pair in args.set)}
    data = split_off(args.data, args.held_out, args.output / "data")
    for seed in args.seeds:
        for name in args.recipes:
            print(json.dumps(run({**shared, **RECIPES[name], "seed": seed}, data, args, name)), flush=True)
    rows = [
        kept["figures"]
        for name in RECIPES
        for path in sorted(args.output.glob(f"{name}-[0-9]*/figures.json"))
        if (kept := json.loads(path.read_text()))["asked"] == asked({**shared, **RECIPES[name]}, args)
    ]
    args.page.parent.mkdir(parents=True, exist_ok=True)
    args.page.write_text(page(rows, shared, args))
    print(args.page)
    return 0


def split_off(data: Path, prefix: str | None, output: Path) -> dict[str, Path]:
    """Link the images of each split: ``training`` without those that are held out, ``validation``, ``held_out``."""
    sets = {name: output / name for name in ("training", "validation", "held_out")}
    for split in ("train", "validation"):
        for channel in (split, f"{split}_annotation"):
            for number, path in enumerate(sorted((data / channel).iterdir())):
                # a set to be evaluated has its images in the channel validation
                measured = channel.replace("train", "validation")
                if split == "validation":
                    link(path, sets["validation"] / channel)
                    if number % VALIDATED == 0:
                        link(path, sets["training"] / channel)
                elif prefix and path.name.startswith(prefix):
                    link(path, sets["held_out"] / measured)
                else:
                    link(path, sets["training"] / channel)
    return sets if prefix else {name: sets[name] for name in ("training", "validation")}


def link(path: Path, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(FileExistsError):  # two runs may begin at once
        (folder / path.name).symlink_to(path.resolve())


def asked(settings: dict[str, str], args: argparse.Namespace) -> dict[str, object]:
    """What has to be the same for a run that may be kept, besides its seed."""
    return {**settings, "minutes": args.minutes, "held_out": args.held_out, "seed": ""}


def kept_or(path: Path, key: dict[str, object], make: Callable[[], dict[str, object]]) -> dict[str, object]:
    """Return the figures in the file, measured once more if they aren't there or are of another key."""
    if not path.exists() or json.loads(path.read_text())["asked"] != key:
        figures = make()
        path.write_text(json.dumps({"asked": key, "figures": figures}))
    return json.loads(path.read_text())["figures"]


def run(settings: dict[str, str], data: dict[str, Path], args: argparse.Namespace, name: str) -> dict[str, object]:
    """Train for the CPU time, measure on each set, and return the figures; those of before if it was run before."""
    output = args.output / f"{name}-{settings['seed']}"
    key = asked(settings, args)
    make = partial(train_and_measure, settings, data, args, name, output)
    return kept_or(output / "figures.json", key, make)


def train_and_measure(
    settings: dict[str, str], data: dict[str, Path], args: argparse.Namespace, name: str, output: Path
) -> dict[str, object]:
    """Run a training of as many epochs as the minutes allow."""
    costs = args.output / f"{name}-cost.json"
    time_it = partial(in_process, "time_steps", settings, data["training"], costs.with_suffix(""))
    cost = kept_or(costs, asked(settings, args), time_it)["seconds"]
    images = sum(1 for _ in (data["training"] / "train").iterdir())
    steps = images // int(settings["mini_batch_size"])
    epochs = max(1, round(60 * args.minutes / (steps * cost)))
    figures = {"recipe": name, "seed": settings["seed"], "epochs": epochs, "CPU seconds a step": cost}
    figures["machine"] = machine.describe()
    figures |= in_process("train_one", {**settings, "epochs": str(epochs)}, data["training"], output)
    for which, folder in data.items():
        if which != "training":
            command = [sys.executable, "-m", "sagemaker_semseg", "evaluate", str(output), "--data", str(folder)]
            scores = json.loads(subprocess.run([*command, "--json", "-"], check=True, capture_output=True).stdout)
            figures[f"mIOU, {which}"] = scores["mIOU"]
    return figures


def in_process(function: str, settings: dict[str, str], data: Path, output: Path) -> dict[str, object]:
    """Call ``time_steps`` or ``train_one`` in a process of its own."""
    command = [sys.executable, str(HERE / "recipes.py"), f"--{function}", json.dumps(settings), str(data), str(output)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def time_steps(settings: dict[str, str], data: str, output: str) -> dict[str, object]:
    """Return the CPU seconds of a training step: the median of a few."""
    import keras

    class Clock(keras.callbacks.Callback):
        def on_train_begin(self, logs: object = None) -> None:
            self.times: list[float] = []

        def on_train_batch_end(self, batch: int, logs: object = None) -> None:
            self.times.append(time.process_time())
            if len(self.times) == 2 + TIMED_STEPS:
                raise StopIteration

    clock = Clock()
    try:
        train(data, output, callbacks=[clock], quiet=True, **settings)
    except StopIteration:
        pass
    shutil.rmtree(output, ignore_errors=True)
    return {"seconds": statistics.median(b - a for a, b in itertools.pairwise(clock.times[1:]))}


def train_one(settings: dict[str, str], data: str, output: str) -> dict[str, object]:
    """Train, or continue what was begun with the same settings; return the time of this part, and the whole curve."""
    from sagemaker_semseg.training.callbacks import LogLines

    begun = Path(output, "settings.json")
    if not begun.exists() or json.loads(begun.read_text()) != settings:
        shutil.rmtree(output, ignore_errors=True)
        begun.parent.mkdir(parents=True)
        begun.write_text(json.dumps(settings))
    started = time.process_time()
    result = train(data, output, callbacks=[LogLines(stream=sys.stderr)], quiet=True, **settings)
    minutes = (time.process_time() - started) / 60
    if len(result.history) < int(settings["epochs"]):
        sys.exit("stopped: the same command continues")
    return {"CPU minutes": minutes, "curve": [row["val_mIOU"] for row in result.history]}


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
        ([f"{row['recipe']}, seed {row['seed']}", " ".join(f"{value:.3f}" for value in row["curve"])] for row in rows),
    )
    machines = {key: " / ".join(dict.fromkeys(row["machine"][key] for row in rows)) for key in machine.describe()}
    return (
        f"# Training recipes at the same CPU time, {datetime.date.today()}\n\n"
        f"From random weights, {args.minutes:g} minutes of one core's CPU time for the steps of each run; two figures "
        f"in a cell are of two seeds. Every {VALIDATED}th image of the validation set chose the epoch that is measured."
        + (f" Held out of the training: images that begin with {args.held_out}." if args.held_out else "")
        + "\n\n"
        + pages.table(head, lines)
        + "\n"
        + pages.facts(machines, shared)
        + "\n"
        + curves
    )


if __name__ == "__main__":
    if sys.argv[1:2] in (["--time_steps"], ["--train_one"]):
        print(json.dumps(globals()[sys.argv[1][2:]](json.loads(sys.argv[2]), *sys.argv[3:5])))
        sys.exit(0)
    sys.exit(main())
