"""A training from scratch on CamVid (road scenes, 11 classes) with the command line, and a page that reports it.

    python benchmarks/camvid.py --data CAMVID [--output out/camvid] [--epochs N]

CAMVID holds train, train_annotation, validation and validation_annotation. The page (results/camvid-<date>.md) has the
settings, the machine, the time, the curve of validation mIOU and the IoU of every class; an image of predicted masks
lies beside it. Images that show the data set's own stay in the output folder: they aren't ours to publish.
"""

import argparse
import contextlib
import datetime
import json
import subprocess
import sys
import time
from pathlib import Path

import machine
import numpy as np
from PIL import Image

HERE = Path(__file__).resolve().parent
NAMES = "sky,building,pole,road,pavement,tree,sign,fence,car,pedestrian,bicyclist"
# square roots of the median-frequency weights: the full ones cost the frequent classes more than the rare ones gain
WEIGHTS = "0.53,0.45,2.19,0.39,1.00,0.65,1.96,1.41,0.89,2.53,2.97"
SETTINGS = {
    "backbone": "resnet-18",
    "use-pretrained-model": "False",
    "precision": "mixed_bfloat16",
    "algorithm": "fcn",
    "crop-size": "200",
    "base-size": "400",
    "mini-batch-size": "4",
    "validation-mini-batch-size": "8",
    "optimizer": "sgd",
    "learning-rate": "0.03",
    "weight-decay": "0.0005",
    "head-learning-rate-multiplier": "1",
    "warmup-epochs": "0.5",
    "class-weights": WEIGHTS,
}
SHOWN = 6


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--output", type=Path, default=HERE.parent / "out" / "camvid")
    parser.add_argument("--epochs", default="60")
    parser.add_argument("--set", nargs="*", default=[], metavar="NAME=VALUE", help="other hyperparameters")
    parser.add_argument("--validated", type=int, default=1, metavar="N", help="every Nth image chooses the epoch")
    parser.add_argument("--page", type=Path, default=HERE / "results" / f"camvid-{datetime.date.today()}.md")
    args = parser.parse_args()
    settings = {**SETTINGS, "epochs": args.epochs, **dict(pair.split("=", 1) for pair in args.set)}
    flags = [word for name, value in settings.items() for word in (f"--{name}", value)]
    data = every_nth(args.data, args.validated, args.output.with_name(f"{args.output.name}-data"))
    where = ["--data", str(data), "--output", str(args.output)]
    started = time.monotonic()
    run("train", *where, "--num-classes", "11", "--class-names", NAMES, *flags)
    minutes = (time.monotonic() - started) / 60
    report = args.output / "evaluation.json"
    run("evaluate", str(args.output), "--data", str(args.data), "--json", str(report))
    masks = predict(args.output, args.data)
    args.page.parent.mkdir(parents=True, exist_ok=True)
    mosaic(masks).save(args.page.with_suffix(".png"))
    text = page(settings, minutes, json.loads(report.read_text()), history(args.output), args.page)
    if args.validated > 1:
        text += f"\nThe curve is of image 1 of every {args.validated} of the validation set; the figures are of all.\n"
    args.page.write_text(text)
    print(args.page)
    return 0


def every_nth(data: Path, n: int, output: Path) -> Path:
    """Return the data, or links to it with every nth image of the validation set alone."""
    if n == 1:
        return data
    for channel in ("train", "train_annotation", "validation", "validation_annotation"):
        (output / channel).mkdir(parents=True, exist_ok=True)
        for path in sorted((data / channel).iterdir())[:: n if channel.startswith("validation") else 1]:
            with contextlib.suppress(FileExistsError):  # of a run that resumes
                (output / channel / path.name).symlink_to(path.resolve())
    return output


def run(*words: str) -> None:
    subprocess.run([sys.executable, "-m", "sagemaker_semseg", *words], check=True)


def predict(output: Path, data: Path) -> list[Path]:
    """Masks of a few validation images, evenly spread, and overlays beside them."""
    images = sorted((data / "validation").glob("*.jpg"))
    chosen = images[:: max(1, len(images) // SHOWN)][:SHOWN]
    run("predict", str(output), *map(str, chosen), "-o", str(output / "predictions"), "--overlay")
    return [output / "predictions" / f"{path.stem}.png" for path in chosen]


def mosaic(masks: list[Path]) -> Image.Image:
    """Predicted masks at half size, three in a row."""
    images = [Image.open(path).convert("RGB").reduce(2) for path in masks]
    width, height = images[0].size
    sheet = Image.new("RGB", (3 * (width + 4) - 4, 2 * (height + 4) - 4), "white")
    for i, image in enumerate(images):
        sheet.paste(image, (i % 3 * (width + 4), i // 3 * (height + 4)))
    return sheet


def history(output: Path) -> list[dict]:
    import tarfile

    with tarfile.open(output / "model.tar.gz") as archive:
        member = archive.extractfile("metrics.json")
        assert member is not None
        return json.load(member)["history"]


def page(settings: dict[str, str], minutes: float, report: dict, curve: list[dict], path: Path) -> str:
    best = int(np.argmax([row["val_mIOU"] for row in curve]))
    lines = [
        f"# CamVid from scratch, {datetime.date.today()}",
        "",
        f"Validation mIOU **{report['mIOU']:.4f}**, pixel accuracy {report['pixel_accuracy']:.4f} "
        f"(101 images at 480x360, every labelled pixel; epoch {best + 1} of {len(curve)}), "
        f"after {minutes:.1f} minutes of training, start, checks and validations included.",
        "",
        "Machine: " + ", ".join(f"{name} {fact}" for name, fact in machine.describe().items()),
        "",
        "Settings (all others at their defaults): " + ", ".join(f"`--{k} {v}`" for k, v in settings.items()) + ".",
        "",
        "| class | IoU | accuracy | pixels |",
        "|---|---|---|---|",
        *(f"| {c['name']} | {c['iou']:.4f} | {c['accuracy']:.4f} | {c['pixels']} |" for c in report["classes"]),
        "",
        f"![predicted masks of six validation images]({path.with_suffix('.png').name})",
        "",
        "Predicted masks of six validation images, in the colours of Pascal VOC's palette.",
        "",
        "| epoch | training loss | validation mIOU | pixel accuracy | images/s |",
        "|---|---|---|---|---|",
        *(
            f"| {row['epoch'] + 1} | {row['loss']:.4f} | {row['val_mIOU']:.4f} | {row['val_pixel_accuracy']:.4f} "
            f"| {row['throughput']:.1f} |"
            for row in curve
        ),
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
