"""Sends a request to a local endpoint with boto3, which knows nothing of this package.

    python examples/aws_clients.py --model out/local_life/models/JOB/output/model.tar.gz --image image.jpg

Programs that can't be changed find the endpoint by variables of the environment (docs/serving.md, "AWS's clients").
"""

import argparse
from pathlib import Path

import boto3

from sagemaker_semseg import SemSegModel

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--model", required=True, help="a model.tar.gz, here or in s3://")
parser.add_argument("--image", type=Path, required=True, help="a JPEG or PNG")
parser.add_argument("--output", type=Path, default=Path("mask.png"))
options = parser.parse_args()

predictor = SemSegModel(model_data=options.model).deploy(1, "local")
try:
    runtime = boto3.client(
        "sagemaker-runtime",
        endpoint_url=predictor.endpoint.url,
        region_name="us-east-1",
        aws_access_key_id="anything",  # a local endpoint doesn't check it
        aws_secret_access_key="anything",
    )
    reply = runtime.invoke_endpoint(
        EndpointName=predictor.endpoint_name,
        ContentType="application/x-image",
        Accept="image/png",
        Body=options.image.read_bytes(),
    )
    options.output.write_bytes(reply["Body"].read())
    print(f"{options.output}: {reply['ContentType']}, a pixel's number is its class")
finally:
    predictor.delete_endpoint()
