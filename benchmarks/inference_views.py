"""What the average over scales and mirror images gains in points of mIOU, and what it costs.

    python benchmarks/inference_views.py --data CAMVID [--data OTHER] MODEL...

Every model labels the validation images of each folder with each setting. A dated page goes into `results`.
"""

import argparse
import datetime
import time
from pathlib import Path
from statistics import mean

import machine
import numpy as np
from contest import say
from pages import facts, table

from sagemaker_semseg.data.datasets import FileDataset, read_split
from sagemaker_semseg.data.images import decode_image
from sagemaker_semseg.data.samples import EncodedSample
from sagemaker_semseg.inference import Segmenter
from sagemaker_semseg.jobs.channel_locations import locate_channels
from sagemaker_semseg.metrics import Scores, confusion_matrix

HERE = Path(__file__).resolve().parent
SETTINGS = {
    "`1`": ((1.0,), False),
    "`1`, flip": ((1.0,), True),
    "`0.75,1,1.25`": ((0.75, 1.0, 1.25), False),
    "`0.75,1,1.25`, flip": ((0.75, 1.0, 1.25), True),
}


def measure(model: Path, data: FileDataset, scales: tuple[float, ...], flip: bool) -> tuple[float, float]:
    """Return mIOU and the CPU seconds of an image."""
    segmenter = Segmenter(model, scales=scales, flip=flip, precision="float32", threads=1)
    total, seconds = np.zeros((segmenter.num_classes,) * 2, np.int64), 0.0
    for pair in data.pairs:
        sample = EncodedSample.read(pair)
        start = time.process_time()
        predicted = segmenter.labels(decode_image(sample.image))
        seconds += time.process_time() - start
        total += confusion_matrix(data.label_map.apply(sample.mask_values()), predicted, segmenter.num_classes)
    return Scores.of(total).miou, seconds / data.count


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+", type=Path, metavar="MODEL")
    parser.add_argument("--data", action="append", required=True, help="a folder with the channels of validation")
    parser.add_argument("--output", type=Path, help="the page to write (results/inference_views-<date>.md)")
    args = parser.parse_args()
    classes = Segmenter(args.models[0]).num_classes
    sets = {
        Path(name).name: read_split(locate_channels(name, {}, "validation"), classes, "validation")
        for name in args.data
    }
    rows = []
    for model in args.models:
        found = {
            (which, setting): measure(model, data, *SETTINGS[setting])
            for which, data in sets.items()
            for setting in SETTINGS
        }
        for setting in SETTINGS:
            row = [model.name, setting]
            for which in sets:
                miou, plain = found[which, setting][0], found[which, "`1`"][0]
                row.append(f"{miou:.4f} ({100 * (miou - plain):+.1f})")
            rows.append([*row, f"{mean(found[which, setting][1] / found[which, '`1`'][1] for which in sets):.1f}"])
            say(" ".join(rows[-1]))
    date = datetime.date.today().isoformat()
    text = f"# Scales and mirror images at inference, {date}\n\n"
    text += "mIOU, and in brackets the points above that of the image alone, whose CPU time is 1.\n\n"
    text += table(
        ["model", "`inference_scales`, `inference_flip`", *(f"mIOU, {which}" for which in sets), "CPU time"], rows
    )
    sizes = {f"{which}": f"{data.count} images" for which, data in sets.items()}
    output = args.output or HERE / "results" / f"inference_views-{date}.md"
    output.write_text(text + "\n" + facts(sizes, machine.describe()))
    say(f"written: {output}")


if __name__ == "__main__":
    main()
