"""The Predictor of AWS's SDK 2 asks a local endpoint through a plain session, with serializers and deserializers as a
notebook for the built-in algorithm has them.

    python tests/peers/with_endpoint.py .envs/sagemaker2/bin/python tests/peers/client_2.py   (``make test-sagemaker2``)
"""

import sys

import numpy as np
from client_expected import NO_IMAGE, PNG, RECORDIO, Expected
from PIL import Image

# isort: split
import sagemaker
from sagemaker.deserializers import BaseDeserializer, RecordDeserializer
from sagemaker.predictor import Predictor
from sagemaker.serializers import IdentitySerializer

expected = Expected(f"sagemaker {sagemaker.__version__}, Predictor")


class ImageDeserializer(BaseDeserializer):
    def __init__(self, accept=PNG):
        self.accept = accept

    @property
    def ACCEPT(self):
        return (self.accept,)

    def deserialize(self, stream, content_type):
        try:
            return np.array(Image.open(stream))
        finally:
            stream.close()


predictor = Predictor(expected.endpoint_name, sagemaker.Session())
expected.check("a mask without saying anything", predictor.predict(expected.image) == expected.mask)
answer = predictor.predict(expected.image, initial_args={"ContentType": "image/jpeg", "Accept": RECORDIO})
expected.check("probabilities as bytes", answer == expected.record)
predictor.serializer = IdentitySerializer("image/jpeg")
predictor.deserializer = ImageDeserializer()
expected.check("a mask", np.array_equal(predictor.predict(expected.image), expected.labels()))
predictor.deserializer = RecordDeserializer()
expected.check_records("its own reader of probabilities", predictor.predict(expected.image))
expected.check_refusal("no image", lambda: predictor.predict(NO_IMAGE))
sys.exit(expected.report())
