"""A worker whose model does what the image's first pixel says, so that tests can have it blocked, cancelled or dying.

    (250, 1, _)  blocks until it is released     (250, 2, _)  dies        (250, 3, _)  runs out of memory
    (250, 4, _)  fails with a secret             (250, 5, _)  dies the first time

Labels are the red values modulo 5. What happens is written to the file ``events`` in the folder that the options name;
the file ``release`` there releases what blocks.
"""

import os
import signal
import time
from pathlib import Path

import numpy as np

from sagemaker_semseg.errors import ArtifactError, Fault
from sagemaker_semseg.inference import InferenceCancelled
from sagemaker_semseg.serving.worker import main

CLASSES = 5


class Model:
    num_classes = CLASSES

    def __init__(self, events):
        self.events = events

    def labels(self, image, token=None):
        self._obey(*map(int, image[0, 0, :2]), token)
        return image[:, :, 0] % CLASSES

    def probabilities(self, image, dtype=np.float32, token=None):
        return (self.labels(image, token) == np.arange(CLASSES)[:, None, None]).astype(dtype)

    def _obey(self, red, green, token):
        if red != 250:
            return
        if green == 1:
            self.tell("begun")
            while not self.events.with_name("release").exists():
                try:
                    token.raise_if_cancelled()
                except InferenceCancelled:
                    self.tell("cancelled")
                    raise
                time.sleep(0.01)
        if green == 2 or (green == 5 and "died" not in self.events.read_text()):
            self.tell("died")
            os.kill(os.getpid(), signal.SIGKILL)
        if green == 3:
            raise MemoryError
        if green == 4:
            raise RuntimeError("the secret")

    def tell(self, event):
        with self.events.open("a") as file:
            file.write(f"{event} {os.getpid()}\n")


def load(first):
    options = first["options"]
    model = Model(Path(options["folder"]) / "events")
    model.tell("started")
    if options.get("start") == "refuse":
        raise ArtifactError("the model is no good:", [Fault("model.onnx", "is missing", "export it")])
    if options.get("start") == "die" or (Path(options["folder"]) / "die").exists():
        os._exit(3)
    while options.get("start") == "wait" and not (Path(options["folder"]) / "go").exists():
        time.sleep(0.01)
    about = {
        "name": first["model"],
        "num_classes": CLASSES,
        "class_names": list("abcde"),
        "palette": [[0, 0, 0]] * CLASSES,
        "algorithm": "fcn",
        "backbone": "resnet-50",
        "checksum": options.get("checksum") or (os.getpid() if options.get("start") == "differ" else 0),
    }
    return model, about


if __name__ == "__main__":
    main(load)
