"""Write ``mxnet_optimizers.json``: weights after each of six updates by MXNet 1.9.1's own optimizers.

    .envs/gluoncv/bin/python tests/training/make_mxnet_optimizers.py > tests/training/mxnet_optimizers.json

The gradients are those of 0.5 * sum(a * (w - b) ** 2), so that every step depends on all steps before.
"""

import json

import mxnet as mx
import numpy as np

W = [0.5, -1.25, 2.0, 0.003, -0.7]
A = [1.0, 0.2, 3.0, 0.01, 0.5]
B = [0.1, 0.4, -1.0, 2.0, -0.2]
CASES = {
    "sgd": ("sgd", {"momentum": 0.9, "wd": 0.01}),
    # Without decay: MXNet's kernel adds wd * weight to the momentum after it has overwritten the weight in place, so
    # that its second and later steps miss its own documented formula.
    "nag": ("nag", {"momentum": 0.9}),
    "adam": ("adam", {}),
    "adagrad": ("adagrad", {}),
    "rmsprop": ("rmsprop", {"centered": True, "gamma1": 0.9, "gamma2": 0.8}),
}

out = {"w": W, "a": A, "b": B, "learning_rate": 0.05, "cases": {}}
for name, (kind, options) in CASES.items():
    optimizer = mx.optimizer.create(kind, learning_rate=0.05, **options)
    weight, a, b = (mx.nd.array(np.array(v, np.float32)) for v in (W, A, B))
    state = optimizer.create_state(0, weight)
    steps = []
    for _ in range(6):
        optimizer.update(0, weight, a * (weight - b), state)
        steps.append([float(v) for v in weight.asnumpy()])
    out["cases"][name] = {"options": options, "weights": steps}
print(json.dumps(out, indent=1))
