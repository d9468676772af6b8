"""Lockstep worker: GluonCV's own FCN, PSPNet or DeepLabV3 on MXNet (see `lockstep.py` and `inference.py`).

Without the auxiliary head. Forms: hybridized with static memory, and that with MXNet's oneDNN graph on top, which fuses
convolution, batch normalisation and ReLU.
"""

import argparse
from importlib.metadata import version

import inference
import lockstep
import numpy as np


def build(args: argparse.Namespace) -> tuple[lockstep.Step, dict[str, str]]:
    import mxnet as mx
    from gluoncv.model_zoo import FCN, DeepLabV3, PSPNet

    model = {"fcn": FCN, "psp": PSPNet, "deeplab": DeepLabV3}[args.algorithm]
    image = np.ascontiguousarray(inference.normalized(args).transpose(0, 3, 1, 2))
    batch = mx.nd.array(image)

    def form(fused: bool) -> inference.Run:
        mx.random.seed(0)
        net = model(args.classes, f"resnet{args.depth}", aux=False, pretrained_base=False, crop_size=image.shape[2])
        for part in (net.conv1, net.bn1, net.layer1, net.layer2, net.layer3, net.layer4):  # the head has its values
            part.initialize()
        if fused:
            net.optimize_for(batch, backend="MKLDNN", static_alloc=True, static_shape=True)
        else:
            net.hybridize(static_alloc=True, static_shape=True)

        def run() -> np.ndarray:
            out = net(batch)
            return (out[0] if isinstance(out, (tuple, list)) else out).asnumpy()

        return run

    step, tried = inference.fastest({"static": form(fused=False), "static, fused": form(fused=True)})
    # not gluoncv.__version__, which says 0.11.0 in release 0.10.5.post0
    return step, {"mxnet": mx.__version__, "gluoncv": version("gluoncv"), **tried}


if __name__ == "__main__":
    lockstep.serve(inference.parser(__doc__).parse_args(), build, warm_up=0)  # `inference.fastest` did
