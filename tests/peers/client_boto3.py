"""boto3 asks a local endpoint; nothing but a variable of the environment says that it is one.

python tests/peers/with_endpoint.py PYTHON tests/peers/client_boto3.py          (``make test-clients``)
"""

import sys

import boto3
from client_expected import NO_IMAGE, PNG, RECORDIO, Expected

expected = Expected(f"boto3 {boto3.__version__}")
runtime = boto3.client("sagemaker-runtime")
name = expected.endpoint_name

reply = runtime.invoke_endpoint(EndpointName=name, ContentType="image/jpeg", Accept=PNG, Body=expected.image)
expected.check("a mask", (reply["ContentType"], reply["Body"].read()) == (PNG, expected.mask))
reply = runtime.invoke_endpoint(EndpointName=name, Body=expected.image)
expected.check("a mask without saying anything", reply["Body"].read() == expected.mask)
reply = runtime.invoke_endpoint(EndpointName=name, ContentType="image/jpeg", Accept=RECORDIO, Body=expected.image)
expected.check("probabilities", (reply["ContentType"], reply["Body"].read()) == (RECORDIO, expected.record))
expected.check_refusal("no image", lambda: runtime.invoke_endpoint(EndpointName=name, Body=NO_IMAGE))
sys.exit(expected.report())
