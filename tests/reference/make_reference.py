"""Computes the reference's numbers with GluonCV on MXNet, from the inputs in this folder.

    .envs/gluoncv/bin/python tests/reference/make_reference.py FOLDER

FOLDER gets the full numbers; ``sample_reference.py`` makes the samples here of them. Weights follow a rule that needs
nothing but their names and shapes. Arrays are channels-last, but parameters and all of loss_metric.npz. This runs in
an environment of its own (``make reference``) and imports nothing of this package.
"""

import contextlib
import json
import random
import sys
import zlib
from pathlib import Path

import mxnet as mx
import numpy as np
from gluoncv.data.segbase import SegmentationDataset
from gluoncv.loss import MixSoftmaxCrossEntropyLoss
from gluoncv.model_zoo import FCN, DeepLabV3, PSPNet
from gluoncv.model_zoo.resnetv1b import resnet18_v1b
from gluoncv.utils import LRScheduler, LRSequential
from gluoncv.utils.metrics import SegmentationMetric
from mxnet import autograd, gluon, nd
from PIL import Image

HERE = Path(__file__).resolve().parent
CLASSES, CROP, BATCH, STEPS = 5, 64, 4, 4
ALGORITHMS = {"fcn": FCN, "psp": PSPNet, "deeplab": DeepLabV3}
NETWORKS = {
    "fcn_resnet50": ("fcn", "resnet50"),
    "psp_resnet50": ("psp", "resnet50"),
    "deeplab_resnet50": ("deeplab", "resnet50"),
    "fcn_resnet101": ("fcn", "resnet101"),
}


def given(name):
    with np.load(HERE / name) as file:
        return dict(file)


def weight(name, shape):
    """The weight of a name and (O, I, kh, kw) shape."""
    z = np.random.RandomState(zlib.crc32(f"v2/{name}".encode())).standard_normal(shape)
    role = name.rsplit(".", 1)[1]
    if role == "weight":
        w = z * np.sqrt(2 / np.prod(shape[1:]))
        return 0.5 * (w - w.mean(axis=1, keepdims=True)) if name.endswith("block.4.weight") else w
    if role == "gamma":
        factor = 0.35 if name.endswith("bn3.gamma") else 0.7 if name.endswith("downsample.1.gamma") else 1
        return factor * (1 + 0.1 * z)
    return np.exp(0.2 * z) if role == "running_var" else 0.1 * z


def parameters(net):
    return {name: p for name, p in net._collect_params_with_prefix().items() if not name.startswith("fc.")}


def fill(net, dtype="float32"):
    net.initialize()
    net.collect_params().initialize()
    net(nd.zeros((1, 3, CROP, CROP)))  # else weights have no shapes yet
    net.cast(dtype)
    for name, parameter in parameters(net).items():
        parameter.set_data(nd.array(weight(name, parameter.shape).astype(np.float32), dtype=dtype))
    return net


def build(algorithm, backbone, dtype="float32"):
    net = ALGORITHMS[algorithm](CLASSES, backbone=backbone, aux=True, pretrained_base=False, crop_size=CROP)
    return fill(net, dtype)


def first(x):
    """Channels-last to MXNet's order."""
    return nd.array(x.transpose(0, 3, 1, 2), dtype=x.dtype)


def last(y):
    return y.asnumpy().transpose(0, 2, 3, 1)


def stages(net, x):
    x = net.relu(net.bn1(net.conv1(x)))
    found = {"stem": x}
    x = net.maxpool(x)
    for name, layer in (("layer1", "layer1"), ("layer2", "layer2"), ("c3", "layer3"), ("c4", "layer4")):
        found[name] = x = getattr(net, layer)(x)
    return found


def statistics(found):
    values = {}
    for name, y in found.items():
        values[f"{name}_mean"] = y.asnumpy().astype(np.float64).mean((0, 2, 3)).astype(np.float32)
        values[f"{name}_std"] = y.asnumpy().astype(np.float64).std((0, 2, 3)).astype(np.float32)
    return values


def decoded(net, c4):
    """Main logits before the last resizing; only ``demo`` of PSPNet and DeepLabV3 takes any size."""
    return net.head.demo(c4) if hasattr(net.head, "demo") else net.head(c4)


def resized(y, x):
    return nd.contrib.BilinearResize2D(y, height=x.shape[2], width=x.shape[3])


