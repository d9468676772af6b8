"""Lockstep worker: the runtime graph's coarse logits in bare OpenVINO, float32 (see `lockstep.py`, `inference.py`).

Forms: the graph as it is, for images of any size, and reshaped to the one image's size.
"""

import argparse

import inference
import lockstep
import numpy as np


def build(args: argparse.Namespace) -> tuple[lockstep.Step, dict[str, str]]:
    import openvino as ov

    core, image = ov.Core(), inference.pixels(args)
    settings = {
        "INFERENCE_NUM_THREADS": args.threads,
        "INFERENCE_PRECISION_HINT": "f32",
        "PERFORMANCE_HINT": "LATENCY",
    }

    def form(static: bool) -> inference.Run:
        whole = core.read_model(args.graph)
        model = ov.Model([whole.output("coarse_logits")], whole.get_parameters())
        if static:
            model.reshape(list(image.shape))
        request = core.compile_model(model, "CPU", settings).create_infer_request()

        def run() -> np.ndarray:
            request.infer({"image": image})
            return request.get_output_tensor().data

        return run

    step, tried = inference.fastest({"any size": form(static=False), "one size": form(static=True)})
    return step, {"openvino": ov.__version__, **tried}


if __name__ == "__main__":
    lockstep.serve(inference.parser(__doc__).parse_args(), build, warm_up=0)  # `inference.fastest` did
