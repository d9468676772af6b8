"""A training in place of the real one: its model is the archive that ``MODEL`` names. It reads and learns nothing."""

import os
import tarfile
from pathlib import Path

with tarfile.open(os.environ["MODEL"]) as archive:
    archive.extractall(Path(os.environ["SAGEMAKER_BASE_DIR"], "model"), filter="data")
print("#quality_metric: host=algo-1, epoch=0, validation mIOU <score>=0.5", flush=True)