def inference():
    inputs = given("fcn_resnet50.npz")
    for name, (algorithm, backbone) in NETWORKS.items():
        net, results = build(algorithm, backbone), {}
        for prefix in ("sq", "rect", "odd"):
            x = first(inputs[f"{prefix}_x"])
            found = stages(net, x)
            aux = net.auxlayer(found["c3"])
            main = net(x)[0] if prefix == "sq" else net.predict(x)
            if isinstance(main, tuple):
                main = main[0]
            values = {"x": inputs[f"{prefix}_x"], **statistics(found), "logits": last(main), "aux_low": last(aux)}
            values |= {"logits_low": last(decoded(net, found["c4"])), "aux": last(resized(aux, x))}
            if prefix == "sq":
                values |= {f"{stage}_first64": last(found[stage][:, :64]) for stage in ("c3", "c4")}
            results |= {f"{prefix}_{key}": value for key, value in values.items()}
        yield name, results, net
    net, results = fill(resnet18_v1b(pretrained=False, dilated=True)), {}
    for prefix in ("sq", "rect", "odd"):
        found = stages(net, first(inputs[f"{prefix}_x"]))
        values = {"x": inputs[f"{prefix}_x"], **statistics(found), "c3": last(found["c3"]), "c4": last(found["c4"])}
        results |= {f"{prefix}_{key}": value for key, value in values.items()}
    yield "backbone_resnet18", results, net


def large():
    """304 x 312: a feature map of 38 x 39, inside which every rate of DeepLab's pyramid has taps."""
    results = {"x_uint8": given("large_resnet50.npz")["x_uint8"]}
    x = first(results["x_uint8"].astype(np.float32) / 64 - 2)
    for algorithm in ALGORITHMS:
        net = build(algorithm, "resnet50")
        found = stages(net, x)
        low = decoded(net, found["c4"])
        results[f"{algorithm}_logits_low"] = last(low)
        results[f"{algorithm}_logits_every8"] = last(resized(low, x))[:, ::8, ::8]
        results |= {"aux_low": last(net.auxlayer(found["c3"])), **statistics(found)}
    return results


def without_dropout(block):
    if isinstance(block, gluon.nn.Dropout):
        block._rate = 0.0


def training(algorithm, dtype):
    """Four steps of SGD: outputs, gradients and running statistics of the first, losses of all, some final weights."""
    inputs = given("fcn_resnet50_train.npz")
    x, y = first(inputs["x"].astype(dtype)), nd.array(inputs["y"], dtype=dtype)
    net = build(algorithm, "resnet50", dtype)
    net.apply(without_dropout)
    settings = {"learning_rate": 0.01, "momentum": 0.9, "wd": 1e-4, "multi_precision": False}
    trainer = gluon.Trainer(net.collect_params(), "sgd", settings, kvstore=None)
    criterion = MixSoftmaxCrossEntropyLoss(aux=True, aux_weight=0.5)
    named = {name: p for name, p in parameters(net).items() if p.grad_req != "null"}
    results, losses = {"x": inputs["x"], "y": inputs["y"]}, []
    for step in range(STEPS):
        with autograd.record(True):
            outputs = net(x)
            loss = criterion(*outputs, y)
        autograd.backward(loss)
        losses.append(loss.asnumpy())
        if step == 0:
            gradients = {name: p.grad().asnumpy() for name, p in named.items()}
            running = {n: p.data().asnumpy() for n, p in parameters(net).items() if ".running_" in n}
            results |= {"logits": last(outputs[0]), "aux": last(outputs[1])}
        trainer.step(BATCH)
    final = {name: p.data().asnumpy() for name, p in parameters(net).items()}
    wide = {name: g.astype(np.float64) for name, g in gradients.items()}
    results |= {
        "grad_names": np.array(list(wide)),
        "grad_l2": np.array([np.linalg.norm(g) for g in wide.values()]),
        "grad_absmax": np.array([np.abs(g).max() for g in wide.values()]),
        "running_names": np.array(list(running)),
        "running_mean_over_channels": np.array([r.astype(np.float64).mean() for r in running.values()]),
        "running_std_over_channels": np.array([r.astype(np.float64).std() for r in running.values()]),
        "loss": np.array(losses),
    }
    decoders = [f"{part}.block.4.{role}" for part in ("head", "auxlayer") for role in ("weight", "bias")]
    results |= {f"grad:{name}": gradients[name] for name in (*decoders, "conv1.0.weight", "bn1.gamma")}
    results["final_head_bias"] = final["head.block.4.bias"]
    results |= {f"final_{name.replace('.', '_')}": final[name] for name in ("bn1.gamma", "conv1.0.weight")}
    return results


