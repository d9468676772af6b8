"""Keras layers with a form of their own on TensorFlow: convolution, batch normalization, resizing, pooling, forks.

Each layer has a portable form that runs on every Keras backend. Nothing else in the package asks which backend runs.
"""

from __future__ import annotations

import contextlib
import contextvars
import functools
from collections.abc import Iterator
from typing import Any

import keras
from keras import ops

if keras.backend.backend() == "tensorflow":
    import tensorflow as tf

    NARROW = (tf.float32, tf.bfloat16, tf.float16)  # what the fast kernels take
else:
    tf = None

CHANNELS_LAST = "channels_last"  # given to every layer that takes it: a user's keras.json may have another


def layer_name(name: str) -> str:
    """The name of the Keras layer for a structural name; PyTorch takes no dots."""
    return name.replace(".", "_")


@functools.cache
def native_dilation_trains(dtype: Any) -> bool:
    """Whether TensorFlow can differentiate a natively dilated convolution of this dtype here.

    GPUs can; CPUs only where oneDNN takes the operation over, which depends on the dtype too. Otherwise TensorFlow
    rewrites the convolution as space-to-batch, which computes the same more slowly.
    """
    shape, options = (1, 8, 8, 1), {"strides": [1] * 4, "padding": "SAME", "dilations": [1, 2, 2, 1]}
    try:
        with tf.init_scope():  # out of any graph being traced; gradient tapes don't record in here
            kernel, x = tf.ones((3, 3, 1, 1), dtype), tf.ones(shape, dtype)
            y = tf.raw_ops.Conv2D(input=x, filter=kernel, **options)
            tf.raw_ops.Conv2DBackpropInput(input_sizes=shape, filter=kernel, out_backprop=y, **options)
            tf.raw_ops.Conv2DBackpropFilter(input=x, filter_sizes=kernel.shape, out_backprop=y, **options)
    except tf.errors.OpError:  # "not yet supported", or oneDNN found no kernel for this CPU
        return False
    return True


class Conv2D(keras.layers.Conv2D):
    """``keras.layers.Conv2D`` with native dilation in TensorFlow."""

    def __init__(self, *args: Any, **options: Any):
        super().__init__(*args, **{"data_format": CHANNELS_LAST, **options})

    def convolution_op(self, inputs: Any, kernel: Any) -> Any:
        fast = tf is not None and self.padding == "same" and inputs.dtype in NARROW
        if not fast or not native_dilation_trains(inputs.dtype):
            return super().convolution_op(inputs, kernel)
        return tf.nn.conv2d(inputs, kernel, list(self.strides), "SAME", dilations=list(self.dilation_rate))


_kept = contextvars.ContextVar("moving statistics are kept", default=False)


@contextlib.contextmanager
def keeping_statistics(kept: bool) -> Iterator[None]:
    """Leave the moving statistics of ``BatchNormalization`` as they are, where a forward pass is run a second time."""
    token = _kept.set(kept)
    try:
        yield
    finally:
        _kept.reset(token)


