"""All steps on Amazon SageMaker: train on a GPU, deploy, predict, delete. It costs money.

    python examples/on_sagemaker.py --image-uri ACCOUNT.dkr.ecr.REGION.amazonaws.com/semseg:0.1.0 \\
        --role arn:aws:iam::ACCOUNT:role/SageMakerRole --bucket my-bucket --predict image.jpg --dry-run

--dry-run prints the request for the training and sends nothing. s3://BUCKET/set holds the four channels. docs/aws.md
lists what is needed once: the image, the role, permissions, a quota.
"""

import argparse
import json
from pathlib import Path

import boto3

from sagemaker_semseg import SemSegEstimator
from sagemaker_semseg.sdk import request_specs, requests

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--image-uri", required=True, help="of this project's container in your registry")
parser.add_argument("--role", required=True, help="the ARN of the role that jobs run as")
parser.add_argument("--bucket", required=True, help="holds the data below set/; models go below models/")
parser.add_argument("--region", help="such as eu-west-1 (default: what `aws configure` says)")
parser.add_argument("--num-classes", type=int, default=21)
parser.add_argument("--num-training-samples", type=int, default=1464)
parser.add_argument("--predict", type=Path, metavar="IMAGE", help="an image to predict")
parser.add_argument("--spot", action="store_true", help="train on spare machines: cheaper, and may be taken away")
parser.add_argument("--dry-run", action="store_true", help="print the request for the training, and stop")
options = parser.parse_args()

bucket = f"s3://{options.bucket}"
estimator = SemSegEstimator(
    image_uri=options.image_uri,
    role=options.role,
    instance_count=1,
    instance_type="ml.g5.xlarge",
    # a request that is only printed is the same in every region
    sagemaker_session=boto3.Session(region_name=options.region or ("us-east-1" if options.dry_run else None)),
    max_run=6 * 60 * 60,
    output_path=f"{bucket}/models",
    # a training on spare machines resumes from its checkpoints when it gets one again
    use_spot_instances=options.spot,
    max_wait=12 * 60 * 60 if options.spot else None,
    checkpoint_s3_uri=f"{bucket}/checkpoints" if options.spot else None,
    hyperparameters={
        "algorithm": "deeplab",
        "backbone": "resnet-50",
        "num_classes": options.num_classes,
        "num_training_samples": options.num_training_samples,
        "crop_size": 480,
        "mini_batch_size": 8,
        "epochs": 30,
    },
)
names = ("train", "train_annotation", "validation", "validation_annotation")
channels = {name: f"{bucket}/set/{name}" for name in names}

if options.dry_run:
    spec = request_specs.training(estimator, channels, "semantic-segmentation-dry-run", None)
    print(json.dumps(requests.training_job(spec), indent=2))
    raise SystemExit

estimator.fit(channels)  # follows the log until the job has ended. Ctrl-C ends the following, not the job
print(estimator.training_job_analytics)

if options.predict:
    predictor = estimator.deploy(initial_instance_count=1, instance_type="ml.c5.xlarge")
    try:
        predictor.overlay(options.predict).save("overlay.png")
    finally:  # it costs money as long as it is there
        predictor.delete_endpoint()
        predictor.delete_model()
