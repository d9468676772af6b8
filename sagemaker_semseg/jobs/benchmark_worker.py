"""One process of a benchmark: loads a model, waits for a line, labels images, prints figures as JSON.

Run as ``python -m sagemaker_semseg.jobs.benchmark_worker SETTINGS``; ``run_benchmark`` starts it.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from sagemaker_semseg.data.images import decode_image
from sagemaker_semseg.environment import disable_telemetry
from sagemaker_semseg.inference import Segmenter


def measure(settings: dict[str, Any]) -> dict[str, Any]:
    """Labels the image ``rounds`` times after a warm-up, once a line has come on standard input."""
    image = decode_image(Path(settings["image"]).read_bytes())
    names = ("precision", "runtime", "threads")
    segmenter = Segmenter(settings["model"], scales=(1.0,), flip=False, **{name: settings[name] for name in names})
    labels = segmenter.labels(image)
    np.save(settings["labels"], labels)
    print("ready", flush=True)
    sys.stdin.readline()
    seconds = []
    for _ in range(settings["rounds"]):
        since = time.perf_counter()
        segmenter.labels(image)
        seconds.append(time.perf_counter() - since)
    return {"seconds": seconds, "peak_mb": _peak_mb()}


def _peak_mb() -> float | None:
    """Peak of resident memory, in 10^6 bytes; None where the system doesn't say it."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak * 1024 / 1e6


if __name__ == "__main__":
    disable_telemetry()
    print(json.dumps(measure(json.loads(sys.argv[1]))), flush=True)
