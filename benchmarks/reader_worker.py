"""One measurement of `reader_speed.py`: reads batches of 16 with one kind of workers, and prints a line of JSON.

Input: kind, number of workers, crop, a folder of `<k>.jpg` and `<k>.png`, number of batches.
"""

import itertools
import json
import os
import sys
import time
from pathlib import Path

import numpy as np
import processes

from sagemaker_semseg.data.datasets import FileDataset
from sagemaker_semseg.data.labels import LabelMap
from sagemaker_semseg.data.samples import EncodedSample, ImageMaskPair
from sagemaker_semseg.hyperparameters import resolve
from sagemaker_semseg.training.crop_reader import CropReader

BATCH, WARM_UP = 16, 8


class Crops:
    """Crops by their position, as both of the other loaders want them: `len`, `[]`."""

    def __init__(self, split, hp):
        self.split, self.reader, self.crop = split, CropReader(hp, split.label_map.lookup), hp.padded_crop_size

    def __len__(self):
        return 1 << 20

    def __getitem__(self, position):
        epoch, index = divmod(int(position), len(self.split.pairs))
        images = np.empty((1, self.crop, self.crop, 3), np.uint8)
        labels = np.empty((1, self.crop, self.crop), np.uint8)
        self.reader.read([EncodedSample.read(self.split.pairs[index], epoch, index)], images, labels)
        return images[0], labels[0]


def batches(kind, workers, split, hp):
    if kind == "pytorch":
        import torch

        torch.set_num_threads(1)
        loader = torch.utils.data.DataLoader(Crops(split, hp), BATCH, num_workers=workers, prefetch_factor=2)
        return iter(loader)
    if kind == "grain":
        import grain
        from absl import flags

        flags.FLAGS(sys.argv[:1])
        source = grain.MapDataset.source(Crops(split, hp)).to_iter_dataset().batch(BATCH)
        options = grain.multiprocessing.MultiprocessingOptions(num_workers=workers, per_worker_buffer_size=2)
        return iter(source.mp_prefetch(options))
    from sagemaker_semseg.training.pipeline import training_batches

    if kind == "threads":
        return iter(training_batches(split, hp, workers=workers))
    return iter(training_batches(split, hp, processes=workers))


def figures(pids):
    return time.perf_counter(), time.process_time(), sum(map(processes.cpu_seconds, pids))


def main():
    kind, workers, crop, folder, count = (
        sys.argv[1],
        int(sys.argv[2]),
        int(sys.argv[3]),
        Path(sys.argv[4]),
        int(sys.argv[5]),
    )
    pairs = tuple(
        ImageMaskPair(path.stem, path, path.with_suffix(".png"), size=(480, 640))
        for path in sorted(folder.glob("*.jpg"))
    )
    counts = np.zeros(12, np.int64)
    split = FileDataset("train", pairs, LabelMap.identity(12), counts, counts, np.zeros(256, np.int64))
    hp = resolve({"num_classes": 12, "crop_size": crop, "base_size": 520, "mini_batch_size": BATCH, "seed": 0})
    reading = batches(kind, workers, split, hp)
    for _ in itertools.islice(reading, WARM_UP):
        pass
    pids = processes.family(os.getpid())[1:]
    before = figures(pids)
    for images, labels in itertools.islice(reading, count):
        assert tuple(images.shape) == (BATCH, crop, crop, 3)
        assert tuple(labels.shape) == (BATCH, crop, crop)
    seconds, main_cpu, others = (b - a for a, b in zip(before, figures(pids), strict=True))
    images = BATCH * count
    print(
        json.dumps(
            {
                "images_per_second": images / seconds,
                "main_ms": 1000 * main_cpu / images,
                "all_ms": 1000 * (main_cpu + others) / images,
                "memory_mb": sum(map(processes.pss_mb, [os.getpid(), *pids])),
            }
        ),
        flush=True,
    )
    os._exit(0)


if __name__ == "__main__":
    main()
