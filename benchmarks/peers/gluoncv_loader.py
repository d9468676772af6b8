"""Lockstep worker: GluonCV's loader for semantic segmentation, in training mode (see `lockstep.py`).

In: a folder of `<k>.jpg` and `<k>.png`. One "step" is a round: `--batches` batches of `--batch` pairs, normalized
float32 images (3, crop, crop) and int32 labels, as GluonCV's training script loads them, in one process (no workers, so
that all work is on this process's core). Run by `pipeline_speed.py` with the Python of an environment that holds mxnet
1.9.1 and gluoncv 0.10.5.post0.
"""

import argparse
import random
from importlib.metadata import version
from pathlib import Path

import loader_flags
import lockstep


def build(args: argparse.Namespace) -> tuple[lockstep.Step, dict[str, str]]:
    import mxnet as mx
    import numpy as np
    from gluoncv.data.segbase import SegmentationDataset
    from mxnet.gluon.data.vision import transforms
    from PIL import Image

    class Pairs(SegmentationDataset):
        """What GluonCV's own data sets (its Pascal VOC, for one) add to their base: files, and 255 as ignore."""

        def __init__(self, folder: Path, **settings: object) -> None:
            super().__init__(str(folder), "train", "train", **settings)
            self.images = sorted(folder.glob("*.jpg"))
            self.masks = [path.with_suffix(".png") for path in self.images]

        def __getitem__(self, index: int) -> tuple:
            image = Image.open(self.images[index]).convert("RGB")
            mask = Image.open(self.masks[index])
            image, mask = self._sync_transform(image, mask)
            return self.transform(image), mask

        def __len__(self) -> int:
            return len(self.images)

        def _mask_transform(self, mask: Image.Image) -> object:
            target = np.array(mask).astype("int32")
            target[target == 255] = -1
            return mx.nd.array(target, mx.cpu(0))

    normalize = transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    transform = transforms.Compose([transforms.ToTensor(), normalize])
    random.seed(0)
    pairs = Pairs(args.folder, transform=transform, base_size=args.base, crop_size=args.crop)
    loader = mx.gluon.data.DataLoader(pairs, args.batch, shuffle=True, last_batch="rollover", num_workers=0)

    def step() -> float:
        left = args.batches
        while left:
            for images, labels in loader:
                images.wait_to_read()
                labels.wait_to_read()
                left -= 1
                if not left:
                    break
        assert images.shape == (args.batch, 3, args.crop, args.crop)
        return float(images[0, 0, 0, 0].asscalar())

    versions = {"mxnet": mx.__version__, "gluoncv": version("gluoncv"), "pillow": version("pillow")}
    return step, versions


if __name__ == "__main__":
    lockstep.serve(loader_flags.parser(__doc__).parse_args(), build)
