"""What a client of AWS should get from the endpoint of ``with_endpoint.py``: reads files, gives a verdict. The
scripts ``client_*.py`` call it; nothing of this project is imported.
"""

import io
import json
import logging
import sys
import warnings
from pathlib import Path

logging.disable(logging.WARNING)  # AWS's SDKs tell a lot
warnings.simplefilter("ignore")

PNG, RECORDIO = "image/png", "application/x-recordio-protobuf"
NO_IMAGE = b"\xff\xd8\xff this is no JPEG"


class Expected:
    """What this package's own predictor got, and whether everything was the same so far."""

    def __init__(self, package):
        self.endpoint_name, folder = sys.argv[1], Path(sys.argv[2])
        self.package, self.checked, self.wrong = package, 0, 0
        self.image = (folder / "image.jpg").read_bytes()
        self.mask = (folder / "mask.png").read_bytes()
        self.record = (folder / "probabilities.rec").read_bytes()

    def labels(self):
        """The mask as an array."""
        import numpy as np
        from PIL import Image

        return np.asarray(Image.open(io.BytesIO(self.mask)))

    def check(self, what, holds):
        self.checked += 1
        if not holds:
            self.wrong += 1
            print(f"{self.package}: {what}: DIFFERENT")

    def check_records(self, what, records):
        """records: what AWS's own reader made of the probabilities. Their largest has to be the mask's label."""
        import numpy as np

        (record,) = records
        values = np.array(record.features["target"].float32_tensor.values, np.float32)
        shape = list(record.features["shape"].int32_tensor.values)
        labels = self.labels()
        self.check(f"{what}, the shape", shape == [1, 4, *labels.shape])
        probabilities = values.reshape(shape)[0]
        self.check(f"{what}, sums", bool(np.allclose(probabilities.sum(0), 1, atol=1e-5)))
        self.check(f"{what}, labels", bool(np.array_equal(probabilities.argmax(0), labels)))

    def check_refusal(self, what, ask):
        """``ask`` has sent what is no image: boto3's own ModelError with what the model answered."""
        from botocore.exceptions import ClientError

        try:
            ask()
        except ClientError as error:
            reply = error.response
            self.check(f"{what}, its class", type(error).__name__ == "ModelError")
            self.check(f"{what}, its status", reply.get("OriginalStatusCode") == 400)
            self.check(f"{what}, its words", "JPEG" in json.loads(reply["OriginalMessage"])["error"]["message"])
        else:
            self.check(f"{what}: no error", False)

    def report(self):
        print(f"{self.package}: {self.checked} checks, {self.wrong} wrong")
        return 1 if self.wrong else 0
