"""``Endpoint.invoke`` of AWS's SDK 3 asks a local endpoint.

python tests/peers/with_endpoint.py .envs/sagemaker3/bin/python tests/peers/client_3.py   (``make test-sagemaker3``)
"""

import sys
from importlib.metadata import version

import numpy as np
from client_expected import NO_IMAGE, PNG, RECORDIO, Expected
from PIL import Image

# isort: split
from sagemaker.core.deserializers import BaseDeserializer
from sagemaker.core.resources import Endpoint
from sagemaker.core.serializers import IdentitySerializer

expected = Expected(f"sagemaker {version('sagemaker')}, Endpoint.invoke")
endpoint = Endpoint(endpoint_name=expected.endpoint_name)

reply = endpoint.invoke(expected.image, content_type="image/jpeg", accept=PNG)
expected.check("a mask", (reply.content_type, reply.body.read()) == (PNG, expected.mask))
reply = endpoint.invoke(expected.image)
expected.check("a mask without saying anything", reply.body.read() == expected.mask)
reply = endpoint.invoke(expected.image, content_type="image/jpeg", accept=RECORDIO)
expected.check("probabilities", (reply.content_type, reply.body.read()) == (RECORDIO, expected.record))
expected.check_refusal("no image", lambda: endpoint.invoke(NO_IMAGE, content_type="image/jpeg"))


class ImageDeserializer(BaseDeserializer):
    """Its protocol is version 2's. (Version 3's RecordDeserializer is a stub that raises NotImplementedError.)"""

    ACCEPT = (PNG,)

    def deserialize(self, stream, content_type):
        return np.array(Image.open(stream))


endpoint = Endpoint(
    endpoint_name=expected.endpoint_name, serializer=IdentitySerializer("image/jpeg"), deserializer=ImageDeserializer()
)
reply = endpoint.invoke(expected.image, content_type="image/jpeg", accept=PNG)
expected.check("a mask by a deserializer", np.array_equal(reply.body, expected.labels()))
sys.exit(expected.report())
