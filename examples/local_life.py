"""All steps on this machine: train, print the metrics, deploy, predict, transform a folder, train further, delete.

No account, no Docker:

    python examples/local_life.py                       # on generated images: a few minutes on two cores
    python examples/local_life.py --data camvid --crop-size 240 \\
        --class-names sky,building,pole,road,pavement,tree,sign,fence,car,pedestrian,bicyclist

--data is a folder that holds train, train_annotation, validation and validation_annotation (docs/data.md).
"""

import argparse
from pathlib import Path

import numpy as np
from PIL import Image

from sagemaker_semseg import SemSegEstimator
from sagemaker_semseg.data.demo_dataset import CLASS_NAMES, make_demo_set

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--data", type=Path, help="folder with the four channels (default: images are generated)")
parser.add_argument("--class-names", default=",".join(CLASS_NAMES), help="from label 0 on, with commas between them")
parser.add_argument("--output", type=Path, default=Path("out/local_life"), help="where everything is written")
parser.add_argument("--epochs", type=int, default=4)
parser.add_argument("--crop-size", type=int, default=64)
parser.add_argument("--base-size", type=int, help="the long side of images in training (default: twice the crop)")
parser.add_argument("--mini-batch-size", type=int, default=8)
parser.add_argument("--images", type=int, default=120, help="how many to generate without --data")
options = parser.parse_args()
if options.data and options.class_names == ",".join(CLASS_NAMES):
    parser.error("--data needs --class-names, too: the classes of your masks, from label 0 on")


def step(title: str) -> None:
    print(f"\n==> {title}", flush=True)


names, output = options.class_names.split(","), options.output
data = options.data or output / "data"
if not options.data:
    step("Generate images and masks")
    make_demo_set(data, train=options.images, validation=max(2, options.images // 6), test=0)
images = data / "validation"
image = min(path for path in images.iterdir() if path.suffix.lower() in (".jpg", ".jpeg", ".png"))

step("Train. Everything that is wrong with settings or data is reported before it starts")
settings = {
    "algorithm": "fcn",
    "backbone": "resnet-18",
    "use_pretrained_model": False,  # True, the default, starts from ImageNet's weights, and is much better
    "num_classes": len(names),
    "crop_size": options.crop_size,
    "base_size": options.base_size or 2 * options.crop_size,
    "mini_batch_size": options.mini_batch_size,
    "epochs": options.epochs,
    "optimizer": "adam",
    "learning_rate": 0.002,
    "head_learning_rate_multiplier": 1,
}
channels = {name: data / name for name in ("train", "train_annotation", "validation", "validation_annotation")}
estimator = SemSegEstimator(
    instance_count=1, instance_type="local", output_path=str(output / "models"), hyperparameters=settings
)
estimator.fit(channels)
print("the model:", estimator.model_data)

step("The metrics, epoch by epoch")
metrics = estimator.training_job_analytics
print(metrics)  # metrics.dataframe() is a pandas table, metrics.plot() a figure
print(f"best validation mIOU: {metrics.best()['validation:mIOU']:.4f}")

step("Deploy: a server on a free port of this machine. It ends with this process at the latest")
predictor = estimator.deploy(initial_instance_count=1, instance_type="local")
print("the endpoint:", predictor.endpoint_name)

step(f"Predict {image.name}: labels, saved as a PNG whose pixels are the classes")
labels = predictor.predict(image)
Image.fromarray(labels).save(output / "mask.png")
for label, share in enumerate(np.bincount(labels.ravel(), minlength=len(names)) / labels.size):
    print(f"{names[label]:>12} {share:6.1%} of the pixels")

step("Predict it again: probabilities")
probabilities = predictor.predict_proba(image)
print(f"{probabilities.shape} {probabilities.dtype}: classes, height, width")
print(f"the model's own confidence, on average: {probabilities.max(axis=0).mean():.1%}")

step("The labels laid over the image")
predictor.overlay(image, labels).save(output / "overlay.png")
print(output / "overlay.png")

step("Delete the endpoint")
predictor.delete_endpoint()

step("Batch transform: a mask for every image of a folder")
transformer = estimator.transformer(1, "local", output_path=str(output / "masks"), accept="image/png")
transformer.transform(images, content_type="application/x-image")  # masks/a.jpg.out for validation/a.jpg
mask = np.asarray(Image.open(output / "masks" / f"{image.name}.out"))
print(f"{np.mean(mask == labels):.1%} of the pixels of {image.name} as the endpoint had them")

step("Train further: the model of the first training is where the second one starts")
further = SemSegEstimator(
    instance_count=1,
    instance_type="local",
    output_path=str(output / "models"),
    hyperparameters={**settings, "epochs": 1, "learning_rate": 0.0005},
    model_uri=estimator.model_data,
)
further.fit(channels, logs="None")
print(further.training_job_analytics)
print("the model:", further.model_data)

step("Nothing runs any more. `sagemaker-semseg jobs` lists the jobs, `jobs delete NAME` deletes one")