class BatchNormalization(keras.layers.BatchNormalization):
    """``keras.layers.BatchNormalization`` that trains with TensorFlow's fused kernel.

    The fused kernel reports the unbiased variance of the batch; the running variance takes the biased one
    (as in MXNet), so it is scaled by (n - 1) / n.
    """

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        fused = tf is not None and training and self.trainable and not self.synchronized
        if not fused or inputs.dtype not in NARROW:
            again = training and self.trainable and _kept.get()
            return self._normalize_again(inputs) if again else super().call(inputs, training=training, mask=mask)
        x = tf.convert_to_tensor(inputs)
        n = tf.cast(tf.size(x) // tf.shape(x)[-1], "float32")
        y, mean, variance = tf.compat.v1.nn.fused_batch_norm(
            x, tf.cast(self.gamma, "float32"), tf.cast(self.beta, "float32"), epsilon=self.epsilon, is_training=True
        )
        if _kept.get():
            return y
        variance = variance * ((n - 1) / n)
        self.moving_mean.assign(self.moving_mean * self.momentum + mean * (1 - self.momentum))
        self.moving_variance.assign(self.moving_variance * self.momentum + variance * (1 - self.momentum))
        return y

    def _normalize_again(self, inputs: Any) -> Any:
        """Return what Keras's own ``call`` does in a training."""
        x = ops.cast(inputs, keras.backend.result_type(inputs.dtype, "float32"))
        mean, variance = ops.moments(x, axes=[0, 1, 2], synchronized=self.synchronized)
        gamma, beta = ops.cast(self.gamma, x.dtype), ops.cast(self.beta, x.dtype)
        y = ops.batch_normalization(x, mean, variance, axis=-1, offset=beta, scale=gamma, epsilon=self.epsilon)
        return ops.cast(y, self.compute_dtype)


class Dropout(keras.layers.Dropout):
    """``keras.layers.Dropout`` whose draws differ between the replicas of ``tf.distribute``."""

    def call(self, inputs: Any, training: bool = False) -> Any:
        context = tf.distribute.get_replica_context() if tf is not None and training else None
        if context is None or context.num_replicas_in_sync == 1 or not self.rate:
            return super().call(inputs, training=training)
        seed = tf.cast(self.seed_generator.next(), "int32") + tf.stack([context.replica_id_in_sync_group, 0])
        return tf.nn.experimental.stateless_dropout(inputs, rate=self.rate, seed=seed)


def interpolation_matrix(size_out: Any, size_in: Any, dtype: str) -> Any:
    """Rows of bilinear weights, (size_out, size_in), of align-corners resizing: src = dst * (in - 1) / (out - 1)."""
    scale = ops.cast(size_in - 1, dtype) / ops.cast(ops.maximum(size_out - 1, 1), dtype)
    source = ops.cast(ops.arange(size_out), dtype) * scale
    position = ops.cast(ops.arange(size_in), dtype)
    return ops.relu(1 - ops.abs(source[:, None] - position[None, :]))  # maximum(x, 0) is float32 in PyTorch


class ResizeLike(keras.layers.Layer):
    """Resize the first input bilinearly, corners aligned, to the height and width of the second.

    Inputs: x (N, h, w, C) and any (N, H, W, ...). Output (N, H, W, C), in float32 or x's dtype if that is wider.
    """

    def __init__(self, **options: Any):
        super().__init__(autocast=False, **options)

    def call(self, inputs: list[Any]) -> Any:
        x, like = inputs
        if keras.backend.standardize_dtype(x.dtype) != "float64":
            x = ops.cast(x, "float32")
            if tf is not None:
                return tf.raw_ops.ResizeBilinear(images=x, size=tf.shape(like)[1:3], align_corners=True)
        shape, target = ops.shape(x), ops.shape(like)
        rows = interpolation_matrix(target[1], shape[1], x.dtype)
        columns = interpolation_matrix(target[2], shape[2], x.dtype)
        return resample(x, rows, columns)

    def compute_output_shape(self, input_shape: list[Any]) -> Any:
        x, like = input_shape
        return (x[0], like[1], like[2], x[3])


def resample(x: Any, rows: Any, columns: Any) -> Any:
    """(N, h, w, C) -> (N, H, W, C) by a (H, h) and a (W, w) matrix."""
    x = ops.einsum("Hh,nhwc->nHwc", rows, x)
    return ops.einsum("Ww,nhwc->nhWc", columns, x)


class Fork(keras.layers.Layer):
    """Give a tensor to several branches, and sum their gradients in the order of the branches.

    TensorFlow's own sum of three gradients or more (AddN) takes them in the order in which its threads finish, so that
    two runs differ in the last bits. Input: any x. Output: a list of ``branches`` times x.
    """

    def __init__(self, branches: int, **options: Any):
        super().__init__(**options)
        self.branches = branches

    def call(self, x: Any) -> list[Any]:
        if tf is None:
            return [x] * self.branches

        @tf.custom_gradient
        def fork(x: Any) -> Any:
            # not a chain of additions: TensorFlow's graph optimizer makes an AddN of it
            return [tf.identity(x) for _ in range(self.branches)], lambda *dys: tf.reduce_sum(tf.stack(dys), axis=0)

        return fork(x)

    def compute_output_shape(self, input_shape: Any) -> list[Any]:
        return [input_shape] * self.branches

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "branches": self.branches}


class AdaptiveAveragePooling(keras.layers.Layer):
    """Means over bins x bins areas: bin i of a side of length n covers floor(i n / bins) to ceil((i + 1) n / bins).

    (N, h, w, C) -> (N, bins, bins, C) for every h and w from 1 up; neighboring bins overlap where bins does not
    divide the length (the rule of PyTorch's AdaptiveAvgPool2d).
    """

    def __init__(self, bins: int, **options: Any):
        super().__init__(**options)
        self.bins = bins

    def call(self, x: Any) -> Any:
        shape = ops.shape(x)
        return resample(x, self._matrix(shape[1], x.dtype), self._matrix(shape[2], x.dtype))

    def _matrix(self, length: Any, dtype: Any) -> Any:
        i = ops.arange(self.bins)[:, None]
        first, last = i * length // self.bins, ((i + 1) * length + self.bins - 1) // self.bins
        position = ops.arange(length)[None, :]
        inside = ops.cast(ops.logical_and(position >= first, position < last), dtype)
        return inside / ops.sum(inside, axis=1, keepdims=True)

    def compute_output_shape(self, input_shape: Any) -> Any:
        return (input_shape[0], self.bins, self.bins, input_shape[3])

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "bins": self.bins}
