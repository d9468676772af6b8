"""Weights from elsewhere: files of other libraries come in, arrays under this package's names go out, and back.

    mxnet, torchfile, hdf5   one kind of file each: bytes in, arrays under the file's own names out
    files                    any of them, told apart by their first bytes
    names                    the names of GluonCV, timm, torchvision and Keras, made structural ones
    infer                    the network that an array's names and shapes mean
    original                 the model.tar.gz of AWS's built-in algorithm
    published, sources, hub  ImageNet weights: which there are, where they may lie, how they are fetched

Everything here is numpy: no TensorFlow, no MXNet, and nothing is loaded that could run code. Training starts from
these weights, the commands ``import``, ``export`` and ``weights`` read, write and fetch them. Serving never does.
"""
