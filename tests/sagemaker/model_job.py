"""A training in place of the real one: its model is the archive that ``MODEL`` names. It reads and learns nothing."""

import os
import tarfile
from pathlib import Path

with tarfile.open(os.environ["MODEL"]) as archive:
    archive.extractall(Path(os.environ["SAGEMAKER_BASE_DIR"], "model"), filter="data")
for epoch in (0, 1):
    print(f"#quality_metric: host=algo-1, epoch={epoch}, train loss <loss>=1.5", flush=True)
    print(f"#quality_metric: host=algo-1, epoch={epoch}, validation mIOU <score>=0.5", flush=True)
