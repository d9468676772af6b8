"""Train on an augmented manifest: from its files, then through pipes, as in SageMaker's Pipe mode.

    python examples/manifest_and_pipe.py                  # on generated images
    python examples/manifest_and_pipe.py --data mydata --num-classes 3

The manifest may also be one of SageMaker Ground Truth, and refer to s3:// (docs/data.md, docs/pipe.md).
"""

import argparse
import json
from pathlib import Path
from typing import Any

from sagemaker_semseg import SemSegEstimator, ShuffleConfig, TrainingInput
from sagemaker_semseg.data.demo_dataset import CLASS_NAMES, make_demo_set

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--data", type=Path, help="folder with the four channels (default: images are generated)")
parser.add_argument("--num-classes", type=int, default=len(CLASS_NAMES))
parser.add_argument("--output", type=Path, default=Path("out/manifest"), help="where everything is written")
parser.add_argument("--epochs", type=int, default=2)
parser.add_argument("--crop-size", type=int, default=64)
parser.add_argument("--images", type=int, default=48, help="how many to generate without --data")
options = parser.parse_args()

data, output = options.data or options.output / "data", options.output
if not options.data:
    make_demo_set(data, train=options.images, validation=max(2, options.images // 6), test=0)
output.mkdir(parents=True, exist_ok=True)

# a line for each image: where it is, and where its mask is
manifests, counts = {}, {}
for split in ("train", "validation"):
    masks = sorted((data / f"{split}_annotation").glob("*.png"))
    image_paths = {path.stem: path for path in (data / split).iterdir()}
    lines = [{"source-ref": str(image_paths[mask.stem].resolve()), "mask-ref": str(mask.resolve())} for mask in masks]
    manifests[split], counts[split] = output / f"{split}.manifest", len(lines)
    manifests[split].write_text("".join(json.dumps(line) + "\n" for line in lines))
    print(f"{manifests[split]}: {counts[split]} lines")

settings = {
    "backbone": "resnet-18",
    "use_pretrained_model": False,
    "num_classes": options.num_classes,
    "num_training_samples": counts["train"],  # a pipe has no length, so SageMaker needs it
    "crop_size": options.crop_size,
    "base_size": 2 * options.crop_size,
    "mini_batch_size": 8,
    "epochs": options.epochs,
    "optimizer": "adam",
    "learning_rate": 0.002,
}

modes: dict[str, dict[str, Any]] = {
    "from its files": {},
    # what SageMaker needs to send it; `sagemaker-semseg train --train train.manifest ... --pipe` does the same
    "through pipes": {"input_mode": "Pipe", "record_wrapping": "RecordIO", "shuffle_config": ShuffleConfig(seed=0)},
}
for title, mode in modes.items():
    print(f"\n==> The manifest {title}", flush=True)
    inputs = {
        split: TrainingInput(
            path, s3_data_type="AugmentedManifestFile", attribute_names=["source-ref", "mask-ref"], **mode
        )
        for split, path in manifests.items()
    }
    estimator = SemSegEstimator(
        instance_count=1, instance_type="local", output_path=str(output / "models"), hyperparameters=settings
    )
    estimator.fit(inputs, logs="None")
    print(estimator.training_job_analytics)
    print("the model:", estimator.model_data)
