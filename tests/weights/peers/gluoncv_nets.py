"""Networks of GluonCV for ``test_gluoncv``: ``write FOLDER`` leaves their files and what they predict, ``read FOLDER``
loads files of ours into them and leaves what they predict then.

Runs in an environment of its own (MXNet 1.9.1, Python 3.11 at most) and imports nothing of this package.
"""

import sys
import zlib
from pathlib import Path

import mxnet as mx
import numpy as np
from gluoncv.model_zoo import FCN, DeepLabV3, PSPNet

CLASSES, CROP = 5, 64
NETS = {
    "fcn_resnet50": (FCN, "resnet50"),
    "psp_resnet50": (PSPNet, "resnet50"),
    "deeplab_resnet50": (DeepLabV3, "resnet50"),
    "fcn_resnet101": (FCN, "resnet101"),
}


def build(name, aux=True):
    make, backbone = NETS[name]
    net = make(CLASSES, backbone=backbone, aux=aux, pretrained_base=False, crop_size=CROP)
    net.initialize()
    net.collect_params().initialize()
    net(mx.nd.zeros((1, 3, CROP, CROP)))  # else weights have no shapes yet
    return net


def draw(net):
    """A value for every weight that keeps activations in bounds through a hundred layers; by its name."""
    for name, parameter in net._collect_params_with_prefix().items():
        random = np.random.RandomState(zlib.crc32(name.encode()))
        shape, role = parameter.shape, name.rsplit(".", 1)[1]
        value = random.standard_normal(shape)
        if role == "weight":
            value *= np.sqrt(2 / np.prod(shape[1:]))
        elif role == "running_var":
            value = np.exp(0.2 * value)
        else:
            value = 0.1 * value + (role == "gamma")
        if name.endswith("bn3.gamma"):
            value *= 0.35
        if name.endswith("downsample.1.gamma"):
            value *= 0.7
        parameter.set_data(mx.nd.array(value))


def logits(net, image):
    """(H, W, 3) uint8 -> (classes, H, W) float32, by GluonCV's own predict."""
    x = (image.astype(np.float32) / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    out = net.predict(mx.nd.array(x.transpose(2, 0, 1)[None]))
    out = out[0] if isinstance(out, tuple) else out  # FCN without the auxiliary head
    return out.asnumpy().reshape(CLASSES, *image.shape[:2])


def write(folder):
    image = np.random.RandomState(0).randint(0, 256, (75, 93, 3)).astype(np.uint8)
    results = {"image": image}
    for name in NETS:
        net = build(name)
        draw(net)
        net.save_parameters(str(folder / f"{name}.params"))
        results[name] = logits(net, image)
    net = build("fcn_resnet50", aux=False)
    draw(net)
    net.save_parameters(str(folder / "no_aux.params"))
    results["no_aux"] = logits(net, image)
    for name in ("psp_resnet50", "deeplab_resnet50"):  # again: predict has changed the size that a net expects
        net = build(name)
        draw(net)
        net.hybridize()
        net(mx.nd.zeros((1, 3, CROP, CROP)))  # what is exported is what has run
        net.export(str(folder / f"{name}_exported"))
    np.savez(folder / "theirs.npz", **results)


def read(folder):
    image = np.load(folder / "theirs.npz")["image"]
    results = {}
    for name in NETS:
        net = build(name)
        net.load_parameters(str(folder / f"{name}.back.params"))
        results[name] = logits(net, image)
    np.savez(folder / "back.npz", **results)


if __name__ == "__main__":
    {"write": write, "read": read}[sys.argv[1]](Path(sys.argv[2]))
