"""The optimizers, as Keras optimizers with MXNet's update formulas; AdamW is PyTorch's.

Every optimizer multiplies the learning rate of the heads. Weight decay, on convolution kernels alone, is coupled to the
gradient (L2: g + wd * w) but in AdamW.
"""

from __future__ import annotations

import math
from typing import Any

import keras
from keras import ops

from sagemaker_semseg.hyperparameters import Hyperparameters


class Optimizer(keras.optimizers.Optimizer):
    """Base class: slots, the heads' multiplier, coupled weight decay.

    A subclass lists its slots, which start at zero, and implements ``change``. Where it is ``decoupled``, the decay
    isn't added to the gradient: the weight itself shrinks by rate * decay.
    """

    slot_names: tuple[str, ...] = ()
    decoupled = False

    def __init__(self, learning_rate: float, *, decay: float = 0.0, head_multiplier: float = 1.0, **options: Any):
        super().__init__(learning_rate=learning_rate, **options)
        self.decay, self.head_multiplier = decay, head_multiplier

    def build(self, variables: list[Any]) -> None:
        if self.built:
            return
        super().build(variables)
        self._slots = [[self.add_variable_from_reference(v, name) for name in self.slot_names] for v in variables]
        heads = [v.path.split("/")[0].startswith(("head_", "auxlayer_")) for v in variables]
        self._multipliers = [self.head_multiplier if head else 1.0 for head in heads]
        self._decays = [self.decay if v.name == "kernel" else 0.0 for v in variables]

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        index = self._get_variable_index(variable)
        multiplier, decay, slots = self._multipliers[index], self._decays[index], self._slots[index]
        gradient, rate = ops.cast(gradient, variable.dtype), ops.cast(learning_rate, variable.dtype)
        if multiplier != 1.0:
            rate = rate * multiplier
        if decay and not self.decoupled:
            gradient = gradient + decay * ops.convert_to_tensor(variable)
        change = self.change(gradient, rate, *slots)
        if decay and self.decoupled:
            change = change - rate * (decay * ops.convert_to_tensor(variable))
        self.assign_add(variable, change)

    def change(self, gradient: Any, rate: Any, *slots: Any) -> Any:
        """Update the slots in place and return the change of the weight."""
        raise NotImplementedError

    def assign_slot(self, slot: Any, value: Any) -> Any:
        """Assign a value and return it."""
        self.assign(slot, value)
        return value


class SGD(Optimizer):
    """m = momentum * m - rate * g;  w += m."""

    slot_names = ("momentum",)

    def __init__(self, *args: Any, momentum: float, **options: Any):
        super().__init__(*args, **options)
        self.momentum = momentum

    def change(self, gradient: Any, rate: Any, *slots: Any) -> Any:
        return self.assign_slot(slots[0], self.momentum * slots[0] - rate * gradient)


class NAG(SGD):
    """Nesterov's: m as in SGD;  w += momentum * m - rate * g."""

    def change(self, gradient: Any, rate: Any, *slots: Any) -> Any:
        return self.momentum * super().change(gradient, rate, *slots) - rate * gradient


class Adam(Optimizer):
    """m, v with betas 0.9, 0.999;  w -= rate * sqrt(1 - b2^t) / (1 - b1^t) * m / (sqrt(v) + 1e-8)."""

    slot_names = ("mean", "variance")

    def change(self, gradient: Any, rate: Any, *slots: Any) -> Any:
        mean = self.assign_slot(slots[0], 0.9 * slots[0] + 0.1 * gradient)
        variance = self.assign_slot(slots[1], 0.999 * slots[1] + 0.001 * ops.square(gradient))
        t = ops.cast(self.iterations + 1, gradient.dtype)
        correction = ops.sqrt(1 - ops.exp(t * math.log(0.999))) / (1 - ops.exp(t * math.log(0.9)))
        return -rate * correction * mean / (ops.sqrt(variance) + 1e-8)


class AdamW(Adam):
    """As Adam, and w -= rate * decay * w with the w before (Loshchilov and Hutter 2019, arXiv:1711.05101)."""

    decoupled = True


class Adagrad(Optimizer):
    """h += g^2;  w -= rate * g / sqrt(h + 1e-7)."""

    slot_names = ("history",)

    def change(self, gradient: Any, rate: Any, *slots: Any) -> Any:
        history = self.assign_slot(slots[0], slots[0] + ops.square(gradient))
        return -rate * gradient / ops.sqrt(history + 1e-7)


class RMSprop(Optimizer):
    """Centered (Graves 2013, eq. 38-45): n, g decay by gamma1;  d = gamma2 * d - rate * grad / sqrt(n - g^2 + 1e-8)."""

    slot_names = ("square", "mean", "delta")

    def __init__(self, *args: Any, gamma1: float, gamma2: float, **options: Any):
        super().__init__(*args, **options)
        self.gamma1, self.gamma2 = gamma1, gamma2

    def change(self, gradient: Any, rate: Any, *slots: Any) -> Any:
        square = self.assign_slot(slots[0], self.gamma1 * slots[0] + (1 - self.gamma1) * ops.square(gradient))
        mean = self.assign_slot(slots[1], self.gamma1 * slots[1] + (1 - self.gamma1) * gradient)
        # Rounding can push the variance below zero by more than the 1e-8.
        deviation = ops.sqrt(ops.maximum(square - ops.square(mean), 0) + 1e-8)
        return self.assign_slot(slots[2], self.gamma2 * slots[2] - rate * gradient / deviation)


def make_optimizer(hp: Hyperparameters) -> keras.optimizers.Optimizer:
    """Make the optimizer; with float16 it scales the loss and skips overflowing updates."""
    shared: dict[str, Any] = {"head_multiplier": hp.head_learning_rate_multiplier}
    coupled = {**shared, "momentum": hp.momentum, "decay": hp.weight_decay}
    optimizers: dict[str, Any] = {
        "sgd": lambda: SGD(hp.learning_rate, **coupled),
        "nag": lambda: NAG(hp.learning_rate, **coupled),
        "adam": lambda: Adam(hp.learning_rate, **shared),
        "adamw": lambda: AdamW(hp.learning_rate, **shared, decay=hp.weight_decay),
        "adagrad": lambda: Adagrad(hp.learning_rate, **shared),
        "rmsprop": lambda: RMSprop(hp.learning_rate, **shared, gamma1=hp.gamma1, gamma2=hp.gamma2),
    }
    optimizer = optimizers[hp.optimizer]()
    return keras.optimizers.LossScaleOptimizer(optimizer) if hp.precision == "mixed_float16" else optimizer
