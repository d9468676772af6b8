"""Lockstep worker: training steps of GluonCV's own FCN or DeepLabV3 with ResNet-50 on MXNet (see `lockstep.py`).

Does what GluonCV's segmentation training script does per step (mixed softmax loss with the auxiliary output, SGD with
momentum 0.9, decay 1e-4, Trainer.step by the batch size; the heads carry their factor of 10 themselves), in a form
that should be faster: the net is hybridized with static memory, the optimizer updates in place instead of through a
key-value store, and the only barrier is at the step's end.
"""

import argparse
from importlib.metadata import version

import lockstep


def build(args: argparse.Namespace) -> tuple[lockstep.Step, dict[str, str]]:
    import mxnet as mx
    from gluoncv.loss import MixSoftmaxCrossEntropyLoss
    from gluoncv.model_zoo import FCN, DeepLabV3

    if args.backbone != "resnet-50":
        raise SystemExit(f"GluonCV has no {args.backbone} for segmentation")
    mx.random.seed(0)
    context = mx.gpu() if mx.context.num_gpus() else mx.cpu()
    model = {"fcn": FCN, "deeplab": DeepLabV3}[args.algorithm]
    net = model(args.classes, backbone="resnet50", aux=True, pretrained_base=False, crop_size=args.crop)
    for part in (net.conv1, net.bn1, net.layer1, net.layer2, net.layer3, net.layer4):  # the heads have their values
        part.initialize(ctx=context)
    net.collect_params().reset_ctx(context)
    if args.hybridize:
        net.hybridize(static_alloc=args.static_alloc, static_shape=args.static_alloc)
    criterion = MixSoftmaxCrossEntropyLoss(aux=True, aux_weight=0.5)
    images, labels = lockstep.fixed_batch(args)
    images = mx.nd.array(images.transpose(0, 3, 1, 2), ctx=context)
    labels = mx.nd.array(labels, ctx=context, dtype="int32")
    settings = {"learning_rate": 0.01, "momentum": 0.9, "wd": 1e-4}
    trainer = mx.gluon.Trainer(net.collect_params(), "sgd", settings)

    def step() -> float:
        with mx.autograd.record():
            losses = criterion(*net(images), labels)
        losses.backward()
        trainer.step(args.batch)
        mx.nd.waitall()
        return float(losses.mean().asscalar())

    # not gluoncv.__version__, which says 0.11.0 in release 0.10.5.post0
    return step, {"mxnet": mx.__version__, "gluoncv": version("gluoncv"), "device": str(context)}


if __name__ == "__main__":
    flags = lockstep.parser(__doc__)
    flags.add_argument("--hybridize", action=argparse.BooleanOptionalAction, default=True)
    flags.add_argument("--static-alloc", action=argparse.BooleanOptionalAction, default=True)
    lockstep.serve(flags.parse_args(), build)
