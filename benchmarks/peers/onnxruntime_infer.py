"""Lockstep worker: the runtime graph in bare ONNX Runtime (see `lockstep.py` and `inference.py`).

`--output` chooses what is computed: `coarse_logits`, for which the endpoint asks, or `logits` of the image's own size.
"""

import argparse

import inference
import lockstep


def build(args: argparse.Namespace) -> tuple[lockstep.Step, dict[str, str]]:
    import onnxruntime

    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads, settings.inter_op_num_threads = args.threads, 1
    session = onnxruntime.InferenceSession(args.graph, settings, providers=["CPUExecutionProvider"])
    options = onnxruntime.RunOptions()
    options.only_execute_path_to_fetches = True  # else it computes every output, whatever is asked for
    inputs = {"image": inference.pixels(args)}
    step, tried = inference.fastest({"session.run": lambda: session.run([args.output], inputs, options)[0]})
    return step, {"onnxruntime": onnxruntime.__version__, **tried, "output": args.output}


if __name__ == "__main__":
    flags = inference.parser(__doc__)
    flags.add_argument("--output", choices=("coarse_logits", "logits"), default="coarse_logits")
    lockstep.serve(flags.parse_args(), build, warm_up=0)  # `inference.fastest` did
