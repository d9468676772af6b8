"""The largest and the longest images, from their bytes to the mask's, in a process whose memory is measured."""

import io
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from sagemaker_semseg.inference import Segmenter

PROGRAM = """
import resource, sys
from pathlib import Path
import numpy as np
from sagemaker_semseg.artifact import InferenceArtifact
from sagemaker_semseg.data.images import decode_image, encode_mask
from sagemaker_semseg.inference import Segmenter

graph, source, mask = map(Path, sys.argv[1:4])
model = Segmenter(InferenceArtifact({"num_classes": "4"}, {"num_classes": 4}, graph.read_bytes()), threads=2)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
mask.write_bytes(encode_mask(model.labels(decode_image(source.read_bytes()))))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def source(height, width):
    """Blocks of colours, as a JPEG: quick to make and small."""
    small = np.random.default_rng(0).integers(0, 256, (-(-height // 50), -(-width // 50), 3), dtype=np.uint8)
    large = Image.fromarray(small).resize((width, height), Image.Resampling.NEAREST)
    out = io.BytesIO()
    large.save(out, "JPEG", quality=80)
    return out.getvalue()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("size", "megabytes"),
    [
        ((12000, 12000), 2000),  # 432 MB of pixels, twice while they are decoded; 144 MB of mask, and the tiles
        ((2, 60000), 400),
        ((60000, 2), 400),
    ],
)
def test_memory_is_bounded(local, tmp_path, size, megabytes):
    (tmp_path / "graph.onnx").write_bytes(local.graph)
    (tmp_path / "image.jpg").write_bytes(source(*size))
    names = [str(tmp_path / name) for name in ("graph.onnx", "image.jpg", "mask.png")]
    done = subprocess.run([sys.executable, "-c", PROGRAM, *names], capture_output=True, text=True, check=True)
    assert int(done.stdout) / 1024 < megabytes
    Image.MAX_IMAGE_PIXELS, kept = None, Image.MAX_IMAGE_PIXELS
    try:
        mask, image = Image.open(names[2]), Image.open(names[1])
        assert mask.size == image.size == size[::-1]
        # a corner against the same corner alone: this network looks no farther than 8 pixels
        box = (0, 0, min(800, size[1]), min(800, size[0]))
        corner = np.asarray(image.crop(box).convert("RGB"))
        expected = Segmenter(local, threads=2).labels(corner)
        edge = 100 if max(size) > 800 else 0
        inside = np.s_[: max(1, box[3] - edge), : max(1, box[2] - edge)]
        assert (np.asarray(mask.crop(box))[inside] == expected[inside]).mean() > 0.9
    finally:
        Image.MAX_IMAGE_PIXELS = kept
