"""What every good reply of the soak test has to be: computed without a server, before it is started.

Input: a model and samples. Output: for a sample, a kind of reply and its bytes, what is wrong with them.
"""

import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
from client import Reply
from soak_images import Sample

from sagemaker_semseg.data.images import decode_image, encode_mask
from sagemaker_semseg.environment import worker_variables
from sagemaker_semseg.inference import Segmenter

ACCEPTS = (
    "image/png",
    "application/x-recordio-protobuf",
    "application/x-recordio-protobuf; dtype=float16",
    "application/x-protobuf",
    "application/x-npy",
)
FRAME_BYTES = 256
"""At most around an array: the header of a .npy, or of a record."""


class Offline:
    def __init__(self, model: Path, samples: list[Sample], threads: int) -> None:
        self.samples = samples
        os.environ.update(worker_variables(threads))  # numpy reads them when it is loaded, so in a new process
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
            self._wanted = pool.submit(_wanted, model, samples, threads).result()

    def fault(self, sample: Sample, accept: str, reply: Reply) -> str:
        """What is wrong with a reply of status 200; "" if it is right to the last bit."""
        kind = "image/png" if accept == "image/png" else "float16" if "float16" in accept else "float32"
        wanted, frame = self._wanted[sample.name][kind], FRAME_BYTES if kind != "image/png" else 0
        if reply.headers.get("content-type") != accept:
            return f"{sample.name}: {reply.headers.get('content-type')} came, {accept} was asked for"
        if wanted not in reply.body or len(reply.body) > len(wanted) + frame:
            return f"{sample.name}: {accept} is not what offline prediction gives"
        return ""


def _wanted(model: Path, samples: list[Sample], threads: int) -> dict[str, dict[str, bytes]]:
    segmenter = Segmenter(model, threads=threads)
    return {sample.name: _replies(segmenter, decode_image(sample.data)) for sample in samples}


def _replies(segmenter: Segmenter, pixels: np.ndarray) -> dict[str, bytes]:
    arrays = {dtype: segmenter.probabilities(pixels, np.dtype(dtype)).tobytes() for dtype in ("float32", "float16")}
    return {"image/png": encode_mask(segmenter.labels(pixels)), **arrays}