def loss_and_metric():
    known = given("loss_metric.npz")
    keys = [f"{update}_{part}" for update in ("u1", "u2") for part in ("logits", "aux_logits", "label")]
    results, metric = {key: known[key] for key in keys}, SegmentationMetric(6)
    for update in ("u1", "u2"):
        main, aux, label = (nd.array(known[f"{update}_{part}"]) for part in ("logits", "aux_logits", "label"))
        for name, criterion in (
            *((f"aux{w}", MixSoftmaxCrossEntropyLoss(aux=True, aux_weight=w)) for w in (0.5, 0.2, 0.4)),
            ("noaux", MixSoftmaxCrossEntropyLoss(aux=False)),
        ):
            main.attach_grad()
            aux.attach_grad()
            with autograd.record():
                loss = criterion(main, label) if name == "noaux" else criterion(main, aux, label)
            loss.backward()
            results[f"{update}_loss_{name}"] = loss.asnumpy()
            if name in ("aux0.5", "aux0.2"):
                results[f"{update}_grad_aux_w{name[3:]}"] = aux.grad.asnumpy()
            if name == "aux0.5":
                results[f"{update}_grad_main"] = main.grad.asnumpy()
        metric.update([label], [main])
        results[f"{update}_pixAcc_mIoU_running"] = np.array(metric.get())
    for part in ("inter", "union", "correct", "label"):
        results[f"total_{part}"] = np.asarray(getattr(metric, f"total_{part}"))
    return results


def transforms():
    known = given("transforms.npz")
    results = {"img": known["img"], "mask": known["mask"]}
    dataset = SegmentationDataset(str(HERE), "train", "train", None, base_size=80, crop_size=CROP)
    for seed in range(6):
        random.seed(seed)
        image, mask = dataset._sync_transform(Image.fromarray(known["img"]), Image.fromarray(known["mask"]))
        results[f"train_seed{seed}_img"] = image.asnumpy().astype(np.uint8)
        results[f"train_seed{seed}_mask"] = mask.asnumpy()
    return results


def schedule(kind, args):
    if not kind.startswith("train.py"):
        return LRScheduler(**args)
    per_epoch, warmup = args["iters_per_epoch"], args["warmup_epochs"]
    rest = {"nepochs": args["epochs"] - warmup, "iters_per_epoch": per_epoch, "power": args["power"]}
    return LRSequential([
        LRScheduler("linear", base_lr=0, target_lr=args["lr"], nepochs=warmup, iters_per_epoch=per_epoch),
        LRScheduler("poly", base_lr=args["lr"], **rest),
    ])  # fmt: skip


def schedules():
    known = json.loads((HERE / "lr_schedule.json").read_text())
    for entry in known["schedules"]:
        made = schedule(entry["kind"], entry["args"])
        entry["lr"] = [made(number) for number in entry["num_update"]]
    return known


def array_files(folder):
    """MXNet's own files of small arrays, and of a net of a convolution and a normalization."""
    with np.load(HERE / "tiny.npz") as file:
        arrays = {key.split("|")[1]: nd.array(array, dtype=array.dtype) for key, array in file.items()}
    nd.save(str(folder / "tiny.params"), arrays)
    nd.save(str(folder / "tiny_list.params"), [arrays["i.int32"], arrays["conv.weight"]])
    net = gluon.nn.HybridSequential(prefix="")
    net.add(gluon.nn.Conv2D(2, 1, in_channels=3), gluon.nn.BatchNorm(in_channels=2))
    net.initialize()
    with np.load(HERE / "tiny_net.npz") as file:
        for name, parameter in net._collect_params_with_prefix().items():
            parameter.set_data(nd.array(file[name]))
    net.save_parameters(str(folder / "tiny_net.params"))


def record_files(folder):
    """The records of the sample, read and written by MXNet."""
    (folder / "recordio").mkdir(exist_ok=True)
    with contextlib.closing(mx.recordio.MXRecordIO(str(HERE / "recordio/sample.rec"), "r")) as reader:
        payloads = list(iter(reader.read, None))
    names = [str(folder / f"recordio/sample.{ending}") for ending in ("idx", "rec")]
    with contextlib.closing(mx.recordio.MXIndexedRecordIO(*names, "w")) as writer:
        for number, payload in enumerate(payloads):
            writer.write_idx(number, payload)


def main(folder):
    folder.mkdir(parents=True, exist_ok=True)

    def save(name, arrays):
        np.savez_compressed(folder / f"{name}.npz", **arrays)
        print(f"{name}.npz", flush=True)

    for name, arrays, net in inference():
        save(name, arrays)
        entries = [{"name": n, "shape": list(p.shape), "dtype": "float32"} for n, p in parameters(net).items()]
        (folder / f"{name}.params.json").write_text(json.dumps(entries))
    save("large_resnet50", large())
    for algorithm in ALGORITHMS:
        arrays, wide = training(algorithm, "float32"), training(algorithm, "float64")
        arrays |= {f"f64_{key}": wide[key] for key in ("loss", "grad_l2")}
        save(f"{algorithm}_resnet50_train", arrays)
    save("loss_metric", loss_and_metric())
    save("transforms", transforms())
    (folder / "lr_schedule.json").write_text(json.dumps(schedules(), indent=0))
    array_files(folder)
    record_files(folder)
    for name in ("tiny.npz", "tiny_net.npz", "tiny_export.params"):  # inputs
        (folder / name).write_bytes((HERE / name).read_bytes())


if __name__ == "__main__":
    main(Path(sys.argv[1]))
